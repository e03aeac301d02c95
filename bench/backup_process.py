"""Holdfast's side, as the process that takes backups: told what to do, it says how long it took.

In, a line of JSON each: first where everything is, then `{"do": "full"}` and so on. Out, a line of JSON each:
`{"took_s": 1.5, "stored_bytes": 5}`. It receives WAL all the while.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from bench.processes import peak_memory_mb
from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.adapters.postgres.replication.source import PostgresSource
from holdfast.adapters.postgres.restored.programs import Programs
from holdfast.backup.lsn import parse_lsn
from holdfast.backup.model import RestorePlan, Target, TargetKind
from holdfast.backup.recoverable.chain import plan_for, windows_of
from holdfast.backup.recoverable.holdings import holdings_of, raw_object
from holdfast.backup.restore.restoring import Restorer
from holdfast.backup.take.taking import Taker
from holdfast.backup.wal.receiving import Receiver, ReceiverSettings
from holdfast.backup.wal.spool import Spool
from holdfast.bootstrap.backup.memory import give_back, give_back_at_once
from holdfast.kernel.clock import SystemClock

DATABASE = "bench"
WAL_WITHIN_S = 60.0


class Side:
    """One database, one region on this machine."""

    def __init__(self, place: dict[str, Any]) -> None:
        self._clock = SystemClock()
        self._region = open_region("here", Path(place["store"]).as_uri(), {}, "none")
        self._packer = ZstdPacker()
        self._source = PostgresSource(place["params"])
        self._programs = Programs(Path(place["bin_dir"]))
        spool = Spool(Path(place["spool"]), 2048 * 1024 * 1024)
        settings = ReceiverSettings(slot="holdfast_bench", heartbeat_s=1.0, partial_every_s=1.0)
        self._receiver = Receiver(
            DATABASE,
            self._source,
            spool,
            [self._region],
            self._packer,
            self._clock,
            settings,
            on_event=lambda *_: None,
        )

    def start(self) -> None:
        self._receiver.start()

    def stop(self) -> None:
        self._receiver.stop()

    def full(self) -> dict[str, Any]:
        began = time.perf_counter()
        taken = self._taker().take(DATABASE)
        return {"took_s": time.perf_counter() - began, "stored_bytes": taken.backup.stored_bytes}

    def incremental(self) -> dict[str, Any]:
        began = time.perf_counter()
        parent = self._holdings().backups[-1]
        manifest = raw_object(self._region, parent.manifest, self._packer)
        taken = self._taker().take(DATABASE, parent=parent, parent_manifest=manifest)
        if not taken.backup.parent:
            raise SystemExit(f"no increment was taken: {taken.notes}")
        return {"took_s": time.perf_counter() - began, "stored_bytes": taken.backup.stored_bytes}

    def restore(self, folder: str) -> dict[str, Any]:
        """Files only, of the newest backup."""
        began = time.perf_counter()
        newest = self._holdings().backups[-1].id
        plan = self._plan(Target(TargetKind.LABEL, label=newest))
        self._restorer().lay_out(plan, Path(folder))
        return {"took_s": time.perf_counter() - began}

    def pitr(self, folder: str, lsn: str) -> dict[str, Any]:
        """Until a query is answered at that place."""
        target = self._target(lsn)
        began = time.perf_counter()
        restored = self._restorer().restore(self._plan(target), Path(folder))
        took = time.perf_counter() - began
        restored.copy.stop()
        return {
            "took_s": took,
            "lay_out_s": restored.laid_out.took.total_seconds(),
            "first_answer_s": restored.first_answer.total_seconds(),
            "replay_s": restored.replay.total_seconds(),
        }

    def warm(self, folder: str, lsn: str) -> dict[str, Any]:
        """The copy that an earlier `pitr` left goes on to a later place."""
        target = self._target(lsn)
        began = time.perf_counter()
        plan = self._plan(target)
        restorer = self._restorer()
        restorer.bring_wal(plan, Path(folder))
        copy = restorer.recover(plan, Path(folder))
        took = time.perf_counter() - began
        copy.stop()
        return {"took_s": took}

    def forget(self) -> dict[str, Any]:
        """Let go of all backups but the newest: not measured, and only for room on the disk."""
        for backup in self._holdings().backups[:-1]:
            self._region.delete(
                [each.key for each in self._region.listed(f"{DATABASE}/backups/{backup.id}/")]
            )
        return {}

    def _taker(self) -> Taker:
        return Taker(self._source, [self._region], self._packer, self._clock)

    def _restorer(self) -> Restorer:
        return Restorer(self._region, self._packer, self._programs, self._clock)

    def _holdings(self) -> Any:
        return holdings_of(self._region, DATABASE, self._clock)

    def _plan(self, target: Target) -> RestorePlan:
        return plan_for(self._holdings(), target)

    def _target(self, lsn: str) -> Target:
        place = parse_lsn(lsn)
        deadline = time.monotonic() + WAL_WITHIN_S
        while max((each.end_lsn for each in windows_of(self._holdings())), default=0) < place:
            if time.monotonic() > deadline:
                raise SystemExit(f"WAL up to {lsn} did not reach the region: {self._receiver.state}")
            time.sleep(0.1)
        return Target(TargetKind.LSN, lsn=place)


def main() -> None:
    give_back_at_once()
    side = Side(json.loads(sys.stdin.readline()))
    side.start()
    for line in sys.stdin:
        told = json.loads(line)
        # The most memory since here (proc_pid_clear_refs(5)), so that each kind of work has its own figure.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        answer = getattr(side, told.pop("do"))(**told)
        give_back()
        print(json.dumps({**answer, "memory_mb": peak_memory_mb(os.getpid())}), flush=True)
    side.stop()


if __name__ == "__main__":
    main()
