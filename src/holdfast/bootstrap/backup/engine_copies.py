"""How the other engines' backups become copies that answer, on this machine: shut off, and read-only."""

import time
from pathlib import Path

from holdfast.adapters.pgbackrest.engine import PgBackRest
from holdfast.adapters.postgres.restored.machine import LocalMachine
from holdfast.backup.engines import Kept
from holdfast.backup.errors import NotFit, NotRecoverable
from holdfast.backup.logical.logical import LogicalTier
from holdfast.backup.lsn import Lsn, format_lsn
from holdfast.backup.model import Target, TargetKind
from holdfast.backup.restore import control
from holdfast.backup.restore.recovery import RecoverySettings, target_settings
from holdfast.backup.restore.restoring import LOOK_EVERY_S, RunningCopy
from holdfast.backup.verify.engine_verifying import Restored
from holdfast.backup.verify.verification import PagesChecked

READ_ONLY = {"default_transaction_read_only": "on"}


class DumpCopies:
    """`Restoring` of dumps: into a new server, which is thrown away. `tier` knows one region alone."""

    def __init__(self, tier: LogicalTier, bin_dir: Path | None) -> None:
        self._tier = tier
        self._machine = LocalMachine(bin_dir, settings=READ_ONLY)

    def restore(self, target: Target, folder: Path) -> Restored:
        kept = self._tier.restore(target, folder)
        copy = self._machine.postgres.start(folder, None)
        # What it saw is what was committed when its first snapshot was taken.
        return Restored(copy, kept, None, kept.started_at)

    def pages(self, folder: Path, restored: Restored) -> PagesChecked:
        del folder, restored
        return PagesChecked("a dump has no pages of its own")

    def end_leftover(self, folder: Path) -> None:
        self._machine.end_leftover(folder)


class StanzaCopies:
    """`Restoring` of pgbackrest's backups in one repository. The copy stays in recovery.

    Its WAL is brought first: what runs asks nobody for anything.
    """

    def __init__(self, engine: PgBackRest, repo: str, bin_dir: Path | None) -> None:
        self._engine = engine
        self._repo = repo
        self._machine = LocalMachine(bin_dir)

    def restore(self, target: Target, folder: Path) -> Restored:
        kept = self._engine.restore(target, folder, repo=self._repo)
        self._see_that_it_fits(kept)
        self._engine.bring_wal(kept, folder, to_its_end_only=target.kind is TargetKind.LABEL)
        copy = self._machine.postgres.start(folder, _recovery(kept, target))
        try:
            _wait_for_rest(copy)
            lsn, at = copy.replayed()
            _see_that_it_is_consistent(kept, lsn or Lsn(0))
        except BaseException:
            copy.stop()
            raise
        return Restored(copy, kept, lsn, at or kept.started_at)

    def pages(self, folder: Path, restored: Restored) -> PagesChecked:
        standing = control.control_of((folder / control.PATH).read_bytes())
        stop = restored.kept.stop_lsn
        if stop is None or standing.redo < stop:
            # A page that was torn while the backup was taken is whole in memory alone until then.
            return PagesChecked("the copy wrote nothing out behind the end of its backup yet")
        return self._machine.pages(folder, None)

    def end_leftover(self, folder: Path) -> None:
        self._machine.end_leftover(folder)

    def _see_that_it_fits(self, kept: Kept) -> None:
        major, own = kept.server_version // 10000, self._machine.postgres.binaries.major
        if major != own:
            raise NotFit(
                f"{kept.id} is of PostgreSQL {major}, and the programs here are of {own}",
                hint=f"name the programs of PostgreSQL {major} in verification.bin_dir",
            )


def _see_that_it_is_consistent(kept: Kept, reached: Lsn) -> None:
    if kept.stop_lsn is not None and reached < kept.stop_lsn:
        where = format_lsn(reached)
        raise NotRecoverable(f"the WAL ends before the backup is consistent: at {where}")


def _recovery(kept: Kept, target: Target) -> RecoverySettings:
    timeline = target.timeline or (kept.timeline if target.kind is TargetKind.LABEL else None)
    return RecoverySettings(target_settings(target), "latest" if timeline is None else str(timeline))


def _wait_for_rest(copy: RunningCopy) -> None:
    """Replaying takes as long as it takes. A server that ends is noticed: it does not answer."""
    while True:
        if copy.rests() and not copy.widened():
            return
        time.sleep(LOOK_EVERY_S)
