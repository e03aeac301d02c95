"""A log that can never be published any more is closed, and a new one begins where its tenant goes on.

Leaves that the witness has seen are gone for good: no tool can make it cosign another history, and none
should. So the old log stays as it is, readable and verifiable up to its newest checkpoint, and takes nothing
in; a new tenant with the same sources goes on with a log of its own, under its own name.
"""

from dataclasses import dataclass

from holdfast.ledger.errors import NotThere, Unsuitable
from holdfast.ledger.sources import Source, SourceKind, Sources, Tenant, fresh_token, sha256_of


@dataclass(frozen=True, slots=True)
class Continued:
    """What came of it. `tokens` are by source, told this once; importers need none."""

    old: Tenant
    new: Tenant
    tokens: dict[str, str]
    importers: tuple[str, ...]


async def continued(sources: Sources, tenant: str, into: str, *, actor: str) -> Continued:
    """The sources of `tenant` that are in force go on in `into`, and add nothing to `tenant` from now on.

    They are closed last: what ended in between can be done again, and then makes other tokens. Raises
    NotThere, and Unsuitable for a key that is somebody else's, or when all its sources were revoked before.
    """
    old = await sources.tenant(tenant)
    if old is None:
        raise NotThere(f"there is no tenant {tenant!r}", hint="see: holdfast ledger tenant list")
    going = [each for each in await sources.sources(tenant) if each.revoked_at is None]
    if not going:
        raise Unsuitable(f"nothing adds to the log of {tenant!r} any more: it is closed")
    new = await _begun(sources, old, into, {each.key for each in going}, actor)
    tokens = dict[str, str]()
    for each in going:
        if await sources.source(into, each.key) is None:
            await sources.add_source(into, each.key, each.kind, each.name, actor=actor)
        if each.kind is not SourceKind.IMPORTER:
            tokens[each.key] = fresh_token()
            await sources.add_token(into, each.key, "", sha256_of(tokens[each.key]), actor=actor)
    for each in going:
        await sources.revoke_source(tenant, each.key, actor=actor)
    return Continued(old, new, tokens, tuple(each.key for each in going if each.kind is SourceKind.IMPORTER))


async def is_closed(sources: Sources, tenant: str) -> bool:
    """Whether nothing adds to its log any more: it had sources, and all of them were revoked."""
    found: list[Source] = list(await sources.sources(tenant)) if tenant else []
    return bool(found) and all(each.revoked_at is not None for each in found)


async def _begun(sources: Sources, old: Tenant, into: str, going: set[str], actor: str) -> Tenant:
    """The new tenant; one that an earlier try left is taken on."""
    there = await sources.tenant(into)
    if there is None:
        return await sources.add_tenant(into, old.name, old.time_zone, old.keep_days, actor=actor)
    known = {each.key for each in await sources.sources(into)}
    alike = (there.name, there.time_zone, there.keep_days) == (old.name, old.time_zone, old.keep_days)
    if into == old.key or not alike or not known <= going:
        raise Unsuitable(f"the tenant {into!r} is there already", hint="choose another key for the new log")
    return there
