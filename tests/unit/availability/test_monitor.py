import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monitored import BROKEN, EVERY, NOW, WELL, Scene, act, hangs, until, watched

from holdfast.availability.model import Observation, Outcome, Result, State, Timings, Transition
from holdfast.availability.monitor import MOST_RESULTS_AT_ONCE, MOST_RESULTS_KEPT, Outbox
from holdfast.availability.ports import Batch
from holdfast.availability.rounds import next_beat
from holdfast.availability.verdicts import CheckState, Rules, heard

SECOND = timedelta(seconds=1)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@given(st.floats(0, 1e9), st.sampled_from((0.001, 0.1, 1.0)))
def test_all_who_wait_for_a_beat_wake_at_the_same_moments(at: float, step: float) -> None:
    beat = next_beat(at, step)
    assert at < beat <= at + step * 1.001
    assert beat / step == pytest.approx(round(beat / step), abs=1e-3)
    assert next_beat((at + beat) / 2, step) == beat or (at + beat) / 2 == beat


def test_changes_and_a_full_outbox_are_urgent_and_a_few_results_are_not() -> None:
    outbox = Outbox()
    result = Result(1, NOW, Outcome.GOOD, Timings(total_us=1_000))
    state, first = heard(None, result, Rules.of(watched(1).compiled.check))
    assert not outbox.is_urgent
    outbox.put(result, state, [])
    assert not outbox.is_urgent
    outbox.put(None, state, first)
    assert first
    assert outbox.is_urgent
    outbox.take()
    for _ in range(MOST_RESULTS_AT_ONCE + 1):
        outbox.put(result, state, [])
    assert outbox.is_urgent


async def test_checks_run_on_time_and_are_recorded(scene: Scene) -> None:
    monitor = scene.monitor(scene.store())
    monitor.watch([watched(1), watched(2)])
    async with scene.running(monitor):
        await scene.pass_time(monitor, 5 * EVERY)
    for check in (1, 2):
        times = [each.at for each in await scene.results(check)]
        assert len(times) == 5
        assert {b - a for a, b in pairwise(times)} == {EVERY * SECOND}
    assert monitor.counters.recorded == monitor.counters.runs == 10
    assert monitor.counters.skipped == monitor.counters.dropped == 0


async def test_a_thousand_hanging_targets_do_not_delay_a_healthy_one(scene: Scene) -> None:
    hanging = range(1, 1001)
    for check in hanging:
        scene.probe.behaviours[check] = hangs
    monitor = scene.monitor(scene.store())
    monitor.watch([watched(check) for check in (*hanging, 5000)])
    async with scene.running(monitor):
        await scene.pass_time(monitor, 4 * EVERY)
        await scene.flushed(monitor)
        assert scene.probe.under_way == set(hanging)
        assert len(await scene.results(5000)) in (4, 5)
        assert all(scene.probe.attempts[check] == 1 for check in hanging), "runs of one check pile up"
        assert monitor.counters.skipped >= 3 * len(hanging)
        times = [each.at for each in await scene.results(5000)]
        assert {b - a for a, b in pairwise(times)} == {EVERY * SECOND}
    assert scene.probe.under_way == set()


async def test_a_failed_attempt_is_repeated_at_once_before_it_counts(scene: Scene) -> None:
    scene.probe.scripts[1] = [BROKEN, WELL, BROKEN, BROKEN]
    scene.probe.scripts[2] = [BROKEN]
    monitor = scene.monitor(scene.store())
    monitor.watch([watched(1), watched(2, retry=False)])
    async with scene.running(monitor):
        await scene.pass_time(monitor, 3 * EVERY)
    confirmed = [(each.outcome, each.attempts) for each in await scene.results(1)]
    assert confirmed == [(Outcome.GOOD, 2), (Outcome.FAILED, 2), (Outcome.GOOD, 1)]
    assert [each.attempts for each in await scene.results(2)] == [1, 1, 1]
    assert (await scene.results(2))[0].outcome is Outcome.FAILED


async def test_an_outage_is_opened_closed_and_never_doubled(scene: Scene) -> None:
    scene.probe.scripts[1] = [WELL, *[BROKEN] * 6]
    monitor = scene.monitor(scene.store())
    monitor.watch([watched(1)])
    async with scene.running(monitor):
        await scene.pass_time(monitor, 8 * EVERY)
    first = (await scene.results(1))[0].at
    begun = (first - NOW) / SECOND
    assert await scene.states() == [
        (State.OPERATIONAL, begun, begun + EVERY),
        (State.MAJOR_OUTAGE, begun + EVERY, begun + 4 * EVERY),
        (State.OPERATIONAL, begun + 4 * EVERY, 8 * EVERY),
    ]


