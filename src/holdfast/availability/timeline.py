"""Timelines: from transitions to the intervals that lie between them, and several timelines seen as one.

Pure functions over ordered values. Every function that takes a window answers for the whole of it: moments
about which nothing is recorded come out as UNKNOWN intervals, so that what it returns tiles the window.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise, zip_longest

from holdfast.availability.model import BADNESS, Interval, State, Transition
from holdfast.availability.verdicts import SILENT, CheckState
from holdfast.kernel.windows import Window


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
    cuts = sorted({edge for line in timelines for i in line for edge in (i.window.start, i.window.end)})
    positions = [0] * len(timelines)
    result: list[Interval] = []
    for start, end in pairwise(cuts):
        present: list[Interval] = []
        for which, line in enumerate(timelines):
            while positions[which] < len(line) and line[positions[which]].window.end <= start:
                positions[which] += 1
            if positions[which] < len(line) and line[positions[which]].window.start <= start:
                present.append(line[positions[which]])
        if present:
            worst = max(present, key=lambda interval: badness[interval.state])
            sample = any(interval.sample for interval in present)
            _extend(result, Interval(Window(start, end), worst.state, worst.reason, sample))
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
