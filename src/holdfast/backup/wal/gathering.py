"""How long to wait for more commits before the next put or flush. Pure.

What is made durable together costs one put. Commits that wait come in two groups otherwise: one is being
put, while those whom the last put released commit again, and wait for the next. Waiting for them to come back
makes one group of all: half as many puts. It is no gain when they do not come back soon, so that nobody waits
for longer than a share of what the put itself takes.
"""

SHARE = 0.5
"""Of what the last one took: waited at most for those whom it released."""
LONGEST_S = 0.005
NEARLY = 15 / 16
"""Of the bytes of the last one: the same commits write some bytes more or less, as for a page's header."""
LONGEST_REST = 31
"""Rounds without waiting, when those who were released take longer than that again and again."""


class Gathering:
    """Looks at places in bytes and at monotonic times; knows nothing of what they are."""

    def __init__(self) -> None:
        self._expected = 0
        self._until = 0.0
        self._waits = self._missed = False
        self._rest = self._left = 0

    def done(self, length: int, there: int, took_s: float, now: float) -> None:
        """So many bytes were put in so many seconds; meanwhile everything before `there` has come."""
        if self._missed:
            self._rest = self._left = min(2 * self._rest + 1, LONGEST_REST)
        elif self._left:
            self._left -= 1
        elif self._waits:
            self._rest = 0
        self._missed, self._waits = False, not self._left
        self._expected = there + int(length * NEARLY)
        self._until = now + min(took_s * SHARE, LONGEST_S) * self._waits

    def wait_s(self, there: int, now: float) -> float:
        """How long more is waited for, when everything before `there` has come; 0: not at all."""
        if there >= self._expected:
            return 0.0
        self._missed = self._waits and now >= self._until
        return max(self._until - now, 0.0)
