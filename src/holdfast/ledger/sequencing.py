"""The sequencer: gives every new record its place in its tenant's log, in one transaction per request.

    prepared records -> new, repeated, conflicting (sequences.py) -> growth of the tree -> store -> placed

What is in memory is a cache of what the store holds. Whenever somebody else has appended meanwhile (a second
process, or the one that took over), the store refuses the whole transaction, the cache is thrown away, and
the decision is made again: two sequencers can slow each other down, never fork a log.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from holdfast.ledger.canonical import leaf_of
from holdfast.ledger.errors import Overtaken
from holdfast.ledger.log.checkpoint import Checkpoint
from holdfast.ledger.log.notes import Signer
from holdfast.ledger.log.tiles import HASH_BYTES, TILE_WIDTH, bundle
from holdfast.ledger.log.tree import Edge, leaf_hashes
from holdfast.ledger.model import Conflict, Prepared
from holdfast.ledger.ports import ConflictKept, Growth, Head, Key, LogStore, Packs
from holdfast.ledger.sequences import Numbers, Run, Sorted, sort

MOST_TRIES = 5


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the records of one tenant's request stand. Item n of `leaves` is record n's."""

    tenant: str
    log_id: int
    size: int
    """Of the log, with all of them in it."""
    leaves: list[int]
    repeated: list[int]
    """The records (by their place in the request) that were there already, byte for byte."""
    conflicts: list[int]
    """Those whose key stands for something else; `leaves` has the conflict's own entry."""


@dataclass(frozen=True, slots=True)
class Appended:
    """All of a request, durable here. It is in the second region once that has flushed up to `lsn`."""

    placed: tuple[Placed, ...]
    lsn: int


