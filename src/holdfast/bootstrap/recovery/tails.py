"""The tail of an old primary's log: copied out of its data directory, and read.

Files only: the server there may be down, and must not be started for it. What was copied is never written
over: a second archiving of the same tail finds it there, and reads it again.
"""

import asyncio
import hashlib
import json
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from holdfast.adapters.postgres.recovery.tail_tables import BESIDE
from holdfast.backup.lsn import DEFAULT_SEGMENT_BYTES, Lsn, Segment, Timeline
from holdfast.backup.search.commits import Change, Commit, CommitReader
from holdfast.bootstrap.recovery.tail_entries import read_entries
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.loss import Loss, LostTransaction, exact, lsn_text

MANIFEST, TABLES = "manifest.json", "tables.json"
TableNames = Callable[[str, frozenset[int]], Awaitable[Mapping[tuple[int, int], str]]]
"""Of these databases' files, by (database, number), as a server outside of that region knows them; raises
nothing: what cannot be told is absent.
"""
AT_ONCE = 1024 * 1024
_SEGMENT = re.compile(r"[0-9A-F]{24}(\.partial)?")
_PAGE = Struct("<HHIQIIQII")
"""The long header of a segment's first page: magic, info, timeline, address, ..., system, size, ..."""


@dataclass(frozen=True, slots=True)
class _Tail:
    """What is to be kept: whole segments from the one on where the histories part."""

    timeline: int
    parted_at: int
    segment_bytes: int
    files: Sequence[Path]


class FolderTails:
    """Tails out of data directories. `archive` is the folder that keeps them: by region and place."""

    def __init__(self, folders: Mapping[str, Path], archive: Path, names: TableNames | None = None) -> None:
        """Without `names`, tables are told by the numbers of their files."""
        self._folders = folders
        self._kept_in = archive
        self._names = names

    async def archive(self, region: str, parted: Mapping[int, int], waited: bool | None) -> Loss:
        if region not in self._folders:
            raise StepFailed(f"the estate names no data directory in {region}")
        try:
            tail, kept = await asyncio.to_thread(self._kept, region, parted)
            commits, reached, complete = await asyncio.to_thread(_read, kept, tail)
            names = await self._named(region, kept, commits)
            return await asyncio.to_thread(_told, kept, tail, commits, reached, complete, names, waited)
        except OSError as error:
            raise StepFailed(
                f"the log in {self._folders[region]} cannot be read: {error.strerror or error}",
                hint="nothing there may be rebuilt before it is archived",
            ) from error

    def _kept(self, region: str, parted: Mapping[int, int]) -> tuple["_Tail", Path]:
        tail = _tail_in(self._folders[region] / "pg_wal", parted)
        name = f"{tail.timeline:08X}-{tail.parted_at:016X}"
        kept = self._kept_in / region / name
        if not (kept / MANIFEST).is_file():
            _copied(tail, kept)
        _checked(kept)
        return tail, kept

    async def _named(
        self, region: str, kept: Path, commits: Sequence[Commit]
    ) -> Mapping[tuple[int, int], str]:
        """Names as they were when the tail was archived first: later on, a table may have another file."""
        names = await asyncio.to_thread(_names_kept, kept)
        if names is None and self._names is not None:
            databases = {change.locator.database for each in commits for change in each.changes}
            names = await self._names(region, frozenset(databases)) if databases else {}
            if names:
                await asyncio.to_thread(_keep_names, kept, names)
        return names or {}


def _told(
    kept: Path,
    tail: _Tail,
    commits: Sequence[Commit],
    reached: int,
    complete: bool,
    names: Mapping[tuple[int, int], str],
    waited: bool | None,
) -> Loss:
    lost = [
        LostTransaction(
            lsn=each.lsn,
            xid=each.xid,
            at=each.at,
            rows=sum(change.rows for change in each.changes if not _is_beside(change, names)),
            tables=_tables(each, names),
        )
        for each in commits
    ]
    committed = {xid for each in commits if each.lsn >= tail.parted_at for xid in (each.xid, *each.subxids)}
    first = Segment.holding(Timeline(tail.timeline), tail.parted_at, tail.segment_bytes)
    entries = read_entries(kept, first, tail.segment_bytes, committed, waited=waited)
    return exact(
        lost,
        from_lsn=tail.parted_at,
        to_lsn=reached,
        timeline=tail.timeline,
        waited=waited,
        archived_at=str(kept),
        complete=complete,
        entries=entries,
    )


def _tables(commit: Commit, names: Mapping[tuple[int, int], str]) -> Sequence[str]:
    files = ((each.locator.database, each.locator.number) for each in commit.changes)
    told = (names.get(each, f"file {each[1]}") for each in files)
    return sorted({each.removesuffix(BESIDE) for each in told})


def _is_beside(change: Change, names: Mapping[tuple[int, int], str]) -> bool:
    """Rows of long values belong to the row that refers to them."""
    return names.get((change.locator.database, change.locator.number), "").endswith(BESIDE)


