"""Calls people, through the estate's alert channels, when a run cannot go on without them: by one process.

Also when traffic is moved by itself, and once that is over.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Protocol

import structlog

from holdfast.adapters.notify.channels import AppriseNotifier
from holdfast.adapters.postgres.recovery.evidence import PostgresTold
from holdfast.adapters.postgres.recovery.standing import standing_of
from holdfast.availability.alerting.model import Message, Outcome, Severity
from holdfast.bootstrap.alerting import url_of
from holdfast.bootstrap.recovery.working import Working
from holdfast.estate.model import Estate
from holdfast.recovery.calls import Call, call_for_unattended, calls_of, moved_by_itself
from holdfast.recovery.evidence_ports import ToldOnce
from holdfast.recovery.service import Recovery
from holdfast.recovery.views import view_of

LOOK_EVERY_S = 15.0
NEWEST = 20
"""Runs that are over, to look through: more do not end between two looks."""

log = structlog.get_logger()


class Notifier(Protocol):
    """Sends a message to a channel."""

    async def send(self, channel: str, message: Message) -> Outcome: ...


async def keep_calling(working: Working) -> None:
    """A duty: until cancelled."""
    notifier = AppriseNotifier(partial(url_of, working.estate, working.place.config))
    told = PostgresTold(working.pool)
    while True:
        heard = working.news.heard
        await call(working.recovery, told, working.estate, notifier)
        waits = timedelta(seconds=(await standing_of(working.pool)).unattended_s)
        await _tell(call_for_unattended(waits, working.clock.now()), told, working.estate, notifier)
        await working.news.woken(heard, LOOK_EVERY_S)


async def call(recovery: Recovery, told: ToldOnce, estate: Estate, notifier: Notifier) -> Sequence[Call]:
    """Call for every run that waits for people now; returns what nobody was called for before."""
    made = list[Call]()
    over = [run for run in await recovery.newest(NEWEST) if run.state.is_over and moved_by_itself(run)]
    for run in (*over, *await recovery.unfinished()):
        held = await recovery.get(run.id)
        made += await _tell(calls_of(view_of(held.run, held.now)), told, estate, notifier)
    return made


async def _tell(calls: Iterable[Call], told: ToldOnce, estate: Estate, notifier: Notifier) -> Sequence[Call]:
    """What a channel does not take is in the journal, and on the pages."""
    fresh = [each for each in calls if await told.first(each.key, each.event, each.facts)]
    channels = list(estate.alerts.channels)
    for each in fresh:
        log.warning(each.event.replace(".", "_"), **each.facts)
        message = _message_of(each, estate)
        outcomes = await asyncio.gather(*(notifier.send(channel, message) for channel in channels))
        for channel, outcome in zip(channels, outcomes, strict=True):
            log.info("alarm_sent", channel=channel, title=message.title, outcome=str(outcome))
    return fresh


def _message_of(call: Call, estate: Estate) -> Message:
    """What a person reads, on a telephone and half asleep."""
    lines = [f"{key}: {value}" for key, value in call.facts.items() if value not in ("", None)]
    lines.append(f"look: {call.look}")
    if estate.console.url is not None and (run := call.facts.get("run")) is not None:
        lines.append(f"console: {estate.console.url.rstrip('/')}/recovery/runs/{run}")
    severity = Severity.PAGE if call.urgent else Severity.TICKET
    return Message(f"[{severity.name}] {call.text}", "\n".join(lines), severity)
