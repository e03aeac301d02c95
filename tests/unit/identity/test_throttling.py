"""Pauses that grow, end, and never lock a person out of their own browser."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.identity.throttling import (
    ACCOUNT,
    ADDRESS,
    CODE,
    DEVICE,
    Attempt,
    Tally,
    absolved,
    attempts_at,
    counted,
    network_of,
    pause,
)

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Counter:
    """What a store does with these rules."""

    def __init__(self) -> None:
        self.tallies: dict[bytes, Tally] = {}

    def attempt(self, attempts: Sequence[Attempt], now: datetime) -> bool:
        known = [self.tallies.get(each.key) for each in attempts]
        if pause(known, attempts, now) is not None:
            return False
        for each, tally in zip(attempts, counted(known, attempts, now), strict=True):
            self.tallies[each.key] = tally
        return True


@pytest.mark.parametrize("patience", [ACCOUNT, DEVICE, CODE, ADDRESS])
def test_after_the_free_ones_pauses_double_up_to_the_longest(patience: object) -> None:
    attempts = [Attempt(b"k", patience)]  # type: ignore[arg-type]
    tally, now = None, NOW
    pauses = []
    for _ in range(attempts[0].patience.free + 15):
        assert pause([tally], attempts, now) is None
        (tally,) = counted([tally], attempts, now)
        length = timedelta() if tally.paused_until is None else tally.paused_until - now
        pauses.append(length)
        now += length
    free, first, longest = attempts[0].patience.free, attempts[0].patience.first, attempts[0].patience.longest
    assert pauses[:free] == [timedelta()] * free
    assert pauses[free:] == [min(first * 2**n, longest) for n in range(15)]


def test_an_attacker_cannot_lock_somebody_out_of_a_browser_that_they_use() -> None:
    counter = Counter()
    for number in range(1000):
        counter.attempt(attempts_at("password", "anna", f"198.51.100.{number % 250}", None), NOW)
    assert not counter.attempt(attempts_at("password", "anna", "192.0.2.1", None), NOW)
    assert counter.attempt(attempts_at("password", "anna", "192.0.2.1", "a known device"), NOW)


def test_no_lock_is_for_good() -> None:
    """Whoever attacks all day, there is a moment within the longest pause in which an attempt counts."""
    counter, now = Counter(), NOW
    anna = attempts_at("password", "anna", "192.0.2.1", None)
    for second in range(3600):
        counter.attempt(attempts_at("password", "anna", f"198.51.{second % 200}.1", None), now)
        now += SECOND
    until = counter.tallies[anna[0].key].paused_until
    assert until is not None
    assert until - now <= ACCOUNT.longest
    assert counter.attempt(anna, until)


def test_a_day_of_guessing_at_one_account_is_a_few_hundred_guesses() -> None:
    counter, now, guesses = Counter(), NOW, 0
    while now < NOW + timedelta(days=1):
        guesses += counter.attempt(attempts_at("password", "anna", f"host {guesses}", None), now)
        now += 10 * SECOND
    assert guesses < 320


def test_guessing_at_many_accounts_from_one_address_is_slow_too() -> None:
    counter = Counter()
    guesses = [
        counter.attempt(attempts_at("password", f"name {number}", "192.0.2.1", None), NOW)
        for number in range(200)
    ]
    assert sum(guesses) == ADDRESS.free + 1


def test_who_has_one_address_of_a_network_has_them_all() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("192.0.2.1") != network_of("192.0.2.2")
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of("") == ""


def test_a_success_takes_back_its_own_attempt_at_an_address_and_all_at_an_account() -> None:
    account, address = attempts_at("password", "anna", "192.0.2.1", None)
    assert absolved(Tally(9, NOW, NOW), account) is None
    assert absolved(Tally(9, NOW), address) == Tally(8, NOW)
    assert absolved(Tally(1, NOW), address) is None
    over = ADDRESS.free + 5
    assert absolved(Tally(over, NOW, NOW + SECOND), address) == Tally(over - 1, NOW, NOW + SECOND)


def test_what_is_long_ago_is_forgotten() -> None:
    attempts = attempts_at("password", "anna", "192.0.2.1", "d")
    (tally,) = counted([Tally(99, NOW, NOW)], attempts, NOW + DEVICE.forgotten_after + SECOND)
    assert tally == Tally(1, NOW + DEVICE.forgotten_after + SECOND)


def test_a_clock_that_was_ahead_locks_nobody_out() -> None:
    attempts = attempts_at("password", "anna", "192.0.2.1", "d")
    ahead = NOW + timedelta(days=300)
    assert pause([Tally(9, ahead, ahead + SECOND)], attempts, NOW) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.timedeltas(timedelta(), timedelta(hours=1))), max_size=60))
def test_a_pause_is_never_longer_than_its_longest(steps: list[tuple[int, timedelta]]) -> None:
    counter, now = Counter(), NOW
    for who, later in steps:
        now += later
        attempts = attempts_at("code", "anna", f"192.0.2.{who}", None)
        counter.attempt(attempts, now)
        for each in attempts:
            tally = counter.tallies.get(each.key)
            if tally is not None and tally.paused_until is not None:
                assert tally.paused_until - tally.last_at <= each.patience.longest
