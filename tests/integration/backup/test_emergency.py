"""The page about restoring without Holdfast does what it says."""

import base64
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.protected import Protected
from tests.restorable import Restorable

from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.packing.authentic import AuthenticRegion
from holdfast.adapters.packing.zstd import ZstdPacker

PAGE = Path(__file__).parents[3] / "docs" / "emergency-restore.md"
KEY = bytes(range(32))


def _script() -> str:
    """The page's blocks, one behind the other, as somebody would type them."""
    return "\n".join(
        re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    )


def _programs(folder: Path) -> str:
    """A PATH with this Python, which has `cryptography`, and with `zstd` also where the system has none."""
    folder.mkdir()
    (folder / "python3").symlink_to(sys.executable)
    if shutil.which("zstd") is None:
        (folder / "zstd").write_text(
            f"#!{sys.executable}\n"
            "import sys, zstandard\n"
            "source = open(sys.argv[2], 'rb') if len(sys.argv) > 2 else sys.stdin.buffer\n"
            "zstandard.ZstdDecompressor().copy_stream(source, sys.stdout.buffer)\n"
        )
        (folder / "zstd").chmod(0o755)
    # The link to Python must lie in its environment to find what is installed there.
    return f"{Path(sys.executable).parent}:{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize("sealed", [False, True])
def test_the_page_restores_a_chain_to_a_moment(protected: Protected, tmp_path: Path, sealed: bool) -> None:
    for name in ("store", "work", "keys", "outside"):
        (tmp_path / name).mkdir(mode=0o700)
    (tmp_path / "keys" / "year-1.key").write_bytes(base64.b64encode(KEY))
    packer = ZstdPacker(keys={"year-1": KEY}, key="year-1") if sealed else ZstdPacker()
    keys = {"year-1": KEY} if sealed else {}
    store = open_region("eu", f"file://{tmp_path / 'store'}", {})
    stored = Restorable(protected, [AuthenticRegion(store, keys, packer.sealed_with)], packer)
    os.chown(tmp_path / "outside", protected.confinement.uid, protected.confinement.gid)
    protected.sql(f"CREATE TABLESPACE fast LOCATION '{tmp_path / 'outside'}'")
    protected.sql("CREATE TABLE t TABLESPACE fast AS SELECT i FROM generate_series(1, 5000) i")
    stored.take()
    protected.sql("UPDATE t SET i = -1 WHERE i = 7")
    stored.take()
    protected.sql("INSERT INTO t VALUES (-2)")
    moment = protected.value("SELECT clock_timestamp()")
    time.sleep(0.01)
    protected.sql("DELETE FROM t")
    stored.store_wal()

    environment = {
        "PATH": _programs(tmp_path / "programs"),
        "STORE": str(tmp_path / "store"),
        "DB": "shop",
        "WORK": str(tmp_path / "work"),
        "PGBIN": str(protected.binaries.folder),
        "KEYS": str(tmp_path / "keys"),
        "UNTIL": moment.isoformat(),
        "LC_ALL": "C",
    }
    ended = subprocess.run(
        [*protected.confinement.prefix, "bash", "-euo", "pipefail", "-c", _script()],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert ended.returncode == 0, ended.stderr
    server = Protected(tmp_path / "restored", bin_dir=protected.binaries.folder)
    (tmp_path / "work" / "data").rename(server.data)
    server.start()
    try:
        assert server.value("SELECT count(*) FROM t WHERE i < 0") == 2
        assert server.value("SELECT count(*) FROM t") == 5001
    finally:
        server.stop()