async def test_while_the_database_is_away_everything_is_kept_and_then_recorded_once(scene: Scene) -> None:
    store = scene.store()
    monitor = scene.monitor(store)
    monitor.watch([watched(1)])
    scene.probe.scripts[1] = [WELL, WELL, *[BROKEN] * 8]
    async with scene.running(monitor):
        await scene.pass_time(monitor, 2 * EVERY)
        await scene.flushed(monitor)
        store.away = True
        scene.lease.revoke()
        await scene.pass_time(monitor, 6 * EVERY)
        await until(lambda: bool(scene.named("recording_failed")))
        assert len(await scene.results(1)) == 2
        store.away = False
        await until(lambda: len(scene.named("lead_taken")) == 2)
        await until(lambda: monitor.counters.recorded == 8)
        await scene.pass_time(monitor, 2 * EVERY)
    times = [each.at for each in await scene.results(1)]
    assert [b - a for a, b in pairwise(times)] == [EVERY * SECOND] * 9
    assert [state for state, _, _ in await scene.states()] == [
        State.OPERATIONAL,
        State.MAJOR_OUTAGE,
        State.OPERATIONAL,
    ]


async def test_what_could_not_be_stored_goes_before_what_has_come_since(scene: Scene) -> None:
    store = scene.store()
    monitor = scene.monitor(store)
    monitor.watch([watched(1)])
    scene.probe.scripts[1] = [WELL, *[BROKEN] * 6]
    async with scene.running(monitor):
        store.hangs = asyncio.Event()
        for _ in range(4):
            await scene.pass_time(monitor, EVERY)
            await asyncio.sleep(0.01)
        store.away = True
        store.hangs.set()
        await until(lambda: bool(scene.named("recording_failed")))
        times = [each.at for each in monitor._outbox.results]
        assert len(times) == 4
        assert times == sorted(times)
        assert [each.state for each in monitor._outbox.transitions] == [State.OPERATIONAL, State.MAJOR_OUTAGE]
        assert monitor._outbox.states[1].heard_at == times[-1]
        store.away = False
        await scene.flushed(monitor)
    assert len(await scene.results(1)) == 4


async def test_a_commit_whose_answer_was_lost_counts_once(scene: Scene) -> None:
    store = scene.store()
    monitor = scene.monitor(store)
    monitor.watch([watched(1)])
    store.forgets_to_answer = 3
    async with scene.running(monitor):
        await scene.pass_time(monitor, 5 * EVERY)
        await until(lambda: monitor.counters.recorded == monitor.counters.runs)
    assert len(await scene.results(1)) == 5
    assert len(await scene.states()) == 1
    assert not scene.named("timeline_refused")


async def test_if_another_led_in_between_its_record_stands_and_ours_is_dropped(scene: Scene) -> None:
    store = scene.store()
    monitor = scene.monitor(store)
    monitor.watch([watched(1)])
    scene.probe.scripts[1] = [WELL, *[BROKEN] * 6]
    async with scene.running(monitor):
        await scene.pass_time(monitor, EVERY)
        await scene.flushed(monitor)
        store.away = True
        scene.lease.revoke()
        await scene.pass_time(monitor, 3 * EVERY)
        other = scene.store()
        assert await other.acquire() is not None
        theirs = Result(1, scene.clock.now(), Outcome.GOOD, Timings(7))
        state, transitions = heard((await other.check_states())[1], theirs, watched(1).rules)
        await other.record(Batch([theirs], transitions, [state]))
        await other.close()
        store.away = False
        await until(lambda: len(scene.named("lead_taken")) == 2)
        await scene.pass_time(monitor, EVERY)
    recorded = await scene.results(1)
    assert theirs in recorded
    assert [each.outcome for each in recorded] == [Outcome.GOOD] * 3
    assert State.MAJOR_OUTAGE not in [state for state, _, _ in await scene.states()]


