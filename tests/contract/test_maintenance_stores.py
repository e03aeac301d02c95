"""What every maintenance store promises, run over the one in memory and the one on PostgreSQL.

Both are read through what availability reads, too: what counts is part of the promise.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

import psycopg
import pytest

from holdfast.adapters.memory.announcements import MemoryAnnouncements
from holdfast.adapters.memory.availability import MemoryAvailability
from holdfast.adapters.memory.maintenance import MemoryMaintenances
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.maintenance import PostgresMaintenances
from holdfast.adapters.postgres.reading import PostgresReadingStore
from holdfast.availability.model import Maintenance as Counted
from holdfast.availability.ports import ReadingStore
from holdfast.communication.directory import Directory
from holdfast.communication.errors import ChangedMeanwhile
from holdfast.communication.maintenance import (
    Changes,
    Decided,
    NewMaintenance,
    cancelled,
    changed,
    extended,
    finished,
    notice_of,
    planned,
    posted,
    started,
)
from holdfast.communication.model import ComponentState, Event, Maintenance, Notice, Place, Stage
from holdfast.communication.ports import MaintenanceStore
from holdfast.communication.series import NewSeries, Series, series_ended
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.journal import JournalEntry
from holdfast.kernel.windows import Window

if TYPE_CHECKING:
    from conftest import Database

MICROSECOND = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
API, WEB = 1, 2
DIRECTORY = Directory({API: Place("eu", "EU", "api", "API"), WEB: Place("eu", "EU", "web", "Website")}, {})
IDS = count(1)


def fresh() -> str:
    return f"{next(IDS):012d}"


@dataclass
class Stored:
    """A store, another one over the same storage, what availability reads, and what was announced."""

    store: MaintenanceStore
    another: MaintenanceStore
    reading: ReadingStore
    announced: Callable[[], Sequence[tuple[str, str]]]
    journalled: Callable[[], Sequence[str]]

    async def record(self, decided: Decided | None, store: MaintenanceStore | None = None) -> Maintenance:
        assert decided is not None
        now = await self.store.now()
        notices = (
            [] if decided.told is None else [notice_of(decided.maintenance, decided.told, DIRECTORY, now)]
        )
        entry = JournalEntry(now, "ann", decided.journalled, {"maintenance": decided.maintenance.id})
        return await (store or self.store).record(decided.maintenance, notices, entry)

    async def plan(
        self,
        start: timedelta,
        end: timedelta,
        *components: int,
        by_hand: bool = False,
        title: str = "Switches",
    ) -> Maintenance:
        """Planned by `ann`, that long from now."""
        now = await self.store.now()
        new = NewMaintenance(
            title,
            "New ones.",
            frozenset(components or (API,)),
            Window(now + start, now + end),
            starts_by_clock=not by_hand,
            remind=(HOUR,),
        )
        return await self.record(planned(new, DIRECTORY, fresh(), "ann", now))

    async def counted(self) -> list[Counted]:
        """What leaves counted time or did, of all times."""
        now = await self.store.now()
        return list(await self.reading.maintenance(Window(now - 90 * DAY, now + 90 * DAY)))

    async def excluded(self, component: int = API, notice: timedelta = timedelta()) -> list[Window]:
        return [each.window for each in await self.counted() if each.excludes(component, notice)]


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    """Where the stores keep what they are told: a database of their own, or nowhere but in memory."""
    if request.param == "memory":
        return None
    found: Database = request.getfixturevalue("migrated_database")
    with found.connect() as connection:
        for each, place in DIRECTORY.places.items():
            connection.execute(
                "INSERT INTO estate.component (id, cluster_key, key, name) OVERRIDING SYSTEM VALUE"
                " VALUES (%s, %s, %s, %s)",
                (each, place.cluster_key, place.key, place.name),
            )
    return found


@pytest.fixture
async def stored(database: "Database | None") -> AsyncIterator[Stored]:
    async with AsyncExitStack() as stack:
        if database is None:
            clock = RunningClock(datetime.now(UTC))
            announcements = MemoryAnnouncements()
            availability = MemoryAvailability({}, clock)
            memory = MemoryMaintenances(clock, announcements, availability)
            yield Stored(
                memory,
                memory,
                availability,
                lambda: [
                    (each.notice.event.value, each.notice.subject_id) for each in announcements.announced
                ],
                lambda: [each.event for each in memory.journal],
            )
            return
        site, one, another = [
            await stack.enter_async_context(open_pool(database.conninfo(role), "test"))
            for role in (Role.SITE, Role.CONTROLLER, Role.CONSOLE)
        ]

        def rows(statement: str) -> list[tuple[str, ...]]:
            with database.connect() as connection:
                return connection.execute(statement.encode()).fetchall()

        yield Stored(
            PostgresMaintenances(one),
            PostgresMaintenances(another),
            PostgresReadingStore(site),
            lambda: [
                (row[0], row[1])
                for row in rows("SELECT event, subject FROM communication.announcement ORDER BY at")
            ],
            lambda: [row[0] for row in rows("SELECT event FROM holdfast.journal ORDER BY id")],
        )


class RunningClock(ManualClock):
    """A moment later at every look, as a database's clock is."""

    def now(self) -> datetime:
        self.advance(0.001)
        return super().now()


