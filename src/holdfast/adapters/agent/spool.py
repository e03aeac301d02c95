"""An agent's results on disk until the controller has them.

    spool/000000000017.spool    results, one line each, oldest file first
    spool/losses.json           what was given up for want of room, and not yet told
    spool/set-aside.jsonl       results that the controller will never take, for a person to look at
    spool/lock                  held by the agent that works here

1. What `put` returned from is on the disk (fsync of the file, and of the folder for a new file).
2. A file is deleted once the controller has said that it has what is in it. A kill in between repeats the
   delivery, which the controller absorbs.
3. Beyond `most_bytes` the oldest files are counted into `losses.json`, and deleted after that is on the disk.
   A kill in between leaves files that `losses.json` counts already; they are deleted at the next start.
4. Without room on the disk results wait in memory, behind those on the disk, and go there when there is room.
"""

import contextlib
import fcntl
import json
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from uuid import uuid4

import msgspec

from holdfast.adapters.agent.segments import (
    Segment,
    Writer,
    in_pieces,
    line_of,
    replace_file,
    results_in,
    segments_in,
)
from holdfast.availability.agent import Parcel
from holdfast.availability.exchange import MessageError, decode_losses, encode_losses
from holdfast.availability.ingest import Loss, Losses
from holdfast.availability.model import Outcome, Result
from holdfast.kernel.errors import HoldfastError, Remedy

MOST_BYTES = 64 * 1024 * 1024
OVERSHOOT_BYTES = 16 * 1024 * 1024
"""How far beyond its bound the spool may grow while a delivery is under way."""
MOST_IN_MEMORY = 50_000
SEGMENT_RESULTS = 1_000
SEGMENT_BYTES = 256 * 1024
PARCEL_BYTES = 2 * 1024 * 1024
LARGEST_SET_ASIDE = 1024 * 1024


class SpoolTaken(HoldfastError):  # noqa: N818  a state of affairs more than an error
    """The folder cannot be used: another agent works there, or it cannot be written to."""

    remedy = Remedy.NEEDS_OPERATOR


class _LossFile(msgspec.Struct):
    """`through`: files up to this number are counted in it."""

    through: int
    losses: msgspec.Raw


