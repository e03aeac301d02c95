"""What the site says about states, days and the whole, in a few words."""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from enum import Enum

from holdfast.availability.model import State
from holdfast.availability.views import ClusterStatus, ComponentHistory, ComponentStatus, Day, Overview
from holdfast.communication.model import ComponentState, Impact, Incident, Phase, Stage
from holdfast.communication.news import News
from holdfast.interfaces.site.i18n import Translator


class Shown(Enum):
    """A state as the site shows it: as measured, or maintenance laid over it. The value is its CSS class."""

    OPERATIONAL = "ok"
    DEGRADED = "dg"
    PARTIAL_OUTAGE = "pa"
    MAJOR_OUTAGE = "mj"
    UNKNOWN = "un"
    MAINTENANCE = "mt"

    @property
    def label(self) -> str:
        """The word in addresses and interfaces."""
        return "under_maintenance" if self is Shown.MAINTENANCE else self.name.lower()


SHOWN = {
    State.OPERATIONAL: Shown.OPERATIONAL,
    State.DEGRADED: Shown.DEGRADED,
    State.PARTIAL_OUTAGE: Shown.PARTIAL_OUTAGE,
    State.MAJOR_OUTAGE: Shown.MAJOR_OUTAGE,
    State.UNKNOWN: Shown.UNKNOWN,
    State.RETIRED: Shown.UNKNOWN,
}
_BADNESS = (
    Shown.OPERATIONAL,
    Shown.MAINTENANCE,
    Shown.DEGRADED,
    Shown.UNKNOWN,
    Shown.PARTIAL_OUTAGE,
    Shown.MAJOR_OUTAGE,
)
TROUBLE = (State.MAJOR_OUTAGE, State.PARTIAL_OUTAGE, State.DEGRADED, State.UNKNOWN)
"""The states that a day's story tells of, worst first."""

_NAMED_IN_HEADLINE = 3


OF_IMPACT = {
    Impact.NONE: Shown.UNKNOWN,
    Impact.MINOR: Shown.DEGRADED,
    Impact.MAJOR: Shown.PARTIAL_OUTAGE,
    Impact.CRITICAL: Shown.MAJOR_OUTAGE,
}
"""How an incident looks while it is open."""
OF_TOLD = {state: next(each for each in Shown if each.label == state.value) for state in ComponentState}


def measured(status: ComponentStatus) -> Shown:
    """As measured; maintenance under way is shown over whatever that was."""
    return Shown.MAINTENANCE if status.maintenance else SHOWN[status.state]


def shown(status: ComponentStatus) -> Shown:
    """The worse of what is measured and what an open incident tells."""
    if status.told is None:
        return measured(status)
    return max(measured(status), SHOWN[status.told], key=_BADNESS.index)


def is_told(status: ComponentStatus) -> bool:
    """Whether what is shown is what people say, and measurements alone would look better."""
    return shown(status) is not measured(status)


def worst_shown(components: Iterable[ComponentHistory]) -> Shown:
    """The worst of several; UNKNOWN when there are none to judge by."""
    return worst_of(shown(each.status) for each in components)


def worst_of(states: Iterable[Shown]) -> Shown:
    return max(states, key=_BADNESS.index, default=Shown.UNKNOWN)


def whole_state(overview: Overview, news: News) -> Shown:
    """The state of the whole: of its worst component, or of an incident with more impact than that shows."""
    state = worst_shown(each for _, each in all_components(overview))
    grave = _gravest(news.open_incidents)
    return state if grave is None else max(state, OF_IMPACT[grave.impact], key=_BADNESS.index)


def _gravest(incidents: Iterable[Incident]) -> Incident | None:
    """The open incident of most impact, the newest of several; None when none is major."""
    grave = [each for each in incidents if each.impact in {Impact.MAJOR, Impact.CRITICAL}]
    return max(grave, key=lambda each: (_BADNESS.index(OF_IMPACT[each.impact]), each.began_at), default=None)


def all_components(overview: Overview) -> list[tuple[ClusterStatus, ComponentHistory]]:
    return [(cluster, each) for cluster in overview.clusters for each in cluster.components]


