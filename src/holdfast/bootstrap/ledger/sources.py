"""What `holdfast ledger tenant`, `source` and `token` do."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.journal import PostgresJournal
from holdfast.adapters.postgres.ledger.sources import PostgresSources
from holdfast.availability.inventory import Inventory
from holdfast.bootstrap.actors import command_line
from holdfast.bootstrap.at_work import run, with_database
from holdfast.bootstrap.ledger.at_hand import with_ledger
from holdfast.bootstrap.ledger.opening import Ledger, declared_in
from holdfast.estate.suggest import did_you_mean
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.clock import SystemClock
from holdfast.kernel.journal import JournalEntry
from holdfast.ledger.continuing import Continued, continued
from holdfast.ledger.errors import NotThere
from holdfast.ledger.sources import (
    Source,
    SourceKind,
    SourceToken,
    Tenant,
    fresh_token,
    keep_days_of,
    name_of,
    sha256_of,
    source_key,
    tenant_key,
    zone_of,
)

T = TypeVar("T")


def with_sources(place: Place, work: Callable[[PostgresSources], Awaitable[T]]) -> T:
    """Raises NoLedger where the estate in force declares none."""

    async def do(pool: Pool, inventory: Inventory) -> T:
        declared_in(inventory.estate)
        return await work(PostgresSources(pool))

    return run(with_database(place, Role.LEDGER, do))


async def tenant_of(sources: PostgresSources, key: str) -> Tenant:
    """Raises NotThere, with the name that was perhaps meant."""
    found = await sources.tenant(key)
    if found is None:
        known = [each.key for each in await sources.tenants()]
        raise NotThere(
            f"there is no tenant {key!r}",
            hint=did_you_mean(key, known, otherwise="holdfast ledger tenant list"),
        )
    return found


class LocalTenants:
    """TenantCommands on this machine."""

    def add(self, place: Place, key: str, name: str, time_zone: str, keep: timedelta | None) -> Tenant:
        columns = (tenant_key(key), name_of(name), zone_of(time_zone), keep_days_of(keep))
        return with_sources(place, lambda sources: sources.add_tenant(*columns, actor=command_line()))

    def listed(self, place: Place) -> Sequence[Tenant]:
        return with_sources(place, lambda sources: sources.tenants())

    def change(
        self,
        place: Place,
        key: str,
        *,
        name: str | None,
        time_zone: str | None,
        keep: timedelta | None,
        keep_as_estate: bool,
    ) -> Tenant:
        async def do(sources: PostgresSources) -> Tenant:
            now = await tenant_of(sources, key)
            keep_days = now.keep_days if keep is None else keep_days_of(keep)
            return await sources.change_tenant(
                key,
                name=now.name if name is None else name_of(name),
                time_zone=now.time_zone if time_zone is None else zone_of(time_zone),
                keep_days=None if keep_as_estate else keep_days,
                actor=command_line(),
            )

        return with_sources(place, do)

    def continue_(self, place: Place, key: str, into: str, reason: str) -> Continued:
        async def work(ledger: Ledger, conninfo: Conninfo) -> Continued:
            sources = PostgresSources(ledger.pool)
            await tenant_of(sources, key)
            done = await continued(sources, tenant_key(key), tenant_key(into), actor=command_line())
            facts = {"tenant": key, "into": into, "reason": reason, "sources": len(done.tokens)}
            entry = JournalEntry(SystemClock().now(), command_line(), "ledger.tenant_continued", facts)
            await PostgresJournal(conninfo).append(entry)
            return done

        return run(with_ledger(place, work))


class LocalSources:
    """SourceCommands on this machine."""

    def add(
        self, place: Place, tenant: str, key: str, kind: str, name: str
    ) -> tuple[Source, SourceToken | None, str]:
        async def do(sources: PostgresSources) -> tuple[Source, SourceToken | None, str]:
            await tenant_of(sources, tenant)
            source = await sources.add_source(
                tenant, source_key(key), SourceKind(kind), name_of(name), actor=command_line()
            )
            if source.kind is SourceKind.IMPORTER:
                return source, None, ""
            return source, *await _token(sources, tenant, key, "")

        return with_sources(place, do)

    def listed(self, place: Place, tenant: str | None) -> Sequence[Source]:
        return with_sources(place, lambda sources: sources.sources(tenant))

    def revoke(self, place: Place, tenant: str, key: str) -> bool:
        return with_sources(place, lambda sources: sources.revoke_source(tenant, key, actor=command_line()))

    def token_create(
        self, place: Place, tenant: str, source: str | None, name: str
    ) -> tuple[SourceToken, str]:
        async def do(sources: PostgresSources) -> tuple[SourceToken, str]:
            await tenant_of(sources, tenant)
            return await _token(sources, tenant, source, name if source else name_of(name))

        return with_sources(place, do)

    def token_list(self, place: Place, tenant: str | None) -> Sequence[SourceToken]:
        return with_sources(place, lambda sources: sources.tokens(tenant))

    def token_revoke(self, place: Place, token_id: int) -> bool:
        return with_sources(place, lambda sources: sources.revoke_token(token_id, actor=command_line()))


async def _token(
    sources: PostgresSources, tenant: str, source: str | None, name: str
) -> tuple[SourceToken, str]:
    secret = fresh_token()
    return await sources.add_token(tenant, source, name, sha256_of(secret), actor=command_line()), secret
