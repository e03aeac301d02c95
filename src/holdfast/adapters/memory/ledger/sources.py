"""Tenants, sources and tokens in memory, for tests. Everything ends with the process."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from holdfast.kernel.clock import Clock
from holdfast.kernel.journal import JournalEntry
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


class MemorySources:
    """Sources over dictionaries. `journal` holds what an auditor would read, oldest first."""

    def __init__(self, clock: Clock) -> None:
        self.journal: list[JournalEntry] = []
        self._clock = clock
        self._tenants: dict[str, Tenant] = {}
        self._sources: dict[tuple[str, str], Source] = {}
        self._tokens: dict[int, tuple[SourceToken, bytes]] = {}

    async def tenants(self) -> Sequence[Tenant]:
        return [self._tenants[key] for key in sorted(self._tenants)]

    async def tenant(self, key: str) -> Tenant | None:
        return self._tenants.get(key)

    async def add_tenant(
        self, key: str, name: str, time_zone: str, keep_days: int | None, *, actor: str
    ) -> Tenant:
        if key in self._tenants:
            raise Unsuitable(f"there is a tenant {key!r} already")
        self._tenants[key] = Tenant(key, name, time_zone, keep_days, self._clock.now())
        facts = {"tenant": key, "name": name, "time_zone": time_zone, "keep_days": keep_days}
        self._note(actor, "ledger.tenant_added", facts)
        return self._tenants[key]

    async def change_tenant(
        self, key: str, *, name: str, time_zone: str, keep_days: int | None, actor: str
    ) -> Tenant:
        if key not in self._tenants:
            raise NotThere(f"there is no tenant {key!r}")
        changed = replace(self._tenants[key], name=name, time_zone=time_zone, keep_days=keep_days)
        self._tenants[key] = changed
        facts = {"tenant": key, "name": name, "time_zone": time_zone, "keep_days": keep_days}
        self._note(actor, "ledger.tenant_changed", facts)
        return changed

    async def sources(self, tenant: str | None = None) -> Sequence[Source]:
        return [self._sources[key] for key in sorted(self._sources) if tenant in {None, key[0]}]

    async def source(self, tenant: str, key: str) -> Source | None:
        return self._sources.get((tenant, key))

    async def add_source(self, tenant: str, key: str, kind: SourceKind, name: str, *, actor: str) -> Source:
        if tenant not in self._tenants:
            raise NotThere(f"there is no tenant {tenant!r}")
        if (tenant, key) in self._sources:
            raise Unsuitable(f"tenant {tenant!r} has a source {key!r} already")
        source = Source(tenant, key, kind, name, self._clock.now())
        self._sources[tenant, key] = source
        facts = {"tenant": tenant, "key": key, "kind": kind.value, "name": name}
        self._note(actor, "ledger.source_added", facts)
        return source

    async def revoke_source(self, tenant: str, key: str, *, actor: str) -> bool:
        source = self._sources.get((tenant, key))
        if source is None or source.revoked_at is not None:
            return False
        self._sources[tenant, key] = replace(source, revoked_at=self._clock.now())
        self._note(actor, "ledger.source_revoked", {"tenant": tenant, "key": key})
        return True

    async def tokens(self, tenant: str | None = None) -> Sequence[SourceToken]:
        return [token for token, _ in self._tokens.values() if tenant in {None, token.tenant}]

    async def add_token(
        self, tenant: str, source: str | None, name: str, token_sha256: bytes, *, actor: str
    ) -> SourceToken:
        if tenant not in self._tenants or not self._in_force(tenant, source):
            what = f"tenant {tenant!r}" if source is None else f"source {source!r} of tenant {tenant!r}"
            raise NotThere(f"there is no {what} that is in force")
        scope = Scope.READ if source is None else Scope.POST
        token = SourceToken(len(self._tokens) + 1, tenant, source, scope, name, self._clock.now())
        self._tokens[token.id] = (token, token_sha256)
        facts = {"tenant": tenant, "source": source, "name": name, "scope": scope.value, "token": token.id}
        self._note(actor, "ledger.token_created", facts)
        return token

    async def revoke_token(self, token_id: int, *, actor: str) -> bool:
        token, sha256 = self._tokens.get(token_id, (None, b""))
        if token is None or token.revoked_at is not None:
            return False
        self._tokens[token_id] = (replace(token, revoked_at=self._clock.now()), sha256)
        facts = {"token": token_id, "tenant": token.tenant, "source": token.source, "name": token.name}
        self._note(actor, "ledger.token_revoked", facts)
        return True

    async def admitted(self, token: str) -> Sender | Reader | None:
        if not looks_like_a_token(token):
            return None
        sha256, now = sha256_of(token), self._clock.now()
        for found, kept in self._tokens.values():
            if kept == sha256 and not found.revoked_at and self._in_force(found.tenant, found.source):
                if found.last_used_at is None or found.last_used_at < now - NOTED_EVERY:
                    self._tokens[found.id] = (replace(found, last_used_at=now), kept)
                if found.source is None:
                    return Reader(found.tenant, found.id, found.name)
                return Sender(found.tenant, found.source)
        return None

    def _in_force(self, tenant: str, source: str | None) -> bool:
        found = self._sources.get((tenant, source or ""))
        return source is None or (found is not None and found.revoked_at is None)

    def _note(self, actor: str, event: str, facts: Mapping[str, object]) -> None:
        self.journal.append(JournalEntry(self._clock.now(), actor, event, facts))
