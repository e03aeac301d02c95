"""WAL from the spool into one region, in a thread of its own: a region that is away or slow stops no other.

What a region has is asked of the region itself, once for each segment, so that a restart stores nothing
twice and leaves nothing out. A put that failed is tried again with the same bytes under the same key: when
it had arrived after all, it is there already.
"""

import hashlib
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from holdfast.backup import layout
from holdfast.backup.errors import AlreadyThere, BackupError, RegionRefused
from holdfast.backup.lsn import Lsn, Segment, Timeline
from holdfast.backup.ports import Packer, Region
from holdfast.backup.wal.gathering import Gathering
from holdfast.backup.wal.pieces import BLOCK_BYTES, Covers, PackedOnce, PackedPiece, next_piece
from holdfast.backup.wal.spool import Spool, Spooled
from holdfast.kernel.clock import Clock

PARTIAL_EVERY_S = 2.0
"""Between parts of an incomplete segment."""
SUPERSEDED_AFTER_S = 300.0
"""How long parts stay when their segment is there whole: a restore that listed them may be reading them."""
DELETED_AT_ONCE, DELETED_EVERY_S = 1000, 1.0
"""Parts, while there is something to store: commits wait for what this thread does meanwhile."""
AGAIN_S = (1.0, 2.0, 5.0, 10.0, 30.0)
AWAY_AFTER_S = 60.0
"""A region that fails for so long does not answer any more."""

