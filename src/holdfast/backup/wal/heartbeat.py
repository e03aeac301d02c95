"""A tiny commit when nothing else was written, so that an idle database shows that nothing is missing."""

import threading
from collections.abc import Callable

from holdfast.backup.errors import SourceError
from holdfast.backup.ports import Source
from holdfast.backup.wal.health import Events
from holdfast.kernel.clock import Clock


class Heartbeat:
    """Beats in a thread of its own: in sync mode even this commit waits, and what it waits for must go on."""

    def __init__(
        self,
        database: str,
        source: Source,
        clock: Clock,
        every_s: float,
        quiet_since: Callable[[], float | None],
        on_event: Events,
    ) -> None:
        """`quiet_since`: when something was written last (monotonic); None while that is not known."""
        self._database = database
        self._source = source
        self._clock = clock
        self._every_s = every_s
        self._quiet_since = quiet_since
        self._on_event = on_event
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"heartbeat of {database}", daemon=True)

    def start(self) -> None:
        if self._every_s > 0:
            self._thread.start()

    def stop(self, patience_s: float) -> None:
        self._stopping.set()
        if self._every_s > 0:
            self._thread.join(patience_s)

    def _run(self) -> None:
        beaten_at, said = self._clock.monotonic(), ""
        while not self._stopping.wait(min(self._every_s / 4, 1.0)):
            now, quiet_since = self._clock.monotonic(), self._quiet_since()
            if quiet_since is None or now - max(quiet_since, beaten_at) < self._every_s:
                continue
            beaten_at = now
            try:
                self._source.beat()
                text = ""
            except SourceError as error:
                text = str(error)
            if text and text != said:
                self._on_event("heartbeat_failed", {"database": self._database, "error": text})
            said = text
