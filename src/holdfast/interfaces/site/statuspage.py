"""The v2 read API of Atlassian's Statuspage, so that whatever reads theirs reads ours: `/api/v2/...`.

    summary.json, status.json                              the whole, and in one word
    components.json, components/ID.json                    clusters are component groups
    incidents.json, incidents/unresolved.json, incidents/ID.json
    scheduled-maintenances.json, .../upcoming.json, .../active.json, .../ID.json

The fields and their order are those that Statuspage's pages answer with; communication/statuspage.py says how
our words become theirs. Lists hold the newest 50. An address that leads nowhere is a 404 with an `error`.

Source: https://www.githubstatus.com/api and other pages of theirs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from holdfast.availability.views import ClusterStatus, ComponentHistory, Overview
from holdfast.communication.model import ComponentState, Incident, Maintenance, Phase, Stage, Update
from holdfast.communication.news import News
from holdfast.communication.statuspage import (
    cluster_id_of,
    component_id_of,
    moment_text,
    page_id_of,
    state_name,
    step_name,
)
from holdfast.estate.model import Site
from holdfast.interfaces.site.responses import Answer, security_headers
from holdfast.interfaces.site.wording import all_components, shown

ROOT = "/api/v2"
MOST = 50
Json = dict[str, object]

_OPEN = [*security_headers(shared=True), (b"access-control-allow-origin", b"*")]
_BADNESS = (
    "operational",
    "under_maintenance",
    "degraded_performance",
    "partial_outage",
    "major_outage",
)
_UNKNOWN = "No measurement at present: the state is unknown."
_SEVERITY = ("none", "maintenance", "minor", "major", "critical")
_DESCRIPTIONS = {
    "none": "All Systems Operational",
    "maintenance": "Service Under Maintenance",
    "minor": "Minor Service Outage",
    "major": "Partial System Outage",
    "critical": "Major Service Outage",
}


def _answer(raw: bytes, status: int = 200) -> Answer:
    cache = "no-cache" if status == 200 else "no-store"
    return Answer(raw, "application/json", status=status, cache=cache, security=_OPEN)


NOT_FOUND = _answer(b'{"error":"not found"}', 404)
NOT_YET = _answer(b'{"error":"nothing was read yet; try again"}', 503)


class StatuspageShelf:
    """Keeps the answers of the edition before, for those that say the same again: compressing costs most."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[bytes, Answer]] = {}

    def pages(self, overview: Overview, news: News, site: Site, *, unknown: bool) -> dict[str, Answer]:
        """Every address with its answer. `overview` and `news` hold only what everybody may know.

        `unknown`: what they say is too old to be told as the present state.
        """
        fresh = {}
        for path, content in Statuspage(overview, news, site, unknown=unknown).documents().items():
            raw = msgspec.json.encode(content)
            known = self._known.get(path)
            same = known is not None and known[0] == raw
            fresh[path] = known if known is not None and same else (raw, _answer(raw))
        self._known = fresh
        return {path: answer for path, (_, answer) in fresh.items()}


@dataclass(frozen=True, slots=True)
class _Component:
    """A component with what an incident or maintenance needs of it."""

    code: str
    full_name: str
    status: str
    json: Json


