"""What of the ledger operators are told at once, through the estate's alert channels.

What lasts in the process (the second region is away, nothing is published) is told as a database's alarms
are: once, again each hour, and when it is over. Concerns are kept in the database: of several processes one
tells each of them, and a process that begins anew does not tell everything again.
"""

from collections.abc import Mapping

from holdfast.availability.alerting.model import Message, Severity
from holdfast.bootstrap.backup.alarms import Alarm, Alarms
from holdfast.kernel.journal import JournalEntry
from holdfast.ledger.completeness.concerns import ENDS, Concern, ConcernKind

ALARMS: Mapping[str, tuple[Severity, str]] = {
    "ledger.second_region_away": (Severity.PAGE, "the second region does not flush"),
    "ledger.publishing_waits": (Severity.TICKET, "checkpoints are not published"),
    "ledger.person_keys_away": (Severity.TICKET, "a store of persons' keys is away"),
    "ledger.erasures_overdue": (Severity.TICKET, "persons who asked to be erased are not"),
}
OVER: Mapping[str, str] = {
    "ledger.second_region_back": "ledger.second_region_away",
    "ledger.publishing_goes_on": "ledger.publishing_waits",
    "ledger.person_keys_back": "ledger.person_keys_away",
    "ledger.erasures_carried_out": "ledger.erasures_overdue",
}
"""What is over when this happens."""
GRAVE = frozenset({"fork", "witness_refuses"})
"""Reasons not to publish that do not pass by themselves."""

CONCERNS: Mapping[ConcernKind, tuple[Severity, str, str]] = {
    ConcernKind.GAP: (Severity.TICKET, "numbers have not come", "holdfast ledger gaps"),
    ConcernKind.CONFLICT: (
        Severity.PAGE,
        "records came again with other content",
        "holdfast ledger conflicts",
    ),
    ConcernKind.METER: (Severity.TICKET, "the device counted something else", "holdfast ledger meters"),
    ConcernKind.CLOCK: (Severity.TICKET, "its clock is off", "holdfast ledger status"),
    ConcernKind.FOLLOWER: (Severity.TICKET, "reports and lists are not up to date", "holdfast ledger status"),
}
_ENDED: Mapping[str, ConcernKind] = {f"ledger.{ended}": kind for kind, ended in ENDS.items()}


def alarm_of(entry: JournalEntry) -> Alarm | None:
    """The alarm that an event is worth, or that it ends; None for most."""
    event = OVER.get(entry.event, entry.event)
    found = ALARMS.get(event)
    if found is None:
        return None
    severity, what = found
    subject, reason = str(entry.facts.get("subject", "")), str(entry.facts.get("reason", ""))
    if reason in GRAVE:
        severity = Severity.PAGE
    is_over = event != entry.event
    sign = "OVER" if is_over else severity.name
    title = f"[{sign}] ledger: {what}" + (f" ({reason.replace('_', ' ')})" if reason else "")
    body = f"{_told(entry.facts)}\nat: {entry.at:%Y-%m-%d %H:%M:%S}Z\nlook: holdfast ledger status"
    return Alarm(Message(title, body, severity), (event, subject, reason), is_over)


def message_of(concern: Concern) -> Message:
    """What is told of a concern that stands."""
    severity, what, look = CONCERNS[concern.kind]
    title = f"[{severity.name}] ledger of {concern.tenant}: {concern.subject}: {what}"
    body = f"{_told(concern.facts)}\nsince: {concern.since:%Y-%m-%d %H:%M:%S}Z\n"
    return Message(title, f"{body}look: {look} --tenant {concern.tenant}", severity)


def over_message(entry: JournalEntry) -> Message | None:
    """What is told of a concern that is over; None for other events."""
    kind = _ENDED.get(entry.event)
    if kind is None:
        return None
    severity, what, _ = CONCERNS[kind]
    title = f"[OVER] ledger of {entry.facts.get('tenant')}: {entry.facts.get('subject')}: {what}"
    return Message(title, f"at: {entry.at:%Y-%m-%d %H:%M:%S}Z", severity)


class LedgerAlarms(Alarms):
    """Tells every channel of the estate."""

    def hear(self, entry: JournalEntry) -> None:
        alarm = alarm_of(entry)
        if alarm is not None:
            self.take(alarm, goes_on=True)
        elif message := over_message(entry):
            self.send(message)

    def stands(self, concern: Concern) -> None:
        """It is to be told now: whoever calls has seen to it that nobody else does."""
        self.send(message_of(concern))


def _told(facts: Mapping[str, object]) -> str:
    return "\n".join(f"{key}: {value}" for key, value in facts.items() if value not in ("", None, []))
