"""A program that is tied to the process that started it does not outlive it."""

import os
import subprocess
import sys
from pathlib import Path

from tests.installation import eventually

from holdfast.adapters.postgres.server import process
from holdfast.adapters.postgres.server.parenthood import ends_with_us

_STARTS = """
import sys, time
from pathlib import Path
from holdfast.adapters.postgres.server import process
from holdfast.adapters.postgres.server.parenthood import ends_with_us

folder = Path(sys.argv[1])
lock = process.FileLock(folder / "lock")
print(process.spawn([*ends_with_us(), "/bin/sleep", "600"], {}, folder / "log", lock), flush=True)
time.sleep(600)
"""


def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _STARTS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        eventually(lambda: Path(f"/proc/{pid}/exe").resolve().name == "sleep", "it runs")
        parent.kill()
    eventually(lambda: not process.lives(pid), "it has ended")


def test_one_whose_parent_is_gone_already_does_not_begin(tmp_path: Path) -> None:
    made = tmp_path / "made"
    tied = [*ends_with_us(), "/bin/touch", str(made)]
    assert subprocess.run(tied, check=False).returncode == 0
    assert made.exists()
    made.unlink()
    tied[tied.index(str(os.getpid()))] = "1"
    assert subprocess.run(tied, check=False).returncode != 0
    assert not made.exists()
