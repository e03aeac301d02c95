"""Takes a backup: one pass over the database, into all regions at once.

The order is what makes it safe. Chunks, manifest and index first; then each region is asked whether it has
them all; and only then the record, which makes it a backup. So a taking that ends in the middle, however it
ends, leaves objects that nobody lists as a backup, and that sweeping clears away.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain, islice

from holdfast.backup import layout
from holdfast.backup.errors import AlreadyThere, Damaged, IncrementRefused, SourceAway, SourceRefused
from holdfast.backup.index import GrowingIndex
from holdfast.backup.model import Archive, Backup, BackupKind, StoredObject
from holdfast.backup.ports import (
    ArchiveBegins,
    BackupBegins,
    BackupEnds,
    BackupEvent,
    ManifestBegins,
    Packer,
    Progress,
    Region,
    Source,
    SourceIdentity,
)
from holdfast.backup.records import BYTES_PER_CHUNK, LONGEST_RECORD, encoded
from holdfast.backup.take.cutting import ChunkedStream, Cutter
from holdfast.backup.take.fanout import PATIENCE_S, RETRY_AFTER_S, FanOut
from holdfast.backup.take.parents import unfit
from holdfast.backup.take.tarstream import TarStream, is_unlogged
from holdfast.kernel.clock import Clock

TAKEN_CHUNK_BYTES = 16 * 1024 * 1024
"""Chunks of this size keep a process that also receives WAL below 300 MB, when nothing can be compressed."""
LARGEST_CHUNK_BYTES = 64 * 1024 * 1024
"""For databases with so many chunks that the record, which names them all, would weigh more than they do."""
TRAVELLING_BYTES = 56 * 1024 * 1024
"""What is being packed, and what was packed and is not in all regions yet: two threads that pack what does
not compress, and one chunk on its way. More where several regions may hang."""
LONGEST_MANIFEST = 512 * 1024 * 1024
LONGEST_LABEL = 200
_PROGRESS_EVERY = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup that is complete in at least one region. `behind` tells why the others are not."""

    backup: Backup
    complete: tuple[str, ...]
    behind: Mapping[str, str]
    unlogged: int = 0
    """Relations that are unlogged: a restore finds them empty."""
    notes: tuple[str, ...] = ()
    """What the operator should know, in sentences."""


