"""Persons and their erasure on PostgreSQL. The statements: `persons.sql`; migration 0019."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.ledger.errors import LogDamaged
from holdfast.ledger.persons.erasure import Erasure
from holdfast.ledger.persons.persons import PersonRow, RowKey


class PersonQueries(Queries):
    stay: Query
    digests: Query
    keep: Query
    rows_of: Query
    ask: Query
    done: Query
    erasure: Query
    erasures: Query
    hold_on: Query
    write_journal: Query


SQL = PersonQueries.beside(__file__)


class PostgresPersons:
    """PersonRows over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def digests(self, tenant: str, keys: Sequence[RowKey]) -> Mapping[RowKey, bytes]:
        if not keys:
            return {}
        given = {"pseudonyms": [key.pseudonym for key in keys], "told": [key.told for key in keys]}
        async with borrowed(self._pool) as connection:
            # By itself, and before they are read: a row that is found then is not about to go.
            await connection.execute(SQL.stay, {"tenant": tenant, "pseudonyms": given["pseudonyms"]})
            rows = await _rows(connection, SQL.digests, tenant=tenant, **given)
        return {RowKey(pseudonym, told): digest for pseudonym, told, digest in rows}

    async def keep(self, rows: Sequence[PersonRow]) -> None:
        # In one order, so that two who keep the same ones wait for each other and never in a circle.
        ordered = sorted(rows, key=lambda row: (row.tenant, row.key))
        given = {
            "tenants": [row.tenant for row in ordered],
            "pseudonyms": [row.key.pseudonym for row in ordered],
            "told": [row.key.told for row in ordered],
            "sealed": [row.sealed for row in ordered],
        }
        async with borrowed(self._pool) as connection:
            await connection.execute(SQL.keep, given)

    async def of(self, tenant: str, pseudonym: str) -> Sequence[PersonRow]:
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.rows_of, tenant=tenant, pseudonym=pseudonym)
        found = list[PersonRow]()
        for told, sealed, digest in rows:
            row = PersonRow(tenant, RowKey(pseudonym, told), sealed)
            if row.digest != digest:
                raise LogDamaged(f"a row of {pseudonym} is not what its hash says")
            found.append(row)
        return found


class PostgresErasures:
    """Erasures over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def ask(self, erasure: Erasure) -> Erasure:
        whose = {"tenant": erasure.tenant, "pseudonym": erasure.pseudonym}
        given = whose | {"actor": erasure.actor, "reason": erasure.reason, "asked_at": erasure.asked_at}
        async with borrowed(self._pool) as connection, connection.transaction():
            if (await connection.execute(SQL.ask, given)).rowcount == 1:
                facts = whose | {"reason": erasure.reason}
                await _journal(connection, erasure.actor, "ledger.erasure_asked", facts)
            rows = await _rows(connection, SQL.erasure, **whose)
        return Erasure(*rows[0])

    async def done(self, tenant: str, pseudonym: str, at: datetime, stores: Sequence[str]) -> None:
        whose = {"tenant": tenant, "pseudonym": pseudonym}
        async with borrowed(self._pool) as connection, connection.transaction():
            for actor, reason in await _rows(connection, SQL.done, at=at, **whose):
                facts = whose | {"reason": reason, "stores": list(stores)}
                await _journal(connection, actor, "ledger.person_erased", facts)

    async def of(self, tenant: str, pseudonym: str) -> Erasure | None:
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.erasure, tenant=tenant, pseudonym=pseudonym)
        return Erasure(*rows[0]) if rows else None

    async def open(self) -> Sequence[Erasure]:
        async with borrowed(self._pool) as connection:
            return [Erasure(*row) for row in await _rows(connection, SQL.erasures, only_open=True)]

    async def all(self) -> Sequence[Erasure]:
        async with borrowed(self._pool) as connection:
            return [Erasure(*row) for row in await _rows(connection, SQL.erasures, only_open=False)]

    async def hold_on(self, tenant: str) -> str | None:
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.hold_on, tenant=tenant)
        return rows[0][0] if rows else None


async def _journal(connection: Connection, actor: str, event: str, facts: dict[str, Any]) -> None:
    await connection.execute(SQL.write_journal, {"actor": actor, "event": event, "facts": Jsonb(facts)})


async def _rows(connection: Connection, query: Query, **given: Any) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query, given)).fetchall()
