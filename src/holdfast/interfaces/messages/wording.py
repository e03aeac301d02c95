"""What messages say, in the reader's language. Words that the site has too are the site's."""

import gettext
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

from holdfast.communication.delivering import Request, RequestKind
from holdfast.communication.model import ComponentState, Event, Maintenance, Notice, Phase, Stage
from holdfast.interfaces.site.i18n import LOCALES, Translator, with_the_sites
from holdfast.interfaces.site.wording import OF_TOLD, Words

_GRAVE = frozenset({ComponentState.MAJOR_OUTAGE, ComponentState.PARTIAL_OUTAGE})


@lru_cache
def message_translations(language: str) -> gettext.NullTranslations:
    """The messages' catalogue, beside the site's."""
    return with_the_sites(__package__, "messages", language)


class MessageTranslator(Translator):
    """Speaks one language in one time zone, about messages too."""

    words = staticmethod(message_translations)


@dataclass(frozen=True, slots=True)
class Concerned:
    """A component that a notice speaks of, with its state in words where one is told."""

    name: str
    state: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """A notice in words. `body` is Markdown. `mood` is bad, well, work or news: how it looks."""

    headline: str
    mood: str
    lines: Sequence[tuple[str, str]]
    body: str
    concerned: Sequence[Concerned]


class Wording:
    """The sentences of one language, in one time zone."""

    def __init__(self, language: str, zone: ZoneInfo) -> None:
        """A language without a catalogue is answered in English."""
        self.language = language if language in LOCALES else "en"
        self.t = MessageTranslator(self.language, zone)
        self._words = Words(self.t)
        self._headlines = _headlines(self.t.gettext)

    def headline(self, notice: Notice) -> str:
        """The notice in one line."""
        if notice.component is not None:
            place = notice.places.get(notice.component.component_id)
            name = place.full_name if place is not None else notice.subject_id
            return f"{name}: {self.state(notice.component.after)}"
        title = ""
        phase = ""
        if notice.incident is not None:
            title, phase = notice.incident.title, self._words.phases[notice.incident.phase]
        elif notice.maintenance is not None:
            title = notice.maintenance.title
        return self._headlines[notice.event] % {"title": title, "phase": phase}

    def told(self, notice: Notice) -> Told:
        """The notice in full."""
        return Told(
            self.headline(notice),
            _mood(notice),
            self._lines(notice),
            _body(notice),
            self._concerned(notice),
        )

    def state(self, state: ComponentState) -> str:
        return self._words.states[OF_TOLD[state]]

    def _lines(self, notice: Notice) -> list[tuple[str, str]]:
        _ = self.t.gettext
        if notice.incident is not None:
            incident = notice.incident
            lines = [
                (_("Status"), self._words.phases[incident.phase]),
                (_("Impact"), self._words.impacts[incident.impact]),
                (_("Began"), self.t.moment(incident.began_at)),
            ]
            if incident.resolved_at is not None:
                lines.append((_("Resolved"), self.t.moment(incident.resolved_at)))
            return lines
        if notice.maintenance is not None:
            return self._planned(notice.maintenance)
        change = notice.component
        lines = [(_("At"), self.t.moment(notice.at))]
        if change is not None and change.reason:
            lines.append((_("Reason"), change.reason))
        return lines

    def _planned(self, planned: Maintenance) -> list[tuple[str, str]]:
        _ = self.t.gettext
        lines = [
            (_("Status"), self._words.stages[planned.stage]),
            (_("Begins"), self.t.moment(planned.began_at or planned.window.start)),
            (_("Ends"), self.t.moment(planned.ended_at or planned.window.end)),
        ]
        return lines[:1] if planned.stage is Stage.CANCELLED else lines

    def _concerned(self, notice: Notice) -> list[Concerned]:
        states = notice.incident.affected if notice.incident is not None else {}
        if notice.component is not None:
            return []
        return [
            Concerned(place.full_name, self.state(states[each]) if each in states else "")
            for each, place in notice.places.items()
        ]

    def requested(self, request: Request, site: str) -> tuple[str, str]:
        """A message about the subscription itself: its subject, and what it says."""
        _ = self.t.gettext
        if request.kind is RequestKind.CONFIRM:
            return (
                _("Please confirm your subscription to %(site)s") % {"site": site},
                _(
                    "Somebody, hopefully you, asked to be told of incidents and maintenance of %(site)s at "
                    "this address. Nothing is sent until you confirm it."
                )
                % {"site": site},
            )
        if request.kind is RequestKind.KNOWN:
            return (
                _("You are subscribed to %(site)s") % {"site": site},
                _(
                    "Somebody, hopefully you, asked for a subscription to %(site)s for this address. "
                    "It has one already, which stays as it is."
                )
                % {"site": site},
            )
        return (
            _("Your subscription to %(site)s is paused") % {"site": site},
            _(
                "For a day, messages of %(site)s could not be delivered to this address. "
                "Nothing more is sent until you resume the subscription."
            )
            % {"site": site},
        )


def _headlines(_: Callable[[str], str]) -> dict[Event, str]:
    return {
        Event.INCIDENT_DECLARED: _("Incident: %(title)s"),
        Event.INCIDENT_UPDATED: _("%(phase)s: %(title)s"),
        Event.INCIDENT_RESOLVED: _("Resolved: %(title)s"),
        Event.INCIDENT_POSTMORTEM: _("Postmortem: %(title)s"),
        Event.MAINTENANCE_PLANNED: _("Planned maintenance: %(title)s"),
        Event.MAINTENANCE_CHANGED: _("Changed maintenance: %(title)s"),
        Event.MAINTENANCE_REMINDER: _("Maintenance soon: %(title)s"),
        Event.MAINTENANCE_STARTED: _("Maintenance has begun: %(title)s"),
        Event.MAINTENANCE_UPDATED: _("Maintenance: %(title)s"),
        Event.MAINTENANCE_COMPLETED: _("Maintenance completed: %(title)s"),
        Event.MAINTENANCE_CANCELLED: _("Maintenance cancelled: %(title)s"),
    }


def _body(notice: Notice) -> str:
    """What was said last; of a maintenance that nobody said anything about, what is planned."""
    if notice.incident is not None:
        return notice.incident.updates[-1].body if notice.incident.updates else ""
    if notice.maintenance is None:
        return ""
    spoken = notice.event in {Event.MAINTENANCE_UPDATED, Event.MAINTENANCE_CANCELLED}
    said = [each.body for each in notice.maintenance.updates if each.body]
    return said[-1] if said and (spoken or not notice.maintenance.body) else notice.maintenance.body


def _mood(notice: Notice) -> str:
    if notice.maintenance is not None:
        return "well" if notice.maintenance.stage.is_over else "work"
    if notice.incident is not None:
        return "well" if notice.incident.phase in {Phase.RESOLVED, Phase.POSTMORTEM} else "bad"
    change = notice.component
    if change is None or change.after is ComponentState.OPERATIONAL:
        return "well"
    return "bad" if change.after in _GRAVE else "news"
