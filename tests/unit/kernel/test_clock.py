from datetime import UTC, datetime, timedelta

from holdfast.kernel.clock import ManualClock, SystemClock

T0 = datetime(2026, 3, 29, tzinfo=UTC)


def test_a_manual_clock_stands_still_and_runs_on_when_told() -> None:
    clock = ManualClock(T0, monotonic=5.0)
    assert (clock.now(), clock.monotonic()) == (T0, 5.0)
    clock.advance(1.5)
    assert (clock.now(), clock.monotonic()) == (T0 + timedelta(seconds=1.5), 6.5)


def test_setting_the_wall_clock_leaves_the_monotonic_one_alone() -> None:
    clock = ManualClock(T0)
    clock.jump_to(T0 - timedelta(days=1))
    assert (clock.now(), clock.monotonic()) == (T0 - timedelta(days=1), 0.0)


def test_the_system_clock_is_aware_and_never_runs_backwards() -> None:
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()
