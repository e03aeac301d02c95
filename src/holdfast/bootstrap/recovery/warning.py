"""Tells operators, through the estate's alert channels, what drills have shown: once, by one process."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Protocol

import structlog

from holdfast.adapters.notify.channels import AppriseNotifier
from holdfast.adapters.postgres.recovery.evidence import PostgresEvidence, PostgresTold
from holdfast.availability.alerting.model import Message, Outcome, Severity
from holdfast.bootstrap.alerting import url_of
from holdfast.bootstrap.recovery.forecasting import forecast_for
from holdfast.bootstrap.recovery.scheduling import standings_of
from holdfast.bootstrap.recovery.terms import drills_of
from holdfast.bootstrap.recovery.working import Working
from holdfast.estate.model import Estate
from holdfast.recovery.evidence import Evidence, entry_of
from holdfast.recovery.evidence_ports import EvidenceLog, ToldOnce
from holdfast.recovery.warnings import Warned, not_cosigned, warned_of

LOOK_EVERY_S = 60.0
NEWEST = 50

log = structlog.get_logger()


class Notifier(Protocol):
    """Sends a message to a channel."""

    async def send(self, channel: str, message: Message) -> Outcome: ...


async def keep_warning(working: Working) -> None:
    """A duty: until cancelled."""
    evidence, told = PostgresEvidence(working.pool), PostgresTold(working.pool)
    notifier = AppriseNotifier(partial(url_of, working.estate, working.place.config))
    while True:
        await warn(evidence, told, working.estate, notifier, working.clock.now())
        await asyncio.sleep(LOOK_EVERY_S)


async def warn(
    evidence: EvidenceLog, told: ToldOnce, estate: Estate, notifier: Notifier, now: datetime
) -> Sequence[Warned]:
    """Tell what is new. What a channel does not take is in the journal."""
    newest = [entry_of(each.content) for each in await evidence.newest(NEWEST)]
    standings = await standings_of(evidence, drills_of(estate), now)
    forecasts = {key: await forecast_for(evidence, estate, key, now) for key in estate.databases}
    drills = [each for each in newest if isinstance(each, Evidence)]
    vouched = not_cosigned(await evidence.grown(), now)
    found = [
        each
        for each in [
            *warned_of(drills, standings, forecasts, now),
            *([vouched] if vouched is not None else []),
        ]
        if await told.first(each.key, each.event, each.facts)
    ]
    for each in found:
        log.warning(each.event.replace(".", "_"), **each.facts)
        message = message_of(each, now)
        channels = list(estate.alerts.channels)
        outcomes = await asyncio.gather(*(notifier.send(channel, message) for channel in channels))
        for channel, outcome in zip(channels, outcomes, strict=True):
            log.info("alarm_sent", channel=channel, title=message.title, outcome=str(outcome))
    return found


def message_of(warned: Warned, at: datetime) -> Message:
    """What a person reads."""
    facts = "\n".join(f"{key}: {value}" for key, value in warned.facts.items() if value not in ("", None))
    body = f"{facts}\nat: {at:%Y-%m-%d %H:%M:%S}Z\nlook: {warned.look}"
    return Message(f"[{Severity.TICKET.name}] {warned.text}", body, Severity.TICKET)
