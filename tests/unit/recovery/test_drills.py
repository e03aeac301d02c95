"""Which drill is due, which is picked, and how long each proves anything."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from holdfast.estate.drills import Drill
from holdfast.recovery.drills import (
    due_now,
    given_to_drill,
    picked,
    playbook_of,
    scheduled_run_id,
    scheduled_seed,
    standing_of,
)
from holdfast.recovery.errors import Refused

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
DAY = timedelta(days=1)
WEEKLY = Drill(scenario="restore", subject="shop", every=7 * DAY, valid_for=30 * DAY)
BY_HAND = Drill(scenario="region-outage", subject="print", where="lab", region="eu")


def test_one_that_was_never_tried_is_due_at_once_and_proves_nothing() -> None:
    found = standing_of("a", WEEKLY, None, None, NOW)

    assert found.is_due
    assert found.is_expired
    assert found.valid_until is None


def test_it_is_due_again_after_its_time_whatever_came_of_it() -> None:
    tried = NOW - 7 * DAY

    assert standing_of("a", WEEKLY, tried, None, NOW).is_due
    assert not standing_of("a", WEEKLY, tried + timedelta(seconds=1), None, NOW).is_due


def test_it_proves_something_for_as_long_as_is_declared() -> None:
    passed = NOW - 30 * DAY

    assert standing_of("a", WEEKLY, passed, passed, NOW).is_expired
    assert not standing_of("a", WEEKLY, passed, passed + timedelta(seconds=1), NOW).is_expired


def test_one_without_a_time_never_begins_by_itself() -> None:
    found = standing_of("a", BY_HAND, None, None, NOW)

    assert found.due_at is None
    assert not found.is_due


def test_the_longest_due_begins_first() -> None:
    late = standing_of("late", WEEKLY, NOW - 20 * DAY, None, NOW)
    later = standing_of("later", WEEKLY, NOW - 8 * DAY, None, NOW)
    not_yet = standing_of("not yet", WEEKLY, NOW - DAY, None, NOW)

    assert [each.key for each in due_now([later, not_yet, late])] == ["late", "later"]


def test_a_scheduled_run_has_one_id_in_each_stretch_of_its_time() -> None:
    one = scheduled_run_id("a", DAY, NOW)

    assert one == scheduled_run_id("a", DAY, NOW + timedelta(hours=16))
    assert one != scheduled_run_id("a", DAY, NOW + timedelta(hours=18))
    assert one != scheduled_run_id("b", DAY, NOW)
    assert one != scheduled_run_id("a", 2 * DAY, NOW)


def test_a_game_day_picks_the_same_by_the_same_seed_and_everything_in_time() -> None:
    drills = {"a": WEEKLY, "b": BY_HAND, "c": WEEKLY.model_copy(update={"game_day": False})}

    assert picked(drills, 7) == picked(dict(reversed(drills.items())), 7)
    counted = Counter(picked(drills, seed) for seed in range(1000))
    assert set(counted) == {"a", "b"}
    assert min(counted.values()) > 400


def test_a_game_day_without_a_drill_says_so() -> None:
    with pytest.raises(Refused, match="no drill may be picked"):
        picked({"a": WEEKLY.model_copy(update={"game_day": False})}, 1)


def test_what_a_drill_is_started_with() -> None:
    assert playbook_of("restore") == "drill-restore"
    assert playbook_of("corruption", "isolated") == "drill-corruption"
    assert playbook_of("corruption", "lab") == "drill-corruption-lab"
    assert given_to_drill(BY_HAND, 5) == {"on": "lab", "region": "eu", "seed": "5"}
    assert scheduled_seed("a", NOW) == scheduled_seed("a", NOW + timedelta(hours=1))
    assert scheduled_seed("a", NOW) != scheduled_seed("a", NOW + DAY)