def again(maintenance: Maintenance, title: str) -> Decided:
    """A change of the title, decided on this value."""
    now = datetime.now(UTC)
    decided = changed(maintenance, Changes(title=title), DIRECTORY, "bob", now)
    assert decided is not None
    return decided


# --- what is stored


async def test_what_was_planned_is_found_as_it_was_returned(stored: Stored) -> None:
    before = await stored.store.now()
    made = await stored.plan(DAY, DAY + HOUR, API, WEB)
    assert (made.version, made.stage, made.title, made.component_ids) == (
        1,
        Stage.SCHEDULED,
        "Switches",
        {API, WEB},
    )
    assert made.announced_at is not None
    assert before <= made.announced_at <= await stored.store.now(), "by the store's clock"
    assert await stored.another.maintenance(made.id) == made
    assert list(await stored.another.unfinished()) == [made]
    assert await stored.store.maintenance("nobodyhasit0") is None
    assert stored.announced() == [("maintenance.planned", made.id)]
    assert stored.journalled() == ["maintenance.planned"]


async def test_everything_that_was_said_and_changed_is_kept_in_order(stored: Stored) -> None:
    made = await stored.plan(DAY, DAY + HOUR)
    now = await stored.store.now()
    made = await stored.record(changed(made, Changes(title="New", remind=()), DIRECTORY, "bob", now))
    made = await stored.record(posted(made, "Soon.", Stage.SCHEDULED, fresh(), "bob", now))
    made = await stored.record(started(made, fresh(), "eve", made.window.start, by_clock=True))
    made = await stored.record(posted(made, "Looks good.", Stage.VERIFYING, fresh(), "eve", now))
    assert await stored.another.maintenance(made.id) == made
    assert [(each.field, each.before, each.after, each.actor) for each in made.changes] == [
        ("title", "Switches", "New", "bob"),
        ("remind", "1:00:00", "", "bob"),
    ]
    assert [(each.step, each.body, each.author) for each in made.updates] == [
        ("scheduled", "Soon.", "bob"),
        ("in_progress", "", "eve"),
        ("verifying", "Looks good.", "eve"),
    ]
    assert [dict(each.affected) for each in made.updates] == [
        {},
        {API: ComponentState.UNDER_MAINTENANCE},
        {API: ComponentState.UNDER_MAINTENANCE},
    ]
    assert all(each.recorded_at is not None for each in made.updates)
    assert (made.stage, made.version) == (Stage.VERIFYING, 5)


