"""The native engine behind the port that all engines share."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from holdfast.adapters.postgres.restored.programs import Programs
from holdfast.backup.engines import Depth, Finding, Kept, kept_of
from holdfast.backup.errors import BackupError, NotRecoverable, RegionError
from holdfast.backup.model import Backup, Holdings, RecoveryWindow, RestorePlan, Target
from holdfast.backup.ports import Packer, Progress, Region, Source
from holdfast.backup.recoverable.chain import plan_for, whole_chains, windows_of
from holdfast.backup.recoverable.holdings import holdings_of, raw_object
from holdfast.backup.restore.restoring import Restorer
from holdfast.backup.take.parents import parent_for
from holdfast.backup.take.taking import Taker
from holdfast.bootstrap.backup.memory import give_back
from holdfast.kernel.clock import Clock


class NativeEngine:
    """An `Engine` by PostgreSQL's replication protocol. Receiving WAL is the receiver's work, not its."""

    def __init__(
        self,
        database: str,
        source: Source,
        regions: Sequence[Region],
        packer: Packer,
        bin_dir: Path | None,
        clock: Clock,
        progress: Progress,
    ) -> None:
        """`bin_dir`: PostgreSQL's programs for restoring; the packaged ones when None."""
        self._database = database
        self._source = source
        self._regions = {each.name: each for each in regions}
        self._packer = packer
        self._bin_dir = bin_dir
        self._clock = clock
        self._progress = progress

    @property
    def database(self) -> str:
        return self._database

    def take(self, kind: Depth, *, label: str = "") -> Kept:
        """An incremental one builds on the newest backup; a differential one is incremental too."""
        parent, manifest = (None, None) if kind is Depth.FULL else self._parent()
        taker = Taker(self._source, list(self._regions.values()), self._packer, self._clock, self._progress)
        taken = taker.take(self._database, label=label, parent=parent, parent_manifest=manifest)
        region = taken.complete[0]
        same = [each for each in self.backups() if each.id == taken.backup.id]
        return next((each for each in same if each.region == region), kept_of(taken.backup, (), region))

    def backups(self) -> Sequence[Kept]:
        """Those whose whole chain is in the region. Raises RegionError when no region answers."""
        kept = [
            kept_of(chain[-1], chain, held.region)
            for held in self._held()
            for chain in whole_chains(held).values()
        ]
        return sorted(kept, key=lambda each: (each.id, each.region))

    def windows(self) -> Sequence[RecoveryWindow]:
        return [window for held in self._held() for window in windows_of(held)]

    def restore(self, target: Target, folder: Path) -> Kept:
        """As the port says, and tried: it has recovered once, to the target, before this returns."""
        held, plan = self._planned(target)
        region = self._regions[held.region]
        others = [each for each in self._regions.values() if each is not region]
        programs = Programs(self._bin_dir, is_ours=True)
        restorer = Restorer(region, self._packer, programs, self._clock, self._progress, others=others)
        try:
            restored = restorer.restore(plan, folder)
        finally:
            give_back()
        restorer.finish(plan, restored, promote=False, keep_running=False)
        return kept_of(plan.backup, plan.chain, held.region)

    def check(self) -> Sequence[Finding]:
        found = []
        try:
            self._source.identify()
        except BackupError as error:
            found.append(Finding(str(error), error.hint))
        for region in self._regions.values():
            try:
                next(iter(region.listed(f"{self._database}/")), None)
            except RegionError as error:
                found.append(Finding(str(error), error.hint))
        return found

    def _parent(self) -> tuple[Backup | None, bytes | None]:
        choice = parent_for(self._held(), self._source.identify())
        if choice.parent is None:
            return None, None
        for region in sorted(self._regions.values(), key=lambda each: each.name != choice.region):
            with suppress(BackupError):
                return choice.parent, raw_object(region, choice.parent.manifest, self._packer)
        return None, None

    def _held(self) -> list[Holdings]:
        held, errors = [], []
        for region in self._regions.values():
            try:
                held.append(holdings_of(region, self._database, self._clock))
            except RegionError as error:
                errors.append(error)
        if errors and not held:
            raise errors[0]
        return held

    def _planned(self, target: Target) -> tuple[Holdings, RestorePlan]:
        """From the first region that reaches it. Raises what the first one said."""
        refusals = []
        for held in self._held():
            try:
                return held, plan_for(held, target)
            except NotRecoverable as error:
                refusals.append(error)
        raise refusals[0] if refusals else NotRecoverable(f"there is no backup of {self._database}")
