"""The primary is killed under load and its disk is gone: which acknowledged commits does the store restore?

python -m tests.chaos.wal_loss 50 [--mode sync|async] [--sync-regions 0] [--seed 7]

In `sync` none may be missing. In `async` what is on its way from the server to the spool is lost with the
server: commits of the last second, and of as long again as the machine itself stood still in that round. That
is measured beside it: how long a process that only writes a line and flushes it had to wait.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg
from tests.chaos.pulse import Pulse
from tests.protected import Protected
from tests.receiving_parts import DATABASE, PACKER, ReceivingProcess, pieces_in, until, wal_in

from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.postgres.replication.source import PostgresSource
from holdfast.adapters.postgres.restored.programs import Programs
from holdfast.backup.lsn import Lsn, Segment
from holdfast.backup.model import Target
from holdfast.backup.ports import Region
from holdfast.backup.recoverable.chain import plan_for
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.restore.restoring import Restorer
from holdfast.backup.take.taking import Taker
from holdfast.backup.wal.spool_files import kept_in
from holdfast.backup.wal.wal_records import RM_XACT, XACT_COMMIT, XACT_OPERATION, records
from holdfast.kernel.clock import SystemClock

WRITERS = 4
SEGMENT_MB = 1
PROMISED_S = 1.0
"""Older than that when the primary died, a commit is never lost."""
CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class How:
    """What a round is made of. `restored`: the store is restored, and the rows are looked for in the copy;
    otherwise the commits are looked for in the region's WAL. `hangs_s`: the receiver is stopped for so long,
    and then killed together with the primary.
    """

    mode: str = "sync"
    sync_regions: int = 1
    restored: bool = True
    hangs_s: float = 0.0

    def __str__(self) -> str:
        regions = "1 region" if self.sync_regions == 1 else f"{self.sync_regions} regions"
        return f"sync, {regions}" if self.mode == "sync" else "async"


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A row whose commit the client was told of, and when: seconds of the monotonic clock."""

    row: int
    xid: int
    at: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one round came to. Ages are seconds before the kill; below 0 is behind it."""

    acknowledged: int
    under_load_s: float
    """Between the first acknowledged commit and the kill."""
    lost: tuple[float, ...]
    """The ages of those that are nowhere."""
    machine_s: float
    """The longest that the machine itself stood still."""

    @property
    def oldest_s(self) -> float:
        return max(self.lost, default=0.0)

    @property
    def too_old(self) -> int:
        """How many were lost that must not be, where the last second may be."""
        return sum(age > PROMISED_S + self.machine_s for age in self.lost)


@dataclass
class Load:
    """Writers that commit a row each time, and note it once it was acknowledged."""

    server: Protected
    acknowledged: list[Acknowledged] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        for _ in range(WRITERS):
            self._threads.append(threading.Thread(target=self._write))
            self._threads[-1].start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _write(self) -> None:
        insert = (
            "INSERT INTO jobs (filler) VALUES (repeat('x', 200)) RETURNING id, pg_current_xact_id()::text"
        )
        try:
            with self.server.connect() as connection:
                while not self._stopping.is_set():
                    row = connection.execute(insert).fetchone()
                    assert row is not None
                    self.acknowledged.append(Acknowledged(row[0], int(row[1]), time.monotonic()))
        except psycopg.Error:
            return  # the server is gone, as it should be


def one_round(folder: Path, dice: random.Random, how: How) -> Outcome:
    """Kill a primary under load, lose its disk, and see what is left."""
    store = folder / "store"
    store.mkdir(parents=True)
    region = open_region("eu", f"file://{store}", {})
    server = Protected(folder / "primary", segment_mb=SEGMENT_MB).start()
    receiver = ReceivingProcess(
        folder / "holdfast",
        server.params,
        {"eu": store},
        mode="sync" if how.mode == "sync" else "stream",
        sync_regions=how.sync_regions,
    )
    load = Load(server)
    try:
        _made_ready(server, receiver, region, how)
        with Pulse(folder) as pulse:
            load.start()
            until(lambda: load.acknowledged, "the first commit")
            # In sync, any moment is as good as another. In async what is older than a second must be there.
            time.sleep(dice.uniform(0.05, 0.6) if how.mode == "sync" else dice.uniform(1.3, 2.6))
            killed_at = _lost_with_its_disk(server, receiver, dice, how)
            machine_s = pulse.longest_s()
        load.stop()
        there = _rows_left(server, receiver, region, load.acknowledged, how)
        ages = sorted(killed_at - each.at for each in load.acknowledged if each.row not in there)
        first = min((each.at for each in load.acknowledged), default=killed_at)
        return Outcome(len(load.acknowledged), killed_at - first, tuple(ages), machine_s)
    finally:
        load.stop()
        receiver.kill9()
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


def _made_ready(server: Protected, receiver: ReceivingProcess, region: Region, how: How) -> None:
    """A table, a backup where one is restored, and a receiver that follows."""
    server.sql("CREATE TABLE jobs (id bigserial PRIMARY KEY, filler text)")
    receiver.start()
    state = "async"
    if how.mode == "sync":
        server.sql("ALTER SYSTEM SET synchronous_standby_names = 'holdfast'")
        server.sql("SELECT pg_reload_conf()")
        state = "sync"
    following = (
        f"SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = '{state}'"
    )
    until(lambda: server.value(following), "a receiver that follows")
    if how.restored:
        Taker(PostgresSource(server.params), [region], PACKER, CLOCK).take(DATABASE)


def _lost_with_its_disk(
    server: Protected, receiver: ReceivingProcess, dice: random.Random, how: How
) -> float:
    """Kill the primary and remove its data directory; when that began. At times the receiver dies as well."""
    if how.hangs_s:
        receiver.hang()
        time.sleep(how.hangs_s)
    killed_at = time.monotonic()
    if how.hangs_s or dice.random() < 0.3:
        receiver.kill9()  # together with the primary: what is in the spool must still get there
    server.kill9()
    shutil.rmtree(server.data)
    return killed_at


def _rows_left(
    server: Protected,
    receiver: ReceivingProcess,
    region: Region,
    acknowledged: Sequence[Acknowledged],
    how: How,
) -> set[int]:
    """The rows that the region restores. What is in the spool has got there."""
    if how.mode == "sync" and how.sync_regions:
        # It was acknowledged with the region's name on it: the spool must not be needed.
        receiver.kill9()
    else:
        if not receiver.runs:
            receiver.start()
        until(lambda: stored_end(region) >= spooled_end(receiver.spool), "storing what was spooled")
    if how.restored:
        return _restored_rows(server, region)
    left = committed(region)
    return {each.row for each in acknowledged if each.xid & 0xFFFFFFFF in left}


def _restored_rows(server: Protected, region: Region) -> set[int]:
    programs = Programs(server.binaries.folder, settings={"fsync": "off", "shared_buffers": "16MB"})
    plan = plan_for(holdings_of(region, DATABASE, CLOCK), Target())
    restored = Restorer(region, PACKER, programs, CLOCK).restore(plan, server.folder.parent / "restored")
    try:
        asked = restored.copy.ask("postgres", "SELECT id FROM jobs", 60.0)
        assert not asked.error, asked.error
        return {int(row[0]) for row in asked.rows if row[0] is not None}
    finally:
        restored.copy.stop()


def spooled_end(spool: Path) -> int:
    """Up to where a spool goes."""
    # The newest stays; those before it may go at any moment.
    newest = max((path for path in spool.iterdir() if len(path.name) == 24), default=None)
    if newest is None:
        return 0
    segment = Segment.named(newest.name, SEGMENT_MB << 20)
    return segment.start + kept_in(newest, segment)


def stored_end(region: Region) -> int:
    """Up to where a region has it."""
    return max((each.segment.start + each.end for each in pieces_in(region)), default=0)


def committed(region: Region) -> set[int]:
    """The transactions whose commit is in a region's WAL, as PostgreSQL would replay it."""
    wal = wal_in(region)
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


