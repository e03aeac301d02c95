"""What controllers record, on PostgreSQL. Statements: `availability.sql`. Who reads it has `reading.py`."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, cast

import msgspec
import psycopg

from holdfast.adapters.postgres.connect import Connection, connect
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.errors import DatabaseAway, DatabaseError, database_errors
from holdfast.adapters.postgres.queries import Queries
from holdfast.availability.errors import TimelineError
from holdfast.availability.histogram import bucket_of
from holdfast.availability.model import (
    Result,
    State,
)
from holdfast.availability.ports import Batch, Resolution
from holdfast.availability.sharing import Present
from holdfast.availability.verdicts import CheckState, Shown
from holdfast.estate.model import Retention
from holdfast.kernel.windows import Window

SQL = Queries.beside(__file__)

CHANGED = "holdfast_changed"
"""The channel on which every committed change of a state is announced."""

FOLD_DELAY = timedelta(minutes=2)
"""A minute is folded once its slowest runs have ended. What arrives later is folded again."""
FOLD_AT_ONCE = {
    Resolution.MINUTE: timedelta(days=1),
    Resolution.HOUR: timedelta(days=1),
    Resolution.DAY: timedelta(days=30),
}
"""The longest stretch that one transaction folds, so that catching up never holds locks for long."""

ROLL_UP_TABLES = {
    Resolution.MINUTE: "rollup_minute",
    Resolution.HOUR: "rollup_hour",
    Resolution.DAY: "rollup_day",
}
_FOLDED_FROM = {
    Resolution.MINUTE: "result",
    Resolution.HOUR: "rollup_minute",
    Resolution.DAY: "rollup_hour",
}
_LONGEST_US = 2**31 - 1
_PARTITION_MONTHS = {"rollup_minute": 1, "rollup_hour": 12, "rollup_day": 12}


class PostgresMonitorStore:
    """LeasedStore over one connection that holds the lease of its share.

    Everything that a controller records goes through that connection: when it is gone, so is the lease, and
    whatever this controller still wanted to write fails instead of mixing with its successor's. Folding runs
    on connections of its own and needs no lease: it is repeatable, and folds lock each other out.
    """

    def __init__(self, conninfo: Conninfo, share: int = 0, shares: int = 1) -> None:
        """For the checks of one share: those whose id modulo `shares` is `share`."""
        self._conninfo = conninfo
        self._share = share
        self._shares = shares
        self._stack = AsyncExitStack()
        self._connection: Connection | None = None
        self._session: tuple[int, datetime] | None = None
        self._partitions: set[tuple[str, date]] = set()

    async def acquire(self) -> int | None:
        """Connect and take the lease; returns its epoch, or None while another controller holds it.

        Two epochs of one controller that differ by exactly 1 have no other controller between them.
        """
        await self.close()
        connection = await self._stack.enter_async_context(connect(self._conninfo, "controller"))
        with database_errors():
            if self._session is not None:
                await connection.execute(SQL.end_session, (*self._session, self._share))
            if await _value(connection, SQL.hold_lease, (self._share,)):
                cursor = await connection.execute(SQL.own_session)
                self._session = cast("tuple[int, datetime]", await cursor.fetchone())
                await connection.execute(SQL.notice_vanished_peer)
                self._connection = connection
                return int(await _value(connection, SQL.next_epoch, (self._share,)))
        await self.close()
        return None

    async def close(self) -> None:
        """Give up the lease and the connection. Nothing to do when there is none."""
        self._connection = None
        stack, self._stack = self._stack, AsyncExitStack()
        await stack.aclose()

    async def record(self, batch: Batch) -> None:
        if batch.is_empty:
            return
        connection = self._leased()
        try:
            with database_errors():
                await self._prepare_partitions(connection, batch.results)
                # The pipeline ends first, so that its errors roll the transaction back.
                async with connection.transaction(), connection.pipeline():
                    await write_batch(connection, batch)
        except DatabaseError as error:
            if _names_constraint(error, "timeline_only_grows"):
                raise TimelineError(str(error)) from error
            # A partition that was thought to be there may be what is missing.
            self._partitions.clear()
            raise

    async def check_states(self) -> Mapping[int, CheckState]:
        with database_errors():
            of_share = {"shares": self._shares, "share": self._share}
            cursor = await self._leased().execute(SQL.own_check_states, of_share)
            return {state.check_id: state for state in map(check_state_of, await cursor.fetchall())}

    async def roll_up(self, now: datetime) -> int:
        """See MonitorStore. Each stretch is a transaction of its own: an interruption loses no progress."""
        written = 0
        async with connect(self._conninfo, "controller roll-up") as connection:
            closed = now - FOLD_DELAY
            for resolution in Resolution:
                until = _binned(closed, resolution.length)
                written += await _fold(connection, resolution, until)
                closed = until
        return written

    async def keep_partitions(self, now: datetime, retention: Retention) -> None:
        async with connect(self._conninfo, "controller partitions") as connection:
            for day in range(3):
                await self._make(connection, "result", (now + timedelta(days=day)).astimezone(UTC))
            for table in _PARTITION_MONTHS:
                for ahead in (timedelta(), timedelta(days=7)):
                    await self._make(connection, table, now + ahead)
            kept = {
                "result": retention.results,
                "rollup_minute": retention.minutes,
                "rollup_hour": retention.hours,
                "rollup_day": retention.days,
            }
            for table, age in kept.items():
                # A reader holds a partition for milliseconds; if longer, the next round drops it.
                async with connection.transaction():
                    await connection.execute("SET LOCAL lock_timeout = '2s'")
                    await connection.execute(SQL.drop_partitions, (table, now - age))
            self._partitions.clear()

    async def _prepare_partitions(self, connection: Connection, results: Sequence[Result]) -> None:
        """Make the partition of every day that the results fall on, also where a clock went astray."""
        for at in {result.at.astimezone(UTC).date(): result.at for result in results}.values():
            await self._make(connection, "result", at.astimezone(UTC))

    async def _make(self, connection: Connection, table: str, at: datetime) -> None:
        start, end = partition_bounds(table, at)
        if (table, start.date()) not in self._partitions:
            await connection.execute(SQL.make_partition, (table, start, end))
            self._partitions.add((table, start.date()))

    def _leased(self) -> Connection:
        if self._connection is None or self._connection.closed:
            raise DatabaseAway("the lease's connection is gone", hint="it is taken again by itself")
        return self._connection


def _names_constraint(error: DatabaseError, name: str) -> bool:
    return isinstance(error.__cause__, psycopg.Error) and error.__cause__.diag.constraint_name == name


class PostgresMembership:
    """Membership by a shared lock that every living controller's connection holds."""

    def __init__(self, conninfo: Conninfo) -> None:
        self._conninfo = conninfo
        self._stack = AsyncExitStack()
        self._connection: Connection | None = None

    async def present(self) -> Present:
        if self._connection is None or self._connection.closed:
            await self.close()
            self._connection = await self._stack.enter_async_context(connect(self._conninfo, "membership"))
            with database_errors():
                await self._connection.execute(SQL.notice_vanished_peer)
                await self._connection.execute(SQL.be_present)
        with database_errors():
            rows = await (await self._connection.execute(SQL.present)).fetchall()
        return Present([pid for pid, _ in rows], next(pid for pid, me in rows if me))

    async def close(self) -> None:
        self._connection = None
        stack, self._stack = self._stack, AsyncExitStack()
        await stack.aclose()


