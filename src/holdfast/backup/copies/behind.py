"""What a region lacks for long is copied to it. What it lacks for a moment is on its way there. Pure."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from holdfast.backup.copies.copying import Lacking
from holdfast.backup.model import WalPiece

BEHIND_AFTER_S = 120.0


def things(plan: Lacking) -> Iterator[Hashable]:
    """Each thing that is lacking, by what does not change between two looks."""
    yield from (each.id for each in plan.backups)
    yield from (each.key for each in plan.wal)
    yield from plan.histories


@dataclass(slots=True)
class Behind:
    """Remembers since when one region lacks what. Times are monotonic seconds."""

    _since: dict[Hashable, float] = field(default_factory=dict)

    def look(self, plans: Sequence[Lacking], now: float) -> list[Lacking]:
        """Of what each of the others has and this one lacks, what is to be copied now; the most first."""
        lacked = [thing for plan in plans for thing in things(plan)]
        self._since = {thing: self._since.get(thing, now) for thing in lacked}
        overdue = [self._overdue(plan, now) for plan in plans]
        wanted = [plan for plan in overdue if plan.backups or plan.wal or plan.histories]
        return sorted(wanted, key=lambda each: each.stored_bytes, reverse=True)

    def is_overdue(self, piece: WalPiece, now: float) -> bool:
        return self._is_old(piece.key, now)

    def _overdue(self, plan: Lacking, now: float) -> Lacking:
        # One that restores nothing at all has nothing on its way, but for a backup that is being taken.
        if not plan.restorable:
            return plan
        # Backups go together: what one of them is an increment of may be lacking for a shorter time.
        backups = plan.backups if any(self._is_old(each.id, now) for each in plan.backups) else ()
        return replace(
            plan,
            backups=backups,
            wal=tuple(each for each in plan.wal if self._is_old(each.key, now)),
            histories=tuple(each for each in plan.histories if self._is_old(each, now)),
        )

    def _is_old(self, thing: Hashable, now: float) -> bool:
        return now - self._since.get(thing, now) >= BEHIND_AFTER_S
