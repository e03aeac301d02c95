"""What becomes of an incident: decisions over values, without store, clock or chance.

    draft --published--> public       investigating <-> identified <-> monitoring <-> resolved --> postmortem
      any --merged--> lives on in another one

What holds of every incident that these functions made (property tests hold them to it):
- began_at <= the time of the first update <= ... <= the time of the last one, and none lies in the future.
- The phase, and the components' states, are those of the last update; resolved_at is the time of the update
  that resolved it last, and there while it is over only. One that is merged ended as itself by then.
- No update, revision or change that was there is ever gone, and an edit adds exactly one revision.
- Nobody is told of a draft, of an edit, or of a change of title, impact or beginning: these show on the page,
  with their trail. Only an update that raises the impact tells both at once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from holdfast.communication.directory import Directory
from holdfast.communication.errors import NotPossible, NotThere
from holdfast.communication.incidents import audience_of, spoken_of
from holdfast.communication.model import (
    MOST_UPDATES,
    Change,
    ComponentState,
    Event,
    Impact,
    Incident,
    Phase,
    Revision,
    Update,
)
from holdfast.communication.texts import body_of, literally, title_of

MOST_REVISIONS = 100
EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)
"""Nothing began before: a year with too few digits is a slip, and some programs cannot read it."""
SAME_WITHIN = timedelta(minutes=2)
"""Somebody who says the very same again that soon pressed the button twice."""


@dataclass(frozen=True, slots=True)
class NewIncident:
    """What a person, a rule or a program declares.

    `began_at` may be back-dated. `at` is the time shown of the first update, for what is recorded afterwards.
    """

    title: str
    impact: Impact
    phase: Phase
    body: str
    affected: Mapping[int, ComponentState] = field(default_factory=dict)
    began_at: datetime | None = None
    draft: bool = False
    rule: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewUpdate:
    """What is said next. `affected` None: as it was, and all operational when it resolves. `at` None: now.

    `impact`: the incident is at least as bad as this from now on; an update never lowers it.
    """

    phase: Phase
    body: str
    affected: Mapping[int, ComponentState] | None = None
    at: datetime | None = None
    impact: Impact | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """An incident from now on, what the journal says of it, and what subscribers are told, if at all."""

    incident: Incident
    journalled: str
    told: Event | None = None
    facts: Mapping[str, object] = field(default_factory=dict)


def declared(
    new: NewIncident, directory: Directory, ids: tuple[str, str], actor: str, now: datetime
) -> Decided:
    """A new incident with its first update; `ids` are its own and the update's."""
    if new.phase is Phase.POSTMORTEM:
        raise NotPossible("an incident does not begin with its postmortem", hint="resolve it first")
    _known(new.affected, (), directory)
    at = _past(new.at, now) if new.at is not None else now
    began_at = _past(new.began_at, now) if new.began_at is not None else at
    if began_at > at:
        raise NotPossible("an incident begins before its first update", hint=f"which is at {at:%F %T} UTC")
    first = Update(ids[1], at, new.phase, body_of(new.body), actor, dict(new.affected))
    incident = Incident(
        ids[0],
        title_of(new.title),
        new.impact,
        new.phase,
        began_at,
        dict(new.affected),
        (first,),
        draft=new.draft,
        declared_by=actor,
        published_at=None if new.draft else now,
        resolved_at=at if new.phase.is_over else None,
        rule=new.rule,
    )
    return Decided(
        incident,
        "incident.drafted" if new.draft else "incident.declared",
        None if new.draft else _declaring(incident),
        {"title": incident.title, "rule": new.rule} if new.rule else {"title": incident.title},
    )


def published(incident: Incident, now: datetime) -> Decided | None:
    """A draft that everybody may read from now on; None when they may already."""
    _not_merged(incident)
    if not incident.draft:
        return None
    public = replace(incident, draft=False, published_at=now)
    return Decided(public, "incident.declared", _declaring(public), {"title": public.title})


def _declaring(incident: Incident) -> Event:
    """What is over when readers first hear of it is told as over."""
    if incident.phase is Phase.POSTMORTEM:
        return Event.INCIDENT_POSTMORTEM
    return Event.INCIDENT_RESOLVED if incident.phase.is_over else Event.INCIDENT_DECLARED


