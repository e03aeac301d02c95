"""What rules say: their own words, or a template's. Pure."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from holdfast.communication.errors import NotPossible
from holdfast.communication.incident_steps import NewUpdate
from holdfast.communication.model import LONGEST_TITLE, ComponentState, Impact, Phase, Place
from holdfast.communication.templates import listed, moment, spelt, written
from holdfast.communication.texts import literally
from holdfast.estate.communication import IncidentTemplate

States = Mapping[int, ComponentState]
"""Of components, by id."""

_IMPACT = {
    ComponentState.DEGRADED: Impact.MINOR,
    ComponentState.PARTIAL_OUTAGE: Impact.MAJOR,
    ComponentState.MAJOR_OUTAGE: Impact.CRITICAL,
}
_MOST_ADDED = 20
_TITLE = "{{ components }} in {{ cluster }}: {{ state }}"
_OWN = IncidentTemplate(
    name="by itself",
    title=_TITLE,
    body="What we measure for {{ components }} since {{ since }}: {{ state }}. We are looking into it.",
)


def impact_of(states: Iterable[ComponentState]) -> Impact:
    """How bad an incident is whose components are like this, as long as nobody says otherwise."""
    impacts = [_IMPACT.get(each, Impact.NONE) for each in states]
    return max(impacts, key=list(Impact).index, default=Impact.NONE)


def opening(template: IncidentTemplate | None, known: Mapping[str, str]) -> tuple[str, str]:
    """Title and body. Where a template cannot be filled in, plain words are better than none."""
    used = _OWN if template is None else template
    try:
        title, body = written(used if used.title else used.model_copy(update={"title": _TITLE}), known)
    except NotPossible:
        title, body = written(_OWN, known)
    return title if len(title) <= LONGEST_TITLE else title[: LONGEST_TITLE - 1] + "…", body


def also_affected(places: Collection[Place]) -> str:
    """The update that adds components."""
    return f"Also affected: {literally(listed([place.name for place in places], _MOST_ADDED))}."


def worse(places: Mapping[int, Place], before: States, now: States) -> str:
    """The update that says of components which state they have come to."""
    named = [
        f"{literally(places[each].name)} ({spelt(before[each])} before, {spelt(state)} now)"
        for each, state in now.items()
    ]
    return f"It has become worse: {listed(named, _MOST_ADDED)}."


def all_well(since: datetime) -> NewUpdate:
    """The update that resolves."""
    return NewUpdate(Phase.RESOLVED, f"Everything has been operational again since {moment(since)}.")
