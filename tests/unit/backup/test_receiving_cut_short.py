"""A primary that dies between two messages: what it had sent is kept, though nothing follows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.receiving_parts import receiving, until, wal_in
from tests.scripted_source import ScriptedSource

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup.errors import SourceAway
from holdfast.backup.lsn import Lsn, Segment, Timeline
from holdfast.backup.ports import Slot, SourceIdentity, WalData, WalStream

MIB = 1 << 20
START = Lsn(0x3000000)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SENT = b"\x5a" * 70_000
"""In pieces, as a server sends it."""


class Stream:
    """Sends two pieces of WAL, and is gone."""

    def __init__(self) -> None:
        half = len(SENT) // 2
        end = Lsn(START + len(SENT))
        self._left = [
            WalData(START, SENT[:half], end, NOON),
            WalData(Lsn(START + half), SENT[half:], end, NOON),
        ]

    def receive(self, timeout_s: float) -> WalData:
        del timeout_s
        if not self._left:
            raise SourceAway("the stream of WAL broke off")
        return self._left.pop(0)

    def acknowledge(self, written: Lsn, flushed: Lsn, *, reply_wanted: bool = False) -> None: ...

    def wake(self) -> None: ...

    def close(self) -> None: ...


@dataclass
class Dying(ScriptedSource):
    """A server that answers until its stream has ended, and never again."""

    dead: bool = False

    def identify(self) -> SourceIdentity:
        if self.dead:
            raise SourceAway("the server is away")
        return SourceIdentity(7, Timeline(1), START, 180_004, MIB, NOON)

    def slot(self, name: str) -> Slot:
        return Slot(name, START, Timeline(1))

    @contextmanager
    def stream(
        self, start: Lsn, timeline: Timeline, *, slot: str | None, application_name: str
    ) -> Iterator[WalStream]:
        del timeline, slot, application_name
        assert start == START
        try:
            yield Stream()
        finally:
            self.dead = True


def test_what_came_last_is_stored_though_the_stream_broke_off_behind_it(tmp_path: Path) -> None:
    region, source = MemoryRegion("eu"), Dying()
    with receiving({}, tmp_path / "spool", [region], source=source):  # type: ignore[arg-type]
        until(lambda: source.dead, "the stream's end")
        until(lambda: wal_in(region), "a piece in the region")
        until(lambda: wal_in(region) == {Segment.holding(Timeline(1), START, MIB): SENT}, "all that was sent")
