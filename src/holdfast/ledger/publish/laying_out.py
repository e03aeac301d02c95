"""A log as static files in C2SP's tlog-tiles layout: what an auditor takes away, or a web server serves."""

from collections.abc import AsyncIterator
from typing import NamedTuple

from holdfast.ledger.log.tiles import TILE_WIDTH, TileName, bundle, names_of
from holdfast.ledger.ports import LogStore


class File(NamedTuple):
    """A file below the log's prefix."""

    path: str
    content: bytes


async def laid_out(store: LogStore, log_id: int, size: int, checkpoint: str) -> AsyncIterator[File]:
    """Every tile and entry bundle of the tree that the checkpoint tells, and the checkpoint last.

    Raises EntriesPruned where retention took entries; LogDamaged when something is missing.
    """
    for name in names_of(size):
        yield File(f"tile/{name.path}", await tile(store, log_id, name))
        if name.level == 0:
            entries = TileName(None, name.index, name.width)
            yield File(f"tile/{entries.path}", await tile(store, log_id, entries))
    yield File("checkpoint", checkpoint.encode())


async def tile(store: LogStore, log_id: int, name: TileName) -> bytes:
    """A tile's content, or an entry bundle's."""
    first = name.index * TILE_WIDTH
    if name.level is None:
        return bundle(list(await store.entries(log_id, first, name.width)))
    return await store.hashes(log_id, name.level, first, name.width)
