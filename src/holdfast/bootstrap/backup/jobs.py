"""Named jobs of one database, each in a thread of its own: none holds up another, and none ends another.

A job is done at most once at a time. One that fails is told, once, and tried again after a pause that grows;
that it went well again is told, too.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeVar

from holdfast.kernel.errors import HoldfastError

AGAIN_S = 30.0
"""Before a job that failed is tried again; twice as long each time, up to its own longest pause."""

T = TypeVar("T")
Tell = Callable[[str, Mapping[str, object]], None]


class Stopped(Exception):  # noqa: N818  a wish, and no error
    """Stopping was asked for."""


@dataclass(slots=True)
class Job:
    """`act` is done every `every_s` seconds, or after as many as it returned. `again_s`: the longest pause
    after it failed.
    """

    name: str
    act: Callable[[], float | None]
    every_s: float
    again_s: float = 600.0
    woken: threading.Event = field(default_factory=threading.Event)


def pause_s(job: Job, asked_for: float | None, failures: int) -> float:
    """How long to wait before a job is done again, after so many failures one behind the other. Pure."""
    if failures:
        return min(AGAIN_S * 2.0 ** min(failures - 1, 30), job.again_s)
    return job.every_s if asked_for is None else asked_for


class Jobs:
    """The jobs of one database. Use from any thread."""

    def __init__(self, database: str, tell: Tell) -> None:
        self.stopping = threading.Event()
        self._database = database
        self._tell = tell
        self._turn = threading.Lock()
        self._beginning = threading.Lock()
        self._failing: dict[str, str] = {}
        self._jobs: Sequence[Job] = ()
        self._threads: list[threading.Thread] = []

    def start(self, jobs: Iterable[Job]) -> None:
        """Begin all of them at once. Started already, nothing happens."""
        # Who stops while they are being started waits until all of them are: each can be joined then.
        with self._beginning:
            if self._threads or self.stopping.is_set():
                return
            self._jobs = tuple(jobs)
            self._threads = [
                threading.Thread(
                    target=self._run, args=(job,), name=f"{job.name}: {self._database}", daemon=True
                )
                for job in self._jobs
            ]
            for thread in self._threads:
                thread.start()

    def wake(self, name: str) -> None:
        """Have a job done now; when it is being done, once more behind that."""
        for job in self._jobs:
            if job.name == name:
                job.woken.set()

    def stop(self, patience_s: float) -> None:
        """End all of them: what goes on is given up where it can be, and not waited for any longer."""
        deadline = monotonic() + patience_s
        self.stopping.set()
        with self._beginning:
            jobs, threads = self._jobs, self._threads
        for job in jobs:
            job.woken.set()
        for thread in threads:
            thread.join(max(deadline - monotonic(), 0.0))

    def go_on(self) -> None:
        """For long work, now and then: raises Stopped when it is to be given up."""
        if self.stopping.is_set():
            raise Stopped

    def step(self, what: str, act: Callable[[], T]) -> tuple[bool, T | None]:
        """Do a part of a job: whether it went well, and what it returned. One that did not is told."""
        try:
            self.go_on()
            result = act()
        except Stopped:
            return False, None
        except Exception as error:  # noqa: BLE001  whatever it trips over: the others go on
            self.failed(what, error)
            return False, None
        self.well(what)
        return True, result

    def failed(self, what: str, error: Exception) -> None:
        """Told once, until it is another failure or it went well."""
        told = str(error) if isinstance(error, HoldfastError | OSError) else repr(error)
        with self._turn:
            # What is given up on the way out has not failed.
            if self.stopping.is_set() or self._failing.get(what) == told:
                return
            self._failing[what] = told
        facts = {"database": self._database, "step": what, "error": told}
        self._tell("backup.step_failed", {**facts, "hint": getattr(error, "hint", "")})

    def well(self, what: str) -> None:
        with self._turn:
            was_failing = self._failing.pop(what, None) is not None
        if was_failing:
            self._tell("backup.well_again", {"database": self._database, "step": what})

    def _run(self, job: Job) -> None:
        failures = 0
        while not self.stopping.is_set():
            job.woken.clear()
            went_well, asked_for = self.step(job.name, job.act)
            failures = 0 if went_well else failures + 1
            if not self.stopping.is_set():
                job.woken.wait(pause_s(job, asked_for, failures))
