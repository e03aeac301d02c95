"""What the regions hold of one database, listed once for all the jobs that go by it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from holdfast.backup.model import Holdings
from holdfast.backup.ports import Region
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.bootstrap.backup.jobs import Jobs
from holdfast.kernel.clock import Clock

GOOD_FOR_S = 20.0
"""A listing of a hundred thousand objects is a hundred requests: jobs that look at the same time share it."""

T = TypeVar("T")


class Sight:
    """What was seen a moment ago, or is looked at now. Use from any thread."""

    def __init__(self, database: str, regions: Sequence[Region], clock: Clock, jobs: Jobs) -> None:
        self._database = database
        self._regions = tuple(regions)
        self._clock = clock
        self._jobs = jobs
        self._turn = threading.Lock()
        self._counting = threading.Lock()
        self._changes = 0
        self._seen: tuple[float, int, Sequence[Holdings]] | None = None

    def held(self) -> Sequence[Holdings]:
        """Of each region that answers. Nothing in it is older than the last `changed`."""
        with self._turn:
            now, changes = self._clock.monotonic(), self._changes
            if self._seen is not None:
                at, of, held = self._seen
                # What was changed while it was listed may be half in it.
                if of == changes and now - at < GOOD_FOR_S:
                    return held
            found = self.of_each("ask", lambda each: holdings_of(each, self._database, self._clock))
            held = list(found.values())
            self._seen = (now, changes, held)
            return held

    def changed(self) -> None:
        """Something was stored or let go of: what was seen is not so any more."""
        with self._counting:
            self._changes += 1

    def of_each(self, what: str, ask: Callable[[Region], T]) -> Mapping[str, T]:
        """What each region answers, asked at the same time. One that is away has no answer, and is told."""
        answers: dict[str, T] = {}
        with ThreadPoolExecutor(max(len(self._regions), 1), "regions") as threads:
            asked = [(each.name, threads.submit(ask, each)) for each in self._regions]
            for name, answer in asked:
                try:
                    answers[name] = answer.result()
                except Exception as error:  # noqa: BLE001  one region's oddity is not the others'
                    self._jobs.failed(f"{what} {name}", error)
                else:
                    self._jobs.well(f"{what} {name}")
        return answers