async def test_of_two_recorders_at_once_one_wins_and_nothing_of_the_other_is_left(stored: Stored) -> None:
    made = await stored.plan(DAY, DAY + HOUR)
    told, journalled = len(stored.announced()), len(stored.journalled())
    done = await asyncio.gather(
        stored.record(again(made, "one")),
        stored.record(again(made, "two"), stored.another),
        return_exceptions=True,
    )
    (winner,) = (each for each in done if isinstance(each, Maintenance))
    (loser,) = (each for each in done if not isinstance(each, Maintenance))
    assert isinstance(loser, ChangedMeanwhile)
    assert await stored.store.maintenance(made.id) == winner
    assert (winner.version, len(winner.changes)) == (2, 1)
    assert (len(stored.announced()), len(stored.journalled())) == (told + 1, journalled + 1)


async def test_an_id_is_planned_once(stored: Stored) -> None:
    made = await stored.plan(DAY, DAY + HOUR)
    twice = replace(made, version=0, title="Another")
    with pytest.raises(ChangedMeanwhile):
        await stored.record(Decided(twice, "maintenance.planned"))
    assert await stored.store.maintenance(made.id) == made
    assert len(await stored.counted()) == 1


async def test_maintenance_is_found_by_window_in_order(stored: Stored) -> None:
    later = await stored.plan(3 * DAY, 3 * DAY + HOUR)
    sooner = await stored.plan(DAY, DAY + HOUR)
    gone = await stored.plan(2 * DAY, 2 * DAY + HOUR)
    gone = await stored.record(cancelled(gone, "", fresh(), "ann", await stored.store.now()))
    now = await stored.store.now()

    async def found(start: timedelta, end: timedelta) -> list[Maintenance]:
        return list(await stored.store.maintenances(Window(now + start, now + end)))

    assert await found(-DAY, 9 * DAY) == [sooner, gone, later]
    assert await found(DAY + 30 * MINUTE, 2 * DAY - HOUR) == [sooner]
    assert await found(4 * DAY, 9 * DAY) == []
    assert await found(-9 * DAY, -DAY) == []
    assert list(await stored.store.unfinished()) == [sooner, later]


async def test_what_should_be_over_but_is_not_is_among_what_is_now(stored: Stored) -> None:
    made = await stored.plan(-2 * HOUR, HOUR)
    made = await stored.record(started(made, fresh(), "ann", made.window.start, by_clock=True))
    now = await stored.store.now()
    assert list(await stored.store.maintenances(Window(now + 5 * HOUR, now + 6 * HOUR))) == []
    assert list(await stored.store.maintenances(Window(now - MINUTE, now + MINUTE))) == [made]


async def test_a_notice_tells_what_was_stored(stored: Stored, database: "Database | None") -> None:
    made = await stored.plan(DAY, DAY + HOUR)
    if database is None:
        return  # the twin's notices are values: test_what_was_planned.. saw them
    with database.connect() as connection:
        ((told_at, notice, components),) = connection.execute(
            "SELECT told_at, notice, component_ids FROM communication.announcement"
        ).fetchall()
    assert told_at == made.announced_at
    assert (notice["maintenance"]["version"], notice["maintenance"]["announced_at"][:19]) == (
        1,
        told_at.isoformat()[:19],
    )
    assert components == [API]


async def test_a_change_wakes_the_sites_once_it_is_there(stored: Stored, database: "Database | None") -> None:
    if database is None:
        return  # nobody sleeps in memory
    connection = await psycopg.AsyncConnection.connect(autocommit=True, **database.conninfo().parameters)
    async with connection:
        await connection.execute("LISTEN holdfast_changed")
        made = await stored.plan(DAY, DAY + HOUR)
        async for notification in connection.notifies(timeout=60, stop_after=1):
            assert notification.payload == "maintenance"
            assert await stored.another.maintenance(made.id) == made
            return
    raise AssertionError("nothing was told")


# --- what counts


