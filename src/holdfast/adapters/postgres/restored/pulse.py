"""Whether a server that does not answer yet still replays: what it does, seen from outside."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from holdfast.adapters.postgres.server import process

BUSY_SHARE = 0.25
"""Of the looks. One that replays runs, or waits for a disk, nearly always; one that starves sleeps."""
_BUSY = frozenset("RD")
_STARTUP, _CHECKPOINTER = "startup", "checkpointer"


@dataclass(frozen=True, slots=True)
class Beat:
    """One look. `doing` names the segment that is replayed; empty when there is no such process."""

    doing: str
    is_busy: bool


class Pulse:
    """Told of look after look, it knows when nothing has moved for `stalled_s` seconds. Reads nothing."""

    def __init__(self, stalled_s: float) -> None:
        self._stalled_s = stalled_s
        self._began: float | None = None
        self._doing = ""
        self._looks = self._busy = 0

    def is_stalled(self, at: float, beat: Beat) -> bool:
        """`at` in seconds of a monotonic clock."""
        if self._began is None or beat.doing != self._doing:
            self._began, self._doing, self._looks, self._busy = at, beat.doing, 0, 0
        self._looks += 1
        self._busy += beat.is_busy
        if at - self._began < self._stalled_s:
            return False
        if self._busy < self._looks * BUSY_SHARE:
            return True
        self._began, self._looks, self._busy = at, 0, 0
        return False


def beat_of(data: Path, processes_of: Callable[[Path], list[int]] = process.processes_of) -> Beat:
    """What the server on `data` does now: who replays in it, and who writes out what was replayed."""
    doing, is_busy = "", False
    for pid in processes_of(data):
        try:
            title = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0 ").decode(errors="replace")
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        # Behind the cluster's name, where it has one: postgres: NAME: startup recovering 0000...
        words = title.split()
        if words[:1] != ["postgres:"] or not {_STARTUP, _CHECKPOINTER} & set(words):
            continue
        is_busy = is_busy or stat.rpartition(")")[2].split()[0] in _BUSY
        if _STARTUP in words:
            doing = title
    return Beat(doing, is_busy)
