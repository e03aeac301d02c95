"""What of a database's keeping operators are told at once, through the estate's alert channels.

The journal and the pages have everything. This is for what a person must act upon, or must know of before it
is needed: once, and again each hour while it goes on.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from holdfast.availability.alerting.model import Message, Outcome, Severity
from holdfast.estate.model import Estate
from holdfast.kernel.journal import JournalEntry

AGAIN_AFTER_S = 3600.0
MOST_WAITING = 100

ALARMS: Mapping[str, tuple[Severity, str]] = {
    "backup.verification_failed": (Severity.PAGE, "a copy was restored and is not as it must be"),
    "backup.suspicion_raised": (Severity.PAGE, "recovery points may hold damage"),
    "backup.wal_gap_found": (Severity.PAGE, "WAL is missing: moments in the gap cannot be restored"),
    "backup.wal_abandoned": (Severity.PAGE, "WAL was left behind"),
    "backup.slot_lost": (Severity.PAGE, "the replication slot is lost"),
    "backup.spool_full": (Severity.PAGE, "the spool is full: no more WAL is received"),
    "backup.sync_let_go": (Severity.PAGE, "commits do not wait for the regions any more"),
    "backup.not_kept": (Severity.PAGE, "the database is not kept"),
    "backup.harm_found": (Severity.TICKET, "stored objects are damaged or missing"),
    "backup.region_failed": (Severity.TICKET, "a region does not take copies"),
    "backup.step_failed": (Severity.TICKET, "keeping it does not go well"),
    "backup.wal_stream_failed": (Severity.TICKET, "WAL does not arrive"),
}

log = structlog.get_logger()


class Notifier(Protocol):
    """Sends a message to a channel."""

    async def send(self, channel: str, message: Message) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class Alarm:
    """A message, and what makes another one the same."""

    message: Message
    sameness: tuple[str, ...]


def alarm_of(entry: JournalEntry, database_name: str) -> Alarm | None:
    """The alarm that an event is worth; None for most."""
    found = ALARMS.get(entry.event)
    if found is None:
        return None
    severity, what = found
    database = str(entry.facts.get("database", ""))
    facts = "\n".join(f"{key}: {value}" for key, value in entry.facts.items() if value not in ("", None, []))
    body = f"{facts}\nat: {entry.at:%Y-%m-%d %H:%M:%S}Z\nlook: holdfast backup points {database}"
    title = f"[{severity.name}] {database_name or database}: {what}"
    sameness = (entry.event, database, str(entry.facts.get("region", "")), str(entry.facts.get("step", "")))
    return Alarm(Message(title, body, severity), sameness)


class Alarms:
    """Tells every channel. What cannot be sent now is in the journal, and told again within the hour."""

    def __init__(self, estate: Estate, notifier: Notifier) -> None:
        self._estate = estate
        self._notifier = notifier
        self._told: dict[tuple[str, ...], float] = {}
        self._waiting: asyncio.Queue[Message] = asyncio.Queue(maxsize=MOST_WAITING)

    def hear(self, entry: JournalEntry, now: float) -> None:
        """Take up an event; `now` is monotonic."""
        database = self._estate.databases.get(str(entry.facts.get("database", "")))
        alarm = alarm_of(entry, database.name if database else "")
        if alarm is None or now - self._told.get(alarm.sameness, -AGAIN_AFTER_S) < AGAIN_AFTER_S:
            return
        try:
            self._waiting.put_nowait(alarm.message)
        except asyncio.QueueFull:
            return
        self._told[alarm.sameness] = now

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            message = await self._waiting.get()
            channels = list(self._estate.alerts.channels)
            outcomes = await asyncio.gather(*(self._notifier.send(each, message) for each in channels))
            for channel, outcome in zip(channels, outcomes, strict=True):
                log.info("backup_alarm_sent", channel=channel, title=message.title, outcome=str(outcome))
