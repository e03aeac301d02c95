"""Whether a warm copy serves for a plan, and what its folder says after whatever happened to it."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests import held

from holdfast.backup.errors import Damaged, NotFit
from holdfast.backup.lsn import Timeline
from holdfast.backup.model import Holdings, Target, TargetKind
from holdfast.backup.recoverable.chain import plan_for
from holdfast.backup.verify.warm import Afresh, Roll, WarmBase, WarmState, footing

BOOT = "this boot"
FULL = held.backup(0)
STATE = WarmState(
    held.DB,
    7,
    180001,
    held.SIZE,
    (FULL.id,),
    Timeline(1),
    held.lsn(5.5),
    held.lsn(5.25),
    held.at(5.4),
    held.at(0),
    held.at(6),
    is_clean=True,
    boot=BOOT,
)


def way(state: WarmState | None, holdings: Holdings, target: Target | None = None) -> Roll | Afresh:
    return footing(state, holdings, plan_for(holdings, target or Target()), BOOT)


def refusal(state: WarmState | None, holdings: Holdings, target: Target | None = None) -> str:
    told = way(state, holdings, target)
    assert isinstance(told, Afresh)
    return told.why


TEN_HOURS = held.holdings([FULL], held.wal(0, 10))


def test_it_is_rolled_forward_by_the_wal_behind_its_restart_point_alone() -> None:
    told = way(STATE, TEN_HOURS)
    assert isinstance(told, Roll)
    assert [each.segment.number for each in told.plan.wal] == [6, 7, 8, 9, 10]


def test_a_newer_backup_is_not_needed_while_its_wal_is_there() -> None:
    told = way(STATE, held.holdings([FULL, held.backup(7)], held.wal(0, 10)))
    assert isinstance(told, Roll)
    assert [each.segment.number for each in told.plan.wal] == [6, 7, 8, 9, 10]


def test_a_piece_of_the_newest_segment_is_enough() -> None:
    told = way(
        STATE, held.holdings([FULL], [*held.wal(0, 7), held.piece(7, 0.0, 0.3), held.piece(7, 0.3, 0.5)])
    )
    assert isinstance(told, Roll)
    assert told.plan.wal[-1].end_lsn == held.lsn(7.5)


def test_without_a_copy_there_is_nothing_to_roll() -> None:
    assert refusal(None, TEN_HOURS) == "there is no copy"


def test_wal_that_is_gone_ends_it() -> None:
    kept = held.holdings([FULL, held.backup(8)], held.wal(7, 10))
    assert "is not kept any more" in refusal(STATE, kept)


def test_more_wal_than_a_new_backup_has_is_not_worth_it() -> None:
    many = held.holdings([FULL, held.backup(199)], held.wal(0, 201))
    assert refusal(STATE, many) == "the WAL since is more than the newest backup"


def test_a_history_that_was_left_before_its_place_is_not_followed() -> None:
    left = [*held.wal(0, 6), *held.wal(5, 10, timeline=2)]
    before = held.holdings([FULL], left, histories=[held.history(2, (1, 5.4))])
    behind = held.holdings([FULL], left, histories=[held.history(2, (1, 5.6))])
    assert refusal(STATE, before).startswith("timeline 2 left timeline 1 at ")
    assert isinstance(way(STATE, behind), Roll)


@pytest.mark.parametrize(
    ("target", "serves"),
    [
        (Target(TargetKind.LSN, lsn=held.lsn(5.4)), False),
        (Target(TargetKind.LSN, lsn=held.lsn(7)), True),
        (Target(TargetKind.TIME, time=held.at(5.3)), False),
        (Target(TargetKind.TIME, time=held.at(7)), True),
        (Target(TargetKind.LABEL, label=FULL.id), False),
        (Target(TargetKind.XID, xid=700), False),
    ],
)
def test_it_moves_forward_only(target: Target, serves: bool) -> None:
    told = way(STATE, TEN_HOURS, target)
    assert isinstance(told, Roll) == serves
    if isinstance(told, Afresh):
        assert told.why == "the copy is past that moment"


def test_a_killed_one_serves_for_the_newest_point_alone_and_not_behind_a_power_cut() -> None:
    killed = replace(STATE, is_clean=False)
    assert isinstance(way(killed, TEN_HOURS), Roll)
    assert "how far" in refusal(killed, TEN_HOURS, Target(TargetKind.TIME, time=held.at(7)))
    assert "went down" in refusal(replace(killed, boot="before"), TEN_HOURS)
    assert isinstance(way(replace(STATE, boot="before"), TEN_HOURS), Roll)


@pytest.mark.parametrize(
    "other",
    [
        replace(STATE, system_id=8),
        replace(STATE, database="other"),
        replace(STATE, server_version=170004),
        replace(STATE, is_good=False),
        replace(STATE, format=2),
    ],
)
def test_another_ones_copy_or_a_bad_one_does_not_serve(other: WarmState) -> None:
    assert isinstance(way(other, TEN_HOURS), Afresh)


def test_a_state_without_a_copy_and_half_a_state_are_none(tmp_path: Path) -> None:
    base = WarmBase(tmp_path / "warm")
    with base.held():
        assert base.state() is None
        base.keep(STATE)
        assert base.state() is None
        (base.copy / "global").mkdir(parents=True)
        (base.copy / "global/pg_control").write_bytes(b"torn")
        assert base.state() == STATE
        with pytest.raises(Damaged):
            base.standing()
        (base.folder / "state.json").write_bytes(b'{"database": "sh')
        assert base.state() is None
        base.keep(STATE)
        base.remove()
        assert base.state() is None
        assert not base.copy.exists()


def test_a_clone_shares_no_file_and_overwrites_none(tmp_path: Path) -> None:
    base = WarmBase(tmp_path / "warm")
    (base.copy / "base").mkdir(parents=True)
    (base.copy / "base/1").write_bytes(b"page" * 5000)
    (base.copy / "link").symlink_to("base")
    base.clone(tmp_path / "to")
    cloned = tmp_path / "to/base/1"
    assert cloned.read_bytes() == b"page" * 5000
    assert cloned.stat().st_ino != (base.copy / "base/1").stat().st_ino
    assert (tmp_path / "to/link").is_symlink()
    with pytest.raises(NotFit, match="not empty"):
        base.clone(tmp_path / "to")


def test_wal_that_lies_in_the_copy_is_not_brought_again(tmp_path: Path) -> None:
    base = WarmBase(tmp_path / "warm")
    told = way(STATE, TEN_HOURS)
    assert isinstance(told, Roll)
    (base.copy / "global").mkdir(parents=True)
    (base.copy / "global/pg_control").write_bytes(b"")
    (base.copy / "pg_wal").mkdir()
    assert base.lacking(told.plan) == told.plan
    base.keep(replace(STATE, replayed=held.lsn(8.5)))
    for piece, size in zip(told.plan.wal, (held.SIZE, 10, held.SIZE, held.SIZE), strict=False):
        with (base.copy / "pg_wal" / piece.segment.name).open("wb") as file:
            file.truncate(size)
    # The second is not whole, the fourth is not replayed to its end, and the fifth is not there.
    assert [each.segment.number for each in base.lacking(told.plan).wal] == [7, 9, 10]
