"""The same objects into several regions at once, in bounded memory.

A region that fails, or holds the others up for too long, is left behind: what was put into it stays there,
and copying brings it the rest later. The others never notice.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from holdfast.backup.errors import AlreadyThere, RegionAway, RegionError, RegionRefused
from holdfast.backup.ports import Region
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import Remedy

PATIENCE_S = 30.0
"""How long a region may hold all the others up, summed over one backup,"""
PATIENCE_SHARE = 0.25
"""and this share of the backup's whole time on top: a long one can wait longer for a region that moves."""
RETRY_AFTER_S = (0.5, 2.0)
LAST_PATIENCE_S = 120.0
"""The only region that is left is asked again for `PATIENCE_SHARE` of the time that has passed, at most so
long: one that restarts costs no backup of hours, and one that never answered is given up at once."""
_LOOK_EVERY_S = 1.0


@dataclass(slots=True, eq=False)
class _Parcel:
    """Something to be done in each region. Its room is `count` bytes until all have done it."""

    do: Callable[[Region], None] | None
    count: int
    lanes_left: int = 0


@dataclass(slots=True, eq=False)
class _Lane:
    """One region's way. `busy` are the parcels that its threads have in hand."""

    region: Region
    waiting: deque[_Parcel] = field(default_factory=deque)
    busy: int = 0
    held_up_s: float = 0.0
    failed: Exception | None = None
    why: str = ""

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.busy

    @property
    def good(self) -> bool:
        return self.failed is None


