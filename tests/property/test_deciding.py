"""What is decided about a lost region, over all that can be known and not known."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from holdfast.recovery.deciding import (
    CORRUPTION,
    Decline,
    FailOver,
    Hold,
    Known,
    Policy,
    Stay,
    decided,
    limits_of,
)
from holdfast.recovery.outage import Judged, Seen, Standing

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECONDS = st.integers(0, 200).map(lambda n: timedelta(seconds=n))
MAYBE = st.none() | SECONDS


def ago(maximum: int) -> st.SearchStrategy[datetime | None]:
    return st.none() | st.integers(-5, maximum).map(lambda n: NOW - timedelta(seconds=n))


POLICIES = st.builds(
    Policy,
    automatic=st.booleans(),
    hold=SECONDS,
    lag=SECONDS,
    drilled_within=st.integers(1, 200).map(lambda n: timedelta(days=n)),
)
KNOWN = st.builds(
    Known,
    now=st.just(NOW),
    primary=st.just("a"),
    secondary=st.just("b"),
    active=st.sampled_from([None, "a", "b"]),
    lost_since=ago(200),
    lag=MAYBE,
    lag_at=ago(400),
    drilled_at=ago(200 * 86_400),
    other=st.sampled_from(Standing),
    paused=st.sampled_from([None, True, False]),
    corrupt=st.lists(st.just("rows of the future"), max_size=1),
    witness=st.sampled_from(Seen),
)
JUDGED = st.builds(
    Judged, region=st.sampled_from(["a", "b"]), standing=st.sampled_from(Standing), why=st.just(["because"])
)


@given(judgement=JUDGED, policy=POLICIES, known=KNOWN)
def test_by_itself_only_with_every_limit_known_to_hold(
    judgement: Judged, policy: Policy, known: Known
) -> None:
    decision = decided(judgement, policy, known)
    if not isinstance(decision, FailOver):
        return
    assert judgement.standing is Standing.LOST
    assert judgement.region == known.active == decision.lost
    assert known.lost_since is not None
    assert known.now - known.lost_since >= policy.hold
    assert not known.corrupt
    if decision.automatic:
        assert policy.automatic
        assert (decision.lost, decision.to) == ("a", "b")
        assert known.lag is not None
        assert known.lag <= policy.lag
        assert known.lag_at is not None
        assert known.drilled_at is not None
        assert known.other is Standing.UP
        assert known.paused is False
    else:
        assert any(each.holds is not True for each in decision.limits)


@given(
    judgement=JUDGED,
    policy=POLICIES,
    known=KNOWN,
    forgotten=st.sampled_from(["lag", "lag_at", "drilled_at", "paused", "lost_since", "active"]),
)
def test_knowing_less_never_makes_it_automatic(
    judgement: Judged, policy: Policy, known: Known, forgotten: str
) -> None:
    before = decided(judgement, policy, known)
    after = decided(judgement, policy, replace(known, **{forgotten: None}))  # type: ignore[arg-type]
    assert not (isinstance(after, FailOver) and after.automatic)
    if not isinstance(before, FailOver):
        assert not isinstance(after, FailOver)


@given(judgement=JUDGED, policy=POLICIES, known=KNOWN)
def test_there_is_no_way_back_by_itself(judgement: Judged, policy: Policy, known: Known) -> None:
    decision = decided(judgement, policy, replace(known, active="b"))
    assert not (isinstance(decision, FailOver) and decision.automatic)


@given(judgement=JUDGED, policy=POLICIES, known=KNOWN)
def test_corruption_is_never_answered_by_failing_over(
    judgement: Judged, policy: Policy, known: Known
) -> None:
    decision = decided(judgement, policy, replace(known, corrupt=("12 jobs are printed before they came",)))
    assert isinstance(decision, Decline)
    assert decision.why.startswith(CORRUPTION)
    assert "holdfast recover" in decision.instead


@given(judgement=JUDGED, policy=POLICIES, known=KNOWN, seen=st.sampled_from(Seen))
def test_the_witness_alone_decides_nothing(
    judgement: Judged, policy: Policy, known: Known, seen: Seen
) -> None:
    assert decided(judgement, policy, known) == decided(judgement, policy, replace(known, witness=seen))


@given(policy=POLICIES, known=KNOWN)
def test_it_waits_for_the_hold_to_pass_and_no_longer(policy: Policy, known: Known) -> None:
    judgement = Judged("a", Standing.LOST, ["because"])
    assume(not known.corrupt and known.lost_since is not None and known.lost_since <= NOW)
    known = replace(known, active="a")
    decision = decided(judgement, policy, known)
    if isinstance(decision, Hold):
        assert decision.until > NOW
        assert isinstance(decided(judgement, policy, replace(known, now=decision.until)), FailOver)
    else:
        assert isinstance(decision, FailOver)


GOOD = Known(
    now=NOW,
    primary="a",
    secondary="b",
    active="a",
    lost_since=NOW - timedelta(seconds=10),
    lag=timedelta(0),
    lag_at=NOW - timedelta(seconds=11),
    drilled_at=NOW - timedelta(days=3),
    other=Standing.UP,
    paused=False,
)
LOST = Judged("a", Standing.LOST, ["because"])


def test_all_is_well_known_and_it_begins_by_itself() -> None:
    decision = decided(LOST, Policy(automatic=True), GOOD)
    assert isinstance(decision, FailOver)
    assert decision.automatic
    assert [each.name for each in decision.limits] == [
        "policy",
        "direction",
        "lag",
        "drilled",
        "secondary",
        "paused",
    ]


@pytest.mark.parametrize(
    ("changed", "limit", "holds"),
    [
        ({"lag": timedelta(seconds=1)}, "lag", False),
        ({"lag": None}, "lag", None),
        ({"lag_at": NOW - timedelta(seconds=71)}, "lag", None),
        ({"drilled_at": NOW - timedelta(days=91)}, "drilled", False),
        ({"drilled_at": NOW + timedelta(days=1)}, "drilled", False),
        ({"drilled_at": None}, "drilled", None),
        ({"other": Standing.CUT}, "secondary", False),
        ({"other": Standing.UNKNOWN}, "secondary", None),
        ({"paused": True}, "paused", False),
        ({"active": "b"}, "direction", False),
    ],
)
def test_each_limit_asks_a_person(changed: dict[str, object], limit: str, holds: bool | None) -> None:
    known = replace(GOOD, **changed)  # type: ignore[arg-type]
    found = {each.name: each.holds for each in limits_of(Policy(automatic=True), known)}
    assert found.pop(limit) is holds
    assert set(found.values()) == {True}


@pytest.mark.parametrize("standing", [each for each in Standing if each is not Standing.LOST])
def test_what_is_not_lost_is_left_alone(standing: Standing) -> None:
    decision = decided(Judged("a", standing, ["so"]), Policy(automatic=True), GOOD)
    assert decision == Stay(f"a is {standing.value}: so")


def test_the_region_where_nothing_works_anyway_may_be_lost() -> None:
    assert decided(replace(LOST, region="b"), Policy(automatic=True), GOOD) == Stay("the cluster works in a")
