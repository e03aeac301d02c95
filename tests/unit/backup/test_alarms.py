"""What operators are told at once of a database's keeping, and how often."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.availability.alerting.model import Message, Outcome, Severity
from holdfast.availability.conditions import validate
from holdfast.bootstrap.backup.alarms import AGAIN_AFTER_S, ALARMS, CALM_S, OVER, Alarms, alarm_of
from holdfast.estate.loader import parse_estate
from holdfast.kernel.journal import JournalEntry

CHANNELS = ("ops", "night")
AT = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
ESTATE = parse_estate(
    b"""
regions: {west: {name: West}}
clusters:
  eu:
    name: Europe
    region: west
    components: {web: {name: Website, checks: {page: {url: 'https://example.com/'}}}}
alerts: {channels: {ops: {url: env:OPS}, night: {url: env:NIGHT}}}
backup: {stores: {west: {to: file:///srv/backups}}}
databases:
  main: {name: Orders, cluster: eu, connection: {host: db.example.com}, copies: {west: {}}}
""",
    Path("holdfast.yaml"),
    validate,
)


class Channels:
    """A Notifier that keeps what it is given."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Message]] = []

    async def send(self, channel: str, message: Message) -> Outcome:
        self.got.append((channel, message))
        return Outcome(ok=True)


def event(name: str, **facts: object) -> JournalEntry:
    return JournalEntry(AT, "backup", name, {"database": "main", **facts})


def test_an_alarm_says_what_it_is_about_and_where_to_look() -> None:
    alarm = alarm_of(
        event("backup.verification_failed", region="west", problems=["a page is damaged"]), "Orders"
    )
    assert alarm is not None
    assert alarm.message.severity is Severity.PAGE
    assert alarm.message.title == "[PAGE] Orders: a copy was restored and is not as it must be"
    assert "a page is damaged" in alarm.message.body
    assert "holdfast backup points main" in alarm.message.body


@pytest.mark.parametrize("name", ["backup.taken", "backup.expired", "backup.verification_passed"])
def test_what_goes_well_is_no_alarm(name: str) -> None:
    assert alarm_of(event(name), "Orders") is None


class Desk:
    """Alarms at a time that a test says."""

    def __init__(self) -> None:
        self.channels = Channels()
        self.now = 0.0
        self.alarms = Alarms(ESTATE, self.channels, lambda: self.now)

    def hear(self, entry: JournalEntry, now: float) -> None:
        self.now = now
        self.alarms.hear(entry)

    def remind(self, now: float) -> None:
        self.now = now
        self.alarms.remind()

    async def sent(self) -> list[str]:
        """The titles that each channel got, in order."""
        running = asyncio.create_task(self.alarms.run())
        for _ in range(50):
            await asyncio.sleep(0)
        running.cancel()
        got = {
            name: [msg.title for channel, msg in self.channels.got if channel == name] for name in CHANNELS
        }
        assert got["ops"] == got["night"]
        return got["ops"]


FAILED = "[TICKET] Orders: a region does not take copies"


async def test_every_channel_is_told_once_an_hour() -> None:
    desk = Desk()
    for now in (0.0, AGAIN_AFTER_S - 1, AGAIN_AFTER_S):
        desk.hear(event("backup.region_failed", region="west", error="away"), now)
    assert await desk.sent() == [FAILED, FAILED]


async def test_another_region_is_another_alarm() -> None:
    desk = Desk()
    for region in ("west", "north"):
        desk.hear(event("backup.region_failed", region=region), 0.0)
    assert len(await desk.sent()) == 2


async def test_what_goes_on_is_told_again_each_hour_until_it_is_over_and_then_that() -> None:
    desk = Desk()
    desk.hear(event("backup.region_left_behind", region="west", segment="000000010000000000000003"), 0.0)
    desk.remind(AGAIN_AFTER_S - 1)
    desk.remind(AGAIN_AFTER_S)
    desk.hear(event("backup.region_caught_up", region="north"), AGAIN_AFTER_S)
    desk.hear(event("backup.region_caught_up", region="west"), AGAIN_AFTER_S + 1)
    desk.remind(AGAIN_AFTER_S * 3)
    what = "Orders: a region lacks WAL that only other regions have"
    assert await desk.sent() == [f"[TICKET] {what}", f"[TICKET] {what}", f"[OVER] {what}"]


async def test_what_comes_and_goes_is_told_after_a_while_if_it_stands_then() -> None:
    desk = Desk()
    for second in range(0, 100, 10):
        desk.hear(event("backup.region_failed", region="west"), float(second))
        desk.hear(event("backup.region_well_again", region="west"), second + 5.0)
    desk.hear(event("backup.region_failed", region="west"), 100.0)
    desk.remind(5.0 + CALM_S - 1)
    assert [title[:6] for title in await desk.sent()] == ["[TICKE", "[OVER]"]
    desk.remind(5.0 + CALM_S)
    desk.hear(event("backup.region_well_again", region="west"), 2000.0)
    assert [title[:6] for title in await desk.sent()] == ["[TICKE", "[OVER]"] * 2


async def test_that_is_over_is_not_told_of_what_was_not_told() -> None:
    desk = Desk()
    desk.hear(event("backup.region_well_again", region="west"), 0.0)
    assert await desk.sent() == []


async def test_what_happened_at_a_moment_is_not_told_again() -> None:
    desk = Desk()
    desk.hear(event("backup.wal_gap_found", why="the slot is lost"), 0.0)
    desk.remind(AGAIN_AFTER_S * 2)
    assert len(await desk.sent()) == 1


async def test_a_step_that_is_well_again_ends_no_other() -> None:
    desk = Desk()
    desk.hear(event("backup.step_failed", step="take", error="away"), 0.0)
    desk.hear(event("backup.step_failed", step="verify", error="no room"), 0.0)
    desk.hear(event("backup.well_again", step="take"), 1.0)
    desk.remind(AGAIN_AFTER_S)
    assert [title[:8] for title in await desk.sent()] == ["[TICKET]", "[TICKET]", "[OVER] O", "[TICKET]"]


async def test_a_stream_that_begins_again_is_over_whatever_step_it_took() -> None:
    desk = Desk()
    desk.hear(event("backup.wal_stream_failed", error="away"), 0.0)
    desk.hear(event("backup.wal_stream_began", step="continue"), 1.0)
    assert len(await desk.sent()) == 2


def test_whatever_can_be_over_is_an_alarm() -> None:
    assert set(OVER.values()) <= set(ALARMS)
    assert not set(OVER) & set(ALARMS)


def test_every_alarm_has_words() -> None:
    assert all(name.startswith("backup.") and what for name, (_, what) in ALARMS.items())