def _names_kept(kept: Path) -> Mapping[tuple[int, int], str] | None:
    try:
        found = json.loads((kept / TABLES).read_text(encoding="utf-8"))
        return {(int(database), int(number)): str(name) for database, number, name in found}
    except (OSError, ValueError, TypeError):
        return None


def _keep_names(kept: Path, names: Mapping[tuple[int, int], str]) -> None:
    document = [[database, number, name] for (database, number), name in sorted(names.items())]
    beside = kept / f"{TABLES}.{os.getpid()}.new"
    beside.write_text(json.dumps(document), encoding="utf-8")
    beside.replace(kept / TABLES)


def _tail_in(wal: Path, parted: Mapping[int, int]) -> _Tail:
    """The newest timeline that ended elsewhere and that this server wrote. Raises StepFailed, OSError."""
    files = {
        each.name.removesuffix(".partial"): each for each in wal.iterdir() if _SEGMENT.fullmatch(each.name)
    }
    if not files:
        raise StepFailed(f"there is no log in {wal}", hint="is it the data directory of the old primary?")
    size = _segment_bytes(files.values())
    for timeline in sorted(parted, reverse=True):
        first = Segment.holding(Timeline(timeline), parted[timeline], size)
        of_it = sorted(name for name in files if name[:8] == first.name[:8])
        if not of_it:
            continue
        wanted = [files[name] for name in of_it if name >= first.name]
        if not wanted:
            raise StepFailed(
                f"the log in {wal} ends before the histories part at {lsn_text(parted[timeline])}",
                hint="it has no tail of its own: rebuild it by hand when that is certain",
            )
        if wanted[0].name.removesuffix(".partial") != first.name:
            raise StepFailed(f"the segment {first.name} is missing in {wal}: the tail is not whole")
        return _Tail(timeline, parted[timeline], size, wanted)
    raise StepFailed(
        f"the log in {wal} is of no timeline that ended",
        hint="it may be the leader's, or of another cluster",
    )


def _segment_bytes(files: Iterable[Path]) -> int:
    for path in sorted(files):
        with path.open("rb") as file:
            head = file.read(_PAGE.size)
        if len(head) == _PAGE.size:
            size = int(_PAGE.unpack(head)[7])
            if size in {1 << power for power in range(20, 31)}:
                return size
    return DEFAULT_SEGMENT_BYTES


def _copied(tail: _Tail, kept: Path) -> None:
    """Into a folder beside, which gets its name when everything is on disk."""
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = kept.with_name(f"{kept.name}.{os.getpid()}.new")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(mode=0o700)
    sums = dict[str, str]()
    for path in tail.files:
        name = path.name.removesuffix(".partial")
        digest = hashlib.sha256()
        with path.open("rb") as source, (beside / name).open("wb") as target:
            while part := source.read(AT_ONCE):
                digest.update(part)
                target.write(part)
            target.flush()
            os.fsync(target.fileno())
        sums[name] = digest.hexdigest()
    document = {"timeline": tail.timeline, "parted_at": lsn_text(tail.parted_at), "sha256": sums}
    with (beside / MANIFEST).open("w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    _synced(beside)
    try:
        beside.rename(kept)
    except OSError:
        if not (kept / MANIFEST).is_file():
            raise
        shutil.rmtree(beside, ignore_errors=True)  # another replica was first
    _synced(kept.parent)


def _checked(kept: Path) -> None:
    """Raises StepFailed when what was kept is not what was copied."""
    document = json.loads((kept / MANIFEST).read_text(encoding="utf-8"))
    for name, expected in document["sha256"].items():
        digest = hashlib.sha256()
        with (kept / name).open("rb") as file:
            while part := file.read(AT_ONCE):
                digest.update(part)
        if digest.hexdigest() != expected:
            raise StepFailed(f"{kept / name} is not what was archived", hint="look at the disk it is on")


def _read(kept: Path, tail: _Tail) -> tuple[list[Commit], int, bool]:
    """Its commits, how far its records go, and whether nothing can have followed."""
    reader = CommitReader(Lsn(tail.parted_at), tail.segment_bytes)
    commits = list[Commit]()
    segment = Segment.holding(Timeline(tail.timeline), tail.parted_at, tail.segment_bytes)
    skip = tail.parted_at - segment.start
    while (kept / segment.name).is_file() and not reader.problem:
        with (kept / segment.name).open("rb") as file:
            file.seek(skip)
            while not reader.problem and (part := file.read(AT_ONCE)):
                commits += reader.read(part)
        skip = 0
        segment = segment.following
    reached = max(int(reader.reached), tail.parted_at)
    # The log ends inside of what was copied. At the very end of it, or before a gap, more may have followed.
    later = any(each.name > segment.name for each in kept.iterdir() if _SEGMENT.fullmatch(each.name))
    return commits, reached, reached < segment.start and (bool(reader.problem) or not later)


def _synced(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
