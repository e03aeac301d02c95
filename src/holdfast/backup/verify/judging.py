"""Judges a backup when it is finished, by what it tells by itself: size, compression, how much changed.

What it holds, and what was deleted before it, is judged when it is verified.
"""

from collections.abc import Sequence

from holdfast.backup.errors import RegionError
from holdfast.backup.model import Backup
from holdfast.backup.ports import Region
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.verify.damage import Standing
from holdfast.backup.verify.watching import Told, Watch
from holdfast.kernel.clock import Clock


def judge_backup(backup: Backup, regions: Sequence[Region], clock: Clock, told: Told) -> tuple[str, ...]:
    """What in a finished backup is not as it always was; then a suspicion is raised, in all `regions`.

    Judged twice it is as judged once. Raises RegionError when no region tells its backups or its marks.
    """
    before = _known(regions, backup, clock)
    verdicts, _ = Watch(backup.database, regions, clock, told).look([*before, backup])
    return tuple(each.text for each in verdicts if each.standing is Standing.JUMPED)


def _known(regions: Sequence[Region], backup: Backup, clock: Clock) -> list[Backup]:
    """The backups that had finished before this one, as the first region tells that answers."""
    last: RegionError | None = None
    for region in regions:
        try:
            held = holdings_of(region, backup.database, clock)
        except RegionError as error:
            last = error
            continue
        return [each for each in held.backups if each.finished_at < backup.finished_at]
    raise last or RegionError(f"{backup.database} has no region")
