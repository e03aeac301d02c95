"""Bundles: entries of a log with what proves them, in one file, for who has only that file and a public key.

    {"bundle":1,"checkpoint":"...","chosen":"...","log":"...", ...}      the head
    ["8/0","YWJj..."]                a hash: that of the 2**8 leaves from 0 * 2**8 on, none of which is here
    [256,{"epoch":1,...}]            leaf 256, in the canonical bytes that were hashed
    [257,{"epoch":1,...}]
    ["1/129","ZGVm..."]

Each line is JSON, in the order of the leaves, and together they cover the tree. So the tree's root comes out
of the lines one after the other, in little memory, and must be the one in the checkpoint; nothing of the file
is to be trusted before that. A whole log needs no hashes, one entry about as many as its inclusion proof.
"""

import base64
import json
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain

import msgspec

from holdfast.ledger.errors import EntriesPruned, ProofRefused
from holdfast.ledger.log.checkpoint import Checkpoint, Signed, verified
from holdfast.ledger.log.keys import trusted_for
from holdfast.ledger.log.notes import COSIGNATURE_V1, Note, VerifierKey, Verifies, from_canonical_base64
from holdfast.ledger.log.tiles import HASH_BYTES, TILE_HEIGHT, TILE_WIDTH
from holdfast.ledger.log.tree import EMPTY_ROOT, leaf_hash, node_hash, perfect_root
from holdfast.ledger.ports import LogStore

VERSION = 1
MOST_LINE_BYTES = 2_000_000
_AT_ONCE = 8192
_TILES_KEPT = 64
_LEAF = re.compile(rb"\[(0|[1-9][0-9]{0,18}),(.*)\]", re.DOTALL)
_HASH = re.compile(rb'\["(0|[1-9][0-9]?)/(0|[1-9][0-9]{0,18})","([A-Za-z0-9+/]{43}=)"\]')


class BundleHead(msgspec.Struct, frozen=True, kw_only=True):
    """The first line. `keys` and `chosen` are told for people: whoever verifies brings the keys."""

    bundle: int
    checkpoint: str
    """The published checkpoint's text, with its signatures."""
    chosen: str
    """Which entries these are, in words."""
    keys: list[str]
    log: str
    """The log's origin."""
    made_at: str


_HEAD = msgspec.json.Decoder(BundleHead)
_TEXT = msgspec.json.Decoder(str)


class Roots:
    """A tree's root out of its pieces: perfect trees, from left to right, none missing."""

    def __init__(self) -> None:
        self.size = 0
        self._nodes: list[tuple[int, bytes]] = []

    def add(self, height: int, hash_: bytes) -> None:
        """The tree of the next 2**height leaves. Raises ProofRefused where none can begin."""
        span = 1 << height
        if self.size % span:
            raise ProofRefused(f"no tree of {span:,} leaves begins at leaf {self.size:,}")
        self.size += span
        nodes = self._nodes
        while nodes and nodes[-1][0] == height:
            hash_ = node_hash(nodes.pop()[1], hash_)
            height += 1
        nodes.append((height, hash_))

    @property
    def root(self) -> bytes:
        root = b""
        for _, hash_ in reversed(self._nodes):
            root = node_hash(hash_, root) if root else hash_
        return root or EMPTY_ROOT


def gaps(low: int, high: int) -> Iterator[tuple[int, int]]:
    """The perfect trees that cover the leaves [low, high), as (height, index), from left to right."""
    while low < high:
        height = (high - low).bit_length() - 1
        if low:
            height = min(height, (low & -low).bit_length() - 1)
        yield height, low >> height
        low += 1 << height


class Bundling:
    """Makes a bundle of some entries of a log. What retention took is stood in for by its hashes."""

    def __init__(self, store: LogStore, log_id: int, head: BundleHead) -> None:
        self.entries = 0
        self.pruned = 0
        self._store = store
        self._log_id = log_id
        self._head = head
        self._size = Checkpoint.parsed(Note.parsed(head.checkpoint).body).size

    async def lines(self, chosen: Iterable[range]) -> AsyncIterator[bytes]:
        """The file, in pieces. `chosen` are leaves below the checkpoint's size, in order, none twice."""
        tree, at = _Tiles(self._store, self._log_id, self._size), 0
        yield msgspec.json.encode(self._head) + b"\n"
        for window in _windows(chosen):
            for leaf, entry in await self._readable(window[0], window[-1] + 1, set(window)):
                for height, index in gaps(at, leaf):
                    yield _hash_line(height, index, await tree.node(height, index))
                yield _leaf_line(leaf, entry)
                at = leaf + 1
        for height, index in gaps(at, self._size):
            yield _hash_line(height, index, await tree.node(height, index))

    async def _readable(self, first: int, end: int, chosen: AbstractSet[int]) -> list[tuple[int, bytes]]:
        """The chosen ones in [first, end) that are still kept: what was pruned ends anywhere in it."""
        try:
            entries = await self._store.entries(self._log_id, first, end - first)
        except EntriesPruned:
            if end - first == 1:
                self.pruned += first in chosen
                return []
            middle = (first + end) // 2
            return [
                *await self._readable(first, middle, chosen),
                *await self._readable(middle, end, chosen),
            ]
        found = [(leaf, entry) for leaf, entry in enumerate(entries, first) if leaf in chosen]
        self.entries += len(found)
        return found


