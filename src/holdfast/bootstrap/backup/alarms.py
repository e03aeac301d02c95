"""What of a database's keeping operators are told at once, through the estate's alert channels.

The journal and the pages have everything. This is for what a person must act upon, or must know of before it
is needed: once, and again each hour while it goes on. Whoever was told of it is told when it is over.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from holdfast.availability.alerting.model import Message, Outcome, Severity
from holdfast.estate.model import Estate
from holdfast.kernel.journal import JournalEntry

AGAIN_AFTER_S = 3600.0
CALM_S = 600.0
"""What is over and begins again is told after this at the earliest: something may come and go all day."""
LOOK_EVERY_S = 60.0
MOST_WAITING = 100

ALARMS: Mapping[str, tuple[Severity, str]] = {
    "backup.verification_failed": (Severity.PAGE, "a copy was restored and is not as it must be"),
    "backup.suspicion_raised": (Severity.PAGE, "recovery points may hold damage"),
    "backup.wal_gap_found": (Severity.PAGE, "WAL is missing: moments in the gap cannot be restored"),
    "backup.wal_abandoned": (Severity.PAGE, "WAL was left behind"),
    "backup.slot_lost": (Severity.PAGE, "the replication slot is lost"),
    "backup.spool_filling": (Severity.PAGE, "the spool fills up: when it is full, no more WAL is received"),
    "backup.spool_full": (Severity.PAGE, "the spool is full: no more WAL is received"),
    "backup.sync_let_go": (Severity.PAGE, "commits do not wait for the regions any more"),
    "backup.not_kept": (Severity.PAGE, "the database is not kept"),
    "backup.overdue": (Severity.PAGE, "no backup was taken for too long"),
    "backup.harm_found": (Severity.TICKET, "stored objects are damaged or missing"),
    "backup.region_failed": (Severity.TICKET, "a region does not take copies"),
    "backup.region_left_behind": (Severity.TICKET, "a region lacks WAL that only other regions have"),
    "backup.step_failed": (Severity.TICKET, "keeping it does not go well"),
    "backup.wal_stream_failed": (Severity.TICKET, "WAL does not arrive"),
}

OVER: Mapping[str, str] = {
    "backup.spool_emptied": "backup.spool_filling",
    "backup.spool_has_room": "backup.spool_full",
    "backup.sync_resumed": "backup.sync_let_go",
    "backup.region_well_again": "backup.region_failed",
    "backup.taken_again": "backup.overdue",
    "backup.region_caught_up": "backup.region_left_behind",
    "backup.well_again": "backup.step_failed",
    "backup.wal_stream_began": "backup.wal_stream_failed",
}
"""What is over when this happens. What is not named here happened at a moment, and does not go on."""

log = structlog.get_logger()


class Notifier(Protocol):
    """Sends a message to a channel."""

    async def send(self, channel: str, message: Message) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class Alarm:
    """A message, and what makes another one the same."""

    message: Message
    sameness: tuple[str, ...]
    is_over: bool = False
    """It ends the one that is the same."""


def alarm_of(entry: JournalEntry, database_name: str) -> Alarm | None:
    """The alarm that an event is worth, or that it ends; None for most."""
    event = OVER.get(entry.event, entry.event)
    found = ALARMS.get(event)
    if found is None:
        return None
    severity, what = found
    database = str(entry.facts.get("database", ""))
    facts = "\n".join(f"{key}: {value}" for key, value in entry.facts.items() if value not in ("", None, []))
    body = f"{facts}\nat: {entry.at:%Y-%m-%d %H:%M:%S}Z\nlook: holdfast backup points {database}"
    is_over = event != entry.event
    sign = "OVER" if is_over else severity.name
    title = f"[{sign}] {database_name or database}: {what}"
    step = str(entry.facts.get("step", "")) if event == "backup.step_failed" else ""
    sameness = (event, database, str(entry.facts.get("region", "")), step)
    return Alarm(Message(title, body, severity), sameness, is_over)


class Alarms:
    """Tells every channel. What cannot be sent now is in the journal, and told again within the hour."""

    def __init__(self, estate: Estate, notifier: Notifier, monotonic: Callable[[], float]) -> None:
        self._estate = estate
        self._notifier = notifier
        self._monotonic = monotonic
        self._told: dict[tuple[str, ...], float] = {}
        self._standing: dict[tuple[str, ...], Message] = {}
        self._said: set[tuple[str, ...]] = set()
        self._waiting: asyncio.Queue[Message] = asyncio.Queue(maxsize=MOST_WAITING)

    def hear(self, entry: JournalEntry) -> None:
        """Take up an event."""
        database = self._estate.databases.get(str(entry.facts.get("database", "")))
        alarm = alarm_of(entry, database.name if database else "")
        if alarm is not None:
            self.take(alarm, goes_on=alarm.sameness[0] in OVER.values())

    def take(self, alarm: Alarm, *, goes_on: bool) -> None:
        """Tell it, unless that was done within the hour; with `goes_on` again each hour until it is over."""
        if alarm.is_over:
            self._standing.pop(alarm.sameness, None)
            # Only of what was told: nobody wonders whether anything else is over.
            if alarm.sameness in self._said and self.send(alarm.message):
                self._said.discard(alarm.sameness)
                self._told[alarm.sameness] = self._monotonic() - AGAIN_AFTER_S + CALM_S
            return
        if goes_on:
            self._standing[alarm.sameness] = alarm.message
        self._tell(alarm.sameness, alarm.message)

    def remind(self) -> None:
        """Tell again what goes on for an hour more."""
        for sameness, message in self._standing.items():
            self._tell(sameness, message)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            try:
                message = await asyncio.wait_for(self._waiting.get(), LOOK_EVERY_S)
            except TimeoutError:
                self.remind()
                continue
            channels = list(self._estate.alerts.channels)
            outcomes = await asyncio.gather(*(self._notifier.send(each, message) for each in channels))
            for channel, outcome in zip(channels, outcomes, strict=True):
                log.info("alarm_sent", channel=channel, title=message.title, outcome=str(outcome))

    def _tell(self, sameness: tuple[str, ...], message: Message) -> None:
        now = self._monotonic()
        if now - self._told.get(sameness, -AGAIN_AFTER_S + now) < AGAIN_AFTER_S:
            return
        if self.send(message):
            self._told[sameness] = now
            self._said.add(sameness)

    def send(self, message: Message) -> bool:
        """Whether there was room for it among what waits to be sent."""
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            return False
        return True
