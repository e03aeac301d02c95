"""The forecast of restore times: it finds the line it was made of, and one odd measurement moves nothing."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.recovery.forecast import FEWEST, Restored, forecast_of

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
DAY = timedelta(days=1)
GB = 10**9


def measured(
    days: int, *, first_gb: float, gb_per_day: float, fixed_s: float, s_per_gb: float
) -> list[Restored]:
    """One each day, the last one today."""
    sizes = [first_gb + gb_per_day * day for day in range(days)]
    return [
        Restored(NOW - (days - 1 - day) * DAY, round(size * GB), fixed_s + s_per_gb * size)
        for day, size in enumerate(sizes)
    ]


def test_it_warns_before_the_agreement_would_be_broken() -> None:
    restores = measured(30, first_gb=100, gb_per_day=1, fixed_s=60, s_per_gb=10)
    # Today 129 GB take 1,350 s; 30 minutes are reached at 174 GB, in 45 days.
    found = forecast_of(restores, timedelta(minutes=30), NOW)

    assert found.now_s == pytest.approx(1350, rel=0.01)
    assert found.growth_per_day == pytest.approx(GB, rel=0.01)
    assert found.breaks_at is not None
    assert abs(found.breaks_at - (NOW + 45 * DAY)) < DAY
    assert found.warns


def test_what_holds_for_the_whole_horizon_warns_of_nothing() -> None:
    restores = measured(30, first_gb=100, gb_per_day=1, fixed_s=60, s_per_gb=10)

    assert forecast_of(restores, timedelta(hours=1), NOW).breaks_at is None
    assert forecast_of(restores, None, NOW).breaks_at is None


def test_what_is_broken_already_is_broken_now() -> None:
    restores = measured(10, first_gb=100, gb_per_day=0, fixed_s=0, s_per_gb=10)

    assert forecast_of(restores, timedelta(seconds=999), NOW).breaks_at == NOW


def test_too_few_measurements_say_nothing() -> None:
    restores = measured(FEWEST - 1, first_gb=1, gb_per_day=1, fixed_s=0, s_per_gb=10**6)

    found = forecast_of(restores, timedelta(seconds=1), NOW)

    assert (found.samples, found.now_s, found.breaks_at) == (FEWEST - 1, None, None)


def test_a_size_that_nobody_knows_and_a_time_to_come_do_not_count() -> None:
    odd = [Restored(NOW, 0, 5.0), Restored(NOW + DAY, GB, 5.0), Restored(NOW, GB, -1.0)]

    assert forecast_of(odd, timedelta(seconds=1), NOW).samples == 0


def test_one_slow_restore_on_a_busy_machine_moves_nothing() -> None:
    restores = measured(31, first_gb=100, gb_per_day=1, fixed_s=60, s_per_gb=10)
    slow = [*restores[:15], Restored(restores[15].at, restores[15].size_bytes, 50_000), *restores[16:]]

    one = forecast_of(restores, timedelta(hours=1), NOW)
    other = forecast_of(slow, timedelta(hours=1), NOW)

    assert other.now_s == pytest.approx(one.now_s, rel=0.05)
    assert other.breaks_at is None


def test_measurements_at_one_moment_say_nothing_of_growth() -> None:
    restores = [Restored(NOW, GB, 10.0)] * 5

    found = forecast_of(restores, timedelta(seconds=20), NOW)

    assert (found.growth_per_day, found.breaks_at) == (0.0, None)
    assert found.now_s == pytest.approx(10)


@given(
    first=st.floats(1, 10_000),
    growth=st.floats(0, 10),
    fixed=st.floats(0, 600),
    pace=st.floats(0.01, 100),
    limit=st.integers(1, 10**7),
)
def test_the_line_that_it_was_made_of_is_found(
    first: float, growth: float, fixed: float, pace: float, limit: int
) -> None:
    restores = measured(20, first_gb=first, gb_per_day=growth, fixed_s=fixed, s_per_gb=pace)

    found = forecast_of(restores, timedelta(seconds=limit), NOW)

    truth = restores[-1].took_s
    assert found.now_s is not None
    assert found.then_s is not None
    # Sizes that hardly differ give no slope: then the time is proportional, which is never less.
    assert found.now_s == pytest.approx(truth, rel=0.02, abs=0.01)
    assert found.then_s >= (fixed + pace * (first + growth * (19 + 90))) * 0.98 - 0.01
    if found.breaks_at is not None:
        assert NOW <= found.breaks_at <= NOW + 90 * DAY


@given(
    st.lists(
        st.builds(
            Restored,
            st.datetimes(datetime(2020, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
            st.integers(-5, 2**50),
            st.floats(-10, 1e9),
        ),
        max_size=20,
    ),
    st.one_of(st.none(), st.timedeltas(timedelta(0), timedelta(days=30))),
)
def test_whatever_was_measured_comes_to_figures_that_make_sense(
    restores: list[Restored], limit: timedelta | None
) -> None:
    found = forecast_of(restores, limit, NOW)

    for figure in (found.now_s, found.then_s):
        assert figure is None or figure >= 0
    if found.breaks_at is not None:
        assert limit is not None
        assert found.breaks_at >= NOW
