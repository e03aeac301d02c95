"""A tenant goes on in another log, on every store of sources."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from holdfast.adapters.memory.ledger.sources import MemorySources
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.sources import PostgresSources
from holdfast.kernel.clock import SystemClock
from holdfast.ledger.continuing import continued, is_closed
from holdfast.ledger.errors import NotThere, Unsuitable
from holdfast.ledger.sources import SourceKind, Sources, fresh_token, sha256_of

if TYPE_CHECKING:
    from conftest import Database


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def sources(database: "Database | None") -> AsyncIterator[Sources]:
    if database is None:
        yield MemorySources(SystemClock())
        return
    async with open_pool(database.conninfo(Role.LEDGER), "test", max_size=2) as pool:
        yield PostgresSources(pool)


@pytest.fixture
async def token(sources: Sources) -> str:
    """Of acme's spooler; acme has an importer and a source of long ago as well."""
    await sources.add_tenant("acme", "Acme Ltd", "Europe/Berlin", 730, actor="o")
    for key, kind in (
        ("spooler", SourceKind.CLIENT),
        ("cups", SourceKind.IMPORTER),
        ("gone", SourceKind.DEVICE),
    ):
        await sources.add_source("acme", key, kind, key.title(), actor="o")
    await sources.revoke_source("acme", "gone", actor="o")
    token = fresh_token()
    await sources.add_token("acme", "spooler", "", sha256_of(token), actor="o")
    return token


async def test_sources_go_on_elsewhere_and_the_old_log_takes_nothing(sources: Sources, token: str) -> None:
    reader = fresh_token()
    await sources.add_token("acme", None, "Auditors", sha256_of(reader), actor="o")
    assert not await is_closed(sources, "acme")
    done = await continued(sources, "acme", "acme-2", actor="o")
    assert (done.new.key, done.new.name, done.new.time_zone, done.new.keep_days) == (
        "acme-2",
        "Acme Ltd",
        "Europe/Berlin",
        730,
    )
    assert (list(done.tokens), done.importers) == (["spooler"], ("cups",))
    assert await sources.admitted(token) is None
    assert await sources.admitted(done.tokens["spooler"]) == ("acme-2", "spooler")
    assert await sources.admitted(reader) is not None  # the old log can still be read
    assert await is_closed(sources, "acme")
    assert not await is_closed(sources, "acme-2")
    kinds = {each.key: each.kind for each in await sources.sources("acme-2")}
    assert kinds == {"spooler": SourceKind.CLIENT, "cups": SourceKind.IMPORTER}
    with pytest.raises(Unsuitable, match="it is closed"):
        await continued(sources, "acme", "acme-3", actor="o")
    assert await sources.tenant("acme-3") is None


async def test_what_ended_in_the_middle_is_done_again(sources: Sources, token: str) -> None:
    await sources.add_tenant("acme-2", "Acme Ltd", "Europe/Berlin", 730, actor="o")
    await sources.add_source("acme-2", "cups", SourceKind.IMPORTER, "Cups", actor="o")
    assert await sources.admitted(token) is not None
    done = await continued(sources, "acme", "acme-2", actor="o")
    assert await sources.admitted(done.tokens["spooler"]) == ("acme-2", "spooler")
    assert await sources.admitted(token) is None


@pytest.mark.parametrize("key", ["other", "acme", "same-name"])
async def test_somebody_elses_log_is_not_gone_on_in(sources: Sources, token: str, key: str) -> None:
    await sources.add_tenant("other", "Other", "UTC", None, actor="o")
    await sources.add_tenant("same-name", "Acme Ltd", "Europe/Berlin", 730, actor="o")
    await sources.add_source("same-name", "theirs", SourceKind.CLIENT, "Theirs", actor="o")
    with pytest.raises(Unsuitable, match="is there already"):
        await continued(sources, "acme", key, actor="o")
    assert await sources.admitted(token) is not None


async def test_a_tenant_that_is_not_there_or_never_had_a_source(sources: Sources) -> None:
    with pytest.raises(NotThere):
        await continued(sources, "acme", "acme-2", actor="o")
    await sources.add_tenant("idle", "Idle", "UTC", None, actor="o")
    assert not await is_closed(sources, "idle")
    assert not await is_closed(sources, "")
