"""The primary is killed and its disk is gone: which acknowledged commits are in the regions' WAL?

python tests/chaos/wal_loss.py 50 [--sync-regions 0]
"""

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from tests.protected import Protected
from tests.receiving_parts import ReceivingProcess, until, wal_in

from holdfast.adapters.objectstore.regions import open_region
from holdfast.backup.lsn import Lsn
from holdfast.backup.wal.wal_records import RM_XACT, XACT_COMMIT, XACT_OPERATION, records

WRITERS = 4


@dataclass
class Load:
    """Writers that commit a row each time, and note the transaction once it was acknowledged."""

    server: Protected
    acknowledged: list[tuple[int, float]] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        self.server.sql("CREATE TABLE jobs (id bigserial PRIMARY KEY, filler text)")
        for _ in range(WRITERS):
            self._threads.append(threading.Thread(target=self._write))
            self._threads[-1].start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _write(self) -> None:
        insert = "INSERT INTO jobs (filler) VALUES (repeat('x', 200)) RETURNING pg_current_xact_id()::text"
        try:
            with self.server.connect() as connection:
                while not self._stopping.is_set():
                    row = connection.execute(insert).fetchone()
                    assert row is not None
                    self.acknowledged.append((int(row[0]), time.monotonic()))
        except psycopg.Error:
            return  # the server is gone, as it should be


def committed(folder: Path) -> set[int]:
    """The transactions whose commit is in a region's WAL, as PostgreSQL would replay it."""
    wal = wal_in(open_region("eu", f"file://{folder}", {}))
    if not wal:
        return set()
    first = min(wal)
    content = bytearray()
    for segment in sorted(wal):
        if len(content) != segment.start - first.start:
            break  # behind a hole nothing can be replayed
        content += wal[segment]
    return {
        each.xid & 0xFFFFFFFF
        for each in records(bytes(content), Lsn(first.start), first.size)
        if each.rmid == RM_XACT and each.info & XACT_OPERATION == XACT_COMMIT
    }


def one_round(folder: Path, dice: random.Random, *, sync_regions: int) -> tuple[int, int]:
    """How many commits were acknowledged, and how many of them are nowhere."""
    store = folder / "store"
    store.mkdir(parents=True)
    server = Protected(folder / "primary", segment_mb=1).start()
    receiver = ReceivingProcess(
        folder / "holdfast", server.params, {"eu": store}, mode="sync", sync_regions=sync_regions
    )
    load = Load(server)
    try:
        receiver.start()
        server.sql("ALTER SYSTEM SET synchronous_standby_names = 'holdfast'")
        server.sql("SELECT pg_reload_conf()")
        until(lambda: server.value("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"))
        load.start()
        time.sleep(dice.uniform(0.05, 0.6))
        if dice.random() < 0.3:
            receiver.kill9()  # together with the primary: what is in the spool must still get there
        server.kill9()
        shutil.rmtree(server.data)
        load.stop()
        if not receiver.runs:
            receiver.start()
        wanted = {xid & 0xFFFFFFFF for xid, _ in load.acknowledged}
        if sync_regions == 0:
            until(lambda: wanted <= committed(store), "storing what was spooled")
        return len(wanted), len(wanted - committed(store))
    finally:
        load.stop()
        receiver.kill9()
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


def rounds(count: int, folder: Path, *, sync_regions: int, seed: int) -> tuple[int, int]:
    """All acknowledged commits, and all that were lost, of so many rounds."""
    dice = random.Random(seed)
    acknowledged = lost = 0
    for number in range(count):
        had, gone = one_round(folder / str(number), dice, sync_regions=sync_regions)
        acknowledged, lost = acknowledged + had, lost + gone
        sys.stdout.write(f"round {number + 1}: {had} acknowledged, {gone} lost\n")
        sys.stdout.flush()
    return acknowledged, lost


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", type=int)
    parser.add_argument("--sync-regions", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="holdfast-wal-loss-") as folder:
        acknowledged, lost = rounds(
            options.rounds, Path(folder), sync_regions=options.sync_regions, seed=options.seed
        )
    sys.stdout.write(f"{options.rounds} rounds: {acknowledged} commits acknowledged, {lost} lost\n")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
