"""Lays a chain of backups out in a folder, with WAL: fetched in parallel, and written straight in place."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from holdfast.backup.errors import Damaged, NotFit
from holdfast.backup.index import decoded_index
from holdfast.backup.lsn import Segment
from holdfast.backup.model import Backup, BackupKind, Member, StoredObject, TimelineHistory, WalPiece
from holdfast.backup.ports import Progress
from holdfast.backup.restore import existing
from holdfast.backup.restore.chosen import Chosen, Share, complete, share_of, sign_in
from holdfast.backup.restore.fetching import Fetcher, Wanted
from holdfast.backup.restore.flushing import synced
from holdfast.backup.restore.increments import label_of_whole
from holdfast.backup.restore.journal import Journal, OpenJournal
from holdfast.backup.restore.placing import (
    FILE_MODE,
    FOLDER_MODE,
    Assembled,
    Chunk,
    Placer,
    assembled,
    chunks_to_fetch,
    write_all,
)

MANIFEST, LABEL, WAL = "backup_manifest", "backup_label", "pg_wal"


class Silent:
    """Progress that nobody asked for."""

    def begin(self, phase: str, total_bytes: int | None) -> None:
        del phase, total_bytes

    def advance(self, count: int) -> None:
        del count

    def note(self, text: str) -> None:
        del text


class Unpacker:
    """Lays out `chain`, the full backup first, in `folder`; `tablespaces` lead outside (oid to folder).

    What is not `chosen` is hollow. `indexes` are those of the chain, the newest first, where they are known.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        chain: Sequence[Backup],
        folder: Path,
        *,
        tablespaces: Mapping[str, Path] | None = None,
        progress: Progress | None = None,
        chosen: Chosen | None = None,
        indexes: Sequence[Sequence[Member]] | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._chain = tuple(reversed(chain))
        self._folder = folder
        self._tablespaces = dict(tablespaces or {})
        self._progress = progress or Silent()
        self._journal = Journal(folder)
        self._chosen = chosen
        self._indexes = indexes

    @property
    def indexes(self) -> Sequence[Sequence[Member]]:
        """Of the chain's backups, the newest first. Fetched once."""
        if self._indexes is None:
            self._indexes = [decoded_index(self._fetcher.content(each.index)) for each in self._chain]
        return self._indexes

    def lay_out(
        self, wal: Sequence[WalPiece], histories: Sequence[TimelineHistory], *, resuming: bool, over: bool
    ) -> None:
        """Write everything, and make it durable.

        `resuming`: what the journal names is there already. `over`: the folder holds another state of a data
        directory; files that are as they should be stay, all others go. Raises Damaged, KeyMissing,
        RegionError, NotFit; what is there then can be resumed.
        """
        done = self._journal.read() if resuming else frozenset()
        if not resuming:
            self._journal.clear()
        files, hollow = self._divided()
        placer = Placer(self._folder, replacing=over)
        folders = self._folders([*files, *hollow])
        if over:
            links = {f"pg_tblspc/{oid}": place for oid, place in self._tablespaces.items()}
            existing.remove_others(self._folder, {each.path for each in files}, set(folders), links)
        self._lead_outside()
        kept: set[str] = set()
        if over:
            kept = existing.as_they_should_be(self._folder, files, self._checksums(0))
            for file in files:
                if file.is_whole and file.path not in kept:
                    existing.remove(self._folder / file.path)
        placer.make(folders, [each for each in files if each.path not in kept])
        placer.hollow(hollow)
        chunks = [_without(each, kept) for each in chunks_to_fetch(self._chain, files)]
        last = len(self._chain) - 1
        # Increments are fetched again when resuming: their headers say what the full backup is needed for.
        chunks = [each for each in chunks if each.parts and not (each.level == last and each.name in done)]
        bring_wal = wal_wanted(self._folder / WAL, wal)
        total = sum(each.stored.raw_bytes for each in chunks)
        self._progress.begin("fetching", total + sum(each.stored.raw_bytes for each in bring_wal))
        if over and last:
            self._run(placer, [each for each in chunks if each.level < last], [])
            kept = self._still_good(placer, files)
            chunks = [_without(each, kept) for each in chunks if each.level == last]
            chunks = [each for each in chunks if each.parts]
        self._run(placer, chunks, bring_wal)
        write_histories(self._folder / WAL, histories)
        if self._chosen is not None:
            complete(files, placer.size)
            for name in filter(None, map(sign_in, folders)):
                write_private(self._folder / name, b"")
        self._finish()
        self._progress.begin("syncing", None)
        synced([self._folder, *self._tablespaces.values()])

    def peek(self, paths: Callable[[str], bool]) -> None:
        """Write these files, and nothing else: what is to be known before it is known what is wanted."""
        files = [each for each in assembled(self.indexes) if paths(each.path)]
        placer = Placer(self._folder)
        above = {str(folder) for each in files for folder in PurePosixPath(each.path).parents}
        placer.make(sorted(above - {"."}), files)
        chunks = chunks_to_fetch(self._chain, files)
        wanted = [Wanted(each.stored, partial(placer.place, each)) for each in chunks]
        self._fetcher.run(wanted, give_up=placer.give_up)

    def share(self, chosen: Chosen) -> Share:
        """What a choice would take."""
        files = assembled(self.indexes)
        return share_of(chosen, files, chunks_to_fetch(self._chain, files))

    def forget(self) -> None:
        """The journal is not needed any more: all is there, or a server has changed it."""
        self._journal.clear()

    def _run(self, placer: Placer, chunks: Iterable[Chunk], more: Sequence[Wanted]) -> None:
        with closing(self._journal.open()) as journal:
            wanted = [Wanted(each.stored, partial(self._use, placer, journal, each)) for each in chunks]
            counted = [replace(each, use=partial(self._count, each.use)) for each in more]
            self._fetcher.run([*wanted, *counted], give_up=placer.give_up)

    def _use(self, placer: Placer, journal: OpenJournal, chunk: Chunk, content: memoryview) -> None:
        placer.place(chunk, content)
        journal.add(chunk.name)
        self._progress.advance(len(content))

    def _count(self, use: Callable[[memoryview], None], content: memoryview) -> None:
        use(content)
        self._progress.advance(len(content))

    def _divided(self) -> tuple[list[Assembled], list[Assembled]]:
        """The files that are fetched, and those that are hollow."""
        files = assembled(self.indexes)
        if self._chosen is None:
            return files, []
        takes = self._chosen.takes
        return [each for each in files if takes(each.path)], [each for each in files if not takes(each.path)]

    def _folders(self, files: Sequence[Assembled]) -> list[str]:
        told = {each.path.rstrip("/") for each in self.indexes[0] if each.kind == "folder"}
        for path in [*told, *(each.path for each in files), f"{WAL}/archive_status/x", "pg_tblspc/x"]:
            told.update(str(above) for above in PurePosixPath(path).parents)
        return sorted(told - {"."})

    def _lead_outside(self) -> None:
        """Make the links to the places of tablespaces."""
        links = self._folder / "pg_tblspc"
        if self._tablespaces:
            links.mkdir(FOLDER_MODE, exist_ok=True)
        for oid, place in self._tablespaces.items():
            place.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
            link = links / oid
            if link.is_symlink() and link.readlink() == place:
                continue
            if link.is_symlink() or link.exists():
                raise NotFit(
                    f"tablespace {oid} is laid out in {link.resolve()} already",
                    hint="map it as before, or restore into another folder",
                )
            link.symlink_to(place)

    def _checksums(self, level: int) -> existing.Checksums:
        return existing.checksums_of(self._fetcher.content(self._chain[level].manifest))

    def _still_good(self, placer: Placer, files: Sequence[Assembled]) -> set[str]:
        """Paths of files without changes whose whole source is what is there already."""
        untouched = [each for each in files if each.untouched]
        told: dict[int, existing.Checksums] = {}
        for file in untouched:
            told.setdefault(len(file.sources) - 1, {})
        told = {level: self._checksums(level) for level in told}
        good = {
            file.path
            for file in untouched
            if existing.is_as_told(self._folder / file.path, told[len(file.sources) - 1].get(file.path))
        }
        for file in untouched:
            if file.path not in good:
                placer.begin_anew(file)
        return good

    def _finish(self) -> None:
        """What the server reads first, and what `pg_verifybackup` reads."""
        label = self._folder / LABEL
        try:
            content = label.read_bytes()
        except FileNotFoundError as error:
            raise Damaged(
                f"{self._chain[0].id} has no {LABEL}: a server would not recover from it"
            ) from error
        whole = label_of_whole(content)
        if whole != content:
            label.write_bytes(whole)
        manifest = self._folder / MANIFEST
        existing.remove(manifest)
        if self._chain[0].kind is BackupKind.FULL:
            write_private(manifest, self._fetcher.content(self._chain[0].manifest))


