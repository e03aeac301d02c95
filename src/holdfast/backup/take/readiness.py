"""Whether a protected server lets Holdfast do its work, judged by what it tells of itself. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from holdfast.backup.model import Mode
from holdfast.backup.restore.needs import Needs

OLDEST = 140_000
INCREMENTS_SINCE = 170_000
SLOTS_TOLD_SINCE = 150_000
SENDERS = 3
"""The WAL, a backup, and somebody who asks, at the same time."""
CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class SlotState:
    """The slot that WAL is received by. `is_lost`: the server has thrown away what it was to keep."""

    is_active: bool
    is_lost: bool


@dataclass(frozen=True, slots=True)
class Readiness:
    """What a server told a login that has REPLICATION. What it did not tell is None, or not in `settings`."""

    version: int
    """As `server_version_num`."""
    settings: Mapping[str, str]
    sql_refused: str = ""
    """Why the login may run no SQL in its `dbname`; empty when it may. SQL alone tells what is below."""
    clock: datetime | None = None
    slots_used: int | None = None
    senders_used: int | None = None
    slot: SlotState | None = None
    needs: Needs = field(default_factory=Needs)
    """As far as one database tells."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the estate wants of it."""

    mode: Mode
    slot: str
    heartbeats: bool = True


@dataclass(frozen=True, slots=True)
class Shortcoming:
    """Something to be done. `stops`: without it nothing is kept, or not as the estate says."""

    text: str
    hint: str
    stops: bool = True


def shortcomings(ready: Readiness, asked: Asked, now: datetime) -> Iterator[Shortcoming]:
    """What is in the way, and what merely is not good."""
    if ready.version < OLDEST:
        hint = "engine: pgbackrest, or logical, serves there"
        yield Shortcoming(f"PostgreSQL {ready.version // 10_000} is too old", hint)
        return
    settings = ready.settings
    if settings.get("wal_level") == "minimal":
        hint = "ALTER SYSTEM SET wal_level = replica, and start the server anew"
        yield Shortcoming("wal_level is minimal: nothing can be rolled forward", hint)
    senders = settings.get("max_wal_senders", "")
    if senders.isdecimal() and int(senders) < SENDERS:
        hint = f"WAL, a backup and a question at once take {SENDERS}: ALTER SYSTEM SET max_wal_senders = 10"
        yield Shortcoming(f"max_wal_senders is {senders}", hint, stops=False)
    if asked.mode is Mode.ARCHIVE:
        yield from _archiving(settings)
    else:
        yield from _slots(ready, asked)
    if asked.mode is Mode.SYNC and not _names_us(settings.get("synchronous_standby_names", "")):
        hint = "ALTER SYSTEM SET synchronous_standby_names = 'holdfast', when commits are to wait"
        yield Shortcoming(
            "no commit waits: synchronous_standby_names does not name holdfast", hint, stops=False
        )
    if ready.version >= INCREMENTS_SINCE and settings.get("summarize_wal") == "off":
        hint = "ALTER SYSTEM SET summarize_wal = on; SELECT pg_reload_conf()"
        yield Shortcoming("every backup is a full one: summarize_wal is off", hint, stops=False)
    if ready.sql_refused and asked.heartbeats and asked.mode is not Mode.ARCHIVE:
        hint = "let the login into connection.dbname in pg_hba.conf, or heartbeat: 0s"
        yield Shortcoming(f"no heartbeats: {ready.sql_refused}", hint, stops=False)
    if ready.clock is not None and abs(ready.clock - now) > CLOCK_TOLERANCE:
        ahead = round((ready.clock - now).total_seconds())
        yield Shortcoming(f"its clock differs from this one's by {ahead} s", "set both by NTP", stops=False)


def summary(ready: Readiness, asked: Asked) -> str:
    """In a few words what it is, for a server that is in nobody's way."""
    version = ready.settings.get("server_version", str(ready.version // 10_000)).split(" ")[0]
    told = [f"PostgreSQL {version}", f"wal_level {ready.settings.get('wal_level', 'unknown')}"]
    if asked.mode is not Mode.ARCHIVE:
        told.append(_slot_told(ready, asked))
    if ready.version < INCREMENTS_SINCE:
        told.append("full backups only: increments need PostgreSQL 17")
    return ", ".join(told)


def _slot_told(ready: Readiness, asked: Asked) -> str:
    if ready.slot is not None:
        return f"slot {asked.slot} is there{', in use' if ready.slot.is_active else ''}"
    if ready.slots_used is None:
        return "whether a slot is free is unknown"
    return f"{ready.slots_used} of {ready.settings.get('max_replication_slots', '?')} slots used"


def _slots(ready: Readiness, asked: Asked) -> Iterator[Shortcoming]:
    if ready.sql_refused and ready.version < SLOTS_TOLD_SINCE:
        hint = "let the login into connection.dbname in pg_hba.conf"
        yield Shortcoming(f"PostgreSQL 14 tells of slots by SQL alone: {ready.sql_refused}", hint)
    if ready.slot is not None:
        if ready.slot.is_lost:
            hint = "WAL was missed; the receiver begins anew, and a backup is taken then"
            yield Shortcoming(f"the slot {asked.slot} has lost its WAL", hint, stops=False)
        return
    most = ready.settings.get("max_replication_slots", "")
    if ready.slots_used is not None and most.isdecimal() and ready.slots_used >= int(most):
        hint = "drop one that nobody needs, or raise max_replication_slots"
        yield Shortcoming(f"no replication slot is free: {ready.slots_used} of {most} are used", hint)


def _archiving(settings: Mapping[str, str]) -> Iterator[Shortcoming]:
    hint = "archive_mode = on, and archive_command = 'holdfast wal push ...', as in docs/backup.md"
    if settings.get("archive_mode") == "off":
        yield Shortcoming("the server hands nothing over: archive_mode is off", hint)
    elif settings.get("archive_command") in ("", "(disabled)"):
        yield Shortcoming("the server hands nothing over: archive_command is empty", hint)


def _names_us(names: str) -> bool:
    words = names.replace(",", " ").replace("(", " ").replace(")", " ").replace('"', " ").split()
    return "holdfast" in words or "*" in words
