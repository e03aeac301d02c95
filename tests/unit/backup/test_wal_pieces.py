"""Which bytes make a piece, and what its name promises."""

from datetime import UTC, datetime, timedelta

import pytest

from holdfast.backup.lsn import Lsn, Segment, Timeline
from holdfast.backup.ports import WalData
from holdfast.backup.wal.pieces import BLOCK_BYTES, SETTLED, Covers, next_piece
from holdfast.backup.wal.stored_spans import covered

MIB = 1 << 20
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SEGMENT = Segment(Timeline(1), 3)
LONG = Segment(Timeline(1), 3, 64 * MIB)


@pytest.mark.parametrize(
    ("has", "flushed", "segment", "due", "expected"),
    [
        (0, 0, SEGMENT, True, None),
        (0, 100, SEGMENT, True, (0, 100)),
        (0, 100, SEGMENT, False, None),
        (60, 100, SEGMENT, True, (60, 100)),
        (100, 100, SEGMENT, True, None),
        # Whole at once, and not its rest, so that its parts can go.
        (100, SEGMENT.size, SEGMENT, False, (0, SEGMENT.size)),
        (SEGMENT.size, SEGMENT.size, SEGMENT, True, None),
        # A longer segment in blocks: memory stays bounded.
        (0, LONG.size, LONG, False, (0, BLOCK_BYTES)),
        (BLOCK_BYTES + 5, LONG.size, LONG, False, (BLOCK_BYTES, 2 * BLOCK_BYTES)),
        (BLOCK_BYTES, BLOCK_BYTES + 5, LONG, True, (BLOCK_BYTES, BLOCK_BYTES + 5)),
        (LONG.size, LONG.size, LONG, True, None),
        # A region may have more than a spool that was cut back.
        (500, 100, SEGMENT, True, None),
    ],
)
def test_the_next_piece(
    has: int, flushed: int, segment: Segment, due: bool, expected: tuple[int, int] | None
) -> None:
    assert next_piece(has, flushed, segment, due=due) == expected


@pytest.mark.parametrize(
    ("spans", "reach"),
    [
        ([], 0),
        ([(5, 10)], 0),
        ([(0, 10), (10, 20), (25, 30)], 20),
        ([(0, 30), (5, 10), (28, 40)], 40),
    ],
)
def test_how_far_pieces_reach_without_a_hole(spans: list[tuple[int, int]], reach: int) -> None:
    assert covered(spans) == reach


def data(start: int, length: int, server_end: int, at: datetime) -> WalData:
    return WalData(Lsn(start), b"x" * length, Lsn(server_end), at)


def test_a_server_that_is_ahead_covers_nothing() -> None:
    covers = Covers()
    covers.heard(data(0, 100, 150, NOON))
    assert covers.until(Lsn(100)) is None


def test_what_counts_is_the_clock_of_the_message_before() -> None:
    covers = Covers()
    covers.heard(data(0, 100, 200, NOON))
    covers.heard(data(100, 100, 200, NOON + timedelta(milliseconds=50)))
    assert covers.until(Lsn(200)) == NOON
    assert covers.until(Lsn(199)) is None
    assert covers.until(Lsn(10_000)) == NOON


def test_after_a_silence_a_moment_is_taken_off() -> None:
    covers = Covers()
    covers.seen(NOON - timedelta(minutes=1))
    covers.heard(data(0, 100, 100, NOON))
    assert covers.until(Lsn(100)) == NOON - SETTLED


def test_a_piece_is_not_covered_by_what_was_said_of_a_later_place() -> None:
    covers = Covers()
    covers.heard(data(0, 100, 100, NOON))
    covers.heard(data(100, 100, 200, NOON + timedelta(seconds=30)))
    assert covers.until(Lsn(150)) == NOON - SETTLED


def test_a_clock_that_was_set_back_tells_the_new_time() -> None:
    covers = Covers()
    covers.heard(data(0, 100, 100, NOON))
    back = NOON - timedelta(hours=2)
    covers.heard(data(100, 100, 200, back))
    assert covers.until(Lsn(200)) == back - SETTLED
    covers.heard(data(200, 100, 300, back + timedelta(seconds=5)))
    assert covers.until(Lsn(300)) == back + timedelta(seconds=4)
