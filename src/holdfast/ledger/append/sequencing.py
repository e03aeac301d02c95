"""The sequencer: gives every new record its place in its tenant's log, in one transaction per request.

    prepared records -> new, repeated, conflicting (sequences.py, deciding.py) -> growth of the tree -> store

What is in memory is a cache of what the store holds. Whenever somebody else has appended meanwhile (a second
process, or the one that took over), the store refuses the whole transaction, the cache is thrown away, and
the decision is made again: two sequencers can slow each other down, never fork a log.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from holdfast.ledger.append.deciding import Placed, Split, by_tenant, hash_at, key_of, split_up
from holdfast.ledger.append.pieces import in_pieces, segment_of, without
from holdfast.ledger.append.recent import Recent
from holdfast.ledger.append.sequences import Numbers, Run, Sorted, sort
from holdfast.ledger.errors import Overtaken
from holdfast.ledger.log.checkpoint import Checkpoint
from holdfast.ledger.log.notes import Signer
from holdfast.ledger.log.tiles import TILE_WIDTH
from holdfast.ledger.log.tree import Edge, leaf_hashes
from holdfast.ledger.model import Piece, Prepared
from holdfast.ledger.ports import ConflictKept, Growth, Head, Key, LogStore, Packs

__all__ = ["Appended", "Placed", "Sequencer"]

MOST_TRIES = 5


@dataclass(frozen=True, slots=True)
class Appended:
    """All of it, request by request, durable here; in the second region once that has flushed up to `lsn`."""

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
        self._recent = Recent()
        self._lsn: int | None = None
        self._turn = asyncio.Lock()

    async def append(self, batches: Sequence[Prepared]) -> Appended:
        """All of it in one transaction; what several requests bring for one tenant is one growth of its log.

        Raises Overtaken when others keep appending first, and what the store raises: nothing is left.
        """
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
            requests = by_tenant(batches, self._packs)
            decided = [await self._decide(each.prepared) for each in requests]
            growths = [each.growth for each in decided if each.growth]
            if growths:
                self._lsn = max(await self._store.append(growths), self._lsn)
        except BaseException:
            self._forget()  # what of it was committed, if anything, is read from the store again
            raise
        placed = dict[int, Placed]()
        for request, each in zip(requests, decided, strict=True):
            self._remember(each)
            placed |= request.parted(each.placed)
        return Appended(tuple(placed[at] for at in range(len(batches))), self._lsn)

    async def _decide(self, prepared: Prepared) -> "_Decided":
        head = self._heads.get(prepared.tenant) or await self._head(prepared.tenant)
        found = sort(prepared.sources, prepared.epochs, prepared.seqs, head.known)
        split = split_up(prepared, found, head.edge.size)
        if found.known:
            await self._settle(prepared, head, found, split)
        pieces: Sequence[Piece] = prepared.pieces or in_pieces(prepared.leaves, self._packs)
        if found.known:
            pieces = [*without(pieces, found.known, self._packs), *in_pieces(split.clashing, self._packs)]
        hashes = b"".join([*split.hashes, leaf_hashes(split.clashing)])
        growth, edge = self._growth(head, hashes, pieces, found.runs, split.kept)
        placed = Placed(
            prepared.tenant, head.log_id, edge.size, split.leaves, split.repeated, split.conflicts
        )
        return _Decided(placed, growth, replace(head, edge=edge), hashes, found.runs)

    async def _settle(self, prepared: Prepared, head: Head, found: Sorted, split: Split) -> None:
        """Tell the records whose key came before apart: repeats and conflicts."""
        standing = await self._standing(prepared, head, found, split)
        clashing = list[int]()
        for place in found.known:
            split.leaves[place], hash_ = standing[key_of(prepared, place)]
            if hash_ == hash_at(prepared.hashes, place):
                split.repeated.append(place)
            else:
                clashing.append(place)
        if clashing:
            keys = list({key_of(prepared, place) for place in clashing})
            kept = await self._store.conflicts_of(head.log_id, keys)
            split.clash(prepared, clashing, {(each.key, each.came): each.leaf for each in kept}, self._packs)

    async def _standing(
        self, prepared: Prepared, head: Head, found: Sorted, split: Split
    ) -> dict[Key, tuple[int, bytes]]:
        """The leaf and its hash that stand under each key which came again."""
        keys = dict.fromkeys(key_of(prepared, place) for place in found.known)
        standing, stored, nothing = dict[Key, tuple[int, bytes]](), list[Key](), Numbers()
        for key in keys:
            recent = self._recent.standing(head.log_id, key)
            if recent:
                standing[key] = recent
            elif key.seq in head.known.get((key.source, key.epoch), nothing):
                stored.append(key)
        if stored:
            standing |= await self._stored(head, stored)
        if len(standing) < len(keys):  # the first of them came in this very request
            for place in found.new:
                key = key_of(prepared, place)
                if key in keys:
                    standing.setdefault(key, (split.leaves[place], hash_at(prepared.hashes, place)))
        return standing

    async def _stored(self, head: Head, keys: Sequence[Key]) -> dict[Key, tuple[int, bytes]]:
        leaves = await self._store.placed(head.log_id, keys)
        full = head.edge.size - head.edge.size % TILE_WIDTH
        asked = [leaf for leaf in leaves if leaf < full]
        hashes = dict(zip(asked, await self._store.leaf_hashes(head.log_id, asked), strict=True))
        return {
            key: (leaf, hashes[leaf] if leaf < full else hash_at(head.edge.partial[0], leaf - full))
            for key, leaf in zip(keys, leaves, strict=True)
        }

    def _growth(
        self,
        head: Head,
        hashes: bytes,
        pieces: Sequence[Piece],
        runs: Sequence[Run],
        kept: list[ConflictKept],
    ) -> tuple[Growth | None, Edge]:
        if not hashes:
            return None, head.edge
        edge, tiles = head.edge.grown(hashes)
        root = edge.root
        growth = Growth(
            log_id=head.log_id,
            from_size=head.edge.size,
            to_size=edge.size,
            root=root,
            note=Checkpoint(head.origin, edge.size, root).signed(self._signer_for(head.origin)).text,
            entries=segment_of(pieces),
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
        if growth := decided.growth:
            self._recent.add(growth.log_id, growth.from_size, decided.hashes, decided.runs)

    def _forget(self) -> None:
        self._heads.clear()
        self._recent.forget()
        self._lsn = None


@dataclass(frozen=True, slots=True)
class _Decided:
    placed: Placed
    growth: Growth | None
    head: Head
    hashes: bytes
    runs: Sequence[Run]
    """Their leaves count from the growth's first."""