def posted(
    incident: Incident, new: NewUpdate, directory: Directory, update_id: str, actor: str, now: datetime
) -> Decided | None:
    """The incident with one more update; None when exactly that was just said."""
    _not_merged(incident)
    last = incident.updates[-1]
    affected = dict(incident.affected if new.affected is None else new.affected)
    if new.affected is None and new.phase is Phase.RESOLVED:
        affected = dict.fromkeys(affected, ComponentState.OPERATIONAL)
    said = Update(update_id, _said_at(last, new.at, now), new.phase, body_of(new.body), actor, affected)
    impact = _worse(incident.impact, new.impact or incident.impact)
    again = _same(last, said) and impact is incident.impact
    if again and new.at is None and said.at - last.at <= SAME_WITHIN:
        return None
    _may_follow(incident.phase, new.phase)
    _known(affected, spoken_of(incident), directory)
    after = _with(incident, said)
    resolved_at = (incident.resolved_at or said.at) if new.phase.is_over else None
    after = replace(after, phase=new.phase, affected=affected, resolved_at=resolved_at, impact=impact)
    after = _with_changes(incident, after, actor, now)
    _same_audience(incident, after, directory)
    what = {Phase.RESOLVED: Event.INCIDENT_RESOLVED, Phase.POSTMORTEM: Event.INCIDENT_POSTMORTEM}
    event = what.get(new.phase, Event.INCIDENT_UPDATED)
    journalled = "incident.reopened" if incident.phase.is_over and after.is_open else event.value
    return Decided(after, journalled, None if after.draft else event, {"phase": new.phase.value})


def edited(
    incident: Incident, update_id: str, body: str, shown_at: datetime | None, actor: str, now: datetime
) -> Decided | None:
    """One update says something else, or another time, from now on; None when it says that already."""
    _not_merged(incident)
    index = next((n for n, each in enumerate(incident.updates) if each.id == update_id), None)
    if index is None:
        raise NotThere(
            f"the incident has no update {update_id!r}", hint=f"see: holdfast incident show {incident.id}"
        )
    old = incident.updates[index]
    body = body_of(body)
    at = old.at if shown_at is None else _between_neighbours(incident, index, _past(shown_at, now))
    if (body, at) == (old.body, old.at):
        return None
    if len(old.revisions) >= MOST_REVISIONS:
        raise NotPossible(f"the update was edited {MOST_REVISIONS} times", hint="say the rest in another one")
    revisions = (*old.revisions, Revision(old.body, old.at, now, actor))
    new = replace(old, body=body, at=at, revisions=revisions)
    updates = (*incident.updates[:index], new, *incident.updates[index + 1 :])
    after = replace(incident, updates=updates, resolved_at=_resolved_at(updates))
    return Decided(after, "incident.edited", facts={"update": update_id})


def changed(
    incident: Incident,
    title: str | None,
    impact: Impact | None,
    began_at: datetime | None,
    actor: str,
    now: datetime,
) -> Decided | None:
    """Another title, impact or beginning; None when all is so already."""
    _not_merged(incident)
    after = replace(
        incident,
        title=incident.title if title is None else title_of(title),
        impact=impact or incident.impact,
        began_at=incident.began_at if began_at is None else _past(began_at, now),
    )
    if after.began_at > incident.updates[0].at:
        first = incident.updates[0].at
        raise NotPossible("an incident begins before its first update", hint=f"which is at {first:%F %T} UTC")
    after = _with_changes(incident, after, actor, now)
    if after == incident:
        return None
    fields = [each.field for each in after.changes[len(incident.changes) :]]
    return Decided(after, "incident.changed", facts={"fields": fields})


def merged(
    incident: Incident,
    target: Incident,
    directory: Directory,
    update_id: str,
    actor: str,
    now: datetime,
) -> tuple[Incident, Decided]:
    """`incident` as it lives on in `target`, and the target, which gets its components, impact and beginning.

    An update of the target tells so, once. A draft that is merged leaves its name in the trail only: readers
    never knew of it.
    """
    _not_merged(incident)
    _not_merged(target)
    if incident.id == target.id:
        raise NotPossible("an incident is not merged into itself")
    if target.draft and not incident.draft:
        raise NotPossible(
            "readers would lose sight of it: the other one is a draft", hint="publish that first"
        )
    if target.phase.is_over and incident.is_open:
        raise NotPossible(
            "the other one is over, this one is not", hint="merge the other way round, or reopen"
        )
    gone = replace(
        incident,
        merged_into=target.id,
        resolved_at=incident.resolved_at or now,
        changes=(*incident.changes, Change(now, actor, "merged_into", "", target.id)),
    )
    trail = Change(now, actor, "merged", "", incident.id)
    if incident.draft and not target.draft:
        after = replace(target, changes=(*target.changes, trail))
        return gone, Decided(after, "incident.merged", facts={"merged": incident.id})
    after = _taking_in(target, incident, update_id, actor, now)
    after = replace(after, changes=(*after.changes, trail))
    _same_audience(target, after, directory)
    _same_audience(incident, after, directory)
    told = None if after.draft else Event.INCIDENT_UPDATED
    return gone, Decided(after, "incident.merged", told, {"merged": incident.id})


