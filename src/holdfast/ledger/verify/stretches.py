"""A stretch of a log, recomputed from its entries and compared with everything that is stored of it. Pure.

    entries -> leaf hashes -> tiles, roots -> signed notes -> published checkpoints
            -> numbers of sources (runs), conflicts

What the log has signed decides. Where the entries lead to another root than the signed one, and the tiles
lead to it, the entries are damaged, and the tiles tell which; the other way round the tiles are. So one
flipped bit is one finding, at its place, and checking goes on behind it. Entries that retention took are
stood in for by their tiles.

Stretches of one log can be checked at the same time: each begins with the tree's edge as it is stored, and
ends with the one that was computed, which must be the next one's beginning.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from holdfast.ledger.append.sequences import Run
from holdfast.ledger.canonical import entry_of, leaf_of
from holdfast.ledger.errors import LedgerError, ProofRefused
from holdfast.ledger.log.checkpoint import Checkpoint, verified
from holdfast.ledger.log.notes import VerifierKey, Verifies
from holdfast.ledger.log.tiles import HASH_BYTES, TILE_WIDTH, FullTile, hashes_out_of, unbundled
from holdfast.ledger.log.tree import Edge, leaf_hash, leaf_hashes, root_over
from holdfast.ledger.model import Conflict, Record
from holdfast.ledger.ports import ConflictKept, Key, Packs

MOST_TOLD = 20
"""So many findings of one kind in a stretch are told one by one; all are counted."""
MOST_SEGMENT_BYTES = 256 * 1024 * 1024


class What(StrEnum):
    """What a finding is about."""

    ENTRIES = "entries"
    TILES = "tiles"
    ROOT = "root"
    NOTE = "checkpoint"
    GROWTH = "growth"
    NUMBERS = "numbers"
    CONFLICT = "conflict"
    PUBLISHED = "published"
    WITNESS = "witness"


class Finding(NamedTuple):
    """Something that does not fit. `leaf` is the first leaf that it is about."""

    what: What
    leaf: int
    text: str


class StoredGrowth(NamedTuple):
    """A batch as it is stored. `entries` is its packed segment, None where retention took it; `peaks` are
    those of the tree behind it, None of a growth that is older than keeping them.
    """

    from_size: int
    to_size: int
    root: bytes
    note: str
    entries: bytes | None
    peaks: bytes | None


class PublishedNote(NamedTuple):
    """A checkpoint that was handed out."""

    size: int
    note: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is stored of the leaves [from_size, to_size) of a log; both are borders of growths."""

    tenant: str
    """Empty for the log over all logs."""
    origin: str
    from_size: int
    to_size: int
    growths: Sequence[StoredGrowth]
    tiles: Sequence[FullTile]
    """Of each level those that became full in the stretch."""
    beyond: bytes
    """The level 0 tile that the stretch ends in, when it is full by now: else empty."""
    runs: Sequence[Run]
    """In the order of their leaves."""
    conflicts: Sequence[ConflictKept]
    published: Sequence[PublishedNote]


@dataclass(frozen=True, slots=True)
class Keys:
    """Whom the verifier trusts. With a witness among them every published checkpoint must be cosigned."""

    log: Sequence[VerifierKey]
    """Of one log: more than one after its key was changed."""
    witnesses: Sequence[VerifierKey] = ()


@dataclass(slots=True)
class Checked:
    """What became of a stretch."""

    from_size: int
    start: Edge
    end: Edge
    entries: int = 0
    growths: int = 0
    tiles: int = 0
    published: int = 0
    pruned: list[tuple[int, int]] = field(default_factory=list)
    """Leaves [from, to) without entries, one after the other."""
    conflicts: list[tuple[ConflictKept, int]] = field(default_factory=list)
    """Each with the leaf that it says its key stands under."""
    listed: list[tuple[int, Checkpoint]] = field(default_factory=list)
    """Of the log over all: its leaves, and the checkpoints they are."""
    findings: list[Finding] = field(default_factory=list)
    counted: Counter[What] = field(default_factory=Counter)

    def found(self, what: What, leaf: int, text: str) -> None:
        self.counted[what] += 1
        if self.counted[what] <= MOST_TOLD:
            self.findings.append(Finding(what, leaf, text))


