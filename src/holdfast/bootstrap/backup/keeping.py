"""What a keeper has others do: take and verify, report, and know for how long copies are kept."""

from collections.abc import Callable, Sequence
from typing import Protocol

from holdfast.backup.model import Holdings
from holdfast.backup.ports import Region
from holdfast.backup.recoverable.points import RegionPoints
from holdfast.backup.take.scheduling import Due
from holdfast.backup.wal.reception import ReceiverState
from holdfast.backup.wal.spool import Spool
from holdfast.estate.backup import Keep

Heard = Callable[[str], None]


class Receiving(Protocol):
    """What a keeper needs of a `Receiver`."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def state(self) -> ReceiverState: ...

    def backup_taken(self) -> None: ...

    def caught_up(self, region: str) -> None: ...


class Duties(Protocol):
    """What a keeper has others do, from its own threads. Each may raise HoldfastError.

    `go_on` is called now and then by long work; it raises when the work is to be given up.
    """

    def receiver(self, heard: Heard) -> tuple[Spool, Receiving] | None:
        """A receiver that is not started, or None where WAL comes another way. Raises SpoolTaken.

        `heard` is called with the name of each thing that it tells.
        """
        ...

    def bring_pushed(self) -> None:
        """WAL that the server handed over, and that waits for a region, is brought there."""
        ...

    def due(self, held: Sequence[Holdings], wanted: str) -> Due | None:
        """`wanted`: why a backup is wanted at once, as after a gap; empty when it is not."""
        ...

    def take(self, due: Due, go_on: Callable[[], None]) -> str:
        """Take the backup that is due; returns its id."""
        ...

    def points(self, region: Region) -> RegionPoints: ...

    def report(self, points: RegionPoints) -> None:
        """Where pages and metrics look."""
        ...

    def keep(self, region: str) -> Keep | None:
        """For how long copies are kept there; None when nobody knows just now: then nothing expires."""
        ...

    def known_keep(self, region: str) -> Keep:
        """The same; what is declared while nobody knows it: to lock and copy by, never to let go by."""
        ...

    def unverified(self, held: Sequence[Holdings]) -> Sequence[str]:
        """The regions of which a verification is due."""
        ...

    def verify(self, region: str, go_on: Callable[[], None]) -> None: ...