def rounds(count: int, folder: Path, how: How, *, seed: int, restored_every: int = 1) -> list[Outcome]:
    """So many rounds, each told as it ends."""
    dice = random.Random(seed)
    outcomes = []
    for number in range(1, count + 1):
        restored = how.restored and number % restored_every == 0
        outcomes.append(one_round(folder / str(number), dice, replace(how, restored=restored)))
        sys.stdout.write(f"{how}, seed {seed}, round {number}: {figures(outcomes[-1:])}\n")
        sys.stdout.flush()
    return outcomes


def figures(outcomes: Sequence[Outcome]) -> str:
    """What can be quoted of some rounds. Pure."""
    lost = [each for each in outcomes if each.lost]
    told = f"{sum(each.acknowledged for each in outcomes)} commits acknowledged, "
    told += f"{sum(len(each.lost) for each in outcomes)} lost"
    if lost:
        oldest = max(lost, key=lambda each: each.oldest_s)
        told += f", the oldest of them {oldest.oldest_s:.2f} s before the kill"
    return f"{told}; the machine stood still for {max(each.machine_s for each in outcomes):.2f} s at most"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("rounds", type=int)
    parser.add_argument("--mode", choices=("sync", "async"), default="sync")
    parser.add_argument("--sync-regions", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    how = How(options.mode, options.sync_regions)
    # Told to end, it stops its servers as after an error.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    with tempfile.TemporaryDirectory(prefix="holdfast-wal-loss-") as folder:
        outcomes = rounds(options.rounds, Path(folder), how, seed=options.seed)
    sys.stdout.write(f"{how}: {len(outcomes)} rounds under load, {figures(outcomes)}\n")
    bad = [each for each in outcomes if each.lost and (how.mode == "sync" or each.too_old)]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
