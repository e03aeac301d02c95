"""What was last known of every region, kept where pages and metrics find it. The regions are the truth."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import msgspec

from holdfast.backup.errors import Damaged
from holdfast.backup.recoverable.points import RegionPoints

_POINTS = msgspec.json.Decoder(RegionPoints)

MOST = 200
"""Of gaps, points and what does not restore: the newest. A page shows no more."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What a region was known to restore, at a moment of the database's clock; `now` is that clock's, too."""

    points: RegionPoints
    at: datetime
    now: datetime


class StatusStore(Protocol):
    """The newest report of each database and region."""

    async def report(self, points: RegionPoints) -> None:
        """Replace what was known of that region."""
        ...

    async def statuses(self) -> Sequence[Reported]:
        """All of them, sorted by database and region."""
        ...

    async def forget(self, declared: Collection[tuple[str, str]]) -> int:
        """Drop what is of databases and regions that the estate does not name. Returns how many."""
        ...


def document_of(points: RegionPoints) -> str:
    """A report as JSON, bounded."""
    bounded = replace(
        points,
        gaps=points.gaps[-MOST:],
        points=points.points[-MOST:],
        unrestorable=points.unrestorable[-MOST:],
        damaged=points.damaged[-MOST:],
    )
    # PostgreSQL's JSON has no place for it.
    return msgspec.json.encode(bounded).decode().replace("\\u0000", "")


def points_from(document: str | bytes) -> RegionPoints:
    """Raises Damaged for what is no report, such as one of another version."""
    try:
        return _POINTS.decode(document)
    except msgspec.MsgspecError as error:
        raise Damaged(f"a report of a region: {error}") from error
