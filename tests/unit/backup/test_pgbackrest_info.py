"""What pgBackRest tells, read: what it tells today, what it may tell tomorrow, and nonsense."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from holdfast.adapters.pgbackrest.command import translated
from holdfast.adapters.pgbackrest.engine import begins_with, recovery_options
from holdfast.adapters.pgbackrest.info import kept_backups, stanza_of, state_trouble, wal_of, windows_of
from holdfast.backup.errors import BackupError, Damaged, NotRecoverable, RegionAway, RegionRefused, SourceAway
from holdfast.backup.lsn import Lsn, Segment, Timeline
from holdfast.backup.model import BackupKind, Target, TargetKind

FULL: dict[str, Any] = {
    "archive": {"start": "000000010000000000000002", "stop": "000000010000000000000002"},
    "backrest": {"format": 5, "version": "2.60.0"},
    "database": {"id": 1, "repo-key": 1},
    "error": False,
    "info": {"delta": 1000, "repository": {"delta": 100, "delta-map": 9}, "size": 1000},
    "label": "20261122-100000F",
    "lsn": {"start": "0/2000028", "stop": "0/2000100"},
    "prior": None,
    "reference": None,
    "timestamp": {"start": 1_795_341_600, "stop": 1_795_341_610},
    "type": "full",
}
INCREMENTAL = {
    **FULL,
    "label": "20261122-100000F_20261122-110000I",
    "archive": {"start": "000000010000000000000004", "stop": "000000010000000000000004"},
    "lsn": {"start": "0/4000028", "stop": "0/4000100"},
    "reference": ["20261122-100000F"],
    "timestamp": {"start": 1_795_345_200, "stop": 1_795_345_205},
    "type": "incr",
    "of-tomorrow": {"a": 1},
}


def told(*backups: dict[str, Any], **changed: Any) -> bytes:
    stanza = {
        "archive": [
            {
                "database": {"id": 1, "repo-key": 1},
                "id": "15-1",
                "min": "000000010000000000000001",
                "max": "000000010000000000000007",
            }
        ],
        "backup": list(backups),
        "cipher": "none",
        "db": [{"id": 1, "repo-key": 1, "system-id": 7, "version": "15"}],
        "name": "orders",
        "status": {"code": 0, "lock": {"backup": {"held": False}}, "message": "ok"},
        **changed,
    }
    return json.dumps([{**stanza, "name": "another"}, stanza]).encode()


def test_a_listing_in_our_words_whatever_a_newer_version_adds() -> None:
    stanza = stanza_of(told(INCREMENTAL, FULL), "orders")
    full, incremental = kept_backups(stanza, "db")
    assert (full.id, full.kind, full.stored_bytes, full.server_version) == (
        "20261122-100000F",
        BackupKind.FULL,
        100,
        150000,
    )
    assert full.finished_at == datetime.fromtimestamp(1_795_341_611, UTC)
    assert incremental.depends_on == (full.id,)
    (window,) = windows_of(stanza, [full, incremental])
    assert (window.start, window.end) == (full.finished_at, incremental.finished_at)
    assert window.end_lsn == Lsn(0x8000000)
    assert window.backups == (full.id, incremental.id)
    assert state_trouble(stanza) == ""


def test_an_older_version_that_tells_less() -> None:
    bare = {name: FULL[name] for name in ("label", "type", "timestamp", "database")} | {"info": {"size": 5}}
    stanza = stanza_of(told(bare, archive=[]), "orders")
    (kept,) = kept_backups(stanza, "db")
    assert (kept.start_lsn, kept.timeline, kept.stored_bytes) == (None, None, None)
    assert windows_of(stanza, [kept]) == []


def test_a_backup_without_its_wal_is_no_window() -> None:
    archive = [{"database": {"id": 1, "repo-key": 1}, "min": None, "max": "000000010000000000000001"}]
    stanza = stanza_of(told(FULL, archive=archive), "orders")
    assert windows_of(stanza, kept_backups(stanza, "db")) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"ERROR",
        b"\xff\xfe",
        b"{}",
        b'[{"name": "orders"}]',
        told({**FULL, "timestamp": {"start": "now", "stop": 1}}),
        told({**FULL, "info": {"size": None}}),
    ],
)
def test_nonsense_is_damaged_and_never_another_error(content: bytes) -> None:
    with pytest.raises(Damaged):
        stanza_of(content, "orders")


@pytest.mark.parametrize(
    "changed",
    [
        {"lsn": {"start": "x", "stop": "y"}},
        {"timestamp": {"start": 1, "stop": 10**30 // 10**13}},
        {"archive": {"start": "../../etc", "stop": None}},
        {"type": "strange"},
    ],
)
def test_a_backup_that_makes_no_sense_is_damaged(changed: dict[str, Any]) -> None:
    with pytest.raises(Damaged):
        kept_backups(stanza_of(told({**FULL, **changed}), "orders"), "db")


def test_a_stanza_that_is_not_there_and_one_that_is_not_well() -> None:
    with pytest.raises(NotRecoverable):
        stanza_of(told(), "nobody")
    with pytest.raises(NotRecoverable):
        stanza_of(told(status={"code": 1, "message": "missing stanza path"}), "orders")
    assert state_trouble(stanza_of(told(status={"code": 2, "message": "no valid backups"}), "orders")) == ""
    unwell = stanza_of(told(status={"code": 4, "message": "different across repos"}), "orders")
    assert state_trouble(unwell) == "different across repos"


def test_the_newest_backup_that_reaches_a_target_is_chosen_and_a_damaged_one_never() -> None:
    full, incremental = kept_backups(stanza_of(told(FULL, INCREMENTAL), "orders"), "db")

    def chosen(target: Target) -> str:
        return begins_with([full, incremental], target).id

    assert chosen(Target()) == incremental.id
    assert chosen(Target(TargetKind.TIME, time=incremental.finished_at)) == incremental.id
    assert chosen(Target(TargetKind.TIME, time=incremental.started_at)) == full.id
    assert chosen(Target(TargetKind.LSN, lsn=Lsn(0x4000100))) == incremental.id
    assert chosen(Target(TargetKind.LSN, lsn=Lsn(0x40000FF))) == full.id
    assert chosen(Target(TargetKind.LABEL, label=full.id)) == full.id
    for beyond in (
        Target(TargetKind.TIME, time=full.started_at),
        Target(TargetKind.LSN, lsn=Lsn(1)),
        Target(TargetKind.LABEL, label="none"),
    ):
        with pytest.raises(NotRecoverable):
            chosen(beyond)
    (damaged,) = kept_backups(stanza_of(told({**FULL, "error": True}), "orders"), "db")
    assert damaged.trouble
    with pytest.raises(NotRecoverable):
        begins_with([damaged], Target())


def test_the_options_of_each_target() -> None:
    moment = datetime(2026, 11, 22, 20, 15, 0, 500, UTC)
    assert recovery_options(Target(TargetKind.TIME, time=moment, inclusive=False)) == [
        "--type=time",
        "--target=2026-11-22 20:15:00.000500+00",
        "--target-action=promote",
        "--target-exclusive",
    ]
    assert (
        recovery_options(Target(TargetKind.XID, xid=771, timeline=Timeline(3)))[-1] == "--target-timeline=3"
    )
    assert recovery_options(Target())[0] == "--type=default"
    with pytest.raises(NotRecoverable):
        recovery_options(Target(TargetKind.TIME))


@pytest.mark.parametrize(
    ("said", "status", "kind"),
    [
        ("ERROR: [056]: unable to find primary cluster - cannot proceed", 56, SourceAway),
        ("P00  ERROR: [050]: unable to acquire lock on file", 50, RegionAway),
        ("ERROR: [105]: HTTP request failed with 403", 105, RegionRefused),
        ("", 137, BackupError),
        ("something else\nlast word", 1, BackupError),
    ],
)
def test_what_went_wrong_in_our_words(said: str, status: int, kind: type[BackupError]) -> None:
    error = translated("backup", status, said)
    assert type(error) is kind
    assert str(error).startswith("pgbackrest backup: ")
    assert error.hint
    assert len(str(translated("backup", 56, "ERROR: [056]: " + "x" * 100_000))) < 600


def test_the_wal_that_a_backup_needs_is_told_by_its_own_names_whatever_its_segments_size() -> None:
    stanza = stanza_of(told(FULL), "orders")
    (full,) = kept_backups(stanza, "db")
    assert wal_of(stanza, full) == (Segment(Timeline(1), 2), Segment(Timeline(1), 7))
    large = {**FULL, "lsn": {"start": "0/8000028", "stop": "0/8000100"}}
    stanza = stanza_of(told(large), "orders")
    (full,) = kept_backups(stanza, "db")
    size = 64 * 1024 * 1024
    assert wal_of(stanza, full) == (Segment(Timeline(1), 2, size), Segment(Timeline(1), 7, size))


@pytest.mark.parametrize(
    "odd",
    [
        {"lsn": {"start": "7/2000028", "stop": "7/2000100"}},
        {"archive": {"start": None, "stop": None}},
        {"lsn": {"start": None, "stop": None}},
    ],
)
def test_a_place_that_does_not_fit_its_wal_is_refused(odd: dict[str, Any]) -> None:
    stanza = stanza_of(told({**FULL, **odd}), "orders")
    (full,) = kept_backups(stanza, "db")
    with pytest.raises((Damaged, NotRecoverable)):
        wal_of(stanza, full)
