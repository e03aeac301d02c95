"""Keeps a database of another engine: each job in a thread of its own, heavy work in turns with all others.

So a dump or a verification that takes hours holds up no report and no copy.
"""

from collections.abc import Sequence
from typing import Protocol

from holdfast.bootstrap.backup.jobs import Job, Jobs


class HasJobs(Protocol):
    """What is to be done for a database."""

    def jobs(self) -> Sequence[Job]: ...


class EngineKeeper:
    """Keeps one database until it is stopped."""

    def __init__(self, duties: HasJobs, jobs: Jobs) -> None:
        self._duties = duties
        self._jobs = jobs

    def start(self) -> None:
        self._jobs.start(self._duties.jobs())

    def stop(self, patience_s: float = 10.0) -> None:
        """End. A dump that is being taken is given up, and swept one day."""
        self._jobs.stop(patience_s)
