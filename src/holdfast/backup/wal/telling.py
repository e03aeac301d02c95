"""Tells the server what is kept, as soon as it is: see `acknowledging` for what counts.

The receiving thread tells after its fsync, a region's thread as soon as its put has returned: a commit that
waits for the region must not wait for the receiving thread's next turn too.
"""

import threading
from collections.abc import Callable, Sequence

from holdfast.backup.lsn import Lsn, Timeline
from holdfast.backup.model import Mode
from holdfast.backup.ports import WalStream
from holdfast.backup.wal.acknowledging import (
    Standing,
    Watchdog,
    place_asked_again,
    place_of_async,
    place_of_sync,
)
from holdfast.backup.wal.health import Events
from holdfast.backup.wal.reception import NONE_YET, NOTHING, ReceiverSettings
from holdfast.backup.wal.spool import Spool
from holdfast.kernel.clock import Clock

TELL_EVERY_S = 1.0
"""Also when there is nothing new."""


class Telling:
    """What one server is told, over one stream after the other. From any thread."""

    def __init__(
        self,
        database: str,
        spool: Spool,
        clock: Clock,
        settings: ReceiverSettings,
        standings: Callable[[Timeline], Sequence[Standing]],
        on_event: Events,
    ) -> None:
        """`standings`: how far each region has that timeline, asked for each time."""
        self.acknowledged = NOTHING
        self._database = database
        self._spool = spool
        self._clock = clock
        self._mode = settings.mode
        self._sync_regions = settings.sync_regions
        self._standings = standings
        self._on_event = on_event
        self._watchdog = Watchdog(settings.stall_limit_s)
        self._turn = threading.Lock()
        self._stream: WalStream | None = None
        self._timeline = NONE_YET
        self._floor = NOTHING
        self._told = NOTHING
        self._told_at = 0.0

    @property
    def sync(self) -> str:
        """off, on, or let go: commits do not wait for the regions just now."""
        if self._mode is not Mode.SYNC:
            return "off"
        return "let go" if self._watchdog.let_go else "on"

    def begin(self, stream: WalStream, timeline: Timeline, floor: Lsn) -> None:
        """Over that stream from now on. A place before `floor` is never told: the slot would follow it."""
        with self._turn:
            self._watchdog.forget()
            self._stream, self._timeline, self._floor = stream, timeline, floor
            self.acknowledged = self._told = NOTHING
            self._told_at = self._clock.monotonic() - TELL_EVERY_S

    def end(self) -> None:
        """Nobody speaks over the stream any more: it may be closed."""
        with self._turn:
            self._stream = None

    def wake(self) -> None:
        """Let whoever waits for the stream look up."""
        with self._turn:
            if self._stream is not None:
                self._stream.wake()

    def kept_here(self, own: Lsn) -> None:
        """This machine has it, and commits may wait for the regions from now on."""
        with self._turn:
            self._watchdog.came(own, self._clock.monotonic())

    def tell(self, *, now: bool = False, reply_wanted: bool = False) -> None:
        """Acknowledge when there is something to say, or `now`. Raises SourceAway."""
        with self._turn:
            if self._stream is None:
                return
            end, monotonic = self._spool.end, self._clock.monotonic()
            written = end[1] if end is not None and end[0] == self._timeline else NOTHING
            flushed = self._place(written, monotonic) if written else NOTHING
            due = monotonic - self._told_at >= TELL_EVERY_S
            news = self._mode is Mode.SYNC and flushed > self._told
            if now or due or reply_wanted or news:
                self._stream.acknowledge(written, flushed, reply_wanted=reply_wanted)
                self._told, self._told_at = flushed, monotonic
                self.acknowledged = flushed

    def _place(self, written: Lsn, monotonic: float) -> Lsn:
        """What is told as flushed. 0 says nothing."""
        flushed = self._spool.flushed
        if flushed is None or flushed[0] != self._timeline:
            return NOTHING
        own, regions = flushed[1], self._standings(self._timeline)
        if self._mode is Mode.SYNC:
            there, server = own, self._spool.server
            if self._sync_regions > 0 and server is not None:
                there = place_asked_again(own, written, server.segment_bytes)
            place = place_of_sync(there, regions, self._sync_regions)
            self._look_after(place, monotonic)
            if self._watchdog.let_go:
                place = own
        else:
            place = place_of_async(own, regions, self._spool.limit_bytes // 4)
        place = max(place, self.acknowledged)
        return place if place >= self._floor else NOTHING

    def _look_after(self, place: Lsn, monotonic: float) -> None:
        if self._watchdog.look(place, monotonic):
            name = "sync_let_go" if self._watchdog.let_go else "sync_resumed"
            self._on_event(name, {"database": self._database, "regions": self._sync_regions})
