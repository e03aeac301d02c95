"""How often somebody may call."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class RateLimit:
    """A bucket of calls for each caller: `burst` at once, and `per_second` in the long run.

    Times are monotonic seconds handed in. Callers that were not here for long are forgotten, which is to
    their advantage.
    """

    def __init__(self, per_second: float, burst: int, *, most_callers: int = 10_000) -> None:
        self._per_second = per_second
        self._burst = burst
        self._most_callers = most_callers
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()

    def allows(self, caller: Hashable, now: float) -> bool:
        """Whether the caller has a call left. Does not take it."""
        return self._refilled(caller, now).left >= 1

    def take(self, caller: Hashable, now: float) -> bool:
        """Take one call; False when none was left."""
        bucket = self._refilled(caller, now)
        if bucket.left < 1:
            return False
        bucket.left -= 1
        return True

    def _refilled(self, caller: Hashable, now: float) -> _Bucket:
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = self._buckets[caller] = _Bucket(self._burst, now)
            while len(self._buckets) > self._most_callers:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(caller)
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._per_second)
        bucket.at = now
        return bucket