class Sequencer:
    """Appends one request after the other. Waiting for the second region is left to the caller, so that the
    next request is committed meanwhile.
    """

    def __init__(
        self,
        store: LogStore,
        packs: Packs,
        *,
        origin_of: Callable[[str], str],
        signer_for: Callable[[str], Signer],
    ) -> None:
        """`origin_of` a tenant; `signer_for` an origin."""
        self._store = store
        self._packs = packs
        self._origin_of = origin_of
        self._signer_for = signer_for
        self._heads: dict[str, Head] = {}
        self._lsn: int | None = None
        self._turn = asyncio.Lock()

    async def append(self, batches: Sequence[Prepared]) -> Appended:
        """Raises Overtaken when others keep appending first, and what the store raises: nothing is left."""
        async with self._turn:
            for _ in range(MOST_TRIES - 1):
                try:
                    return await self._appended(batches)
                except Overtaken:
                    self._forget()
            return await self._appended(batches)

    async def _appended(self, batches: Sequence[Prepared]) -> Appended:
        try:
            if self._lsn is None:
                self._lsn = await self._store.lsn()
            decided = [await self._decide(each) for each in batches]
            growths = [each.growth for each in decided if each.growth]
            if growths:
                self._lsn = max(await self._store.append(growths), self._lsn)
        except BaseException:
            self._forget()  # what of it was committed, if anything, is read from the store again
            raise
        for each in decided:
            self._remember(each)
        return Appended(tuple(each.placed for each in decided), self._lsn)

    async def _decide(self, prepared: Prepared) -> "_Decided":
        head = self._heads.get(prepared.tenant) or await self._head(prepared.tenant)
        found = sort(prepared.sources, prepared.epochs, prepared.seqs, head.known)
        leaves = [prepared.leaves[place] for place in found.new] if found.known else prepared.leaves
        hashes = prepared.hashes
        places = dict(zip(found.new, range(head.edge.size, head.edge.size + len(leaves)), strict=True))
        repeated, conflicts, kept = list[int](), list[int](), list[ConflictKept]()
        if found.known:
            hashes = b"".join([_hash(hashes, place) for place in found.new])
            clashes = _Clashes(head.edge.size + len(leaves))
            standing = await self._standing(prepared, head, found, places)
            clashes.known(await self._store.conflicts_of(head.log_id, list(standing)))
            for place in found.known:
                leaf, hash_ = standing[_key(prepared, place)]
                if hash_ == _hash(prepared.hashes, place):
                    places[place] = leaf
                    repeated.append(place)
                else:
                    places[place] = clashes.leaf_for(prepared, place, leaf)
                    conflicts.append(place)
            kept, leaves = clashes.fresh, leaves + clashes.leaves
            hashes += leaf_hashes(clashes.leaves)
        growth, edge = self._growth(head, leaves, hashes, found.runs, kept)
        placed = Placed(
            prepared.tenant,
            head.log_id,
            edge.size,
            [places[place] for place in range(len(places))],
            repeated,
            conflicts,
        )
        return _Decided(placed, growth, replace(head, edge=edge), found.runs)

    async def _standing(
        self, prepared: Prepared, head: Head, found: Sorted, places: Mapping[int, int]
    ) -> dict[Key, tuple[int, bytes]]:
        """The leaf and its hash that stand under each key which came again."""
        keys = list(dict.fromkeys(_key(prepared, place) for place in found.known))
        nothing = Numbers()
        before = [key for key in keys if key.seq in head.known.get((key.source, key.epoch), nothing)]
        leaves = dict(zip(before, await self._store.placed(head.log_id, before), strict=True))
        full = head.edge.size - head.edge.size % TILE_WIDTH
        stored = [leaf for leaf in leaves.values() if leaf < full]
        hashes = dict(zip(stored, await self._store.leaf_hashes(head.log_id, stored), strict=True))
        standing = {
            key: (leaf, hashes[leaf] if leaf < full else _hash(head.edge.partial[0], leaf - full))
            for key, leaf in leaves.items()
        }
        if len(before) < len(keys):  # the first of them came in this very request
            for place in found.new:
                standing.setdefault(_key(prepared, place), (places[place], _hash(prepared.hashes, place)))
        return {key: standing[key] for key in keys}

    def _growth(
        self, head: Head, leaves: list[bytes], hashes: bytes, runs: Sequence[Run], kept: list[ConflictKept]
    ) -> tuple[Growth | None, Edge]:
        if not leaves:
            return None, head.edge
        edge, tiles = head.edge.grown(hashes)
        root = edge.root
        growth = Growth(
            log_id=head.log_id,
            from_size=head.edge.size,
            to_size=edge.size,
            root=root,
            note=Checkpoint(head.origin, edge.size, root).signed(self._signer_for(head.origin)).text,
            entries=self._packs.pack(bundle(leaves)),
            tiles=tiles,
            runs=[run._replace(leaf=run.leaf + head.edge.size) for run in runs],
            conflicts=kept,
        )
        return growth, edge

    async def _head(self, tenant: str) -> Head:
        return await self._store.head(tenant) or await self._store.create(tenant, self._origin_of(tenant))

    def _remember(self, decided: "_Decided") -> None:
        head = decided.head
        known = dict(head.known) if not isinstance(head.known, dict) else head.known
        for run in decided.runs:
            known.setdefault((run.source, run.epoch), Numbers()).add(run.first, run.last)
        self._heads[decided.placed.tenant] = replace(head, known=known)

    def _forget(self) -> None:
        self._heads.clear()
        self._lsn = None


@dataclass(frozen=True, slots=True)
class _Decided:
    placed: Placed
    growth: Growth | None
    head: Head
    runs: Sequence[Run]


class _Clashes:
    """The conflict entries of a request: each other record under a taken key once, however often it came."""

    def __init__(self, first_leaf: int) -> None:
        self.leaves: list[bytes] = []
        self.fresh: list[ConflictKept] = []
        self._next = first_leaf
        self._kept: dict[tuple[Key, bytes], int] = {}

    def known(self, kept: Sequence[ConflictKept]) -> None:
        self._kept |= {(each.key, each.came): each.leaf for each in kept}

    def leaf_for(self, prepared: Prepared, place: int, standing: int) -> int:
        key, came = _key(prepared, place), _hash(prepared.hashes, place)
        found = self._kept.get((key, came))
        if found is None:
            found = self._kept[key, came] = self._next
            self._next += 1
            self.fresh.append(ConflictKept(key, came, found))
            self.leaves.append(
                leaf_of(
                    Conflict(
                        came=prepared.leaves[place].decode(),
                        epoch=key.epoch,
                        leaf=standing,
                        seq=key.seq,
                        source=key.source,
                        tenant=prepared.tenant,
                    )
                )
            )
        return found


def _key(prepared: Prepared, place: int) -> Key:
    return Key(prepared.sources[place], prepared.epochs[place], prepared.seqs[place])


def _hash(hashes: bytes, at: int) -> bytes:
    return hashes[at * HASH_BYTES : (at + 1) * HASH_BYTES]
