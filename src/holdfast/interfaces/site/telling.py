"""Incidents and maintenance as pages and feeds tell them: in one language, with names and addresses."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from markupsafe import Markup

from holdfast.availability.views import Overview
from holdfast.communication.incidents import linked
from holdfast.communication.markdown import html_of, text_of
from holdfast.communication.model import (
    Change,
    ComponentState,
    Impact,
    Incident,
    Maintenance,
    Phase,
    Revision,
    Stage,
    Update,
)
from holdfast.communication.news import News, lasted, mentioned, worked
from holdfast.interfaces.site.i18n import Translator
from holdfast.interfaces.site.ranges import MOST_DAYS
from holdfast.interfaces.site.wording import OF_IMPACT, OF_TOLD, Shown, Words, all_components
from holdfast.kernel.windows import MICROSECOND, Window

_WRITTEN_LATER = timedelta(minutes=2)
_TEASER = 280


@dataclass(frozen=True, slots=True)
class Named:
    """A component by its full name, with its page where it has one, and the state told of it, if any."""

    name: str
    href: str = ""
    state: Shown | None = None


@dataclass(frozen=True, slots=True)
class ToldRevision:
    """What an update said until `at`."""

    at: datetime
    shown_at: datetime
    body: Markup


@dataclass(frozen=True, slots=True)
class ToldUpdate:
    """One thing that was said. `written_at` is given where that was clearly later than the time shown."""

    id: str
    at: datetime
    step: str
    look: str
    body: Markup
    affected: Sequence[Named]
    revisions: Sequence[ToldRevision]
    written_at: datetime | None
    is_postmortem: bool = False


@dataclass(frozen=True, slots=True)
class ToldChange:
    at: datetime
    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ToldIncident:
    """An incident; its updates are the newest first. `teaser` is the newest in plain text, shortened."""

    id: str
    href: str
    title: str
    look: str
    impact: str
    phase: str
    is_open: bool
    began_at: datetime
    ended_at: datetime | None
    length: timedelta
    affected: Sequence[Named]
    updates: Sequence[ToldUpdate]
    changes: Sequence[ToldChange]
    teaser: str

    @property
    def newest(self) -> ToldUpdate | None:
        return self.updates[0] if self.updates else None

    @property
    def postmortem(self) -> ToldUpdate | None:
        return next((each for each in self.updates if each.is_postmortem), None)

    @property
    def said_before(self) -> Sequence[ToldUpdate]:
        """The updates without the postmortem, which stands apart."""
        return [each for each in self.updates if each is not self.postmortem]


@dataclass(frozen=True, slots=True)
class ToldWork:
    """A maintenance. `window` is as planned, or as it really was once it is over."""

    id: str
    href: str
    title: str
    stage: str
    look: str
    is_under_way: bool
    is_over: bool
    is_cancelled: bool
    window: Window
    planned: Window
    announced_at: datetime | None
    body: Markup
    affected: Sequence[Named]
    updates: Sequence[ToldUpdate]
    changes: Sequence[ToldChange]


class Teller:
    """Tells in one language. `places` names the components that may be named, by id.

    `base` is what the addresses of incidents and maintenance begin with: another one on private pages.
    """

    def __init__(self, t: Translator, words: Words, places: Mapping[int, Named], base: str) -> None:
        self._t = t
        self._words = words
        self._places = places
        self._base = base

    def incident(self, incident: Incident) -> ToldIncident:
        whole = lasted(incident, datetime.max.replace(tzinfo=incident.began_at.tzinfo))
        ended = None if incident.is_open else incident.resolved_at
        updates = [self._update(each) for each in _newest_first(incident.updates)]
        newest = _newest_first(incident.updates)[:1]
        return ToldIncident(
            incident.id,
            f"{self._base}/incidents/{incident.id}",
            incident.title,
            OF_IMPACT[incident.impact].value if incident.is_open else Shown.OPERATIONAL.value,
            self._words.impacts[incident.impact],
            self._words.phases[incident.phase],
            incident.is_open,
            incident.began_at,
            ended,
            whole.duration if ended else timedelta(),
            self._named(incident.affected),
            updates,
            [self._change(each) for each in incident.changes],
            shortened(text_of(newest[0].body)) if newest else "",
        )

    def work(self, maintenance: Maintenance) -> ToldWork:
        over = maintenance.stage is Stage.COMPLETED
        looks = {Stage.COMPLETED: Shown.OPERATIONAL, Stage.CANCELLED: Shown.UNKNOWN}
        return ToldWork(
            maintenance.id,
            f"{self._base}/maintenance/{maintenance.id}",
            maintenance.title or self._t.gettext("Planned maintenance"),
            self._words.stages[maintenance.stage],
            looks.get(maintenance.stage, Shown.MAINTENANCE).value,
            maintenance.is_under_way,
            maintenance.stage.is_over,
            maintenance.stage is Stage.CANCELLED,
            worked(maintenance, maintenance.window.end) if over else maintenance.window,
            maintenance.window,
            maintenance.announced_at,
            Markup(html_of(maintenance.body)),  # noqa: S704 - a safe subset, see communication.markdown
            self._named(dict.fromkeys(maintenance.component_ids)),
            [self._update(each) for each in _newest_first(maintenance.updates)],
            [self._change(each) for each in maintenance.changes],
        )

    def incidents(self, incidents: Iterable[Incident]) -> list[ToldIncident]:
        return [self.incident(each) for each in incidents]

    def works(self, maintenance: Iterable[Maintenance]) -> list[ToldWork]:
        return [self.work(each) for each in maintenance]

    def _update(self, update: Update) -> ToldUpdate:
        step, look = self._step(update.step)
        written = update.recorded_at
        later = written is not None and written - update.at > _WRITTEN_LATER
        return ToldUpdate(
            update.id,
            update.at,
            step,
            look.value,
            Markup(html_of(update.body)),  # noqa: S704 - a safe subset, see communication.markdown
            self._named(update.affected),
            [self._revision(each) for each in reversed(update.revisions)],
            written if later else None,
            update.step == Phase.POSTMORTEM,
        )

    def _step(self, step: str) -> tuple[str, Shown]:
        """A phase or a stage in words, and its look."""
        if step in set(Phase):
            phase = Phase(step)
            look = Shown.OPERATIONAL if phase.is_over else Shown.DEGRADED
            return self._words.phases[phase], Shown.MAINTENANCE if phase is Phase.MONITORING else look
        if step in set(Stage):
            stage = Stage(step)
            looks = {Stage.COMPLETED: Shown.OPERATIONAL, Stage.CANCELLED: Shown.UNKNOWN}
            return self._words.stages[stage], looks.get(stage, Shown.MAINTENANCE)
        return step, Shown.UNKNOWN

    @staticmethod
    def _revision(revision: Revision) -> ToldRevision:
        body = Markup(html_of(revision.body))  # noqa: S704 - a safe subset, see communication.markdown
        return ToldRevision(revision.at, revision.shown_at, body)

    def _named(self, affected: Mapping[int, ComponentState | None]) -> list[Named]:
        """The ones that have a name here, in the estate's order. Others were removed from it."""
        return [
            Named(place.name, place.href, OF_TOLD[state] if state else None)
            for each, place in self._places.items()
            if each in affected
            for state in [affected[each]]
        ]

    def _change(self, change: Change) -> ToldChange:
        _ = self._t.gettext
        names = {
            "title": _("Title"),
            "impact": _("Impact"),
            "phase": _("Phase"),
            "stage": _("Phase"),
            "began_at": _("Beginning"),
            "body": _("Text"),
            "window": _("Time"),
            "starts_at": _("Beginning"),
            "ends_at": _("End"),
            "affected": _("Components"),
            "component_ids": _("Components"),
            "merged": _("Merged"),
        }
        what = names.get(change.field, change.field.replace("_", " "))
        return ToldChange(change.at, what, self._value(change.before), self._value(change.after))

    def _value(self, text: str) -> str:
        """A stored value in words: an impact, a phase, times; else as it is."""
        if text in set(Impact):
            return self._words.impacts[Impact(text)]
        if text in set(Phase) or text in set(Stage):
            return self._step(text)[0]
        moments = [_moment(part) for part in text.split("/")]
        if all(moments):
            return " – ".join(self._t.moment(each) for each in moments if each)  # noqa: RUF001 - a range
        return text


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _newest_first(updates: Sequence[Update]) -> list[Update]:
    """By the time shown; of several at one time the one that was said last comes first."""
    return sorted(updates, key=lambda each: each.at)[::-1]


