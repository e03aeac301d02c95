"""Another tool's records of a check as a timeline. Only what it can vouch for counts; the rest is UNKNOWN.

A record speaks for its check until the next one is due. Where the next one is late by more than `lateness`,
nobody knows from the moment it was due, except where other records of the tool (`attested`) show that it was
running: what it saw then had not changed, or it would have written that down.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from holdfast.availability.histogram import Histogram
from holdfast.availability.model import State, Transition
from holdfast.availability.ports import RollUp
from holdfast.interchange.errors import InterchangeError
from holdfast.kernel.windows import Window, merged

MOST_TRANSITIONS = 200_000
_HOUR = timedelta(hours=1)
NOT_SEEN = "no record of this time"
LAST_SEEN = "the imported history ends here"


@dataclass(frozen=True, slots=True)
class Beat:
    """One record: at `at` (aware, UTC) the check was in `state`; None means it had failed, unconfirmed yet.

    It speaks for `lasts`. `latency_us` is how long the answer took, where that is known.
    """

    at: datetime
    state: State | None
    lasts: timedelta
    reason: str = ""
    latency_us: int | None = None


@dataclass(slots=True)
class Tally:
    """What a timeline was made from."""

    beats: int = 0
    out_of_order: int = 0
    gaps: int = 0
    unknown: timedelta = timedelta()
    first: datetime | None = None
    last: datetime | None = None


@dataclass(slots=True)
class Timeline:
    """Takes beats in order and keeps the transitions and the hours of one check."""

    check_id: int
    until: datetime
    lateness: timedelta
    attested: Sequence[Window] = ()
    tally: Tally = field(default_factory=Tally)
    transitions: list[Transition] = field(default_factory=list)
    hours: list[RollUp] = field(default_factory=list)
    _state: State | None = None
    _known_until: datetime | None = None
    _pending: datetime | None = None
    _hour: "_Hour | None" = None

    def take(self, beat: Beat) -> None:
        """One more beat. One that is not later than the last, or not in the past, counts as out of order."""
        if (self.tally.last is not None and beat.at <= self.tally.last) or beat.at >= self.until:
            self.tally.out_of_order += 1
            return
        self.tally.first = self.tally.first or beat.at
        self.tally.last = beat.at
        self.tally.beats += 1
        if self._known_until is not None and beat.at > self._known_until + self.lateness:
            self._silence(self._known_until, beat.at)
        self._judge(beat)
        self._known_until = max(beat.at + beat.lasts, self._known_until or beat.at)
        self._count(beat)

    def finish(self) -> None:
        """End the timeline where the last beat stops speaking, at the latest at `until`."""
        if self._pending is not None:
            self._become(State.UNKNOWN, self._pending, NOT_SEEN)
        elif self._known_until is not None:
            self._become(State.UNKNOWN, min(self._known_until, self.until), LAST_SEEN)
        self._close_hour()

    def _judge(self, beat: Beat) -> None:
        if beat.state is None:
            self._pending = self._pending or beat.at
            if self._state in (None, State.UNKNOWN):
                self._become(State.UNKNOWN, beat.at, "")
            return
        # A change begins at the first record that showed it: what was pending before belongs to the failure.
        failing = beat.state not in (State.OPERATIONAL, State.UNKNOWN)
        since = self._pending if self._pending is not None and failing else beat.at
        self._pending = None
        self._become(beat.state, since, beat.reason)

    def _silence(self, start: datetime, end: datetime) -> None:
        if self._pending is not None:
            self._become(State.UNKNOWN, self._pending, NOT_SEEN)
            self._pending = None
            return
        before, reason = self._state, self.transitions[-1].reason if self.transitions else ""
        silent = list(_without(Window(start, end), self.attested))
        if before in (None, State.UNKNOWN) or not silent:
            return
        self.tally.gaps += 1
        for gap in silent:
            self.tally.unknown += gap.duration
            self._become(State.UNKNOWN, gap.start, NOT_SEEN)
            if gap.end < end:
                self._become(before, gap.end, reason)

    def _become(self, state: State, at: datetime, reason: str) -> None:
        if state is self._state:
            return
        while self.transitions and self.transitions[-1].at >= at:
            # Only a pending start can lie before the last change; the later knowledge wins.
            self.transitions.pop()
        self._state = state
        previous = self.transitions[-1].state if self.transitions else None
        if previous is state:
            return
        if len(self.transitions) >= MOST_TRANSITIONS:
            raise InterchangeError(f"a check changed its state more than {MOST_TRANSITIONS:,} times")
        self.transitions.append(Transition(self.check_id, at, state, reason))

    def _count(self, beat: Beat) -> None:
        start = beat.at.replace(minute=0, second=0, microsecond=0)
        if self._hour is None or self._hour.at != start:
            self._close_hour()
            self._hour = _Hour(start)
        self._hour.take(beat)

    def _close_hour(self) -> None:
        if self._hour is not None and self._hour.total:
            self.hours.append(self._hour.folded(self.check_id))
        self._hour = None


@dataclass(slots=True)
class _Hour:
    at: datetime
    good: int = 0
    degraded: int = 0
    failed: int = 0
    latencies: list[int] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.good + self.degraded + self.failed

    def take(self, beat: Beat) -> None:
        if beat.state is State.UNKNOWN:
            return
        if beat.state is State.OPERATIONAL:
            self.good += 1
        elif beat.state is State.DEGRADED:
            self.degraded += 1
        else:
            self.failed += 1
            return
        if beat.latency_us is not None and len(self.latencies) < 3600:
            self.latencies.append(beat.latency_us)

    def folded(self, check_id: int) -> RollUp:
        latency = Histogram.of(self.latencies)
        return RollUp(check_id, self.at, self.good, self.degraded, self.failed, latency)


@dataclass(frozen=True, slots=True)
class Count:
    """How many records a tool counted in `[at, at + length)`."""

    at: datetime
    length: timedelta
    records: int


def attested_windows(counts: Iterable[Count], every: timedelta, share: float = 0.9) -> list[Window]:
    """Where the counts show that a check with that rhythm ran, at least a `share` of the time."""
    return merged(
        Window(count.at, count.at + count.length)
        for count in counts
        if count.records * every >= count.length * share
    )


def _without(window: Window, taken: Sequence[Window]) -> Iterator[Window]:
    """What is left of `window`; `taken` are disjoint and in order."""
    at = window.start
    for each in taken:
        clipped = each.clipped_to(window)
        if clipped is None:
            continue
        if clipped.start > at:
            yield Window(at, clipped.start)
        at = clipped.end
    if at < window.end:
        yield Window(at, window.end)
