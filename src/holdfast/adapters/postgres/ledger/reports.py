"""Reports out of the roll-ups, on PostgreSQL. The statements: `reports.sql`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.ledger.rollups import (
    COST_CENTRE,
    DEVICE,
    KINDS,
    MOST_KNOWN,
    USER,
    WORKING_MEMORY,
)
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.adapters.postgres.tenancy import EVERY_TENANT
from holdfast.ledger.errors import NotThere
from holdfast.ledger.reports.reporting import (
    Asked,
    By,
    Grain,
    Per,
    Piece,
    Report,
    Row,
    Standing,
    assembled,
    chosen,
    planned,
)
from holdfast.ledger.reports.rollups import Sums

DIMENSIONS = {None: 0, By.DEVICE: DEVICE, By.USER: USER, By.COST_CENTRE: COST_CENTRE}
ALL_KINDS = -1
_MEMBERS = {By.DEVICE: "devices", By.USER: "persons", By.COST_CENTRE: "cost_centres"}
"""The dimensions, as the statement of the finest sums calls its lists of them."""
_KIND_NAMES: Mapping[int | None, str] = {number: kind.value for kind, number in KINDS.items()}


class ReportQueries(Queries):
    see: Query
    is_known: Query
    standing: Query
    members: Query
    members_of: Query
    names: Query
    kept: Query
    sums: Query
    papers: Query
    finest: Query


SQL = ReportQueries.beside(__file__)


class PostgresReports:
    """Reports over a pool, as the reader that row-level security takes the login for."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._names = _Names()

    async def report(self, asked: Asked) -> Report:
        """Raises NotThere for a tenant that nobody knows, or that this login may not see."""
        async with self._snapshot(asked.tenant) as connection:
            reading = await _begun(connection, self._names, asked)
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
            await connection.execute(
                f"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; {WORKING_MEMORY}"
            )
            await connection.execute(SQL.see, {"tenant": EVERY_TENANT if tenant is None else tenant})
            yield connection


class _Names:
    """What members are called, by id. A name is given once; so it may be remembered.

    Who asks has read the ids under row-level security: they are members that they may see.
    """

    def __init__(self) -> None:
        self._names: dict[int | None, str] = {}

    async def of(self, connection: Connection, ids: AbstractSet[int]) -> Mapping[int | None, str]:
        known = self._names
        if missing := ids - known.keys():
            if len(known) > MOST_KNOWN:
                known = self._names = {}
                missing = set(ids)
            known.update(await _rows(connection, SQL.names, ids=list(missing)))
        return known


@dataclass(frozen=True)
class _Reading:
    connection: Connection
    names: _Names
    asked: Asked
    standing: Sequence[Standing]
    tenants: Mapping[int, str]
    """By book."""
    logs: Mapping[str, int]
    members: Mapping[By, Sequence[int]]
    """The ids of the single device, user or cost centre that it is about."""

    async def parts(self, per: Per | None, who: Sequence[tuple[str, str]] | None = None) -> list[Row]:
        asked, plan = self.asked, planned(self.asked, per)
        members = dict(self.members)
        if who is not None and asked.by in _MEMBERS:
            members[asked.by] = await self._ids_of(who)
        given: dict[str, Any] = {
            "per": per,
            "by": asked.by,
            "books": list(self.tenants),
            "dimension": DIMENSIONS[plan.dimension],
            "members": None if plan.dimension is None else members.get(plan.dimension),
            "kinds": self._kinds(finest=False),
        }
        if asked.by is By.FORMAT:
            rows = await _rows(self.connection, SQL.papers, **given, **_ranges(plan.pieces))
            return [Row(start, asked.tenant or "", name, Sums(sheets=count)) for start, name, count in rows]
        rows = []
        if plan.is_kept(per) and (len(self.tenants) == 1 or asked.by in {By.TENANT, *_MEMBERS}):
            rows += await _rows(self.connection, SQL.kept, **given, **plan.pieces[0]._asdict())
        elif plan.pieces:
            rows += await _rows(self.connection, SQL.sums, **given, **_ranges(plan.pieces))
        given |= {
            "kinds": self._kinds(finest=True),
            **{name: members.get(by) for by, name in _MEMBERS.items()},
        }
        for piece in plan.finest:
            rows += await _rows(self.connection, SQL.finest, **given, **piece._asdict())
        return await self._told(rows)

    def _kinds(self, *, finest: bool) -> list[int]:
        """Which rows are read: of one kind, each one's, or those over all, which the finest do not have."""
        if self.asked.kind is not None:
            return [KINDS[self.asked.kind]]
        return list(KINDS.values()) if finest or self.asked.by is By.KIND else [ALL_KINDS]

    async def _told(self, rows: Sequence[tuple[Any, ...]]) -> list[Row]:
        """As they are told. There may be tens of thousands: named tuples are made without their ado."""
        by, tenant = self.asked.by, self.asked.tenant
        tenants: dict[int | None, str] = {None: tenant or ""}
        tenants |= {book: tenant or name for book, name in self.tenants.items()}
        called: Mapping[int | None, str] = {None: ""}
        if by is By.TENANT:
            called = tenants
        elif by is By.KIND:
            called = _KIND_NAMES
        elif by in _MEMBERS:
            called = await self.names.of(self.connection, {row[2] for row in rows})
        new, told = tuple.__new__, list[Row]()
        for start, book, about, currency, amount, jobs, failed, sheets, mono, colour, scans, faxes in rows:
            sums = new(Sums, (jobs, failed, sheets, mono, colour, scans, faxes, 0))
            told.append(new(Row, (start, tenants[book], called[about], sums, {currency: int(amount)})))
        return told

    async def _ids_of(self, who: Sequence[tuple[str, str]]) -> list[int]:
        given = {
            "dimension": DIMENSIONS[self.asked.by],
            "logs": [self.logs[tenant] for tenant, _ in who],
            "names": [name for _, name in who],
        }
        return [member for (member,) in await _rows(self.connection, SQL.members_of, **given)]


async def _begun(connection: Connection, names: _Names, asked: Asked) -> _Reading:
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
        names,
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
