"""What readers get to know of an incident, and which incident a downtime belongs to. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from holdfast.communication.directory import Directory
from holdfast.communication.model import Event, Incident, Notice
from holdfast.kernel.windows import Window

MOST_TOLD = 50
"""So many updates a message holds at most."""


def spoken_of(incident: Incident) -> frozenset[int]:
    """The components that it ever spoke of, in any of its updates."""
    return incident.component_ids.union(*(each.affected for each in incident.updates))


def notice_of(incident: Incident, event: Event, directory: Directory, now: datetime) -> Notice:
    """What subscribers are told: all that is public of it, for those who may know of all it speaks of."""
    told = spoken_of(incident)
    return Notice(
        event,
        now,
        directory.places_of(told),
        incident=as_told(incident),
        audience=audience_of(told, directory),
    )


def as_told(incident: Incident) -> Incident:
    """As a message about it needs it: without the trail, and of much that was said the newest.

    It is kept with every message, however long the incident goes on.
    """
    updates = tuple(replace(each, revisions=()) for each in incident.updates[-MOST_TOLD:])
    return replace(incident, updates=updates, changes=())


def audience_of(component_ids: Iterable[int], directory: Directory) -> tuple[str, ...] | None:
    """As Directory.audience_of, which also knows of private components that have left the estate."""
    return directory.audience_of(frozenset(component_ids))


def as_readers_see(incident: Incident) -> Incident:
    """Without what was replaced while it was a draft: nobody outside ever read it, and nobody is to."""
    since = incident.published_at
    if since is None:
        return incident
    updates = tuple(
        replace(each, revisions=tuple(r for r in each.revisions if r.at >= since))
        for each in incident.updates
    )
    return replace(incident, updates=updates, changes=tuple(c for c in incident.changes if c.at >= since))


def linked(incidents: Iterable[Incident], component_id: int, window: Window) -> Incident | None:
    """The public incident that covers a downtime of that component, or None when none was declared.

    It speaks of the component, and was going on during `window`; of several the one that covers most of it,
    then the one that began first.
    """
    found = [
        (_covered(each, window), each)
        for each in incidents
        if each.is_public and component_id in spoken_of(each)
    ]
    found = [(length, each) for length, each in found if length > timedelta()]
    return min(found, key=lambda one: (-one[0], one[1].began_at, one[1].id))[1] if found else None


def _covered(incident: Incident, window: Window) -> timedelta:
    end = window.end if incident.resolved_at is None else min(window.end, incident.resolved_at)
    return end - max(window.start, incident.began_at)
