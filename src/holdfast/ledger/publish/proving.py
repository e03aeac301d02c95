"""Proofs out of a store: which hashes a proof needs is found first, then they are read, then it is made."""

from collections.abc import Callable

from holdfast.ledger.log.proof import Proof
from holdfast.ledger.log.tiles import HASH_BYTES, TILE_WIDTH
from holdfast.ledger.log.tree import Tree
from holdfast.ledger.ports import LogStore


async def inclusion(store: LogStore, log_id: int, index: int, checkpoint: str, size: int) -> Proof:
    """That the checkpoint's tree of `size` leaves holds the leaf. Raises ProofRefused outside, LogDamaged."""
    path = await _made(store, log_id, size, lambda tree: tree.inclusion(index))
    return Proof(index, tuple(path), checkpoint)


async def consistency(store: LogStore, log_id: int, old_size: int, size: int) -> list[bytes]:
    """That the tree of `size` leaves begins with the one of `old_size`."""
    return await _made(store, log_id, size, lambda tree: tree.consistency(old_size))


async def root(store: LogStore, log_id: int, size: int) -> bytes:
    """Of the log when it had so many leaves."""
    [found] = await _made(store, log_id, size, lambda tree: [tree.root()])
    return found


async def _made(store: LogStore, log_id: int, size: int, make: Callable[[Tree], list[bytes]]) -> list[bytes]:
    asked = dict[tuple[int, int], list[tuple[int, int]]]()
    """By tile, the hashes [first, end) that are wanted of it."""

    def note(level: int, first: int, count: int) -> bytes:
        asked.setdefault((level, first // TILE_WIDTH), []).append((first, first + count))
        return bytes(count * HASH_BYTES)

    make(Tree(size, note))
    begins = {tile: min(first for first, _ in parts) for tile, parts in asked.items()}
    wanted = [(tile[0], begins[tile], max(end for _, end in asked[tile]) - begins[tile]) for tile in asked]
    found = dict(zip(asked, await store.many_hashes(log_id, wanted) if wanted else [], strict=True))

    def told(level: int, first: int, count: int) -> bytes:
        tile = level, first // TILE_WIDTH
        at = (first - begins[tile]) * HASH_BYTES
        return found[tile][at : at + count * HASH_BYTES]

    return make(Tree(size, told))