async def test_what_is_planned_counts_from_its_announcement(stored: Stored) -> None:
    made = await stored.plan(DAY, DAY + HOUR, API)
    (counted,) = await stored.counted()
    assert (counted.window, counted.component_ids, counted.title) == (made.window, {API}, "Switches")
    assert (counted.announced_at, counted.of) == (made.announced_at, made.id)
    assert counted.excludes(API, DAY - MINUTE)
    assert not counted.excludes(API, DAY + MINUTE)
    assert not counted.excludes(WEB, timedelta())


async def test_an_extension_counts_from_its_own_announcement(stored: Stored) -> None:
    made = await stored.plan(DAY, DAY + HOUR)
    longer = await stored.record(extended(made, made.window.end + HOUR, "ann", await stored.store.now()))
    first, added = await stored.counted()
    assert first.window == made.window
    assert added.window == Window(made.window.end, longer.window.end)
    assert first.announced_at < added.announced_at
    assert added.of == first.of == made.id
    assert await stored.excluded(notice=DAY) == [added.window], "announced 25 h before the time that it adds"


async def test_an_early_end_gives_the_rest_back(stored: Stored) -> None:
    made = await stored.plan(HOUR, 5 * HOUR)
    made = await stored.record(started(made, fresh(), "ann", made.window.start, by_clock=True))
    # Time cannot be let pass in a database: the start is moved to the past instead, by beginning it early.
    early = await stored.plan(HOUR, 5 * HOUR, WEB)
    early = await stored.record(started(early, fresh(), "ann", await stored.store.now()))
    over = await stored.record(finished(early, fresh(), "ann", await stored.store.now()))
    assert over.stage is Stage.COMPLETED
    assert over.began_at is not None
    assert over.ended_at is not None
    excluded = await stored.excluded(WEB)
    assert excluded == [Window(over.began_at, over.ended_at)]
    assert await stored.excluded(API) == [made.window]


async def test_an_early_start_is_announced_when_it_happens(stored: Stored) -> None:
    made = await stored.plan(HOUR, 2 * HOUR)
    begun = await stored.record(started(made, fresh(), "ann", await stored.store.now()))
    early, planned_time = await stored.counted()
    assert begun.began_at is not None
    assert early.window == Window(begun.began_at, made.window.start)
    assert early.announced_at == begun.began_at, "by one clock: not a moment of it was unannounced"
    assert early.excludes(API, timedelta())
    assert not early.excludes(API, MICROSECOND)
    assert planned_time.excludes(API, HOUR - MINUTE)


async def test_a_late_start_gives_the_time_before_back(stored: Stored, database: "Database | None") -> None:
    made = await stored.plan(-HOUR, HOUR, by_hand=True)
    announced_late = await stored.excluded()
    assert announced_late == [], "announced after its start"
    begun = await stored.record(started(made, fresh(), "ann", await stored.store.now()))
    (counted,) = await stored.counted()
    assert counted.window == Window(begun.began_at or made.window.start, made.window.end)
    assert counted.planned_start == made.window.start
    assert not counted.excludes(API, timedelta()), "beginning late is no notice"


async def test_what_somebody_has_to_start_takes_nothing_before(stored: Stored) -> None:
    made = await stored.plan(-HOUR, HOUR, by_hand=True)
    coming = await stored.plan(HOUR, 2 * HOUR, WEB, by_hand=True)
    now = await stored.store.now()
    waiting, later = await stored.counted()
    assert now < waiting.window.start <= now + 2 * MINUTE
    assert waiting.window.end == made.window.end
    assert later.window == coming.window
    past = Window(now - 2 * HOUR, now)
    assert list(await stored.reading.maintenance(past)) == []


