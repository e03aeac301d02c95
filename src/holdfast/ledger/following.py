"""Following the logs: what is derived from entries (sums, an index, judgements) is folded in after they came.

A **fold** is given every growth of every tenant's log, in order, whole. How far it has come in a log is its
**position**, a size; it is kept in the same transaction as what the fold writes. So a fold may die at any
moment, be run by two processes at once, or be started years later: each entry counts exactly once.

    logs and positions -> read growths from the position on -> fold -> position moves, in fold's transaction
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from holdfast.ledger.errors import LedgerError, Overtaken
from holdfast.ledger.model import Conflict, Record

MOST_LEAVES = 50_000
"""What is handed to a fold at once, unless a single growth has more."""


@dataclass(frozen=True, slots=True)
class FollowedLog:
    """A tenant's log. The log over all tenants' checkpoints has no records, and is not followed."""

    id: int
    tenant: str
    origin: str
    time_zone: str
    """The tenant's, by its name in the IANA database, as it is now."""
    size: int
    """What it had grown to when it was looked at."""

    @property
    def zone(self) -> ZoneInfo:
        """Raises LedgerError where this machine does not know it: the logs of others go on."""
        try:
            return ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise LedgerError(
                f"the time zone {self.time_zone!r} of the tenant {self.tenant!r} is not known here",
                hint="change it: holdfast ledger tenant change",
            ) from error


@dataclass(frozen=True, slots=True)
class GrowthRead:
    """The leaves [from_size, to_size), which came in together at `received_at` (UTC)."""

    from_size: int
    to_size: int
    received_at: datetime
    entries: Sequence[tuple[int, Record | Conflict]]
    """All of them, by leaf; none when `pruned`."""
    pruned: bool = False
    """Retention took the entries before this fold has seen them. They were there, and cannot be read."""


class Fold(Protocol):
    """Something that is derived from the logs.

    `fold` writes what follows from the growths and moves its position from the first one's `from_size` to the
    last one's `to_size`, in one transaction (adapters/postgres/ledger_following.py: `advanced`). Raises
    Overtaken, and leaves nothing, when the position is another one: somebody else has folded them.
    """

    @property
    def name(self) -> str:
        """Under which its positions are kept. Never changed."""
        ...

    async def fold(self, log: FollowedLog, growths: Sequence[GrowthRead]) -> None:
        """`growths` follow each other without a hole, begin at the fold's position and are not empty."""
        ...


class Following(Protocol):
    """What a follower reads."""

    async def logs(self) -> Sequence[FollowedLog]:
        """All tenants' logs that have leaves."""
        ...

    async def positions(self, fold: str) -> Mapping[int, int]:
        """How far the fold has come, by log. A log that is not in it stands at 0."""
        ...

    async def growths(self, log_id: int, from_size: int, most_leaves: int) -> Sequence[GrowthRead]:
        """From that size on, in order: as many as have `most_leaves` leaves at most, but at least one if any.

        Raises LogDamaged when they do not follow each other, or an entry cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class Behind:
    """A fold that could not go on in a log, and why."""

    fold: str
    tenant: str
    position: int
    size: int
    error: Exception
    """A HoldfastError, or a defect: that stops nobody else either."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What one round came to."""

    leaves: int
    """That were folded, counted once for each fold."""
    behind: tuple[Behind, ...]
    more: bool
    """Whether something is left to fold that nothing stands in the way of."""


class Follower:
    """Runs the folds. A fold that fails stops in that log alone, and is tried again in the next round."""

    def __init__(
        self, following: Following, folds: Sequence[Fold], *, most_leaves: int = MOST_LEAVES
    ) -> None:
        if len({fold.name for fold in folds}) < len(folds):
            raise ValueError("two folds have one name")
        self._following = following
        self._folds = folds
        self._most_leaves = most_leaves

    async def round(self) -> Followed:
        """A portion of each log for each fold, so that no tenant waits for another one's ten million."""
        logs = await self._following.logs()
        positions = {fold.name: await self._following.positions(fold.name) for fold in self._folds}
        leaves, behind, more = 0, list[Behind](), False
        for log in logs:
            waiting = dict[int, list[Fold]]()  # folds that stand at one place share the reading
            for fold in self._folds:
                position = positions[fold.name].get(log.id, 0)
                if position < log.size:
                    waiting.setdefault(position, []).append(fold)
            for position, folds in waiting.items():
                try:
                    growths = await self._following.growths(log.id, position, self._most_leaves)
                except Exception as error:  # noqa: BLE001  told, and tried again
                    behind += [Behind(fold.name, log.tenant, position, log.size, error) for fold in folds]
                    continue
                for fold in folds if growths else ():
                    try:
                        await fold.fold(log, growths)
                    except Overtaken:
                        more = True
                    except Exception as error:  # noqa: BLE001  told, and tried again
                        behind.append(Behind(fold.name, log.tenant, position, log.size, error))
                    else:
                        leaves += growths[-1].to_size - position
                        more = more or growths[-1].to_size < log.size
        return Followed(leaves, tuple(behind), more)
