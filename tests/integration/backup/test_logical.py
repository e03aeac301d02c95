"""The logical tier: dumps that are consistent, invisible until complete, and loaded again."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from tests.protected import DEBIAN_15, Protected

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.adapters.postgres.logical import Client, passfile_text, programs
from holdfast.adapters.postgres.new_server import new_servers
from holdfast.adapters.postgres.restored import server as restored
from holdfast.backup.engines import Depth, Engine
from holdfast.backup.errors import Damaged, NotFit, NotRecoverable, RegionAway, SourceAway, SourceRefused
from holdfast.backup.logical.held import logical_backups
from holdfast.backup.logical.logical import Dump, LogicalTier
from holdfast.backup.model import BackupKind, Target, TargetKind
from holdfast.backup.ports import Region
from holdfast.kernel.clock import SystemClock

PASSWORD = "pass:word\\of the dumps"
KEY = b"k" * 32
TABLES = """
CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO accounts SELECT id, 100 FROM generate_series(1, 1000) id;
CREATE TABLE papers (id int PRIMARY KEY, text text);
INSERT INTO papers SELECT id, repeat(md5(id::text), 20) FROM generate_series(1, 5000) id;
"""


@pytest.fixture(scope="module", params=["packaged", "debian 15"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    bin_dir = DEBIAN_15 if request.param == "debian 15" else None
    made = Protected(tmp_path_factory.mktemp("dumped"), bin_dir=bin_dir).start()
    escaped = PASSWORD.replace("'", "''")
    made.sql(f"CREATE ROLE dumper LOGIN PASSWORD '{escaped}'")
    made.sql("GRANT pg_read_all_data TO dumper")
    made.sql("CREATE ROLE teller")
    made.sql('CREATE DATABASE "shop = 1" OWNER teller')
    made.sql(TABLES, "shop = 1")
    made.sql("ALTER TABLE accounts OWNER TO teller", "shop = 1")
    yield made
    made.remove()


@pytest.fixture
def client(server: Protected) -> Client:
    params = {**server.params, "user": "dumper", "password": PASSWORD}
    return Client(params, programs(server.binaries.folder))


@pytest.fixture
def regions() -> list[MemoryRegion]:
    return [MemoryRegion("eu"), MemoryRegion("us")]


def tier(client: Client, regions: list[Region] | list[MemoryRegion]) -> LogicalTier:
    packer = ZstdPacker(keys={"k1": KEY}, key="k1")
    new = new_servers(client.binaries)
    return LogicalTier("shop", client, list(regions), packer, SystemClock(), new, chunk_bytes=65536)


def total_in(folder: Path, client: Client) -> tuple[int, int, str]:
    copy = restored.start(folder, client.binaries, recovery=None)
    try:
        sql = "SELECT sum(balance), (SELECT count(*) FROM papers), (SELECT tableowner FROM pg_tables"
        asked = copy.ask("shop = 1", f"{sql} WHERE tablename = 'accounts') FROM accounts", 60)
        assert not asked.error
        (row,) = asked.rows
        return int(row[0] or 0), int(row[1] or 0), str(row[2])
    finally:
        copy.stop()


def test_it_is_dumped_into_every_region_sealed_and_restored_into_a_new_server(
    server: Protected, client: Client, regions: list[MemoryRegion], tmp_path: Path
) -> None:
    engine: Engine = tier(client, regions)
    before = datetime.now(UTC)
    kept = engine.take(Depth.INCREMENTAL, label="before the move")
    assert (kept.kind, kept.depends_on, kept.label) == (BackupKind.FULL, (), "before the move")
    assert kept.server_version // 10000 == server.binaries.major
    assert before - timedelta(seconds=1) < kept.started_at <= kept.finished_at
    assert kept.stored_bytes is not None
    assert 0 < kept.stored_bytes < kept.raw_bytes / 3
    assert [(each.id, each.region) for each in engine.backups()] == [(kept.id, "eu"), (kept.id, "us")]
    assert engine.windows() == ()
    assert engine.check() == []
    for region in regions:
        for each in region.listed("shop/logical/"):
            assert b"accounts" not in region.get(each.key) or each.key.endswith("backup.json")

    folder = tmp_path / "copy"
    assert engine.restore(Target(TargetKind.LABEL, label="before the move"), folder).id == kept.id
    assert total_in(folder, client) == (100_000, 5000, "teller")
    rules = (folder / "pg_hba.conf").read_text()
    assert "trust" not in [line.split()[-1] for line in rules.splitlines() if line and line[0] != "#"]


def test_a_dump_sees_one_moment_while_others_write(
    server: Protected, client: Client, regions: list[MemoryRegion], tmp_path: Path
) -> None:
    moves, ended = 0, threading.Event()

    def move_money() -> None:
        nonlocal moves
        with psycopg.connect(**{**server.owner_params, "dbname": "shop = 1"}) as connection:  # type: ignore[arg-type]
            while not ended.is_set():
                # From the front of the table to its end: whoever reads them at two moments sees another sum.
                connection.execute("UPDATE accounts SET balance = balance - 7 WHERE id <= 500")
                connection.execute("UPDATE accounts SET balance = balance + 7 WHERE id > 500")
                connection.commit()
                moves += 1

    mover = threading.Thread(target=move_money)
    mover.start()
    try:
        engine = tier(client, regions)
        while moves < 3:
            time.sleep(0.01)
        began = moves
        engine.take(Depth.FULL)
        assert moves > began
    finally:
        ended.set()
        mover.join()
    engine.restore(Target(), tmp_path / "copy")
    assert total_in(tmp_path / "copy", client)[0] == 100_000


def test_it_is_loaded_into_a_running_server_once(
    client: Client, regions: list[MemoryRegion], tmp_path: Path
) -> None:
    engine = tier(client, regions)
    engine.take(Depth.FULL)
    with new_servers(client.binaries)(tmp_path / "target") as into:
        engine.load(Target(), into)
        assert "shop = 1" in into.look().databases
        with pytest.raises(NotFit, match="already"):
            engine.load(Target(), into)
    assert total_in(tmp_path / "target", client) == (100_000, 5000, "teller")


def test_a_killed_one_is_no_backup_and_is_swept(server: Protected, client: Client, tmp_path: Path) -> None:
    script = tmp_path / "take.py"
    script.write_text(
        f"""
