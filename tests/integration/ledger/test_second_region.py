"""What is in the second region, asked of a real primary with a real standby."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from tests.installation import eventually
from tests.ledger_process import LedgerProcess, ledger_process, posted, source_token
from tests.protected import OWNER_PASSWORD
from tests.standby import STANDBY, Regions, two_regions

from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.errors import DatabaseRefused
from holdfast.adapters.postgres.migrate import migrate
from holdfast.adapters.postgres.server.external import ExternalPostgres
from holdfast.adapters.postgres.standby import PostgresStandby


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Regions]:
    with two_regions(tmp_path_factory.mktemp("regions")) as found:
        asyncio.run(ExternalPostgres(conninfo(found).dsn).start())  # makes the roles
        asyncio.run(migrate(conninfo(found)))
        found.until_caught_up()
        yield found


@pytest.fixture
def mended(regions: Regions) -> Iterator[Regions]:
    """Both regions, together again behind the test."""
    yield regions
    regions.link.mend()
    regions.until_caught_up()


def conninfo(regions: Regions) -> Conninfo:
    params = {name: value for name, value in regions.primary.owner_params.items() if name != "password"}
    return Conninfo(Role.OWNER, params, OWNER_PASSWORD)


@pytest.fixture
async def pool(regions: Regions) -> AsyncIterator[Pool]:
    async with open_pool(conninfo(regions), "test") as found:
        yield found


def write(regions: Regions) -> int:
    """Something that is committed. Returns the LSN behind it."""
    regions.primary.value("SELECT 1 FROM pg_logical_emit_message(false, 'test', 'x')")
    return int(
        str(regions.primary.value("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"))
    )


async def test_it_is_there_once_it_is_flushed(mended: Regions, pool: Pool) -> None:
    second = PostgresStandby(pool, STANDBY)
    mended.link.cut()
    lsn = write(mended)
    mended.primary.value("SELECT pg_switch_wal()::text")
    assert not await second.flushed(lsn, 0.2)
    waiting = [asyncio.create_task(second.flushed(lsn, 60)) for _ in range(20)]
    mended.link.mend()
    assert all(await asyncio.gather(*waiting))
    assert await second.flushed(lsn, 0)
    assert not await second.flushed(lsn + (1 << 40), 0)
    await second.aclose()


async def test_an_unknown_one_has_nothing(mended: Regions, pool: Pool) -> None:
    for name in ("other", "", f"{STANDBY} ", "%"):
        assert not await PostgresStandby(pool, name).flushed(1, 0.01)
    assert (await PostgresStandby(pool, STANDBY).standing()).followers == 1


async def test_of_two_of_one_name_the_one_behind_counts(mended: Regions, pool: Pool) -> None:
    """A second client streams under the name, and never tells that it has flushed anything."""
    second = PostgresStandby(pool, STANDBY)
    lsn = write(mended)
    assert await second.flushed(lsn, 60)
    params = dict(mended.primary.owner_params) | {"application_name": STANDBY}
    params.pop("dbname", None)
    streaming = psycopg.connect(**params, replication="true", autocommit=True)
    with contextlib.closing(streaming):
        start = mended.primary.value("SELECT pg_current_wal_flush_lsn()::text")
        streaming.pgconn.send_query(f"START_REPLICATION PHYSICAL {start}".encode())
        deadline = asyncio.get_running_loop().time() + 60
        while (await second.standing()).followers < 2:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.02)
        assert (await second.standing()).flushed == 0
        assert not await second.flushed(lsn, 0.1)
    assert await second.flushed(lsn, 60)
    await second.aclose()


async def test_the_role_that_serves_may_ask_for_that_and_for_no_more(mended: Regions) -> None:
    params = conninfo(mended)
    with psycopg.connect(**mended.primary.owner_params, autocommit=True) as owner:
        owner.execute("DROP ROLE IF EXISTS curious")
        owner.execute("CREATE ROLE curious NOLOGIN")
        try:
            owner.execute("GRANT USAGE ON SCHEMA ledger TO curious")
            owner.execute("GRANT EXECUTE ON FUNCTION ledger.standby TO curious")
            asking = Conninfo(Role.LEDGER, params.settings, params.password, assume="curious")
            async with open_pool(asking, "test") as pool:
                second = PostgresStandby(pool, STANDBY)
                assert await second.flushed(write(mended), 60)
                await second.aclose()
            # Where the owner of the tables may see nothing, it is not the standby that is blamed.
            owner.execute("CREATE ROLE plain NOLOGIN")
            owner.execute("GRANT USAGE, CREATE ON SCHEMA ledger TO plain")
            owner.execute("ALTER FUNCTION ledger.standby OWNER TO plain")
            async with open_pool(asking, "test") as pool:
                with pytest.raises(DatabaseRefused, match="may not see which standbys"):
                    await PostgresStandby(pool, STANDBY).flushed(1, 5)
            owner.execute("ALTER FUNCTION ledger.standby OWNER TO CURRENT_USER")
        finally:
            owner.execute("DROP OWNED BY curious")
            owner.execute("DROP ROLE curious")


@contextlib.contextmanager
def serving(regions: Regions, folder: Path, **region: str) -> Iterator[tuple[LedgerProcess, str]]:
    more = {"second_region": {"standby": STANDBY, "within": "2s", **region}}
    with psycopg.connect(**regions.primary.owner_params, autocommit=True) as connection:
        token = source_token(connection, source=folder.name)
    with ledger_process(folder / "one", conninfo(regions).dsn, more) as process:
        yield process, token


def test_the_process_stalls_while_it_is_away(mended: Regions, tmp_path: Path) -> None:
    with serving(mended, tmp_path, when_away="stall") as (process, token):
        source = tmp_path.name
        first = process.post(posted(range(100), source=source), token)
        assert first.status_code == 200, first.text
        assert first.json()["reach"] == "two regions"
        mended.link.cut()
        away = process.post(posted([100], source=source), token)
        assert (away.status_code, "post it again" in away.json()["hint"]) == (503, True)
        assert process.get("/health/ready") == 503
        assert process.post(posted([101], source=source), token).status_code == 503
        mended.link.mend()
        eventually(lambda: process.get("/health/ready") == 200, "it is back")
        told = process.post(posted([100, 101], source=source), token).json()
        assert (told["reach"], len(told["repeated"]), len(told["taken"])) == ("two regions", 1, 1)
        journal = mended.primary.value(
            "SELECT string_agg(event, ' ' ORDER BY id) FROM holdfast.journal"
            " WHERE event LIKE 'ledger.second%'"
        )
        assert str(journal).split()[-2:] == ["ledger.second_region_away", "ledger.second_region_back"]


def test_the_process_accepts_and_marks_while_it_is_away(mended: Regions, tmp_path: Path) -> None:
    with serving(mended, tmp_path, when_away="accept") as (process, token):
        source = tmp_path.name
        assert process.post(posted([0], source=source), token).json()["reach"] == "two regions"
        mended.link.cut()
        for seq in (1, 2, 3):
            told = process.post(posted([seq], source=source), token)
            assert (told.status_code, told.json()["reach"]) == (200, "one region")
        open_marks = "SELECT count(*) FROM ledger.one_region WHERE reached_at IS NULL"
        assert mended.primary.value(open_marks) == 3
        mended.link.mend()
        eventually(lambda: mended.primary.value(open_marks) == 0, "all of it is marked as in both")
        assert process.post(posted([4], source=source), token).json()["reach"] == "two regions"


def test_in_synchronous_mode_a_commit_that_waits_is_no_answer(mended: Regions, tmp_path: Path) -> None:
    mended.primary.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'")
    mended.primary.value("SELECT pg_reload_conf()")
    try:
        with serving(mended, tmp_path, mode="synchronous") as (process, token):
            source = tmp_path.name
            first = process.post(posted([0], source=source), token)
            assert first.status_code == 200, first.text + process.started.said.err
            assert first.json()["reach"] == "two regions"
            mended.link.cut()
            answer = process.post(posted([1], source=source), token)
            assert (answer.status_code, "on its disk" in answer.json()["detail"]) == (503, True)
            # Somebody lets the commit go: it is durable here, and that is not enough.
            mended.primary.value(
                "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            )
            assert process.post(posted([1], source=source), token).status_code == 503
            mended.link.mend()

            def again() -> bool:
                answer = process.post(posted([1], source=source), token)
                return answer.status_code == 200 and answer.json()["reach"] == "two regions"

            eventually(again, "it is acknowledged")
    finally:
        mended.link.mend()
        mended.primary.sql("ALTER SYSTEM RESET synchronous_standby_names")
        mended.primary.value("SELECT pg_reload_conf()")
