"""Entries of a ledger that only a lost primary had: read out of its log, and taken in again."""

import json
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.chaos.ledger_serving import TENANT, Third, conninfo
from tests.installation import eventually
from tests.protected import LOGIN_PASSWORD, OWNER_PASSWORD, Protected
from tests.standby import Regions, two_regions

from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.migrate import migrate
from holdfast.adapters.postgres.recovery.tail_tables import table_names
from holdfast.adapters.postgres.server.external import ExternalPostgres
from holdfast.bootstrap.recovery.tails import FolderTails
from holdfast.ledger.canonical import entry_of, leaf_of
from holdfast.ledger.model import Correction, Kind, Record, Status
from holdfast.recovery.loss import Loss, found_after, lsn_number

MANY = 3000
"""More than fit into a row of the log's table: their segment stands elsewhere."""


def records(first: int, count: int, **more: object) -> list[bytes]:
    return [
        leaf_of(
            Record(
                epoch=1,
                job=f"job-{seq}",
                kind=Kind.PRINT,
                mono_impressions=seq % 40,
                occurred_at=datetime(2026, 11, 23, 12, 0, seq % 60, tzinfo=UTC),
                seq=seq,
                source="mfp-1",
                status=Status.COMPLETED,
                tenant=TENANT,
                **more,  # type: ignore[arg-type]
            )
        )
        for seq in range(first, first + count)
    ]


def parted_at(server: Protected) -> dict[int, int]:
    """Where each timeline before the server's own ended."""
    history = (server.data / "pg_wal" / "00000002.history").read_text()
    lines = [line.split() for line in history.splitlines() if line.strip()]
    return {int(each[0]): lsn_number(each[1]) for each in lines}


def taken_over(regions: Regions) -> None:
    """The primary dies, and the other one takes over, once nothing is left to be replayed."""
    received = "SELECT pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn()"
    eventually(lambda: regions.standby.value(received), "the standby has replayed what it has")
    regions.lose_primary()
    regions.take_over()


def login(server: Protected) -> Conninfo:
    params = {name: text for name, text in server.owner_params.items() if name != "password"}
    return Conninfo(Role.RECOVERY, params, OWNER_PASSWORD)


def kept_in(file: str) -> tuple[list[bytes], int]:
    """Its lines, and who may read it."""
    path = Path(file)
    return path.read_bytes().splitlines(), stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=["logical", "replica"])
def regions(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Regions]:
    """With what the log holds of a row where its page's image is there as well: the row too, or the image."""
    with two_regions(tmp_path / "regions", settings={"wal_level": request.param}) as running:
        yield running


async def lost_with_entries(regions: Regions, folder: Path) -> tuple[Loss, list[bytes]]:
    """The statement of a primary that was lost with entries, and these."""
    server = regions.primary
    await ExternalPostgres(conninfo(server).dsn).start()
    await migrate(conninfo(server))
    with Third(folder / "third") as third:
        async with third.serving(server, gates_answers=False, gates_checkpoints=False) as served:
            await served.post("mfp-1", records(1, 10))
            regions.until_caught_up()
            regions.link.cut()
            # The first change of each page since a checkpoint brings the whole page with it.
            server.sql("CHECKPOINT")
            lost = records(11, 5) + records(16, MANY) + records(16 + MANY, 1)
            for part in (lost[:5], lost[5:-1], lost[-1:]):
                await served.post("mfp-1", part)
    taken_over(regions)

    async def names(region: str, databases: frozenset[int]) -> Mapping[tuple[int, int], str]:
        assert region == "a"
        return await table_names(login(regions.primary), databases)

    tails = FolderTails({"a": server.data}, folder / "kept", names)
    return await tails.archive("a", parted_at(regions.primary), waited=False), lost


async def test_every_entry_that_was_lost_is_listed_and_can_be_taken_in_again(
    regions: Regions, tmp_path: Path
) -> None:
    loss, lost = await lost_with_entries(regions, tmp_path)
    found = loss.entries
    assert found is not None
    assert (found.count, found.complete, found.by_hand) == (len(lost), True, 0)
    assert [(each.ledger, each.source, each.epoch, each.sequence, each.job) for each in found.entries] == [
        (TENANT, "mfp-1", 1, seq, f"job-{seq}") for seq in range(11, 17 + MANY)
    ]
    assert [each.leaf for each in found.entries] == list(range(10, 16 + MANY))
    assert kept_in(found.kept_at) == (lost, 0o600)
    tables = {table for each in loss.transactions for table in each.tables}
    assert {"ledger.growth", "ledger.run"} <= tables
    assert not any(table.startswith("file ") for table in tables), tables
    told = found_after(loss)
    assert told["entries_to_reapply"] == str(len(lost))
    assert "mfp-1 1/11  job job-11" in told["loss"]

    # Into the log that goes on, twice: it is there once, and what its source posts again is absorbed.
    with Third(tmp_path / "again") as third:
        async with third.serving(regions.primary, gates_answers=False, gates_checkpoints=False) as served:
            again = await served.post("mfp-1", kept_in(found.kept_at)[0])
            assert (sorted(again.leaves), again.repeated) == (list(range(10, 16 + MANY)), 0)
            assert (await served.post("mfp-1", lost)).repeated == len(lost)
            assert list((await served.entries_from(10)).values()) == lost


