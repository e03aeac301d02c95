"""What every availability store promises, run over the one in memory and the one on PostgreSQL."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from holdfast.adapters.memory.availability import MemoryAvailability, MemoryLease, MemoryMonitorStore
from holdfast.adapters.postgres.availability import PostgresMonitorStore
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.reading import PostgresReadingStore
from holdfast.availability.errors import TimelineError
from holdfast.availability.histogram import Histogram
from holdfast.availability.model import Interval, Outcome, Result, State, Timings, Transition
from holdfast.availability.ports import Batch, LeasedStore, ReadingStore, Resolution, RollUp
from holdfast.availability.verdicts import CheckState, Rules, Shown, heard, retired
from holdfast.estate.model import Retention
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.errors import HoldfastError, Remedy
from holdfast.kernel.windows import Window

if TYPE_CHECKING:
    from conftest import Database

NOW = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WEBSITE, API = 1, 2
COMPONENTS = {10: WEBSITE, 11: API, 12: API}
"""Checks with their components: the API has two."""


@dataclass
class Stores:
    """One set of availability stores over the same storage."""

    monitor: LeasedStore
    reading: ReadingStore
    another_monitor: Callable[[], LeasedStore]


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    """Where the stores keep what they are told: a database of their own, or nowhere but in memory."""
    if request.param == "memory":
        return None
    fresh: Database = request.getfixturevalue("migrated_database")
    register(fresh)
    return fresh


@pytest.fixture
async def stores(database: "Database | None") -> AsyncIterator[Stores]:
    """The monitor store holds its lease already."""
    async with AsyncExitStack() as stack:
        if database is None:
            shared, lease = MemoryAvailability(COMPONENTS, ManualClock(NOW)), MemoryLease()

            def another_monitor() -> LeasedStore:
                return MemoryMonitorStore(shared, lease)

            reading: ReadingStore = shared
        else:
            site = await stack.enter_async_context(open_pool(database.conninfo(Role.SITE), "site"))
            reading = PostgresReadingStore(site)

            def another_monitor() -> LeasedStore:
                return PostgresMonitorStore(database.conninfo(Role.CONTROLLER))

        made: list[LeasedStore] = []

        def make() -> LeasedStore:
            made.append(another_monitor())
            return made[-1]

        monitor = make()
        assert await monitor.acquire() == 1
        yield Stores(monitor, reading, make)
        for each in made:
            await each.close()


def register(database: "Database") -> None:
    """The components and checks of these tests, under the ids that the tests use."""
    with database.connect() as connection:
        for component in set(COMPONENTS.values()):
            connection.execute(
                "INSERT INTO estate.component (id, cluster_key, key, name) OVERRIDING SYSTEM VALUE"
                " VALUES (%s, 'eu', %s, %s)",
                (component, f"c{component}", f"Component {component}"),
            )
        for check, component in COMPONENTS.items():
            connection.execute(
                "INSERT INTO estate.probe (id, component_id, key) OVERRIDING SYSTEM VALUE"
                " VALUES (%s, %s, %s)",
                (check, component, f"k{check}"),
            )


def result(at: datetime, outcome: Outcome = Outcome.GOOD, *, check: int = 10, total_us: int = 1000) -> Result:
    return Result(
        check, at, outcome, Timings(total_us, 1, 2, None, 4), "" if outcome is Outcome.GOOD else "why"
    )


def change(at: datetime, state: State, *, check: int = 10, reason: str = "") -> Transition:
    return Transition(check, at, state, reason)


def known(check: int, state: State, at: datetime, *, until: datetime | None = None) -> CheckState:
    """A check that is in `state` since `at` and not silent before `until`."""
    until = until or at + 10 * DAY
    return CheckState(check, state, at, at, until, until + 25 * SECOND)


async def seen(stores: Stores, window: Window, now: datetime, *components: int) -> dict[int, list[Interval]]:
    found = await stores.reading.intervals(components, window, now)
    return {component: list(line) for component, line in found.items() if line}


# --- recording


async def test_what_is_recorded_is_read_back(stores: Stores) -> None:
    results = [
        Result(10, NOW, Outcome.GOOD, Timings(5000, 1000, 900, 1100, 1500), "", 1),
        Result(10, NOW + SECOND, Outcome.FAILED, Timings(9000), "connection refused", 2),
        Result(11, NOW + 2 * SECOND, Outcome.DEGRADED, Timings(7000, None, 5, None, 6), "slow", 1),
    ]
    await stores.monitor.record(Batch(results))
    assert list(await stores.reading.results([10, 11], 5)) == results[::-1]
    assert list(await stores.reading.results([10], 1)) == [results[1]]
    assert list(await stores.reading.results([12], 5)) == []


async def test_the_same_batch_twice_is_absorbed(stores: Stores) -> None:
    state = known(10, State.MAJOR_OUTAGE, NOW)
    batch = Batch([result(NOW, Outcome.FAILED)], [change(NOW, State.MAJOR_OUTAGE)], [state])
    await stores.monitor.record(batch)
    await stores.monitor.record(batch)
    window = Window(NOW, NOW + HOUR)
    assert list(await stores.reading.results([10], 5)) == batch.results
    assert await seen(stores, window, NOW + HOUR, WEBSITE) == {
        WEBSITE: [Interval(window, State.MAJOR_OUTAGE)]
    }


async def test_a_batch_that_was_stored_once_is_absorbed_beside_newer_things(stores: Stores) -> None:
    first = [change(NOW, State.OPERATIONAL), change(NOW + SECOND, State.DEGRADED)]
    await stores.monitor.record(Batch(transitions=first))
    await stores.monitor.record(Batch(transitions=[*first, change(NOW + 2 * SECOND, State.OPERATIONAL)]))
    line = (await seen(stores, Window(NOW, NOW + 3 * SECOND), NOW + HOUR, WEBSITE))[WEBSITE]
    assert [each.state for each in line] == [State.OPERATIONAL, State.DEGRADED, State.OPERATIONAL]


async def test_nothing_recorded_is_nothing_done(stores: Stores) -> None:
    await stores.monitor.record(Batch())
    assert await stores.monitor.check_states() == {}


@pytest.mark.parametrize(
    "refused",
    [
        change(NOW, State.DEGRADED),
        change(NOW - SECOND, State.OPERATIONAL),
        change(NOW - SECOND, State.MAJOR_OUTAGE),
    ],
    ids=["at the newest one's time", "before it, in its state", "before it"],
)
async def test_a_transition_that_is_not_newer_is_refused_with_all_of_its_batch(
    stores: Stores, refused: Transition
) -> None:
    before = known(10, State.OPERATIONAL, NOW)
    await stores.monitor.record(Batch([result(NOW)], [change(NOW, State.OPERATIONAL)], [before]))
    batch = Batch(
        [result(NOW + SECOND), result(NOW, check=11)],
        [change(NOW, State.OPERATIONAL, check=11), refused, change(NOW + SECOND, State.DEGRADED)],
        [known(10, State.DEGRADED, NOW + SECOND), known(11, State.OPERATIONAL, NOW)],
    )
    with pytest.raises(TimelineError, match="only grows"):
        await stores.monitor.record(batch)
    assert await stores.monitor.check_states() == {10: before}
    assert list(await stores.reading.results([10, 11], 9)) == [result(NOW)]
    window = Window(NOW, NOW + HOUR)
    expected = {WEBSITE: [Interval(window, State.OPERATIONAL)]}
    assert await seen(stores, window, NOW + HOUR, WEBSITE, API) == expected


async def test_after_a_refusal_the_store_goes_on(stores: Stores) -> None:
    await stores.monitor.record(Batch(transitions=[change(NOW, State.OPERATIONAL)]))
    with pytest.raises(TimelineError):
        await stores.monitor.record(Batch(transitions=[change(NOW - SECOND, State.DEGRADED)]))
    await stores.monitor.record(Batch(transitions=[change(NOW + SECOND, State.DEGRADED)]))
    line = (await seen(stores, Window(NOW, NOW + 2 * SECOND), NOW + HOUR, WEBSITE))[WEBSITE]
    assert [each.state for each in line] == [State.OPERATIONAL, State.DEGRADED]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("nul \x00 byte", "nul ? byte"),
        ("half a pair \ud83d", "half a pair ?"),
        ("two\nlines\tand \x1b[31mred", "two?lines?and ?[31mred"),
        ("ü € 😀 stay", "ü € 😀 stay"),
        ("x" * 100_000, "x" * 297 + "..."),
    ],
)
async def test_no_reason_can_keep_a_batch_from_being_recorded(
    stores: Stores, written: str, kept: str
) -> None:
    rules = Rules(2, 2, 10 * SECOND, 25 * SECOND)
    state, transitions, results = None, [], []
    for second in range(3):
        at = NOW + 10 * second * SECOND
        results.append(Result(10, at, Outcome.FAILED if second else Outcome.DEGRADED, Timings(1), written))
        state, more = heard(state, results[-1], rules)
        transitions += more
    assert state is not None
    pending = replace(state, pending=heard(state, replace(results[0], at=state.heard_at), rules)[0].pending)
    await stores.monitor.record(Batch(results, transitions, [pending]))
    assert {each.reason for each in await stores.reading.results([10], 9)} == {kept}
    assert await stores.monitor.check_states() == {10: pending}
    line = (await seen(stores, Window(NOW, NOW + HOUR), NOW + 20 * SECOND, WEBSITE))[WEBSITE]
    assert {each.reason for each in line} == {kept}


async def test_a_run_of_a_day_is_recorded(stores: Stores) -> None:
    await stores.monitor.record(Batch([result(NOW, Outcome.FAILED, total_us=86_400_000_000)]))
    assert len(await stores.reading.results([10], 9)) == 1


async def test_check_states_make_the_round_trip(stores: Stores) -> None:
    pending = (
        Shown(NOW + SECOND, State.MAJOR_OUTAGE, "refused"),
        Shown(NOW + timedelta(microseconds=1_500_001), State.PARTIAL_OUTAGE, 'quoted " and ü'),
    )
    full = CheckState(
        10,
        State.DEGRADED,
        NOW,
        NOW + SECOND,
        NOW + 11 * SECOND,
        NOW + 36 * SECOND,
        "slow",
        pending,
        (NOW - HOUR, NOW),
    )
    bare = known(11, State.UNKNOWN, NOW)
    await stores.monitor.record(Batch(states=[full, bare]))
    assert await stores.monitor.check_states() == {10: full, 11: bare}
    assert await stores.reading.check_states() == {10: full, 11: bare}
    assert await stores.reading.check_states([11, 12]) == {11: bare}
    assert await stores.reading.check_states([]) == {}


async def test_the_newest_state_of_a_check_is_kept(stores: Stores) -> None:
    states = [known(10, State.DEGRADED, NOW), known(10, State.OPERATIONAL, NOW + SECOND)]
    await stores.monitor.record(Batch(states=states))
    assert await stores.monitor.check_states() == {10: states[1]}


# --- intervals


async def test_intervals_are_clipped_to_the_window_and_to_now(stores: Stores) -> None:
    changes = [
        change(NOW, State.OPERATIONAL),
        change(NOW + HOUR, State.MAJOR_OUTAGE, reason="down"),
        change(NOW + 2 * HOUR, State.OPERATIONAL),
    ]
    await stores.monitor.record(
        Batch(transitions=changes, states=[known(10, State.OPERATIONAL, NOW + 2 * HOUR)])
    )

    async def states_in(start: float, end: float, now: float = 9) -> list[tuple[State, float, float]]:
        window = Window(NOW + start * HOUR, NOW + end * HOUR)
        line = (await seen(stores, window, NOW + now * HOUR, WEBSITE)).get(WEBSITE, [])
        return [
            (each.state, (each.window.start - NOW) / HOUR, (each.window.end - NOW) / HOUR) for each in line
        ]

    up, down = State.OPERATIONAL, State.MAJOR_OUTAGE
    assert await states_in(-3, -1) == []
    assert await states_in(-1, 0) == []
    assert await states_in(-1, 0.5) == [(up, 0, 0.5)]
    assert await states_in(0.5, 1.5) == [(up, 0.5, 1), (down, 1, 1.5)]
    assert await states_in(1.2, 1.4) == [(down, 1.2, 1.4)]
    assert await states_in(1, 2) == [(down, 1, 2)]
    assert await states_in(0, 9, now=3) == [(up, 0, 1), (down, 1, 2), (up, 2, 3)]
    assert await states_in(0, 9, now=1.5) == [(up, 0, 1), (down, 1, 1.5)]
    assert await states_in(4, 9, now=3) == []


async def test_a_silent_check_is_unknown_since_its_result_was_due(stores: Stores) -> None:
    state = known(10, State.OPERATIONAL, NOW, until=NOW + HOUR)
    await stores.monitor.record(Batch(transitions=[change(NOW, State.OPERATIONAL)], states=[state]))
    window = Window(NOW, NOW + 9 * HOUR)
    patient = await seen(stores, window, state.silent_after, WEBSITE)
    assert [each.state for each in patient[WEBSITE]] == [State.OPERATIONAL]
    silent = await seen(stores, window, NOW + 2 * HOUR, WEBSITE)
    assert [(each.state, each.window) for each in silent[WEBSITE]] == [
        (State.OPERATIONAL, Window(NOW, NOW + HOUR)),
        (State.UNKNOWN, Window(NOW + HOUR, NOW + 2 * HOUR)),
    ]


async def test_a_retired_check_is_left_out_and_its_history_stays(stores: Stores) -> None:
    up = known(11, State.OPERATIONAL, NOW)
    down = known(12, State.MAJOR_OUTAGE, NOW)
    gone, more = retired(down, NOW + HOUR)
    changes = [change(NOW, State.OPERATIONAL, check=11), change(NOW, State.MAJOR_OUTAGE, check=12), *more]
    await stores.monitor.record(Batch(transitions=changes, states=[up, gone]))
    line = (await seen(stores, Window(NOW, NOW + 2 * HOUR), NOW + 2 * HOUR, API))[API]
    assert [(each.state, each.window) for each in line] == [
        (State.MAJOR_OUTAGE, Window(NOW, NOW + HOUR)),
        (State.OPERATIONAL, Window(NOW + HOUR, NOW + 2 * HOUR)),
    ]


async def test_a_component_is_in_the_worst_state_of_its_checks(stores: Stores) -> None:
    changes = [
        change(NOW, State.OPERATIONAL, check=11),
        change(NOW + HOUR, State.DEGRADED, check=11, reason="slow"),
        change(NOW + 2 * HOUR, State.OPERATIONAL, check=12),
        change(NOW + 3 * HOUR, State.UNKNOWN, check=12),
        change(NOW + 4 * HOUR, State.PARTIAL_OUTAGE, check=11, reason="half"),
    ]
    states = [known(11, State.PARTIAL_OUTAGE, NOW + 4 * HOUR), known(12, State.UNKNOWN, NOW + 3 * HOUR)]
    await stores.monitor.record(Batch(transitions=changes, states=states))
    line = (await seen(stores, Window(NOW - HOUR, NOW + 9 * HOUR), NOW + 5 * HOUR, API, WEBSITE))[API]
    assert [(each.state, each.reason, each.duration / HOUR) for each in line] == [
        (State.OPERATIONAL, "", 1),
        (State.DEGRADED, "slow", 2),
        (State.UNKNOWN, "", 1),
        (State.PARTIAL_OUTAGE, "half", 1),
    ]


# --- roll-ups


async def folded(stores: Stores, resolution: Resolution, check: int = 10) -> list[RollUp]:
    window = Window(NOW - 9000 * DAY, NOW + 9000 * DAY)
    return list(await stores.reading.roll_ups([check], window, resolution))


async def test_roll_ups_hold_what_the_results_say(stores: Stores) -> None:
    midnight = datetime(2026, 3, 29, tzinfo=UTC)
    results = [
        result(midnight - SECOND, total_us=10),
        result(midnight, total_us=1000),
        result(midnight + 59 * SECOND, Outcome.DEGRADED, total_us=2000),
        result(midnight + 60 * SECOND, Outcome.FAILED, total_us=10_000_000),
        result(midnight + HOUR, Outcome.PARTIAL, total_us=10_000_000),
        result(midnight, check=11, total_us=7),
    ]
    await stores.monitor.record(Batch(results))
    written = await stores.monitor.roll_up(midnight + 3 * DAY)
    minutes = [
        RollUp(10, midnight - 60 * SECOND, 1, 0, 0, Histogram.of([10])),
        RollUp(10, midnight, 1, 1, 0, Histogram.of([1000, 2000])),
        RollUp(10, midnight + 60 * SECOND, 0, 0, 1, Histogram()),
        RollUp(10, midnight + HOUR, 0, 0, 1, Histogram()),
    ]
    assert await folded(stores, Resolution.MINUTE) == minutes
    assert await folded(stores, Resolution.HOUR) == [
        RollUp(10, midnight - HOUR, 1, 0, 0, Histogram.of([10])),
        RollUp(10, midnight, 1, 1, 1, Histogram.of([1000, 2000])),
        RollUp(10, midnight + HOUR, 0, 0, 1, Histogram()),
    ]
    assert await folded(stores, Resolution.DAY) == [
        RollUp(10, midnight - DAY, 1, 0, 0, Histogram.of([10])),
        RollUp(10, midnight, 1, 1, 2, Histogram.of([1000, 2000])),
    ]
    assert len(await folded(stores, Resolution.MINUTE, 11)) == 1
    assert written == 4 + 3 + 2 + 3
    within = Window(midnight, midnight + 60 * SECOND)
    assert list(await stores.reading.roll_ups([10], within, Resolution.MINUTE)) == [minutes[1]]


async def test_folding_again_changes_nothing(stores: Stores) -> None:
    await stores.monitor.record(Batch([result(NOW + n * SECOND) for n in range(100)]))
    assert await stores.monitor.roll_up(NOW + 3 * DAY) == 2 + 1 + 1
    before = [await folded(stores, each) for each in Resolution]
    assert await stores.monitor.roll_up(NOW + 3 * DAY) == 0
    assert await stores.monitor.roll_up(NOW + 4 * DAY) == 0
    assert [await folded(stores, each) for each in Resolution] == before


async def test_only_closed_stretches_are_folded(stores: Stores) -> None:
    hour = datetime(2026, 3, 29, 12, tzinfo=UTC)
    await stores.monitor.record(Batch([result(hour + n * 60 * SECOND) for n in range(30)]))
    await stores.monitor.roll_up(hour + 20 * 60 * SECOND)
    minutes = await folded(stores, Resolution.MINUTE)
    assert 10 <= len(minutes) <= 20
    assert await folded(stores, Resolution.HOUR) == await folded(stores, Resolution.DAY) == []
    await stores.monitor.roll_up(hour + 2 * HOUR)
    assert len(await folded(stores, Resolution.MINUTE)) == 30
    assert [each.good for each in await folded(stores, Resolution.HOUR)] == [30]
    assert await folded(stores, Resolution.DAY) == []


async def test_late_results_are_folded_in(stores: Stores) -> None:
    await stores.monitor.record(Batch([result(NOW, total_us=100), result(NOW + DAY, total_us=100)]))
    await stores.monitor.roll_up(NOW + 5 * DAY)
    late = [
        result(NOW + 5 * SECOND, Outcome.FAILED),
        result(NOW + 6 * SECOND, total_us=900),
        result(NOW - 3 * HOUR),
    ]
    await stores.monitor.record(Batch(late))
    assert await stores.monitor.roll_up(NOW + 5 * DAY) > 0
    minute = NOW.replace(second=0, microsecond=0)
    assert (await folded(stores, Resolution.MINUTE))[1] == RollUp(
        10, minute, 2, 0, 1, Histogram.of([100, 900])
    )
    assert [(each.good, each.failed) for each in await folded(stores, Resolution.DAY)] == [
        (1, 0),
        (2, 1),
        (1, 0),
    ]


async def test_a_clock_astray_gets_its_partitions_and_comes_back(stores: Stores) -> None:
    astray = datetime(2031, 7, 1, 12, tzinfo=UTC)
    await stores.monitor.record(Batch([result(NOW), result(astray)]))
    await stores.monitor.roll_up(astray + 2 * DAY)
    await stores.monitor.record(Batch([result(NOW + SECOND)]))
    await stores.monitor.roll_up(NOW + 2 * DAY)
    assert [each.good for each in await folded(stores, Resolution.DAY)] == [2, 1]


async def test_what_is_past_retention_is_dropped_and_the_rest_stays(stores: Stores) -> None:
    times = [NOW - 800 * DAY, NOW - 30 * DAY, NOW - DAY, NOW]
    await stores.monitor.record(Batch([result(at) for at in times]))
    await stores.monitor.roll_up(NOW + 2 * DAY)
    keep = Retention(results=7 * DAY, minutes=90 * DAY, hours=365 * DAY, days=3650 * DAY)
    await stores.monitor.keep_partitions(NOW, keep)
    assert [each.at for each in await stores.reading.results([10], 9)] == [NOW, NOW - DAY]
    assert [len(await folded(stores, each)) for each in Resolution] == [3, 3, 4]
    await stores.monitor.roll_up(NOW + 2 * DAY)
    assert [len(await folded(stores, each)) for each in Resolution] == [3, 3, 4]
    # What was dropped can be written again: its partition is made anew.
    await stores.monitor.record(Batch([result(NOW - 800 * DAY)]))
    assert len(await stores.reading.results([10], 9)) == 3


# --- the lease


async def test_one_monitor_holds_the_lease_and_the_next_gets_it(stores: Stores) -> None:
    second = stores.another_monitor()
    assert await second.acquire() is None
    await stores.monitor.close()
    await stores.monitor.close()
    assert await eventually(second) == 2
    assert await stores.monitor.acquire() is None


async def test_taking_the_lease_again_counts_up_by_one(stores: Stores) -> None:
    assert [await stores.monitor.acquire() for _ in range(5)] == [2, 3, 4, 5, 6]
    await stores.monitor.record(Batch([result(NOW)]))
    assert len(await stores.reading.results([10], 9)) == 1


async def test_without_the_lease_nothing_is_recorded(stores: Stores) -> None:
    await stores.monitor.close()
    with pytest.raises(HoldfastError) as refused:
        await stores.monitor.record(Batch([result(NOW)]))
    assert refused.value.remedy is Remedy.TRANSIENT
    second = stores.another_monitor()
    assert await second.acquire() is not None or await eventually(second)
    with pytest.raises(HoldfastError):
        await stores.monitor.check_states()
    assert await second.check_states() == {}


async def eventually(store: LeasedStore) -> int:
    """The lease's epoch, once the server has noticed that its last holder is gone."""
    while (epoch := await store.acquire()) is None:
        pass
    return epoch
