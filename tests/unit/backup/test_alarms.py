"""What operators are told at once of a database's keeping, and how often."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.availability.alerting.model import Message, Outcome, Severity
from holdfast.availability.conditions import validate
from holdfast.bootstrap.backup.alarms import AGAIN_AFTER_S, ALARMS, Alarms, alarm_of
from holdfast.estate.loader import parse_estate
from holdfast.kernel.journal import JournalEntry

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


async def told(*heard: tuple[JournalEntry, float]) -> list[tuple[str, Message]]:
    channels = Channels()
    alarms = Alarms(ESTATE, channels)
    for entry, now in heard:
        alarms.hear(entry, now)
    running = asyncio.create_task(alarms.run())
    for _ in range(20):
        await asyncio.sleep(0)
    running.cancel()
    return channels.got


async def test_every_channel_is_told_once_an_hour() -> None:
    failed = event("backup.region_failed", region="west", error="away")
    got = await told((failed, 0.0), (failed, AGAIN_AFTER_S - 1), (failed, AGAIN_AFTER_S))
    assert sorted(channel for channel, _ in got) == ["night", "night", "ops", "ops"]


async def test_another_region_is_another_alarm() -> None:
    got = await told(*((event("backup.region_failed", region=each), 0.0) for each in ("west", "north")))
    assert len(got) == 4


def test_every_alarm_has_words() -> None:
    assert all(name.startswith("backup.") and what for name, (_, what) in ALARMS.items())
