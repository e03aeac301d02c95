"""Incidents and maintenance as a site would have them: open, over, planned, under way and cancelled."""

from datetime import timedelta

from site_estates import NOW

from holdfast.communication.model import (
    ComponentState,
    Impact,
    Incident,
    Maintenance,
    Phase,
    Revision,
    Stage,
    Update,
)
from holdfast.communication.news import News
from holdfast.kernel.windows import Window

MINUTE = timedelta(minutes=1)


def update(
    number: int, step: str, minutes_ago: float, affected: dict[int, ComponentState] | None = None
) -> Update:
    at = NOW - minutes_ago * MINUTE
    return Update(
        f"update{number:06d}", at, step, f"We say **{step}**.", "ada", affected or {}, recorded_at=at
    )


def open_incident(component_ids: tuple[int, ...] = (1, 2), impact: Impact = Impact.MAJOR) -> Incident:
    first = dict.fromkeys(component_ids, ComponentState.MAJOR_OUTAGE)
    then = dict.fromkeys(component_ids, ComponentState.DEGRADED)
    began = NOW - 30 * MINUTE
    return Incident(
        "openincident",
        "Printing is slow",
        impact,
        Phase.MONITORING,
        began,
        then,
        (
            update(1, Phase.INVESTIGATING, 25, first),
            update(2, Phase.MONITORING, 5, then),
        ),
        declared_by="ada",
        declared_at=NOW - 25 * MINUTE,
        published_at=NOW - 25 * MINUTE,
        version=2,
    )


def past_incident(number: int = 1, component_ids: tuple[int, ...] = (3,)) -> Incident:
    days = 2 + number
    began = NOW - timedelta(days=days)
    told = dict.fromkeys(component_ids, ComponentState.OPERATIONAL)
    said = Update(
        f"past{number:08d}",
        began + 20 * MINUTE,
        Phase.RESOLVED,
        "All is well.",
        "bob",
        told,
        recorded_at=began + 20 * MINUTE,
        revisions=(Revision("All is wel.", began + 20 * MINUTE, began + 25 * MINUTE, "bob"),),
    )
    return Incident(
        f"over{number:08d}",
        f"Outage {number}",
        Impact.CRITICAL,
        Phase.RESOLVED,
        began,
        told,
        (said,),
        declared_at=began,
        published_at=began,
        resolved_at=began + 20 * MINUTE,
        version=3,
    )


def maintenance(
    name: str, stage: Stage, starts_in: timedelta, component_ids: tuple[int, ...] = (1,)
) -> Maintenance:
    window = Window(NOW + starts_in, NOW + starts_in + timedelta(hours=2))
    said = () if stage is Stage.SCHEDULED else (update(90, stage, 1),)
    return Maintenance(
        name,
        f"Database work ({stage})",
        "We move the database.",
        window,
        stage,
        frozenset(component_ids),
        said,
        announced_at=NOW - timedelta(days=20),
        announced_by="ada",
        began_at=window.start if stage in {Stage.IN_PROGRESS, Stage.VERIFYING, Stage.COMPLETED} else None,
        ended_at=window.end if stage is Stage.COMPLETED else None,
    )


def news() -> News:
    """One of each kind."""
    return News(
        NOW,
        [open_incident(), past_incident(1), past_incident(2)],
        [
            maintenance("maintenance1", Stage.COMPLETED, timedelta(days=-9)),
            maintenance("maintenance2", Stage.CANCELLED, timedelta(days=-3)),
            maintenance("maintenance3", Stage.IN_PROGRESS, timedelta(hours=-1)),
            maintenance("maintenance4", Stage.SCHEDULED, timedelta(days=4)),
        ],
        NOW - timedelta(days=90),
    )
