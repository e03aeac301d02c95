"""What the site says about states, days and the whole, in a few words."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from enum import Enum

from holdfast.availability.model import State
from holdfast.availability.views import ClusterStatus, ComponentHistory, ComponentStatus, Day, Overview
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


def shown(status: ComponentStatus) -> Shown:
    """Maintenance under way is shown over whatever was measured."""
    return Shown.MAINTENANCE if status.maintenance else SHOWN[status.state]


def worst_shown(components: Iterable[ComponentHistory]) -> Shown:
    """The worst of several; UNKNOWN when there are none to judge by."""
    return max((shown(each.status) for each in components), key=_BADNESS.index, default=Shown.UNKNOWN)


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

    def day_title(self, day: Day) -> str:
        return f"{self.t.day(day.day)}: {self.story(day)}"

    def headline(self, overview: Overview) -> tuple[Shown, str]:
        """The state of the whole, and the sentence for it: `Major outage: EU API and EU website`."""
        everything = all_components(overview)
        state = worst_shown(component for _, component in everything)
        if state is Shown.OPERATIONAL:
            return state, self.t.gettext("All systems operational")
        if not everything:
            return state, self.t.gettext("Nothing is measured yet")
        hit = [
            f"{cluster.name} {each.status.name}"
            for cluster, each in everything
            if shown(each.status) is state
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