class Words:
    """The sentences of one language."""

    def __init__(self, t: Translator) -> None:
        self.t = t
        _ = t.gettext
        self.states = {
            Shown.OPERATIONAL: _("Operational"),
            Shown.DEGRADED: _("Degraded"),
            Shown.PARTIAL_OUTAGE: _("Partial outage"),
            Shown.MAJOR_OUTAGE: _("Major outage"),
            Shown.UNKNOWN: _("Unknown"),
            Shown.MAINTENANCE: _("Under maintenance"),
        }
        self.impacts = {
            Impact.NONE: _("No impact"),
            Impact.MINOR: _("Minor impact"),
            Impact.MAJOR: _("Major impact"),
            Impact.CRITICAL: _("Critical impact"),
        }
        self.phases = {
            Phase.INVESTIGATING: _("Investigating"),
            Phase.IDENTIFIED: _("Identified"),
            Phase.MONITORING: _("Monitoring"),
            Phase.RESOLVED: _("Resolved"),
            Phase.POSTMORTEM: _("Postmortem"),
        }
        self.stages = {
            Stage.SCHEDULED: _("Planned"),
            Stage.IN_PROGRESS: _("In progress"),
            Stage.VERIFYING: _("Verifying"),
            Stage.COMPLETED: _("Completed"),
            Stage.CANCELLED: _("Cancelled"),
        }
        self._in_a_day = {
            State.MAJOR_OUTAGE: _("major outage"),
            State.PARTIAL_OUTAGE: _("partial outage"),
            State.DEGRADED: _("degraded"),
            State.UNKNOWN: _("unknown"),
        }

    def state(self, state: State | Shown) -> str:
        return self.states[state if isinstance(state, Shown) else SHOWN[state]]

    def story(self, day: Day) -> str:
        """What happened that day: `major outage 12 mins, degraded 4 mins`, `no data`, `no downtime`."""
        _ = self.t.gettext
        tally = day.figure.tally
        if tally.of(State.UNKNOWN) == tally.total - tally.excluded and not tally.excluded:
            parts = [_("no data")]
        else:
            parts = [
                f"{self._in_a_day[state]} {self.t.duration(length)}"
                for state in TROUBLE
                if (length := tally.of(state)) > timedelta()
            ]
        if tally.excluded:
            parts.append(f"{_('maintenance')} {self.t.duration(tally.excluded)}")
        elif day.maintenance:
            parts.append(_("maintenance"))
        text = ", ".join(parts) if parts else _("no downtime")
        return f"{text} ({_('sample data')})" if day.sample else text

    def day_title(self, day: Day, incidents: Sequence[str] = ()) -> str:
        """`3 November: major outage 12 mins. Incident: Login fails`."""
        title = f"{self.t.day(day.day)}: {self.story(day)}"
        told = [self.t.gettext("Incident: %(title)s") % {"title": each} for each in incidents]
        return ". ".join([title, *told])

    def headline(
        self,
        overview: Overview,
        news: News | None = None,
        state_of: Callable[[ComponentStatus], Shown] = shown,
    ) -> tuple[Shown, str]:
        """The state of the whole, and the sentence for it: `Major outage: EU API and EU website`.

        An incident that is graver than any component's state speaks for itself: `Incident: Wrong invoices`.
        """
        everything = all_components(overview)
        state = worst_of(state_of(component.status) for _, component in everything)
        grave = _gravest(news.open_incidents) if news else None
        if grave and _BADNESS.index(OF_IMPACT[grave.impact]) > _BADNESS.index(state):
            return OF_IMPACT[grave.impact], self.t.gettext("Incident: %(title)s") % {"title": grave.title}
        if state is Shown.OPERATIONAL:
            return state, self.t.gettext("All systems operational")
        if not everything:
            return state, self.t.gettext("Nothing is measured yet")
        hit = [
            f"{cluster.name} {each.status.name}"
            for cluster, each in everything
            if state_of(each.status) is state
        ]
        if len(hit) == len(everything) > 1:
            return state, self.t.gettext("%(state)s: all systems") % {"state": self.states[state]}
        return state, f"{self.states[state]}: {self._some(hit)}"

    def cluster_line(self, cluster: ClusterStatus) -> str:
        """A cluster in half a sentence: `all 5 components operational`, `1 of 5 components: Major outage`."""
        total = len(cluster.components)
        state = worst_shown(cluster.components)
        if state is Shown.OPERATIONAL:
            return self.t.ngettext(
                "%(n)s component operational", "All %(n)s components operational", total
            ) % {"n": total}
        hit = sum(shown(each.status) is state for each in cluster.components)
        return self.t.gettext("%(hit)s of %(total)s: %(state)s") % {
            "hit": hit,
            "total": total,
            "state": self.states[state],
        }

    def _some(self, names: Sequence[str]) -> str:
        if len(names) <= _NAMED_IN_HEADLINE:
            return self.t.listing(names)
        rest = len(names) - _NAMED_IN_HEADLINE + 1
        more = self.t.ngettext("%(n)s more", "%(n)s more", rest) % {"n": rest}
        return self.t.listing([*names[: _NAMED_IN_HEADLINE - 1], more])
