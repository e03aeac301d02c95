"""When the other engines take a backup, and when one is overdue."""

from datetime import UTC, datetime, timedelta

import pytest

from holdfast.backup.engine_schedule import SOONEST, engine_due, overdue_since
from holdfast.backup.engines import Depth, Kept
from holdfast.backup.model import BackupKind
from holdfast.estate.backup import Schedule

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SCHEDULE = Schedule(full_every=7 * DAY, incremental_every=DAY, differential_every=3 * DAY)


def kept(days_ago: float, *needs: str, trouble: str = "") -> Kept:
    began = NOW - timedelta(days=days_ago)
    kind = BackupKind.INCREMENTAL if needs else BackupKind.FULL
    ended = began + timedelta(minutes=10)
    return Kept(
        f"{began:%Y%m%d-%H%M%S}",
        "main",
        kind,
        needs,
        "",
        "repo1",
        150000,
        None,
        None,
        None,
        began,
        ended,
        1,
        1,
        trouble,
    )


FULL = kept(6.0)


@pytest.mark.parametrize(
    ("there", "depth"),
    [
        ([], Depth.FULL),
        ([kept(0.5)], None),
        ([kept(1.0)], Depth.INCREMENTAL),
        ([kept(7.0), kept(0.5, "a")], Depth.FULL),
        ([FULL, kept(4.0, FULL.id), kept(0.5, FULL.id, "b")], Depth.DIFFERENTIAL),
        ([FULL, kept(2.5, FULL.id), kept(0.5, FULL.id, "b")], None),
        ([FULL, kept(2.5, FULL.id), kept(1.5, FULL.id, "b")], Depth.INCREMENTAL),
        ([kept(0.5, trouble="pages")], Depth.FULL),
        ([kept(0.5, "gone")], Depth.FULL),
    ],
)
def test_what_is_due_beside_what_is_kept(there: list[Kept], depth: Depth | None) -> None:
    due = engine_due(there, SCHEDULE, NOW, increments=True)
    assert (due.depth if due else None) is depth
    assert due is None or due.why


def test_dumps_are_whole_and_as_often_as_the_estate_says() -> None:
    schedule = Schedule(full_every=7 * DAY, incremental_every=timedelta(hours=6))
    assert engine_due([kept(0.2)], schedule, NOW, increments=False) is None
    due = engine_due([kept(0.3)], schedule, NOW, increments=False)
    assert due is not None
    assert due.depth is Depth.FULL


def test_nothing_is_begun_right_behind_the_last_one() -> None:
    schedule = Schedule(full_every=timedelta(minutes=5), incremental_every=timedelta(minutes=5))
    last = kept(0.0)
    behind = last.finished_at + SOONEST
    assert engine_due([last], schedule, behind - timedelta(seconds=1), increments=True) is None
    assert engine_due([last], schedule, behind, increments=True) is not None


def test_one_from_the_future_is_answered_by_one_backup_and_not_by_many() -> None:
    future = kept(-400.0)
    due = engine_due([future], SCHEDULE, NOW, increments=True)
    assert due is not None
    assert due.depth is Depth.FULL
    assert engine_due([future, kept(0.1)], SCHEDULE, NOW, increments=True) is None


def test_overdue_is_what_missed_its_turn_twice() -> None:
    assert overdue_since(NOW - 2 * DAY + timedelta(seconds=1), SCHEDULE, NOW) is None
    assert overdue_since(NOW - 3 * DAY, SCHEDULE, NOW) == NOW - DAY
    assert overdue_since(NOW + DAY, SCHEDULE, NOW) is None
