"""WAL of one database: received, spooled, stored in every region, acknowledged. One `Receiver` for each.

    server --stream--> spool (fsync) --+--> region EU     a thread each, from the place that the region has
              ^                        +--> region US     (in sync mode before the spool is flushed)
              +-- acknowledged: see `acknowledging` and `telling`

1. Nothing is acknowledged as flushed before it is on this machine's disk, or in the regions asked for.
2. Nothing is dropped: without room receiving stops, the server keeps its WAL, and that is said.
3. Where it goes on is decided by what is there: the spool, the regions, the server. See `wal_gaps`.
"""

import threading
from collections.abc import Sequence
from contextlib import suppress

from holdfast.backup.errors import BackupError, SourceAway, SpoolFull, WalGone
from holdfast.backup.lsn import Lsn, Timeline, format_lsn
from holdfast.backup.model import Mode
from holdfast.backup.ports import (
    Packer,
    Region,
    Slot,
    Source,
    TimelineEnds,
    WalAlive,
    WalEvent,
    WalStream,
)
from holdfast.backup.wal.acknowledging import Standing
from holdfast.backup.wal.gathering import Gathering
from holdfast.backup.wal.health import Events
from holdfast.backup.wal.heartbeat import Heartbeat
from holdfast.backup.wal.joining import Joined
from holdfast.backup.wal.meeting import Meeting
from holdfast.backup.wal.pieces import BLOCK_BYTES, Covers, PackedOnce
from holdfast.backup.wal.reception import BATCH_BYTES, FLUSH_EVERY_S, ReceiverSettings, ReceiverState, Seen
from holdfast.backup.wal.releasing import make_room, release
from holdfast.backup.wal.spool import Spool
from holdfast.backup.wal.telling import TELL_EVERY_S, Telling
from holdfast.backup.wal.uploading import RegionUpload
from holdfast.backup.wal.wal_gaps import Decision
from holdfast.kernel.clock import Clock

ASK_AFTER_S, SILENT_AFTER_S = 20.0, 60.0
AGAIN_S = (0.2, 1.0, 2.0, 5.0, 15.0)


class _Stopped(Exception):  # noqa: N818
    """Stopping was asked for."""


