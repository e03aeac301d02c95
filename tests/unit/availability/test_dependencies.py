"""Because of: what explains trouble, in examples and as readers see it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from holdfast.adapters.memory.availability import MemoryAvailability
from holdfast.availability.dependencies import TOLERANCE, Explanations, closure, troubles_of
from holdfast.availability.inventory import Inventory
from holdfast.availability.model import Interval, State, Transition
from holdfast.availability.ports import Batch
from holdfast.availability.reading import Reader
from holdfast.availability.verdicts import CheckState
from holdfast.estate.checks import HttpCheck
from holdfast.estate.model import Agreement, Cluster, Component, Customer, Estate, Region
from holdfast.estate.ports import Registered
from holdfast.estate.scope import dependencies
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.windows import Window

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
UP, SLOW, HALF, DOWN, DARK = (
    State.OPERATIONAL,
    State.DEGRADED,
    State.PARTIAL_OUTAGE,
    State.MAJOR_OUTAGE,
    State.UNKNOWN,
)
KEYS = ("web", "api", "database", "storage", "login")


def estate(**depends_on: tuple[str, ...]) -> Estate:
    """Components of one cluster; `web=("eu/api",)` lets the website depend on the API."""
    return Estate(
        regions={"here": Region(name="Here")},
        clusters={
            "eu": Cluster(
                name="EU",
                region="here",
                components={
                    key: Component(
                        name=key.title(),
                        checks={"page": HttpCheck(url="http://target/")},
                        depends_on=depends_on.get(key, ()),
                    )
                    for key in KEYS
                },
            )
        },
        customers={"acme": Customer(name="Acme")},
        agreements={
            "gold": Agreement(
                customer="acme", name="Gold", components=("eu/web",), objective=Decimal(99), window=10 * DAY
            )
        },
    )


def registered() -> Registered:
    pairs = {("eu", key): number for number, key in enumerate(KEYS, start=1)}
    return Registered(pairs, {(*pair, "page"): number * 10 for pair, number in pairs.items()}, 1)


def minutes(start: float, end: float) -> Window:
    return Window(NOW + start * MINUTE, NOW + end * MINUTE)


def because(
    of: Estate, lines: Mapping[str, Sequence[Interval]], key: str = "web", which: int = 0
) -> list[str]:
    """The roots of one of the component's intervals, by their keys."""
    ids = registered().components
    explanations = Explanations(of, registered(), {ids["eu", each]: line for each, line in lines.items()})
    interval = lines[key][which]
    return [each.key for each in explanations.because_of(("eu", key), interval.state, interval.window)]


def one(start: float, end: float, state: State = DOWN) -> list[Interval]:
    return [Interval(minutes(start, end), state)]


CHAIN = estate(web=("eu/api",), api=("eu/database",), database=("eu/storage",))


def test_the_root_is_named_and_not_what_lies_between() -> None:
    lines = {"web": one(3, 60), "api": one(2, 60), "database": one(1, 60), "storage": one(0, 60)}
    assert because(CHAIN, lines) == ["storage"]
    assert because(CHAIN, lines, "database") == ["storage"]
    assert because(CHAIN, lines, "storage") == []


def test_what_is_well_explains_nothing_and_hides_what_lies_behind_it() -> None:
    lines = {"web": one(3, 60), "api": one(0, 60, UP), "database": one(1, 60), "storage": one(0, 60)}
    assert because(CHAIN, lines) == []


@pytest.mark.parametrize(
    ("starts", "expected"), [(2, ["database"]), (2.01, []), (0, ["database"]), (-600, ["database"])]
)
def test_a_cause_begins_no_later_than_its_effect_and_a_little(starts: float, expected: list[str]) -> None:
    assert timedelta(minutes=2) == TOLERANCE
    assert because(estate(web=("eu/database",)), {"web": one(0, 60), "database": one(starts, 60)}) == expected


@pytest.mark.parametrize(("ends", "expected"), [(0, []), (0.01, ["database"])])
def test_a_cause_lasts_into_its_effect(ends: float, expected: list[str]) -> None:
    assert because(estate(web=("eu/database",)), {"web": one(0, 60), "database": one(-9, ends)}) == expected


@pytest.mark.parametrize("state", [UP, DARK])
def test_unknown_neither_explains_nor_is_explained(state: State) -> None:
    of = estate(web=("eu/database",))
    assert because(of, {"web": one(0, 60), "database": one(0, 60, state)}) == []
    assert because(of, {"web": one(0, 60, state), "database": one(0, 60)}) == []


def test_shades_of_one_trouble_are_one_trouble() -> None:
    shades = [
        Interval(minutes(0, 10), SLOW),
        Interval(minutes(10, 20), HALF),
        Interval(minutes(20, 30), DOWN),
    ]
    assert troubles_of(shades) == [minutes(0, 30)]
    gap = [Interval(minutes(0, 10), SLOW), Interval(minutes(10, 11), UP), Interval(minutes(11, 20), DOWN)]
    assert troubles_of(gap) == [minutes(0, 10), minutes(11, 20)]
    # The website was down from minute 5: the database was degraded before, and down only later.
    assert because(estate(web=("eu/database",)), {"web": one(5, 30), "database": shades}) == ["database"]