def partition_bounds(table: str, at: datetime) -> tuple[datetime, datetime]:
    """The UTC bounds of the partition of `table` that holds `at`: a day, a month or a year."""
    months = _PARTITION_MONTHS.get(table)
    at = at.astimezone(UTC)
    if months is None:
        start = datetime.combine(at.date(), time.min, tzinfo=UTC)
        return start, start + timedelta(days=1)
    month = at.month if months == 1 else 1
    start = datetime(at.year, month, 1, tzinfo=UTC)
    following = month + months
    return start, datetime(at.year + (following - 1) // 12, (following - 1) % 12 + 1, 1, tzinfo=UTC)


async def write_batch(connection: Connection, batch: Batch) -> None:
    """Write all of `batch`, inside the transaction that is open. Its partitions are there already."""
    if batch.results:
        oldest = {"at": min(result.at for result in batch.results)}
        await connection.execute(SQL.lock_folds, oldest)
        await connection.execute(SQL.fold_again_from, oldest)
        await connection.execute(SQL.record_results, _result_columns(batch.results))
    for t in batch.transitions:
        await connection.execute(SQL.record_transition, (t.check_id, t.at, int(t.state), t.reason, t.sample))
    if batch.states:
        newest = {state.check_id: state for state in batch.states}
        await connection.execute(SQL.keep_states, _state_columns(list(newest.values())))
    if batch.transitions:
        await connection.execute(SQL.announce_change, ("transition",))


def _result_columns(results: Sequence[Result]) -> list[object]:
    timings = [result.timings for result in results]
    return [
        _numbers(result.check_id for result in results),
        _times(result.at for result in results),
        _numbers(int(result.outcome) for result in results),
        _numbers(result.attempts for result in results),
        _numbers(bucket_of(timing.total_us) for timing in timings),
        _numbers(_micros(timing.total_us) for timing in timings),
        _numbers(_micros(timing.resolve_us) for timing in timings),
        _numbers(_micros(timing.connect_us) for timing in timings),
        _numbers(_micros(timing.tls_us) for timing in timings),
        _numbers(_micros(timing.first_byte_us) for timing in timings),
        [result.reason for result in results],
    ]


# Arrays in PostgreSQL's own notation. The driver asks of each value of a list how it is to be quoted, which
# takes it several times as long; of what these hold nothing is.


def _numbers(values: Iterable[int | None]) -> str:
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def _times(values: Iterable[datetime]) -> str:
    return "{" + ",".join([value.isoformat() for value in values]) + "}"


def _micros(spent: int | None) -> int | None:
    """As the column holds it. Nobody asks for the microseconds of a run that took longer than 35 minutes."""
    return None if spent is None else min(spent, _LONGEST_US)


class _Memory(msgspec.Struct, frozen=True):
    """What a check's state remembers beyond its columns."""

    pending: tuple[tuple[datetime, int, str], ...] = ()
    failures: tuple[datetime, ...] = ()


_memory_of = msgspec.json.Encoder().encode


def _state_columns(states: Sequence[CheckState]) -> list[object]:
    return [
        _numbers(state.check_id for state in states),
        _numbers(int(state.state) for state in states),
        _times(state.since for state in states),
        _times(state.heard_at for state in states),
        _times(state.known_until for state in states),
        _times(state.silent_after for state in states),
        [state.reason for state in states],
        [_memory(state) for state in states],
    ]


def _memory(state: CheckState) -> str:
    if not (state.pending or state.failures):
        return "{}"
    pending = tuple((shown.at, int(shown.state), shown.reason) for shown in state.pending)
    return _memory_of(_Memory(pending, state.failures)).decode()


def check_state_of(row: tuple[Any, ...]) -> CheckState:
    """A row as the `check_states` queries select it."""
    check_id, state, since, heard_at, known_until, silent_after, reason, memory = row
    remembered = msgspec.convert(memory, _Memory)
    pending = tuple(Shown(at, State(shown), why) for at, shown, why in remembered.pending)
    return CheckState(
        check_id,
        State(state),
        since,
        heard_at,
        known_until,
        silent_after,
        reason,
        pending,
        remembered.failures,
    )


async def _fold(connection: Connection, resolution: Resolution, until: datetime) -> int:
    """Fold stretch by stretch up to `until`; returns the rows written."""
    written = 0
    while True:
        async with connection.transaction():
            start = await _value(connection, SQL.folded_until, (resolution.name.lower(),))
            if start is None:
                start = await _first_to_fold(connection, resolution)
            if start is None or start >= until:
                return written
            # A clock that went years astray left years without results.
            following = await _value(connection, SQL.next_partition, (_FOLDED_FROM[resolution], start))
            start = min(until, max(start, following or until))
            end = min(until, start + FOLD_AT_ONCE[resolution])
            await _make_roll_up_partitions(connection, resolution, Window(start, end))
            cursor = await connection.execute(*_fold_statement(resolution, start, end))
            written += cursor.rowcount
            await connection.execute(SQL.set_folded, {"resolution": resolution.name.lower(), "until": end})


def _fold_statement(resolution: Resolution, start: datetime, end: datetime) -> tuple[Any, dict[str, Any]]:
    parameters: dict[str, Any] = {"start": start, "end": end, "step": resolution.length}
    if resolution is Resolution.MINUTE:
        return SQL.fold_minutes, parameters
    if resolution is Resolution.HOUR:
        return SQL.fold_coarser, parameters
    statement = SQL.fold_coarser.replace("rollup_hour", "rollup_day").replace("rollup_minute", "rollup_hour")
    return statement, parameters


async def _first_to_fold(connection: Connection, resolution: Resolution) -> datetime | None:
    oldest = await _value(connection, SQL.oldest_result)
    return None if oldest is None else _binned(oldest, resolution.length)


async def _make_roll_up_partitions(connection: Connection, resolution: Resolution, window: Window) -> None:
    table, at = ROLL_UP_TABLES[resolution], window.start
    while at < window.end:
        start, end = partition_bounds(table, at)
        await connection.execute(SQL.make_partition, (table, start, end))
        at = end


def _binned(at: datetime, length: timedelta) -> datetime:
    origin = datetime(2000, 1, 1, tzinfo=UTC)
    return origin + (at - origin) // length * length


async def _value(connection: Connection, statement: str, parameters: Sequence[object] = ()) -> Any:
    cursor = await connection.execute(cast("Any", statement), parameters)
    row = await cursor.fetchone()
    return None if row is None else row[0]
