"""Drills that are due: started by themselves, each once in its time, by whichever process is quicker."""

import asyncio
from collections.abc import Mapping
from datetime import datetime

import structlog

from holdfast.adapters.postgres.recovery.evidence import PostgresEvidence
from holdfast.bootstrap.recovery.apart import clear_leftovers
from holdfast.bootstrap.recovery.terms import drills_of
from holdfast.bootstrap.recovery.working import Working
from holdfast.estate.drills import Drill
from holdfast.identity.roles import labels
from holdfast.kernel.errors import HoldfastError
from holdfast.recovery.drills import (
    Standing,
    due_now,
    given_to_drill,
    playbook_of,
    scheduled_run_id,
    scheduled_seed,
    standing_of,
)
from holdfast.recovery.errors import Refused
from holdfast.recovery.evidence import Evidence, entry_of
from holdfast.recovery.evidence_ports import EvidenceLog

LOOK_EVERY_S = 60.0
WHO = "schedule"

log = structlog.get_logger()


async def keep_drilling(working: Working) -> None:
    """A duty: start what is due, until cancelled. Copies that a killed process has left go first."""
    await asyncio.to_thread(clear_leftovers, working.place.data_dir)
    drills = drills_of(working.estate)
    if not any(each.every for each in drills.values()):
        return
    evidence = PostgresEvidence(working.pool)
    while True:
        standings = await standings_of(evidence, drills, working.clock.now())
        hindered = None
        for each in due_now(standings):
            try:
                await start_due(working, each)
            except HoldfastError as error:
                hindered = hindered or error
        if hindered is not None:
            raise hindered
        await asyncio.sleep(LOOK_EVERY_S)


async def start_due(working: Working, standing: Standing) -> bool:
    """Whether its run began now. One of this stretch of time may be there already, under way or over."""
    drill, now = standing.drill, standing.now
    if drill.every is None:
        return False
    run_id = scheduled_run_id(standing.key, drill.every, now)
    given = given_to_drill(drill, scheduled_seed(standing.key, now))
    name = playbook_of(drill.scenario, drill.where)
    # A drill that takes longer than its time is not overtaken by the next one.
    for run in await working.runs.unfinished():
        if (run.playbook.name, run.subject) == (name, drill.subject):
            return False
    playbook = working.recovery.playbooks().get(name)
    if playbook is not None:
        given = {name: text for name, text in given.items() if name in playbook.takes}
    try:
        run = await working.recovery.start(name, drill.subject, given, WHO, labels(), run_id)
    except Refused as error:
        log.debug("drill_not_started", drill=standing.key, why=str(error))
        return False
    log.info("drill_started", drill=standing.key, run=run.id)
    return True


async def standings_of(evidence: EvidenceLog, drills: Mapping[str, Drill], now: datetime) -> list[Standing]:
    """How each declared drill stands, in the estate's order."""
    found = list[Standing]()
    for key, drill in drills.items():
        newest = await evidence.newest(1, subject=drill.subject, scenario=drill.scenario)
        passed_at = await evidence.last_drilled(drill.subject, drill.scenario)
        found.append(standing_of(key, drill, _tried(newest[0].content) if newest else None, passed_at, now))
    return found


def _tried(content: bytes) -> datetime | None:
    entry = entry_of(content)
    return entry.began_at if isinstance(entry, Evidence) else None