def _without(chunk: Chunk, kept: set[str]) -> Chunk:
    if not kept:
        return chunk
    return replace(chunk, parts=tuple(each for each in chunk.parts if each.file.path not in kept))


def wal_wanted(folder: Path, wal: Sequence[WalPiece]) -> list[Wanted]:
    """What to fetch, so that `folder` holds these pieces joined to segments of their full size."""
    return [
        Wanted(
            StoredObject(each.key, each.end - each.start, each.stored_bytes, each.sha256, each.sealed_with),
            partial(_write_piece, folder, each),
        )
        for each in joined(wal)
    ]


def joined(wal: Sequence[WalPiece]) -> list[WalPiece]:
    """The fewest of these pieces that hold, of each segment, as much as all of them without a gap."""
    by_segment: dict[Segment, list[WalPiece]] = {}
    for piece in wal:
        by_segment.setdefault(piece.segment, []).append(piece)
    chosen: list[WalPiece] = []
    for segment in sorted(by_segment):
        left = sorted(by_segment[segment], key=lambda each: (each.start, -each.end))
        reached = left[0].start
        while fitting := [each for each in left if each.start <= reached < each.end]:
            best = max(fitting, key=lambda each: each.end)
            chosen.append(best)
            reached = best.end
    return chosen


def write_histories(folder: Path, histories: Sequence[TimelineHistory]) -> None:
    for each in histories:
        write_private(folder / f"{each.timeline:08X}.history", each.text.encode())


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads."""
    descriptor = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE
    )
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _write_piece(folder: Path, piece: WalPiece, content: memoryview) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(folder / piece.segment.name, flags, FILE_MODE)
    try:
        # A segment has its full size also where only its beginning is known: the rest is zeros.
        os.ftruncate(descriptor, piece.segment.size)
        write_all(descriptor, content, piece.start)
    finally:
        os.close(descriptor)