_LOSSES = msgspec.json.Decoder(_LossFile)


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where a parcel came from: how many results of which segment, and how far in memory.

    `memory_until` counts all that ever left memory: meanwhile some may have gone from there to the disk.
    """

    segments: tuple[tuple[int, int], ...] = ()
    memory_until: int = 0


class DiskSpool:
    """Spool in a folder of its own. `on_event` is told of trouble; close it at the end."""

    def __init__(
        self,
        folder: Path,
        *,
        on_event: Callable[[str, Mapping[str, object]], None],
        most_bytes: int = MOST_BYTES,
        most_in_memory: int = MOST_IN_MEMORY,
    ) -> None:
        """Takes up what an earlier process left. Raises SpoolTaken."""
        self._folder = folder
        self._on_event = on_event
        self._most_bytes = most_bytes
        self._most_in_memory = most_in_memory
        self._turn = threading.Lock()
        self._memory: deque[Result] = deque()
        self._left_memory = 0
        self._writer: Writer | None = None
        self._given_up = 0
        self._failing = ""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _locked(folder / "lock")
            self._losses, self._through = self._read_losses()
            self._segments = self._left_behind()
        except OSError as error:
            raise SpoolTaken(
                f"the spool in {folder} cannot be used: {error.strerror}",
                hint="give the agent a --data-dir that it may write to",
            ) from error
        self._last_number = max([self._through, *(each.number for each in self._segments)], default=0)

    def close(self) -> None:
        with self._turn:
            self._seal()
            os.close(self._lock)

    @property
    def waiting(self) -> int:
        return sum(segment.left for segment in self._segments) + len(self._memory)

    def put(self, results: Sequence[Result]) -> None:
        with self._turn:
            self._memory.extend(results)
            try:
                while self._memory:
                    self._append(list(islice(self._memory, SEGMENT_RESULTS)))
            except OSError as error:
                self._seal()
                self._say_failing(error)
                self._trim_memory()
            else:
                self._say_failing(None)
            self._keep_within_bounds(self._most_bytes + OVERSHOOT_BYTES)

    def next(self, most: int) -> Parcel:
        with self._turn:
            # Now, when nothing is under way: what may have been delivered is not to be counted as lost.
            self._keep_within_bounds(self._most_bytes)
            if self._losses is not None:
                return Parcel((), self._losses, _Mark())
            results: list[Result] = []
            taken: list[tuple[int, int]] = []
            size = 0
            for segment in list(self._segments):
                if len(results) >= most or size >= PARCEL_BYTES:
                    break
                if self._writer is not None and self._writer.segment is segment:
                    self._seal()
                some = self._read(segment)[: most - len(results)]
                results += some
                taken.append((segment.number, len(some)))
                size += segment.size
            # What is in memory is newer than all on the disk: never before it.
            memory = 0
            if len(taken) == len(self._segments):
                memory = min(len(self._memory), most - len(results), SEGMENT_RESULTS)
                results += islice(self._memory, memory)
            return Parcel(results, None, _Mark(tuple(taken), self._left_memory + memory))

    def delivered(self, parcel: Parcel) -> None:
        with self._turn:
            self._forget(parcel)

    def set_aside(self, parcel: Parcel, reason: str) -> None:
        path = self._folder / "set-aside.jsonl"
        with self._turn:
            with contextlib.suppress(OSError):
                if not path.exists() or path.stat().st_size < LARGEST_SET_ASIDE:
                    with path.open("a", encoding="utf-8") as file:
                        for result in parcel.results:
                            file.write(json.dumps({"reason": reason, "result": repr(result)}) + "\n")
            self._forget(parcel)

    def _forget(self, parcel: Parcel) -> None:
        if parcel.losses is not None and parcel.losses == self._losses:
            self._losses = None
            self._write_losses()
        mark = parcel.mark
        if not isinstance(mark, _Mark):
            return
        done = dict(mark.segments)
        for segment in list(self._segments):
            segment.done += done.get(segment.number, 0)
            if segment.number in done and segment.left <= 0:
                self._delete(segment)
        while self._memory and self._left_memory < mark.memory_until:
            self._pop()

    def _pop(self) -> Result:
        self._left_memory += 1
        return self._memory.popleft()

    # --- files

    def _append(self, results: Sequence[Result]) -> None:
        """To the disk, and out of memory piece by piece. Raises OSError."""
        for piece in in_pieces(map(line_of, results), SEGMENT_RESULTS, SEGMENT_BYTES):
            if self._writer is None:
                # A number is never used again, not even when its file could not be made.
                self._last_number += 1
                self._writer = Writer(self._folder, self._last_number)
                self._segments.append(self._writer.segment)
            self._writer.append(piece)
            for _ in piece:
                self._pop()
            segment = self._writer.segment
            if segment.count >= SEGMENT_RESULTS or segment.size >= SEGMENT_BYTES:
                self._seal()

    def _seal(self) -> None:
        if self._writer is not None:
            self._writer.close()
            segment = self._writer.segment
            self._writer = None
            if segment.count == 0:
                self._delete(segment)

    def _read(self, segment: Segment) -> list[Result]:
        """What of a segment is to be delivered. One that cannot be read waits until it can."""
        try:
            results = [result for result in results_in(segment.path) if result is not None]
        except FileNotFoundError:
            self._on_event("spool_file_vanished", {"file": segment.path.name, "results": segment.left})
            self._segments.remove(segment)
            return []
        except OSError as error:
            self._say_failing(error)
            return []
        segment.count = len(results)
        return results[segment.done :]

    def _delete(self, segment: Segment) -> None:
        self._segments.remove(segment)
        with contextlib.suppress(OSError):
            segment.path.unlink(missing_ok=True)

    def _left_behind(self) -> list[Segment]:
        segments: list[Segment] = []
        for segment, damaged in segments_in(self._folder):
            if damaged:
                # The end of the newest file, most likely: it was being written when the agent was killed.
                self._on_event("spool_lines_dropped", {"file": segment.path.name, "lines": damaged})
            if segment.count == 0 or segment.number <= self._through:
                segment.path.unlink()
            else:
                segments.append(segment)
        return segments

    # --- giving up

    def _keep_within_bounds(self, most_bytes: int) -> None:
        """Count the oldest segments and delete them until the rest is within bounds."""
        total = sum(segment.size for segment in self._segments)
        gone: list[Segment] = []
        for segment in self._segments[:-1]:
            if total <= most_bytes:
                break
            gone.append(segment)
            total -= segment.size
        if not gone:
            return
        given_up = [result for segment in gone for result in self._read(segment)]
        self._through = gone[-1].number
        self._give_up(given_up)
        for segment in gone:
            if segment in self._segments:
                self._delete(segment)

    def _trim_memory(self) -> None:
        excess = len(self._memory) - self._most_in_memory
        if excess > 0:
            self._give_up([self._pop() for _ in range(excess)])

    def _give_up(self, results: Sequence[Result]) -> None:
        self._losses = added(self._losses, results)
        self._given_up += len(results)
        self._write_losses()
        self._on_event("results_given_up", {"results": len(results), "since_start": self._given_up})

    def _read_losses(self) -> tuple[Losses | None, int]:
        path = self._folder / "losses.json"
        try:
            file = _LOSSES.decode(path.read_bytes())
            losses = None if bytes(file.losses) == b"null" else decode_losses(bytes(file.losses))
        except FileNotFoundError:
            return None, 0
        except (msgspec.MsgspecError, MessageError) as error:
            self._on_event("losses_unreadable", {"error": str(error)})
            return None, 0
        return losses, file.through

    def _write_losses(self) -> None:
        body = b"null" if self._losses is None else encode_losses(self._losses)
        try:
            document = msgspec.json.encode(_LossFile(self._through, msgspec.Raw(body)))
            replace_file(self._folder / "losses.json", document)
        except OSError as error:
            self._say_failing(error)  # it is in memory, and written with the next change

    def _say_failing(self, error: OSError | None) -> None:
        """Once when it begins, once when it is over."""
        text = "" if error is None else (error.strerror or str(error))
        if text != self._failing:
            self._failing = text
            event = "spool_failing" if text else "spool_well_again"
            self._on_event(event, {"error": text, "in_memory": len(self._memory)} if text else {})


def added(losses: Losses | None, results: Iterable[Result]) -> Losses:
    """`losses`, under the same id, with these results counted in."""
    by_probe = {} if losses is None else {loss.check_id: loss for loss in losses.by_probe}
    for result in results:
        known = by_probe.get(result.check_id) or Loss(result.check_id, result.at, result.at)
        by_probe[result.check_id] = replace(
            known,
            first=min(known.first, result.at),
            last=max(known.last, result.at),
            good=known.good + (result.outcome is Outcome.GOOD),
            degraded=known.degraded + (result.outcome is Outcome.DEGRADED),
            partial=known.partial + (result.outcome is Outcome.PARTIAL),
            failed=known.failed + (result.outcome is Outcome.FAILED),
        )
    return Losses(uuid4() if losses is None else losses.id, list(by_probe.values()))


def _locked(path: Path) -> int:
    """Held until it is closed, or the process ends. Raises SpoolTaken."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise SpoolTaken(
            f"another agent works in {path.parent}", hint="give this one a --data-dir of its own"
        ) from error
    return descriptor
