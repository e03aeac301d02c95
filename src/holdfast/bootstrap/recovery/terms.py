"""What a drill is measured against: the operator's targets, and what agreements say. Pure."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from holdfast.estate.drills import Drill, EvidenceKeeping
from holdfast.estate.model import Agreement, Estate
from holdfast.recovery.gathering import Terms


def drills_of(estate: Estate) -> dict[str, Drill]:
    """The declared ones, by key."""
    return {} if estate.recovery is None else dict(estate.recovery.drills)


def keeping_of(estate: Estate) -> EvidenceKeeping:
    """How evidence is kept; without a word of it as everybody's."""
    return EvidenceKeeping() if estate.recovery is None else estate.recovery.evidence


def origin_of_evidence(estate: Estate) -> str:
    """The name of the log of evidence."""
    named = keeping_of(estate).name
    if named is not None:
        return named
    return "holdfast/evidence" if estate.ledger is None else f"{estate.ledger.name}/evidence"


def cluster_of(estate: Estate, subject: str) -> str | None:
    """The cluster that a subject is, or belongs to; None for one that the estate does not know."""
    if subject in estate.databases:
        return estate.databases[subject].cluster
    return subject if subject in estate.clusters else None


def drill_for(estate: Estate, subject: str, scenario: str) -> Drill | None:
    """What is declared of it; of several the one that is held most often."""
    found = [
        each for each in drills_of(estate).values() if (each.subject, each.scenario) == (subject, scenario)
    ]
    return min(found, key=lambda each: each.every or timedelta.max, default=None)


def terms_of(estate: Estate, subject: str, scenario: str) -> Terms:
    """The targets of the drill that is declared of it, and the strictest agreement's RPO and RTO."""
    drill, cluster = drill_for(estate, subject, scenario), cluster_of(estate, subject)
    agreements = _agreements(estate, cluster, drill.agreements if drill else ())
    return Terms(
        rpo_target=drill.target.rpo if drill else None,
        rto_target=drill.target.rto if drill else None,
        rpo_contract=_least(each.rpo for each in agreements),
        rto_contract=_least(each.rto for each in agreements),
    )


def _agreements(estate: Estate, cluster: str | None, named: Sequence[str]) -> list[Agreement]:
    if named:
        return [estate.agreements[key] for key in named if key in estate.agreements]
    return [
        each
        for each in estate.agreements.values()
        if any(pattern.split("/", 1)[0] in {"*", cluster} for pattern in each.components)
    ]


def _least(durations: Iterable[timedelta | None]) -> timedelta | None:
    return min((each for each in durations if each is not None), default=None)
