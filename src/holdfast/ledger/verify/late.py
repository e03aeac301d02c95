"""Entries out of a log that was damaged, or left behind by a restore: what of them is proven. Pure.

An entry is what the log has signed when the tree that it is in leads to a signed root. It does so by the
entries themselves, or by the tiles, where some entries are damaged and the others are not: then each is
compared with its own hash. What leads to no signed root, whichever way, is doubtful: nothing proves it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from holdfast.ledger.errors import LedgerError, ProofRefused
from holdfast.ledger.log.checkpoint import verified
from holdfast.ledger.log.notes import VerifierKey, Verifies
from holdfast.ledger.log.tiles import HASH_BYTES, TILE_WIDTH, hashes_out_of, unbundled
from holdfast.ledger.log.tree import Edge, leaf_hashes
from holdfast.ledger.ports import Packs
from holdfast.ledger.verify.stretches import MOST_SEGMENT_BYTES, StoredGrowth, Stretch


@dataclass(slots=True)
class Late:
    """What became of a stretch. `end` is the tree behind it; None where it cannot be told."""

    end: Edge | None
    entries: list[tuple[int, bytes]] = field(default_factory=list)
    """Proven ones, with their leaves."""
    doubtful: list[tuple[int, bytes, str]] = field(default_factory=list)
    """Those that can be read, and that nothing proves; and why."""
    lost: list[tuple[int, int, str]] = field(default_factory=list)
    """Leaves [first, end) that cannot be read, and why."""


def late_entries(
    stretch: Stretch, start: Edge | None, keys: Sequence[VerifierKey], verifies: Verifies, packs: Packs
) -> Late:
    """`start` is the tree before the stretch, which is proven; None where it is not."""
    found = Late(start)
    for growth in stretch.growths:
        found.end = _grown(found, stretch, growth, keys, verifies, packs)
    return found


def signed_root(note: str, size: int, keys: Sequence[VerifierKey], verifies: Verifies) -> bytes | None:
    """What the log signed for so many leaves; None where none of the keys did."""
    for key in keys:
        try:
            found = verified(note, key, verifies).checkpoint
        except ProofRefused:
            continue
        if found.size == size:
            return found.root
    return None


def _grown(
    found: Late,
    stretch: Stretch,
    growth: StoredGrowth,
    keys: Sequence[VerifierKey],
    verifies: Verifies,
    packs: Packs,
) -> Edge | None:
    first, end, start = growth.from_size, growth.to_size, found.end
    leaves = _unpacked(growth, packs)

    def left(why: str) -> None:
        if leaves is None:
            found.lost.append((first, end, why))
        else:
            found.doubtful += [(leaf, content, why) for leaf, content in enumerate(leaves, first)]

    if start is None or start.size != first:
        left("the log before them is not proven")
        return None
    target = signed_root(growth.note, end, keys, verifies)
    if target is None:
        left("no trusted key has signed their checkpoint")
        return None
    by_entries = leaf_hashes(leaves) if leaves is not None else None
    for right in (by_entries, _by_tiles(stretch, growth, by_entries)):
        if right is None:
            continue
        edge, _ = start.grown(right)
        if edge.root != target:
            continue
        if leaves is None or by_entries is None:
            left("they cannot be read" if growth.entries is not None else "retention took them")
            return edge
        for at, content in enumerate(leaves):
            place = slice(at * HASH_BYTES, (at + 1) * HASH_BYTES)
            if by_entries[place] == right[place]:
                found.entries.append((first + at, content))
            else:
                found.doubtful.append((first + at, content, "it is not the one that was signed"))
        return edge
    left("they do not lead to the root that was signed")
    return None


def _unpacked(growth: StoredGrowth, packs: Packs) -> list[bytes] | None:
    if growth.entries is None:
        return None
    try:
        leaves = unbundled(packs.unpack(growth.entries, MOST_SEGMENT_BYTES))
    except LedgerError:
        return None
    return leaves if len(leaves) == growth.to_size - growth.from_size else None


def _by_tiles(stretch: Stretch, growth: StoredGrowth, by_entries: bytes | None) -> bytes | None:
    """The leaf hashes out of full tiles; those of none yet out of the entries, where these can be read."""
    tiles = {tile.index: tile.hashes for tile in stretch.tiles if tile.level == 0}
    if stretch.beyond:
        tiles.setdefault(stretch.to_size // TILE_WIDTH, stretch.beyond)
    return hashes_out_of(lambda index: tiles.get(index, b""), growth.from_size, growth.to_size, by_entries)