import sys
from pathlib import Path
from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.adapters.postgres.logical import Client, programs
from holdfast.adapters.postgres.new_server import new_servers
from holdfast.backup.engines import Depth
from holdfast.backup.logical.logical import LogicalTier
from holdfast.kernel.clock import SystemClock

class Held(Client):
    def _pieces(self, program, *rest):
        for number, piece in enumerate(super()._pieces(program, *rest)):
            yield piece
            if program == "pg_dump" and number == 3:
                print("in the middle", flush=True)
                sys.stdin.read()

client = Held(dict({client.params!r}, password=sys.argv[1]), programs(Path({str(client.binaries.folder)!r})))
region = open_region("eu", {(tmp_path / "store").as_uri()!r}, {{}}, "none")
LogicalTier("shop", client, [region], ZstdPacker(), SystemClock(), new_servers(client.binaries),
            chunk_bytes=65536).take(Depth.FULL)
"""
    )
    region = open_region("eu", (tmp_path / "store").as_uri(), {}, "none")
    engine = tier(client, [region])
    taking = subprocess.Popen(
        [sys.executable, str(script), PASSWORD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert taking.stdout is not None
        assert taking.stdout.readline() == b"in the middle\n"
    finally:
        taking.send_signal(signal.SIGKILL)
        taking.communicate()
    assert engine.backups() == []
    with pytest.raises(NotRecoverable):
        engine.restore(Target(), tmp_path / "copy")
    assert engine.sweep() == 0  # it could still go on, for all that others know
    assert engine.sweep(left_alone=timedelta(0)) > 0
    assert list(region.listed("shop/")) == []
    assert engine.take(Depth.FULL).id == engine.backups()[-1].id


def test_a_restore_that_fails_leaves_no_folder_that_looks_like_a_database(
    client: Client, regions: list[MemoryRegion], tmp_path: Path
) -> None:
    engine = tier(client, regions)
    engine.take(Depth.FULL)
    (backup,) = logical_backups(regions[0], "shop")
    for region in regions:
        region.damage(backup.archives[-1].chunks[-1].key, 5)
    (tmp_path / "copy.unfinished").mkdir()
    (tmp_path / "copy.unfinished" / "PG_VERSION").write_text("of one that was killed")
    with pytest.raises(Damaged):
        engine.restore(Target(), tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


class Failing(Client):
    """Its pg_dump is ended in the middle."""

    def _pieces(self, program: str, process: "subprocess.Popen[bytes]", trouble: object) -> Iterator[bytes]:
        for piece in super()._pieces(program, process, trouble):  # type: ignore[arg-type]
            yield piece
            if program == "pg_dump":
                process.kill()


def test_a_dump_that_ends_in_the_middle_is_no_backup(client: Client, regions: list[MemoryRegion]) -> None:
    failing = Failing(client.params, client.binaries)
    with pytest.raises(SourceRefused, match="pg_dump"):
        tier(failing, regions).take(Depth.FULL)
    assert tier(client, regions).backups() == []


def test_a_region_that_is_away_is_left_behind_and_the_other_has_it(
    client: Client, regions: list[MemoryRegion]
) -> None:
    regions[1].faults.away = True
    taken = tier(client, regions).taken()
    assert taken.complete == ("eu",)
    assert set(taken.behind) == {"us"}
    assert [each.region for each in tier(client, regions).backups()] == ["eu"]
    regions[0].faults.away = True
    with pytest.raises(RegionAway):
        tier(client, regions).backups()


def test_a_record_without_its_objects_is_no_backup(client: Client, regions: list[MemoryRegion]) -> None:
    engine = tier(client, regions)
    engine.take(Depth.FULL)
    (backup,) = logical_backups(regions[0], "shop")
    regions[0].delete([backup.archives[-1].chunks[0].key])
    assert logical_backups(regions[0], "shop") == []
    assert [each.region for each in engine.backups()] == ["us"]


def test_no_password_is_in_any_argv_nor_in_what_goes_wrong(
    client: Client, regions: list[MemoryRegion]
) -> None:
    seen: list[bytes] = []

    class Watched(Client):
        def dump(self, database: str) -> AbstractContextManager[Dump]:
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.append(entry.read_bytes())
                except OSError:
                    continue
            return super().dump(database)

    tier(Watched(client.params, client.binaries), regions).take(Depth.FULL)
    assert not [each for each in seen if b"word\\of" in each]
    wrong = replace(client, params={**client.params, "password": "wrong " + PASSWORD})
    with pytest.raises(SourceAway) as caught:
        tier(wrong, regions).take(Depth.FULL)
    assert PASSWORD not in str(caught.value)
    assert passfile_text("a:b\\c") == "a\\:b\\\\c"
    with pytest.raises(SourceRefused):
        passfile_text("two\nlines")


def test_a_program_that_hangs_is_given_up(
    client: Client, regions: list[MemoryRegion], tmp_path: Path
) -> None:
    for name in ("postgres", "initdb", "pg_dump", "pg_dumpall", "pg_restore", "psql"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\nexec sleep 600\n")
        program.chmod(0o755)
    hanging = Client(
        client.params, replace(client.binaries, folder=tmp_path), stall=timedelta(milliseconds=300)
    )
    with pytest.raises(SourceAway, match="has said nothing"):
        tier(hanging, regions).take(Depth.FULL)
    assert not [each for each in _children() if each.startswith("sleep")]


def _children() -> list[str]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in text]
