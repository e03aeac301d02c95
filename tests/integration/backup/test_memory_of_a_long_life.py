"""One process takes and restores, again and again: neither size nor past counts for its memory."""

import json
import subprocess
import sys
from pathlib import Path

from tests.installation import REPOSITORY

DATA_MIB = 256
ROOM_MIB = 160
"""Chunks that are filled, packed, sealed and on their way: as many as the limits in the code let there be."""
KEPT_MIB = 48
"""What such work may leave behind, such as the C library's own arenas."""

# Nothing in it compresses, and all of it is sealed, so that every chunk is as large as it can be.
LIVING = """
import json, os, shutil, sys, tarfile
from pathlib import Path
from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.backup.restore.fetching import Fetcher
from holdfast.backup.restore.unpacking import Unpacker
from holdfast.backup.take.taking import Taker
from holdfast.bootstrap.backup.memory import give_back, give_back_at_once
from holdfast.kernel.clock import SystemClock
from tests.scripted_source import ScriptedSource

MIB = 1024 * 1024
FOLDER, SIZE = Path(sys.argv[1]), int(sys.argv[2])

def status(field):
    return int(open("/proc/self/status").read().partition(field + ":")[2].split()[0]) // 1024

def header(name, size):
    entry = tarfile.TarInfo(name)
    entry.size = size
    return memoryview(entry.tobuf(tarfile.GNU_FORMAT))

class Large(ScriptedSource):
    def _script(self):
        begins, archive, _, end, *rest = ScriptedSource._script(self)
        yield begins
        yield archive
        yield header("backup_label", 512)
        yield memoryview(b"START WAL LOCATION: 0/5000000" + bytes(483))
        yield header("base/5/16385", SIZE * MIB)
        for _ in range(SIZE):
            noise = memoryview(os.urandom(MIB))
            for start in range(0, MIB, 32768):
                yield noise[start : start + 32768]
        yield memoryview(bytes(1024))
        yield end
        yield from rest

(FOLDER / "store").mkdir()
region = open_region("here", (FOLDER / "store").as_uri(), {})
packer = ZstdPacker(keys={"now": os.urandom(32)}, key="now")
taker = Taker(Large(), [region], packer, SystemClock())
give_back_at_once()
told = {"base": status("VmRSS"), "taking": [], "restoring": [], "kept": []}
for _ in range(2):
    # The most memory since here: proc_pid_clear_refs(5).
    Path("/proc/self/clear_refs").write_text("5")
    backup = taker.take("main").backup
    told["taking"].append(status("VmHWM"))
    give_back()
    Path("/proc/self/clear_refs").write_text("5")
    out = FOLDER / "out"
    out.mkdir()
    Unpacker(Fetcher([region], packer), [backup], out).lay_out((), (), resuming=False, over=False)
    told["restoring"].append(status("VmHWM"))
    told["restored"] = (out / "base/5/16385").stat().st_size
    give_back()
    told["kept"].append(status("VmRSS"))
    shutil.rmtree(out)
    region.delete([each.key for each in region.listed("")])
print(json.dumps(told))
"""


def test_taking_and_restoring_take_the_same_memory_whatever_was_done_before(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LIVING, str(tmp_path), str(DATA_MIB)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["restored"] == DATA_MIB << 20
    for what in ("taking", "restoring"):
        assert [most - told["base"] < ROOM_MIB for most in told[what]] == [True, True], told
    assert [left - told["base"] < KEPT_MIB for left in told["kept"]] == [True, True], told
