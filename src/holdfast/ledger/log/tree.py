"""The Merkle tree of RFC 6962, section 2.1: hashes, growth, roots, and proofs with their verification.

A hash is 32 bytes; several are kept one behind the other in one `bytes`, as tiles hold them. A **node**
(height, i) is the hash over the leaves [i * 2**height, (i + 1) * 2**height), and exists when all of them do.

To grow, only the tree's right **edge** is needed: of each tile level the hashes that do not fill a tile yet.

A tree is made of perfect trees, one for each bit of its size; the roots over them are its **peaks**. They are
kept with each size that was signed, the smallest and rightmost first: a proof's right side is made of them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from holdfast.ledger.errors import Fork, LogDamaged, ProofRefused
from holdfast.ledger.log.tiles import HASH_BYTES, QUARTERS, TILE_BYTES, TILE_HEIGHT, TILE_WIDTH, FullTile

EMPTY_ROOT = sha256(b"").digest()
_PAIR = 2 * HASH_BYTES

ReadHashes = Callable[[int, int, int], bytes]
"""(tile level, first, count): so many hashes of the level, from `first` on, never across a tile's border; or,
which is as good to a tree, the roots over equal parts of them.
"""


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def leaf_hashes(entries: Iterable[bytes]) -> bytes:
    """Those of all entries, one behind the other."""
    return b"".join([sha256(b"\x00" + entry).digest() for entry in entries])


def perfect_root(hashes: bytes) -> bytes:
    """The root over a power of two of hashes."""
    return _folded(hashes, HASH_BYTES)


def quarter_roots(tile: bytes) -> bytes:
    """The roots over a full tile's quarters, one behind the other."""
    return _folded(tile, QUARTERS * HASH_BYTES)


def _folded(hashes: bytes, length: int) -> bytes:
    while len(hashes) > length:
        pairs = range(0, len(hashes), _PAIR)
        hashes = b"".join([sha256(b"\x01" + hashes[at : at + _PAIR]).digest() for at in pairs])
    return hashes


def peaks_by_span(size: int, peaks: bytes) -> dict[tuple[int, int], bytes]:
    """The peaks of a tree by the leaves [low, high) that each is over. LogDamaged for too few or many."""
    expected = size.bit_count()
    if len(peaks) != expected * HASH_BYTES:
        raise LogDamaged(
            f"a tree of {size:,} leaves has {expected} peaks, and {len(peaks) / HASH_BYTES:g} are kept",
            hint="holdfast ledger verify finds what else is damaged",
        )
    found, high = dict[tuple[int, int], bytes](), size
    for at in range(0, len(peaks), HASH_BYTES):
        low = high & (high - 1)
        found[low, high] = peaks[at : at + HASH_BYTES]
        high = low
    return found


