"""The sums that are folded out of the logs, on PostgreSQL. The statements: `rollups.sql`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, LiteralString
from zoneinfo import ZoneInfo

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.ledger.following import advanced
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.ledger.following import FollowedLog, GrowthRead
from holdfast.ledger.model import Kind
from holdfast.ledger.reports.folding import ROLL_UPS
from holdfast.ledger.reports.rollups import Folded, Sums

KINDS = {Kind.PRINT: 0, Kind.SCAN: 1, Kind.COPY: 2, Kind.FAX: 3}
"""Their numbers in the tables."""
DEVICE, USER, COST_CENTRE = 1, 2, 3
"""The dimensions' numbers; 0 is none."""
MOST_KNOWN = 500_000
"""Members whose ids are remembered. Beyond that all are forgotten, and asked for again."""

WORKING_MEMORY: LiteralString = "SET LOCAL work_mem TO '64MB'"
"""Fifty thousand records are summed up without a file on disk."""

KEY = ("day", "person", "device", "cost_centre")

Name = tuple[int, str]
"""A dimension and a name in it."""


class RollUpQueries(Queries):
    book: Query
    open_book: Query
    settled: Query
    trusted: Query
    members: Query
    add_members: Query
    add_sums: Query
    add_papers: Query
    keep_corrected: Query
    keep_void: Query
    touch: Query


SQL = RollUpQueries.beside(__file__)


class Members:
    """The ids of devices, users and cost centres, by log. An id is given once; so it may be remembered."""

    def __init__(self) -> None:
        self._ids: dict[int, dict[Name, int]] = {}
        self._count = 0

    def remember(self, log_id: int, ids: Mapping[Name, int]) -> None:
        """To be called once the transaction that may have given them has been committed."""
        if self._count > MOST_KNOWN:
            self._ids.clear()
            self._count = 0
        known = self._ids.setdefault(log_id, {})
        self._count -= len(known)
        known.update(ids)
        self._count += len(known)

    async def of(self, connection: Connection, log_id: int, names: AbstractSet[Name]) -> dict[Name, int]:
        """Of all of these. Those that are not remembered are read, or given, in the open transaction."""
        known = self._ids.get(log_id, {})
        found = {name: known[name] for name in names if name in known}
        missing = sorted(names - found.keys())
        for query in (SQL.members, SQL.add_members, SQL.members):
            if missing:
                dimensions, texts = zip(*missing, strict=True)
                given = {"log_id": log_id, "dimensions": list(dimensions), "names": list(texts)}
                rows = await (await connection.execute(query, given)).fetchall()
                found |= {(dimension, name): id_ for dimension, name, id_ in rows}
                missing = [name for name in missing if name not in found]
        return found


class PostgresRollUps:
    """RollUpStore over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._members = Members()

    @asynccontextmanager
    async def folding(self, log: FollowedLog, growths: Sequence[GrowthRead]) -> AsyncIterator["PostgresBook"]:
        async with borrowed(self._pool) as connection:
            async with connection.transaction():
                # What a crash takes of it is folded again: the position is lost with it.
                await connection.execute("SET LOCAL synchronous_commit TO off")
                await connection.execute(WORKING_MEMORY)
                # Whoever compares the sums holds them longer than others should wait.
                await connection.execute("SET LOCAL lock_timeout TO '2s'")
                await advanced(connection, ROLL_UPS, log.id, growths)
                book = PostgresBook(connection, self._members, log.id, *await _in_force(connection, log))
                yield book
            self._members.remember(log.id, book.used)


async def _in_force(connection: Connection, log: FollowedLog) -> tuple[int, ZoneInfo]:
    """The book and its zone; the tenant's, where it is opened now."""
    found = await (await connection.execute(SQL.book, {"log_id": log.id})).fetchone()
    if found is None:
        zone = log.zone
        return await opened(connection, log, in_force=True), zone
    return found[0], ZoneInfo(found[1])


async def opened(connection: Connection, log: FollowedLog, *, in_force: bool) -> int:
    """A new book's id."""
    given = {"log_id": log.id, "time_zone": log.time_zone, "in_force": in_force}
    rows = await (await connection.execute(SQL.open_book, given)).fetchall()
    return int(rows[0][0])


@dataclass
class PostgresBook:
    """Book in a transaction that others have begun and will end."""

    connection: Connection
    members: Members
    log_id: int
    id: int
    zone: ZoneInfo
    former: int | None = None
    """The book whose place it is to take: what it knows of leaves that can be read no more is trusted."""
    finest_only: bool = False
    """What is summed up from the finest is left out: it is made at the end, in one go."""
    used: dict[Name, int] = field(default_factory=dict)
    """The members' ids that were needed on the way."""

    async def settled(self, leaves: AbstractSet[int]) -> AbstractSet[int]:
        given = {"book": self.id, "leaves": list(leaves)}
        rows = await (await self.connection.execute(SQL.settled, given)).fetchall()
        return {leaf for (leaf,) in rows}

    async def trusted(self, leaves: AbstractSet[int]) -> Mapping[int, int]:
        if self.former is None:
            return {}
        given = {"book": self.former, "leaves": list(leaves)}
        return dict(await (await self.connection.execute(SQL.trusted, given)).fetchall())

    async def keep(self, folded: Folded) -> None:
        names = set[Name]()
        for cell in folded.sums:
            names |= {(DEVICE, cell.device), (USER, cell.user), (COST_CENTRE, cell.cost_centre)}
        for paper in folded.sheets:
            names |= {(DEVICE, paper.device), (USER, paper.user), (COST_CENTRE, paper.cost_centre)}
        ids = self.used = await self.members.of(self.connection, self.log_id, names)
        if folded.sums:
            keyed = [
                (
                    *(cell.day, ids[USER, cell.user], ids[DEVICE, cell.device]),
                    *(ids[COST_CENTRE, cell.cost_centre], KINDS[cell.kind], cell.currency, *sums),
                )
                for cell, sums in folded.sums.items()
            ]
            await self._execute(SQL.add_sums, **_columns((*KEY, "kind", "currency", *Sums._fields), keyed))
        if folded.sheets:
            papers = [
                (
                    *(paper.day, ids[USER, paper.user], ids[DEVICE, paper.device]),
                    *(ids[COST_CENTRE, paper.cost_centre], paper.format, sheets),
                )
                for paper, sheets in folded.sheets.items()
            ]
            await self._execute(SQL.add_papers, **_columns((*KEY, "format", "sheets"), papers))
        if corrected := folded.corrected:
            await self._execute(
                SQL.keep_corrected, leaves=list(corrected), by_leaves=list(corrected.values())
            )
        if folded.void:
            await self._execute(SQL.keep_void, leaves=folded.void)
        if touched := folded.touched:
            await self._execute(SQL.touch, days=list(touched), leaves=list(touched.values()))

    async def _execute(self, query: Query, **given: Any) -> None:
        await self.connection.execute(query, {"book": self.id, "finest_only": self.finest_only, **given})


def _columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    return dict(zip(names, map(list, zip(*sorted(rows), strict=True)), strict=True))