class Links:
    """Finds the incident of a downtime, and its page. `home_of` says where an incident's page is."""

    def __init__(self, incidents: Iterable[Incident], home_of: Callable[[Incident], str]) -> None:
        self._home_of = home_of
        self._by_component: dict[int, list[Incident]] = {}
        for incident in incidents:
            for each in mentioned(incident):
                self._by_component.setdefault(each, []).append(incident)

    def of(self, component_id: int, window: Window) -> Named | None:
        """The incident's title with its page; None when none was declared."""
        found = linked(self._by_component.get(component_id, ()), component_id, window)
        if found is None:
            return None
        return Named(found.title, f"{self._home_of(found)}/incidents/{found.id}")


def shortened(text: str, most: int = _TEASER) -> str:
    """The text in one line, cut at a word."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    return line[:most].rpartition(" ")[0] + " …"


def places_of(overview: Overview, home: str) -> dict[int, Named]:
    """Every component of the overview by its id, with its page."""
    return {
        each.status.id: Named(
            f"{cluster.name} {each.status.name}", f"{home}/clusters/{cluster.key}/{each.status.key}"
        )
        for cluster, each in all_components(overview)
    }


def about(news: News, component_ids: set[int] | frozenset[int]) -> News:
    """What concerns any of these components."""
    return News(
        news.at,
        [each for each in news.incidents if each.component_ids & component_ids],
        [each for each in news.maintenance if each.component_ids & component_ids],
        news.since,
    )


class Calendar:
    """Which incidents lay on which day of a component, for the titles of its bars."""

    def __init__(self, news: News, t: Translator) -> None:
        self._titles: dict[int, dict[date, list[str]]] = {}
        for incident in news.incidents:
            days = _days_of(lasted(incident, news.at), t)
            for each in mentioned(incident):
                titles = self._titles.setdefault(each, {})
                for day in days:
                    titles.setdefault(day, []).append(incident.title)

    def of(self, component_id: int, day: date) -> Sequence[str]:
        """The titles of the incidents that spoke of that component and lasted into that local day."""
        titles = self._titles.get(component_id)
        return titles.get(day, ()) if titles else ()


def _days_of(window: Window, t: Translator) -> list[date]:
    """The local days that it touches, at most as many as a page shows, its last ones."""
    last = t.local(window.end - MICROSECOND).date()
    first = max(t.local(window.start).date(), last - timedelta(days=MOST_DAYS))
    return [first + timedelta(days=place) for place in range((last - first).days + 1)]