def checked(stretch: Stretch, start: Edge, keys: Keys, verifies: Verifies, packs: Packs) -> Checked:
    """Everything about the stretch that does not fit, where `start` is the tree before it."""
    return _Check(stretch, start, keys, verifies, packs).run()


class _Check:
    def __init__(self, stretch: Stretch, start: Edge, keys: Keys, verifies: Verifies, packs: Packs) -> None:
        self._stretch = stretch
        self._keys = keys
        self._verifies = verifies
        self._packs = packs
        self._tiles = {(tile.level, tile.index): tile for tile in stretch.tiles}
        self._roots: dict[int, bytes] = {}
        self._leaves: list[tuple[int, list[bytes]]] = []
        """Entries that are what was signed, with their first leaf."""
        self._unread: list[tuple[int, int]] = []
        """Leaves [first, end) of which nothing can be said but their hashes."""
        self._result = Checked(stretch.from_size, start, start)

    def run(self) -> Checked:
        result, stretch = self._result, self._stretch
        for growth in stretch.growths:
            if growth.from_size != result.end.size or growth.to_size <= growth.from_size:
                text = f"a growth begins at {growth.from_size:,} where {result.end.size:,} was to be"
                result.found(What.GROWTH, min(growth.from_size, result.end.size), text)
                return result
            if not self._grown(growth):
                return result
        if result.end.size != stretch.to_size:
            result.found(
                What.GROWTH, result.end.size, f"nothing is kept of the log from {result.end.size:,} on"
            )
            return result
        for level, index in self._tiles:
            result.found(
                What.TILES, index << 8 * (level + 1), f"tile {index:,} of level {level} has no place"
            )
        self._numbers()
        for each in stretch.published:
            self._published(each)
        return result

    def _grown(self, growth: StoredGrowth) -> bool:
        """Whether checking can go on behind it."""
        result, before = self._result, self._result.end
        count = growth.to_size - growth.from_size
        leaves = self._unpacked(growth)
        by_entries = leaf_hashes(leaves) if leaves is not None else None
        by_tiles = self._hashes_of_tiles(growth, by_entries)
        target = self._signed_root(growth)
        for hashes, other, what in (
            (by_entries, by_tiles, What.TILES),
            (by_tiles, by_entries, What.ENTRIES),
        ):
            if hashes is None:
                continue
            edge, tiles = before.grown(hashes)
            peaks = edge.peaks
            if root_over(peaks) != target:
                continue
            if growth.peaks not in {None, peaks}:
                text = f"the peaks of {growth.to_size:,} leaves are not those of its tree"
                result.found(What.ROOT, growth.from_size, text)
            if other is not None and other != hashes:
                self._differing(growth, hashes, other, what)
            self._stored(tiles)
            result.end = edge
            self._roots[edge.size] = target
            result.growths += 1
            if leaves is not None and what is What.TILES:
                result.entries += count
                self._leaves.append((growth.from_size, leaves))
            else:
                self._unread.append((growth.from_size, growth.to_size))
                if growth.entries is None:
                    self._without_entries(growth)
            return True
        text = f"the leaves {_span(growth)} do not lead to the root that was signed"
        result.found(What.ENTRIES if by_tiles is None else What.ROOT, growth.from_size, text)
        return False

    def _unpacked(self, growth: StoredGrowth) -> list[bytes] | None:
        if growth.entries is None:
            return None
        try:
            leaves = unbundled(self._packs.unpack(growth.entries, MOST_SEGMENT_BYTES))
        except LedgerError as error:
            self._result.found(What.ENTRIES, growth.from_size, f"the entries {_span(growth)}: {error}")
            return None
        if len(leaves) == growth.to_size - growth.from_size:
            return leaves
        text = f"the entries {_span(growth)} are {len(leaves):,}"
        self._result.found(What.ENTRIES, growth.from_size, text)
        return None

    def _hashes_of_tiles(self, growth: StoredGrowth, by_entries: bytes | None) -> bytes | None:
        """The growth's leaf hashes out of the tiles, and where none is full yet, out of the entries."""

        def tile(index: int) -> bytes:
            found = self._tiles.get((0, index))
            if found is not None and found.hashes:
                return found.hashes
            return self._stretch.beyond if index == self._stretch.to_size // TILE_WIDTH else b""

        return hashes_out_of(tile, growth.from_size, growth.to_size, by_entries)

    def _signed_root(self, growth: StoredGrowth) -> bytes:
        """What the log signed for the tree behind the growth; what is stored when that cannot be read."""
        result, at = self._result, growth.from_size
        try:
            signed = self._verified(growth.note, growth.to_size, quorum=0)
        except ProofRefused as error:
            result.found(What.NOTE, at, f"the checkpoint of {growth.to_size:,} leaves: {error}")
            return growth.root
        if signed.root != growth.root:
            result.found(
                What.ROOT, at, f"the root of {growth.to_size:,} leaves is not the one that was signed"
            )
        return signed.root

    def _differing(self, growth: StoredGrowth, right: bytes, wrong: bytes, what: What) -> None:
        for at in range(0, len(right), HASH_BYTES):
            if right[at : at + HASH_BYTES] != wrong[at : at + HASH_BYTES]:
                leaf = growth.from_size + at // HASH_BYTES
                kept = (
                    "its tile has another hash" if what is What.TILES else "the entry is not the one signed"
                )
                self._result.found(what, leaf, f"leaf {leaf:,}: {kept}")

    def _stored(self, tiles: Iterable[FullTile]) -> None:
        for tile in tiles:
            stored = self._tiles.pop((tile.level, tile.index), None)
            leaf = tile.index << 8 * (tile.level + 1)
            name = f"tile {tile.index:,} of level {tile.level}"
            self._result.tiles += 1
            if stored is None:
                self._result.found(What.TILES, leaf, f"{name} is missing")
            elif (stored.quarter_roots, stored.root) != (tile.quarter_roots, tile.root):
                self._result.found(What.TILES, leaf, f"{name} has another root than its hashes")
            elif tile.level and stored.hashes != tile.hashes:  # those of level 0 were compared leaf by leaf
                self._result.found(What.TILES, leaf, f"{name} differs from the tiles below")

    def _without_entries(self, growth: StoredGrowth) -> None:
        pruned = self._result.pruned
        if pruned and pruned[-1][1] == growth.from_size:
            pruned[-1] = (pruned[-1][0], growth.to_size)
        else:
            pruned.append((growth.from_size, growth.to_size))

    def _published(self, published: PublishedNote) -> None:
        result, size = self._result, published.size
        result.published += 1
        try:
            quorum = 1 if self._keys.witnesses else 0
            found = self._verified(published.note, size, quorum=quorum)
        except ProofRefused as error:
            result.found(What.PUBLISHED, size - 1, f"the published checkpoint of {size:,} leaves: {error}")
            return
        if self._roots.get(size) != found.root:
            text = f"a checkpoint of {size:,} leaves was published that the log never had"
            result.found(What.PUBLISHED, size - 1, text)

    def _verified(self, note: str, size: int, *, quorum: int) -> Checkpoint:
        refused = ProofRefused("no key is known for this log")
        for key in self._keys.log:
            try:
                witnesses = self._keys.witnesses
                found = verified(note, key, self._verifies, witnesses=witnesses, quorum=quorum).checkpoint
            except ProofRefused as error:
                refused = error
                continue
            if found.size != size:
                raise ProofRefused(f"it tells {found.size:,}")
            return found
        raise refused

    def _numbers(self) -> None:
        """Every record under its number of its source, every conflict told; and nothing besides."""
        keys = dict[int, Key]()
        conflicts = {each.leaf: each for each in self._stretch.conflicts}
        told = dict[int, Conflict]()
        for first, leaves in self._leaves:
            for leaf, content in enumerate(leaves, first):
                read = self._read(leaf, content)
                if isinstance(read, Conflict):
                    told[leaf] = read
                elif read is not None:
                    keys[leaf] = read
        for leaf, conflict in told.items():
            self._conflict(leaf, conflict, conflicts.get(leaf))
        for leaf, kept in conflicts.items():
            if leaf not in told and not self._is_unread(leaf):
                self._result.found(
                    What.CONFLICT, leaf, f"leaf {leaf:,} is no conflict of {kept.key.source!r}"
                )
        self._runs(keys, conflicts, told)

    def _runs(
        self, keys: dict[int, Key], conflicts: dict[int, ConflictKept], told: dict[int, Conflict]
    ) -> None:
        result, at = self._result, self._stretch.from_size
        for run in (*self._stretch.runs, None):
            begin = run.leaf if run else self._stretch.to_size
            for leaf in range(at, begin):
                if leaf not in conflicts and leaf not in told:
                    result.found(What.NUMBERS, leaf, f"leaf {leaf:,} stands under no number of a source")
            if run is None:
                return
            end = run.leaf + run.last - run.first + 1
            if begin < at or end <= begin or end > self._stretch.to_size:
                text = f"numbers {run.first:,} to {run.last:,} of {run.source!r} stand under leaves of others"
                result.found(What.NUMBERS, run.leaf, text)
            for leaf in range(begin, min(end, self._stretch.to_size)):
                key = keys.get(leaf)
                named = Key(run.source, run.epoch, run.first + leaf - begin)
                if key is None and (leaf in told or leaf in conflicts):
                    result.found(What.NUMBERS, leaf, f"leaf {leaf:,} is a conflict and stands under a number")
                elif key is not None and key != named:
                    text = f"leaf {leaf:,} is {_key(key)} and stands under {_key(named)}"
                    result.found(What.NUMBERS, leaf, text)
            at = max(at, end)

    def _conflict(self, leaf: int, conflict: Conflict, kept: ConflictKept | None) -> None:
        result = self._result
        key = Key(conflict.source, conflict.epoch, conflict.seq)
        if kept is None or kept.key != key or kept.came != leaf_hash(conflict.came.encode()):
            result.found(What.CONFLICT, leaf, f"the conflict of leaf {leaf:,} is not kept as it was told")
        elif conflict.leaf >= leaf:
            result.found(What.CONFLICT, leaf, f"the conflict of leaf {leaf:,} names a leaf behind it")
        else:
            result.conflicts.append((kept, conflict.leaf))

    def _read(self, leaf: int, content: bytes) -> Key | Conflict | None:
        """The key of a record, or a conflict. None for what could not be read, and was told."""
        try:
            if not self._stretch.tenant and not content.startswith(b"{"):
                checkpoint = Checkpoint.parsed(content.decode())
                self._result.listed.append((leaf, checkpoint))
                return Key(checkpoint.origin, 0, checkpoint.size)
            entry = entry_of(content)
            if leaf_of(entry) != content:
                self._result.found(What.ENTRIES, leaf, f"leaf {leaf:,} is not in its canonical form")
        except (LedgerError, UnicodeDecodeError) as error:
            self._result.found(What.ENTRIES, leaf, f"leaf {leaf:,}: {error}")
            return None
        if entry.tenant != self._stretch.tenant:
            self._result.found(What.ENTRIES, leaf, f"leaf {leaf:,} is an entry of {entry.tenant!r}")
        return Key(entry.source, entry.epoch, entry.seq) if isinstance(entry, Record) else entry

    def _is_unread(self, leaf: int) -> bool:
        return any(first <= leaf < end for first, end in self._unread)


def _span(growth: StoredGrowth) -> str:
    return f"{growth.from_size:,} to {growth.to_size - 1:,}"


def _key(key: Key) -> str:
    return f"number {key.seq:,} of {key.source!r} (epoch {key.epoch})"