async def test_one_that_is_cancelled_takes_nothing(stored: Stored) -> None:
    made = await stored.plan(DAY, DAY + HOUR)
    made = await stored.record(extended(made, made.window.end + HOUR, "ann", await stored.store.now()))
    gone = await stored.record(cancelled(made, "Not needed.", fresh(), "bob", await stored.store.now()))
    assert (gone.stage, gone.began_at, gone.ended_at) == (Stage.CANCELLED, None, None)
    assert await stored.excluded() == []
    assert all(each.cancelled_at is not None for each in await stored.counted())
    assert stored.announced()[-1] == ("maintenance.cancelled", made.id)


async def test_moved_work_keeps_the_notice_of_the_time_that_stays(stored: Stored) -> None:
    made = await stored.plan(10 * DAY, 10 * DAY + 2 * HOUR)
    moved = Window(made.window.start + HOUR, made.window.end + HOUR)
    made = await stored.record(
        changed(made, Changes(window=moved), DIRECTORY, "ann", await stored.store.now())
    )
    kept, added = await stored.counted()
    assert [kept.window, added.window] == [
        Window(moved.start, moved.end - HOUR),
        Window(moved.end - HOUR, moved.end),
    ]
    assert kept.announced_at == made.announced_at < added.announced_at
    away = Window(moved.start + DAY, moved.end + DAY)
    made = await stored.record(
        changed(made, Changes(window=away), DIRECTORY, "ann", await stored.store.now())
    )
    assert await stored.excluded() == [away]


async def test_components_come_and_go_each_with_their_own_notice(stored: Stored) -> None:
    made = await stored.plan(DAY, DAY + HOUR, API)
    for components in ({API, WEB}, {WEB}):
        change = Changes(component_ids=frozenset(components))
        made = await stored.record(changed(made, change, DIRECTORY, "ann", await stored.store.now()))
    assert made.component_ids == {WEB}
    assert await stored.excluded(API) == []
    assert await stored.excluded(WEB) == [made.window]
    (counted,) = [each for each in await stored.counted() if each.cancelled_at is None]
    assert made.announced_at is not None
    assert counted.announced_at > made.announced_at
    now = await stored.store.now()
    everything = Window(now, now + 9 * DAY)
    assert list(await stored.reading.maintenance(everything, [WEB])) == [counted]


async def test_what_counts_is_found_where_it_overlaps_and_told_whole(stored: Stored) -> None:
    now = await stored.store.now()
    both = await stored.plan(HOUR, 2 * HOUR, API, WEB, title="both")
    api = await stored.plan(3 * HOUR, 4 * HOUR, API, title="api")

    async def titles(start: datetime, end: datetime, components: list[int] | None = None) -> list[str]:
        return [each.title for each in await stored.reading.maintenance(Window(start, end), components)]

    assert await titles(now, now + DAY) == ["both", "api"]
    assert await titles(now, both.window.start) == await titles(both.window.end, api.window.start) == []
    assert await titles(both.window.start, both.window.start + MICROSECOND) == ["both"]
    assert await titles(both.window.end - MICROSECOND, api.window.start + MICROSECOND) == ["both", "api"]
    assert await titles(now, now + DAY, [WEB]) == ["both"]
    assert await titles(now, now + DAY, []) == []
    (found, _) = await stored.counted()
    assert found.component_ids == {API, WEB}


async def test_a_new_title_is_shown_where_it_counts(stored: Stored) -> None:
    made = await stored.plan(DAY, DAY + HOUR)
    await stored.record(again(made, "Quite another"))
    assert [each.title for each in await stored.counted()] == ["Quite another"]


async def test_an_end_beyond_now_is_no_end(stored: Stored) -> None:
    """The clock of who asks is ahead of the store's by an hour."""
    made = await stored.plan(HOUR, 5 * HOUR)
    made = await stored.record(started(made, fresh(), "ann", await stored.store.now()))
    ahead = await stored.store.now() + HOUR
    over = await stored.record(finished(made, fresh(), "ann", ahead))
    assert over.ended_at is not None
    assert over.ended_at <= await stored.store.now()


