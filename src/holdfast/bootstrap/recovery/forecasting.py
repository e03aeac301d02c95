"""How long restores will take: measured by drills and by daily verification, told before it is too long."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from holdfast.adapters.postgres.journal import PostgresJournal
from holdfast.adapters.postgres.recovery.evidence import PostgresEvidence
from holdfast.bootstrap.recovery.terms import terms_of
from holdfast.bootstrap.recovery.working import Working
from holdfast.estate.model import Estate
from holdfast.kernel.journal import JournalEntry
from holdfast.recovery.evidence import Evidence, entry_of
from holdfast.recovery.evidence_ports import EvidenceLog
from holdfast.recovery.forecast import MOST, Forecast, Restored, forecast_of

LOOK_EVERY = timedelta(hours=6)
RESTORES = ("restore", "corruption")
"""Scenarios whose RTO is the time of a restore."""

log = structlog.get_logger()


async def forecast_for(evidence: EvidenceLog, estate: Estate, subject: str, now: datetime) -> Forecast:
    """Of a database's restores, against the strictest agreement's RTO; where there is none, the target."""
    terms = terms_of(estate, subject, "restore")
    limit = terms.rto_contract or terms.rto_target
    return forecast_of(await measured(evidence, subject), limit, now)


async def measured(evidence: EvidenceLog, subject: str) -> Sequence[Restored]:
    """Every restore of it that was drilled, or done, and came back right."""
    found = list[Restored]()
    for scenario in RESTORES:
        for kept in await evidence.newest(MOST, subject=subject, scenario=scenario):
            it = entry_of(kept.content)
            if isinstance(it, Evidence) and it.data_bytes is not None and it.rto.measured_ms is not None:
                found.append(Restored(it.began_at, it.data_bytes, it.rto.measured_ms / 1000))
    return found


async def keep_forecasting(working: Working) -> None:
    """A duty: tell the log and the journal of each agreement that would be broken, once for each date."""
    evidence, told = PostgresEvidence(working.pool), dict[str, str]()
    while True:
        for key in working.estate.databases:
            forecast = await forecast_for(evidence, working.estate, key, working.clock.now())
            at = forecast.breaks_at.date().isoformat() if forecast.breaks_at else ""
            if at and told.get(key) != at:
                await _tell(working, key, forecast)
            told[key] = at
        await asyncio.sleep(LOOK_EVERY.total_seconds())


async def _tell(working: Working, key: str, forecast: Forecast) -> None:
    facts = {
        "database": key,
        "breaks_at": forecast.breaks_at.isoformat() if forecast.breaks_at else None,
        "limit_s": None if forecast.limit is None else forecast.limit.total_seconds(),
        "restore_now_s": forecast.now_s,
        "restore_then_s": forecast.then_s,
        "samples": forecast.samples,
    }
    log.warning("restore_will_take_too_long", **facts)
    entry = JournalEntry(working.clock.now(), "recovery", "recovery.restore_will_take_too_long", facts)
    await PostgresJournal(working.conninfo).append(entry)