@dataclass(slots=True)
class Statuspage:
    """One state of the site, in Statuspage's terms."""

    overview: Overview
    news: News
    site: Site
    unknown: bool = False
    _page_id: str = ""
    _components: dict[int, _Component] = field(default_factory=dict)
    _listed: list[Json] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._page_id = page_id_of(self.site.url or self.site.title)
        self._list_components()

    def documents(self) -> dict[str, Json]:
        """What each address answers."""
        page = {"page": self._page()}
        incidents = [self._incident(each) for each in self.news.incidents[:MOST]]
        unresolved = [self._incident(each) for each in self.news.open_incidents[:MOST]]
        upcoming = [self._maintenance(each) for each in self.news.planned[:MOST]]
        active = [self._maintenance(each) for each in self.news.under_way[:MOST]]
        newest = sorted(self.news.maintenance, key=lambda each: each.window.start, reverse=True)[:MOST]
        every = [self._maintenance(each) for each in newest]
        status = {"status": self._status()}
        told: dict[str, Json] = {
            "summary": {
                **page,
                "components": self._listed,
                "incidents": unresolved,
                "scheduled_maintenances": [*active, *upcoming],
                **status,
            },
            "status": {**page, **status},
            "components": {**page, "components": self._listed},
            "incidents": {**page, "incidents": incidents},
            "incidents/unresolved": {**page, "incidents": unresolved},
            "scheduled-maintenances": {**page, "scheduled_maintenances": every},
            "scheduled-maintenances/upcoming": {**page, "scheduled_maintenances": upcoming},
            "scheduled-maintenances/active": {**page, "scheduled_maintenances": active},
        }
        for each in self._listed:
            told[f"components/{each['id']}"] = {**page, "component": each}
        for each in (*incidents, *unresolved):
            told[f"incidents/{each['id']}"] = {**page, "incident": each}
        for each in (*every, *upcoming, *active):
            told[f"scheduled-maintenances/{each['id']}"] = {**page, "scheduled_maintenance": each}
        return {f"{ROOT}/{path}.json": content for path, content in told.items()}

    def _page(self) -> Json:
        changes = [
            *(each.status.since for _, each in all_components(self.overview) if each.status.since),
            *(_changed_at(each) for each in self.news.incidents),
            *(_changed_at(each) for each in self.news.maintenance),
        ]
        return {
            "id": self._page_id,
            "name": self.site.title,
            "url": (self.site.url or "").rstrip("/"),
            "time_zone": _zone_name(self.site),
            # The last change and not the last reading: an answer that says the same is the same answer.
            "updated_at": moment_text(max(changes, default=self.overview.at)),
        }

    def _status(self) -> Json:
        states = [each.status for each in self._components.values()]
        histories = [each for _, each in all_components(self.overview)]
        unknown = self.unknown or not histories or any(_is_unknown(each) for each in histories)
        measured = _indicator(states)
        declared = [each.impact.value for each in self.news.open_incidents]
        indicator = max((measured, *declared), key=_SEVERITY.index)
        if unknown and _SEVERITY.index(indicator) <= _SEVERITY.index("minor"):
            whole = self.unknown or all(_is_unknown(each) for each in histories)
            return {"indicator": "minor", "description": "State Unknown" if whole else "State Partly Unknown"}
        if indicator == "minor" and measured == "minor":
            return {"indicator": "minor", "description": "Partially Degraded Service"}
        return {"indicator": indicator, "description": _DESCRIPTIONS[indicator]}

    def _list_components(self) -> None:
        for number, cluster in enumerate(self.overview.clusters, 1):
            children = [
                self._component(cluster, each, place) for place, each in enumerate(cluster.components, 1)
            ]
            self._listed.append(self._group(cluster, number, children))
            self._listed += [each.json for each in children]
            for each, history in zip(children, cluster.components, strict=True):
                self._components[history.status.id] = each

    def _component(self, cluster: ClusterStatus, history: ComponentHistory, place: int) -> _Component:
        status = history.status
        unknown = self.unknown or _is_unknown(history)
        state = ComponentState.UNKNOWN if unknown else ComponentState(shown(status).label)
        code = component_id_of(cluster.key, status.key)
        words = [_UNKNOWN] if unknown else []
        description = " ".join([*words, status.description]).strip() or None
        # With its cluster: many readers know components by name alone, and two of one name would be one to
        # them, of which the outage of the first is never seen.
        name = f"{cluster.name} {status.name}"
        json = self._entry(code, name, state_name(state), place, history.window.start, status.since)
        json |= {"description": description, "group_id": cluster_id_of(cluster.key)}
        return _Component(code, name, state_name(state), json)

    def _group(self, cluster: ClusterStatus, place: int, children: Sequence[_Component]) -> Json:
        statuses = [each.status for each in children]
        worst = max(statuses, key=_BADNESS.index, default=state_name(ComponentState.UNKNOWN))
        started = min((each.window.start for each in cluster.components), default=self.overview.at)
        since = max((each.status.since for each in cluster.components if each.status.since), default=None)
        json = self._entry(cluster_id_of(cluster.key), cluster.name, worst, place, started, since)
        return json | {"group": True, "components": [each.code for each in children]}

    def _entry(
        self, code: str, name: str, status: str, place: int, started: datetime, since: datetime | None
    ) -> Json:
        """A component's fields, in their order. It counts as made when the history that is shown begins."""
        return {
            "id": code,
            "name": name,
            "status": status,
            "created_at": moment_text(min(started, since or started)),
            "updated_at": moment_text(since or started),
            "position": place,
            "description": None,
            "showcase": True,
            "start_date": None,
            "group_id": None,
            "page_id": self._page_id,
            "group": False,
            "only_show_if_degraded": False,
        }

    def _incident(self, incident: Incident) -> Json:
        monitoring = _when(incident.updates, Phase.MONITORING)
        return {
            "id": incident.id,
            "name": incident.title,
            "status": step_name(incident.phase),
            "created_at": moment_text(incident.published_at or incident.declared_at or incident.began_at),
            "updated_at": moment_text(_changed_at(incident)),
            "monitoring_at": monitoring,
            "resolved_at": moment_text(incident.resolved_at) if incident.resolved_at else None,
            "impact": incident.impact.value,
            "shortlink": self._link("incidents", incident.id),
            "started_at": moment_text(incident.began_at),
            "page_id": self._page_id,
            "incident_updates": self._updates(incident),
            "components": self._spoken_of(incident.component_ids),
            "reminder_intervals": None,
        }

    def _maintenance(self, planned: Maintenance) -> Json:
        announced = planned.announced_at or planned.window.start
        return {
            "id": planned.id,
            "name": planned.title,
            "status": step_name(planned.stage),
            "created_at": moment_text(announced),
            "updated_at": moment_text(_changed_at(planned)),
            "monitoring_at": _when(planned.updates, Stage.VERIFYING),
            "resolved_at": moment_text(_ended_at(planned)) if planned.stage.is_over else None,
            "impact": "maintenance",
            "shortlink": self._link("maintenance", planned.id),
            "started_at": moment_text(announced),
            "page_id": self._page_id,
            "incident_updates": self._updates(planned),
            "components": self._spoken_of(planned.component_ids),
            "reminder_intervals": None,
            "scheduled_for": moment_text(planned.window.start),
            "scheduled_until": moment_text(planned.window.end),
        }

    def _updates(self, subject: Incident | Maintenance) -> list[Json]:
        """What was said, newest first as theirs, each with how it changed the components."""
        told: list[Json] = []
        before: dict[int, ComponentState] = {}
        for update in _told_updates(subject):
            recorded = update.recorded_at or update.at
            told.append(
                {
                    "id": update.id,
                    "status": step_name(update.step),
                    "body": update.body,
                    "incident_id": subject.id,
                    "created_at": moment_text(recorded),
                    "updated_at": moment_text(max((each.at for each in update.revisions), default=recorded)),
                    "display_at": moment_text(update.at),
                    "affected_components": self._affected(update, before),
                    "deliver_notifications": True,
                    "custom_tweet": None,
                    "tweet_id": None,
                }
            )
            before |= update.affected
        return told[::-1]

    def _affected(self, update: Update, before: dict[int, ComponentState]) -> list[Json] | None:
        changed: list[Json] = [
            {
                "code": component.code,
                "name": component.full_name,
                "old_status": state_name(before.get(each, ComponentState.OPERATIONAL)),
                "new_status": state_name(state),
            }
            for each, state in update.affected.items()
            if (component := self._components.get(each)) is not None
        ]
        return changed or None

    def _spoken_of(self, component_ids: Iterable[int]) -> list[Json]:
        wanted = set(component_ids)
        return [each.json for number, each in self._components.items() if number in wanted]

    def _link(self, kind: str, told_id: str) -> str:
        return f"{(self.site.url or '').rstrip('/')}/{kind}/{told_id}"


