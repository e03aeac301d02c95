"""What long work on backups has to say, in the command line's words."""

import threading

from holdfast.interfaces.cli.ports import Progress, Report
from holdfast.interfaces.cli.sizes import size_text


class Reported:
    """A `backup.ports.Progress` that tells `report`. From any thread."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._mutex = threading.Lock()
        self._phase, self._total, self._done = "", 0, 0

    def begin(self, phase: str, total_bytes: int | None) -> None:
        with self._mutex:
            self._phase, self._total, self._done = phase, total_bytes or 0, 0
            self._tell()

    def advance(self, count: int) -> None:
        with self._mutex:
            self._done += count
            self._tell()

    def note(self, text: str) -> None:
        with self._mutex:
            self._report(Progress(text))

    def _tell(self) -> None:
        total = max(self._total, self._done) if self._total else None
        of = f" of {size_text(total)}" if total else ""
        self._report(Progress(f"{self._phase}: {size_text(self._done)}{of}", self._done, total))
