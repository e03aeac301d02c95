"""What a region holds of a database, from its own objects alone: a listing, and the records in it."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from holdfast.backup import layout
from holdfast.backup.errors import Damaged
from holdfast.backup.model import Backup, Holdings, StoredObject, Suspicion, TimelineHistory, WalPiece
from holdfast.backup.ports import Packer, Region
from holdfast.backup.records import LONGEST_RECORD, decoded, decoded_backup
from holdfast.backup.recoverable.lines import ancestors_of
from holdfast.kernel.clock import Clock

LONGEST_MARK = 64 * 1024
LONGEST_HISTORY = 1024 * 1024
READERS = 8
"""Records that are read at once: a region on another continent answers in a tenth of a second each."""


def holdings_of(region: Region, database: str, clock: Clock) -> Holdings:
    """List a region, and read the records there. Raises RegionAway, RegionRefused.

    What vanishes while it is read is not held. What does not decode is named in `unreadable`.
    """
    listed_at = clock.now()
    # A record is written behind everything that it names, and let go before it. So what is listed after the
    # records is what they need: WAL last, since a backup's is written before its record.
    sizes = _sizes(region, layout.backups_prefix(database))
    unreadable: list[str] = []
    records = [key for key in sizes if key.endswith(f"/{layout.RECORD}")]
    backups: list[Backup] = []
    for key, content in _read(region, records, sizes, LONGEST_RECORD, unreadable):
        try:
            backups.append(decoded_backup(content, key))
        except Damaged:
            unreadable.append(key)
    missing = [(each.id, gone) for each in backups if (gone := _missing(region, each, sizes))]
    pieces = tuple(_pieces(region, database, unreadable))
    histories = tuple(_histories(region, database, unreadable))
    suspects = tuple(suspicions_of(region, database, unreadable))
    return Holdings(
        region.name,
        database,
        listed_at,
        tuple(sorted(backups, key=lambda each: (each.start_lsn, each.id))),
        pieces,
        histories,
        tuple(missing),
        tuple(unreadable),
        suspects,
    )


def raw_object(region: Region, stored: StoredObject, packer: Packer) -> bytes:
    """An object's content, as it was before it was packed. Raises Damaged, KeyMissing, RegionAway."""
    try:
        content = region.get(stored.key)
    except FileNotFoundError as error:
        raise Damaged(f"{region.name}: {stored.key} is gone") from error
    if hashlib.sha256(content).hexdigest() != stored.sha256:
        raise Damaged(
            f"{region.name}: {stored.key} is not what was stored", hint="another region may heal it"
        )
    return packer.unpack(content, stored.sealed_with, stored.raw_bytes)


def suspicions_of(region: Region, database: str, unreadable: list[str]) -> Iterator[Suspicion]:
    """The suspicions marked in a region, each in its newest state, oldest first."""
    sizes = _sizes(region, layout.marks_prefix(database))
    marks: dict[str, Suspicion] = {}
    for key, content in _read(region, sizes, sizes, LONGEST_MARK, unreadable):
        try:
            mark = decoded(content, Suspicion, key)
        except Damaged:
            unreadable.append(key)
            continue
        # A mark is never rewritten: that it was lifted is a second one, and lifted is lifted.
        if mark.id not in marks or mark.lifted_at is not None:
            marks[mark.id] = mark
    yield from sorted(marks.values(), key=lambda each: (each.since, each.id))


def _sizes(region: Region, prefix: str) -> dict[str, int]:
    return {each.key: each.size for each in region.listed(prefix)}


def _missing(region: Region, backup: Backup, sizes: Mapping[str, int]) -> tuple[str, ...]:
    def gone(sizes: Mapping[str, int]) -> tuple[str, ...]:
        return tuple(each.key for each in backup.objects if sizes.get(each.key) != each.stored_bytes)

    if not gone(sizes):
        return ()
    # It may have been finished while the listing went on, behind the place where its chunks would stand.
    return gone(_sizes(region, layout.backup_prefix(backup.database, backup.id)))


def _pieces(region: Region, database: str, unreadable: list[str]) -> Iterator[WalPiece]:
    for each in region.listed(layout.wal_prefix(database)):
        piece = layout.piece_of(each.key, each.size)
        if piece is not None:
            yield piece
        elif each.key.endswith(layout.FORGED):
            unreadable.append(each.key)


def _histories(region: Region, database: str, unreadable: list[str]) -> Iterator[TimelineHistory]:
    sizes = {
        key: size
        for key, size in _sizes(region, layout.timelines_prefix(database)).items()
        if layout.history_of(key)
    }
    for key, content in _read(region, sizes, sizes, LONGEST_HISTORY, unreadable):
        timeline, sha256 = layout.history_of(key) or (None, "")
        if timeline is None or hashlib.sha256(content).hexdigest() != sha256:
            unreadable.append(key)
            continue
        history = TimelineHistory(timeline, content.decode(errors="replace"))
        try:
            ancestors_of(history)
        except ValueError:
            unreadable.append(key)
            continue
        yield history


def _read(
    region: Region, keys: Iterable[str], sizes: Mapping[str, int], limit: int, unreadable: list[str]
) -> Iterator[tuple[str, bytes]]:
    """The objects' bytes in the order of their keys; those that are gone by now are left out."""

    def read(key: str) -> bytes | None:
        try:
            return region.get(key)
        except FileNotFoundError:
            return None
        except Damaged:
            unreadable.append(key)
            return None

    wanted: list[str] = []
    for key in keys:
        (wanted if sizes[key] <= limit else unreadable).append(key)
    if len(wanted) < 2:
        contents: Iterable[bytes | None] = map(read, wanted)
        yield from ((key, each) for key, each in zip(wanted, contents, strict=True) if each is not None)
        return
    with ThreadPoolExecutor(min(READERS, len(wanted)), "records") as readers:
        contents = readers.map(read, wanted)
        yield from ((key, each) for key, each in zip(wanted, contents, strict=True) if each is not None)
