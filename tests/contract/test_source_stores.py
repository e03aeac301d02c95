"""What every store of tenants, sources and tokens promises, in memory and on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from holdfast.adapters.memory.ledger.sources import MemorySources
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.sources import PostgresSources
from holdfast.kernel.clock import SystemClock
from holdfast.ledger.errors import NotThere, Unsuitable
from holdfast.ledger.intake.reading import Sender
from holdfast.ledger.sources import (
    Reader,
    Scope,
    SourceKind,
    Sources,
    fresh_token,
    keep_days_of,
    name_of,
    sha256_of,
    source_key,
    tenant_key,
    zone_of,
)

if TYPE_CHECKING:
    from conftest import Database

ADA = "command line (ada)"


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def sources(database: "Database | None") -> AsyncIterator[Sources]:
    if database is None:
        yield MemorySources(SystemClock())
        return
    async with open_pool(database.conninfo(Role.LEDGER), "test") as pool:
        yield PostgresSources(pool)


async def told(sources: Sources, database: "Database | None") -> list[tuple[str, str]]:
    if isinstance(sources, MemorySources):
        return [(entry.event, entry.actor) for entry in sources.journal]
    assert database is not None
    with database.connect() as connection:
        return connection.execute("SELECT event, actor FROM holdfast.journal ORDER BY id").fetchall()


async def acme(sources: Sources) -> None:
    await sources.add_tenant("acme", "Acme Ltd", "Europe/Berlin", None, actor=ADA)
    await sources.add_source("acme", "prints", SourceKind.CLIENT, "The print service", actor=ADA)


async def token_for(sources: Sources, tenant: str, source: str | None, name: str = "") -> str:
    token = fresh_token()
    await sources.add_token(tenant, source, name, sha256_of(token), actor=ADA)
    return token


async def test_a_tenant_is_added_once_and_can_be_changed(sources: Sources) -> None:
    await acme(sources)
    with pytest.raises(Unsuitable):
        await sources.add_tenant("acme", "Another", "UTC", None, actor=ADA)
    await sources.add_tenant("abc", "Abc", "UTC", 90, actor=ADA)
    changed = await sources.change_tenant("acme", name="Acme", time_zone="UTC", keep_days=30, actor=ADA)
    assert (changed.name, changed.time_zone, changed.keep_days) == ("Acme", "UTC", 30)
    assert [tenant.key for tenant in await sources.tenants()] == ["abc", "acme"]
    assert await sources.tenant("acme") == changed
    assert await sources.tenant("nobody") is None
    with pytest.raises(NotThere):
        await sources.change_tenant("nobody", name="x", time_zone="UTC", keep_days=None, actor=ADA)


async def test_a_token_is_that_of_one_source_of_one_tenant(sources: Sources) -> None:
    await acme(sources)
    await sources.add_tenant("other", "Other", "UTC", None, actor=ADA)
    await sources.add_source("other", "prints", SourceKind.DEVICE, "Of the same key", actor=ADA)
    mine, theirs = await token_for(sources, "acme", "prints"), await token_for(sources, "other", "prints")
    reader = await token_for(sources, "acme", None, "auditor")
    assert await sources.admitted(mine) == Sender("acme", "prints")
    assert await sources.admitted(theirs) == Sender("other", "prints")
    found = await sources.admitted(reader)
    assert isinstance(found, Reader)
    assert (found.tenant, found.name) == ("acme", "auditor")
    assert [(token.source, token.scope) for token in await sources.tokens("acme")] == [
        ("prints", Scope.POST),
        (None, Scope.READ),
    ]
    assert len(await sources.tokens()) == 3


@pytest.mark.parametrize(
    "token", ["", "hfl_", "hf_" + "x" * 43, "hfl_" + "x" * 44, "\ud800", "hfl_" + "ß" * 43]
)
async def test_what_is_no_token_is_nobody(sources: Sources, token: str) -> None:
    await acme(sources)
    assert await sources.admitted(token) is None
    assert await sources.admitted(fresh_token()) is None


async def test_a_revoked_token_is_worth_nothing_and_its_neighbour_goes_on(sources: Sources) -> None:
    await acme(sources)
    first, second = await token_for(sources, "acme", "prints"), await token_for(sources, "acme", "prints")
    kept = [token.id for token in await sources.tokens()]
    assert await sources.revoke_token(kept[0], actor=ADA)
    assert not await sources.revoke_token(kept[0], actor=ADA)
    assert not await sources.revoke_token(10**6, actor=ADA)
    assert await sources.admitted(first) is None
    assert await sources.admitted(second) == Sender("acme", "prints")


async def test_a_revoked_source_adds_nothing_and_its_key_stays_taken(sources: Sources) -> None:
    await acme(sources)
    token, reader = await token_for(sources, "acme", "prints"), await token_for(sources, "acme", None)
    assert await sources.revoke_source("acme", "prints", actor=ADA)
    assert not await sources.revoke_source("acme", "prints", actor=ADA)
    assert await sources.admitted(token) is None
    assert await sources.admitted(reader) is not None
    found = await sources.source("acme", "prints")
    assert found is not None
    assert found.revoked_at is not None
    with pytest.raises(NotThere):
        await token_for(sources, "acme", "prints")
    with pytest.raises(Unsuitable):
        await sources.add_source("acme", "prints", SourceKind.CLIENT, "Again", actor=ADA)


async def test_nothing_for_whom_nobody_knows(sources: Sources) -> None:
    await acme(sources)
    with pytest.raises(NotThere):
        await sources.add_source("nobody", "prints", SourceKind.CLIENT, "x", actor=ADA)
    for tenant, source in (("nobody", None), ("nobody", "prints"), ("acme", "nothing")):
        with pytest.raises(NotThere):
            await token_for(sources, tenant, source)
    assert await sources.source("acme", "nothing") is None
    assert [source.key for source in await sources.sources("acme")] == ["prints"]
    assert not await sources.sources("nobody")
    assert not await sources.revoke_source("acme", "nothing", actor=ADA)


async def test_every_change_is_in_the_journal_and_no_failed_one(
    sources: Sources, database: "Database | None"
) -> None:
    await acme(sources)
    await token_for(sources, "acme", "prints")
    [token] = await sources.tokens()
    await sources.revoke_token(token.id, actor=ADA)
    await sources.revoke_source("acme", "prints", actor=ADA)
    await sources.change_tenant("acme", name="A", time_zone="UTC", keep_days=1, actor=ADA)
    with pytest.raises(NotThere):
        await token_for(sources, "acme", "prints")
    with pytest.raises(Unsuitable):
        await sources.add_tenant("acme", "Another", "UTC", None, actor=ADA)
    assert await told(sources, database) == [
        (f"ledger.{event}", ADA)
        for event in (
            "tenant_added",
            "source_added",
            "token_created",
            "token_revoked",
            "source_revoked",
            "tenant_changed",
        )
    ]


async def test_the_last_use_of_a_token_is_noted_now_and_then(sources: Sources) -> None:
    await acme(sources)
    token = await token_for(sources, "acme", "prints")
    assert (await sources.tokens())[0].last_used_at is None
    await sources.admitted(token)
    first = (await sources.tokens())[0].last_used_at
    assert first is not None
    await sources.admitted(token)
    assert (await sources.tokens())[0].last_used_at == first


async def test_two_add_the_same_at_once(sources: Sources) -> None:
    await acme(sources)
    added = await asyncio.gather(
        *(sources.add_source("acme", "twice", SourceKind.CLIENT, "x", actor=ADA) for _ in range(4)),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in added) == [
        "Source",
        "Unsuitable",
        "Unsuitable",
        "Unsuitable",
    ]


async def test_the_secret_is_kept_nowhere(migrated_database: "Database") -> None:
    async with open_pool(migrated_database.conninfo(Role.LEDGER), "test") as pool:
        sources = PostgresSources(pool)
        await acme(sources)
        token = await token_for(sources, "acme", "prints", "name")
    with migrated_database.connect() as connection:
        rows = connection.execute(
            "SELECT row_to_json(t)::text FROM ledger.token t UNION ALL "
            "SELECT row_to_json(j)::text FROM holdfast.journal j"
        ).fetchall()
    assert len(rows) == 4
    assert not any(token in row or token[4:] in row for (row,) in rows)


async def test_who_serves_gives_no_key_kind_or_secret_anew_and_takes_nothing_away(
    migrated_database: "Database",
) -> None:
    with migrated_database.connect(Role.LEDGER) as connection:
        for statement in (
            "DELETE FROM ledger.tenant",
            "DELETE FROM ledger.source",
            "DELETE FROM ledger.token",
            "DELETE FROM ledger.imported",
            "TRUNCATE ledger.token",
            "UPDATE ledger.tenant SET key = 'x'",
            "UPDATE ledger.source SET kind = 'device'",
            "UPDATE ledger.token SET sha256 = ''",
            "UPDATE ledger.token SET tenant = 'x'",
            "UPDATE ledger.imported SET seq = 1",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


async def test_a_reader_of_pages_sees_one_tenant_and_no_hash(migrated_database: "Database") -> None:
    async with open_pool(migrated_database.conninfo(Role.LEDGER), "test") as pool:
        sources = PostgresSources(pool)
        for tenant in ("acme", "other"):
            await sources.add_tenant(tenant, tenant, "UTC", None, actor=ADA)
            await sources.add_source(tenant, "prints", SourceKind.CLIENT, "x", actor=ADA)
            await token_for(sources, tenant, "prints")
    columns = {"tenant": "key", "source": "tenant", "token": "tenant"}
    with migrated_database.connect(Role.CONSOLE) as connection:
        for table, column in columns.items():
            seen = dict[str, list[str]]()
            for setting in ("acme", "*", "", "nobody"):
                with connection.transaction():
                    connection.execute("SELECT set_config('holdfast.tenant', %s, true)", [setting])
                    rows = connection.execute(f"SELECT {column} FROM ledger.{table} ORDER BY 1").fetchall()
                seen[setting] = [row[0] for row in rows]
            assert seen == {"acme": ["acme"], "*": ["acme", "other"], "": [], "nobody": []}, table
            assert not connection.execute(f"SELECT {column} FROM ledger.{table}").fetchall()
        for statement in ("SELECT sha256 FROM ledger.token", "SELECT * FROM ledger.imported"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_keys_names_zones_and_days_are_checked() -> None:
    assert tenant_key("acme-2") == "acme-2"
    assert source_key("PRN:7@berlin") == "PRN:7@berlin"
    assert name_of("  Acme \n Ltd ") == "Acme Ltd"
    assert zone_of("Europe/Berlin") == "Europe/Berlin"
    assert keep_days_of(timedelta(days=90)) == 90
    assert keep_days_of(None) is None
    for bad in ("", "Acme", "a b", "a+b", "-a", "a" * 64, "a/b", "ä"):
        with pytest.raises(Unsuitable):
            tenant_key(bad)
    for bad in ("", " a", "a b", "a\n", "a" * 201, "/a"):
        with pytest.raises(Unsuitable):
            source_key(bad)
    for bad in ("", "  ", "a" * 201, "a\x00b"):
        with pytest.raises(Unsuitable):
            name_of(bad)
    for bad in ("", "Mars/Olympus", "../etc/passwd", "/etc/localtime", "Europe"):
        with pytest.raises(Unsuitable):
            zone_of(bad)
    for bad in (timedelta(0), timedelta(hours=36), timedelta(days=-1), timedelta(days=10**6)):
        with pytest.raises(Unsuitable):
            keep_days_of(bad)
