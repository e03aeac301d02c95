"""Our words in those of Atlassian's Statuspage: ids, states and times of its v2 read API and its webhooks.

Pages, components and groups are known by twelve letters and digits there. Ours are made of the estate's keys,
so that they stay the same in every language, after every change of a name, and in a rebuilt database.

Statuspage knows no "unknown" and no cancelled maintenance:
- unknown is told as `degraded_performance`, never as operational, and the component's description says so;
- a cancelled maintenance is `completed` from then on, and its last update says what happened.
"""

from datetime import UTC, datetime

from holdfast.communication.model import ComponentState, Stage
from holdfast.kernel.ids import id_from

_STATES = {
    ComponentState.OPERATIONAL: "operational",
    ComponentState.DEGRADED: "degraded_performance",
    ComponentState.PARTIAL_OUTAGE: "partial_outage",
    ComponentState.MAJOR_OUTAGE: "major_outage",
    ComponentState.UNDER_MAINTENANCE: "under_maintenance",
    ComponentState.UNKNOWN: "degraded_performance",
}


def page_id_of(address: str) -> str:
    """The page's id. `address` is the site's public one, or its title where it has none."""
    return id_from("page", address)


def cluster_id_of(cluster_key: str) -> str:
    """The id of the component group that stands for a cluster."""
    return id_from("cluster", cluster_key)


def component_id_of(cluster_key: str, key: str) -> str:
    return id_from("component", f"{cluster_key}/{key}")


def state_name(state: ComponentState) -> str:
    return _STATES[state]


def step_name(step: str) -> str:
    """The status of an incident, a maintenance or an update. `step` is a Phase or Stage, by value."""
    return Stage.COMPLETED.value if step == Stage.CANCELLED else str(step)


def moment_text(moment: datetime) -> str:
    """UTC with milliseconds, as theirs: 2026-11-02T08:30:00.000Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
