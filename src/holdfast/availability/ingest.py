"""Results from vantage points: what of a delivery is taken in, and what that makes of the probes' timelines.

Every probe, a check as one vantage point runs it, has a timeline of its own. Silence is never written before
the next result is heard, so a delivery that comes late simply continues it: its results, heard in the order
of their own times, cover what was unknown until now, and nothing that was recorded changes.

1. Results count in the order of their times. One at or before the newest that was heard is a repeat.
2. A result is refused by itself and never takes others with it: when it is of a probe that the vantage point
   does not have, from the future (more than CLOCK_TOLERANCE), or older than LATEST.
3. A delivery is stored as a whole or not at all, and while its token is valid.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from holdfast.availability.errors import AvailabilityError
from holdfast.availability.model import Result, State, Transition
from holdfast.availability.ports import Batch
from holdfast.availability.verdicts import CheckState, Rules, heard, retired
from holdfast.kernel.clock import Clock
from holdfast.kernel.durations import format_duration
from holdfast.kernel.errors import Remedy

CLOCK_TOLERANCE = timedelta(seconds=60)
LATEST = timedelta(days=30)


class NotKnownYet(AvailabilityError):  # noqa: N818  a state of affairs more than an error
    """A probe is in force and this controller has not read that estate yet. It will have soon."""

    remedy = Remedy.TRANSIENT


@dataclass(frozen=True, slots=True)
class Refused:
    """Why the result at `index` of a delivery was not taken in."""

    index: int
    check_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Loss:
    """Results of one probe that an agent gave up for lack of room, by outcome, from `first` to `last`."""

    check_id: int
    first: datetime
    last: datetime
    good: int = 0
    degraded: int = 0
    partial: int = 0
    failed: int = 0

    @property
    def results(self) -> int:
        return self.good + self.degraded + self.partial + self.failed


@dataclass(frozen=True, slots=True)
class Losses:
    """What one agent gave up since it last said so. The same `id` again replaces what was said before."""

    id: UUID
    by_probe: Sequence[Loss]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What an agent brings: results in any order, and what it had to give up."""

    results: Sequence[Result] = ()
    losses: Losses | None = None


@dataclass(frozen=True, slots=True)
class Probes:
    """Of the probes that a delivery names: which are the vantage point's, and which of them are in force.

    `recorded_until`: where the timelines end of those that were never heard, but have an imported past.
    """

    own: Collection[int]
    in_force: Collection[int]
    recorded_until: Mapping[int, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Taken:
    """What becomes of a delivery. `changed`: somebody who looks now sees another state than before."""

    batch: Batch
    absorbed: int = 0
    refused: tuple[Refused, ...] = ()
    changed: bool = False

    @property
    def stored(self) -> int:
        return len(self.batch.results)


Decide = Callable[[Probes, Mapping[int, CheckState]], Taken]


def plausible(results: Sequence[Result], now: datetime) -> tuple[list[tuple[int, Result]], list[Refused]]:
    """The results, with their places, whose times can be true, and the refusals of the others."""
    kept: list[tuple[int, Result]] = []
    refused: list[Refused] = []
    for index, result in enumerate(results):
        if result.at > now + CLOCK_TOLERANCE:
            ahead = format_duration(timedelta(seconds=round((result.at - now).total_seconds())))
            refused.append(Refused(index, result.check_id, f"from the future, by {ahead}: look at the clock"))
        elif result.at < now - LATEST:
            reason = f"older than {format_duration(LATEST)}"
            refused.append(Refused(index, result.check_id, reason))
        else:
            kept.append((index, result))
    return kept, refused


def taken_in(
    results: Iterable[tuple[int, Result]],
    probes: Probes,
    known: Mapping[int, CheckState],
    rules: Mapping[int, Rules],
    now: datetime,
) -> Taken:
    """What to store of `results` (with their places in the delivery). Pure.

    Raises NotKnownYet when a probe is in force and `rules` does not know it.
    """
    stored: list[Result] = []
    transitions: list[Transition] = []
    states: dict[int, CheckState] = {}
    refused: list[Refused] = []
    absorbed = 0
    for index, result in sorted(results, key=lambda each: (each[1].at, each[0])):
        probe = result.check_id
        if (reason := _objection(probe, probes)) is not None:
            refused.append(Refused(index, probe, reason))
            continue
        if probe not in rules:
            raise NotKnownYet(f"probe {probe} is not known here yet", hint="it is tried again by itself")
        before = states.get(probe, known.get(probe))
        until = probes.recorded_until.get(probe) if before is None else before.heard_at
        if until is not None and result.at <= until:
            absorbed += 1
            continue
        state, changes = heard(before, result, rules[probe])
        states[probe] = state
        transitions += changes
        stored.append(result)
    mended = any(_shown(known.get(probe), now) is not state.state_at(now) for probe, state in states.items())
    batch = Batch(stored, transitions, list(states.values()))
    return Taken(batch, absorbed, tuple(refused), mended or bool(transitions))


def _objection(probe: int, probes: Probes) -> str | None:
    if probe not in probes.own:
        return "not a probe of this vantage point"
    return None if probe in probes.in_force else "no longer in the estate"


def _shown(known: CheckState | None, now: datetime) -> State:
    return State.UNKNOWN if known is None else known.state_at(now)


class AgentStore(Protocol):
    """Where deliveries go."""

    async def take(self, token_sha256: bytes, delivery: Delivery, decide: Decide) -> Taken | None:
        """Store what `decide` says of `delivery`, in one transaction; None when no valid token has this hash.

        Deliveries of one vantage point take turns, and a revocation waits for the one that is under way.
        `decide` is given what is known of the probes that the results name.
        """
        ...

    async def retire(self, decide: Callable[[Collection[CheckState]], Batch]) -> int:
        """Store what `decide` says of vantage points' probes that left the estate; returns how many did."""
        ...


class Ingest:
    """Takes deliveries in. `rules` are those of every vantage point's probes, as the estate has them now."""

    def __init__(self, store: AgentStore, clock: Clock, rules: Callable[[], Mapping[int, Rules]]) -> None:
        self._store = store
        self._clock = clock
        self._rules = rules

    async def accept(self, token_sha256: bytes, delivery: Delivery) -> Taken | None:
        """Take in all of `delivery`, or nothing; None when the token is worth nothing any more.

        Repeating a delivery is harmless. Raises what the store raises, and NotKnownYet.
        """
        now, rules = self._clock.now(), self._rules()
        kept, refused = plausible(delivery.results, now)
        delivery = replace(delivery, results=[result for _, result in kept])
        taken = await self._store.take(
            token_sha256, delivery, lambda probes, known: taken_in(kept, probes, known, rules, now)
        )
        if taken is None:
            return None
        every = sorted((*refused, *taken.refused), key=lambda each: each.index)
        return replace(taken, refused=tuple(every))

    async def retire_departed(self) -> int:
        """End the timelines of probes that left the estate; returns how many. Repeating changes nothing."""
        now = self._clock.now()
        return await self._store.retire(lambda states: retirement(states, now))


def retirement(states: Iterable[CheckState], at: datetime) -> Batch:
    """What ends the timelines of these probes at `at`. Pure."""
    ended: list[CheckState] = []
    transitions: list[Transition] = []
    for known in states:
        state, changes = retired(known, at)
        ended.append(state)
        transitions += changes
    return Batch((), transitions, ended)
