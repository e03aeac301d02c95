"""How long a put waits for those who were released by the one before."""

import pytest

from holdfast.backup.wal.gathering import LONGEST_S, SHARE, Gathering


def gathering(length: int = 300, there: int = 1100, took_s: float = 0.002) -> Gathering:
    """A put of so many bytes has just ended, at 10 s, with everything before `there` waiting."""
    subject = Gathering()
    subject.done(length, there, took_s, 10.0)
    return subject


def test_nothing_was_released_yet_and_nobody_waits() -> None:
    assert Gathering().wait_s(1, 10.0) == 0


def test_it_goes_on_as_soon_as_those_who_were_released_are_back() -> None:
    subject = gathering(length=320, there=1100)
    assert subject.wait_s(1100, 10.0) > 0, "the others have waited all along"
    assert subject.wait_s(1399, 10.0) > 0
    assert subject.wait_s(1400, 10.0) == 0


def test_it_waits_for_a_share_of_what_the_put_took_and_no_longer() -> None:
    subject = gathering(took_s=0.002)
    assert subject.wait_s(1100, 10.0) == pytest.approx(0.002 * SHARE)
    assert subject.wait_s(1100, 10.0 + 0.0021 * SHARE) == 0


def test_after_a_slow_put_it_does_not_wait_for_long() -> None:
    assert gathering(took_s=30.0).wait_s(1100, 10.0) == pytest.approx(LONGEST_S)


def test_eight_who_take_turns_in_two_groups_become_one() -> None:
    """Four wait while four are put: with the next put all eight are there, and stay together."""
    subject = gathering(length=400, there=800)
    assert subject.wait_s(800, 10.0) > 0
    assert subject.wait_s(1200, 10.0) == 0
    subject.done(800, 1200, 0.002, 11.0)
    assert subject.wait_s(1200, 11.0) > 0
    assert subject.wait_s(2000, 11.0) == 0


def test_those_who_do_not_come_back_soon_are_waited_for_less_and_less() -> None:
    subject, now, waited = Gathering(), 10.0, 0
    for _ in range(200):
        subject.done(400, 800, 0.002, now)
        waited += subject.wait_s(900, now) > 0
        now += 0.01
        assert subject.wait_s(900, now) == 0
    assert waited <= 12


def test_when_they_come_back_soon_again_they_are_waited_for_every_time() -> None:
    subject, now = Gathering(), 10.0
    for _ in range(3):
        subject.done(400, 800, 0.002, now)
        now += 0.01
        subject.wait_s(900, now)
    waited = []
    for _ in range(20):
        subject.done(400, 800, 0.002, now)
        waited.append(subject.wait_s(900, now) > 0)
        assert subject.wait_s(1200, now) == 0
    assert waited[-8:] == [True] * 8
