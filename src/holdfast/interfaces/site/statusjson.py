"""The snapshot for machines: `/api/v1/status.json`. All times are UTC, RFC 3339; availability is a ratio."""

import msgspec

from holdfast.availability.model import Maintenance
from holdfast.availability.views import ComponentHistory, Overview
from holdfast.interfaces.site.rendering import Staleness
from holdfast.interfaces.site.responses import Answer, security_headers
from holdfast.interfaces.site.wording import all_components, shown, worst_shown

_OPEN = [*security_headers(shared=True), (b"access-control-allow-origin", b"*")]


def status_json(overview: Overview, stale: Staleness | None) -> Answer:
    """The answer. `stale` true means: the database is away, and this was known at `as_of`."""
    status = {
        "as_of": overview.at,
        "stale": stale is not None,
        "sample": overview.sample,
        "state": worst_shown(each for _, each in all_components(overview)).label,
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
        "maintenance": [_maintenance(each) for each in overview.maintenance],
    }
    return Answer(msgspec.json.encode(status), "application/json", security=_OPEN)


def _component(history: ComponentHistory) -> dict[str, object]:
    share = history.figure.availability
    return {
        "key": history.status.key,
        "name": history.status.name,
        "state": shown(history.status).label,
        "measured": history.status.state.label,
        "since": history.status.since,
        "reason": history.status.reason,
        "because_of": [f"{each.cluster_key}/{each.key}" for each in history.status.because_of],
        "availability": None if share is None else float(share),
        "days": len(history.days),
        "formula": history.figure.formula,
    }


def _maintenance(planned: Maintenance) -> dict[str, object]:
    return {
        "id": planned.id,
        "title": planned.title,
        "from": planned.window.start,
        "to": planned.window.end,
        "announced_at": planned.announced_at,
        "cancelled_at": planned.cancelled_at,
    }