class FanOut:
    """Puts objects into all regions; use it as a context manager.

    At most `limit_bytes` wait or travel at any time; `reserve` waits for room before there is an object at
    all. Safe to use from several threads.
    """

    def __init__(
        self,
        regions: Sequence[Region],
        clock: Clock,
        *,
        limit_bytes: int,
        workers: int,
        patience_s: float = PATIENCE_S,
        retry_after_s: Sequence[float] = RETRY_AFTER_S,
    ) -> None:
        self._lanes = [_Lane(region) for region in regions]
        self._clock = clock
        self._limit = limit_bytes
        self._patience_s = patience_s
        self._retry_after_s = tuple(retry_after_s) or (0.0,)
        self._began = self._counted_until = clock.monotonic()
        self._held = 0
        self._closed = False
        self._changed = threading.Condition()
        # Daemons: a put that never returns must not keep the process from ending.
        self._threads = [
            threading.Thread(target=self._work, args=(lane,), name=f"to {lane.region.name}", daemon=True)
            for lane in self._lanes
            for _ in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def complete(self) -> tuple[str, ...]:
        """The regions that have everything so far."""
        with self._changed:
            return tuple(lane.region.name for lane in self._lanes if lane.good)

    @property
    def behind(self) -> Mapping[str, str]:
        """The regions that do not, and why."""
        with self._changed:
            return {lane.region.name: lane.why for lane in self._lanes if not lane.good}

    def reserve(self, count: int) -> None:
        """Wait for room for `count` bytes. Raises RegionAway or RegionRefused when no region is left."""
        with self._changed:
            while self._held and self._held + count > self._limit:
                self._wait()
            self._check()
            self._held += count

    def release(self, count: int) -> None:
        """Give room back that was reserved and is not needed."""
        with self._changed:
            self._held -= count
            self._changed.notify_all()

    def put(self, key: str, content: bytes) -> None:
        """Put an object into every region that is not behind. Its room was reserved: `len(content)`."""

        def do(region: Region) -> None:
            # A key is ours alone: one that is taken is an attempt that succeeded, and its answer was lost.
            with suppress(AlreadyThere):
                region.put(key, content)

        self._hand_out(_Parcel(do, len(content)))

    def each(self, do: Callable[[Region], None]) -> None:
        """Have something done in every region that is not behind; tried again while it raises RegionAway."""
        self._hand_out(_Parcel(do, 0))

    def _hand_out(self, parcel: _Parcel) -> None:
        with self._changed:
            good = [lane for lane in self._lanes if lane.good]
            parcel.lanes_left = len(good)
            for lane in good:
                lane.waiting.append(parcel)
            if not good:
                self._held -= parcel.count
            self._changed.notify_all()

    def settle(self) -> None:
        """Wait until every region has everything, or is behind. Raises when none is left."""
        with self._changed:
            while not all(lane.idle for lane in self._lanes if lane.good):
                self._wait()
            self._check()

    def close(self) -> None:
        """Whatever waits is let go of; what travels may arrive."""
        with self._changed:
            self._closed = True
            for lane in self._lanes:
                lane.waiting.clear()
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self) -> None:
        """Wait for a change, and count against the regions that the others wait for."""
        self._check()
        if self._closed:
            raise RegionAway("the backup was given up")
        began = self._clock.monotonic()
        self._changed.wait(_LOOK_EVERY_S)
        now = self._clock.monotonic()
        # Several threads may wait at the same time, which is counted once.
        waited, self._counted_until = max(now - max(began, self._counted_until), 0.0), now
        good = [lane for lane in self._lanes if lane.good]
        late = [lane for lane in good if not lane.idle]
        if len(late) == len(good):
            return  # all are at work: that is the speed there is
        for lane in late:
            lane.held_up_s += waited
            if lane.held_up_s > self._patience_s + PATIENCE_SHARE * (began - self._began):
                why = f"it held the others up for {lane.held_up_s:.0f} s: too slow"
                self._fail(lane, RegionAway(f"region {lane.region.name}: {why}"))

    def _check(self) -> None:
        if any(lane.good for lane in self._lanes):
            return
        causes = [lane.failed for lane in self._lanes if lane.failed is not None]
        told = "; ".join(f"{lane.region.name}: {lane.why}" for lane in self._lanes) or "there are none"
        transient = any(isinstance(each, RegionError) and each.remedy is Remedy.TRANSIENT for each in causes)
        kind = RegionAway if transient else RegionRefused
        hint = next((each.hint for each in causes if isinstance(each, RegionError) and each.hint), "")
        raise kind(f"no region took the backup: {told}", hint=hint) from (causes[-1] if causes else None)

    def _fail(self, lane: _Lane, error: Exception) -> None:
        lane.failed, lane.why = error, _line(error)
        for parcel in lane.waiting:
            self._done(parcel)
        lane.waiting.clear()
        self._changed.notify_all()

    def _done(self, parcel: _Parcel) -> None:
        parcel.lanes_left -= 1
        if parcel.lanes_left == 0:
            self._held -= parcel.count
            parcel.do = None
            self._changed.notify_all()

    def _work(self, lane: _Lane) -> None:
        while True:
            with self._changed:
                while not lane.waiting and not self._closed:
                    self._changed.wait()
                if not lane.waiting:
                    return
                parcel = lane.waiting.popleft()
                lane.busy += 1
            error = self._tried(lane, parcel)
            with self._changed:
                lane.busy -= 1
                if error is not None and lane.good:
                    self._fail(lane, error)
                self._done(parcel)
                self._changed.notify_all()

    def _tried(self, lane: _Lane, parcel: _Parcel) -> Exception | None:
        """Do it, again after a while where that may help. None when it is done."""
        began = self._clock.monotonic()
        last_patience_s = min(LAST_PATIENCE_S, PATIENCE_SHARE * (began - self._began))
        pauses = iter(self._retry_after_s)
        while True:
            try:
                if parcel.do is not None:
                    parcel.do(lane.region)
            except RegionAway as error:
                pause = next(pauses, None)
                patient = self._clock.monotonic() - began < last_patience_s
                if pause is None and patient and self._is_last(lane):
                    pause = self._retry_after_s[-1]
                if pause is None or not self._pause(lane, pause):
                    return error
            except Exception as error:  # noqa: BLE001  whatever it is, the other regions go on
                return error
            else:
                return None

    def _is_last(self, lane: _Lane) -> bool:
        with self._changed:
            return lane.good and not any(other.good for other in self._lanes if other is not lane)

    def _pause(self, lane: _Lane, pause: float) -> bool:
        """Wait; False when there is no sense in trying again."""
        until = self._clock.monotonic() + pause
        with self._changed:
            while lane.good and not self._closed:
                left = until - self._clock.monotonic()
                if left <= 0:
                    return True
                self._changed.wait(left)
        return False


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__
