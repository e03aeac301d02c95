"""What web hooks are sent: the two shapes of Atlassian's Statuspage, and ours beside them under `holdfast`.

    {meta, page, incident}                      of an incident or a maintenance, with all that was said
    {meta, page, component_update, component}   of a degradation
    {meta, page}                                about the subscription itself

The fields and their order are those that Statuspage posts; communication/statuspage.py says how our words
become theirs. The same notice makes the same text at every attempt, so that its signature proves something.

Source: https://support.atlassian.com/statuspage/docs/enable-webhook-notifications, and recorded posts.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from holdfast.communication.delivering import Announcement, Message, Recipient, Request, RequestKind
from holdfast.communication.model import (
    ComponentState,
    Event,
    Impact,
    Incident,
    Letter,
    Maintenance,
    Notice,
    Phase,
    Place,
    Revision,
    Stage,
    Update,
)
from holdfast.communication.statuspage import (
    cluster_id_of,
    component_id_of,
    moment_text,
    page_id_of,
    state_name,
    step_name,
)
from holdfast.interfaces.messages.links import Links
from holdfast.interfaces.messages.mails import Stationery
from holdfast.interfaces.messages.wording import Wording

VERSION = 1
MOST_UPDATES = 50
"""The newest ones. With more, a long incident would be a message that receivers refuse."""
Json = dict[str, object]
_BADNESS = (
    ComponentState.OPERATIONAL,
    ComponentState.UNDER_MAINTENANCE,
    ComponentState.UNKNOWN,
    ComponentState.DEGRADED,
    ComponentState.PARTIAL_OUTAGE,
    ComponentState.MAJOR_OUTAGE,
)
_INDICATORS = {
    ComponentState.OPERATIONAL: ("none", "All Systems Operational"),
    ComponentState.UNDER_MAINTENANCE: ("maintenance", "Service Under Maintenance"),
    ComponentState.UNKNOWN: ("minor", "Partially Degraded Service"),
    ComponentState.DEGRADED: ("minor", "Partially Degraded Service"),
    ComponentState.PARTIAL_OUTAGE: ("major", "Partial System Outage"),
    ComponentState.MAJOR_OUTAGE: ("critical", "Major Service Outage"),
}


class Payloads:
    """A `Composer` for web hooks."""

    def __init__(self, stationery: Stationery) -> None:
        self._stationery = stationery
        self._page_id = page_id_of(stationery.links.base or stationery.site)

    @property
    def links(self) -> Links:
        return self._stationery.links

    def announced(self, announcement: Announcement, to: Recipient) -> Message:
        notice, wording = announcement.notice, self._wording(to)
        language = wording.language
        content: Json = {
            "meta": self._meta(to, language, notice.at),
            "page": self._page(notice),
            **self._subject(notice, language),
            "holdfast": self._ours(notice, to, wording),
        }
        return Message(
            subject=wording.headline(notice),
            content=msgspec.json.encode(content),
            manage_url=self.links.manage(language, to.manage_token),
            unsubscribe_url=self.links.unsubscribe(language, to.manage_token),
        )

    def requested(self, request: Request, to: Recipient) -> Message:
        """A message about the subscription itself.

        Who answers a request to confirm with its `challenge` is subscribed from then on.
        """
        wording = self._wording(to)
        language = wording.language
        headline, text = wording.requested(request, self._stationery.site)
        ours: Json = {
            "version": VERSION,
            "event": f"subscription.{request.kind.value}",
            "language": language,
            "headline": headline,
            "text": text,
        }
        challenge = ""
        if request.kind is RequestKind.KNOWN:
            ours["manage_url"] = self.links.manage(language, to.manage_token)
        else:
            challenge = to.confirm_token
            ours["challenge"] = challenge
            ours["confirm_url"] = self.links.confirm(language, to.confirm_token)
        page = {"id": self._page_id, "status_indicator": None, "status_description": None}
        content = {"meta": self._meta(to, language, None), "page": page, "holdfast": ours}
        return Message(subject=headline, content=msgspec.json.encode(content), challenge=challenge)

    def letter(self, letter: Letter, to: Recipient) -> Message:
        ours = {"version": VERSION, "event": "letter", "headline": letter.subject, "text": letter.text}
        page = {"id": self._page_id, "status_indicator": None, "status_description": None}
        content = {"meta": self._meta(to, to.language, None), "page": page, "holdfast": ours}
        return Message(subject=letter.subject, content=msgspec.json.encode(content))

    def _wording(self, to: Recipient) -> Wording:
        languages = self._stationery.languages
        return Wording(to.language if to.language in languages else languages[0], self._stationery.zone)

    def _meta(self, to: Recipient, language: str, at: datetime | None) -> Json:
        ends = self.links.unsubscribe(language, to.manage_token) if to.manage_token and at else None
        documentation = f"{self.links.base}/{language}/subscribe/webhooks"
        generated = moment_text(at) if at is not None else None
        return {"unsubscribe": ends, "documentation": documentation, "generated_at": generated}

    def _page(self, notice: Notice) -> Json:
        """The state of what the notice speaks of. Statuspage tells that of everything here."""
        worst = max(_states(notice).values(), key=_BADNESS.index, default=ComponentState.OPERATIONAL)
        indicator, description = _INDICATORS[worst]
        return {"id": self._page_id, "status_indicator": indicator, "status_description": description}

    def _subject(self, notice: Notice, language: str) -> Json:
        if notice.incident is not None:
            link = self.links.incident(language, notice.incident.id)
            return {"incident": self._incident(notice, notice.incident, link)}
        if notice.maintenance is not None:
            link = self.links.maintenance(language, notice.maintenance.id)
            return {"incident": self._maintenance(notice, notice.maintenance, link)}
        return self._component_update(notice)

    def _incident(self, notice: Notice, incident: Incident, link: str) -> Json:
        postmortem = next((each for each in incident.updates if each.step == Phase.POSTMORTEM), None)
        written = moment_text(postmortem.at) if postmortem else None
        told = self._common(notice, incident.id, incident.title, link, incident.updates)
        return told | {
            "status": step_name(incident.phase),
            "created_at": moment_text(incident.published_at or incident.declared_at or incident.began_at),
            "monitoring_at": _when(incident.updates, Phase.MONITORING),
            "resolved_at": moment_text(incident.resolved_at) if incident.resolved_at else None,
            "impact": incident.impact.value,
            "postmortem_body": postmortem.body if postmortem else None,
            "postmortem_body_last_updated_at": written,
            "postmortem_published_at": written,
            "postmortem_notified_subscribers": notice.event is Event.INCIDENT_POSTMORTEM,
            "backfilled": _is_backfilled(incident),
        }

    def _maintenance(self, notice: Notice, planned: Maintenance, link: str) -> Json:
        said = planned.updates
        if planned.body and all(each.step != Stage.SCHEDULED for each in said):
            announced = planned.announced_at or notice.at
            said = (Update(planned.id, announced, Stage.SCHEDULED.value, planned.body, ""), *said)
        told = self._common(notice, planned.id, planned.title, link, said)
        ended = planned.ended_at or (planned.window.end if planned.stage.is_over else None)
        return told | {
            "status": step_name(planned.stage),
            "created_at": moment_text(planned.announced_at or notice.at),
            "monitoring_at": _when(said, Stage.VERIFYING),
            "resolved_at": moment_text(ended) if ended else None,
            "impact": "maintenance",
            "scheduled_for": moment_text(planned.window.start),
            "scheduled_until": moment_text(planned.window.end),
            "scheduled_remind_prior": bool(planned.remind),
            "scheduled_auto_in_progress": planned.starts_by_clock,
            "scheduled_auto_completed": planned.ends_by_clock,
        }

    def _common(
        self, notice: Notice, subject_id: str, title: str, link: str, updates: Sequence[Update]
    ) -> Json:
        """The fields of an incident and of a maintenance, in their order; most are filled in later."""
        return {
            "name": title,
            "status": "",
            "created_at": "",
            "updated_at": moment_text(notice.at),
            "monitoring_at": None,
            "resolved_at": None,
            "impact": "",
            "shortlink": link,
            "postmortem_ignored": False,
            "postmortem_body": None,
            "postmortem_body_last_updated_at": None,
            "postmortem_published_at": None,
            "postmortem_notified_subscribers": False,
            "postmortem_notified_twitter": False,
            "backfilled": False,
            "scheduled_for": None,
            "scheduled_until": None,
            "scheduled_remind_prior": False,
            "scheduled_reminded_at": None,
            "impact_override": None,
            "scheduled_auto_in_progress": False,
            "scheduled_auto_completed": False,
            "id": subject_id,
            "page_id": self._page_id,
            "incident_updates": self._updates(notice, subject_id, updates),
            "components": self._components(notice),
        }

    def _updates(self, notice: Notice, subject_id: str, updates: Sequence[Update]) -> list[Json]:
        """What was said, newest first as theirs, each with how it changed the components."""
        told: list[Json] = []
        before: dict[int, ComponentState] = {}
        for update in updates:
            recorded = update.recorded_at or update.at
            told.append(
                {
                    "status": step_name(update.step),
                    "body": update.body,
                    "created_at": moment_text(recorded),
                    "wants_twitter_update": False,
                    "twitter_updated_at": None,
                    "updated_at": moment_text(_edited_at(update.revisions, recorded)),
                    "display_at": moment_text(update.at),
                    "affected_components": _affected(notice.places, update.affected, before),
                    "custom_tweet": None,
                    "deliver_notifications": True,
                    "id": update.id,
                    "incident_id": subject_id,
                }
            )
            before |= update.affected
        return told[::-1][:MOST_UPDATES]

    def _components(self, notice: Notice) -> list[Json]:
        states = _states(notice)
        return [
            self._component(place, states.get(number, ComponentState.OPERATIONAL), notice.at, position)
            for position, (number, place) in enumerate(notice.places.items(), 1)
        ]

    def _component(self, place: Place, state: ComponentState, at: datetime, position: int) -> Json:
        return {
            "status": state_name(state),
            "name": place.full_name,
            "created_at": moment_text(at),
            "updated_at": moment_text(at),
            "position": position,
            "description": None,
            "showcase": True,
            "id": component_id_of(place.cluster_key, place.key),
            "page_id": self._page_id,
            "group_id": cluster_id_of(place.cluster_key),
        }

    def _component_update(self, notice: Notice) -> Json:
        change = notice.component
        place = notice.places.get(change.component_id) if change is not None else None
        if change is None or place is None:
            return {}
        component_id = component_id_of(place.cluster_key, place.key)
        return {
            "component_update": {
                "old_status": state_name(change.before),
                "new_status": state_name(change.after),
                "created_at": moment_text(notice.at),
                "component_type": "Component",
                "id": page_id_of(f"{notice.event} {component_id} {moment_text(notice.at)}"),
                "component_id": component_id,
            },
            "component": self._component(place, change.after, notice.at, 1),
        }

    def _ours(self, notice: Notice, to: Recipient, wording: Wording) -> Json:
        """What Statuspage has no field for: what happened, in a word, and the estate's own keys."""
        states = _states(notice)
        return {
            "version": VERSION,
            "event": notice.event.value,
            "announced_at": moment_text(notice.at),
            "language": wording.language,
            "headline": wording.headline(notice),
            "components": [
                {
                    "cluster": place.cluster_key,
                    "component": place.key,
                    "name": place.full_name,
                    "state": states[number].value if number in states else None,
                }
                for number, place in notice.places.items()
            ],
            "reason": notice.component.reason if notice.component is not None else None,
            "manage_url": self.links.manage(wording.language, to.manage_token),
        }


