"""A whole log, read entry by entry and reckoned anew: what must be true of it whatever was killed."""

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field

from holdfast.adapters.signing.ed25519 import verifies
from holdfast.ledger.canonical import entry_of
from holdfast.ledger.errors import ProofRefused
from holdfast.ledger.log.checkpoint import verified
from holdfast.ledger.log.notes import VerifierKey
from holdfast.ledger.log.tiles import HASH_BYTES, TILE_WIDTH
from holdfast.ledger.log.tree import Edge, leaf_hashes
from holdfast.ledger.model import Conflict
from holdfast.ledger.ports import LogStore

_STEP = 64 * TILE_WIDTH


@dataclass(slots=True)
class Whole:
    """The log's leaves as hashes, and what is wrong with it."""

    hashes: bytes
    breaches: list[str] = field(default_factory=list)
    _edges: list[Edge] = field(default_factory=lambda: [Edge()])

    @property
    def size(self) -> int:
        return len(self.hashes) // HASH_BYTES

    def root_at(self, size: int) -> bytes | None:
        """When it had so many leaves; None when it never had."""
        if size > self.size:
            return None
        at = bisect_right(self._edges, size, key=lambda edge: edge.size) - 1
        edge = self._edges[at]
        while edge.size < size:
            upto = min(size, edge.size + _STEP)
            edge, _ = edge.grown(self.hashes[edge.size * HASH_BYTES : upto * HASH_BYTES])
            if edge.size - self._edges[at].size == _STEP and at == len(self._edges) - 1:
                self._edges.append(edge)
                at += 1
        return edge.root


async def whole_log(store: LogStore, tenant: str, key: VerifierKey) -> Whole:
    """Every entry once, every number once, every tile and note as the entries have it."""
    head = await store.head(tenant)
    if head is None:
        return Whole(b"", ["there is no log"])
    size, hashes = head.edge.size, list[bytes]()
    numbers, breaches = Counter[tuple[str, int, int]](), list[str]()
    for first in range(0, size, _STEP):
        leaves = await store.entries(head.log_id, first, min(_STEP, size - first))
        hashes.append(leaf_hashes(leaves))
        for entry in map(entry_of, leaves):
            if isinstance(entry, Conflict):
                breaches.append(f"{entry.source} {entry.seq} conflicts with leaf {entry.leaf}")
            else:
                numbers[entry.source, entry.epoch, entry.seq] += 1
    breaches += [f"{key} is there {count} times" for key, count in numbers.items() if count > 1]
    whole = Whole(b"".join(hashes), breaches)
    full = size - size % TILE_WIDTH
    for first in range(0, full, TILE_WIDTH):
        tile = await store.hashes(head.log_id, 0, first, TILE_WIDTH)
        if tile != whole.hashes[first * HASH_BYTES : (first + TILE_WIDTH) * HASH_BYTES]:
            breaches.append(f"the tile from leaf {first} on is not that of its entries")
    grown = await store.grown_to(head.log_id, 1)
    if grown is None or (grown[0], grown[1]) != (size, whole.root_at(size)) or head.edge.root != grown[1]:
        breaches.append("the newest growth is not that of the entries")
    else:
        try:
            said = verified(grown[2], key, verifies).checkpoint
            if (said.size, said.root) != (size, grown[1]):
                breaches.append("the newest note tells another tree")
        except ProofRefused as error:
            breaches.append(f"the newest note: {error}")
    return whole
