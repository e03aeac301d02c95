"""What a restore decides before it begins: the moment, the place, the pieces of WAL, the settings."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.held import backup, piece, wal

from holdfast.adapters.postgres.restored.recovery import at_least, cleaned, for_its_operator, grown
from holdfast.backup.errors import NotFit, NotRecoverable
from holdfast.backup.lsn import Lsn, Timeline
from holdfast.backup.model import Archive, Member, RestorePlan, Target, TargetKind
from holdfast.backup.restore.chosen import Chosen, Share
from holdfast.backup.restore.journal import Journal, Marker, Step, read_marker, write_marker
from holdfast.backup.restore.preflight import Build, Place, Way, inspect
from holdfast.backup.restore.recovery import RecoverySettings, target_settings
from holdfast.backup.restore.targets import target_named
from holdfast.backup.restore.unpacking import joined

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
FULL = backup(0)
PLAN = RestorePlan("shop", "eu", Target(), (FULL,), tuple(wal(0, 2)), (), Timeline(1), None)
EMPTY = Place(Path("/srv/copy"), True, False, None, in_use=False, free_bytes=10**12)
BUILD = Build(Path("/usr/bin"), 18)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("latest", Target()),
        ("2026-11-22T13:00:00+01:00", Target(TargetKind.TIME, time=NOON)),
        ("2026-11-22 12:00:00Z", Target(TargetKind.TIME, time=NOON)),
        ("0/16B3748", Target(TargetKind.LSN, lsn=Lsn(0x16B3748))),
        ("xid:77", Target(TargetKind.XID, xid=77)),
        ("before the move", Target(TargetKind.LABEL, label="before the move")),
        ("label:latest", Target(TargetKind.LABEL, label="latest")),
        (FULL.id, Target(TargetKind.LABEL, label=FULL.id)),
    ],
)
def test_a_moment_is_read_as_it_is_written(text: str, target: Target) -> None:
    assert target_named(text) == target


@pytest.mark.parametrize(
    "text", ["2026-11-22", "2026-11-22T12:00", "xid:0", "xid:4294967296", "xid:x", "lsn:1"]
)
def test_what_may_mean_another_moment_is_refused(text: str) -> None:
    with pytest.raises(NotRecoverable, match="names no moment"):
        target_named(text)


def test_a_transaction_is_aimed_at_even_when_a_time_says_which_backup() -> None:
    target = Target(TargetKind.XID, xid=77, time=NOON, inclusive=False)
    assert target_settings(target) == {"recovery_target_xid": "77", "recovery_target_inclusive": "off"}
    exact = Target(TargetKind.TIME, time=NOON.astimezone() + timedelta(microseconds=5))
    assert target_settings(exact)["recovery_target_time"] == "2026-11-22 12:00:00.000005+00"


def _problems(
    plan: RestorePlan = PLAN, place: Place = EMPTY, way: Way | None = None, build: Build = BUILD
) -> str:
    found = inspect(plan, (), place, build, way or Way())
    if found.problems:
        with pytest.raises(NotFit):
            found.insist()
    else:
        found.insist()
    return "; ".join(text for text, _ in found.problems)


def test_an_empty_folder_with_room_is_fit() -> None:
    assert _problems() == ""


def test_each_thing_that_stands_in_the_way_is_said() -> None:
    marker = Marker("shop", (FULL.id,), 7)
    ours = replace(EMPTY, is_empty=False, marker=marker)
    assert "is not empty" in _problems(place=replace(EMPTY, is_empty=False, is_data_directory=True))
    assert _problems(place=replace(EMPTY, is_empty=False, is_data_directory=True), way=Way(delta=True)) == ""
    assert "no data directory" in _problems(place=replace(EMPTY, is_empty=False), way=Way(delta=True))
    assert "holds a restore of shop already" in _problems(place=ours)
    assert _problems(place=ours, way=Way(resume=True)) == ""
    other = replace(ours, marker=replace(marker, chain=("another",)))
    assert "was begun from backup another" in _problems(place=other, way=Way(resume=True))
    ready = replace(ours, marker=replace(marker, step=Step.READY))
    assert "is restored already" in _problems(place=ready, way=Way(resume=True))
    assert "a server runs on" in _problems(place=replace(ours, in_use=True), way=Way(delta=True))
    assert "free, and" in _problems(place=replace(EMPTY, free_bytes=1000))
    assert _problems(place=replace(ours, free_bytes=1000, present_bytes=10**12), way=Way(resume=True)) == ""
    assert "PostgreSQL 17" in _problems(build=replace(BUILD, major=17))
    assert "no tablespace 5" in _problems(way=Way(tablespaces={"5": Path("/srv")}))
    spread = replace(FULL, archives=(*FULL.archives, Archive("5.tar", 5, "/old", 0, ())))
    assert "no absolute path" in _problems(
        replace(PLAN, chain=(spread,)), way=Way(tablespaces={"5": Path("srv")})
    )


def test_some_of_the_files_need_room_for_themselves_and_wal_alone() -> None:
    chosen = Chosen(frozenset({1, 5}))
    some = Way(resume=True, share=Share(chosen, 10, 1000, 4096, frozenset()))
    wal_bytes = sum(size for size in {each.segment: each.segment.size for each in PLAN.wal}.values())
    assert inspect(PLAN, (), EMPTY, BUILD, some).needed_bytes == 4096 + wal_bytes
    assert inspect(PLAN, (), EMPTY, BUILD, Way()).needed_bytes == FULL.raw_bytes + wal_bytes

    marker = Marker("shop", (FULL.id,), 7, part=chosen.name)
    begun = replace(EMPTY, is_empty=False, marker=marker)
    assert _problems(place=begun, way=some) == ""
    assert "was begun with other files" in _problems(place=begun, way=Way(resume=True))
    whole = replace(begun, marker=replace(marker, part=""))
    assert "was begun with other files" in _problems(place=whole, way=some)


def test_what_is_to_be_known_is_noted() -> None:
    members = [Member(path, 0, 0, 0, 0o600) for path in ("base/5/77_init", "base/5/77", "base/5/x_init")]
    spread = replace(FULL, archives=(*FULL.archives, Archive("5.tar", 5, "/old", 0, ())))
    notes = inspect(replace(PLAN, chain=(spread,)), members, EMPTY, BUILD, Way()).notes
    assert [each.split()[0] for each in notes] == ["1", "tablespace"]


def test_the_fewest_pieces_that_hold_a_segment_are_fetched() -> None:
    parts = [piece(0, 0, 0.25), piece(0, 0, 0.5), piece(0, 0.25, 0.75), piece(0, 0.5, 0.75), piece(0, 0.9, 1)]
    assert [(each.start, each.end) for each in joined(parts)] == [
        (parts[1].start, parts[1].end),
        (parts[2].start, parts[2].end),
    ]
    assert joined([*parts, piece(0)]) == [piece(0)]
    assert joined([]) == []


def test_settings_that_tie_a_copy_to_its_server_are_left_out() -> None:
    auto = (
        "# kept\nwork_mem = '5MB'\nPRIMARY_CONNINFO = 'host=db'\nrecovery_target_time='x'\n"
        "archive_command 'cp'\nrestore_command = 'x'\n"
    )
    assert cleaned(auto) == "# kept\nwork_mem = '5MB'\n"
    text = for_its_operator(auto, 14, RecoverySettings({"recovery_target_xid": "7"}), in_place=True)
    assert "recovery_target_xid = '7'" in text
    assert "recovery_target_action = 'promote'" in text
    assert "archive_library" not in text
    assert "archive_mode = 'off'" in text
    assert "recovery_target" not in for_its_operator(auto, 18, None, in_place=False)


def test_a_standby_gets_as_much_room_as_the_server_had() -> None:
    control = "wal_level setting:   replica\nmax_connections setting:   250\nmax_prepared_xacts setting: 3\n"
    assert at_least(control) == {"max_connections": "250", "max_prepared_transactions": "3"}


def test_only_what_wal_asks_more_of_is_grown() -> None:
    has = {"max_connections": "100", "max_wal_senders": "10", "max_worker_processes": "8"}
    needed = {"max_connections": "99", "max_wal_senders": "10", "max_worker_processes": "9"}
    assert grown(has, needed) == {"max_worker_processes": "9"}
    kept = for_its_operator("", 18, RecoverySettings(), in_place=False, room={"max_worker_processes": "9"})
    assert "max_worker_processes = '9'" in kept
    assert "max_worker" not in for_its_operator(
        "", 18, None, in_place=False, room={"max_worker_processes": "9"}
    )


def test_a_journal_is_read_up_to_the_line_that_was_cut_off(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.read() == frozenset()
    opened = journal.open()
    opened.add("one")
    opened.add("two")
    opened.close()
    with (tmp_path / "holdfast-restore.journal").open("a") as file:
        file.write("thr")
    assert journal.read() == {"one", "two"}
    journal.clear()
    journal.clear()
    assert journal.read() == frozenset()


def test_a_marker_is_found_again_and_a_broken_one_is_not_guessed_at(tmp_path: Path) -> None:
    marker = Marker("shop", ("a", "b"), 7, Step.WRITTEN, {"5": "/srv"}, "boot")
    assert read_marker(tmp_path) is None
    write_marker(tmp_path, marker)
    assert read_marker(tmp_path) == marker
    (tmp_path / "holdfast-restore.json").write_text("{")
    with pytest.raises(NotFit, match="cannot be read"):
        read_marker(tmp_path)
