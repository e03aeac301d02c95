"""The words of availability, and the rules that hold between them.

    check --run--> result --judged over time--> state of the check, whose changes are transitions
    transitions of one check, in order, are its timeline; two neighbours bound an interval
    a component is, at each moment, in the worst state of its checks

Rules:
1. A timeline is a list of transitions with strictly increasing times. Intervals are what lies between two
   neighbours, so they can neither overlap nor leave a gap: the storage has no way to say so.
2. A result speaks for its check until the next one is due. When the next one does not come, nobody knows:
   the state is UNKNOWN from the moment it was due, whatever came before, and whoever was to blame: a dead
   process, a stopped machine, a clock that jumped.
3. A change of state begins at the first result that showed it, not at the one that confirmed it.
4. Maintenance is laid over the measured states when a figure is made. What was measured stays as it was.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum

from holdfast.kernel.windows import Window

LONGEST_LINE = 300


def one_line(text: str) -> str:
    """`text` as one printable line of at most LONGEST_LINE characters: what any store and any page can hold.

    Control characters, line ends and halves of surrogate pairs become question marks.
    """
    if not text.isprintable():
        text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= LONGEST_LINE else text[: LONGEST_LINE - 3] + "..."


class State(IntEnum):
    """What a check or a component is. The numbers are stored: never reuse one, and never order by them."""

    OPERATIONAL = 0
    DEGRADED = 1
    PARTIAL_OUTAGE = 2
    MAJOR_OUTAGE = 3
    UNKNOWN = 4
    RETIRED = 5
    """Only of checks: removed from the estate. Its component is judged without it from then on."""

    @property
    def label(self) -> str:
        """The word used in files, interfaces and addresses."""
        return self.name.lower()

    @property
    def badness(self) -> int:
        """Orders states for `worst`. Unknown is worse than degraded, which still counts as up: claiming
        the better of the two would show unknown as good. A proven outage is worse than unknown.
        """
        return BADNESS[self]


BADNESS: Mapping[State, int] = {
    State.RETIRED: -1,
    State.OPERATIONAL: 0,
    State.DEGRADED: 1,
    State.UNKNOWN: 2,
    State.PARTIAL_OUTAGE: 3,
    State.MAJOR_OUTAGE: 4,
}


def worst(states: Iterable[State]) -> State:
    """The worst state, leaving out retired checks; UNKNOWN when nothing is left to judge by."""
    found = max(states, key=lambda state: state.badness, default=State.RETIRED)
    return State.UNKNOWN if found is State.RETIRED else found


class Outcome(IntEnum):
    """How one run of a check ended. The numbers are stored, and are those of the states they lead to."""

    GOOD = 0
    DEGRADED = 1
    PARTIAL = 2
    FAILED = 3

    @property
    def state(self) -> State:
        """The state that this outcome, once confirmed, puts the check in."""
        return State(self.value)


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one attempt went, in microseconds. A phase that did not happen is None."""

    total_us: int
    resolve_us: int | None = None
    connect_us: int | None = None
    tls_us: int | None = None
    first_byte_us: int | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What one attempt saw: facts for the conditions, or the error that ended it.

    `facts` holds only what the condition language names (`status`, `headers`, `body`, ...); it is dropped
    once the conditions are evaluated and never stored. `ours`: the error is no word about the target but our
    own fault, so that there is no result: the check falls silent and becomes unknown.
    """

    timings: Timings
    error: str | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """One run of a check, judged. `at` is when it began, on the wall clock, in UTC.

    `reason` is one printable line, whatever it is made from: a byte that no database can hold must not keep
    everything else from being recorded.
    """

    check_id: int
    at: datetime
    outcome: Outcome
    timings: Timings
    reason: str = ""
    attempts: int = 1

    def __post_init__(self) -> None:
        _keep_to_one_line(self)


@dataclass(frozen=True, slots=True)
class Transition:
    """From `at` on the check is in `state`; `reason` says why, in a line that a customer may read."""

    check_id: int
    at: datetime
    state: State
    reason: str = ""
    sample: bool = False

    def __post_init__(self) -> None:
        _keep_to_one_line(self)


def _keep_to_one_line(value: Result | Transition) -> None:
    if not value.reason.isprintable() or len(value.reason) > LONGEST_LINE:
        object.__setattr__(value, "reason", one_line(value.reason))


@dataclass(frozen=True, slots=True)
class Interval:
    """One state during a window. `sample` marks imported sample history."""

    window: Window
    state: State
    reason: str = ""
    sample: bool = False

    @property
    def duration(self) -> timedelta:
        return self.window.duration


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Time that was announced at one moment to be left out, and the components that it covers.

    `window` is what counts of it: what was given back, by a late start or an early end, is not in it.
    `planned_start` is the start that was announced (None: the window's), `of` the id of the maintenance that
    readers know, which may have several of these: what was added later was announced later.
    """

    id: int
    window: Window
    announced_at: datetime
    component_ids: frozenset[int]
    title: str = ""
    cancelled_at: datetime | None = None
    planned_start: datetime | None = None
    of: str | None = None

    def excludes(self, component_id: int, notice: timedelta) -> bool:
        """True when this window leaves the counted time of an agreement that asks for `notice`.

        Judged by the start that was announced: beginning late makes no late announcement an early one.
        """
        return (
            component_id in self.component_ids
            and self.cancelled_at is None
            and self.announced_at <= (self.planned_start or self.window.start) - notice
        )