def test_a_worse_state_may_have_a_cause_that_the_first_one_had_not() -> None:
    web = [Interval(minutes(0, 30), SLOW), Interval(minutes(30, 60), DOWN)]
    lines = {"web": web, "database": one(29, 60)}
    of = estate(web=("eu/database",))
    assert because(of, lines, which=0) == []
    assert because(of, lines, which=1) == ["database"]


def test_several_roots_come_nearest_first_and_once() -> None:
    of = estate(web=("eu/api", "eu/login"), api=("eu/storage",), login=("eu/database", "eu/storage"))
    lines = {key: one(0, 60) for key in KEYS}
    assert because(of, lines) == ["storage", "database"]
    assert because(of, lines | {"storage": one(0, 60, UP)}) == ["api", "database"]


def test_a_component_that_is_not_in_the_reading_explains_nothing() -> None:
    assert because(CHAIN, {"web": one(0, 60)}) == []


def test_a_pattern_takes_in_all_of_a_cluster_but_itself() -> None:
    found = dependencies(estate(web=("eu/*",)))
    assert found == {("eu", "web"): tuple(("eu", key) for key in KEYS[1:])}
    assert closure(dependencies(CHAIN), [("eu", "api")]) == [
        ("eu", "api"),
        ("eu", "database"),
        ("eu", "storage"),
    ]


class Scene:
    """The chain in memory, read at NOW."""

    def __init__(self, of: Estate = CHAIN) -> None:
        self.store = MemoryAvailability({number * 10: number for number in range(1, 6)}, ManualClock(NOW))
        self.reader = Reader(self.store, ManualClock(NOW), lambda: Inventory(of, registered()))

    async def line(self, key: str, *changes: tuple[float, State]) -> None:
        """The component's states since so many minutes before NOW."""
        check = (KEYS.index(key) + 1) * 10
        line = [
            Transition(check, NOW - ago * MINUTE, state, f"{key} {state.label}") for ago, state in changes
        ]
        until = NOW + DAY
        known = CheckState(check, line[-1].state, line[-1].at, NOW, until, until, line[-1].reason)
        await self.store.record(Batch([], line, [known]))


@pytest.fixture
async def scene() -> Scene:
    """The database was down for an hour over the midnight before, and is again since half an hour."""
    scene = Scene()
    for key, late in (("database", 0), ("api", 1), ("web", 2)):
        changes = [(20_000, UP), (750 - late, DOWN), (690 - late, UP), (30 - late, DOWN)]
        await scene.line(key, *changes)
    await scene.line("storage", (20_000, UP))
    await scene.line("login", (20_000, UP), (30, DOWN))
    return scene


async def test_the_overview_says_what_everything_is_because_of(scene: Scene) -> None:
    overview = await scene.reader.overview(days=3)
    found = {each.status.key: each for each in overview.clusters[0].components}
    assert {key: [each.full_name for each in of.status.because_of] for key, of in found.items()} == {
        "web": ["EU Database"],
        "api": ["EU Database"],
        "database": [],
        "storage": [],
        "login": [],
    }
    events = [event for day in found["web"].days for event in day.events]
    # The older outage was cut at midnight; both halves have the cause that the whole had.
    assert [[each.key for each in event.because_of] for event in events] == [["database"]] * 3


async def test_every_page_says_the_same(scene: Scene) -> None:
    component = await scene.reader.component("eu", "web", Window(NOW - 7 * DAY, NOW))
    assert component is not None
    assert [each.key for each in component.history.status.because_of] == ["database"]
    assert [[each.key for each in event.because_of] for event in component.events] == [["database"]] * 2
    month = await scene.reader.month(2026, 6)
    explained = [(status.key, [each.key for each in event.because_of]) for status, event in month.events]
    assert sorted(explained) == [
        ("api", ["database"]),
        ("api", ["database"]),
        ("database", []),
        ("database", []),
        ("login", []),
        ("web", ["database"]),
        ("web", ["database"]),
    ]
    agreement = await scene.reader.agreement("gold", NOW)
    assert agreement is not None
    assert [[each.key for each in event.because_of] for _, event in agreement.events] == [["database"]] * 2


async def test_a_range_that_begins_inside_an_outage_still_names_its_cause(scene: Scene) -> None:
    component = await scene.reader.component("eu", "web", Window(NOW - 10 * MINUTE, NOW))
    assert component is not None
    assert [each.key for each in component.history.status.because_of] == ["database"]


async def test_figures_are_not_changed_by_it(scene: Scene) -> None:
    alone = Scene(estate())
    alone.store = scene.store
    alone.reader = Reader(scene.store, ManualClock(NOW), lambda: Inventory(estate(), registered()))
    with_, without = [await each.reader.agreement("gold", NOW) for each in (scene, alone)]
    assert with_ is not None
    assert without is not None
    assert with_.statement == without.statement
    assert [event.because_of for _, event in without.events] == [(), ()]