async def test_one_monitor_leads_and_a_standby_takes_over_with_what_was_known(scene: Scene) -> None:
    first, second = scene.monitor(scene.store()), scene.monitor(scene.store())
    for monitor in (first, second):
        monitor.watch([watched(1)])
    async with scene.running(first) as leading, scene.running(second, leading=False):
        await scene.pass_time(first, 2 * EVERY)
        await act(second)
        assert not second.leading
        leading.cancel()
        await until(lambda: second.leading)
        await scene.pass_time(second, 2 * EVERY)
    assert len(await scene.results(1)) in (4, 5)
    assert [state for state, _, _ in await scene.states()] == [State.OPERATIONAL]


async def test_a_leader_that_lost_its_lease_to_another_steps_down(scene: Scene) -> None:
    monitor = scene.monitor(scene.store())
    monitor.watch([watched(1)])
    async with scene.running(monitor):
        await scene.pass_time(monitor, EVERY)
        scene.lease.revoke()
        assert await scene.store().acquire() is not None
        await scene.pass_time(monitor, EVERY)
        await until(lambda: not monitor.leading)
        before = scene.probe.attempts[1]
        await scene.pass_time(monitor, 3 * EVERY)
        assert scene.probe.attempts[1] == before
    assert scene.named("lead_lost")


async def test_a_timeline_that_grew_elsewhere_is_read_again(scene: Scene) -> None:
    monitor = scene.monitor(scene.store())
    monitor.watch([watched(1)])
    async with scene.running(monitor):
        await scene.pass_time(monitor, EVERY)
        await scene.flushed(monitor)
        # Somebody imported a history that reaches into the future of this monitor.
        ahead = scene.clock.now() + 2 * EVERY * SECOND
        imported = CheckState(1, State.DEGRADED, ahead, ahead, ahead + SECOND, ahead + SECOND)
        await scene.shared.record(Batch([], [Transition(1, ahead, State.DEGRADED)], [imported]))
        scene.probe.scripts[1] = [BROKEN] * 4
        await scene.pass_time(monitor, 2 * EVERY)
        await until(lambda: bool(scene.named("timeline_refused")))
        await until(lambda: monitor.leading)
        await scene.pass_time(monitor, 4 * EVERY)
    assert (await scene.states())[-1][0] is State.OPERATIONAL
    assert len(scene.named("timeline_refused")) == 1


async def test_a_check_that_left_the_estate_is_retired_and_may_return(scene: Scene) -> None:
    monitor = scene.monitor(scene.store())
    monitor.watch([watched(1), watched(2)])
    async with scene.running(monitor):
        await scene.pass_time(monitor, EVERY)
        monitor.watch([watched(2)])
        await scene.flushed(monitor)
        assert (await scene.shared.check_states())[1].state is State.RETIRED
        runs = scene.probe.attempts[1]
        await scene.pass_time(monitor, 3 * EVERY)
        assert scene.probe.attempts[1] == runs
        monitor.watch([watched(1), watched(2)])
        await scene.pass_time(monitor, 3 * EVERY)
        await scene.flushed(monitor)
        assert scene.probe.attempts[1] == runs + 3
        assert (await scene.shared.check_states())[1].state is State.OPERATIONAL


async def test_nothing_is_retired_before_the_estate_is_known(scene: Scene) -> None:
    first = scene.monitor(scene.store())
    first.watch([watched(1)])
    async with scene.running(first):
        await scene.pass_time(first, EVERY)
    restarted = scene.monitor(scene.store())
    async with scene.running(restarted):
        await scene.pass_time(restarted, 2)
        assert (await scene.shared.check_states())[1].state is State.OPERATIONAL
        restarted.watch([watched(1)])
        await scene.pass_time(restarted, 2 * EVERY)
    assert [state for state, _, _ in await scene.states()] == [State.OPERATIONAL]


async def test_a_run_that_ends_after_its_check_was_retired_is_dropped(scene: Scene) -> None:
    answer = asyncio.Event()

    async def slow() -> Observation:
        await answer.wait()
        return WELL

    scene.probe.behaviours[1] = slow
    monitor = scene.monitor(scene.store())
    monitor.watch([watched(1)])
    async with scene.running(monitor):
        await scene.pass_time(monitor, EVERY)
        assert scene.probe.under_way == {1}
        monitor.watch([])
        answer.set()
        await act(monitor)
        await scene.flushed(monitor)
    assert await scene.results(1) == []


async def test_a_changed_rhythm_replaces_the_old_one(scene: Scene) -> None:
    monitor = scene.monitor(scene.store())
    monitor.watch([watched(1)])
    async with scene.running(monitor):
        await scene.pass_time(monitor, EVERY)
        monitor.watch([watched(1, every=4 * EVERY * SECOND)])
        await scene.pass_time(monitor, 4 * EVERY)
        before = scene.probe.attempts[1]
        await scene.pass_time(monitor, 12 * EVERY)
        assert scene.probe.attempts[1] - before == 3


