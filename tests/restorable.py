"""A protected PostgreSQL with backups and WAL in regions, for tests that restore.

WAL is stored from the server's own pg_wal: whole segments, and the beginning of the newest one.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.protected import Protected

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.adapters.postgres.replication.source import PostgresSource
from holdfast.adapters.postgres.restored.programs import Programs
from holdfast.backup import layout
from holdfast.backup.lsn import Segment, parse_lsn
from holdfast.backup.model import Backup, RestorePlan, StoredObject, Target
from holdfast.backup.ports import Progress, Region
from holdfast.backup.recoverable.chain import chain_of, plan_for
from holdfast.backup.recoverable.holdings import holdings_of, raw_object
from holdfast.backup.restore.restoring import Restorer
from holdfast.backup.take.taking import Taker
from holdfast.kernel.clock import SystemClock

DATABASE = "shop"
CLOCK = SystemClock()
_SMALL_CHUNK = 256 * 1024 + 1000
"""So that files, headers and blocks lie across several chunks also in small databases."""


class Restorable:
    """What is stored of one server. Chunks are small, and no whole number of blocks."""

    def __init__(
        self,
        server: Protected,
        regions: Sequence[Region] | None = None,
        packer: ZstdPacker | None = None,
        chunk_bytes: int = _SMALL_CHUNK,
    ) -> None:
        self.server = server
        self.regions = list(regions or [MemoryRegion("eu")])
        self.packer = packer or ZstdPacker()
        self.source = PostgresSource(server.params)
        self.taker = Taker(self.source, self.regions, self.packer, CLOCK, chunk_bytes=chunk_bytes)
        self.backups: list[Backup] = []
        self._stored: set[tuple[str, int]] = set()

    def take(self, *, label: str = "", full: bool = False) -> Backup:
        """The first one is full, those after it are increments of the one before."""
        parent = None if full or not self.backups else self.backups[-1]
        manifest = raw_object(self.regions[0], parent.manifest, self.packer) if parent else None
        taken = self.taker.take(DATABASE, label=label, parent=parent, parent_manifest=manifest)
        assert not taken.behind
        self.backups.append(taken.backup)
        return taken.backup

    def store_wal(self) -> None:
        """Store what the server has written since the last time, up to now."""
        size = self.server.value("SELECT setting::int FROM pg_settings WHERE name = 'wal_segment_size'")
        # What is flushed: an asynchronous commit may be behind it.
        end = parse_lsn(self.server.value("SELECT pg_current_wal_flush_lsn()::text"))
        # Of the timeline that it writes: what a standby has of an older one may end in the middle.
        timeline = self.server.value("SELECT left(pg_walfile_name(pg_current_wal_flush_lsn()), 8)")
        folder = self.server.data / "pg_wal"
        for path in sorted(folder.glob(timeline + "?" * 16)):
            segment = Segment.named(path.name, size)
            if segment.start < end:
                self._store_piece(segment, path, min(int(end - segment.start), size))
        for path in sorted(folder.glob("*.history")):
            content = path.read_bytes()
            key = layout.history_key(DATABASE, int(path.stem, 16), hashlib.sha256(content).hexdigest())  # type: ignore[arg-type]
            self._put(key, content)

    def _store_piece(self, segment: Segment, path: Path, end: int) -> None:
        if (segment.name, end) in self._stored:
            return
        self._stored.add((segment.name, end))
        with path.open("rb") as file:
            content = file.read(end)
        packed = self.packer.pack(content)
        sha256 = hashlib.sha256(packed).hexdigest()
        stored = StoredObject("", end, len(packed), sha256, self.packer.sealed_with)
        now = datetime.now(UTC)
        self._put(layout.piece_key(DATABASE, segment, 0, end, stored, now, now), packed)

    def _put(self, key: str, content: bytes) -> None:
        for region in self.regions:
            if not any(each.key == key for each in region.listed(key)):
                region.put(key, content)

    def plan(self, target: Target | None = None) -> RestorePlan:
        return plan_for(holdings_of(self.regions[0], DATABASE, CLOCK), target or Target())

    def plan_of_files(self) -> RestorePlan:
        """The newest backup's files, without any WAL."""
        newest = self.backups[-1]
        chain = chain_of(self.backups, newest.id)
        return RestorePlan(DATABASE, self.regions[0].name, Target(), chain, (), (), newest.timeline, None)

    def restorer(
        self,
        *,
        progress: Progress | None = None,
        others: Sequence[Region] = (),
        region: Region | None = None,
    ) -> Restorer:
        programs = Programs(self.server.binaries.folder, settings={"fsync": "off", "shared_buffers": "16MB"})
        return Restorer(region or self.regions[0], self.packer, programs, CLOCK, progress, others=others)


class Noted:
    """A progress that keeps what it was told. `on_advance` is called with the sum so far."""

    def __init__(self, on_advance: Callable[[int], None] = lambda _: None) -> None:
        self.phases: list[tuple[str, int | None]] = []
        self.notes: list[str] = []
        self.advanced = 0
        self._on_advance = on_advance

    def begin(self, phase: str, total_bytes: int | None) -> None:
        self.phases.append((phase, total_bytes))

    def advance(self, count: int) -> None:
        self.advanced += count
        self._on_advance(self.advanced)

    def note(self, text: str) -> None:
        self.notes.append(text)


def restorer_of(region: Region, bin_dir: Path, progress: Progress | None = None) -> Restorer:
    """What another process restores with."""
    return Restorer(region, ZstdPacker(), Programs(bin_dir), CLOCK, progress)


def plan_of(region: Region) -> RestorePlan:
    return plan_for(holdings_of(region, DATABASE, CLOCK), Target())
