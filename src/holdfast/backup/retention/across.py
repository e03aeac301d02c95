"""What is worth a copy in another region, by the same decision that lets things go there. Pure.

Were it judged by what one region holds alone, copying could bring back what expiry has just deleted: the one
lacks the newer point for which the other let an older one go, and both would trade copies for ever. So it is
judged by what both hold together. What is kept of that, the region keeps too when it has come there: with
less beside it nothing has a weaker reason to stay.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from holdfast.backup.model import Backup, Holdings, TimelineHistory, WalPiece
from holdfast.backup.retention.retention import Expiry, expiring
from holdfast.estate.backup import Keep


def not_worth_copying(source: Holdings, target: Holdings, keep: Keep, now: datetime) -> Expiry:
    """What `target` would let go of by its `keep`, if it held all that `source` holds beside its own.

    A suspicion and a record that does not decode keep what is there. They are no reason to bring back what
    was let go of before.
    """
    both = replace(together(source, target), suspects=(), unreadable=())
    return expiring(both, keep, now)


def together(first: Holdings, second: Holdings) -> Holdings:
    """What two regions hold, as if one held it. A backup lacks only what it lacks in both."""
    backups: dict[str, Backup] = {each.id: each for each in (*second.backups, *first.backups)}
    wal: dict[str, WalPiece] = {each.key: each for each in (*second.wal, *first.wal)}
    histories: dict[TimelineHistory, None] = dict.fromkeys((*first.histories, *second.histories))
    whole = {each for held in (first, second) for each in _whole(held)}
    missing = {id_: keys for held in (first, second) for id_, keys in held.missing if id_ not in whole}
    return replace(
        first,
        listed_at=max(first.listed_at, second.listed_at),
        backups=tuple(sorted(backups.values(), key=lambda each: (each.start_lsn, each.id))),
        wal=tuple(sorted(wal.values(), key=_place)),
        histories=tuple(histories),
        missing=tuple(missing.items()),
        unreadable=(*first.unreadable, *second.unreadable),
        suspects=tuple(dict.fromkeys((*first.suspects, *second.suspects))),
    )


def _whole(held: Holdings) -> Iterable[str]:
    return {each.id for each in held.backups} - {id_ for id_, _ in held.missing}


def _place(piece: WalPiece) -> tuple[int, int, int, int]:
    return piece.segment.timeline, piece.segment.number, piece.start, piece.end