def root_over(peaks: bytes) -> bytes:
    """The root of the tree that has these peaks."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[:HASH_BYTES]
    for at in range(HASH_BYTES, len(peaks), HASH_BYTES):
        root = node_hash(peaks[at : at + HASH_BYTES], root)
    return root


@dataclass(frozen=True, slots=True)
class Edge:
    """A tree of `size` leaves, as far as its growth and its root need it.

    `partial[level]` holds the hashes of the level's last tile, which is not full: fewer than 256.
    """

    size: int = 0
    partial: tuple[bytes, ...] = ()

    @property
    def root(self) -> bytes:
        return root_over(self.peaks)

    @property
    def peaks(self) -> bytes:
        """One behind the other, the rightmost first."""
        return b"".join(self._from_the_right())

    def grown(self, hashes: bytes) -> tuple["Edge", list[FullTile]]:
        """The tree with these leaf hashes behind the others, and the tiles that became full by it."""
        size = self.size + len(hashes) // HASH_BYTES
        partial, tiles, level, first = list(self.partial), list[FullTile](), 0, self.size
        while hashes:
            if level == len(partial):
                partial.append(b"")
            waiting = partial[level] + hashes
            full = len(waiting) // TILE_BYTES
            index = first // TILE_WIDTH
            grown = [
                FullTile(level, index + n, tile, roots, perfect_root(roots))
                for n in range(full)
                for tile in (waiting[n * TILE_BYTES : (n + 1) * TILE_BYTES],)
                for roots in (quarter_roots(tile),)
            ]
            partial[level] = waiting[full * TILE_BYTES :]
            tiles += grown
            hashes, first, level = b"".join([tile.root for tile in grown]), index, level + 1
        return Edge(size, tuple(partial)), tiles

    def _from_the_right(self) -> Iterator[bytes]:
        """The roots of the perfect trees that this one consists of, the smallest and rightmost first."""
        for hashes in self.partial:
            end, height = len(hashes), 0
            while end:
                span = HASH_BYTES << height
                if end & span:
                    yield perfect_root(hashes[end - span : end])
                    end -= span
                height += 1


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree of `size` leaves whose tiles can be read: its root, and proofs of what it holds."""

    size: int
    read: ReadHashes
    known: Mapping[tuple[int, int], bytes] = field(default_factory=dict)
    """Hashes over the leaves [low, high) that need no reading."""

    def root(self) -> bytes:
        return self.over(0, self.size) if self.size else EMPTY_ROOT

    def inclusion(self, index: int) -> list[bytes]:
        """PATH(index, D[size]): from the leaf's sibling to the root's child. Raises ProofRefused outside."""
        if not 0 <= index < self.size:
            raise ProofRefused(f"a tree of {self.size:,} has no leaf {index:,}")
        proof, low, high = list[bytes](), 0, self.size
        while high - low > 1:
            middle = low + _half(high - low)
            if index < middle:
                proof.append(self.over(middle, high))
                high = middle
            else:
                proof.append(self.over(low, middle))
                low = middle
        return proof[::-1]

    def consistency(self, old_size: int) -> list[bytes]:
        """PROOF(old_size, D[size]): that this tree begins with the old one. Raises ProofRefused outside."""
        if not 0 <= old_size <= self.size:
            raise ProofRefused(f"a tree of {self.size:,} does not begin with one of {old_size:,}")
        if old_size in {0, self.size}:
            return []
        proof, low, high, whole = list[bytes](), 0, self.size, True
        while old_size != high:
            middle = low + _half(high - low)
            if old_size <= middle:
                proof.append(self.over(middle, high))
                high = middle
            else:
                proof.append(self.over(low, middle))
                low, whole = middle, False
        if not whole:
            proof.append(self.over(low, high))
        return proof[::-1]

    def over(self, low: int, high: int) -> bytes:
        """The hash over the leaves [low, high), where `low` is a multiple of the next power of two."""
        if known := self.known.get((low, high)):
            return known
        count = high - low
        if count & (count - 1):
            middle = low + _half(count)
            return node_hash(self.over(low, middle), self.over(middle, high))
        height = count.bit_length() - 1
        level, inside = divmod(height, TILE_HEIGHT)
        return perfect_root(self.read(level, (low >> height) << inside, 1 << inside))


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that the proof leads to. Raises ProofRefused for a proof of the wrong shape.

    Source: RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size:
        raise ProofRefused(f"a tree of {size:,} has no leaf {index:,}")
    number, last, root = index, size - 1, leaf
    for hash_ in proof:
        if not last:
            raise ProofRefused("the proof is too long")
        if number & 1 or number == last:
            root = node_hash(hash_, root)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            root = node_hash(root, hash_)
        number, last = number >> 1, last >> 1
    if last:
        raise ProofRefused("the proof is too short")
    return root


def verify_inclusion(leaf: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Raises ProofRefused unless the tree of that root holds the leaf at that index."""
    if root_from_inclusion(leaf, index, size, proof) != root:
        raise ProofRefused("the proof does not lead to the root")


def verify_consistency(
    old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> None:
    """Raises Fork, or ProofRefused for a malformed proof, unless the tree begins with the old one.

    Source: RFC 9162, section 2.1.4.2.
    """
    if old_size > size:
        raise Fork(f"a tree of {size:,} leaves cannot go on one of {old_size:,}")
    if old_size in {0, size}:
        if proof:
            raise ProofRefused("the proof is too long")
        if old_size == size and old_root != root:
            raise Fork(f"two roots of one tree of {size:,} leaves")
        return
    path = [old_root, *proof] if not old_size & (old_size - 1) else list(proof)
    if not path:
        raise ProofRefused("the proof is too short")
    number, last = old_size - 1, size - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    old = new = path[0]
    for hash_ in path[1:]:
        if not last:
            raise ProofRefused("the proof is too long")
        if number & 1 or number == last:
            old, new = node_hash(hash_, old), node_hash(hash_, new)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            new = node_hash(new, hash_)
        number, last = number >> 1, last >> 1
    if last:
        raise ProofRefused("the proof is too short")
    if (old, new) != (old_root, root):
        raise Fork(f"the tree of {size:,} leaves does not begin with the one of {old_size:,}")


def _half(count: int) -> int:
    """The largest power of two below `count`, which is at least 2."""
    return 1 << (count - 1).bit_length() - 1
