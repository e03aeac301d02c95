"""What of the ledger operators are told at once."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.availability.alerting.model import Message, Outcome, Severity
from holdfast.availability.conditions import validate
from holdfast.bootstrap.backup.alarms import AGAIN_AFTER_S
from holdfast.bootstrap.ledger.alarms import ALARMS, CONCERNS, OVER, LedgerAlarms, alarm_of, message_of
from holdfast.estate.loader import parse_estate
from holdfast.kernel.journal import JournalEntry
from holdfast.ledger.completeness.concerns import ENDS, Concern, ConcernKind

AT = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
ESTATE = parse_estate(
    b"""
regions: {west: {name: West}}
clusters:
  eu:
    name: Europe
    region: west
    components: {web: {name: Website, checks: {page: {url: 'https://example.com/'}}}}
alerts: {channels: {ops: {url: env:OPS}}}
""",
    Path("holdfast.yaml"),
    validate,
)


class Channels:
    """A Notifier that keeps what it is given."""

    def __init__(self) -> None:
        self.got: list[Message] = []

    async def send(self, channel: str, message: Message) -> Outcome:
        assert channel == "ops"
        self.got.append(message)
        return Outcome(ok=True)


class Desk:
    def __init__(self) -> None:
        self.channels = Channels()
        self.now = 0.0
        self.alarms = LedgerAlarms(ESTATE, self.channels, lambda: self.now)

    def hear(self, event: str, now: float = 0.0, **facts: object) -> None:
        self.now = now
        self.alarms.hear(JournalEntry(AT, "ledger", event, facts))

    async def sent(self) -> list[str]:
        running = asyncio.create_task(self.alarms.run())
        for _ in range(50):
            await asyncio.sleep(0)
        running.cancel()
        return [each.title for each in self.channels.got]


def concern(kind: ConcernKind = ConcernKind.GAP) -> Concern:
    return Concern("acme", kind, "mfp-17", AT, {"missing": 5, "numbers": ["1:3-7"], "device": ""})


def test_a_concern_says_what_it_is_about_and_where_to_look() -> None:
    message = message_of(concern())
    assert message.title == "[TICKET] ledger of acme: mfp-17: numbers have not come"
    assert "missing: 5" in message.body
    assert "device" not in message.body
    assert "look: holdfast ledger gaps --tenant acme" in message.body
    assert message_of(concern(ConcernKind.CONFLICT)).severity is Severity.PAGE


def test_every_kind_has_its_words_and_its_end() -> None:
    assert set(CONCERNS) == set(ENDS) == set(ConcernKind)
    assert set(OVER.values()) == set(ALARMS)


async def test_the_second_region_is_told_of_until_it_is_back() -> None:
    desk = Desk()
    desk.hear("ledger.second_region_away", waiting=3)
    desk.hear("ledger.second_region_away", 60.0, waiting=4)
    desk.now = AGAIN_AFTER_S
    desk.alarms.remind()
    desk.hear("ledger.second_region_back", AGAIN_AFTER_S + 1, waiting=0)
    desk.now = 5 * AGAIN_AFTER_S
    desk.alarms.remind()
    what = "ledger: the second region does not flush"
    assert await desk.sent() == [f"[PAGE] {what}", f"[PAGE] {what}", f"[OVER] {what}"]


async def test_reasons_not_to_publish_are_alarms_of_their_own() -> None:
    desk = Desk()
    desk.hear("ledger.publishing_waits", subject="everywhere", reason="witness_away", text="no answer")
    desk.hear("ledger.publishing_waits", subject="ledger.example/acme", reason="fork", text="no")
    desk.hear("ledger.publishing_goes_on", subject="everywhere", reason="witness_away")
    what = "ledger: checkpoints are not published"
    assert await desk.sent() == [
        f"[TICKET] {what} (witness away)",
        f"[PAGE] {what} (fork)",
        f"[OVER] {what} (witness away)",
    ]


async def test_concerns_are_told_when_asked_and_when_they_are_over() -> None:
    desk = Desk()
    desk.hear(
        concern().begun, tenant="acme", subject="mfp-17"
    )  # that it began is told by who took it to tell
    desk.alarms.stands(concern())
    desk.alarms.stands(concern())  # an hour later, by the database's clock
    desk.hear(concern().ended, tenant="acme", subject="mfp-17")
    what = "ledger of acme: mfp-17: numbers have not come"
    assert await desk.sent() == [f"[TICKET] {what}", f"[TICKET] {what}", f"[OVER] {what}"]


@pytest.mark.parametrize("name", ["ledger.settled", "ledger.tenant_added", "backup.wal_gap_found"])
def test_other_events_are_no_alarm(name: str) -> None:
    assert alarm_of(JournalEntry(AT, "ledger", name, {})) is None
