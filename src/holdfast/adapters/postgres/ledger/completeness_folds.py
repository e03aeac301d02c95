"""What completeness derives from the logs, on PostgreSQL: where sources stand, and metered devices' jobs.

The statements: `completeness_folds.sql`; the tables: migration 0015.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.ledger.following import advanced
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.ledger.append.sequences import Numbers
from holdfast.ledger.canonical import entry_of
from holdfast.ledger.completeness.meters import Job, jobs_of
from holdfast.ledger.completeness.missing import Arrived, Book, ClockMarked, Standing, arrivals, clocks
from holdfast.ledger.errors import EntriesPruned
from holdfast.ledger.following import MOST_LEAVES, FollowedLog, Following, GrowthRead
from holdfast.ledger.model import Conflict, Gap, Record
from holdfast.ledger.ports import LogStore
from holdfast.ledger.reports.rollups import CLOCK_AHEAD, named_by


class FoldQueries(Queries):
    standings: Query
    gaps: Query
    keep_standings: Query
    forget_gaps: Query
    keep_gaps: Query
    clocks: Query
    keep_clock: Query
    runs: Query
    metered_devices: Query
    to_meter: Query
    came_since: Query
    hold_position: Query
    forget_metered: Query
    keep_metered_device: Query
    corrected: Query
    keep_metered: Query


SQL = FoldQueries.beside(__file__)
METERS = "meters"

Key = tuple[str, int]


class CompletenessFold:
    """Fold: where each source stands, its gaps, and whose clock is off."""

    name = "completeness"

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def fold(self, log: FollowedLog, growths: Sequence[GrowthRead]) -> None:
        async with borrowed(self._pool) as connection, connection.transaction():
            await advanced(connection, self.name, log.id, growths)
            arrived = [
                await _of_runs(connection, log.id, growth) if growth.pruned else arrivals(growth.entries)
                for growth in growths
            ]
            books, stored = await _books(connection, log.tenant, arrived)
            for growth, came in zip(growths, arrived, strict=True):
                for key, each in came.items():
                    books[key].take(each, growth.received_at)
            await _keep_books(connection, log.tenant, books.values(), stored)
            await _fold_clocks(connection, log.tenant, growths)


async def _of_runs(connection: Connection, log_id: int, growth: GrowthRead) -> dict[Key, Arrived]:
    """What came in a growth whose entries retention took: its numbers are kept for ever."""
    span = {"log_id": log_id, "from_size": growth.from_size, "to_size": growth.to_size}
    found = dict[Key, Arrived]()
    for source, epoch, first, last, leaf in await _rows(connection, SQL.runs, **span):
        each = found.setdefault((source, epoch), Arrived())
        each.numbers.add(first, last)
        each.entries += last - first + 1
        each.leaf = leaf + last - first
    return found


async def _books(
    connection: Connection, tenant: str, arrived: Sequence[Mapping[Key, Arrived]]
) -> tuple[dict[Key, Book], set[Gap]]:
    """By (source, epoch), how it stood; with the stored gaps that something may have arrived for."""
    together = dict[Key, Numbers]()
    for came in arrived:
        for key, each in came.items():
            numbers = together.setdefault(key, Numbers())
            for first, last in each.numbers.ranges:
                numbers.add(first, last)
    books = {key: Book(*key) for key in together}
    keys = list(together)
    given = {"tenant": tenant, "sources": [key[0] for key in keys], "epochs": [key[1] for key in keys]}
    for row in await _rows(connection, SQL.standings, **given):
        books[row[0], row[1]].standing = Standing(*row)
    ranges = [(*key, first, last) for key, numbers in together.items() for first, last in numbers.ranges]
    names = ("sources", "epochs", "firsts", "lasts")
    columns = dict(zip(names, map(list, zip(*ranges, strict=True)), strict=True)) if ranges else {}
    stored = (
        [Gap(*row) for row in await _rows(connection, SQL.gaps, tenant=tenant, **columns)] if ranges else []
    )
    for gap in stored:
        books[gap.source, gap.epoch].gaps.append(gap)
    return books, set(stored)


async def _keep_books(connection: Connection, tenant: str, books: Iterable[Book], stored: set[Gap]) -> None:
    stand = [book.standing for book in books if book.standing]
    if stand:
        await connection.execute(
            SQL.keep_standings,
            {
                "tenant": tenant,
                "sources": [each.source for each in stand],
                "epochs": [each.epoch for each in stand],
                "lowests": [each.lowest for each in stand],
                "highests": [each.highest for each in stand],
                "entries": [each.entries for each in stand],
                "leaves": [each.leaf for each in stand],
                "received": [each.received_at for each in stand],
                "occurred": [each.occurred_at for each in stand],
            },
        )
    left = {gap for book in books for gap in book.gaps}
    if gone := stored - left:
        await connection.execute(SQL.forget_gaps, _gap_columns(tenant, gone))
    if new := left - stored:
        more = {"lasts": [gap.last for gap in new], "since": [gap.since for gap in new]}
        await connection.execute(SQL.keep_gaps, _gap_columns(tenant, new) | more)


def _gap_columns(tenant: str, gaps: Iterable[Gap]) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "sources": [gap.source for gap in gaps],
        "epochs": [gap.epoch for gap in gaps],
        "firsts": [gap.first for gap in gaps],
    }


async def _fold_clocks(connection: Connection, tenant: str, growths: Sequence[GrowthRead]) -> None:
    rows = [ClockMarked(*row) for row in await _rows(connection, SQL.clocks, tenant=tenant)]
    known = {(each.source, each.device): each for each in rows}
    changed = dict[tuple[str, str], ClockMarked]()
    for growth in growths:
        changed |= clocks(growth.entries, growth.received_at, known | changed)
    for each in changed.values():
        names = (
            "source",
            "device",
            "marked",
            "first_leaf",
            "last_leaf",
            "since",
            "last_at",
            "off",
            "right_leaf",
        )
        columns = {name: getattr(each, name) for name in names}
        await connection.execute(SQL.keep_clock, {"tenant": tenant, **columns})


class MetersFold:
    """Fold: the jobs of devices whose counters are read."""

    name = METERS

    def __init__(self, pool: Pool, following: Following, logs: LogStore) -> None:
        """`logs` has the entries that corrections name."""
        self._pool = pool
        self._following = following
        self._logs = logs

    async def fold(self, log: FollowedLog, growths: Sequence[GrowthRead]) -> None:
        await metered_anew(self._pool, self._following, self._logs, log)
        named = await _named(self._logs, log.id, growths)
        async with borrowed(self._pool) as connection, connection.transaction():
            await advanced(connection, self.name, log.id, growths)
            # Whoever adds a device waits for this position; so those that are there now are all there are.
            devices = dict(await _rows(connection, SQL.metered_devices, tenant=log.tenant))
            if devices:
                corrected = await _corrected(connection, log.tenant, named)
                jobs = [job for each in growths for job in jobs_of(each.entries, devices, named, corrected)]
                await _keep_jobs(connection, log.tenant, jobs)


async def metered_anew(pool: Pool, following: Following, logs: LogStore, log: FollowedLog) -> int:
    """Collect the jobs of devices that have readings since when they were not, as far as the fold has come.

    How many devices. A log in which the fold has not begun has none yet.
    """
    async with borrowed(pool) as connection:
        devices: dict[str, datetime] = dict(await _rows(connection, SQL.to_meter, tenant=log.tenant))
        held = {"fold": METERS, "log_id": log.id}
        rows = await _rows(connection, SQL.hold_position, **held) if devices else []
        if not rows:
            return 0
        since = min(devices.values()) - CLOCK_AHEAD  # a clock that is ahead dates jobs after their coming in
        given = {"log_id": log.id, "since": since, "position": rows[0][0]}
        [(start,)] = await _rows(connection, SQL.came_since, **given)
    # The long part without a lock; what is folded meanwhile, with the position held.
    corrected = dict[int, int]()
    jobs, gone = await _collected(following, logs, log, start, rows[0][0], devices, corrected)
    async with borrowed(pool) as connection, connection.transaction():
        [(position,)] = await _rows(connection, SQL.hold_position, **held)
        late, _ = await _collected(following, logs, log, rows[0][0], position, devices, corrected)
        jobs += late
        await connection.execute(SQL.forget_metered, {"tenant": log.tenant, "devices": list(devices)})
        for device, wanted in sorted(devices.items()):
            # Of what retention took nobody can say what it would add up to.
            from_ = wanted if gone is None else max(wanted, gone)
            await connection.execute(
                SQL.keep_metered_device, {"tenant": log.tenant, "device": device, "since": from_}
            )
        await _keep_jobs(connection, log.tenant, jobs)
    return len(devices)


async def _collected(
    following: Following,
    logs: LogStore,
    log: FollowedLog,
    start: int,
    end: int,
    devices: Mapping[str, datetime],
    corrected: dict[int, int],
) -> tuple[list[Job], datetime | None]:
    """The devices' jobs among the leaves [start, end), which are whole growths; and up to when entries came
    in that retention took, None where it took none.
    """
    found, gone = list[Job](), None
    while start < end:
        growths = await following.growths(log.id, start, MOST_LEAVES)
        growths = [growth for growth in growths if growth.to_size <= end]
        if not growths:
            break
        named = await _named(logs, log.id, growths)
        for growth in growths:
            found += jobs_of(growth.entries, devices, named, corrected)
            gone = growth.received_at if growth.pruned else gone
        start = growths[-1].to_size
    return found, gone


async def _named(logs: LogStore, log_id: int, growths: Sequence[GrowthRead]) -> dict[int, Record | Conflict]:
    """The leaves that corrections name; without those that retention took, or that are not there yet."""
    here = {leaf: entry for growth in growths for leaf, entry in growth.entries}
    found = dict[int, Record | Conflict]()
    for leaf in {leaf for growth in growths for leaf in named_by(growth.entries)}:
        if leaf in here:
            found[leaf] = here[leaf]
        elif leaf < growths[0].from_size:
            try:
                found[leaf] = entry_of((await logs.entries(log_id, leaf, 1))[0])
            except EntriesPruned:
                continue
    return found


async def _corrected(connection: Connection, tenant: str, named: Iterable[int]) -> dict[int, int]:
    leaves = list(named)
    return dict(await _rows(connection, SQL.corrected, tenant=tenant, leaves=leaves)) if leaves else {}


async def _keep_jobs(connection: Connection, tenant: str, jobs: Sequence[Job]) -> None:
    if not jobs:
        return
    columns: dict[str, list[Any]] = {
        "devices": [job.device for job in jobs],
        "occurred": [job.occurred_at for job in jobs],
        "leaves": [job.leaf for job in jobs],
        "signs": [job.sign for job in jobs],
        "corrects": [job.corrects for job in jobs],
    }
    for name in ("sheets", "mono", "colour", "scan_pages", "fax_pages"):
        columns[name] = [getattr(job.quantities, name) for job in jobs]
    await connection.execute(SQL.keep_metered, {"tenant": tenant, **columns})


async def _rows(connection: Connection, query: Query, **given: Any) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query, given)).fetchall()
