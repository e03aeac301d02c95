"""The invariants of judging a region, over whatever can be seen and not seen."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from holdfast.recovery.outage import DatabaseSeen, Looked, Seen, Sight, Standing, judged

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
VANTAGES = ("v1", "v2", "v3", "v4", "v5")
SEEN = st.sampled_from(Seen)


MOSTLY_DOWN = st.sampled_from([Seen.DOWN, Seen.DOWN, Seen.DOWN, Seen.UP, Seen.UNKNOWN])
MOSTLY_UP = st.sampled_from([Seen.UP, Seen.UP, Seen.UP, Seen.DOWN, Seen.UNKNOWN])
AGE = st.sampled_from([0, 0, 1, 9, 10, 11, 20])


@st.composite
def looks(draw: st.DrawFn) -> Looked:
    """Mostly of a region that is down, so that what makes it lost, or not, is at stake."""
    vantages = VANTAGES[: draw(st.integers(1, 5))]
    who = [*vantages, *draw(st.lists(st.sampled_from((*VANTAGES, "stranger")), max_size=4))]
    sights = [
        Sight(name, NOW - timedelta(seconds=draw(AGE)), {"a": draw(MOSTLY_DOWN), "b": draw(MOSTLY_UP)})
        for name in who
    ]
    database = DatabaseSeen(
        draw(st.sampled_from([None, "a", "b"])),
        draw(st.sampled_from([None, True, False])),
        {"a": draw(MOSTLY_DOWN), "b": draw(MOSTLY_UP)},
    )
    witness = draw(SEEN)
    sees = {"a": draw(MOSTLY_DOWN), "b": draw(SEEN)} if witness is Seen.UP else {}
    return Looked(NOW, vantages, sights, database, witness, sees)


def of_each(looked: Looked) -> dict[str, Sight]:
    newest = dict[str, Sight]()
    for sight in looked.sights:
        if sight.vantage in looked.vantages and (
            sight.vantage not in newest or sight.at > newest[sight.vantage].at
        ):
            newest[sight.vantage] = sight
    return newest


@given(looked=looks())
def test_lost_only_by_a_majority_of_all_declared_who_see_something_else(looked: Looked) -> None:
    assume(judged(looked, "a").standing is Standing.LOST)
    fresh = [each for each in of_each(looked).values() if each.at >= NOW - timedelta(seconds=10)]
    down = [each for each in fresh if each.regions["a"] is Seen.DOWN and each.regions["b"] is Seen.UP]
    assert len(down) * 2 > len(looked.vantages)
    assert looked.database.of("a") is Seen.DOWN
    assert looked.witness_sees.get("a") is not Seen.UP


@given(looked=looks(), data=st.data())
def test_what_is_not_known_is_never_evidence(looked: Looked, data: st.DataObject) -> None:
    """Whoever saw something down and is not heard of any more, no region is lost by it."""
    assume(judged(looked, "a").standing is not Standing.LOST)

    def less(seen: Seen) -> Seen:
        return Seen.UNKNOWN if data.draw(st.booleans()) else seen

    def forgotten(regions: Mapping[str, Seen]) -> dict[str, Seen]:
        return {region: less(seen) for region, seen in regions.items()}

    after = replace(
        looked,
        sights=[replace(sight, regions=forgotten(sight.regions)) for sight in looked.sights],
        database=replace(looked.database, regions=forgotten(looked.database.regions)),
    )
    assert judged(after, "a").standing is not Standing.LOST


@given(looked=looks())
def test_nobody_who_sees_nothing_at_all_has_a_voice(looked: Looked) -> None:
    blind = [replace(each, regions={"a": Seen.DOWN, "b": Seen.DOWN}) for each in looked.sights]
    assert judged(replace(looked, sights=blind), "a").standing not in (Standing.LOST, Standing.EDGE_DOWN)


@given(looked=looks(), seen=st.sampled_from([Seen.DOWN, Seen.UNKNOWN]))
def test_losing_the_witness_alone_changes_nothing(looked: Looked, seen: Seen) -> None:
    """Where the region is up, or its database is."""
    before = judged(looked, "a").standing
    after = judged(replace(looked, witness=seen, witness_sees={}), "a").standing
    if before in (Standing.UP, Standing.EDGE_DOWN, Standing.UNKNOWN):
        assert after is before
    if after is Standing.LOST:
        assert looked.database.of("a") is Seen.DOWN


@given(looked=looks())
def test_what_leads_there_and_answers_is_not_lost(looked: Looked) -> None:
    database = replace(looked.database, leads="a", regions={"a": Seen.UP})
    assert judged(replace(looked, database=database), "a").standing is not Standing.LOST


@given(looked=looks())
def test_two_regions_are_never_lost_at_once(looked: Looked) -> None:
    standings = [judged(looked, region).standing for region in ("a", "b")]
    assert standings != [Standing.LOST, Standing.LOST]


@given(looked=looks(), extra=st.integers(1, 5))
def test_who_was_not_declared_or_says_it_twice_counts_no_more(looked: Looked, extra: int) -> None:
    down = {"a": Seen.DOWN, "b": Seen.UP}
    strangers = [Sight(f"s{n}", NOW, down) for n in range(extra)]
    twice = list(looked.sights) * 2
    assert judged(replace(looked, sights=[*twice, *strangers]), "a") == judged(looked, "a")


def lost(**more: object) -> Looked:
    down = {"a": Seen.DOWN, "b": Seen.UP}
    given = {
        "at": NOW,
        "vantages": VANTAGES[:3],
        "sights": [Sight(name, NOW, down) for name in VANTAGES[:2]],
        "database": DatabaseSeen(None, True, {"a": Seen.DOWN, "b": Seen.UP}),
    }
    return Looked(**{**given, **more})  # type: ignore[arg-type]


def test_two_of_three_and_the_database_are_enough() -> None:
    told = judged(lost(), "a")
    assert told.standing is Standing.LOST
    assert told.why == [
        "2 of 3 vantage points see a down, 0 see it up",
        "the database's members in a do not answer",
        "the witness is not known",
    ]


def test_what_was_seen_too_long_ago_is_not_known() -> None:
    down = {"a": Seen.DOWN, "b": Seen.UP}
    old = NOW - timedelta(seconds=11)
    assert judged(lost(sights=[Sight(n, old, down) for n in VANTAGES]), "a").standing is Standing.UNKNOWN


def test_a_witness_that_sees_the_region_makes_it_a_link_that_is_cut() -> None:
    told = judged(lost(witness=Seen.UP, witness_sees={"a": Seen.UP}), "a")
    assert (told.standing, told.why[-1]) == (Standing.CUT, "the witness sees a")


def test_a_database_that_nobody_could_ask_leaves_it_unknown() -> None:
    told = judged(lost(database=DatabaseSeen()), "a")
    assert told.standing is Standing.UNKNOWN
