"""kill -9 of a process that takes a backup, wherever it stands."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.installation import eventually
from tests.protected import Protected

from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.adapters.postgres.replication.source import PostgresSource
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.take.sweeping import sweep
from holdfast.backup.take.taking import Taker
from holdfast.kernel.clock import SystemClock

# Chunks are small, so that there are many places to die at. At one of them it stands still and waits for it.
TAKING = """
import json, sys, time
from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.adapters.postgres.replication.source import PostgresSource
from holdfast.backup.take.taking import Taker
from holdfast.kernel.clock import SystemClock

class Stopping:
    def __init__(self, region):
        self.name = region.name
        self.listed = region.listed
        self._put = region.put
        self._left = int(sys.argv[2])
    def put(self, key, content):
        self._left -= 1
        if self._left < 0 or key.endswith("backup.json"):
            time.sleep(600)
        self._put(key, content)

regions = [Stopping(open_region(name, url, {}, "none")) for name, url in json.loads(sys.argv[1]).items()]
source = PostgresSource(json.loads(sys.stdin.readline()))
Taker(source, regions, ZstdPacker(), SystemClock(), chunk_bytes=256 * 1024).take("main")
"""

ALL_BUT_THE_RECORD = 10_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    started = Protected(tmp_path_factory.mktemp("killed")).start()
    yield started
    started.remove()


def files_below(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_file()]


def objects_below(folder: Path) -> list[Path]:
    """Those that have their name: others are still being written."""
    return [each for each in files_below(folder) if ".unfinished" not in str(each)]


def reached(folder: Path, objects: int) -> bool:
    """Whether the taking stands where it is to be killed."""
    there = objects_below(folder)
    if objects == ALL_BUT_THE_RECORD:
        return any(each.name.startswith("index-") for each in there)
    return len(there) == objects


@pytest.mark.parametrize("objects", [1, 20, 60, ALL_BUT_THE_RECORD])
def test_nothing_is_listed_as_good_and_the_next_run_cleans_up(
    server: Protected, tmp_path: Path, objects: int
) -> None:
    import json  # noqa: PLC0415  as the process under test reads it

    folders = {name: tmp_path / name for name in ("eu", "us")}
    for folder in folders.values():
        folder.mkdir()
    urls = {name: f"file://{folder}" for name, folder in folders.items()}
    taking = subprocess.Popen(
        [sys.executable, "-c", TAKING, json.dumps(urls), str(objects)], stdin=subprocess.PIPE
    )
    with taking:
        assert taking.stdin is not None
        taking.stdin.write(json.dumps(server.params).encode() + b"\n")
        taking.stdin.flush()
        for folder in folders.values():
            eventually(lambda folder=folder: reached(folder, objects), f"{objects} objects are there")
        assert taking.poll() is None, "it had ended before it was killed"
        taking.kill()
    eventually(lambda: server.value("SELECT count(*) = 0 FROM pg_stat_replication"), "the server noticed")

    regions = [open_region(name, url, {}, "none") for name, url in urls.items()]
    for region in regions:
        held = holdings_of(region, "main", SystemClock())
        assert (held.backups, held.unreadable) == ((), ())
    # It died a moment ago, as far as anybody can tell it may still live.
    assert [sweep(each, "main", SystemClock()).leftovers for each in regions] == [(), ()]
    taken = Taker(PostgresSource(server.params), regions, ZstdPacker(), SystemClock()).take("main").backup

    long_ago = (datetime.now(UTC) - timedelta(hours=25)).timestamp()
    for folder in folders.values():
        for file in files_below(folder):
            if taken.id not in str(file):
                os.utime(file, (long_ago, long_ago))
    for region, folder in zip(regions, folders.values(), strict=True):
        swept = sweep(region, "main", SystemClock())
        assert [each.backup == taken.id for each in swept.leftovers] == [False]
        assert swept.kept == ()
        held = holdings_of(region, "main", SystemClock())
        assert [each.id for each in held.backups] == [taken.id]
        assert held.missing == ()
        assert {file.name for file in files_below(folder) if taken.id not in str(file)} == set()
