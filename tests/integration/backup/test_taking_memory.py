"""Taking stays small, whatever the size of the database, and however a region behaves."""

import json
import subprocess
import sys

import pytest
from tests.installation import REPOSITORY

MOST_MIB = 250

# Nothing in it compresses, so that what is stored is as large as what is read.
TAKING = """
import json, os, sys, tarfile, time
from dataclasses import dataclass, replace
from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.backup.ports import Listed
from holdfast.backup.take.taking import Taker
from holdfast.kernel.clock import SystemClock
from tests.scripted_source import NOON, ScriptedSource

MIB = 1024 * 1024
SIZE = 500

class Large(ScriptedSource):
    def _script(self):
        begins, archive, _, end, *rest = ScriptedSource._script(self)
        entry = tarfile.TarInfo("base/5/16385")
        entry.size = SIZE * MIB
        yield begins
        yield archive
        yield memoryview(entry.tobuf(tarfile.GNU_FORMAT))
        noise = memoryview(os.urandom(MIB))
        for _ in range(SIZE):
            for start in range(0, MIB, 32768):
                yield noise[start : start + 32768]
        yield memoryview(bytes(1024))
        yield end
        yield from rest

class Forgetful:
    def __init__(self, name, pause_s):
        self.name, self.pause_s, self.sizes = name, pause_s, {}
    def put(self, key, content):
        time.sleep(self.pause_s)
        self.sizes[key] = len(content)
    def listed(self, prefix, after=""):
        return iter([Listed(key, size, NOON) for key, size in sorted(self.sizes.items())])

regions = [Forgetful("quick", 0), Forgetful("other", float(sys.argv[1]))]
taker = Taker(Large(), regions, ZstdPacker(), SystemClock(), patience_s=0.5)
taken = taker.take("main")
status = open("/proc/self/status").read()
peak = int(status.partition("VmHWM:")[2].split()[0]) // 1024
print(json.dumps({"peak": peak, "complete": taken.complete, "stored": taken.backup.stored_bytes}), flush=True)
os._exit(0)  # a put that hangs is not waited for
"""


@pytest.mark.parametrize(("pause_s", "complete"), [(0.0, ["quick", "other"]), (600.0, ["quick"])])
def test_what_does_not_compress_fits_beside_a_region_that_hangs(pause_s: float, complete: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", TAKING, str(pause_s)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["complete"] == complete
    assert told["stored"] > 500 * 1024 * 1024
    assert told["peak"] < MOST_MIB
