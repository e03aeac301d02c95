"""The tree beside RFC 6962's own recursive definitions, and proofs beside every way to tamper with them."""

from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.ledger.errors import Fork, LedgerError
from holdfast.ledger.log import tree
from holdfast.ledger.log.tiles import HASH_BYTES, TILE_WIDTH, widths
from holdfast.ledger.log.tree import Edge, Tree

SIZES = st.integers(0, 3 * TILE_WIDTH + 5) | st.sampled_from([255, 256, 257, 511, 512, 768])


def leaves(size: int) -> list[bytes]:
    return [number.to_bytes(4, "big") for number in range(size)]


def defined(entries: list[bytes]) -> bytes:
    """MTH(D[n]) as section 2.1 writes it."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    half = 1
    while half * 2 < len(entries):
        half *= 2
    return sha256(b"\x01" + defined(entries[:half]) + defined(entries[half:])).digest()


def reader(size: int) -> Callable[[int, int, int], bytes]:
    """All levels of the tree, read as tiles are."""
    levels = [tree.leaf_hashes(leaves(size))]
    while len(levels[-1]) >= TILE_WIDTH * HASH_BYTES:
        below, width = levels[-1], TILE_WIDTH * HASH_BYTES
        full = range(len(below) // width)
        levels.append(b"".join(tree.perfect_root(below[n * width : (n + 1) * width]) for n in full))

    def read(level: int, first: int, count: int) -> bytes:
        assert first // TILE_WIDTH == (first + count - 1) // TILE_WIDTH
        found = levels[level][first * HASH_BYTES : (first + count) * HASH_BYTES]
        assert len(found) == count * HASH_BYTES
        return found

    return read


def grown(size: int, steps: list[int]) -> Edge:
    edge, at = Edge(), 0
    hashes = tree.leaf_hashes(leaves(size))
    for end in sorted({min(step, size) for step in steps} | {size}):
        edge, _ = edge.grown(hashes[at * HASH_BYTES : end * HASH_BYTES])
        at = end
    return edge


@given(SIZES, st.lists(st.integers(0, 800), max_size=6))
def test_however_it_grows_the_root_is_the_defined_one(size: int, steps: list[int]) -> None:
    edge = grown(size, steps)
    assert edge.size == size
    assert edge.root == defined(leaves(size)) == Tree(size, reader(size)).root()
    partial = [width for _, width in widths(size)]
    assert [len(each) // HASH_BYTES for each in edge.partial][: len(partial)] == partial


@given(st.integers(1, 1100), st.data())
def test_full_tiles_come_once_and_in_order(size: int, data: st.DataObject) -> None:
    edge, tiles, left = Edge(), [], tree.leaf_hashes(leaves(size))
    while left:
        step = data.draw(st.integers(1, 700)) * HASH_BYTES
        edge, more = edge.grown(left[:step])
        left = left[step:]
        tiles += more
    for level, (full, _) in enumerate(widths(size)):
        assert [tile.index for tile in tiles if tile.level == level] == list(range(full))
    assert all(tree.perfect_root(tile.hashes) == tile.root for tile in tiles)


@given(st.integers(1, 800), st.data())
def test_a_leaf_is_proved_and_nothing_else_is(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    known = Tree(size, reader(size))
    proof, root = known.inclusion(index), known.root()
    leaf = tree.leaf_hash(leaves(size)[index])
    tree.verify_inclusion(leaf, index, size, root, proof)

    other = data.draw(st.integers(0, size - 1))
    wrong: list[tuple[bytes, int, list[bytes]]] = [
        (tree.leaf_hash(b"another"), index, proof),
        (leaf, index, [*proof, root]),
        (leaf, size, proof),
    ]
    wrong += [(leaf, other, proof)] if other != index else []
    wrong += [(leaf, index, proof[:-1]), (leaf, index, [root, *proof[1:]])] if proof else []
    for each_leaf, each_index, each_proof in wrong:
        with pytest.raises(LedgerError):
            tree.verify_inclusion(each_leaf, each_index, size, root, each_proof)


@given(st.integers(0, 800), st.data())
def test_a_tree_is_proved_to_begin_with_the_old_one(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(0, size))
    known = Tree(size, reader(size))
    proof, root, old_root = known.consistency(old), known.root(), defined(leaves(old))
    tree.verify_consistency(old, old_root, size, root, proof)

    if old:  # every tree begins with the empty one, whatever is claimed of it
        with pytest.raises(LedgerError):
            tree.verify_consistency(old, sha256(b"x").digest(), size, root, proof)
    if 0 < old < size:
        with pytest.raises(LedgerError):
            tree.verify_consistency(old, old_root, size, sha256(b"x").digest(), proof)
        for tampered in (proof[:-1], [*proof, root], [root, *proof[1:]]):
            with pytest.raises(LedgerError):
                tree.verify_consistency(old, old_root, size, root, tampered)
    if old < size:
        with pytest.raises(Fork):
            tree.verify_consistency(size, root, old, old_root, [])
