"""What the server is told, and when a stalled sync mode lets go."""

import pytest

from holdfast.backup.lsn import Lsn
from holdfast.backup.wal.acknowledging import (
    Standing,
    Watchdog,
    place_asked_again,
    place_of_async,
    place_of_sync,
)

OWN = Lsn(1000)


def standing(has: int, *, answers: bool = True) -> Standing:
    return Standing(Lsn(has), answers)


@pytest.mark.parametrize(
    ("wanted", "places", "expected"),
    [
        (0, [], 1000),
        (0, [0], 1000),
        (1, [900, 500], 900),
        (2, [900, 500], 500),
        (2, [900], 0),
        # A region may have more than this machine's disk: it does not count for more.
        (1, [1100], 1000),
    ],
)
def test_sync_is_what_so_many_regions_have(wanted: int, places: list[int], expected: int) -> None:
    assert place_of_sync(OWN, [standing(each) for each in places], wanted) == expected


@pytest.mark.parametrize(
    ("flushed", "written", "expected"),
    [
        (0, 90, 90),
        (50, 90, 90),
        (50, 250, 99),  # the segment up to 100 stays on the server as long as its end is not acknowledged
        (99, 100, 99),
        (100, 100, 100),
        (100, 250, 199),
    ],
)
def test_what_this_machine_may_lose_is_in_a_segment_that_the_server_keeps(
    flushed: int, written: int, expected: int
) -> None:
    assert place_asked_again(Lsn(flushed), Lsn(written), segment_bytes=100) == expected


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        ([standing(900), standing(700)], 700),
        ([standing(900), standing(100, answers=False)], 900),
        ([standing(900, answers=False), standing(800, answers=False)], 900),
        # Beyond the limit the server does not keep what this machine has.
        ([standing(0, answers=False)], 600),
        ([standing(100)], 600),
        ([], 1000),
    ],
)
def test_async_lets_go_of_what_the_answering_regions_have(regions: list[Standing], expected: int) -> None:
    assert place_of_async(OWN, regions, held_limit=400) == expected


def test_a_commit_that_waits_too_long_lets_go_and_short_waits_resume() -> None:
    dog = Watchdog(stall_limit_s=10)
    dog.came(Lsn(100), now=0)
    dog.came(Lsn(200), now=5)
    assert not dog.look(Lsn(0), now=9.9)
    assert dog.look(Lsn(0), now=10)
    assert dog.let_go
    # Catching up, but what came at 5 still waits.
    assert not dog.look(Lsn(150), now=11)
    assert dog.let_go
    dog.came(Lsn(300), now=12)
    assert not dog.look(Lsn(200), now=15)
    assert dog.look(Lsn(200), now=14.4)
    assert not dog.let_go


def test_slow_progress_is_no_stall() -> None:
    dog = Watchdog(stall_limit_s=10)
    for second in range(100):
        dog.came(Lsn(second + 1), now=second)
        assert not dog.look(Lsn(max(second - 8, 0)), now=second)
    assert not dog.let_go


def test_an_idle_database_does_not_stall() -> None:
    dog = Watchdog(stall_limit_s=10)
    dog.came(Lsn(100), now=0)
    dog.look(Lsn(100), now=1)
    assert not dog.look(Lsn(100), now=10_000)
    assert not dog.let_go