class Taker:
    """Takes backups of one database into its regions. One at a time."""

    def __init__(
        self,
        source: Source,
        regions: Sequence[Region],
        packer: Packer,
        clock: Clock,
        progress: Progress | None = None,
        *,
        patience_s: float = PATIENCE_S,
        retry_after_s: Sequence[float] = RETRY_AFTER_S,
        chunk_bytes: int = TAKEN_CHUNK_BYTES,
    ) -> None:
        """`patience_s`: how long a region may hold up all the others, before it is left behind."""
        self._source = source
        self._regions = tuple(regions)
        self._packer = packer
        self._clock = clock
        self._progress = progress or Silent()
        self._patience_s = patience_s
        self._retry_after_s = retry_after_s
        self._chunk_bytes = chunk_bytes

    def take(
        self,
        database: str,
        *,
        label: str = "",
        parent: Backup | None = None,
        parent_manifest: bytes | None = None,
    ) -> Taken:
        """Take one: an increment of `parent` when it is given and the server can, a full one otherwise.

        When it raises there is no backup: SourceError, RegionError when no region took it, or Damaged when
        what the server sent cannot be read.
        """
        if len(label) > LONGEST_LABEL or not label.isprintable():
            raise SourceRefused(f"a label has at most {LONGEST_LABEL} characters, all of them printable")
        identity = self._source.identify()
        note = "" if parent is None else unfit(parent, identity)
        if parent is not None and parent_manifest is not None and not note:
            try:
                return self._taken(database, label, identity, parent, parent_manifest)
            except IncrementRefused as error:
                note = str(error)
        taken = self._taken(database, label, identity, None, None)
        if not note:
            return taken
        return replace(taken, notes=(f"a full backup was taken, not an increment: {note}", *taken.notes))

    def _taken(
        self,
        database: str,
        label: str,
        identity: SourceIdentity,
        parent: Backup | None,
        parent_manifest: bytes | None,
    ) -> Taken:
        began = self._clock.monotonic()
        started_at = identity.at or self._clock.now()
        id_ = layout.backup_id(started_at)
        with (
            self._source.base_backup(label=f"holdfast {id_}", parent_manifest=parent_manifest) as events,
            self._cutter(first := list(islice(events, 1))) as (fan, cutter),
        ):
            passing = _Passing(database, id_, cutter, self._progress)
            passing.follow(chain(first, events))
            backup = passing.backup(
                kind=BackupKind.INCREMENTAL if parent is not None else BackupKind.FULL,
                parent="" if parent is None else parent.id,
                label=label,
                identity=identity,
                started_at=started_at,
                # As the server's clock would tell it, even if ours was set meanwhile.
                finished_at=started_at + timedelta(seconds=self._clock.monotonic() - began),
            )
            self._progress.note("waiting for the regions")
            fan.settle()
            record = encoded(backup)
            fan.each(lambda region: _finish(region, backup, record))
            fan.settle()
            return Taken(backup, fan.complete, fan.behind, passing.unlogged, tuple(passing.notes()))

    @contextmanager
    def _cutter(self, first: Sequence[BackupEvent]) -> Iterator[tuple[FanOut, Cutter]]:
        """What cuts and hands out, as fits the database's size, which the first event tells."""
        chunk_bytes = self._chunk_bytes
        for event in first:
            if isinstance(event, BackupBegins):
                chunk_bytes = chunk_bytes_for(event.estimated_bytes or 0, least=chunk_bytes)
        count = len(self._regions)
        workers = 2 if count <= 2 else 1
        # All but one may hang, each with what its workers have in hand. That one must still have room then,
        # for a chunk that grew a little.
        least = (workers * (count - 1) + 1) * (chunk_bytes + chunk_bytes // 16 + 4096)
        with (
            FanOut(
                self._regions,
                self._clock,
                limit_bytes=max(TRAVELLING_BYTES, least),
                workers=workers,
                patience_s=self._patience_s,
                retry_after_s=self._retry_after_s,
            ) as fan,
            Cutter(self._packer, fan, chunk_bytes) as cutter,
        ):
            yield fan, cutter


def chunk_bytes_for(estimated_bytes: int, least: int = TAKEN_CHUNK_BYTES) -> int:
    """The size of a database's chunks: the smallest whose record takes at most half of what one may. Pure."""
    size = least
    while size < LARGEST_CHUNK_BYTES and estimated_bytes > LONGEST_RECORD // 2 // BYTES_PER_CHUNK * size:
        size *= 2
    return size


class Silent:
    """Progress that nobody wants to know."""

    def begin(self, phase: str, total_bytes: int | None) -> None: ...

    def advance(self, count: int) -> None: ...

    def note(self, text: str) -> None: ...


class _Passing:
    """What passes by: events become chunks, an index, and what the record tells."""

    def __init__(self, database: str, id_: str, cutter: Cutter, progress: Progress) -> None:
        self.unlogged = 0
        self._database = database
        self._id = id_
        self._cutter = cutter
        self._progress = progress
        self._begins: BackupBegins | None = None
        self._ends: BackupEnds | None = None
        self._archives: list[Archive] = []
        self._current: tuple[ArchiveBegins, ChunkedStream, TarStream] | None = None
        self._manifest: bytearray | None = None
        self._index = GrowingIndex()

    def follow(self, events: Iterable[BackupEvent]) -> None:
        """Take every event. What is behind the last one has not happened."""
        told = 0
        for event in events:
            if isinstance(event, memoryview | bytes):
                self._take_bytes(event)
                told += len(event)
                if told >= _PROGRESS_EVERY:
                    self._progress.advance(told)
                    told = 0
            else:
                self._take_sign(event)
        self._progress.advance(told)
        if self._manifest is None:
            raise SourceAway("the server sent no manifest")

    def backup(
        self,
        *,
        kind: BackupKind,
        parent: str,
        label: str,
        identity: SourceIdentity,
        started_at: datetime,
        finished_at: datetime,
    ) -> Backup:
        """What the record will tell. Manifest and index are on their way by then."""
        if self._begins is None or self._ends is None:
            raise SourceAway("the server's backup has no end")
        return Backup(
            id=self._id,
            database=self._database,
            kind=kind,
            parent=parent,
            label=label,
            system_id=identity.system_id,
            server_version=identity.server_version,
            timeline=self._begins.timeline,
            start_lsn=self._begins.start_lsn,
            stop_lsn=self._ends.stop_lsn,
            started_at=started_at,
            finished_at=finished_at,
            archives=tuple(self._archives),
            manifest=self._part("backup_manifest", bytes(self._manifest or b"")),
            index=self._part("index", self._index.encoded()),
            segment_bytes=identity.segment_bytes,
            chunk_bytes=self._cutter.chunk_bytes,
        )

    def notes(self) -> Iterable[str]:
        if self.unlogged:
            yield f"{self.unlogged} unlogged relations: a restore finds them empty"

    def _take_bytes(self, piece: memoryview | bytes) -> None:
        if self._current is not None:
            _, chunks, tar = self._current
            for member in tar.feed(piece):
                self._index.add(member)
                if is_unlogged(member):
                    self.unlogged += 1
            chunks.write(piece)
        elif self._manifest is not None:
            self._manifest += piece
            if len(self._manifest) > LONGEST_MANIFEST:
                raise SourceRefused(f"the server's manifest is longer than {LONGEST_MANIFEST} bytes")
        else:
            raise SourceRefused("the server sent bytes before it said of what")

    def _take_sign(self, event: BackupBegins | ArchiveBegins | ManifestBegins | BackupEnds) -> None:
        if isinstance(event, BackupBegins):
            self._fits(event.estimated_bytes or 0)
            self._begins = event
            self._progress.begin("backup", event.estimated_bytes)
        elif isinstance(event, ArchiveBegins):
            self._end_archive()
            self._begin_archive(event)
        elif isinstance(event, ManifestBegins):
            self._end_archive()
            self._manifest = bytearray()
        else:
            self._end_archive()
            self._ends = event

    def _fits(self, estimated_bytes: int) -> None:
        """Better said now than after a day, when its record turns out to be longer than one may be."""
        most = LONGEST_RECORD // BYTES_PER_CHUNK * self._cutter.chunk_bytes
        if estimated_bytes > most:
            raise SourceRefused(
                f"the database has {estimated_bytes >> 40} TiB, and a backup holds {most >> 40} TiB at most",
                hint="engine: pgbackrest serves there",
            )

    def _begin_archive(self, event: ArchiveBegins) -> None:
        number, oid = len(self._archives), _oid_of(event)

        def key_of(chunk: int, sha256: str) -> str:
            return layout.chunk_key(self._database, self._id, number, chunk, sha256, sealed_with)

        sealed_with = self._cutter.sealed_with
        chunks = ChunkedStream(self._cutter, key_of)
        self._current = event, chunks, TarStream(number, f"pg_tblspc/{oid}" if oid else "")

    def _end_archive(self) -> None:
        if self._current is None:
            return
        event, chunks, tar = self._current
        tar.close()
        stored = chunks.finish()
        self._archives.append(Archive(event.name, _oid_of(event), event.location, chunks.size, stored))
        self._current = None

    def _part(self, name: str, content: bytes) -> StoredObject:
        sealed_with = self._cutter.sealed_with
        return self._cutter.pack(
            content, lambda sha256: layout.part_key(self._database, self._id, name, sha256, sealed_with)
        )


def _oid_of(event: ArchiveBegins) -> int:
    stem = event.name.removesuffix(".tar")
    if not event.location and stem == "base":
        return 0
    if not (stem.isascii() and stem.isdigit()):
        raise SourceRefused(f"the server sent an archive {event.name!r}, which is not known")
    return int(stem)


def _finish(region: Region, backup: Backup, record: bytes) -> None:
    """Write the record, if the region really has everything else. Safe to repeat."""
    there = {each.key: each.size for each in region.listed(layout.backup_prefix(backup.database, backup.id))}
    missing = [each.key for each in backup.objects if there.get(each.key) != each.stored_bytes]
    if missing:
        raise Damaged(
            f"region {region.name} took {len(missing)} objects and does not have them, such as {missing[0]}",
            hint="does somebody delete there, or is its disk failing?",
        )
    try:
        region.put(layout.record_key(backup.database, backup.id), record)
    except AlreadyThere:
        # The letters of the id are ours alone: an earlier attempt succeeded, and its answer was lost.
        return
