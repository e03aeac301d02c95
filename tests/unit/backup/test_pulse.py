"""A server that does not answer yet: what counts as going on, and what as standing still."""

from pathlib import Path

from holdfast.adapters.postgres.restored.pulse import Beat, Pulse, beat_of

ASLEEP, BUSY = Beat("startup recovering 01", is_busy=False), Beat("startup recovering 01", is_busy=True)


def _stalls_after(beats: list[Beat], stalled_s: float = 10.0) -> int | None:
    """The second at which it is known, with one look each."""
    pulse = Pulse(stalled_s)
    return next((at for at, beat in enumerate(beats) if pulse.is_stalled(float(at), beat)), None)


def test_one_that_sleeps_on_one_segment_stands_still() -> None:
    assert _stalls_after([ASLEEP] * 30) == 10
    assert _stalls_after([Beat("", is_busy=False)] * 30) == 10


def test_looking_for_wal_now_and_then_is_standing_still_all_the_same() -> None:
    assert _stalls_after([BUSY, ASLEEP, ASLEEP, ASLEEP, ASLEEP] * 10) is not None


def test_a_slow_replay_goes_on_however_long_it_takes() -> None:
    assert _stalls_after([BUSY] * 500) is None
    assert _stalls_after([BUSY, ASLEEP] * 250) is None
    assert _stalls_after([Beat(f"startup recovering {at // 8}", is_busy=False) for at in range(500)]) is None


def test_one_that_worked_and_then_sleeps_is_noticed_too() -> None:
    at = _stalls_after([BUSY] * 100 + [ASLEEP] * 40)
    assert at is not None
    assert 100 < at <= 125


def test_where_no_server_runs_nothing_is_done(tmp_path: Path) -> None:
    assert beat_of(tmp_path) == Beat("", is_busy=False)
