"""A mergeable histogram of latencies whose quantiles are right to 4 %.

Buckets grow geometrically (DDSketch, Masson et al., VLDB 2019): bucket i holds (g^(i-1), g^i] microseconds.
Answering with 2 g^i / (g + 1) is off by at most (g - 1) / (g + 1), for g = 1.08 that is 3.85 %, at every
quantile, whatever the distribution. Merging adds counts and loses nothing, so a year is the sum of its days.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

GROWTH = 1.08
_LOG_GROWTH = math.log(GROWTH)
RELATIVE_ERROR = (GROWTH - 1) / (GROWTH + 1)


def bucket_of(value_us: int) -> int:
    """The bucket that holds `value_us`. All up to one microsecond share bucket 0."""
    return 0 if value_us <= 1 else math.ceil(math.log(value_us) / _LOG_GROWTH)


def value_of(bucket: int) -> float:
    """The value in microseconds that stands for all in `bucket`."""
    return 1.0 if bucket <= 0 else 2 * GROWTH**bucket / (GROWTH + 1)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts by bucket, ordered by bucket, without empty ones. Two parallel tuples, as they are stored."""

    buckets: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def total(self) -> int:
        return sum(self.counts)

    def quantile(self, q: float) -> float | None:
        """The value in microseconds below which a share `q` of all values lies; None when there are none."""
        total = self.total
        if not total:
            return None
        rank, seen = q * (total - 1), 0
        for bucket, count in zip(self.buckets, self.counts, strict=True):
            seen += count
            if seen > rank:
                return value_of(bucket)
        return value_of(self.buckets[-1])

    @classmethod
    def of(cls, values_us: Iterable[int]) -> "Histogram":
        counts: dict[int, int] = {}
        for value in values_us:
            bucket = bucket_of(value)
            counts[bucket] = counts.get(bucket, 0) + 1
        return cls._from(counts)

    @classmethod
    def merged(cls, parts: Iterable["Histogram"]) -> "Histogram":
        counts: dict[int, int] = {}
        for part in parts:
            for bucket, count in zip(part.buckets, part.counts, strict=True):
                counts[bucket] = counts.get(bucket, 0) + count
        return cls._from(counts)

    @classmethod
    def _from(cls, counts: dict[int, int]) -> "Histogram":
        ordered = sorted(counts)
        return cls(tuple(ordered), tuple(counts[bucket] for bucket in ordered))