def _indicator(states: Sequence[str]) -> str:
    worst = max(states, key=_BADNESS.index, default="degraded_performance")
    if worst == "major_outage" and len(set(states)) == 1:
        return "critical"
    return {
        "operational": "none",
        "under_maintenance": "maintenance",
        "degraded_performance": "minor",
        "partial_outage": "major",
        "major_outage": "major",
    }[worst]


def _is_unknown(history: ComponentHistory) -> bool:
    return shown(history.status).label == ComponentState.UNKNOWN


def _told_updates(subject: Incident | Maintenance) -> Sequence[Update]:
    """The updates, oldest first. What a maintenance says when it is planned is an update too, in theirs."""
    if isinstance(subject, Incident):
        return subject.updates
    if subject.updates and subject.updates[0].step == Stage.SCHEDULED:
        return subject.updates
    announced = subject.announced_at or subject.window.start
    affected = dict.fromkeys(subject.component_ids, ComponentState.OPERATIONAL)
    # Its id is the maintenance's own: no update has that one, and it must not change from answer to answer.
    first = Update(
        subject.id, announced, Stage.SCHEDULED, subject.body, subject.announced_by, affected, announced
    )
    return (first, *subject.updates)


def _changed_at(subject: Incident | Maintenance) -> datetime:
    """When readers were last told something new of it."""
    if isinstance(subject, Incident):
        first = subject.published_at or subject.declared_at or subject.began_at
    else:
        first = subject.announced_at or subject.window.start
    moments = [first, *(each.at for each in subject.changes)]
    for update in subject.updates:
        moments += [update.recorded_at or update.at, *(each.at for each in update.revisions)]
    return max(moments)


def _ended_at(planned: Maintenance) -> datetime:
    if planned.ended_at is not None:
        return planned.ended_at
    return _changed_at(planned) if planned.stage is Stage.CANCELLED else planned.window.end


def _when(updates: Iterable[Update], step: str) -> str | None:
    return max((moment_text(each.at) for each in updates if each.step == step), default=None)


def _zone_name(site: Site) -> str:
    """As they write it: UTC is Etc/UTC."""
    return "Etc/UTC" if str(site.time_zone) == "UTC" else str(site.time_zone)
