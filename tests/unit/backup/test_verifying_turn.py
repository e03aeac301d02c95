"""When a region's copy is verified again."""

from datetime import timedelta

import pytest
from tests.held import at

from holdfast.backup.model import Target
from holdfast.backup.verify.turn import is_due
from holdfast.backup.verify.verification import Standing, Verification
from holdfast.backup.verify.verified_points import Which

EVERY = timedelta(days=1)
UNPROVEN = Standing.UNPROVEN


def record(
    hours: float, standing: Standing = Standing.PASSED, region: str = "eu", which: Which = Which.NEWEST
) -> Verification:
    return Verification(
        f"{hours:09.3f}", "db", region, which, Target(), None, at(hours), at(hours + 0.5), standing
    )


def due(hours: float, *records: Verification, region: str = "eu") -> bool:
    return is_due(records, region, EVERY, at(hours))


def test_once_in_so_long_whatever_came_of_it() -> None:
    assert due(0)
    for standing in (Standing.PASSED, Standing.FAILED):
        assert not due(23.9, record(0, standing))
        assert due(24, record(0, standing))


def test_each_region_for_itself_and_by_the_newest_point_alone() -> None:
    assert due(1, record(0), region="us")
    assert due(1, record(0, which=Which.OLDER))
    assert due(1, record(0, which=Which.ASKED))


@pytest.mark.parametrize(("failures", "pause_h"), [(1, 1), (2, 2), (3, 4), (5, 16)])
def test_one_that_proved_nothing_is_tried_again_with_pauses_that_grow(failures: int, pause_h: int) -> None:
    last = 100.0
    records = [record(last - each * 0.1, UNPROVEN) for each in range(failures)]
    assert not due(last + pause_h - 0.01, *records)
    assert due(last + pause_h, *records)


def test_one_that_proved_something_begins_anew() -> None:
    assert due(12, record(8), record(9, UNPROVEN), record(10, UNPROVEN))
    assert not due(12, record(9, UNPROVEN), record(11.5))


def test_a_short_schedule_is_not_made_longer() -> None:
    assert is_due([record(0, UNPROVEN)], "eu", timedelta(minutes=5), at(0.1))


def test_one_from_the_future_keeps_nothing_from_being_verified() -> None:
    assert due(1, record(500))
