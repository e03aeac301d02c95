"""What was acknowledged as "one region", until the second one has it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from holdfast.ledger.ports import SecondRegion


@dataclass(frozen=True, slots=True)
class Marked:
    """Leaves [from_size, to_size) of a log that were acknowledged in one region, by `at` (UTC)."""

    log_id: int
    from_size: int
    to_size: int
    lsn: int
    at: datetime
    reached_at: datetime | None = None
    """When the second region was known to have them."""


class OneRegion(Protocol):
    """The marks. None is ever taken away."""

    async def mark(self, log_id: int, from_size: int, to_size: int, lsn: int) -> None:
        """Durable when it returns."""
        ...

    async def open(self) -> Sequence[Marked]:
        """Those that the second region is not known to have, by LSN."""
        ...

    async def reached(self, up_to: int) -> int:
        """The second region has everything up to this LSN. Returns how many marks that ends."""
        ...


async def caught_up(
    marks: OneRegion,
    second: SecondRegion,
    within_s: float,
    told: Callable[[str, Mapping[str, object]], None],
) -> bool:
    """Whether everything is in both regions now; what has reached the second one is marked so, and told."""
    waiting = await marks.open()
    if not waiting:
        return True
    if not await second.flushed(waiting[-1].lsn, within_s):
        return False
    ended = await marks.reached(waiting[-1].lsn)
    told(
        "in_both_regions",
        {"marks": ended, "leaves": sum(each.to_size - each.from_size for each in waiting)},
    )
    return True