Place = tuple[Timeline, Lsn]
Events = Callable[[str, Mapping[str, object]], None]


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

        They are stored while the spool is still flushing them: commits wait for both, at the same time.
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
        self._gathering = Gathering()
        self._partial_every_s = partial_every_s
        self._has: dict[Segment, int] = {}
        self._parts: dict[Segment, list[tuple[int, int, str]]] = {}
        self._superseded: deque[tuple[float, bytes]] = deque()
        self._leaving: deque[str] = deque()
        self._deleted_at = clock.monotonic()
        self._histories: set[Timeline] = set()
        self._unsure: PackedPiece | None = None
        self._partial_at = -partial_every_s
        self._place: Place | None = None
        self._failing_since: float | None = None
        self._said_away = False
        self._error = ""
        self._left_behind: Lsn | None = None
        self._puts = 0
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

    # --- asked by others

    @property
    def answers(self) -> bool:
        since = self._failing_since
        return since is None or self._clock.monotonic() - since < AWAY_AFTER_S

    def has_on(self, timeline: Timeline) -> Lsn:
        """Up to where it has that timeline, and all that was spooled before; 0 when it is not there yet."""
        place = self._place
        return place[1] if place is not None and place[0] == timeline else Lsn(0)

    def gathers_s(self, end: Lsn) -> float:
        """How long it still waits for more than came up to there; 0: it would put that now."""
        return self._gathering.wait_s(end, self._clock.monotonic())

    def has_all_of(self, spooled: Spooled) -> bool:
        return self._has.get(spooled.segment, -1) >= spooled.flushed

    def leave_behind(self, segment: Segment) -> None:
        """The spool lets go of a segment that only other regions have."""
        if self._left_behind is None:
            self._left_behind = Lsn(segment.start + max(self._has.get(segment, 0), 0))
            self._on_event("region_left_behind", {"region": self.region.name, "segment": segment.name})

    def caught_up(self) -> None:
        """What it was left behind with was copied from another region."""
        self._left_behind = None

    def state(self) -> RegionState:
        end, since = self._spool.flushed, self._failing_since
        lag = max(end[1] - self._place[1], 0) if end and self._place and end[0] == self._place[0] else None
        return RegionState(
            self.region.name,
            self._place,
            0 if end is None else lag,
            self.answers,
            self._error,
            0.0 if since is None else self._clock.monotonic() - since,
            self._left_behind,
            self._puts,
        )

    # --- its own thread

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                busy = self._step()
            except BackupError as error:
                self._failed(str(error))
            except Exception as error:  # noqa: BLE001  a thread that died would leave its region behind for ever
                self._failed(f"{type(error).__name__}: {error}")
            else:
                failures = 0
                self._well()
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
        if self._at_once and (end := self._spool.end) is not None:
            gathering_s = self._gathering.wait_s(end[1], self._clock.monotonic())
            if gathering_s:
                return gathering_s
        left = self._partial_at + self._partial_every_s - self._clock.monotonic()
        return max(left, 0.05) if 0 < left < self._partial_every_s else self._partial_every_s

    def _step(self) -> bool:
        """Store one thing; False when there is nothing now. Raises BackupError."""
        self._put_histories()
        if self._unsure is not None:
            self._put(self._unsure)
            return True
        wanted = self._wanted_piece()
        if wanted is None:
            return self._forget_superseded()
        if self._clock.monotonic() - self._deleted_at >= DELETED_EVERY_S:
            # What commits wait for goes on, also where nothing can be deleted.
            with suppress(BackupError):
                self._forget_superseded()
        segment, span = wanted
        try:
            piece = self._packed.piece(self._database, self._spool, self._packer, segment, span, self._covers)
        except KeyError:
            return True  # the spool let go of it just now
        self._put(piece)
        return True

    def _wanted(self) -> bool:
        try:
            return self._unsure is not None or self._wanted_piece(ask=False) is not None
        except BackupError:
            return True

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
                self._has[segment], self._parts[segment] = self._listed(segment)
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
            due = closed or not self._gathering.wait_s(segment.start + there, now)
        else:
            due = closed or now - self._partial_at >= self._partial_every_s
        span = next_piece(has, there, segment, due=due)
        return None if span is None else (segment, span)

    def _put(self, piece: PackedPiece) -> None:
        self._unsure = piece
        began = self._clock.monotonic()
        # AlreadyThere: our own, from a put of which we never heard.
        with suppress(AlreadyThere):
            self.region.put(piece.key, piece.content)
        self._unsure = None
        self._puts += 1
        segment = piece.segment
        if piece.end - piece.start == min(segment.size, BLOCK_BYTES):
            self._supersede(segment, piece)
        else:
            self._partial_at = self._clock.monotonic()
            self._parts.setdefault(segment, []).append((piece.start, piece.end, piece.key))
        self._has[segment] = max(self._has.get(segment, 0), piece.end)
        self._wanted_piece(ask=False)
        if self._at_once and (end := self._spool.end) is not None:
            now = self._clock.monotonic()
            whole = piece.end - piece.start == min(segment.size, BLOCK_BYTES)
            self._gathering.done(0 if whole else piece.end - piece.start, end[1], now - began, now)
        self._stored()

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

    def _listed(self, segment: Segment) -> tuple[int, list[tuple[int, int, str]]]:
        """How far the region has a segment without a hole, and the parts there."""
        prefix = layout.segment_prefix(self._database, segment)
        pieces = [layout.piece_of(each.key, each.size) for each in self.region.listed(prefix)]
        spans = [(each.start, each.end, each.key) for each in pieces if each is not None]
        return covered((start, end) for start, end, _ in spans), spans

    # --- parts that are not needed any more

    def _supersede(self, segment: Segment, whole: PackedPiece) -> None:
        parts = self._parts.get(segment, [])
        inside = [
            key
            for start, end, key in parts
            if whole.start <= start and end <= whole.end and end - start < whole.end - whole.start
        ]
        self._parts[segment] = [each for each in parts if each[2] not in set(inside)]
        if inside:
            # Packed: hundreds of thousands of keys may have to wait.
            self._superseded.append((self._clock.monotonic(), zlib.compress("\n".join(inside).encode(), 1)))

    def _forget_superseded(self) -> bool:
        """Delete some of the parts whose time has come. Whether there were any."""
        now = self._deleted_at = self._clock.monotonic()
        while not self._leaving and self._superseded and now - self._superseded[0][0] >= SUPERSEDED_AFTER_S:
            self._leaving.extend(zlib.decompress(self._superseded.popleft()[1]).decode().split("\n"))
        count = min(len(self._leaving), DELETED_AT_ONCE)
        if count:
            # RegionRefused: they are locked, and retention lets them go in their time.
            with suppress(RegionRefused):
                self.region.delete([self._leaving[each] for each in range(count)])
            # Not before: those of a region that is away are tried again.
            for _ in range(count):
                self._leaving.popleft()
        return count > 0

    def _forget_released(self, segments: Iterable[Spooled]) -> None:
        there = {each.segment for each in segments}
        for segment in [each for each in self._has if each not in there]:
            del self._has[segment]
            self._parts.pop(segment, None)

    # --- how it goes

    def _failed(self, text: str) -> None:
        now = self._clock.monotonic()
        self._error = text
        if self._failing_since is None:
            self._failing_since = now
            self._said_away = True
            self._on_event("region_failed", {"region": self.region.name, "error": text})

    def _well(self) -> None:
        self._failing_since = None
        self._error = ""
        if self._said_away:
            self._said_away = False
            self._on_event("region_well_again", {"region": self.region.name})


def covered(spans: Iterable[tuple[int, int]]) -> int:
    """How far spans reach from 0 without a hole."""
    reach = 0
    for start, end in sorted(spans):
        if start > reach:
            break
        reach = max(reach, end)
    return reach
