"""Proofs out of a store: which hashes a proof needs is found first, then they are read, then it is made.

A proof is asked for out of a log that nobody has looked at for long: each place that it reads on the disk
costs as much as all of its reckoning. So of a full tile one quarter is read, which has the roots over the
others beside it, and the right side of the tree is made of the peaks that were kept when it was signed.
"""

from collections.abc import Callable, Mapping, Sequence

from holdfast.ledger.log.proof import Proof
from holdfast.ledger.log.tiles import HASH_BYTES, QUARTER_WIDTH, TILE_HEIGHT, TILE_WIDTH, Quarter
from holdfast.ledger.log.tree import Tree, peaks_by_span
from holdfast.ledger.ports import LogStore


async def inclusion(store: LogStore, log_id: int, index: int, checkpoint: str, size: int) -> Proof:
    """That the checkpoint's tree of `size` leaves holds the leaf. Raises ProofRefused outside, LogDamaged."""
    path = await _made(store, log_id, size, [size], lambda tree: tree.inclusion(index))
    return Proof(index, tuple(path), checkpoint)


async def consistency(store: LogStore, log_id: int, old_size: int, size: int) -> list[bytes]:
    """That the tree of `size` leaves begins with the one of `old_size`."""
    if old_size in {0, size}:
        return []
    return await _made(store, log_id, size, [old_size, size], lambda tree: tree.consistency(old_size))


async def root(store: LogStore, log_id: int, size: int) -> bytes:
    """Of the log when it had so many leaves; reckoned from its tiles, not from the peaks that were kept."""
    [found] = await _made(store, log_id, size, [], lambda tree: [tree.root()])
    return found


Make = Callable[[Tree], list[bytes]]
Known = Mapping[tuple[int, int], bytes]


async def _made(store: LogStore, log_id: int, size: int, sizes: Sequence[int], make: Make) -> list[bytes]:
    """What `make` makes of the tree, whose peaks at `sizes` are hoped to be kept."""
    hoped = [peaks_by_span(each, bytes(each.bit_count() * HASH_BYTES)) for each in sizes]
    wanted = _Wanted(size, {span: hash_ for each in hoped for span, hash_ in each.items()}, make)
    kept = await store.proof_parts(log_id, sizes, wanted.quarters, wanted.parts)
    known = dict[tuple[int, int], bytes]()
    for each, peaks in zip(sizes, kept.peaks, strict=True):
        known |= peaks_by_span(each, peaks) if peaks else {}
    if not all(kept.peaks):
        wanted = _Wanted(size, known, make)
        kept = await store.proof_parts(log_id, [], wanted.quarters, wanted.parts)
    return make(Tree(size, wanted.reading(kept.quarters, kept.hashes), known))


class _Wanted:
    """What is read of the tree of `size` leaves to make something of it, where some hashes are known."""

    def __init__(self, size: int, known: Known, make: Make) -> None:
        self._size = size
        self._quarters = dict[tuple[int, int], set[int]]()
        """By full tile, the quarters that are wanted hash by hash; none where their roots will do."""
        self._parts = dict[tuple[int, int], tuple[int, int]]()
        """By another tile, from where to where its hashes are wanted."""
        make(Tree(size, self._note, known))

    def _note(self, level: int, first: int, count: int) -> bytes:
        tile = first // TILE_WIDTH
        if (tile + 1) << TILE_HEIGHT * (level + 1) <= self._size:
            quarters = self._quarters.setdefault((level, tile), set())
            if count < QUARTER_WIDTH:
                quarters.add(first // QUARTER_WIDTH)
        else:
            low, high = self._parts.get((level, tile), (first, first + count))
            self._parts[level, tile] = min(low, first), max(high, first + count)
        return bytes(count * HASH_BYTES)

    @property
    def quarters(self) -> list[tuple[int, int]]:
        return [
            (level, quarter)
            for (level, tile), quarters in self._quarters.items()
            for quarter in sorted(quarters) or [tile * (TILE_WIDTH // QUARTER_WIDTH)]
        ]

    @property
    def parts(self) -> list[tuple[int, int, int]]:
        return [(level, first, end - first) for (level, _), (first, end) in self._parts.items()]

    def reading(
        self, quarters: Sequence[Quarter], parts: Sequence[bytes]
    ) -> Callable[[int, int, int], bytes]:
        """Tells a tree what was read."""
        by_number = dict(zip(self.quarters, quarters, strict=True))
        by_tile = {
            (level, number * QUARTER_WIDTH // TILE_WIDTH): each for (level, number), each in by_number.items()
        }
        found = dict(zip(self._parts, parts, strict=True))

        def told(level: int, first: int, count: int) -> bytes:
            tile, inside = divmod(first, TILE_WIDTH)
            if part := self._parts.get((level, tile)):
                return _cut(found[level, tile], first - part[0], count)
            if count < QUARTER_WIDTH:
                return _cut(by_number[level, first // QUARTER_WIDTH].hashes, first % QUARTER_WIDTH, count)
            roots = by_tile[level, tile].quarter_roots
            return _cut(roots, inside // QUARTER_WIDTH, count // QUARTER_WIDTH)

        return told


def _cut(hashes: bytes, first: int, count: int) -> bytes:
    return hashes[first * HASH_BYTES : (first + count) * HASH_BYTES]
