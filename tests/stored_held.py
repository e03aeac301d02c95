"""Repositories of `tests.held` put into a region in memory, and one that a kill may end at any object."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup.layout import record_key
from holdfast.backup.model import Backup, WalPiece
from holdfast.backup.records import encoded

R = TypeVar("R", bound=MemoryRegion)


class Killed(BaseException):
    """The process was killed."""


@dataclass(slots=True)
class DyingRegion(MemoryRegion):
    """Its process is killed when so many objects were deleted, in the midst of a request as well."""

    survives: int | None = None

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            if self.survives is not None:
                if self.survives == 0:
                    raise Killed
                self.survives -= 1
            MemoryRegion.delete(self, [key])


def stored(region: R, backups: Iterable[Backup], wal: Iterable[WalPiece]) -> R:
    """The region, with these in it. What the objects hold is of the size that is said, and nothing else."""
    for backup in backups:
        for each in backup.objects:
            region.put(each.key, b"\0" * each.stored_bytes)
        region.put(record_key(backup.database, backup.id), encoded(backup))
    for piece in wal:
        region.put(piece.key, b"\0" * piece.stored_bytes)
    return region
