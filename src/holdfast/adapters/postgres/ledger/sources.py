"""Tenants, sources and their tokens on PostgreSQL. The statements: `sources.sql`; migration 0014."""

import hmac
from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.ledger.errors import NotThere, Unsuitable
from holdfast.ledger.intake.reading import Sender
from holdfast.ledger.sources import (
    NOTED_EVERY,
    Reader,
    Scope,
    Source,
    SourceKind,
    SourceToken,
    Tenant,
    looks_like_a_token,
    sha256_of,
)


class SourceQueries(Queries):
    tenants: Query
    add_tenant: Query
    change_tenant: Query
    sources: Query
    add_source: Query
    revoke_source: Query
    tokens: Query
    add_token: Query
    revoke_token: Query
    admitted: Query
    note_use: Query
    write_journal: Query


SQL = SourceQueries.beside(__file__)


class PostgresSources:
    """Sources over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def tenants(self) -> Sequence[Tenant]:
        async with borrowed(self._pool) as connection:
            return [Tenant(*row) for row in await _rows(connection, SQL.tenants, key=None)]

    async def tenant(self, key: str) -> Tenant | None:
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.tenants, key=key)
        return Tenant(*rows[0]) if rows else None

    async def add_tenant(
        self, key: str, name: str, time_zone: str, keep_days: int | None, *, actor: str
    ) -> Tenant:
        facts = {"name": name, "time_zone": time_zone, "keep_days": keep_days}
        async with borrowed(self._pool) as connection, connection.transaction():
            rows = await _rows(connection, SQL.add_tenant, key=key, **facts)
            if not rows:
                raise Unsuitable(f"there is a tenant {key!r} already")
            await _journal(connection, actor, "ledger.tenant_added", {"tenant": key, **facts})
        return Tenant(*rows[0])

    async def change_tenant(
        self, key: str, *, name: str, time_zone: str, keep_days: int | None, actor: str
    ) -> Tenant:
        facts = {"name": name, "time_zone": time_zone, "keep_days": keep_days}
        async with borrowed(self._pool) as connection, connection.transaction():
            rows = await _rows(connection, SQL.change_tenant, key=key, **facts)
            if not rows:
                raise NotThere(f"there is no tenant {key!r}")
            await _journal(connection, actor, "ledger.tenant_changed", {"tenant": key, **facts})
        return Tenant(*rows[0])

    async def sources(self, tenant: str | None = None) -> Sequence[Source]:
        async with borrowed(self._pool) as connection:
            return [_source(row) for row in await _rows(connection, SQL.sources, tenant=tenant, key=None)]

    async def source(self, tenant: str, key: str) -> Source | None:
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.sources, tenant=tenant, key=key)
        return _source(rows[0]) if rows else None

    async def add_source(self, tenant: str, key: str, kind: SourceKind, name: str, *, actor: str) -> Source:
        facts = {"tenant": tenant, "key": key, "kind": kind.value, "name": name}
        async with borrowed(self._pool) as connection, connection.transaction():
            if not await _rows(connection, SQL.tenants, key=tenant):
                raise NotThere(f"there is no tenant {tenant!r}")
            rows = await _rows(connection, SQL.add_source, **facts)
            if not rows:
                raise Unsuitable(
                    f"tenant {tenant!r} has a source {key!r} already", hint="a key is never given twice"
                )
            await _journal(connection, actor, "ledger.source_added", facts)
        return _source(rows[0])

    async def revoke_source(self, tenant: str, key: str, *, actor: str) -> bool:
        facts = {"tenant": tenant, "key": key}
        async with borrowed(self._pool) as connection, connection.transaction():
            revoked = (await connection.execute(SQL.revoke_source, facts)).rowcount == 1
            if revoked:
                await _journal(connection, actor, "ledger.source_revoked", facts)
        return revoked

    async def tokens(self, tenant: str | None = None) -> Sequence[SourceToken]:
        async with borrowed(self._pool) as connection:
            return [_token(row) for row in await _rows(connection, SQL.tokens, tenant=tenant)]

    async def add_token(
        self, tenant: str, source: str | None, name: str, token_sha256: bytes, *, actor: str
    ) -> SourceToken:
        scope = Scope.READ if source is None else Scope.POST
        facts = {"tenant": tenant, "source": source, "name": name, "scope": scope.value}
        async with borrowed(self._pool) as connection, connection.transaction():
            rows = await _rows(connection, SQL.add_token, sha256=token_sha256, **facts)
            if not rows:
                what = f"tenant {tenant!r}" if source is None else f"source {source!r} of tenant {tenant!r}"
                raise NotThere(f"there is no {what} that is in force")
            await _journal(connection, actor, "ledger.token_created", {**facts, "token": rows[0][0]})
        return _token(rows[0])

    async def revoke_token(self, token_id: int, *, actor: str) -> bool:
        async with borrowed(self._pool) as connection, connection.transaction():
            rows = await _rows(connection, SQL.revoke_token, id=token_id)
            for tenant, source, name in rows:
                facts = {"token": token_id, "tenant": tenant, "source": source, "name": name}
                await _journal(connection, actor, "ledger.token_revoked", facts)
        return bool(rows)

    async def admitted(self, token: str) -> Sender | Reader | None:
        if not looks_like_a_token(token):
            return None
        sha256 = sha256_of(token)
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.admitted, sha256=sha256, noted_every=NOTED_EVERY)
            if not rows or not hmac.compare_digest(rows[0][4], sha256):
                return None
            token_id, tenant, source, name, _, to_be_noted = rows[0]
            if to_be_noted:
                await connection.execute(SQL.note_use, {"id": token_id})
        return Reader(tenant, token_id, name) if source is None else Sender(tenant, source)


def _source(row: Sequence[Any]) -> Source:
    tenant, key, kind, *rest = row
    return Source(tenant, key, SourceKind(kind), *rest)


def _token(row: Sequence[Any]) -> SourceToken:
    token_id, tenant, source, scope, *rest = row
    return SourceToken(token_id, tenant, source, Scope(scope), *rest)


async def _journal(connection: Connection, actor: str, event: str, facts: dict[str, Any]) -> None:
    await connection.execute(SQL.write_journal, {"actor": actor, "event": event, "facts": Jsonb(facts)})


async def _rows(connection: Connection, query: Query, **given: Any) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query, given)).fetchall()