def _windows(chosen: Iterable[range]) -> Iterator[list[int]]:
    """The leaves, those together that stand in one stretch of the log: its segments are unpacked whole."""
    window = list[int]()
    for leaf in chain.from_iterable(chosen):
        if window and leaf // _AT_ONCE != window[0] // _AT_ONCE:
            yield window
            window = []
        window.append(leaf)
    if window:
        yield window


class BundleVerifier:
    """Reads a bundle line by line. Nothing of it holds before `end` has returned."""

    def __init__(self, first_line: bytes, keys: Sequence[VerifierKey], verifies: Verifies) -> None:
        """Raises ProofRefused for what is no bundle, and for a log whose key is not among `keys`.

        With witnesses' keys among them, one of the witnesses must have cosigned the checkpoint.
        """
        try:
            self.head = _HEAD.decode(first_line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ProofRefused("that is no bundle of a ledger") from error
        if self.head.bundle != VERSION:
            raise ProofRefused(
                f"a bundle of version {self.head.bundle} cannot be read here", hint="use a newer Holdfast"
            )
        own = trusted_for(self.head.log, keys)
        if not own:
            raise ProofRefused(
                f"none of the given keys is that of {self.head.log!r}",
                hint="ask the operator of the ledger for its verifier key, by another way than the file came",
            )
        witnesses = [each for each in keys if each.kind == COSIGNATURE_V1]
        self.signed: Signed = verified(
            self.head.checkpoint, own, verifies, witnesses=witnesses, quorum=1 if witnesses else 0
        )
        self._roots = Roots()

    def line(self, line: bytes) -> tuple[int, bytes] | None:
        """A leaf and its entry's bytes; None for a hash. Raises ProofRefused."""
        line = line.removesuffix(b"\n")
        if hash_ := _HASH.fullmatch(line):
            height, index = int(hash_[1]), int(hash_[2])
            content = from_canonical_base64(hash_[3].decode())
            if not content or height > 62 or index << height != self._roots.size:
                raise ProofRefused(f"there is no hash of that form at leaf {self._roots.size:,}")
            self._roots.add(height, content)
            return None
        if found := _LEAF.fullmatch(line):
            leaf, entry = int(found[1]), _entry(found[2])
            if leaf != self._roots.size:
                raise ProofRefused(f"leaf {leaf:,} stands where leaf {self._roots.size:,} belongs")
            self._roots.add(0, leaf_hash(entry))
            return leaf, entry
        raise ProofRefused("a line of the bundle is neither an entry nor a hash")

    def end(self) -> Signed:
        """The checkpoint, which holds every entry that was read. Raises ProofRefused."""
        checkpoint = self.signed.checkpoint
        if self._roots.size != checkpoint.size:
            text = f"the bundle covers {self._roots.size:,} leaves of {checkpoint.size:,}"
            raise ProofRefused(text, hint="the file is cut off, or was put together")
        if self._roots.root != checkpoint.root:
            raise ProofRefused("the entries do not lead to the root that was signed")
        return self.signed


class _Tiles:
    """Nodes of a tree out of whole tiles, the last ones kept: neighbours ask for the same."""

    def __init__(self, store: LogStore, log_id: int, size: int) -> None:
        self._store = store
        self._log_id = log_id
        self._size = size
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    async def node(self, height: int, index: int) -> bytes:
        level, inside = divmod(height, TILE_HEIGHT)
        first = index << inside
        tile, at = divmod(first, TILE_WIDTH)
        hashes = await self._tile(level, tile)
        return perfect_root(hashes[at * HASH_BYTES : (at + (1 << inside)) * HASH_BYTES])

    async def _tile(self, level: int, index: int) -> bytes:
        found = self._kept.get((level, index))
        if found is None:
            first = index * TILE_WIDTH
            count = min(TILE_WIDTH, (self._size >> TILE_HEIGHT * level) - first)
            found = await self._store.hashes(self._log_id, level, first, count)
            self._kept[level, index] = found
            if len(self._kept) > _TILES_KEPT:
                self._kept.popitem(last=False)
        return found


def _leaf_line(leaf: int, entry: bytes) -> bytes:
    # A record is JSON as it is; a checkpoint, in the log over all, is a text.
    content = entry if entry.startswith(b"{") else json.dumps(entry.decode()).encode()
    return b"[%d,%b]\n" % (leaf, content)


def _entry(content: bytes) -> bytes:
    if content.startswith(b"{"):
        return content
    try:
        text = _TEXT.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProofRefused("a line of the bundle is neither an entry nor a hash") from error
    return text.encode()


def _hash_line(height: int, index: int, hash_: bytes) -> bytes:
    return b'["%d/%d","%b"]\n' % (height, index, base64.b64encode(hash_))
