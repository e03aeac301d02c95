"""A component's days and events, from its intervals. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from holdfast.availability.dependencies import Explanations
from holdfast.availability.model import Interval, Maintenance, State, worst
from holdfast.availability.sla import Figure, tally
from holdfast.availability.timeline import completed
from holdfast.availability.views import ComponentStatus, Day, Event
from holdfast.estate.ports import ComponentIdentity
from holdfast.kernel.windows import Window, days_of


@dataclass(frozen=True, slots=True)
class Span:
    """A window with its local days, clipped to it. Made once for all components that are shown over it."""

    window: Window
    days: Sequence[tuple[date, Window]]

    @classmethod
    def of(cls, window: Window, zone: ZoneInfo) -> "Span":
        clipped = ((day, whole.clipped_to(window)) for day, whole in days_of(window, zone))
        return cls(window, [(day, part) for day, part in clipped if part is not None])


def days_of_line(
    line: Sequence[Interval],
    span: Span,
    maintenance: Sequence[Maintenance],
    status: ComponentStatus,
    explanations: Explanations,
) -> list[Day]:
    """The local days of `span`, oldest first, each with what happened in it.

    One pass over the intervals: a day takes those that begin before its end, and hands on the last one.
    """
    result: list[Day] = []
    whole = completed(line, span.window)
    first = 0
    for day, today in span.days:
        while first < len(whole) and whole[first].window.end <= today.start:
            first += 1
        inside: list[Interval] = []
        index = first
        while index < len(whole) and whole[index].window.start < today.end:
            inside.append(whole[index])
            index += 1
        result.append(_day(day, today, inside, maintenance, status, explanations))
    return result


def _day(
    day: date,
    window: Window,
    line: Sequence[Interval],
    maintenance: Sequence[Maintenance],
    status: ComponentStatus,
    explanations: Explanations,
) -> Day:
    today = [each for each in maintenance if each.window.overlaps(window) and not each.cancelled_at]
    figure = figure_of(line, window, today, status.id)
    events = [
        explanations.event(status.identity, each, window)
        for each in line
        if each.state is not State.OPERATIONAL and each.window.overlaps(window)
    ]
    states = [state for state, length in figure.tally.by_state.items() if length]
    # All of the day was maintenance: nothing of it counts against anybody.
    shown = worst(states) if states else State.OPERATIONAL
    return Day(day, figure, shown, events, bool(today), any(each.sample for each in line))


def figure_of(
    line: Sequence[Interval], window: Window, maintenance: Iterable[Maintenance], component_id: int
) -> Figure:
    """The site's own figure: all announced maintenance is left out, whatever notice an agreement asks for."""
    holes = [each.window for each in maintenance if each.excludes(component_id, timedelta())]
    return Figure(window, tally(line, window, holes))


def events_of(
    identity: ComponentIdentity, line: Iterable[Interval], explanations: Explanations
) -> list[Event]:
    """What happened, newest first: the intervals in any state but operational."""
    return [
        explanations.event(identity, each)
        for each in reversed(list(line))
        if each.state is not State.OPERATIONAL
    ]


def labelled(
    statuses: Iterable[ComponentStatus], lines: Mapping[int, Sequence[Interval]], explanations: Explanations
) -> list[tuple[ComponentStatus, Event]]:
    """The events of several components, newest first."""
    events = [
        (status, event)
        for status in statuses
        for event in events_of(status.identity, lines.get(status.id, ()), explanations)
    ]
    return sorted(events, key=lambda each: each[1].window.start, reverse=True)


def covering(maintenance: Sequence[Maintenance], ids: Collection[int]) -> list[Maintenance]:
    return [each for each in maintenance if not each.component_ids.isdisjoint(ids)]
