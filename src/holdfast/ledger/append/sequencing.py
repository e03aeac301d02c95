"""The sequencer: gives every new record its place in its tenant's log, in one transaction per request.

    prepared records -> new, repeated, conflicting (sequences.py, deciding.py) -> growth of the tree -> store

What is in memory is a cache of what the store holds. Alone, a sequencer appends in one round trip. When
somebody else has appended meanwhile (a second process, or the one that took over), the store refuses the
whole transaction; the sequencer then waits for a turn, reads what is new, and decides again while nobody else
appends. Turns come in the order in which they were asked for: two sequencers share a log fairly, and never
fork it.

What came before and is not in memory is supposed to be a repeat, as it nearly always is: its hash goes with
the growth, and the store refuses the whole transaction when something else stands in that leaf. Then the
sequencer reads what stands there, and decides again. So a repeat costs no round trip of its own.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from holdfast.ledger.append.deciding import (
    Beside,
    Joined,
    Placed,
    Split,
    by_tenant,
    hash_at,
    joined_up,
    split_up,
)
from holdfast.ledger.append.pieces import fitted, in_pieces, segment_of
from holdfast.ledger.append.recent import Places, Recent
from holdfast.ledger.append.sequences import Before, Known, Numbers, Run, Sorted, sort
from holdfast.ledger.errors import Otherwise, Overtaken
from holdfast.ledger.log.checkpoint import Checkpoint
from holdfast.ledger.log.notes import Signer
from holdfast.ledger.log.tiles import TILE_WIDTH
from holdfast.ledger.log.tree import Edge, leaf_hashes, root_over
from holdfast.ledger.model import MOST, Piece, Prepared
from holdfast.ledger.ports import Growth, Head, Key, LogStore, Packs

__all__ = ["Appended", "Placed", "Sequencer"]

MOST_TOLD = 1_000
"""Ranges of numbers that whoever prepares a request is told."""
TURNS_SHARED = 32
"""So many turns after somebody else has appended, one is waited for at first: what is decided without is in
vain when somebody else comes first.
"""


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
        self._places = Places()
        self._epochs = dict[tuple[str, str], int]()
        self._lsn = 0
        self._shared = 0
        self._turn = asyncio.Lock()

    async def append(self, batches: Sequence[Prepared]) -> Appended:
        """All of it in one transaction; what several requests bring for one tenant is one growth of its log.

        Where others append to the same logs it waits for its turn: everybody gets on. Raises Overtaken when
        that does not come in time, and what the store raises: nothing is left.
        """
        async with self._turn:
            joined = by_tenant(batches)
            try:
                appended = await self._alone(joined) if not self._shared else None
                return appended or await self._in_turn(joined)
            except BaseException:
                self._forget()  # what of it was committed, if anything, is read from the store again
                raise

    def before(self, tenant: str, source: str) -> Before | None:
        """What the source has sent lately, as far as that is known without asking the store."""
        head, epoch = self._heads.get(tenant), self._epochs.get((tenant, source))
        if head is None or epoch is None:
            return None
        numbers = head.known.get((source, epoch))
        return Before(epoch, tuple(numbers.ranges[-MOST_TOLD:])) if numbers else None

    async def _alone(self, requests: Sequence[Joined]) -> Appended | None:
        """As if nobody else appended, in one round trip. None, and nothing is left, when somebody has."""
        try:
            try:
                decided = await self._tried(requests, supposing=True)
            except Otherwise:
                decided = await self._tried(requests, supposing=False)
        except Overtaken:
            self._shared = TURNS_SHARED
            return None
        return self._appended(requests, decided, self._lsn)

    async def _tried(self, requests: Sequence[Joined], *, supposing: bool) -> Sequence["_Decided"]:
        decided = [await self._decide(each, await self._head(each.tenant), supposing) for each in requests]
        if growths := [each.growth for each in decided if each.growth]:
            self._lsn = max(await self._store.append(growths), self._lsn)
        return decided

    async def _in_turn(self, requests: Sequence[Joined]) -> Appended:
        """While nobody else appends to these logs: what others appended is known when it is decided."""
        for each in requests:
            await self._head(each.tenant)
        store = self._store
        async with store.turn([self._heads[each.tenant].log_id for each in requests]) as mine:
            self._store = mine
            try:
                self._shared -= 1
                heads = [await self._newest(each.tenant) for each in requests]
                decided = [await self._decide(*each) for each in zip(requests, heads, strict=True)]
                if growths := [each.growth for each in decided if each.growth]:
                    await self._store.append(growths)
            finally:
                self._store = store
        # A place behind all of it: also behind what others committed, which a repeat was found in.
        self._lsn = await store.lsn()
        return self._appended(requests, decided, self._lsn)

    async def _head(self, tenant: str) -> Head:
        """As it was when this process appended last."""
        if tenant not in self._heads:
            head = await self._store.head(tenant)
            self._heads[tenant] = head or await self._store.create(tenant, self._origin_of(tenant))
            # A repeat of what others committed is acknowledged no earlier than that itself.
            self._lsn = await self._store.lsn()
        return self._heads[tenant]

    async def _newest(self, tenant: str) -> Head:
        """As it is now, with what others have appended."""
        head = await self._head(tenant)
        grown = await self._store.since(head) if head.edge.size else None
        if grown is None:
            if head.edge.size:  # the log is another one than it was: nothing that is remembered holds
                self._forget()
            self._heads.pop(tenant, None)
            return await self._head(tenant)
        if grown.edge.size > head.edge.size:
            self._shared = TURNS_SHARED
            self._heads[tenant] = replace(head, edge=grown.edge, known=_with(head.known, grown.runs))
            self._places.add(head.log_id, 0, grown.runs)
        return self._heads[tenant]

    def _appended(self, requests: Sequence[Joined], decided: Sequence["_Decided"], lsn: int) -> Appended:
        placed = dict[int, Placed]()
        for request, each in zip(requests, decided, strict=True):
            self._remember(each)
            placed |= request.parted(each.placed)
        return Appended(tuple(placed[at] for at in range(len(placed))), lsn)

    async def _decide(self, joined: Joined, head: Head, supposing: bool = False) -> "_Decided":
        """`supposing`: what is not in memory is supposed to be a repeat, and the growth says so."""
        found = sort(joined.stretches, head.known)
        split = split_up(joined, found, head.edge.size)
        if found.known:
            await self._settle(joined, head, found, split, supposing)
        pieces = fitted(joined.parts, joined_up(found.known), self._packs)
        pieces += in_pieces(split.clashing, self._packs)
        hashes = split.hashes + leaf_hashes(split.clashing)
        growth, edge = self._growth(head, hashes, pieces, found.runs, split)
        placed = Placed(
            joined.tenant, head.log_id, edge.size, split.new, sorted(split.again), sorted(split.other)
        )
        return _Decided(placed, growth, replace(head, edge=edge), hashes, found.runs)

    async def _settle(self, joined: Joined, head: Head, found: Sorted, split: Split, supposing: bool) -> None:
        """Tell the records whose key came before apart: repeats and conflicts."""
        here, elsewhere = Recent(most=MOST), list[tuple[int, int, Known]]()
        if any(came.here for came in found.known):
            here.add(head.log_id, head.edge.size, split.hashes, found.runs)
            beside, others = list[Beside](), found.known
        else:
            beside, others = self._recent.whole(head.log_id, found.known)
        for came in others:
            begin, end, source, epoch, first, again = came
            if end == begin + 1 and not here.held:  # it would have been found whole
                elsewhere.append((begin, first, came))
                continue
            cache, ahead, last = here if again else self._recent, begin - first, first + end - begin - 1
            for at, upto, leaf, hashes in cache.standing(head.log_id, source, epoch, first, last):
                if hashes:
                    beside.append((at + ahead, leaf, hashes, came))
                else:
                    elsewhere += [(number + ahead, number, came) for number in range(at, upto + 1)]
        if elsewhere:
            placed = await self._placed(head, elsewhere)
            if supposing and split.hashes:  # else nothing is appended that could say it
                placed = split.suppose(joined, placed, head.edge.size - head.edge.size % TILE_WIDTH)
            beside += await self._beside(head, placed) if placed else []
        split.compare(joined, beside)
        if split.differing:
            keys = list({key for _, key, _ in split.differing})
            kept = await self._store.conflicts_of(head.log_id, keys)
            split.clash(joined, {(each.key, each.came): each.leaf for each in kept}, self._packs)

    async def _placed(
        self, head: Head, those: Sequence[tuple[int, int, Known]]
    ) -> list[tuple[int, int, Known]]:
        """(place, leaf, where it was known) of what is not recent, given by (place, number, where it was
        known). Perhaps its leaf is known here; else it is in the store.
        """
        placed, others = self._places.found(head.log_id, those)
        if others:
            keys = [Key(came.source, came.epoch, number) for _, number, came in others]
            leaves = await self._store.placed(head.log_id, keys)
            placed += [(place, leaf, came) for (place, _, came), leaf in zip(others, leaves, strict=True)]
        return placed

    async def _beside(self, head: Head, placed: Sequence[tuple[int, int, Known]]) -> list[Beside]:
        """With the hashes that the leaves have."""
        full = head.edge.size - head.edge.size % TILE_WIDTH
        asked = [leaf for _, leaf, _ in placed if leaf < full]
        kept = iter(await self._store.leaf_hashes(head.log_id, asked) if asked else ())
        return [
            (place, leaf, next(kept) if leaf < full else hash_at(head.edge.partial[0], leaf - full), came)
            for place, leaf, came in placed
        ]

    def _growth(
        self,
        head: Head,
        hashes: bytes,
        pieces: Sequence[Piece],
        runs: Sequence[Run],
        split: Split,
    ) -> tuple[Growth | None, Edge]:
        if not hashes:
            return None, head.edge
        edge, tiles = head.edge.grown(hashes)
        peaks = edge.peaks
        root = root_over(peaks)
        growth = Growth(
            log_id=head.log_id,
            from_size=head.edge.size,
            to_size=edge.size,
            root=root,
            note=Checkpoint(head.origin, edge.size, root).signed(self._signer_for(head.origin)).text,
            peaks=peaks,
            entries=segment_of(pieces),
            tiles=tiles,
            runs=[run._replace(leaf=run.leaf + head.edge.size) for run in runs],
            conflicts=split.kept,
            supposed=split.supposed,
        )
        return growth, edge

    def _remember(self, decided: "_Decided") -> None:
        head = decided.head
        self._heads[decided.placed.tenant] = replace(head, known=_with(head.known, decided.runs))
        for run in decided.runs:
            self._epochs[decided.placed.tenant, run.source] = run.epoch
        if growth := decided.growth:
            self._recent.add(growth.log_id, growth.from_size, decided.hashes, decided.runs)
            self._places.add(growth.log_id, growth.from_size, decided.runs)

    def _forget(self) -> None:
        self._heads.clear()
        self._epochs.clear()
        self._recent.forget()
        self._places.forget()
        self._lsn = 0


def _with(known: Mapping[tuple[str, int], Numbers], runs: Sequence[Run]) -> Mapping[tuple[str, int], Numbers]:
    """These numbers, which nobody else looks at, with those of the runs."""
    found = known if isinstance(known, dict) else dict(known)
    for run in runs:
        found.setdefault((run.source, run.epoch), Numbers()).add(run.first, run.last)
    return found


@dataclass(frozen=True, slots=True)
class _Decided:
    placed: Placed
    growth: Growth | None
    head: Head
    hashes: bytes
    runs: Sequence[Run]
    """Their leaves count from the growth's first."""
