"""From results to states: confirmation, thresholds, flap damping, and what silence means.

Pure: given what is known about a check, and one more result or the time, it returns what is known now.
The invariants, held by property tests:

- Transitions of a check have strictly increasing times, whatever the clock does.
- Every moment in a state other than UNKNOWN lies within `every` of a result, or before one that came late by
  no more than `lateness` (or the check's retirement, which may come as late).
- A state changes only to one that a whole run of results supports, and begins at the first of that run.
- A run shorter than asked for neither begins nor ends an outage.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from holdfast.availability.model import Result, State, Transition
from holdfast.estate.checks import Check
from holdfast.kernel.windows import MICROSECOND

FLAP_WINDOW = timedelta(hours=1)
CALM_FAILURES = 2
"""So many failures within the window are bad luck; each further one doubles the run that proves recovery."""
MOST_DAMPING = 8
MOST_FAILURES = CALM_FAILURES + 3
"""So many failures already ask for the most damping: older ones need not be remembered."""
SILENT = "no result arrived"
SLACK = timedelta(seconds=5)
"""What storing and scheduling may add before a result counts as missing."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The thresholds of one check.

    `lateness` is how long after it was due a result may still be heard of before the check counts as silent.
    """

    fail_after: int
    recover_after: int
    every: timedelta
    lateness: timedelta

    @classmethod
    def of(cls, check: Check) -> "Rules":
        longest = (2 if check.retry else 1) * check.timeout
        # A run that takes longer than `every` also postpones the next one: by up to its own length.
        overrun = longest if longest >= check.rhythm else timedelta()
        return cls(check.fail_after, check.recover_after, check.rhythm, longest + overrun + SLACK)


@dataclass(frozen=True, slots=True)
class Shown:
    """One result that differs from the confirmed state: when, what it showed, and why."""

    at: datetime
    state: State
    reason: str


@dataclass(frozen=True, slots=True)
class CheckState:
    """What is known about a check.

    `heard_at` is the newest result's time, `known_until` when the next one is due, and `silent_after` when
    it must have been heard of. `pending` is the current run of results that differ from `state`, all
    better or all worse. `failures` holds when recent failures began.
    """

    check_id: int
    state: State
    since: datetime
    heard_at: datetime
    known_until: datetime
    silent_after: datetime
    reason: str = ""
    pending: tuple[Shown, ...] = ()
    failures: tuple[datetime, ...] = ()

    def state_at(self, now: datetime) -> State:
        """The state to show at `now`: UNKNOWN once the check has fallen silent."""
        silent = self.state is not State.RETIRED and now > self.silent_after
        return State.UNKNOWN if silent else self.state


def first_heard(result: Result, rules: Rules) -> CheckState:
    """A check's state before its first result: unknown, as of just then."""
    at = result.at
    before = at - MICROSECOND
    return CheckState(result.check_id, State.UNKNOWN, before, before, at, at + rules.lateness)


def heard(before: CheckState | None, result: Result, rules: Rules) -> tuple[CheckState, list[Transition]]:
    """Take in one more result; returns the new state and the transitions to append, in order."""
    transitions: list[Transition] = []
    known = before or first_heard(result, rules)
    # A clock set back must not rewrite history: time stands still for the timeline until it catches up.
    at = max(result.at, known.heard_at + MICROSECOND)
    if before is not None and at > known.silent_after:
        known, missed = fell_silent(known)
        transitions += missed
    known = replace(
        known,
        heard_at=at,
        known_until=at + rules.every,
        silent_after=at + rules.every + rules.lateness,
        failures=tuple(moment for moment in known.failures if moment > at - FLAP_WINDOW),
    )
    shown = Shown(at, result.outcome.state, result.reason)
    if known.state in (State.UNKNOWN, State.RETIRED) and shown.state is State.OPERATIONAL:
        # There is no outage to end: one good answer is knowledge enough.
        known, change = _moved(known, (shown,))
        return known, [*transitions, change]
    pending = _run_of(known, shown)
    if pending or known.pending:  # most often neither, and a copy is what all of this costs
        known = replace(known, pending=pending)
    while (run := _confirmed(known, rules)) is not None:
        known, change = _moved(known, run)
        transitions.append(change)
    return known, transitions


