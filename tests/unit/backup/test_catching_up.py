"""A region that lacks for long what another has gets it, and it is told when that is over."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from tests.held import DB, at, backup, holdings, piece, wal

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup.copies.behind import BEHIND_AFTER_S
from holdfast.backup.copies.copying import Lacking
from holdfast.backup.lsn import Segment
from holdfast.backup.model import Holdings
from holdfast.bootstrap.backup.catching_up import CatchingUp
from holdfast.estate.backup import Keep

KEEP = Keep(window=timedelta(days=14))
FULL = backup(1)


def nothing() -> None:
    """Go on."""


@dataclass
class Desk:
    """Looks after the region `us`, beside `eu` that has everything."""

    spool: set[Segment] = field(default_factory=set)
    told: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        eu, us = MemoryRegion("eu"), MemoryRegion("us")
        self.catching_up = CatchingUp(
            DB, us, [eu, us], lambda event, facts: self.told.append((event, facts)), nothing
        )

    def look(self, here: Holdings | None, there: Holdings | None, now: float) -> tuple[list[Lacking], bool]:
        held = [each for each in (here, there) if each is not None]
        wanted, over = self.catching_up.wanted(held, KEEP, at(100), now, lambda one: one in self.spool)
        return list(wanted), over

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.told]


def us(hours: int, *more: float) -> Holdings:
    return holdings([FULL], [*wal(0, hours), *(piece(hours, 0, each) for each in more)], region="us")


def eu(hours: int, *more: float) -> Holdings:
    return holdings([FULL], [*wal(0, hours), *(piece(hours, 0, each) for each in more)])


def test_what_is_on_its_way_is_not_copied_however_long_there_is_some() -> None:
    desk = Desk()
    for second in range(0, 600, 30):
        # Always a moment behind, as whoever is listed first is.
        hours = 4 + second // 60
        wanted, _ = desk.look(eu(hours, 0.5), us(hours), float(second))
        assert wanted == []
    assert not desk.told


def test_what_is_lacking_for_long_is_copied_and_nothing_else() -> None:
    desk = Desk()
    assert desk.look(eu(6), us(4), 0.0)[0] == []
    wanted, _ = desk.look(eu(7), us(4), BEHIND_AFTER_S)
    assert [[each.segment.number for each in plan.wal] for plan in wanted] == [[5, 6]]
    assert desk.look(eu(7), us(7), BEHIND_AFTER_S + 30)[0] == []


def test_a_backup_is_copied_with_what_it_is_an_increment_of() -> None:
    desk = Desk()
    second, third = backup(2, FULL), None
    third = backup(3, second)
    here, there = holdings([FULL, second, third], wal(0, 6)), us(6)
    desk.look(holdings([FULL, second], wal(0, 6)), there, 0.0)
    (plan,), _ = desk.look(here, there, BEHIND_AFTER_S)
    assert [each.id for each in plan.backups] == [second.id, third.id]


def test_a_region_that_restores_nothing_gets_it_at_once_and_that_is_no_alarm() -> None:
    desk = Desk()
    wanted, _ = desk.look(eu(6), holdings([], [], region="us"), 0.0)
    assert [each.id for plan in wanted for each in plan.backups] == [FULL.id]
    desk.look(eu(6), holdings([], [], region="us"), BEHIND_AFTER_S)
    assert not desk.told


def test_wal_that_only_others_have_is_told_once_and_its_end() -> None:
    desk = Desk()
    for second in (0.0, BEHIND_AFTER_S, BEHIND_AFTER_S + 30):
        assert not desk.look(eu(6), us(4), second)[1]
    assert desk.events == ["backup.region_left_behind"]
    assert desk.told[0][1]["region"] == "us"
    assert desk.told[0][1]["bytes"] == 100
    assert desk.look(eu(6), us(6), BEHIND_AFTER_S + 60)[1]
    assert not desk.look(eu(6), us(6), BEHIND_AFTER_S + 90)[1]
    assert desk.events == ["backup.region_left_behind", "backup.region_caught_up"]


def test_wal_that_waits_in_the_spool_is_not_lost_to_it() -> None:
    desk = Desk(spool={each.segment for each in wal(4, 6)})
    for second in (0.0, BEHIND_AFTER_S, BEHIND_AFTER_S + 30):
        desk.look(eu(6), us(4), second)
    assert not desk.told


def test_what_the_receiver_told_of_is_over_only_when_nothing_is_lacking() -> None:
    desk = Desk(spool={each.segment for each in wal(5, 6)})
    desk.catching_up.left_behind()
    assert not desk.look(eu(6), us(4), 0.0)[1]
    # The region is away, or the other one: nobody knows.
    assert not desk.look(eu(6), None, 30.0)[1]
    assert not desk.look(None, us(6), 60.0)[1]
    assert desk.look(eu(6), us(5), 90.0)[1]
    assert desk.events == ["backup.region_caught_up"]
