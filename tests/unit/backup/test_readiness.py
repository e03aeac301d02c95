"""What a protected server tells of itself, and what `holdfast check` makes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup.copies.trying import PROBES, try_all, try_reading
from holdfast.backup.errors import RegionAway, RegionRefused
from holdfast.backup.model import Mode
from holdfast.backup.take.readiness import Asked, Readiness, SlotState, shortcomings, summary

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SETTINGS = {
    "server_version": "18.4 (Debian)",
    "wal_level": "replica",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    "archive_mode": "off",
    "archive_command": "(disabled)",
    "synchronous_standby_names": "",
    "summarize_wal": "on",
}
READY = Readiness(180_004, SETTINGS, clock=NOON, slots_used=0)
STREAM = Asked(Mode.STREAM, "holdfast_main")


def _told(ready: Readiness, asked: Asked = STREAM) -> list[tuple[str, bool]]:
    return [(each.text, each.stops) for each in shortcomings(ready, asked, NOON) if each.hint]


def _with(settings: Mapping[str, str]) -> Readiness:
    return replace(READY, settings={**SETTINGS, **settings})


def test_a_server_that_is_ready_has_no_shortcomings() -> None:
    assert _told(READY) == []
    assert summary(READY, STREAM) == "PostgreSQL 18.4, wal_level replica, 0 of 10 slots used"
    used = replace(READY, slot=SlotState(is_active=True, is_lost=False), slots_used=10)
    assert _told(used) == [], "its own slot is one of those"
    assert summary(used, STREAM).endswith("slot holdfast_main is there, in use")
    old = replace(READY, version=150_018, settings={**SETTINGS, "server_version": "15.18"})
    assert "full backups only" in summary(old, STREAM)
    assert "unknown" in summary(replace(READY, slots_used=None), STREAM)


@pytest.mark.parametrize(
    ("ready", "asked", "words", "stops"),
    [
        (replace(READY, version=130_000), STREAM, "PostgreSQL 13 is too old", True),
        (_with({"wal_level": "minimal"}), STREAM, "wal_level is minimal", True),
        (_with({"max_wal_senders": "2"}), STREAM, "max_wal_senders is 2", False),
        (_with({"summarize_wal": "off"}), STREAM, "summarize_wal is off", False),
        (replace(READY, slots_used=10), STREAM, "no replication slot is free: 10 of 10", True),
        (
            replace(READY, slot=SlotState(is_active=False, is_lost=True)),
            STREAM,
            "the slot holdfast_main has lost its WAL",
            False,
        ),
        (READY, Asked(Mode.SYNC, "x"), "no commit waits", False),
        (READY, Asked(Mode.ARCHIVE, "x"), "archive_mode is off", True),
        (_with({"archive_mode": "on"}), Asked(Mode.ARCHIVE, "x"), "archive_command is empty", True),
        (replace(READY, sql_refused="no entry in pg_hba.conf"), STREAM, "no heartbeats: no entry", False),
        (replace(READY, clock=NOON + timedelta(hours=1)), STREAM, "differs from this one's by 3600 s", False),
    ],
)
def test_each_shortcoming_is_told_once(ready: Readiness, asked: Asked, words: str, stops: bool) -> None:
    ((text, stopping),) = _told(ready, asked)
    assert words in text
    assert stopping is stops


def test_what_the_estate_does_not_ask_for_is_no_shortcoming() -> None:
    assert _told(replace(READY, slots_used=10), Asked(Mode.ARCHIVE, "x"))[0][0].startswith("the server hands")
    names = _with({"synchronous_standby_names": "ANY 1 (s1, holdfast)"})
    assert _told(names, Asked(Mode.SYNC, "x")) == []
    assert _told(replace(READY, sql_refused="x"), Asked(Mode.STREAM, "x", heartbeats=False)) == []
    assert _told(replace(READY, version=160_001, settings=SETTINGS | {"summarize_wal": "off"})) == []


def test_postgresql_14_must_let_the_login_run_sql() -> None:
    old = replace(READY, version=140_020, sql_refused="no entry in pg_hba.conf", slots_used=None)
    assert ("PostgreSQL 14 tells of slots by SQL alone: no entry in pg_hba.conf", True) in _told(old)


# --- stores


def _probes(region: MemoryRegion) -> list[str]:
    return [each.key for each in region.listed(PROBES)]


def test_a_store_that_does_everything_is_left_as_it_was() -> None:
    region = MemoryRegion("eu")
    region.put("db/a", b"x")
    tried = try_all(region, "1")
    assert (tried.ok, tried.warning, tried.text) == (True, False, "lists, puts, reads and deletes")
    assert [each.key for each in region.listed("")] == ["db/a"]


class Overwriting(MemoryRegion):
    """A store that takes no notice of If-None-Match."""

    def put(self, key: str, content: bytes | memoryview) -> None:
        self.replace(key, content)


class Keeping(MemoryRegion):
    """A store whose login may not delete."""

    def delete(self, keys: Sequence[str]) -> None:
        raise RegionRefused(f"eu: {keys[0]}: access denied", hint="look at the rights")


class Forgetting(MemoryRegion):
    """A store that takes what it then does not have."""

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        raise FileNotFoundError(key, start, end)


class Away(MemoryRegion):
    """A store that does not answer."""

    def put(self, key: str, content: bytes | memoryview) -> None:
        raise RegionAway(f"eu: {key}: nobody there for {len(content)} bytes", hint="is it up?")


def test_what_a_store_does_not_do_is_told() -> None:
    overwriting, keeping = Overwriting("eu"), Keeping("eu")
    told = try_all(overwriting, "1")
    assert not told.ok
    assert "can be overwritten" in told.text
    assert _probes(overwriting) == []
    told = try_all(keeping, "1")
    assert (told.ok, told.warning) == (True, True)
    assert "nothing expires" in told.text
    assert _probes(keeping) == [f"{PROBES}1"]
    assert "is not there" in try_all(Forgetting("eu"), "1").text
    away = try_all(Away("eu"), "1")
    assert (away.ok, away.hint) == (False, "is it up?")
    assert "nobody there" in away.text


def test_a_locked_store_is_only_read() -> None:
    region = MemoryRegion("eu")
    region.put("db/a", b"")
    tried = try_reading(region, "it is locked")
    assert tried.ok
    assert "writing was not tried: it is locked" in tried.text
    assert try_reading(Forgetting("eu"), "it is locked").ok
