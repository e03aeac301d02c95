"""What can be dumped and loaded by which versions, which dump a target means, and which ones expire."""

from datetime import UTC, datetime, timedelta

import pytest

from holdfast.backup.errors import Damaged, NotRecoverable
from holdfast.backup.logical.dumps import (
    Contents,
    Server,
    Snapshot,
    decoded_contents,
    dump_findings,
    dump_for,
    encoded_contents,
    expiring_dumps,
    load_findings,
)
from holdfast.backup.lsn import Lsn, Timeline
from holdfast.backup.model import Backup, BackupKind, StoredObject, Target, TargetKind
from holdfast.estate.backup import Keep

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOTHING = StoredObject("", 0, 0, "")


def server(major: int, *extensions: str) -> Server:
    return Server(major * 10000, 7, NOW, ("postgres",), frozenset({"plpgsql", *extensions}))


def contents(program_major: int, *extensions: str) -> Contents:
    versions = dict.fromkeys(("plpgsql", *extensions), "1.0")
    return Contents(program_major, (Snapshot("shop", 16384, "UTF8", NOW, Lsn(5), versions),))


def backup(at: datetime, letters: str = "aaaaaa", label: str = "") -> Backup:
    return Backup(
        id=f"{at:%Y%m%dT%H%M%SZ}-{letters}",
        database="shop",
        kind=BackupKind.FULL,
        parent="",
        label=label,
        system_id=7,
        server_version=180000,
        timeline=Timeline(1),
        start_lsn=Lsn(1),
        stop_lsn=Lsn(2),
        started_at=at,
        finished_at=at + timedelta(minutes=1),
        archives=(),
        manifest=NOTHING,
        index=NOTHING,
    )


@pytest.mark.parametrize(("major", "program", "can"), [(15, 15, True), (15, 18, True), (18, 15, False)])
def test_a_server_is_dumped_by_programs_that_are_not_older(major: int, program: int, *, can: bool) -> None:
    assert (dump_findings(server(major), program) == []) is can


def test_a_server_of_long_ago_is_refused() -> None:
    assert dump_findings(Server(90100, 0, NOW, ()), 18)


@pytest.mark.parametrize(
    ("dumped_by", "source", "program", "into", "can"),
    [
        (15, 15, 15, 15, True),
        (15, 15, 18, 18, True),
        (15, 15, 15, 18, True),
        (18, 15, 15, 15, False),  # the program cannot read it
        (18, 15, 18, 15, False),  # the program sets what the server does not know
        (18, 18, 18, 17, False),  # the server is older than the source
    ],
)
def test_what_is_loaded_where_by_what(
    dumped_by: int, source: int, program: int, into: int, *, can: bool
) -> None:
    found = load_findings(contents(dumped_by), source * 10000, program, server(into))
    assert (found == []) is can
    assert all(each.hint for each in found)


def test_extensions_that_are_not_there_are_named() -> None:
    (finding,) = load_findings(contents(18, "postgis", "hstore"), 180000, 18, server(18, "hstore"))
    assert "postgis" in finding.text
    assert "hstore" not in finding.text


def test_contents_read_again_and_nonsense_refused() -> None:
    assert decoded_contents(encoded_contents(contents(18, "hstore")), "key") == contents(18, "hstore")
    for nonsense in (b"", b"[]", b'{"program_major": "18", "snapshots": []}'):
        with pytest.raises(Damaged, match="key"):
            decoded_contents(nonsense, "key")


def test_a_target_names_a_dump_and_never_a_moment_between_two() -> None:
    first, second = backup(NOW - timedelta(days=2), label="monday"), backup(NOW - timedelta(days=1))
    assert dump_for([second, first], Target()) is second
    assert dump_for([first, second], Target(TargetKind.LABEL, label="monday")) is first
    assert dump_for([first, second], Target(TargetKind.LABEL, label=second.id)) is second
    with pytest.raises(NotRecoverable, match=f"before it is {first.id}"):
        dump_for([first, second], Target(TargetKind.TIME, time=NOW - timedelta(hours=30)))
    for target in (
        Target(TargetKind.LSN, lsn=Lsn(1)),
        Target(TargetKind.LABEL, label="none"),
        Target(TargetKind.TIME),
    ):
        with pytest.raises(NotRecoverable):
            dump_for([first, second], target)
    with pytest.raises(NotRecoverable):
        dump_for([], Target())


def test_the_window_the_one_before_it_and_the_newest_of_each_period_are_kept() -> None:
    daily = [backup(NOW - timedelta(days=days)) for days in range(400)]
    keep = Keep(window=timedelta(days=14), daily=0, weekly=8, monthly=12, minimum=2)
    expired = {each.id for each in expiring_dumps(daily, keep, NOW)}
    left = [each for each in daily if each.id not in expired]
    assert set(daily[:16]) <= set(left)
    assert len({each.finished_at.isocalendar()[:2] for each in left}) >= 8
    assert len({f"{each.finished_at:%Y-%m}" for each in left}) >= 12
    assert len(left) < 40
    assert expiring_dumps(left, keep, NOW) == ()


def test_never_fewer_than_the_minimum() -> None:
    old = [backup(NOW - timedelta(days=1000 + days)) for days in range(5)]
    keep = Keep(window=timedelta(days=1), daily=0, weekly=0, monthly=0, minimum=3)
    assert expiring_dumps(old, keep, NOW) == (old[4], old[3])
    assert expiring_dumps([], keep, NOW) == ()


def test_a_clock_that_runs_ahead_lets_no_dump_expire_nor_do_dumps_from_the_future() -> None:
    hourly = [backup(NOW - timedelta(hours=hours)) for hours in range(24 * 20)]
    keep = Keep(window=timedelta(days=14), daily=2, weekly=0, monthly=0, minimum=2)
    soon = expiring_dumps(hourly, keep, NOW + timedelta(hours=1))
    assert soon
    assert expiring_dumps(hourly, keep, NOW + timedelta(days=4000)) == soon
    future = [backup(NOW + timedelta(days=3000 + days)) for days in range(5)]
    assert expiring_dumps([*hourly, *future], keep, NOW + timedelta(hours=1)) == soon