def fell_silent(known: CheckState) -> tuple[CheckState, list[Transition]]:
    """Nothing was heard in time: unknown since the result was due. Calling it again changes nothing."""
    if known.state in (State.UNKNOWN, State.RETIRED):
        return replace(known, pending=()), []
    at = max(known.known_until, known.since + MICROSECOND)
    silent = replace(known, state=State.UNKNOWN, since=at, reason=SILENT, pending=(), heard_at=at)
    return silent, [Transition(known.check_id, at, State.UNKNOWN, SILENT)]


def retired(known: CheckState, at: datetime) -> tuple[CheckState, list[Transition]]:
    """The check has left the estate. Its history stays; its component is judged without it from `at` on."""
    if known.state is State.RETIRED:
        return replace(known, pending=()), []
    transitions: list[Transition] = []
    if at > known.silent_after:
        known, transitions = fell_silent(known)
    # Not before what was heard last, should the clock have been set back: that stays as it was.
    at = max(at, known.heard_at + MICROSECOND)
    reason = "removed from the estate"
    gone = replace(known, state=State.RETIRED, since=at, heard_at=at, reason=reason, pending=())
    return gone, [*transitions, Transition(known.check_id, at, State.RETIRED, reason)]


def _side(state: State, shown: State) -> int:
    """-1 when `shown` is better than `state`, 1 when worse. From nothing, all that is not good is worse."""
    if state in (State.UNKNOWN, State.RETIRED):
        return 0 if shown is State.UNKNOWN else 1
    return int(shown.badness > state.badness) - int(shown.badness < state.badness)


def _run_of(known: CheckState, shown: Shown) -> tuple[Shown, ...]:
    side = _side(known.state, shown.state)
    if side == 0:
        return ()
    same_side = known.pending and _side(known.state, known.pending[-1].state) == side
    return (*known.pending, shown) if same_side else (shown,)


def needed(known: CheckState, rules: Rules, *, recovering: bool) -> int:
    """How long a run must be. A check that keeps failing has to hold longer before it counts as recovered."""
    if not recovering:
        return rules.fail_after
    flaps = max(0, len(known.failures) - CALM_FAILURES)
    return rules.recover_after * min(MOST_DAMPING, 1 << flaps)


def _confirmed(known: CheckState, rules: Rules) -> tuple[Shown, ...] | None:
    """The pending run, once it is long enough to be believed."""
    if not known.pending:
        return None
    recovering = _side(known.state, known.pending[0].state) < 0
    enough = len(known.pending) >= needed(known, rules, recovering=recovering)
    return known.pending if enough else None


def _moved(known: CheckState, run: tuple[Shown, ...]) -> tuple[CheckState, Transition]:
    """Move to the state that the whole run supports: of several shades, the one nearest to the old state.

    What the run's tail says beyond that (degraded, then failed twice) stays pending and may confirm next.
    """
    worse = _side(known.state, run[0].state) > 0
    nearest = (min if worse else max)(run, key=lambda shown: shown.state.badness)
    at = max(run[0].at, known.since + MICROSECOND)
    reason = "" if nearest.state is State.OPERATIONAL else nearest.reason
    failed = worse and nearest.state is not State.OPERATIONAL
    moved = replace(
        known,
        state=nearest.state,
        since=at,
        reason=reason,
        pending=_tail(nearest.state, run),
        failures=(*known.failures, at)[-MOST_FAILURES:] if failed else known.failures,
    )
    return moved, Transition(known.check_id, at, nearest.state, reason)


def _tail(state: State, run: tuple[Shown, ...]) -> tuple[Shown, ...]:
    """The results at the end of `run` that all lie on one side of `state`."""
    tail: list[Shown] = []
    side = _side(state, run[-1].state)
    for shown in reversed(run):
        if side == 0 or _side(state, shown.state) != side:
            break
        tail.append(shown)
    return tuple(reversed(tail))
