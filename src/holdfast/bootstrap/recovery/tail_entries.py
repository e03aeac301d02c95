"""Entries of a ledger in a tail that was kept: listed, and written down so that they can be taken in again.

    entries.ndjson           a record a line, as it stood in the log: holdfast ledger reapply takes them in
    entries-by-hand.ndjson   those that cannot be: with the reason, they are looked at one by one

Both lie beside the log that they were read out of, and are made anew from it each time.
"""

import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Self

from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.recovery.tail_segments import FoundSegment, segments_in
from holdfast.backup.lsn import Lsn, Segment
from holdfast.backup.search.inserted import InsertedRow, InsertReader
from holdfast.ledger.append.pieces import MOST_PIECE_BYTES, cut_out
from holdfast.ledger.canonical import entry_of
from holdfast.ledger.errors import LogDamaged
from holdfast.ledger.model import Conflict, Record
from holdfast.recovery.loss import MOST_LISTED, NO_ENTRIES, LostEntries, LostEntry

ENTRIES, BY_HAND = "entries.ndjson", "entries-by-hand.ndjson"
AT_ONCE = 1024 * 1024
MOST_SEGMENT_BYTES = max(256 * 1024 * 1024, MOST_PIECE_BYTES)
CORRECTS_LOST = "it corrects an entry that was lost with it, whose leaf is another one now"
CONFLICT = "it tells that a number came twice; the record in it was refused then"


def read_entries(
    kept: Path, first: Segment, segment_bytes: int, committed: Collection[int], *, waited: bool | None
) -> LostEntries:
    """Of the transactions that `committed`, in the log in `kept` from the segment `first` on. Raises OSError.

    `waited`: commits were acknowledged only once the other region had them.
    """
    reader = InsertReader(Lsn(first.start), segment_bytes)
    found = list(segments_in(_rows(kept, first, reader), frozenset(committed))) if committed else []
    if not found:
        return NO_ENTRIES
    parted = dict[tuple[int, int], int]()
    """By log: the first leaf that only the lost primary had."""
    for each in found:
        key = each.database, each.log_id
        parted[key] = min(parted.get(key, each.first), each.first)
    listing = _Listing(acknowledged=False if waited else None)
    with ExitStack() as stack:
        files = {name: stack.enter_context(_Replaced(kept / name)) for name in (ENTRIES, BY_HAND)}
        for each in found:
            listing.add(each, parted[each.database, each.log_id], files)
    return LostEntries(
        entries=listing.entries,
        count=listing.count,
        complete=listing.complete and not reader.unread,
        by_hand=listing.by_hand,
        kept_at=str(kept / ENTRIES) if listing.count > listing.by_hand else "",
    )


class _Listing:
    def __init__(self, acknowledged: bool | None) -> None:
        self.entries = list[LostEntry]()
        self.count = 0
        self.by_hand = 0
        self.complete = True
        self._acknowledged = acknowledged
        self._packs = ZstdSegments()

    def add(self, segment: FoundSegment, parted_at: int, files: Mapping[str, "_Replaced"]) -> None:
        for leaf, content, entry in self._entries_of(segment):
            why = _why_by_hand(entry, parted_at)
            self.count += 1
            if why:
                self.by_hand += 1
                files[BY_HAND].line(
                    json.dumps({"why": why, "leaf": leaf, "entry": content.decode()}).encode()
                )
            else:
                files[ENTRIES].line(content)
            if len(self.entries) < MOST_LISTED:
                self.entries.append(
                    LostEntry(
                        ledger=entry.tenant,
                        source=entry.source,
                        epoch=entry.epoch,
                        sequence=entry.seq,
                        job=entry.job if isinstance(entry, Record) else "",
                        leaf=leaf,
                        acknowledged=self._acknowledged,
                        by_hand=why,
                    )
                )

    def _entries_of(self, segment: FoundSegment) -> Iterator[tuple[int, bytes, Record | Conflict]]:
        try:
            leaves = cut_out(
                segment.packed, segment.leaves, 0, segment.leaves, self._packs, MOST_SEGMENT_BYTES
            )
        except LogDamaged:
            self.complete = False
            return
        for leaf, content in enumerate(leaves, segment.first):
            if not content.startswith(b"{"):
                continue  # of the log over all checkpoints, which the ledger makes anew by itself
            try:
                yield leaf, content, entry_of(content)
            except LogDamaged:
                self.complete = False


def _why_by_hand(entry: Record | Conflict, parted_at: int) -> str:
    if isinstance(entry, Conflict):
        return CONFLICT
    if entry.corrects and entry.corrects.leaf >= parted_at:
        return CORRECTS_LOST
    return ""


def _rows(kept: Path, first: Segment, reader: InsertReader) -> Iterator[InsertedRow]:
    """From the beginning of the first segment: what a transaction wrote before the histories part counts."""
    segment = first
    while (kept / segment.name).is_file() and not reader.problem:
        with (kept / segment.name).open("rb") as file:
            while not reader.problem and (part := file.read(AT_ONCE)):
                yield from reader.read(part)
        segment = segment.following


class _Replaced:
    """A file that gets its name when all of it is on disk; readable by the owner only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_name(f"{path.name}.{os.getpid()}.new")
        self._file: IO[bytes]

    def __enter__(self) -> Self:
        descriptor = os.open(self._beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        return self

    def line(self, content: bytes) -> None:
        self._file.write(content + b"\n")

    def __exit__(self, kind: object, *_: object) -> None:
        with self._file as file:
            file.flush()
            os.fsync(file.fileno())
        if kind is None:
            self._beside.replace(self._path)
        else:
            self._beside.unlink(missing_ok=True)
