"""WAL from the spool into one region, in a thread of its own: a region that is away or slow stops no other.

What a region has is asked of the region itself, once for each segment, so that a restart stores nothing
twice and leaves nothing out. A put that failed is tried again with the same bytes under the same key: when
it had arrived after all, it is there already.
"""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from holdfast.backup import layout
from holdfast.backup.errors import AlreadyThere, BackupError
from holdfast.backup.lsn import Lsn, Segment, Timeline
from holdfast.backup.ports import Packer, Region, TakesParts
from holdfast.backup.wal.blocks import WholeBlocks
from holdfast.backup.wal.gathering import Gathering
from holdfast.backup.wal.health import Events, Health
from holdfast.backup.wal.leaving import Leaving
from holdfast.backup.wal.pieces import (
    BLOCK_BYTES,
    LAST_BYTES,
    Covers,
    PackedOnce,
    PackedPiece,
    next_piece,
    packed_piece,
)
from holdfast.backup.wal.spool import Spool, Spooled
from holdfast.backup.wal.stored_spans import StoredSpans
from holdfast.kernel.clock import Clock

PARTIAL_EVERY_S = 2.0
"""Between parts of an incomplete segment."""
AGAIN_S = (1.0, 2.0, 5.0, 10.0, 30.0)
BUSY_S = 0.005
"""Waited for at most, when its own thread is at work just now."""
AWAY_AFTER_S = 60.0
"""A region that fails for so long does not answer any more."""

Place = tuple[Timeline, Lsn]


@dataclass(frozen=True, slots=True)
class RegionState:
    """How a region stands. `has`: everything before it, of what was spooled; None while it was not asked."""

    region: str
    has: Place | None
    lag_bytes: int | None
    answers: bool
    error: str
    failing_for_s: float
    left_behind: Lsn | None
    """From where on it lacks WAL that the spool let go of: another region has it, and it is to be copied."""
    puts: int


