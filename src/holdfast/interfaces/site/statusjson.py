"""The snapshot for machines: `/api/v1/status.json`. All times are UTC, RFC 3339; availability is a ratio."""

from collections.abc import Mapping

import msgspec

from holdfast.availability.views import ComponentHistory, Overview
from holdfast.communication.model import Incident, Update
from holdfast.communication.model import Maintenance as Work
from holdfast.communication.news import News
from holdfast.interfaces.site.rendering import Staleness
from holdfast.interfaces.site.responses import Answer, security_headers
from holdfast.interfaces.site.wording import all_components, shown, whole_state, worst_shown

_OPEN = [*security_headers(shared=True), (b"access-control-allow-origin", b"*")]


def status_json(overview: Overview, stale: Staleness | None, news: News) -> Answer:
    """The answer. `stale` true means: the database is away, and this was known at `as_of`."""
    named = {each.status.id: f"{cluster.key}/{each.status.key}" for cluster, each in all_components(overview)}
    status = {
        "as_of": overview.at,
        "stale": stale is not None,
        "sample": overview.sample,
        "state": whole_state(overview, news).label,
        "clusters": [
            {
                "key": cluster.key,
                "name": cluster.name,
                "region": cluster.region,
                "state": worst_shown(cluster.components).label,
                "components": [_component(each) for each in cluster.components],
            }
            for cluster in overview.clusters
        ],
        "incidents": [_incident(each, named) for each in news.open_incidents],
        "maintenance": [_maintenance(each, named) for each in (*news.under_way, *news.planned)],
    }
    return Answer(msgspec.json.encode(status), "application/json", security=_OPEN)


def _component(history: ComponentHistory) -> dict[str, object]:
    share = history.figure.availability
    return {
        "key": history.status.key,
        "name": history.status.name,
        "state": shown(history.status).label,
        "measured": history.status.state.label,
        "told": None if history.status.told is None else history.status.told.label,
        "since": history.status.since,
        "reason": history.status.reason,
        "because_of": [f"{each.cluster_key}/{each.key}" for each in history.status.because_of],
        "availability": None if share is None else float(share),
        "days": len(history.days),
        "formula": history.figure.formula,
    }


def _incident(incident: Incident, named: Mapping[int, str]) -> dict[str, object]:
    return {
        "id": incident.id,
        "title": incident.title,
        "impact": incident.impact.value,
        "phase": incident.phase.value,
        "began_at": incident.began_at,
        "components": {named[each]: state for each, state in incident.affected.items() if each in named},
        "updates": [_update(each) for each in incident.updates],
    }


def _update(update: Update) -> dict[str, object]:
    return {"id": update.id, "at": update.at, "phase": update.step, "body": update.body}


def _maintenance(planned: Work, named: Mapping[int, str]) -> dict[str, object]:
    return {
        "id": planned.id,
        "title": planned.title,
        "stage": planned.stage.value,
        "from": planned.window.start,
        "to": planned.window.end,
        "announced_at": planned.announced_at,
        "components": [named[each] for each in sorted(planned.component_ids) if each in named],
    }
