"""Reports out of the roll-ups, on PostgreSQL. The statements: `reports.sql`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.ledger.rollups import COST_CENTRE, DEVICE, KINDS, USER, WORKING_MEMORY
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.adapters.postgres.tenancy import EVERY_TENANT
from holdfast.ledger.errors import NotThere
from holdfast.ledger.reports.reporting import (
    Asked,
    By,
    Grain,
    Part,
    Per,
    Piece,
    Report,
    Standing,
    assembled,
    chosen,
    planned,
)
from holdfast.ledger.reports.rollups import Sums

DIMENSIONS = {None: 0, By.DEVICE: DEVICE, By.USER: USER, By.COST_CENTRE: COST_CENTRE}
_KIND_NAMES = {number: kind.value for kind, number in KINDS.items()}


class ReportQueries(Queries):
    see: Query
    is_known: Query
    standing: Query
    members: Query
    members_of: Query
    sums: Query
    papers: Query
    finest: Query


SQL = ReportQueries.beside(__file__)


class PostgresReports:
    """Reports over a pool, as the reader that row-level security takes the login for."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def report(self, asked: Asked) -> Report:
        """Raises NotThere for a tenant that nobody knows, or that this login may not see."""
        async with self._snapshot(asked.tenant) as connection:
            reading = await _begun(connection, asked)
            whole = await reading.parts(None)
            if asked.per is None:
                return assembled(asked, whole, None, reading.standing)
            who = None if asked.most is None else chosen(asked, whole)
            return assembled(asked, whole, await reading.parts(asked.per, who), reading.standing)

    async def standing(self, tenant: str | None) -> Sequence[Standing]:
        """How far the sums have come; of all tenants for None."""
        async with self._snapshot(tenant) as connection:
            rows = await _rows(connection, SQL.standing, tenant=tenant)
        return [_standing(row) for row in rows]

    @asynccontextmanager
    async def _snapshot(self, tenant: str | None) -> AsyncIterator[Connection]:
        """One look: rows and what they come to belong together, whatever is folded meanwhile."""
        async with borrowed(self._pool) as connection, connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            await connection.execute(WORKING_MEMORY)
            await connection.execute(SQL.see, {"tenant": EVERY_TENANT if tenant is None else tenant})
            yield connection


@dataclass(frozen=True)
class _Reading:
    connection: Connection
    asked: Asked
    standing: Sequence[Standing]
    tenants: Mapping[int, str]
    """By book."""
    logs: Mapping[str, int]
    members: Mapping[By, Sequence[int]]
    """The ids of the single device, user or cost centre that it is about."""

    async def parts(self, per: Per | None, who: Sequence[tuple[str, str]] | None = None) -> list[Part]:
        asked, plan = self.asked, planned(self.asked, per)
        given: dict[str, Any] = {
            "per": per,
            "books": list(self.tenants),
            "kind": None if asked.kind is None else KINDS[asked.kind],
            "by_book": asked.by in {By.TENANT, By.DEVICE, By.USER, By.COST_CENTRE},
            "by_kind": asked.by is By.KIND,
        }
        members = dict(self.members)
        if who is not None and asked.by in {By.DEVICE, By.USER, By.COST_CENTRE}:
            members[asked.by] = await self._ids_of(who)
        if plan.finest:
            given |= {"member": DIMENSIONS.get(asked.by, 0), "since": asked.since, "until": asked.until}
            names = {"devices": By.DEVICE, "persons": By.USER, "cost_centres": By.COST_CENTRE}
            given |= {name: members.get(by) for name, by in names.items()}
            return self._parts(await _rows(self.connection, SQL.finest, **given))
        given |= {
            "dimension": DIMENSIONS[plan.dimension],
            "by_member": asked.by is not None and asked.by is plan.dimension,
            "members": None if plan.dimension is None else members.get(plan.dimension),
            **_ranges(plan.pieces),
        }
        if asked.by is By.FORMAT:
            rows = await _rows(self.connection, SQL.papers, **given)
            return [
                Part(start, asked.tenant or "", name, "", Sums(sheets=int(count)))
                for start, name, count in rows
            ]
        return self._parts(await _rows(self.connection, SQL.sums, **given))

    def _parts(self, rows: Sequence[tuple[Any, ...]]) -> list[Part]:
        found, tenants, by = list[Part](), self.tenants, self.asked.by
        for start, book, name, kind, currency, *sums, amount in rows:
            tenant = self.asked.tenant or tenants.get(book, "")
            member = tenant if by is By.TENANT else _KIND_NAMES[kind] if by is By.KIND else name
            found.append(Part(start, tenant, member, currency, Sums._make((*sums, int(amount)))))
        return found

    async def _ids_of(self, who: Sequence[tuple[str, str]]) -> list[int]:
        given = {
            "dimension": DIMENSIONS[self.asked.by],
            "logs": [self.logs[tenant] for tenant, _ in who],
            "names": [name for _, name in who],
        }
        return [member for (member,) in await _rows(self.connection, SQL.members_of, **given)]


async def _begun(connection: Connection, asked: Asked) -> _Reading:
    rows = await _rows(connection, SQL.standing, tenant=asked.tenant)
    if not rows and asked.tenant is not None:
        [[known]] = await _rows(connection, SQL.is_known, tenant=asked.tenant)
        if not known:
            raise NotThere(
                f"there is no tenant {asked.tenant!r}",
                hint="see which there are: holdfast ledger tenant list",
            )
    logs = {tenant: log for _, log, tenant, *_ in rows}
    members = dict[By, Sequence[int]]()
    for by, name in asked.filters.items():
        given = {"logs": list(logs.values()), "dimension": DIMENSIONS[by], "name": name}
        members[by] = [member for (member,) in await _rows(connection, SQL.members, **given)]
    return _Reading(
        connection,
        asked,
        [_standing(row) for row in rows],
        {book: tenant for book, _, tenant, *_ in rows if book is not None},
        logs,
        members,
    )


def _ranges(pieces: Sequence[Piece]) -> dict[str, date | None]:
    """The pieces as the statements know them: days and months before whole years, and after them."""
    names = {Grain.DAY: "day", Grain.MONTH: "month", Grain.YEAR: "year"}
    found: dict[str, date | None] = {
        f"{name}_{end}": None
        for name in ("day", "month", "year", "late_month", "late_day")
        for end in ("from", "to")
    }
    for piece in pieces:
        name = names[piece.grain]
        if found[f"{name}_from"] is not None:
            name = f"late_{name}"
        found[f"{name}_from"], found[f"{name}_to"] = piece.since, piece.until
    return found


def _standing(row: tuple[Any, ...]) -> Standing:
    book, _, tenant, zone, folded, size, void = row
    return Standing(tenant, zone or "", folded if book is not None else 0, size, void)


async def _rows(connection: Connection, query: Query, **given: Any) -> list[tuple[Any, ...]]:
    """Never planned once for all: a plan for one day is none for ten years."""
    return await (await connection.execute(query, given, prepare=False, binary=True)).fetchall()