def _states(notice: Notice) -> Mapping[int, ComponentState]:
    """The state that each component is told to be in."""
    if notice.incident is not None:
        if notice.incident.phase.is_over:
            return dict.fromkeys(notice.incident.affected, ComponentState.OPERATIONAL)
        return notice.incident.affected or _by_impact(notice.incident.impact, notice.places)
    if notice.maintenance is not None:
        now = notice.maintenance.is_under_way
        state = ComponentState.UNDER_MAINTENANCE if now else ComponentState.OPERATIONAL
        return dict.fromkeys(notice.maintenance.component_ids, state)
    change = notice.component
    return {} if change is None else {change.component_id: change.after}


def _by_impact(impact: Impact, places: Mapping[int, Place]) -> Mapping[int, ComponentState]:
    states = {
        Impact.NONE: ComponentState.OPERATIONAL,
        Impact.MINOR: ComponentState.DEGRADED,
        Impact.MAJOR: ComponentState.PARTIAL_OUTAGE,
        Impact.CRITICAL: ComponentState.MAJOR_OUTAGE,
    }
    return dict.fromkeys(places or [0], states[impact])


def _affected(
    places: Mapping[int, Place],
    affected: Mapping[int, ComponentState],
    before: Mapping[int, ComponentState],
) -> list[Json] | None:
    changed: list[Json] = [
        {
            "code": component_id_of(place.cluster_key, place.key),
            "name": place.full_name,
            "old_status": state_name(before.get(number, ComponentState.OPERATIONAL)),
            "new_status": state_name(state),
        }
        for number, state in affected.items()
        if (place := places.get(number)) is not None
    ]
    return changed or None


def _is_backfilled(incident: Incident) -> bool:
    """Whether it was told only after it was over."""
    over, told = incident.resolved_at, incident.published_at
    return over is not None and told is not None and over < told


def _when(updates: Sequence[Update], step: str) -> str | None:
    return next((moment_text(each.at) for each in updates if each.step == step), None)


def _edited_at(revisions: Sequence[Revision], recorded: datetime) -> datetime:
    return max((each.at for each in revisions), default=recorded)
