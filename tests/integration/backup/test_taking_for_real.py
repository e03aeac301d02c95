"""Backups of real servers, put back together with the tools that PostgreSQL and the system bring along."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import google_crc32c
import pytest
from tests.installation import eventually
from tests.protected import DEBIAN_15, OLDER, Protected

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.adapters.postgres.replication.source import PostgresSource
from holdfast.backup.errors import SourceRefused
from holdfast.backup.index import decoded_index
from holdfast.backup.model import Backup, BackupKind
from holdfast.backup.recoverable.holdings import holdings_of, raw_object
from holdfast.backup.take.taking import Taken, Taker
from holdfast.kernel.clock import SystemClock

CHUNK = 1024 * 1024
PACKER = ZstdPacker()
OBJECT = b"a large object " * 1000


@pytest.fixture(scope="module", params=[None, DEBIAN_15, OLDER[14]], ids=["packaged", "debian-15", "oldest"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    """A server with a tablespace, a large object, and a table that is unlogged."""
    folder = tmp_path_factory.mktemp("taken")
    started = Protected(folder / "server", bin_dir=request.param).start()
    (folder / "fast").mkdir(mode=0o700)
    started.sql(f"CREATE TABLESPACE fast LOCATION '{folder / 'fast'}'")
    started.sql(
        "CREATE TABLE plain AS SELECT n, md5(n::text) AS text FROM generate_series(1, 5000) AS n;"
        "CREATE UNLOGGED TABLE scratch AS SELECT n FROM generate_series(1, 1000) AS n;"
    )
    started.sql("CREATE TABLE swift TABLESPACE fast AS SELECT n FROM generate_series(1, 3000) AS n")
    started.sql(f"SELECT lo_from_bytea(4711, '\\x{OBJECT.hex()}')")
    yield started
    started.remove()


def take(server: Protected, region: MemoryRegion, parent: Backup | None = None) -> Taken:
    taker = Taker(PostgresSource(server.params), [region], PACKER, SystemClock(), chunk_bytes=CHUNK)
    manifest = None if parent is None else raw_object(region, parent.manifest, PACKER)
    return taker.take("main", parent=parent, parent_manifest=manifest)


def streams_of(region: MemoryRegion, backup: Backup) -> list[bytes]:
    return [
        b"".join(raw_object(region, chunk, PACKER) for chunk in archive.chunks) for archive in backup.archives
    ]


def unpacked(region: MemoryRegion, backup: Backup, folder: Path) -> Path:
    """The backup as plain files: chunks one behind the other are tar files, and `tar` unpacks them."""
    data = folder / "data"
    data.mkdir(mode=0o700, parents=True)
    for archive, stream in zip(backup.archives, streams_of(region, backup), strict=True):
        place = data if archive.oid == 0 else folder / archive.name.removesuffix(".tar")
        place.mkdir(mode=0o700, exist_ok=True)
        subprocess.run(["tar", "--no-same-owner", "-xf", "-", "-C", place], input=stream, check=True)
    for archive in backup.archives:
        if archive.oid:
            link = data / "pg_tblspc" / str(archive.oid)
            assert link.readlink() == Path(archive.location)
            link.unlink()
            link.symlink_to(folder / str(archive.oid))
    (data / "backup_manifest").write_bytes(raw_object(region, backup.manifest, PACKER))
    return data


def running_copy(server: Protected, folder: Path) -> Protected:
    """A server on `folder/data`, recovered by the WAL that the protected one still has."""
    server.sql("SELECT pg_switch_wal()")
    for segment in (server.data / "pg_wal").glob("0000*"):
        shutil.copy(segment, folder / "data" / "pg_wal")
    return Protected(folder, bin_dir=server.binaries.folder).start()


def assert_all_there(copy: Protected) -> None:
    assert copy.value("SELECT count(*) FROM plain WHERE md5(n::text) = text") == 5000
    assert copy.value("SELECT count(*) FROM swift") == 3000
    assert copy.value("SELECT count(*) FROM scratch") == 0
    assert bytes(copy.value("SELECT lo_get(4711)")) == OBJECT


def test_a_full_backup_is_restored_with_tar_alone(server: Protected, tmp_path: Path) -> None:
    region = MemoryRegion("one")
    taken = take(server, region)
    assert taken.backup.kind is BackupKind.FULL
    assert [each.oid for each in taken.backup.archives].count(0) == 1
    assert len(taken.backup.archives) == 2
    # The table, and nothing that is logged.
    assert taken.unlogged == 1
    data = unpacked(region, taken.backup, tmp_path / "copy")
    if server.binaries.major == 15:  # the packaged one's pg_verifybackup crashes
        server.run(str(server.binaries.folder / "pg_verifybackup"), "--no-parse-wal", str(data))
    copy = running_copy(server, tmp_path / "copy")
    try:
        assert_all_there(copy)
    finally:
        copy.remove()


def test_index_and_manifest_tell_the_same_files(server: Protected) -> None:
    region = MemoryRegion("one")
    backup = take(server, region).backup
    streams = streams_of(region, backup)
    members = {each.path: each for each in decoded_index(raw_object(region, backup.index, PACKER))}
    files = json.loads(raw_object(region, backup.manifest, PACKER))["Files"]
    assert len(files) > 500
    assert any(_path(each).startswith("pg_tblspc/") for each in files)
    for each in files:
        member = members[_path(each)]
        content = streams[member.archive][member.offset : member.offset + member.size]
        assert member.size == each["Size"]
        # PostgreSQL writes the checksum's bytes as they lie in memory.
        checksum = int.from_bytes(bytes.fromhex(each["Checksum"]), "little")
        assert google_crc32c.value(content) == checksum, member.path
    told = {_path(each) for each in files}
    # pg_control is sent last, and the manifest does tell of it; WAL folders are empty.
    assert {path for path, each in members.items() if each.kind == "file"} - told == set()


def _path(file: Mapping[str, str]) -> str:
    return file["Path"] if "Path" in file else bytes.fromhex(file["Encoded-Path"]).decode()


def test_increments_are_combined_by_pg_combinebackup(protected: Protected, tmp_path: Path) -> None:
    protected.sql("CREATE TABLE plain AS SELECT n, md5(n::text) AS text FROM generate_series(1, 200000) AS n")
    region = MemoryRegion("one")
    full = take(protected, region).backup
    protected.sql("DELETE FROM plain WHERE n <= 100")
    protected.sql("VACUUM plain")
    first = take(protected, region, full).backup
    protected.sql("UPDATE plain SET text = 'second' WHERE n = 200000; CREATE TABLE later AS SELECT 1 AS n")
    second = take(protected, region, first).backup
    assert (first.kind, first.parent, second.parent) == (BackupKind.INCREMENTAL, full.id, first.id)
    assert second.stored_bytes < full.stored_bytes / 5
    assert [each.id for each in holdings_of(region, "main", SystemClock()).backups] == [
        full.id,
        first.id,
        second.id,
    ]
    folders = [str(unpacked(region, each, tmp_path / each.id)) for each in (full, first, second)]
    (tmp_path / "copy").mkdir(mode=0o700)
    combine = str(protected.binaries.folder / "pg_combinebackup")
    protected.run(combine, *folders, "-o", str(tmp_path / "copy/data"))
    copy = running_copy(protected, tmp_path / "copy")
    try:
        assert copy.value("SELECT count(*) FROM plain") == 199_900
        assert copy.value("SELECT text FROM plain WHERE n = 200000") == "second"
        assert copy.value("SELECT n FROM later") == 1
    finally:
        copy.remove()


def test_a_promoted_standby_is_incremented_upon_what_its_primary_had(
    protected: Protected, tmp_path: Path
) -> None:
    protected.sql("CREATE TABLE plain AS SELECT n, md5(n::text) AS text FROM generate_series(1, 200000) AS n")
    region = MemoryRegion("one")
    # It was a standby already when the parent was taken: it summarises WAL only from where it began.
    standby = protected.standby(tmp_path / "standby")
    try:
        full = take(protected, region).backup
        protected.sql("UPDATE plain SET text = 'before' WHERE n = 1")
        eventually(lambda: standby.value("SELECT text FROM plain WHERE n = 1") == "before", "it follows")
        protected.kill9()
        standby.promote()
        standby.sql("UPDATE plain SET text = 'after' WHERE n = 200000")
        taken = take(standby, region, full)
        assert (taken.backup.kind, taken.backup.timeline) == (BackupKind.INCREMENTAL, 2), taken.notes
        folders = [str(unpacked(region, each, tmp_path / each.id)) for each in (full, taken.backup)]
        (tmp_path / "copy").mkdir(mode=0o700)
        combine = str(protected.binaries.folder / "pg_combinebackup")
        protected.run(combine, *folders, "-o", str(tmp_path / "copy/data"))
        copy = running_copy(standby, tmp_path / "copy")
        try:
            assert copy.value("SELECT text FROM plain WHERE n = 1") == "before"
            assert copy.value("SELECT text FROM plain WHERE n = 200000") == "after"
        finally:
            copy.remove()
    finally:
        standby.remove()


def test_without_wal_summaries_a_full_one_is_taken_and_it_says_why(protected: Protected) -> None:
    region = MemoryRegion("one")
    full = take(protected, region).backup
    protected.stop()
    protected.settings["summarize_wal"] = "off"
    protected.start()
    taken = take(protected, region, full)
    assert (taken.backup.kind, taken.backup.parent) == (BackupKind.FULL, "")
    assert "summar" in taken.notes[0]


def test_a_backup_while_rows_are_written_has_all_that_was_committed_before(
    server: Protected, tmp_path: Path
) -> None:
    region = MemoryRegion("one")
    server.sql("DROP TABLE IF EXISTS busy; CREATE TABLE busy (n int)")
    with server.connect() as writer:
        writer.execute("INSERT INTO busy VALUES (1)")
        source = PostgresSource(server.params)
        with source.base_backup(label="begun") as events:
            next(events)  # the backup is under way
            writer.execute("INSERT INTO busy SELECT generate_series(2, 5000)")
        taken = take(server, region)
        writer.execute("INSERT INTO busy VALUES (5001)")
    unpacked(region, taken.backup, tmp_path / "copy")
    copy = running_copy(server, tmp_path / "copy")
    try:
        assert copy.value("SELECT count(*) FROM busy") == 5001
    finally:
        copy.remove()


def test_damaged_pages_are_told_and_make_no_backup(protected: Protected) -> None:
    protected.sql("CREATE TABLE plain AS SELECT n FROM generate_series(1, 5000) AS n; CHECKPOINT")
    file = protected.data / protected.value("SELECT pg_relation_filepath('plain')")
    protected.stop()
    content = bytearray(file.read_bytes())
    content[5000] ^= 0xFF
    file.write_bytes(content)
    protected.start()
    region = MemoryRegion("one")
    with pytest.raises(SourceRefused, match="checksum"):
        take(protected, region)
    assert holdings_of(region, "main", SystemClock()).backups == ()
