"""How long a run still takes, by what its steps took before."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from holdfast.recovery.expected import MOST_EARLIER, Took, remainder, took_before
from holdfast.recovery.model import Did, Playbook, Record, Run, RunState, Step, Together
from rehearsed import MOVING, START, Rehearsed, playbook_of

SECOND = timedelta(seconds=1)
PLAYBOOK = playbook_of("moving", MOVING)


def run_of(playbook: Playbook = PLAYBOOK, subject: str = "eu", id: str = "now", **took: float) -> Run:  # noqa: A002
    """With these steps done, each in so many seconds."""
    records = {
        name: Record(did=Did.DONE, began=START, ended=START + timedelta(seconds=length))
        for name, length in took.items()
    }
    return Run(id=id, playbook=playbook, subject=subject, started_by="ada", started_at=START, records=records)


def test_the_median_of_earlier_runs_is_expected_and_the_longest_is_told() -> None:
    earlier = [run_of(id=str(n), look=length) for n, length in enumerate([3.0, 100.0, 5.0])]
    assert took_before(run_of(), earlier) == {"look": Took(5 * SECOND, 100 * SECOND, 3)}


def test_runs_of_the_same_subject_count_alone_where_there_are_any() -> None:
    earlier = [run_of(id="a", subject="usa", look=50, fence=9), run_of(id="b", look=2)]
    took = took_before(run_of(), earlier)
    assert took["look"] == Took(2 * SECOND, 2 * SECOND, 1)
    assert took["fence"].median == 9 * SECOND


def test_other_playbooks_itself_and_what_was_done_by_hand_or_failed_do_not_count() -> None:
    by_hand = run_of(id="hand", look=900)
    by_hand = replace(by_hand, records={"look": replace(by_hand.records["look"], told="done by hand by ada")})
    failed = run_of(id="failed", look=800)
    failed = replace(failed, records={"look": replace(failed.records["look"], did=Did.FAILED)})
    other = run_of(replace(PLAYBOOK, name="other"), id="other", look=700)
    changed = replace(
        PLAYBOOK,
        stages=[replace(each, action="else") if isinstance(each, Step) else each for each in PLAYBOOK.stages],
    )
    assert (
        took_before(run_of(), [by_hand, failed, other, run_of(changed, id="x", look=1), run_of(look=4)]) == {}
    )


def test_only_the_newest_count() -> None:
    earlier = [run_of(id=str(n), look=1 if n < MOST_EARLIER else 1000) for n in range(3 * MOST_EARLIER)]
    assert took_before(run_of(), earlier)["look"] == Took(SECOND, SECOND, MOST_EARLIER)


def test_what_is_left_is_told_without_gates_and_at_least_where_a_step_never_ran() -> None:
    before = {"look": Took(3 * SECOND, 4 * SECOND, 2), "fence": Took(10 * SECOND, 10 * SECOND, 2)}
    left = remainder(run_of(), START, before)
    assert left is not None
    assert left.takes == 13 * SECOND + timedelta(minutes=1)
    assert left.gates == 1
    assert left.unknown == ("left", "right", "promote")
    assert not left.is_known


def test_what_is_under_way_counts_down_and_not_below_nothing() -> None:
    before = {
        name: Took(10 * SECOND, 20 * SECOND, 1) for name in ("look", "fence", "left", "right", "promote")
    }
    begun = replace(run_of(), records={"look": Record(did=Did.RUNNING, began=START)})
    whole = remainder(run_of(), START, before)
    assert whole is not None
    for elapsed, left_of_step, over in [(4, 6, ()), (15, 0, ()), (25, 0, ("look",))]:
        left = remainder(begun, START + elapsed * SECOND, before)
        assert left is not None
        assert left.takes == whole.takes - 10 * SECOND + left_of_step * SECOND
        assert left.over == over


def test_steps_side_by_side_take_as_long_as_they_do_together() -> None:
    names = ["a", "b", "c", "d"]
    steps = [Step(name=name, title=name, action="x") for name in names]
    before = {
        name: Took(length * SECOND, length * SECOND, 1)
        for name, length in zip(names, [5, 3, 2, 4], strict=True)
    }
    for at_once, takes in [(1, 14), (2, 9), (3, 6), (4, 5), (9, 5)]:
        playbook = Playbook(
            name="p", title="p", stages=[Together(name="t", title="t", steps=steps, at_once=at_once)]
        )
        left = remainder(run_of(playbook), START, before)
        assert left is not None
        assert left.takes == takes * SECOND, at_once


def test_a_run_that_does_not_go_forward_has_no_time_left() -> None:
    for state in RunState:
        left = remainder(replace(run_of(), state=state), START, {})
        assert (left is None) == (state is not RunState.RUNNING)


@given(
    lengths=st.lists(st.floats(0, 1e6), min_size=1, max_size=8),
    at_once=st.integers(1, 9),
)
def test_side_by_side_lies_between_the_longest_and_the_sum(lengths: list[float], at_once: int) -> None:
    steps = [Step(name=f"s{n}", title="s", action="x") for n in range(len(lengths))]
    took = {f"s{n}": Took(timedelta(seconds=each), timedelta(), 1) for n, each in enumerate(lengths)}
    playbook = Playbook(
        name="p", title="p", stages=[Together(name="t", title="t", steps=steps, at_once=at_once)]
    )
    left = remainder(run_of(playbook), START, took)
    assert left is not None
    exact = [each.median for each in took.values()]
    assert max(exact) <= left.takes <= sum(exact, timedelta())


async def test_a_real_second_run_is_expected_by_the_first() -> None:
    rehearsed = Rehearsed()
    first = await rehearsed.start()
    done = await rehearsed.through(first.id, took={"fence": 7, "promote": 20})
    assert done.run.state is RunState.DONE
    second = await rehearsed.start()
    view = await rehearsed.view(second.id)
    assert view.left is not None
    assert view.left.is_known
    # look 1, fence 7, a minute, left and right after each other by the driver but at once by the playbook, 20
    assert view.left.takes == (1 + 7 + 60 + 1 + 20) * SECOND
