"""Latency histograms: quantiles against the sorted values, merging against the histogram of everything."""

import math

from hypothesis import given
from hypothesis import strategies as st

from holdfast.availability.histogram import RELATIVE_ERROR, Histogram, bucket_of, value_of

DAY_US = 86_400_000_000
latencies = st.integers(1, DAY_US)
samples = st.lists(latencies, min_size=1, max_size=60)
parts = st.lists(st.lists(latencies, max_size=20), max_size=5)
quantiles = st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0]) | st.floats(0, 1)


def exact(values: list[int], q: float) -> int:
    return sorted(values)[math.floor(q * (len(values) - 1))]


@given(samples, quantiles)
def test_a_quantile_is_right_to_5_percent(values: list[int], q: float) -> None:
    found = Histogram.of(values).quantile(q)
    assert found is not None
    assert abs(found - exact(values, q)) <= 0.05 * exact(values, q)


@given(latencies)
def test_a_bucket_stands_for_its_values(value: int) -> None:
    assert abs(value_of(bucket_of(value)) - value) <= RELATIVE_ERROR * value * (1 + 1e-9)
    assert bucket_of(value) < 2**15, "buckets are stored as smallint"


@given(latencies, latencies)
def test_buckets_keep_the_order_of_values(one: int, other: int) -> None:
    assert (one <= other) <= (bucket_of(one) <= bucket_of(other))


@given(parts)
def test_merging_is_the_histogram_of_everything(several: list[list[int]]) -> None:
    everything = [value for values in several for value in values]
    assert Histogram.merged(map(Histogram.of, several)) == Histogram.of(everything)


@given(parts, st.integers(0, 5))
def test_merging_is_associative_and_commutative(several: list[list[int]], cut: int) -> None:
    histograms = [Histogram.of(values) for values in several]
    left, right = Histogram.merged(histograms[:cut]), Histogram.merged(histograms[cut:])
    assert Histogram.merged([left, right]) == Histogram.merged([right, left]) == Histogram.merged(histograms)


@given(samples)
def test_quantiles_grow(values: list[int]) -> None:
    histogram = Histogram.of(values)
    found = [histogram.quantile(q / 20) for q in range(21)]
    assert found == sorted(found, key=lambda each: each or 0.0)


def test_nothing_has_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None
    assert Histogram.merged([Histogram(), Histogram()]) == Histogram()


def test_no_time_at_all_is_one_microsecond() -> None:
    assert Histogram.of([0]).quantile(0.5) == 1.0