async def test_a_tail_that_is_read_again_says_the_same(regions: Regions, tmp_path: Path) -> None:
    loss, _ = await lost_with_entries(regions, tmp_path)
    regions.primary.sql("VACUUM FULL ledger.run")  # it has another file by now
    tails = FolderTails({"a": regions.standby.data}, tmp_path / "kept")
    assert await tails.archive("a", parted_at(regions.primary), waited=False) == loss


async def test_entries_of_what_never_committed_are_none(tmp_path: Path) -> None:
    with two_regions(tmp_path / "regions") as regions:
        server = regions.primary
        await ExternalPostgres(conninfo(server).dsn).start()
        await migrate(conninfo(server))
        with Third(tmp_path / "third") as third:
            async with third.serving(server, gates_answers=False, gates_checkpoints=False) as served:
                await served.post("mfp-1", records(1, 10))
        regions.until_caught_up()
        regions.link.cut()
        with server.connect() as connection:
            connection.execute("BEGIN")
            connection.execute(
                "INSERT INTO ledger.segment (log_id, first, at, leaves, entries) "
                "SELECT log_id, first + 1000, at, leaves, entries FROM ledger.segment"
            )
            connection.execute("ROLLBACK")
        server.sql("CREATE TABLE other (a integer, b bigint, c timestamptz, d integer, e bytea)")
        server.sql("INSERT INTO other SELECT 1, n, now(), 3, '\\x00ff' FROM generate_series(1, 20) AS n")
        taken_over(regions)
        tails = FolderTails({"a": server.data}, tmp_path / "kept")
        loss = await tails.archive("a", parted_at(regions.primary), waited=True)
    assert loss.count == 2
    assert loss.entries is not None
    assert (loss.entries.count, loss.entries.complete, loss.entries.kept_at) == (0, True, "")
    assert found_after(loss)["lost_entries"] == "0"


async def test_a_correction_of_a_lost_entry_is_looked_at_by_people(tmp_path: Path) -> None:
    """Its leaf is another one by then; one of an entry that both had stays what it was."""
    with two_regions(tmp_path / "regions") as regions:
        server = regions.primary
        await ExternalPostgres(conninfo(server).dsn).start()
        await migrate(conninfo(server))
        with Third(tmp_path / "third") as third:
            async with third.serving(server, gates_answers=False, gates_checkpoints=False) as served:
                await served.post("mfp-1", records(1, 10))
                regions.until_caught_up()
                regions.link.cut()
                corrects = [Correction(actor="ada", leaf=leaf, reason="wrong") for leaf in (3, 10)]
                await served.post("mfp-1", records(11, 1))
                for seq, each in enumerate(corrects, 12):
                    await served.post("mfp-1", records(seq, 1, corrects=each))
        taken_over(regions)
        tails = FolderTails({"a": server.data}, tmp_path / "kept")
        loss = await tails.archive("a", parted_at(regions.primary), waited=None)
    assert loss.entries is not None
    assert [bool(each.by_hand) for each in loss.entries.entries] == [False, False, True]
    assert found_after(loss)["entries_to_reapply"] == "2"
    kept = loss.entries.kept_at
    assert [entry_of(line).seq for line in kept_in(kept)[0]] == [11, 12]
    [told] = kept_in(kept.replace("entries", "entries-by-hand"))[0]
    assert json.loads(told)["leaf"] == 12
    assert "corrects" in json.loads(told)["why"]


async def test_who_may_not_ask_is_told_numbers(tmp_path: Path) -> None:
    with two_regions(tmp_path / "regions") as regions:
        wrong = Conninfo(Role.RECOVERY, dict(login(regions.primary).settings), LOGIN_PASSWORD)
        assert await table_names(wrong, frozenset({5})) == {}
        [oid] = [int(regions.primary.value("SELECT oid FROM pg_database WHERE datname = 'postgres'"))]
        regions.primary.sql("CREATE TABLE job (id integer, title text)")
        number = int(regions.primary.value("SELECT pg_relation_filenode('job')"))
        found = await table_names(login(regions.primary), frozenset({oid, 0}))
        assert found[oid, number] == "public.job"
        toast = int(
            regions.primary.value(
                "SELECT pg_relation_filenode(reltoastrelid) FROM pg_class WHERE relname = 'job'"
            )
        )
        assert found[oid, toast] == "public.job (long values)"