def _taking_in(target: Incident, incident: Incident, update_id: str, actor: str, now: datetime) -> Incident:
    affected = {**incident.affected, **target.affected}
    body = f"This incident now includes another one: {literally(incident.title)}."
    at = _said_at(target.updates[-1], None, now)
    said = Update(update_id, at, target.phase, body, actor, affected)
    after = replace(
        _with(target, said),
        affected=affected,
        impact=_worse(target.impact, incident.impact),
        began_at=min(target.began_at, incident.began_at),
    )
    return _with_changes(target, after, actor, now)


# --- parts of the decisions


def _not_merged(incident: Incident) -> None:
    if incident.merged_into is not None:
        raise NotPossible(
            f"{incident.id} was merged into {incident.merged_into}", hint="do it with that one instead"
        )


def _may_follow(before: Phase, after: Phase) -> None:
    if before is Phase.POSTMORTEM:
        raise NotPossible("the postmortem is the last word", hint="edit it, or declare a new incident")
    if before is Phase.RESOLVED and after is Phase.RESOLVED:
        raise NotPossible("it is resolved already", hint="edit its last update, or write the postmortem")
    if after is Phase.POSTMORTEM and before is not Phase.RESOLVED:
        raise NotPossible("a postmortem follows the resolution", hint="resolve it first")


def _known(affected: Iterable[int], before: Iterable[int], directory: Directory) -> None:
    """What it spoke of before may have left the estate since."""
    strange = set(affected) - directory.places.keys() - set(before)
    if strange:
        raise NotThere(f"there is no component {min(strange)}")


def _past(moment: datetime, now: datetime) -> datetime:
    if moment.tzinfo is None:
        raise NotPossible("a time needs its time zone", hint="such as 2026-10-01T14:30:00+02:00")
    if moment > now:
        raise NotPossible(
            f"{moment.astimezone(UTC):%F %T} UTC is in the future", hint="back-dating goes back"
        )
    if moment < EARLIEST:
        raise NotPossible(f"{moment:%F} is too long ago", hint="look at the year")
    return moment.astimezone(UTC)


def _said_at(last: Update, at: datetime | None, now: datetime) -> datetime:
    """Never before what was said last: a clock that was set back does not change the order."""
    if at is None:
        return max(now, last.at)
    if _past(at, now) < last.at:
        raise NotPossible("updates follow each other", hint=f"the last one is at {last.at:%F %T} UTC")
    return _past(at, now)


def _between_neighbours(incident: Incident, index: int, at: datetime) -> datetime:
    earliest = incident.updates[index - 1].at if index else incident.began_at
    last = index + 1 == len(incident.updates)
    if at < earliest or (not last and at > incident.updates[index + 1].at):
        raise NotPossible(
            "updates keep their order", hint="its time lies between those of the update before and after it"
        )
    return at


def _worse(one: Impact, other: Impact) -> Impact:
    return max(one, other, key=list(Impact).index)


def _same(last: Update, said: Update) -> bool:
    return (last.step, last.body, last.author, last.affected) == (
        said.step,
        said.body,
        said.author,
        said.affected,
    )


def _with(incident: Incident, said: Update) -> Incident:
    if len(incident.updates) >= MOST_UPDATES:
        raise NotPossible(f"it has {MOST_UPDATES} updates", hint="resolve it and declare another one")
    return replace(incident, updates=(*incident.updates, said))


def _resolved_at(updates: Iterable[Update]) -> datetime | None:
    """When the update was that resolved it last; None while it is not over."""
    at: datetime | None = None
    for each in updates:
        at = (at or each.at) if Phase(each.step).is_over else None
    return at


def _with_changes(before: Incident, after: Incident, actor: str, now: datetime) -> Incident:
    fields = {
        "title": (before.title, after.title),
        "impact": (before.impact.value, after.impact.value),
        "began_at": (before.began_at.isoformat(), after.began_at.isoformat()),
    }
    new = [Change(now, actor, name, *values) for name, values in fields.items() if values[0] != values[1]]
    return replace(after, changes=(*before.changes, *new))


def _same_audience(before: Incident, after: Incident, directory: Directory) -> None:
    """Those who were told of it are told how it goes on: what they may not know of is another incident."""
    if before.draft:
        return
    if audience_of(spoken_of(before), directory) != audience_of(spoken_of(after), directory):
        raise NotPossible(
            "not everybody who knows of this incident may know of all these components",
            hint="declare an incident of its own for what is private",
        )