async def test_a_notice_cannot_be_dated_back(stored: Stored) -> None:
    now = await stored.store.now()
    new = NewMaintenance("Switches", "", frozenset({API}), Window(now + HOUR, now + 2 * HOUR))
    decided = planned(new, DIRECTORY, fresh(), "ann", now)
    long_ago = replace(decided.maintenance, announced_at=now - 30 * DAY)
    made = await stored.record(replace(decided, maintenance=long_ago))
    assert made.announced_at is not None
    assert made.announced_at >= now
    assert await stored.excluded(notice=HOUR + MINUTE) == []


# --- series


def series(now: datetime) -> Series:
    plan = NewSeries(
        "Patches", "Each week.", frozenset({API}), "FREQ=WEEKLY", "Europe/Berlin", now + DAY, HOUR
    )
    return Series(fresh(), plan, created_by="ann")


def entry(now: datetime) -> JournalEntry:
    return JournalEntry(now, "ann", "series.planned", {})


async def test_a_series_is_kept_changed_and_ended(stored: Stored) -> None:
    now = await stored.store.now()
    made = await stored.store.record_series(series(now), entry(now))
    assert (made.version, made.created_by) == (1, "ann")
    assert await stored.another.one_series(made.id) == made
    other = replace(made, plan=replace(made.plan, rule="FREQ=DAILY", remind=(DAY, HOUR), lasts=2 * HOUR))
    other = await stored.store.record_series(other, entry(now))
    assert (other.plan.rule, other.version) == ("FREQ=DAILY", 2)
    with pytest.raises(ChangedMeanwhile):
        await stored.another.record_series(made, entry(now))
    ended = await stored.store.record_series(series_ended(other, "bob", now), entry(now))
    assert ended.ended_at is not None
    assert (ended.ended_by, ended.is_over) == ("bob", True)
    assert list(await stored.another.all_series()) == [ended]
    assert await stored.store.one_series("nobodyhasit0") is None


async def test_a_place_in_a_series_is_taken_once(stored: Stored) -> None:
    now = await stored.store.now()
    weekly = await stored.store.record_series(series(now), entry(now))

    def one(at: datetime) -> Decided:
        new = NewMaintenance("Patches", "", frozenset({API}), Window(at, at + HOUR))
        decided = planned(new, DIRECTORY, fresh(), "ann", now)
        made = replace(decided.maintenance, series=weekly.id, occurs_at=at, series_version=1)
        return replace(decided, maintenance=made)

    done = await asyncio.gather(
        stored.record(one(now + DAY)),
        stored.record(one(now + DAY), stored.another),
        stored.record(one(now + 2 * DAY)),
        return_exceptions=True,
    )
    assert sorted(isinstance(each, Maintenance) for each in done) == [False, True, True]
    found = list(await stored.store.occurrences(weekly.id, now))
    assert [each.occurs_at for each in found] == [now + DAY, now + 2 * DAY]
    assert len(await stored.counted()) == 2

    gone = cancelled(found[0], "", fresh(), "ann", now)
    assert gone is not None
    freed = replace(gone, maintenance=replace(gone.maintenance, occurs_at=None))
    await stored.record(freed)
    assert [each.occurs_at for each in await stored.store.occurrences(weekly.id, now)] == [now + 2 * DAY]
    await stored.record(one(now + DAY))


async def test_notices_of_every_event_can_be_stored(stored: Stored) -> None:
    made = await stored.plan(DAY, DAY + HOUR)
    for event in (each for each in Event if each.value.startswith("maintenance.")):
        decided = Decided(made, "maintenance.changed", event)
        made = await stored.record(decided)
    assert [event for event, _ in stored.announced()][1:] == [
        each.value for each in Event if each.value.startswith("maintenance.")
    ]
    assert isinstance(notice_of(made, Event.MAINTENANCE_PLANNED, DIRECTORY, made.window.start), Notice)