class Receiver:
    """Receives one database's WAL until it is stopped. `on_event` is told what happens; from any thread."""

    def __init__(
        self,
        database: str,
        source: Source,
        spool: Spool,
        regions: Sequence[Region],
        packer: Packer,
        clock: Clock,
        settings: ReceiverSettings,
        *,
        on_event: Events,
    ) -> None:
        self._database = database
        self._source = source
        self._spool = spool
        self._clock = clock
        self._settings = settings
        self._on_event = on_event
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._covers = Covers()
        self._gathering = Gathering()
        self._beside: RegionUpload | None = None  # where the spool lies the receiving thread puts
        self._flushed_at = 0.0
        self._to_disk: tuple[int, float, float] | None = None  # how much was last, how long it took, and when
        self._now = Seen()
        self._meeting = Meeting(database, source, spool, regions, settings.slot, on_event)
        self._telling = Telling(database, spool, clock, settings, self._standings, on_event)
        self._waits_for_regions = settings.mode is Mode.SYNC and settings.sync_regions > 0
        packed = PackedOnce()
        self._uploads = [
            RegionUpload(
                database,
                region,
                spool,
                packer,
                clock,
                covers=self._covers,
                packed=packed,
                changed=self._changed,
                stored=self._stored,
                on_event=on_event,
                at_once=self._waits_for_regions,
                partial_every_s=settings.partial_every_s,
            )
            for region in regions
        ]
        self._thread = threading.Thread(target=self._run, name=f"wal of {database}", daemon=True)
        self._heartbeat = Heartbeat(
            database, source, clock, settings.heartbeat_s, self._quiet_since, on_event
        )

    def start(self) -> None:
        for upload in self._uploads:
            upload.start()
        self._thread.start()
        self._heartbeat.start()

    def stop(self, patience_s: float = 10.0) -> None:
        """End. What was received is in the spool; what no region has yet goes there after the next start."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        self._telling.wake()
        self._thread.join(patience_s)
        self._heartbeat.stop(patience_s)
        for upload in self._uploads:
            upload.stop(patience_s)

    def state(self) -> ReceiverState:
        now, end, flushed = self._now, self._spool.end, self._spool.flushed
        return ReceiverState(
            now.connected,
            now.error,
            end[0] if end else None,
            end[1] if end else None,
            flushed[1] if flushed else None,
            self._telling.acknowledged,
            now.server_end,
            now.heard_at,
            self._spool.size,
            self._spool.limit_bytes,
            now.full,
            self._telling.sync,
            now.backup_wanted,
            tuple(upload.state() for upload in self._uploads),
        )

    def backup_taken(self) -> None:
        """The backup that was wanted is there."""
        self._now.backup_wanted = ""

    def caught_up(self, region: str) -> None:
        """What a region was left behind with was copied there."""
        for upload in self._uploads:
            if upload.region.name == region:
                upload.caught_up()

    def _standings(self, timeline: Timeline) -> Sequence[Standing]:
        return [Standing(each.has_on(timeline), each.answers) for each in self._uploads]

    def _quiet_since(self) -> float | None:
        return self._now.data_at if self._now.connected else None

    # --- the receiving thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._session()
                self._stopping.wait(AGAIN_S[0])
            except _Stopped:
                return
            except WalGone as error:
                self._now.gone = str(error)
                self._failed(str(error))
            except BackupError as error:
                self._failed(str(error), error.hint)
            except Exception as error:  # noqa: BLE001  a thread that died would leave the database unprotected
                self._failed(f"{type(error).__name__}: {error}")

    def _failed(self, text: str, hint: str = "") -> None:
        now = self._now
        now.connected = False
        now.error = text
        if text != now.said:
            now.said = text
            self._on_event("wal_stream_failed", {"database": self._database, "error": text, "hint": hint})
        wait_s = AGAIN_S[min(now.failures, len(AGAIN_S) - 1)]
        now.failures += 1
        self._stopping.wait(wait_s)

    def _session(self) -> None:
        """Connect, receive until the timeline ends. Raises BackupError, _Stopped."""
        met = self._meeting.meet(self._now.gone)
        with self._source.stream(
            met.start,
            met.decision.timeline,
            slot=self._settings.slot,
            application_name=self._settings.application_name,
        ) as stream:
            self._begin(met.decision, met.slot, stream)
            try:
                self._follow(stream)
            finally:
                self._telling.end()
                if self._beside is not None:
                    self._beside.beside(on=False)
                self._spool.flush()

    def _begin(self, decision: Decision, slot: Slot, stream: WalStream) -> None:
        now, monotonic = self._now, self._clock.monotonic()
        if decision.timeline != now.timeline:
            self._covers.forget()
        self._telling.begin(stream, decision.timeline, slot.restart or Lsn(0))
        near = [each for each in self._uploads if each.lies_with(self._spool.folder)]
        if near and self._waits_for_regions:
            self._beside = near[0]
            self._beside.beside(on=True)
        now.connected, now.error, now.said, now.gone = True, "", "", ""
        now.timeline = decision.timeline
        now.heard = now.data_at = monotonic
        now.backup_wanted = self._meeting.announce(decision) or now.backup_wanted

    def _follow(self, stream: WalStream) -> None:
        """Receive until the timeline ends. Raises BackupError, _Stopped."""
        event: WalEvent | None = None
        while True:
            waited = event is not None
            if event is None:
                event = stream.receive(TELL_EVERY_S)
            if self._stopping.is_set():
                raise _Stopped
            monotonic = self._clock.monotonic()
            if event is None:
                silent_s = monotonic - self._now.heard
                if silent_s >= SILENT_AFTER_S:
                    raise SourceAway(f"the server has sent nothing for {silent_s:.0f} s")
                self._telling.tell(reply_wanted=silent_s >= ASK_AFTER_S)
                self._flush()
                continue
            ends, reply_now = self._take_in(stream, event, waited=waited)
            if self._beside is None or reply_now or ends is not None:
                # Else it was told as soon as it was put.
                self._telling.tell(now=reply_now or ends is not None)
            if ends is not None:
                self._on_event(
                    "timeline_ended",
                    {
                        "database": self._database,
                        "at": format_lsn(ends.switch_at),
                        "following": ends.following,
                    },
                )
                self._meeting.keep_history(ends.following)
                return
            event = stream.receive(0)

    def _take_in(
        self, stream: WalStream, event: WalEvent | None, *, waited: bool
    ) -> tuple[TimelineEnds | None, bool]:
        """Everything that is there, onto the disk. Whether the timeline ended, and an answer is wanted.

        `waited`: it had come before what came last was acknowledged.
        """
        taken, reply_now = 0, False
        ends: TimelineEnds | None = None
        now = self._now
        before, there = self._spool.flushed, self._spool.end
        joined = Joined(self._append)
        try:
            while event is not None:
                now.heard = self._clock.monotonic()
                if isinstance(event, TimelineEnds):
                    ends = event
                    break
                now.heard_at = event.sent_at
                now.server_end = max(now.server_end, event.server_end)
                if isinstance(event, WalAlive):
                    reply_now = reply_now or event.reply_wanted
                    self._covers.seen(event.sent_at)
                else:
                    joined.add(event)
                    self._covers.heard(event)
                    taken += len(event.content)
                    now.data_at = now.heard
                    now.failures = 0
                if taken >= BATCH_BYTES:
                    break
                event = stream.receive(0)
                if event is not None:
                    continue
                joined.write()
                if self._to_disk is not None:
                    there = self._spool.end if waited else there
                    length, took_s, at = self._to_disk
                    self._gathering.done(length, there[1] if there else 0, took_s, at)
                    self._to_disk = None
                while event is None and taken and (gathering_s := self._gathering_s()):
                    # A flush now would keep us from receiving the others: they are on their way back.
                    event = stream.receive(gathering_s)
                    if self._stopping.is_set():
                        break
        finally:
            # Also when the stream broke off: what came last may be nowhere else any more.
            joined.write()
            if taken:
                self._came(taken)
                self._kept(before, taken, last=ends is not None)
        return ends, reply_now

    def _kept(self, before: tuple[Timeline, Lsn] | None, taken: int, *, last: bool) -> None:
        """What was taken in is on this machine's disk, or will be soon, where commits wait for regions."""
        end, server, began = self._spool.end, self._spool.server, self._clock.monotonic()
        lazily = self._waits_for_regions and self._telling.sync == "on" and not last
        if lazily and end is not None and before is not None and server is not None:
            # Nothing of a segment is acknowledged before this machine's disk has the one before.
            same = before[1] // server.segment_bytes == end[1] // server.segment_bytes
            if same and began - self._flushed_at < FLUSH_EVERY_S:
                return
        self._flush()
        if not self._waits_for_regions:
            self._to_disk = (taken, self._flushed_at - began, self._flushed_at)
        self._flushed(before)

    def _flush(self) -> None:
        self._spool.flush()
        self._flushed_at = self._clock.monotonic()

    def _append(self, start: Lsn, content: bytes) -> None:
        """Into the spool, when there is room; until then nothing is received."""
        while True:
            try:
                self._spool.append(self._now.timeline, start, content)
            except SpoolFull as error:
                self._spool.flush()
                if not make_room(self._spool, self._uploads):
                    self._say_full(str(error))
                    self._wait_for_room()
            else:
                self._say_full("")
                return

    def _wait_for_room(self) -> None:
        with self._changed:
            self._changed.notify_all()
            self._changed.wait(TELL_EVERY_S / 2)
        if self._stopping.is_set():
            raise _Stopped
        # Not to be taken for dead: the server ends a stream that is silent.
        self._telling.tell()

    def _came(self, taken: int) -> None:
        """What commits wait for goes into the regions before it is flushed here."""
        if not self._waits_for_regions:
            return
        if (end := self._spool.end) is not None and self._telling.sync == "on":
            self._telling.kept_here(end[1])
        if self._beside is None or len(self._uploads) > 1:
            with self._changed:
                self._changed.notify_all()
        if self._beside is None:
            return
        began = self._clock.monotonic()
        if self._beside.store_now():
            self._to_disk = (taken, self._clock.monotonic() - began, self._clock.monotonic())
        else:
            with self._changed:
                self._changed.notify_all()

    def _gathering_s(self) -> float:
        """How long it is until what came is put, or flushed; 0: now, or commits wait for neither."""
        end = self._spool.end
        if end is None or self._settings.mode is not Mode.SYNC:
            return 0.0
        if not self._waits_for_regions or self._beside is not None:
            return self._gathering.wait_s(end[1], self._clock.monotonic())
        return min(upload.gathers_s(end[1]) for upload in self._uploads)

    def _flushed(self, before: tuple[Timeline, Lsn] | None) -> None:
        end = self._spool.flushed
        if end is None:
            return
        self._telling.kept_here(end[1])
        # In async mode each region looks by itself every moment; a block that is full goes at once.
        if before is None or before[1] // BLOCK_BYTES != end[1] // BLOCK_BYTES:
            with self._changed:
                self._changed.notify_all()

    # --- from the regions' threads

    def _stored(self) -> None:
        release(self._spool, self._uploads)
        if self._waits_for_regions:
            # SourceAway: the receiving thread finds that out by itself, and it is no fault of the region.
            with suppress(SourceAway):
                self._telling.tell()
        if self._now.full:
            with self._changed:
                self._changed.notify_all()

    def _say_full(self, text: str) -> None:
        if bool(text) != self._now.full:
            self._now.full = bool(text)
            name = "spool_full" if text else "spool_has_room"
            self._on_event(name, {"database": self._database, "error": text})
