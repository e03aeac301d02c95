"""What the server is told to be flushed, and when a stalled sync mode lets go. Pure.

A physical slot keeps the server's WAL from the place that was acknowledged as flushed, and a commit in sync
mode waits for the same number: there is one number for both. So:

- **sync**: the place that the named number of regions have. With 0 regions: what this machine's disk has.
  What regions have need not be on this machine's disk as well, when the server still has it: what this
  machine loses in a power cut it asks for again. The server keeps whole the segment in which the acknowledged
  place is, and so that is never beyond the segment up to which this machine's disk has everything.
- **async**: the lowest place among the regions that answer. Until then this machine and the server both have
  it, so that the loss of this machine loses nothing: a receiver elsewhere takes it from the server again. A
  region that is away does not hold the server's WAL for long: what another region has is copied from there.
  When no region answers, the server would keep WAL until its disk is full, and a backup must not stop what it
  protects: beyond `held_limit` what this machine's disk has is let go of by the server.
- **let go** (a sync mode that stalled): what this machine's disk has, so that commits go on.

The number never goes down, since a slot would follow it to WAL that is gone.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.backup.lsn import Lsn

CALM_SHARE = 0.25
"""Of the stall limit: a wait below it is no stall any more."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a region has the timeline that is followed (0: not yet), and whether it answers."""

    has: Lsn
    answers: bool


def place_of_sync(own: Lsn, regions: Sequence[Standing], wanted: int) -> Lsn:
    """What is flushed on this machine (0 regions wanted), or in so many regions."""
    if wanted <= 0:
        return own
    places = sorted((min(each.has, own) for each in regions), reverse=True)
    return places[wanted - 1] if wanted <= len(places) else Lsn(0)


def place_asked_again(flushed: Lsn, written: Lsn, segment_bytes: int) -> Lsn:
    """Up to where of what was `written` may be acknowledged that this machine's disk has up to `flushed`.

    A slot there keeps on the server what this machine would have to ask for again.
    """
    return min(written, Lsn(flushed - flushed % segment_bytes + segment_bytes - 1))


def place_of_async(own: Lsn, regions: Sequence[Standing], held_limit: int) -> Lsn:
    """Where the server may let go of its WAL."""
    answering = [min(each.has, own) for each in regions if each.answers]
    kept = min(answering) if answering else max((each.has for each in regions), default=own)
    return max(Lsn(min(kept, own)), Lsn(own - held_limit) if own > held_limit else Lsn(0))


class Watchdog:
    """Says when a commit has waited for too long, and when waiting is short again. Times are monotonic."""

    def __init__(self, stall_limit_s: float) -> None:
        self._limit_s = stall_limit_s
        self._waiting: deque[tuple[Lsn, float]] = deque()
        self.let_go = False

    def came(self, own: Lsn, now: float) -> None:
        """This machine has it since now."""
        if not self._waiting or self._waiting[-1][0] < own:
            self._waiting.append((own, now))

    def look(self, sync: Lsn, now: float) -> bool:
        """Whether `let_go` has changed, now that the regions have everything up to `sync`."""
        while self._waiting and self._waiting[0][0] <= sync:
            self._waiting.popleft()
        longest = now - self._waiting[0][1] if self._waiting else 0.0
        before = self.let_go
        self.let_go = longest >= self._limit_s if not before else longest >= self._limit_s * CALM_SHARE
        return self.let_go != before

    def forget(self) -> None:
        """Another stream begins: places of the old timeline mean nothing on the new one."""
        self._waiting.clear()
