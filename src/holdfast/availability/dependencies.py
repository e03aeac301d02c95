"""Because of: which dependencies explain that a component is in trouble. Pure; figures know nothing of it.

Trouble is a stretch of time in which a component was measured to be degraded or worse, whatever its shades.
Unknown is no trouble: nobody can say that something happened because of what is not known.

A dependency explains a component's trouble at a moment when

1. it was in trouble at the same time, and
2. its trouble began no later than TOLERANCE after the component's. Checks have rhythms of their own, so that
   the consequence may well be seen before its cause.

What explains it is followed to its roots: when the dependency's own trouble has an explanation, that one is
named in its place. A dependency that is well explains nothing, and neither does what lies behind it.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from holdfast.availability.model import Interval, State
from holdfast.availability.views import Cause, Event
from holdfast.estate.model import Estate
from holdfast.estate.ports import ComponentId, ComponentIdentity, Registered
from holdfast.estate.scope import dependencies
from holdfast.kernel.windows import Window

TOLERANCE = timedelta(minutes=2)
"""Two rounds of a check that runs every minute: a cause is hardly ever seen later after its effect."""

TROUBLE = (State.DEGRADED, State.PARTIAL_OUTAGE, State.MAJOR_OUTAGE)

DependsOn = Mapping[ComponentIdentity, Sequence[ComponentIdentity]]


def troubles_of(line: Iterable[Interval]) -> list[Window]:
    """The stretches of trouble in `line` (ordered, disjoint): touching intervals are one."""
    found: list[Window] = []
    for interval in line:
        if interval.state not in TROUBLE:
            continue
        if found and found[-1].end == interval.window.start:
            found[-1] = Window(found[-1].start, interval.window.end)
        else:
            found.append(interval.window)
    return found


class Explanations:
    """Explains what happened in one reading. `lines` holds every component that is asked about, and all that
    they depend on; what is missing in it explains nothing.
    """

    def __init__(
        self, estate: Estate, registered: Registered, lines: Mapping[ComponentId, Sequence[Interval]]
    ) -> None:
        self._estate = estate
        self._depends_on = dependencies(estate)
        self._ids = registered.components
        self._lines = lines
        self._troubles: dict[ComponentIdentity, list[Window]] = {}

    def because_of(self, of: ComponentIdentity, state: State, during: Window) -> tuple[Cause, ...]:
        """The roots, with their names."""
        return tuple(self._cause(*each) for each in self.roots(of, state, during))

    def _cause(self, cluster_key: str, key: str) -> Cause:
        cluster = self._estate.clusters[cluster_key]
        return Cause(cluster_key, key, cluster.components[key].name, cluster.name)

    def event(self, of: ComponentIdentity, interval: Interval, within: Window | None = None) -> Event:
        """The interval, clipped to `within`, with what explains the whole of it."""
        window = interval.window if within is None else (interval.window.clipped_to(within) or within)
        because_of = self.because_of(of, interval.state, interval.window)
        return Event(window, interval.state, interval.reason, interval.sample, because_of)

    def roots(self, of: ComponentIdentity, state: State, during: Window) -> tuple[ComponentIdentity, ...]:
        """What explains that `of` was in `state` during that window: nearest first, each once."""
        if state not in TROUBLE or not self._depends_on.get(of) or during.is_empty:
            return ()
        found: dict[ComponentIdentity, None] = {}
        seen: set[tuple[ComponentIdentity, datetime]] = set()
        waiting = deque([(of, during.start)])
        while waiting:
            component, began = waiting.popleft()
            causes = [
                (each, trouble.start)
                for each in self._depends_on.get(component, ())
                if (trouble := self._explaining(each, began, during)) is not None
            ]
            if not causes and component != of:
                found[component] = None
            waiting.extend(cause for cause in causes if cause not in seen)
            seen.update(causes)
        return tuple(found)

    def _explaining(self, component: ComponentIdentity, began: datetime, during: Window) -> Window | None:
        """The component's trouble that overlaps `during` and began early enough to explain what `began`."""
        if component not in self._troubles:
            component_id = self._ids.get(component)
            line = () if component_id is None else self._lines.get(component_id, ())
            self._troubles[component] = troubles_of(line)
        for trouble in self._troubles[component]:
            if trouble.overlaps(during) and trouble.start <= began + TOLERANCE:
                return trouble
        return None


def closure(depends_on: DependsOn, of: Iterable[ComponentIdentity]) -> list[ComponentIdentity]:
    """`of` and all that they depend on, directly or not; each once."""
    found = dict.fromkeys(of)
    waiting = deque(found)
    while waiting:
        fresh = [each for each in depends_on.get(waiting.popleft(), ()) if each not in found]
        found.update(dict.fromkeys(fresh))
        waiting.extend(fresh)
    return list(found)
