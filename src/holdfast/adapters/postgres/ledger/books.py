"""Sums made anew beside those in force, on PostgreSQL. The statements: `books.sql`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from zoneinfo import ZoneInfo

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.ledger.rollups import WORKING_MEMORY, Members, PostgresBook, opened
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.errors import NotThere, Overtaken
from holdfast.ledger.following import FollowedLog, GrowthRead
from holdfast.ledger.reports.rebuilding import MOST_TOLD, Compared

SQL = Queries.beside(__file__)

_TAKING = (
    SQL["drop_lost_cells"],
    SQL["drop_lost_papers"],
    SQL["take_cells"],
    SQL["take_papers"],
    SQL["take_touched"],
    SQL["add_months"],
)
"""Days that cannot be made anew are the same in both, and then the cells are whole."""
_DIFFERENCES = (
    SQL["cells_differ"],
    SQL["sums_differ"],
    SQL["papers_differ"],
    SQL["corrections_differ"],
)
_TAKING_OVER = (
    *_TAKING,
    SQL["add_sums"],
    SQL["add_coarser_papers"],
    SQL["retire"],
    SQL["enforce"],
)
_FORGETTING = (
    SQL["forget_cells"],
    SQL["forget_sums"],
    SQL["forget_papers"],
    SQL["forget_corrected"],
    SQL["forget_void"],
    SQL["forget_touched"],
    SQL["forget_book"],
)


class PostgresBooks:
    """Books over a pool, of which it takes up to three connections at once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def other_zones(self) -> Sequence[int]:
        async with borrowed(self._pool) as connection:
            return [log_id for (log_id,) in await _rows(connection, SQL["other_zones"])]

    @asynccontextmanager
    async def anew(self, log: FollowedLog) -> AsyncIterator["PostgresFresh"]:
        async with borrowed(self._pool) as holding:
            [[locked]] = await _rows(holding, SQL["lock"], log_id=log.id)
            if not locked:
                raise Overtaken(
                    f"somebody else makes the sums of {log.tenant!r} anew",
                    hint="try again when they are done",
                )
            try:
                await self._forget_unfinished(log.id)
                yield await self._begun(holding, log)
            finally:
                # Without a connection the lock is gone already, and the next one tidies up.
                with suppress(HoldfastError):
                    await self._forget_unfinished(log.id)
                    await holding.execute(SQL["unlock"], {"log_id": log.id})

    async def _begun(self, holding: Connection, log: FollowedLog) -> "PostgresFresh":
        async with borrowed(self._pool) as connection, connection.transaction():
            rows = await _rows(connection, SQL["in_force"], log_id=log.id)
            if not rows:
                raise NotThere(
                    f"nothing of {log.tenant!r} has been summed up yet", hint="the follower does it"
                )
            [[former]] = rows
            [[pruned]] = await _rows(connection, SQL["pruned"], log_id=log.id)
            book = await opened(connection, log, in_force=False)
            for query in (SQL["trust_corrected"], SQL["trust_void"]):
                await connection.execute(query, {"book": book, "former": former, "pruned": pruned})
        return PostgresFresh(self._pool, holding, log, book, former)

    async def _forget_unfinished(self, log_id: int) -> None:
        async with borrowed(self._pool) as connection:
            for (book,) in await _rows(connection, SQL["unfinished"], log_id=log_id):
                async with connection.transaction():
                    await _at_leisure(connection)
                    for query in _FORGETTING:
                        await connection.execute(query, {"book": book})


class PostgresFresh:
    """Fresh sums: the book `book`, beside the one in force, `former`."""

    def __init__(self, pool: Pool, holding: Connection, log: FollowedLog, book: int, former: int) -> None:
        self.position = 0
        self._pool = pool
        self._holding = holding
        self._log = log
        self._book = book
        self._former = former
        self._members = Members()

    async def target(self) -> int:
        async with borrowed(self._pool) as connection:
            return int((await _rows(connection, SQL["position"], log_id=self._log.id))[0][0])

    async def pruned(self) -> int:
        async with borrowed(self._pool) as connection:
            return int((await _rows(connection, SQL["pruned"], log_id=self._log.id))[0][0])

    @asynccontextmanager
    async def folding(self, growths: Sequence[GrowthRead]) -> AsyncIterator[PostgresBook]:
        span = {"book": self._book, "from_size": growths[0].from_size, "to_size": growths[-1].to_size}
        async with borrowed(self._pool) as connection:
            async with connection.transaction():
                await connection.execute("SET LOCAL synchronous_commit TO off")
                await connection.execute(WORKING_MEMORY)
                if not await _rows(connection, SQL["advance"], **span):
                    raise Overtaken("these sums are made by somebody else as well")
                book = PostgresBook(
                    connection,
                    self._members,
                    self._log.id,
                    self._book,
                    ZoneInfo(self._log.time_zone),
                    former=self._former,
                    finest_only=True,
                )
                yield book
            self._members.remember(self._log.id, book.used)
        self.position = growths[-1].to_size

    @asynccontextmanager
    async def held(self) -> AsyncIterator[int]:
        async with self._holding.transaction():
            await _at_leisure(self._holding)
            yield int((await _rows(self._holding, SQL["hold"], log_id=self._log.id))[0][0])

    async def compare(self) -> Compared:
        async with borrowed(self._pool) as connection, connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            await _at_leisure(connection)
            [[pruned]] = await _rows(connection, SQL["pruned"], log_id=self._log.id)
            which = {"book": self._book, "former": self._former, "pruned": pruned}
            [[days, lost]] = await _rows(connection, SQL["days"], **which)
            for query in _TAKING:
                await connection.execute(query, which)
            told, count = list[str](), 0
            for query in _DIFFERENCES:
                rows = await _rows(connection, query, **which, most=MOST_TOLD)
                count += rows[0][3] if rows else 0
                told += [
                    f"{where}: {kept or 'nothing'}, and of the log {made or 'nothing'}"
                    for where, kept, made, _ in rows
                ]
        return Compared(self._log.tenant, self.position, days - lost, lost, told[:MOST_TOLD], count)

    async def take_over(self) -> None:
        [[pruned]] = await _rows(self._holding, SQL["pruned"], log_id=self._log.id)
        which = {"book": self._book, "former": self._former, "pruned": pruned}
        for query in _TAKING_OVER:
            await self._holding.execute(query, which)


async def _at_leisure(connection: Connection) -> None:
    """In this transaction a statement may take as long as millions of rows do."""
    await connection.execute("SET LOCAL statement_timeout TO 0")
    await connection.execute("SET LOCAL idle_in_transaction_session_timeout TO 0")
    await connection.execute(WORKING_MEMORY)


async def _rows(connection: Connection, query: Query, **given: Any) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query, given)).fetchall()
