"""Which backup is due, and when."""

from dataclasses import replace
from datetime import timedelta

from tests.held import HOUR, at, backup, history, holdings, piece, wal

from holdfast.backup.model import BackupKind
from holdfast.backup.recoverable.pace import Pace, expected_restore
from holdfast.backup.take.scheduling import Due, due, shortest_rto
from holdfast.estate.backup import Schedule
from holdfast.estate.model import Agreement

DAILY = Schedule(full_every=timedelta(days=7), incremental_every=timedelta(days=1))


def kind_of(found: Due | None) -> tuple[BackupKind, str] | None:
    return None if found is None else (found.kind, found.parent.id if found.parent else "")


def test_the_first_is_a_full_one_and_so_is_one_after_the_chain_broke() -> None:
    full = backup(0)
    assert kind_of(due(holdings([], []), DAILY, at(0))) == (BackupKind.FULL, "")
    broken = holdings([full, backup(1, full)], wal(0, 3), missing=[full])
    assert kind_of(due(broken, DAILY, at(2))) == (BackupKind.FULL, "")


def test_increments_by_the_day_and_full_ones_by_the_week() -> None:
    full = backup(0)
    held = holdings([full], wal(0, 30))
    assert due(held, DAILY, at(23.9)) is None
    assert kind_of(due(held, DAILY, at(24))) == (BackupKind.INCREMENTAL, full.id)
    assert kind_of(due(held, DAILY, at(24), increments=False)) == (BackupKind.FULL, "")
    week = holdings([full, backup(160, full)], wal(0, 170))
    assert due(week, DAILY, at(167)) is None
    assert kind_of(due(week, DAILY, at(168))) == (BackupKind.FULL, "")


def test_an_old_server_gets_full_ones() -> None:
    old = replace(backup(0), server_version=160004)
    assert kind_of(due(holdings([old], wal(0, 30)), DAILY, at(25))) == (BackupKind.FULL, "")


def test_a_gap_behind_the_newest_is_answered_at_once_but_not_twice_in_five_minutes() -> None:
    full = backup(0)
    held = holdings([full], [*wal(0, 2), *wal(4, 6)])
    found = due(held, DAILY, at(6))
    assert kind_of(found) == (BackupKind.INCREMENTAL, full.id)
    assert found is not None
    assert "missing" in found.why
    assert due(held, DAILY, full.finished_at + timedelta(minutes=4)) is None
    answered = holdings([full, backup(5, full)], [*wal(0, 2), *wal(4, 6)])
    assert due(answered, DAILY, at(6)) is None


def test_one_that_is_wanted_is_due_at_once_however_new_the_last_one_is() -> None:
    full = backup(0)
    held = holdings([full], wal(0, 2))
    found = due(held, DAILY, full.finished_at, wanted="the slot is lost")
    assert kind_of(found) == (BackupKind.INCREMENTAL, full.id)
    assert found is not None
    assert found.why == "the slot is lost"
    assert kind_of(due(holdings([], []), DAILY, at(0), wanted="a gap")) == (BackupKind.FULL, "")
    assert due(held, DAILY, full.finished_at) is None


def test_a_promotion_and_another_cluster_are_answered_at_once() -> None:
    full = backup(0)
    pieces = [*wal(0, 3), piece(3, 0, 0.5), piece(3, 0.5, 1, timeline=2)]
    held = holdings([full], pieces, histories=[history(2, (1, 3.5))])
    assert kind_of(due(held, DAILY, at(4))) == (BackupKind.INCREMENTAL, full.id)
    assert kind_of(due(holdings([full], wal(0, 3)), DAILY, at(4), system_id=8)) == (BackupKind.FULL, "")
    assert due(holdings([full], wal(0, 3)), DAILY, at(4), system_id=7) is None


def test_a_clock_that_was_set_back_gets_one_backup_and_not_one_after_the_other() -> None:
    future = replace(backup(0), started_at=at(500), finished_at=at(501))
    held = holdings([future], wal(0, 3))
    assert kind_of(due(held, DAILY, at(3))) == (BackupKind.INCREMENTAL, future.id)
    taken = holdings([future, backup(3, future)], wal(0, 28))
    assert due(taken, DAILY, at(4)) is None
    # The chain does not go on from the future for ever: the next one is a full one.
    assert kind_of(due(taken, DAILY, at(27))) == (BackupKind.FULL, "")


def test_more_often_when_a_restore_would_take_longer_than_was_promised() -> None:
    full = backup(0)
    slow = Pace(timedelta(seconds=10), fetch_per_s=130.0, replay_per_s=0.5)
    held = holdings([full], wal(0, 12))
    assert expected_restore([full], 600, slow) == timedelta(seconds=10 + 1 + 1200)
    assert due(held, DAILY, at(12), rto=HOUR, pace=slow) is None
    found = due(held, DAILY, at(12), rto=HOUR / 4, pace=slow)
    assert kind_of(found) == (BackupKind.INCREMENTAL, full.id)
    assert found is not None
    assert "promised" in found.why
    assert due(held, DAILY, at(12), rto=HOUR / 4, pace=None) is None, "what nobody measured decides nothing"


def test_a_full_one_when_the_chain_itself_takes_too_long_and_nothing_when_no_backup_helps() -> None:
    chain = [backup(0)]
    for hour in range(1, 10):
        chain.append(backup(hour, chain[-1]))
    slow = Pace(timedelta(seconds=1), fetch_per_s=1.3, replay_per_s=1e9)
    held = holdings(chain, wal(0, 11))
    assert kind_of(due(held, DAILY, at(11), rto=timedelta(minutes=10), pace=slow)) == (BackupKind.FULL, "")
    alone = holdings(chain[:1], wal(0, 2))
    assert due(alone, DAILY, at(2), rto=timedelta(minutes=1), pace=slow) is None


def test_the_shortest_rto_of_the_agreements_with_the_cluster_counts() -> None:
    def agreed(components: str, minutes: int | None) -> Agreement:
        rto = None if minutes is None else f"{minutes}m"
        return Agreement.model_validate(
            {"customer": "acme", "name": "a", "components": [components], "objective": 99.9, "rto": rto}
        )

    agreements = [agreed("eu/*", 30), agreed("usa/api", 5), agreed("*/api", 20), agreed("eu/api", None)]
    assert shortest_rto(agreements, "eu") == timedelta(minutes=20)
    assert shortest_rto([], "eu") is None
