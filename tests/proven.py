"""Repositories whose objects really are what their keys tell, for what reads and proves them."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from tests import held
from tests.held import DB

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup import layout
from holdfast.backup.model import Archive, Backup, StoredObject, TimelineHistory, WalPiece
from holdfast.backup.ports import Region
from holdfast.backup.records import encoded


def content_of(name: str, size: int = 100) -> bytes:
    return (hashlib.sha256(name.encode()).digest() * (size // 32 + 1))[:size]


def put_backup(
    regions: Iterable[Region], hours: float, parent: Backup | None = None, *, chunks: int = 3
) -> Backup:
    """Store a backup of that hour in each region."""
    made = held.backup(hours, parent)
    objects: dict[str, bytes] = {}

    def stored(content: bytes, name: str, number: int | None = None) -> StoredObject:
        sha = hashlib.sha256(content).hexdigest()
        key = (
            layout.part_key(DB, made.id, name, sha)
            if number is None
            else layout.chunk_key(DB, made.id, 0, number, sha)
        )
        objects[key] = content
        return StoredObject(key, 1000, len(content), sha)

    parts = tuple(stored(content_of(f"{made.id}/{n}"), "", n) for n in range(chunks))
    backup = replace(
        made,
        archives=(Archive("base.tar", 0, "", 1000 * chunks, parts),),
        manifest=stored(content_of(f"{made.id}/manifest", 20), "backup_manifest"),
        index=stored(content_of(f"{made.id}/index", 10), "index"),
    )
    objects[layout.record_key(DB, backup.id)] = encoded(backup)
    for region in regions:
        for key, content in objects.items():
            region.put(key, content)
    return backup


def put_dump(regions: Iterable[Region], hours: float) -> Backup:
    """Store a dump of that hour in each region."""
    made = held.backup(hours)
    objects: dict[str, bytes] = {}

    def stored(name: str, size: int) -> StoredObject:
        content = content_of(f"dump {made.id}/{name}", size)
        sha = hashlib.sha256(content).hexdigest()
        key = layout.logical_key(DB, made.id, f"{name}-{sha}.zst")
        objects[key] = content
        return StoredObject(key, 1000, size, sha)

    dump = replace(
        made,
        archives=(Archive("globals.sql", 0, "", 1000, (stored("a0/000000", 100),)),),
        manifest=stored("contents", 20),
        index=stored("index", 10),
    )
    objects[layout.logical_key(DB, dump.id, layout.RECORD)] = encoded(dump)
    for region in regions:
        for key, content in objects.items():
            region.put(key, content)
    return dump


def put_wal(
    regions: Iterable[Region], hour: int, start: float = 0.0, end: float = 1.0, *, sealed_with: str = ""
) -> WalPiece:
    """Store the WAL of an hour, or of a part of it, in each region. What it holds is never really sealed."""
    told = held.piece(hour, start, end)
    content = content_of(told.key, 50)
    sha = hashlib.sha256(content).hexdigest()
    stored = StoredObject("", 50, 50, sha, sealed_with)
    key = layout.piece_key(DB, told.segment, told.start, told.end, stored, told.commit_at, told.covered_at)
    for region in regions:
        region.put(key, content)
    return replace(told, key=key, sha256=sha, sealed_with=sealed_with)


def put_history(regions: Iterable[Region], history: TimelineHistory) -> str:
    content = history.text.encode()
    key = layout.history_key(DB, history.timeline, hashlib.sha256(content).hexdigest())
    for region in regions:
        region.put(key, content)
    return key


def contents(region: MemoryRegion) -> dict[str, bytes]:
    return {key: region.get(key) for key in region.keys}
