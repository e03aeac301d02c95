"""How long restores will take, as drills have measured it."""

from collections.abc import Sequence
from datetime import datetime

from holdfast.bootstrap.recovery.scheduling import standings_of
from holdfast.bootstrap.recovery.terms import drills_of, terms_of
from holdfast.estate.model import Estate
from holdfast.interfaces.evidence_desk import DrillShown
from holdfast.recovery.evidence import Evidence, entry_of
from holdfast.recovery.evidence_ports import EvidenceLog
from holdfast.recovery.forecast import MOST, Forecast, Restored, forecast_of

RESTORES = ("restore", "corruption")
"""Scenarios whose RTO is the time of a restore."""


async def forecast_for(evidence: EvidenceLog, estate: Estate, subject: str, now: datetime) -> Forecast:
    """Of a database's restores, against the strictest agreement's RTO; where there is none, the target."""
    terms = terms_of(estate, subject, "restore")
    limit = terms.rto_contract or terms.rto_target
    return forecast_of(await measured(evidence, subject), limit, now)


async def shown_drills(evidence: EvidenceLog, estate: Estate, now: datetime) -> Sequence[DrillShown]:
    """Every declared drill, in the estate's order; of a restore with what its measurements say."""
    return [
        DrillShown(each, await forecast_for(evidence, estate, each.drill.subject, now))
        if each.drill.scenario == "restore"
        else DrillShown(each, None)
        for each in await standings_of(evidence, drills_of(estate), now)
    ]


async def measured(evidence: EvidenceLog, subject: str) -> Sequence[Restored]:
    """Every restore of it that was drilled, or done, and came back right."""
    found = list[Restored]()
    for scenario in RESTORES:
        for kept in await evidence.newest(MOST, subject=subject, scenario=scenario):
            it = entry_of(kept.content)
            if isinstance(it, Evidence) and it.data_bytes is not None and it.rto.measured_ms is not None:
                found.append(Restored(it.began_at, it.data_bytes, it.rto.measured_ms / 1000))
    return found
