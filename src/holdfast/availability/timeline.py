"""Timelines: from transitions to the intervals that lie between them, and several timelines seen as one.

Pure functions over ordered values. Every function that takes a window answers for the whole of it: moments
about which nothing is recorded come out as UNKNOWN intervals, so that what it returns tiles the window.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise, zip_longest

from holdfast.availability.model import BADNESS, Interval, State, Transition
from holdfast.availability.verdicts import SILENT, CheckState
from holdfast.kernel.windows import Window

NO_QUORUM = "too few vantage points see it"


def intervals_of(
    transitions: Sequence[Transition], known: CheckState | None, window: Window, now: datetime
) -> list[Interval]:
    """A check's intervals inside `window`, ordered, clipped to it and to `now`.

    `transitions` are the newest one at or before the window's start and all that follow inside it. `known`
    is the check's present state: when it has fallen silent by `now`, its last state ends where the next
    result was due, and is UNKNOWN after. Nothing is returned for the time before the first transition,
    after `now`, and after retirement.
    """
    if not transitions:
        return []
    end = min(window.end, max(now, window.start))
    line = list(transitions)
    last = line[-1]
    # Of a check that is UNKNOWN or RETIRED the silence is a transition already, maybe one after the window.
    if known is not None and known.state is not known.state_at(now):
        due = max(known.known_until, last.at)
        line.append(Transition(last.check_id, due, State.UNKNOWN, SILENT, last.sample))
    result: list[Interval] = []
    for this, following in zip_longest(line, line[1:]):
        _append(result, this, end if following is None else following.at, end, window)
    return result


def _append(into: list[Interval], of: Transition, until: datetime, end: datetime, window: Window) -> None:
    start, until = max(of.at, window.start), min(until, end)
    if start < until and of.state is not State.RETIRED:
        into.append(Interval(Window(start, until), of.state, of.reason, of.sample))


def completed(intervals: Iterable[Interval], window: Window) -> list[Interval]:
    """`intervals` (ordered, disjoint) clipped to `window`, with UNKNOWN wherever there was none.

    Neighbours with the same state, reason and origin become one. The result tiles the window exactly.
    """
    result: list[Interval] = []
    at = window.start
    for interval in intervals:
        clipped = interval.window.clipped_to(window)
        if clipped is None:
            continue
        if clipped.start > at:
            _extend(result, Interval(Window(at, clipped.start), State.UNKNOWN))
        _extend(result, Interval(clipped, interval.state, interval.reason, interval.sample))
        at = clipped.end
    if at < window.end:
        _extend(result, Interval(Window(at, window.end), State.UNKNOWN))
    return result


def _extend(into: list[Interval], interval: Interval) -> None:
    last = into[-1] if into else None
    if (
        last is not None
        and last.window.end == interval.window.start
        and (last.state, last.reason, last.sample) == (interval.state, interval.reason, interval.sample)
    ):
        into[-1] = Interval(
            Window(last.window.start, interval.window.end), last.state, last.reason, last.sample
        )
    else:
        into.append(interval)


def worst_of(
    timelines: Sequence[Sequence[Interval]], badness: Mapping[State, int] = BADNESS
) -> list[Interval]:
    """Several timelines as one: at each moment the worst state of those that say anything then.

    Moments about which none says anything are left out. The reason is that of the worst. `badness` orders
    the states.
    """
    if len(timelines) == 1:
        return list(timelines[0])
    return _laid_over(timelines, lambda _, present: max(present, key=lambda each: badness[each.state]))


@dataclass(frozen=True, slots=True)
class Quorum:
    """From `at` on so many vantage points must agree."""

    at: datetime
    needed: int


def quorum_of(timelines: Sequence[Sequence[Interval]], quorums: Sequence[Quorum] = ()) -> list[Interval]:
    """What several vantage points agree on: at each moment the worst state that enough of them see, or worse.

    Fewer than enough that see anything at all are no quorum: UNKNOWN. `quorums` are ordered; before the
    first, one vantage point is enough. Moments about which none says anything are left out.
    """
    if len(timelines) == 1 and not quorums:
        return list(timelines[0])
    return _laid_over(
        timelines,
        lambda at, present: agreed(present, quorum_at(quorums, at)),
        cuts=[quorum.at for quorum in quorums],
    )


def quorum_at(quorums: Sequence[Quorum], at: datetime) -> int:
    """How many vantage points must agree at `at`."""
    return next((quorum.needed for quorum in reversed(quorums) if quorum.at <= at), 1)


def agreed(present: Sequence[Interval], needed: int) -> Interval:
    """The worst state that at least `needed` of `present` are in, or worse. Silent ones have no vote."""
    seen = sorted(
        (each for each in present if each.state is not State.UNKNOWN),
        key=lambda each: each.state.badness,
        reverse=True,
    )
    if len(seen) >= needed:
        return seen[needed - 1]
    reason = present[0].reason if len(present) == 1 else NO_QUORUM
    return Interval(present[0].window, State.UNKNOWN, reason, present[0].sample)


def _laid_over(
    timelines: Sequence[Sequence[Interval]],
    judged: Callable[[datetime, list[Interval]], Interval],
    cuts: Iterable[datetime] = (),
) -> list[Interval]:
    """Sweep over several timelines: what `judged` says of the intervals present between two edges."""
    edges = {edge for line in timelines for i in line for edge in (i.window.start, i.window.end)}
    positions = [0] * len(timelines)
    result: list[Interval] = []
    for start, end in pairwise(sorted(edges.union(cuts))):
        present: list[Interval] = []
        for which, line in enumerate(timelines):
            while positions[which] < len(line) and line[positions[which]].window.end <= start:
                positions[which] += 1
            if positions[which] < len(line) and line[positions[which]].window.start <= start:
                present.append(line[positions[which]])
        if present:
            found = judged(start, present)
            sample = any(interval.sample for interval in present)
            _extend(result, Interval(Window(start, end), found.state, found.reason, sample))
    return result


def without(intervals: Iterable[Interval], excluded: Sequence[Window]) -> list[Interval]:
    """`intervals` with the moments of `excluded` (ordered, disjoint) cut out."""
    result: list[Interval] = []
    for interval in intervals:
        at = interval.window.start
        for hole in excluded:
            if hole.end <= at or hole.start >= interval.window.end:
                continue
            if hole.start > at:
                result.append(
                    Interval(Window(at, hole.start), interval.state, interval.reason, interval.sample)
                )
            at = max(at, hole.end)
        if at < interval.window.end:
            result.append(
                Interval(Window(at, interval.window.end), interval.state, interval.reason, interval.sample)
            )
    return result
