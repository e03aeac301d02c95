"""Timelines on a grid of whole seconds, so that a brute-force oracle can look at every second."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import strategies as st

from holdfast.availability.model import Interval, Maintenance, State
from holdfast.availability.sla import MEASURED, Terms
from holdfast.kernel.windows import Window

T0 = datetime(2026, 3, 28, 23, 59, 30, tzinfo=UTC)
LENGTH = 60
WHOLE = Window(T0, T0 + timedelta(seconds=LENGTH))

seconds = st.integers(0, LENGTH)
states = st.sampled_from(MEASURED)


def at(second: int) -> datetime:
    return T0 + timedelta(seconds=second)


def window(start: int, end: int) -> Window:
    return Window(at(start), at(end))


windows = st.tuples(seconds, seconds).map(lambda pair: window(min(pair), max(pair)))
filled_windows = windows.filter(lambda each: not each.is_empty)


@st.composite
def lines(draw: st.DrawFn) -> list[Interval]:
    """Ordered, disjoint intervals, some touching each other, some with gaps between."""
    cuts = sorted(draw(st.sets(seconds, max_size=8)))
    result = []
    for start, end in pairwise(cuts):
        state = draw(st.none() | states)
        if state is not None:
            result.append(Interval(window(start, end), state, state.label))
    return result


@st.composite
def maintenances(draw: st.DrawFn, components: Sequence[int] = (1, 2, 3)) -> Maintenance:
    planned = draw(filled_windows)
    return Maintenance(
        draw(st.integers(1, 99)),
        planned,
        planned.start - timedelta(seconds=draw(st.integers(-5, 20))),
        frozenset(draw(st.sets(st.sampled_from(list(components)), min_size=1))),
        cancelled_at=draw(st.none() | st.just(T0)),
        planned_start=draw(st.none() | st.integers(0, 4).map(lambda n: planned.start - timedelta(seconds=n))),
    )


terms = st.builds(
    Terms,
    objective=st.decimals(0, 100, places=3),
    combine=st.sampled_from(["average", "worst"]),
    unknown=st.sampled_from(["excluded", "downtime", "uptime"]),
    notice=st.integers(0, 15).map(lambda n: timedelta(seconds=n)),
)
estates = st.dictionaries(st.sampled_from([1, 2, 3]), lines(), min_size=1, max_size=3)


def state_in(line: Sequence[Interval], second: int) -> State | None:
    """What `line` says about that second; None where it says nothing. The oracle's only look at intervals."""
    found = [each.state for each in line if each.window.contains(at(second))]
    assert len(found) <= 1, "intervals overlap"
    return found[0] if found else None


def split(line: Sequence[Interval], cuts: Sequence[int]) -> list[Interval]:
    """The same line with its intervals cut in two at the given seconds."""
    result = list(line)
    for cut in cuts:
        for index, each in enumerate(result):
            if each.window.start < at(cut) < each.window.end:
                halves = (Window(each.window.start, at(cut)), Window(at(cut), each.window.end))
                result[index : index + 1] = [
                    Interval(half, each.state, each.reason, each.sample) for half in halves
                ]
                break
    return result
