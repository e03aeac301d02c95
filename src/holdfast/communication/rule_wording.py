"""What rules say: their own words in the site's first language, or a template's. Pure.

An incident has one text for all its readers, whatever language each of them reads the rest in.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from holdfast.communication.errors import NotPossible
from holdfast.communication.incident_steps import NewUpdate
from holdfast.communication.model import LONGEST_TITLE, ComponentState, Impact, Phase, Place
from holdfast.communication.templates import (
    MOST_NAMED,
    listed,
    moment,
    spelt,
    variables_of,
    worst_of,
    written,
)
from holdfast.communication.texts import literally
from holdfast.estate.communication import IncidentTemplate
from holdfast.estate.values import Language

States = Mapping[int, ComponentState]
"""Of components, by id."""

_IMPACT = {
    ComponentState.DEGRADED: Impact.MINOR,
    ComponentState.PARTIAL_OUTAGE: Impact.MAJOR,
    ComponentState.MAJOR_OUTAGE: Impact.CRITICAL,
}
_MOST_ADDED = 20


@dataclass(frozen=True, slots=True)
class Wording:
    """A rule's own words in one language. `title` and `body` are a template's; elsewhere {} is for values."""

    title: str
    body: str
    also: str
    worse: str
    from_to: str
    all_well: str
    both: str
    more: str
    states: Mapping[ComponentState, str]


WORDINGS: Mapping[Language, Wording] = {
    "en": Wording(
        title="{{ components }} in {{ cluster }}: {{ state }}",
        body="What we measure for {{ components }} since {{ since }}: {{ state }}. We are looking into it.",
        also="Also affected: {}.",
        worse="It has become worse: {}.",
        from_to="{} ({} before, {} now)",
        all_well="Everything has been operational again since {}.",
        both="{} and {}",
        more="{} and {} more",
        states={each: spelt(each) for each in ComponentState},
    ),
    "de": Wording(
        title="{{ components }} in {{ cluster }}: {{ state }}",
        body="Was wir für {{ components }} seit {{ since }} messen: {{ state }}. Wir gehen dem nach.",
        also="Ebenfalls betroffen: {}.",
        worse="Es ist schlimmer geworden: {}.",
        from_to="{} (vorher: {}, jetzt: {})",
        all_well="Seit {} ist alles wieder betriebsbereit.",
        both="{} und {}",
        more="{} und {} weitere",
        # As the site's catalogue says them.
        states={
            ComponentState.OPERATIONAL: "betriebsbereit",
            ComponentState.DEGRADED: "beeinträchtigt",
            ComponentState.PARTIAL_OUTAGE: "Teilausfall",
            ComponentState.MAJOR_OUTAGE: "größere Störung",
            ComponentState.UNDER_MAINTENANCE: "in Wartung",
            ComponentState.UNKNOWN: "unbekannt",
        },
    ),
}


def impact_of(states: Iterable[ComponentState]) -> Impact:
    """How bad an incident is whose components are like this, as long as nobody says otherwise."""
    impacts = [_IMPACT.get(each, Impact.NONE) for each in states]
    return max(impacts, key=list(Impact).index, default=Impact.NONE)


def known_of(
    places: Mapping[int, Place], states: States, since: datetime, language: Language
) -> dict[str, str]:
    """What templates know of components that are in these states, in the words of `language`."""
    known = variables_of(places, states, since)
    shown = {each: state for each, state in states.items() if each in places}
    if shown:
        known["components"] = _listed([places[each].name for each in shown], MOST_NAMED, language)
        known["state"] = WORDINGS[language].states[shown[worst_of(shown)]]
    return known


def opening(
    template: IncidentTemplate | None, known: Mapping[str, str], language: Language
) -> tuple[str, str]:
    """Title and body. Where a template cannot be filled in, plain words are better than none."""
    words = WORDINGS[language]
    own = IncidentTemplate(name="by itself", title=words.title, body=words.body)
    used = own if template is None else template
    try:
        title, body = written(used if used.title else used.model_copy(update={"title": words.title}), known)
    except NotPossible:
        title, body = written(own, known)
    return title if len(title) <= LONGEST_TITLE else title[: LONGEST_TITLE - 1] + "…", body


def also_affected(places: Collection[Place], language: Language) -> str:
    """The update that adds components."""
    named = _listed([place.name for place in places], _MOST_ADDED, language)
    return WORDINGS[language].also.format(literally(named))


def worse(places: Mapping[int, Place], before: States, now: States, language: Language) -> str:
    """The update that says of components which state they have come to."""
    words = WORDINGS[language]
    named = [
        words.from_to.format(literally(places[each].name), words.states[before[each]], words.states[state])
        for each, state in now.items()
    ]
    return words.worse.format(_listed(named, _MOST_ADDED, language))


def all_well(since: datetime, language: Language) -> NewUpdate:
    """The update that resolves."""
    return NewUpdate(Phase.RESOLVED, WORDINGS[language].all_well.format(moment(since)))


def _listed(names: Sequence[str], most: int, language: Language) -> str:
    words = WORDINGS[language]
    return listed(names, most, both=words.both, more=words.more)