async def test_cancellation_leaves_nothing_running_and_writes_what_it_has(scene: Scene) -> None:
    before = asyncio.all_tasks()
    for check in range(2, 20):
        scene.probe.behaviours[check] = hangs
    monitor = scene.monitor(scene.store())
    monitor._flush_every = 3600.0
    monitor.watch([watched(check) for check in range(1, 20)])
    async with scene.running(monitor):
        await scene.pass_time(monitor, 2 * EVERY)
        assert len(scene.probe.under_way) == 18
        assert await scene.results(1) == []
    assert asyncio.all_tasks() == before
    assert scene.probe.under_way == set()
    assert scene.lease.holder is None
    assert len(await scene.results(1)) == 2


async def test_cancelling_while_the_database_is_away_ends_all_the_same(scene: Scene) -> None:
    before = asyncio.all_tasks()
    store = scene.store()
    monitor = scene.monitor(store)
    monitor.watch([watched(1)])
    async with scene.running(monitor):
        store.away = True
        await scene.pass_time(monitor, 2 * EVERY)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("by", [3600.0, -3600.0])
async def test_a_jump_of_the_clock_is_told_and_hides_no_gap(scene: Scene, by: float) -> None:
    monitor = scene.monitor(scene.store())
    monitor.watch([watched(1)])
    async with scene.running(monitor):
        await scene.pass_time(monitor, 2 * EVERY)
        scene.clock.jump_to(scene.clock.now() + timedelta(seconds=by))
        await scene.pass_time(monitor, 2 * EVERY)
    assert scene.named("clock_jumped") == [{"by_s": by}]
    last = (await scene.shared.check_states())[1]
    assert last.state is State.OPERATIONAL
    states = [state for state, _, _ in await scene.states()]
    assert states == ([State.OPERATIONAL, State.UNKNOWN, State.OPERATIONAL] if by > 0 else [])


async def test_a_clock_that_drifts_is_no_jump(scene: Scene) -> None:
    monitor = scene.monitor(scene.store())
    monitor.watch([watched(1)])
    async with scene.running(monitor):
        for _ in range(100):
            scene.clock.jump_to(scene.clock.now() + timedelta(seconds=0.05))
            await scene.pass_time(monitor, 1)
    assert scene.named("clock_jumped") == []


async def test_a_fault_of_ours_is_told_and_shows_as_unknown_not_as_good(scene: Scene) -> None:
    async def breaks() -> Observation:
        raise ZeroDivisionError("not the target's fault")

    monitor = scene.monitor(scene.store())
    monitor.watch([watched(1), watched(2)])
    async with scene.running(monitor):
        await scene.pass_time(monitor, EVERY)
        scene.probe.behaviours[1] = breaks
        await scene.pass_time(monitor, 10 * EVERY)
    assert len(await scene.results(2)) == 11
    assert scene.named("run_broke")[0] == {"check": 1, "error": "ZeroDivisionError: not the target's fault"}
    assert (await scene.shared.check_states())[1].state_at(scene.clock.now()) is State.UNKNOWN


def test_the_outbox_drops_the_oldest_results_and_never_a_transition() -> None:
    outbox = Outbox()
    rules = Rules(1, 1, EVERY * SECOND, SECOND)
    first = Result(1, NOW, Outcome.GOOD, Timings(1))
    state, transitions = heard(None, first, rules)
    assert outbox.put(first, state, transitions) == 0
    later = Result(1, NOW + SECOND, Outcome.GOOD, Timings(1))
    dropped = sum(outbox.put(later, state, ()) for _ in range(MOST_RESULTS_KEPT + 4))
    assert dropped == 5
    assert len(outbox.results) == MOST_RESULTS_KEPT
    assert outbox.take().transitions == transitions


def test_a_run_that_outlasts_its_period_is_not_taken_for_silence() -> None:
    """Two attempts of 10 s each, every 10 s: the next run may begin 30 s later, and end 20 s after that."""
    rules = watched(1, timeout=EVERY * SECOND).rules
    state, _ = heard(None, Result(1, NOW, Outcome.FAILED, Timings(1)), rules)
    heard_of_the_next = NOW + (2 * EVERY + EVERY + 2 * EVERY) * SECOND
    assert heard_of_the_next <= state.silent_after
