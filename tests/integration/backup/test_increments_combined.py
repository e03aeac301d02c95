"""What a restore makes of a chain is what PostgreSQL's own pg_combinebackup makes of it, byte for byte."""

import hashlib
import tarfile
from io import BytesIO
from pathlib import Path

from tests.protected import Protected
from tests.restorable import Restorable

from holdfast.backup.model import Backup
from holdfast.backup.recoverable.holdings import raw_object

# pg_combinebackup writes a manifest of its own, and what came from a table of tablespaces we have placed.
_DIFFERENT = {"backup_manifest", "tablespace_map", "holdfast-restore.json", "holdfast-restore.journal"}


def _extracted(stored: Restorable, backup: Backup, folder: Path) -> Path:
    """As stock tools unpack it: the chunks one behind the other are a tar file."""
    for archive in backup.archives:
        chunks = [raw_object(stored.regions[0], each, stored.packer) for each in archive.chunks]
        place = folder if archive.oid == 0 else folder / "pg_tblspc" / str(archive.oid)
        with tarfile.open(fileobj=BytesIO(b"".join(chunks))) as tar:
            tar.extractall(place, filter="data")
    (folder / "backup_manifest").write_bytes(raw_object(stored.regions[0], backup.manifest, stored.packer))
    folder.chmod(0o700)
    return folder


def _files(folder: Path) -> dict[str, str]:
    paths = (each for each in folder.rglob("*") if each.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.name not in _DIFFERENT
    }


def test_a_chain_of_three_increments_is_what_pg_combinebackup_makes(
    protected: Protected, tmp_path: Path
) -> None:
    stored = Restorable(protected)
    protected.sql("""
        CREATE TABLE kept AS SELECT i, repeat('x', 200) AS pad FROM generate_series(1, 20000) i;
        CREATE TABLE shrinks AS SELECT i, repeat('y', 500) AS pad FROM generate_series(1, 8000) i;
        CREATE TABLE emptied AS SELECT i FROM generate_series(1, 5000) i;
        CREATE TABLE dropped AS SELECT i FROM generate_series(1, 5000) i;
        CREATE TABLE still (i int);
        CREATE INDEX ON kept (i);
        SELECT lo_create(4711), lo_put(4711, 0, repeat('large', 100000)::bytea);
    """)
    stored.take()
    protected.sql("UPDATE kept SET pad = 'changed' WHERE i % 500 = 0")
    protected.sql("DELETE FROM shrinks WHERE i > 2000")
    protected.sql("VACUUM shrinks")
    protected.sql("CREATE TABLE new AS SELECT i FROM generate_series(1, 9000) i; DROP TABLE dropped")
    stored.take()
    protected.sql("TRUNCATE emptied; INSERT INTO emptied VALUES (1)")
    protected.sql("INSERT INTO shrinks SELECT i, repeat('z', 900) FROM generate_series(1, 6000) i")
    protected.sql("UPDATE new SET i = i WHERE i < 100")
    stored.take()
    protected.sql("DELETE FROM shrinks WHERE pad LIKE 'z%' AND i > 300")
    protected.sql("VACUUM shrinks")
    protected.sql("UPDATE kept SET pad = 'again' WHERE i % 700 = 0")
    stored.take()
    parts = [
        _extracted(stored, each, tmp_path / f"part-{number}") for number, each in enumerate(stored.backups)
    ]
    combined = tmp_path / "combined"
    protected.run(str(protected.binaries.folder / "pg_combinebackup"), *map(str, parts), "-o", str(combined))

    ours = tmp_path / "ours"
    stored.restorer().lay_out(stored.plan_of_files(), ours)

    assert len(stored.backups[-1].archives[0].chunks) > 3
    assert _files(ours) == _files(combined)
    assert {each.stat().st_mode & 0o777 for each in ours.rglob("*")} == {0o600, 0o700}
