"""The forms of incidents: what a browser sends, as what the desk takes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar
from zoneinfo import ZoneInfo

from holdfast.communication.directory import Directory
from holdfast.communication.errors import NotPossible
from holdfast.communication.incident_desk import NewIncident, NewUpdate
from holdfast.communication.model import ComponentState, Impact, Incident, Phase
from holdfast.communication.templates import filled, impact_of, names_in, variables_of
from holdfast.communication.texts import literally
from holdfast.estate.communication import IncidentTemplate
from holdfast.interfaces.console.bodies import Form
from holdfast.interfaces.console.moments import moment_of
from holdfast.kernel.errors import HoldfastError

T = TypeVar("T", Impact, Phase, ComponentState)

UNTOUCHED = ""
"""Of a component that an incident says nothing about."""


@dataclass(frozen=True, slots=True)
class IncidentForm:
    """A new incident as it stands in the form. `key` comes with the form: sent twice, it is declared once."""

    key: str
    title: str = ""
    impact: Impact = Impact.MINOR
    phase: Phase = Phase.INVESTIGATING
    body: str = ""
    components: frozenset[int] = frozenset()
    state: ComponentState = ComponentState.PARTIAL_OUTAGE
    began: str = ""

    @classmethod
    def sent(cls, fields: Form) -> "IncidentForm":
        return cls(
            fields.get("key", ""),
            fields.get("title", "").strip(),
            chosen(Impact, fields.get("impact", ""), "the impact"),
            chosen(Phase, fields.get("phase", ""), "the phase"),
            fields.get("body", "").strip(),
            frozenset(ids_of(fields.getlist("component"))),
            chosen(ComponentState, fields.get("state", ""), "the components' state"),
            fields.get("began", ""),
        )

    def from_template(self, template: IncidentTemplate) -> "IncidentForm":
        """With a template's words in it. Its variables stay, to be filled in when it is known of what."""
        return replace(
            self,
            title=template.title or self.title,
            body=template.body,
            impact=impact_of(template),
            phase=Phase(template.phase),
        )

    def new(self, directory: Directory, zone: ZoneInfo, now: datetime, *, draft: bool) -> NewIncident:
        """What the desk takes. Raises NotPossible for what cannot be read, and for a variable left open."""
        began_at = moment_of(self.began, zone, "since when")
        affected = dict.fromkeys(sorted(self.components), self.state)
        known = known_of(directory, affected, began_at or now)
        return NewIncident(
            complete(self.title, known),
            self.impact,
            self.phase,
            complete_words(self.body, known),
            affected,
            began_at,
            draft=draft,
        )


@dataclass(frozen=True, slots=True)
class UpdateForm:
    """What is said next. `seen` is the version that its writer had before them."""

    phase: Phase
    body: str = ""
    states: Mapping[int, str] | None = None
    at: str = ""
    seen: int = 0

    @classmethod
    def of(cls, incident: Incident) -> "UpdateForm":
        return cls(incident.phase, states={each: str(state) for each, state in incident.affected.items()})

    @classmethod
    def sent(cls, fields: Form) -> "UpdateForm":
        states = {
            one: text
            for name, text in fields.multi_items()
            if name.startswith("state.")
            for one in ids_of([name.removeprefix("state.")])
        }
        seen = fields.get("seen", "")
        return cls(
            chosen(Phase, fields.get("phase", ""), "the phase"),
            fields.get("body", "").strip(),
            states or None,
            fields.get("at", ""),
            int(seen) if seen.isdecimal() and len(seen) < 10 else 0,
        )

    def new(self, incident: Incident, directory: Directory, zone: ZoneInfo) -> NewUpdate:
        """What the desk takes. States that were left as they were stay as they were, and end with it."""
        affected = None
        if self.states is not None:
            affected = {
                each: chosen(ComponentState, text, "a component's state")
                for each, text in self.states.items()
                if text != UNTOUCHED
            }
        if affected == dict(incident.affected):
            affected = None
        states = incident.affected if affected is None else affected
        known = known_of(directory, states, incident.began_at)
        return NewUpdate(
            self.phase, complete_words(self.body, known), affected, moment_of(self.at, zone, "the time")
        )


def known_of(directory: Directory, states: Mapping[int, ComponentState], since: datetime) -> dict[str, str]:
    """What a template may name of the components that were chosen: the same as on the command line."""
    return variables_of(directory.places, states, since)


def complete(text: str, known: Mapping[str, str]) -> str:
    """The text with its variables filled in. Raises NotPossible for one that nobody filled in."""
    missing = [name for name in names_in(text) if name not in known]
    if missing:
        names = ", ".join(f"{{{{ {name} }}}}" for name in missing)
        raise NotPossible(f"the text still asks for {names}", hint="choose the components, or write it in")
    return filled(text, known)


def complete_words(text: str, known: Mapping[str, str]) -> str:
    """The same for Markdown, in which a component's name is shown as it is."""
    return complete(text, {name: literally(value) for name, value in known.items()})


def chosen(kind: type[T], text: str, what: str) -> T:
    """One of the words that the form offers; raises NotPossible for any other."""
    try:
        return kind(text)
    except ValueError:
        raise NotPossible(f"{what} is not chosen") from None


def ids_of(texts: list[str]) -> list[int]:
    """The numbers among them: others were never offered."""
    return [int(text) for text in texts if text.isdecimal() and len(text) < 10]


def trouble_of(error: HoldfastError) -> tuple[str, str]:
    """What went wrong, and what to do next."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}.", error.hint