class RegionUpload:
    """One region's part of a receiver. `changed` is notified when there is more to store, or to tell."""

    def __init__(
        self,
        database: str,
        region: Region,
        spool: Spool,
        packer: Packer,
        clock: Clock,
        *,
        covers: Covers,
        packed: PackedOnce,
        changed: threading.Condition,
        stored: Callable[[], None],
        on_event: Events,
        at_once: bool,
        partial_every_s: float = PARTIAL_EVERY_S,
    ) -> None:
        """`at_once`: parts are stored as soon as they are there, since commits wait for them.

        They are stored before the spool has flushed them.
        """
        self.region = region
        self._database = database
        self._spool = spool
        self._packer = packer
        self._clock = clock
        self._covers = covers
        self._packed = packed
        self._changed = changed
        self._stored = stored
        self._on_event = on_event
        self._at_once = at_once
        self._put_part = region.put_part if at_once and isinstance(region, TakesParts) else region.put
        self._health = Health(region.name, clock, on_event)
        self._blocks = WholeBlocks(f"blocks to {region.name}", self._put_block, self._health.failed, AGAIN_S)
        self._stored_whole: deque[str] = deque()
        self._gathering = Gathering()
        self._partial_every_s = partial_every_s
        self._has: dict[Segment, int] = {}
        self._leaving = Leaving(region, clock)
        self._stored_spans = StoredSpans(database, region, self._leaving)
        self._histories: set[Timeline] = set()
        self._unsure: PackedPiece | None = None
        self._partial_at = -partial_every_s
        self._place: Place | None = None
        self._left_behind: Lsn | None = None
        self._puts = 0
        self._working = threading.Lock()
        """Held by whoever stores something: its own thread, or the receiving one."""
        self._pressing = False
        self._beside = False
        self._left_to_thread = True
        """Beside the receiving thread: what that one could not store."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"wal to {region.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, patience_s: float) -> None:
        """Let it end after what it is doing; a put that hangs is not waited for longer than that."""
        with self._changed:
            self._stopping.set()
            self._changed.notify_all()
        self._thread.join(patience_s)
        self._blocks.stop(patience_s)

    # --- asked by others

    @property
    def answers(self) -> bool:
        failing_for_s = self._health.failing_for_s
        return failing_for_s is None or failing_for_s < AWAY_AFTER_S

    def has_on(self, timeline: Timeline) -> Lsn:
        """Up to where it has that timeline, and all that was spooled before; 0 when it is not there yet."""
        place = self._place
        return place[1] if place is not None and place[0] == timeline else Lsn(0)

    def gathers_s(self, end: Lsn) -> float:
        """How long it still waits for more than came up to there; 0: it would put that now."""
        return self._gathering.wait_s(end, self._clock.monotonic())

    def has_all_of(self, spooled: Spooled) -> bool:
        there = self._has.get(spooled.segment, -1)
        return there >= spooled.flushed and not self._blocks.lacks(spooled.segment)

    def leave_behind(self, segment: Segment) -> None:
        """The spool lets go of a segment that only other regions have."""
        if self._left_behind is None:
            self._left_behind = Lsn(segment.start + max(self._has.get(segment, 0), 0))
            self._on_event("region_left_behind", {"region": self.region.name, "segment": segment.name})

    def caught_up(self) -> None:
        """What it was left behind with was copied from another region."""
        self._left_behind = None

    def state(self) -> RegionState:
        end = self._spool.flushed
        lag = max(end[1] - self._place[1], 0) if end and self._place and end[0] == self._place[0] else None
        return RegionState(
            self.region.name,
            self._place,
            0 if end is None else lag,
            self.answers,
            self._health.error,
            self._health.failing_for_s or 0.0,
            self._left_behind,
            self._puts,
        )

    # --- its own thread

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                with self._working:
                    busy = self._step()
            except BackupError as error:
                self._health.failed(str(error))
            except Exception as error:  # noqa: BLE001  a thread that died would leave its region behind for ever
                self._health.failed(f"{type(error).__name__}: {error}")
            else:
                failures = 0
                if not self._blocks.failing:
                    self._health.well()
                if not busy:
                    self._wait()
                continue
            # Not on `changed`: that is told all the time, and a region that fails is left alone for a while.
            self._stopping.wait(AGAIN_S[min(failures, len(AGAIN_S) - 1)])
            failures += 1

    def _wait(self) -> None:
        """Until there may be something to store."""
        with self._changed:
            if not self._stopping.is_set() and not self._wanted():
                self._changed.wait(self._until_due())

    def _until_due(self) -> float:
        if self._at_once and not self._beside and (end := self._spool.end) is not None:
            gathering_s = self._gathering.wait_s(end[1], self._clock.monotonic())
            if gathering_s:
                return gathering_s
        left = self._partial_at + self._partial_every_s - self._clock.monotonic()
        return max(left, 0.05) if 0 < left < self._partial_every_s else self._partial_every_s

    def _step(self) -> bool:
        """Store one thing; False when there is nothing now. Raises BackupError."""
        self._put_histories()
        self._take_up_blocks()
        if self._unsure is not None:
            self._put(self._unsure)
            return True
        # Before it looks: what is left to it meanwhile is looked for again.
        self._left_to_thread, left = False, self._left_to_thread
        wanted = self._wanted_piece() if left or not self._beside else None
        if wanted is None:
            return self._leaving.delete_some()
        self._left_to_thread = True
        if self._leaving.due:
            # What commits wait for goes on, also where nothing can be deleted.
            with suppress(BackupError):
                self._leaving.delete_some()
        segment, span = wanted
        try:
            piece = self._packed.piece(self._database, self._spool, self._packer, segment, span, self._covers)
        except KeyError:
            return True  # the spool let go of it just now
        self._put(piece)
        return True

    def _wanted(self) -> bool:
        if self._beside and not self._left_to_thread:
            return False
        if not self._working.acquire(blocking=False):
            return False  # the receiving thread sees to it just now
        try:
            return self._unsure is not None or self._wanted_piece(ask=False) is not None
        except BackupError:
            return True
        finally:
            self._working.release()

    # --- in the receiving thread

    def lies_with(self, folder: Path) -> bool:
        """Whether what hangs there hangs that folder too."""
        return isinstance(self.region, TakesParts) and self.region.lies_with(folder)

    def beside(self, *, on: bool) -> None:
        """From now on the receiving thread calls `store_now` for what comes; the rest goes as before."""
        self._left_to_thread = True
        self._beside = on
        with self._changed:
            self._changed.notify_all()

    def store_now(self) -> bool:
        """Store what commits wait for: handing it over to another thread costs as much as the put.

        False: it is left to its own thread, which is at work, or tries again what failed.
        """
        done = False
        if self._health.failing_for_s is None and self._working.acquire(timeout=BUSY_S):
            self._pressing = True
            try:
                done = self._stored_all()
            except KeyError:
                pass  # the spool let go of it just now
            except BackupError as error:
                self._health.failed(str(error))
            finally:
                self._pressing = False
                self._working.release()
        self._left_to_thread = self._left_to_thread or not done
        return done

    def _stored_all(self) -> bool:
        """Whether all is stored. Raises BackupError, KeyError."""
        self._put_histories()
        while self._unsure is None and (wanted := self._wanted_piece()) is not None:
            segment, (start, end) = wanted
            if end - start > LAST_BYTES:
                return False
            self._put(
                packed_piece(self._database, self._spool, self._packer, segment, start, end, self._covers)
            )
            if self._place == self._spool.end:
                break
        return self._unsure is None

    def _wanted_piece(self, *, ask: bool = True) -> tuple[Segment, tuple[int, int]] | None:
        """The next piece in the order of the log, and where this region stands."""
        segments = self._spool.segments()
        place: Place | None = None
        for spooled in segments:
            segment = spooled.segment
            if segment not in self._has:
                if not ask:
                    self._place = place or self._place
                    return segment, (0, 0)
                self._keep(segment, self._stored_spans.ask(segment))
            has = self._has[segment]
            there = spooled.written if self._at_once else spooled.flushed
            place = (segment.timeline, Lsn(segment.start + min(has, there)))
            if has >= there:
                continue
            self._place = place
            closed = spooled is not segments[-1]
            return self._due(segment, has, there, closed=closed)
        self._place = place
        self._forget_released(segments)
        return None

    def _due(
        self, segment: Segment, has: int, there: int, *, closed: bool
    ) -> tuple[Segment, tuple[int, int]] | None:
        now = self._clock.monotonic()
        if self._at_once:
            due = closed or self._pressing or not self._gathering.wait_s(segment.start + there, now)
        else:
            due = closed or now - self._partial_at >= self._partial_every_s
        span = next_piece(has, there, segment, due=due, waited_for=self._at_once)
        return None if span is None else (segment, span)

    def _put(self, piece: PackedPiece) -> None:
        self._unsure = piece
        began = self._clock.monotonic()
        is_whole = piece.is_whole
        # AlreadyThere: our own, from a put of which we never heard.
        with suppress(AlreadyThere):
            (self.region.put if is_whole else self._put_part)(piece.key, piece.content)
        self._unsure = None
        self._puts += 1
        segment = piece.segment
        self._stored_spans.add(segment, piece.start, piece.end, piece.key)
        if not is_whole:
            self._partial_at = self._clock.monotonic()
        self._keep(segment, piece.end)
        self._wanted_piece(ask=False)
        if self._at_once and (end := self._spool.end) is not None:
            now = self._clock.monotonic()
            self._gathering.done(0 if is_whole else piece.end - piece.start, end[1], now - began, now)
        self._stored()

    def _keep(self, segment: Segment, end: int) -> None:
        """The region has that much of a segment. What is there only in parts is wanted whole first."""
        block = min(segment.size, BLOCK_BYTES)
        before = self._has.get(segment, 0)
        if end // block > before // block or segment not in self._has:
            for start in range(0, end - block + 1, block):
                if not self._stored_spans.has_whole(segment, start):
                    self._blocks.want(segment, (start, start + block))
        self._has[segment] = max(before, end)

    def _put_block(self, segment: Segment, span: tuple[int, int]) -> None:
        """In the blocks' thread: what is there in parts, once more, whole. Raises BackupError, KeyError."""
        piece = self._packed.piece(self._database, self._spool, self._packer, segment, span, self._covers)
        with suppress(AlreadyThere):
            self.region.put(piece.key, piece.content)
        self._stored_whole.append(piece.key)
        self._blocks.done(segment, span)
        self._stored()

    def _take_up_blocks(self) -> None:
        while self._stored_whole:
            piece = layout.piece_of(self._stored_whole.popleft(), 0)
            if piece is not None:
                self._puts += 1
                self._stored_spans.add(piece.segment, piece.start, piece.end, piece.key)

    def _put_histories(self) -> None:
        """Before WAL of a timeline: without its history nobody knows where it comes from."""
        for timeline, text in self._spool.histories().items():
            if timeline in self._histories:
                continue
            content = text.encode()
            key = layout.history_key(self._database, timeline, hashlib.sha256(content).hexdigest())
            with suppress(AlreadyThere):
                self.region.put(key, content)
            self._histories.add(timeline)

    def _forget_released(self, segments: Sequence[Spooled]) -> None:
        self._take_up_blocks()
        if len(self._has) <= len(segments):
            return  # each of them is known
        there = {each.segment for each in segments}
        for segment in [each for each in self._has if each not in there]:
            del self._has[segment]
            self._blocks.forget(segment)
            self._stored_spans.forget(segment)
