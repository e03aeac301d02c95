"""What becomes of each record of a request: its place in the log. The sequencer asks the store, appends."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.ledger.append.pieces import in_pieces, leaf_at, opened
from holdfast.ledger.append.sequences import Sorted
from holdfast.ledger.canonical import leaf_of
from holdfast.ledger.log.tiles import HASH_BYTES
from holdfast.ledger.model import Conflict, Piece, Prepared
from holdfast.ledger.ports import ConflictKept, Key, Packs

FEW_LEAVES = 256
"""A piece with fewer is packed together with its neighbours: alone it would hardly shrink."""


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


@dataclass(slots=True)
class Split:
    """Where the records stand. What came before is not settled yet when `split_up` returns it."""

    leaves: list[int]
    hashes: list[bytes]
    """Of the new ones, in order, in parts."""
    next_leaf: int
    """Behind all new ones."""
    repeated: list[int] = field(default_factory=list)
    conflicts: list[int] = field(default_factory=list)
    clashing: list[bytes] = field(default_factory=list)
    """The conflict entries, as leaves from `next_leaf` on."""
    kept: list[ConflictKept] = field(default_factory=list)

    def clash(
        self, prepared: Prepared, places: Sequence[int], told: Mapping[tuple[Key, bytes], int], packs: Packs
    ) -> None:
        """The records at these places stand for something else than the leaf that they were given.

        Each other record under a key makes one conflict entry, however often it comes; `told` has those that
        were made before.
        """
        made = dict(told)
        for place in places:
            key, came = key_of(prepared, place), hash_at(prepared.hashes, place)
            leaf = made.get((key, came))
            if leaf is None:
                leaf = made[key, came] = self.next_leaf + len(self.clashing)
                self.kept.append(ConflictKept(key, came, leaf))
                self.clashing.append(_told(prepared, place, key, self.leaves[place], packs))
            self.leaves[place] = leaf
            self.conflicts.append(place)


def split_up(prepared: Prepared, found: Sorted, size: int) -> Split:
    """The new ones stand behind each other, from `size` on."""
    count = len(prepared.seqs)
    if not found.known:
        return Split(list(range(size, size + count)), [prepared.hashes], size + count)
    split = Split([0] * count, [], size)
    begin = 0
    for place in (*found.known, count):
        end = split.next_leaf + place - begin
        split.leaves[begin:place] = range(split.next_leaf, end)
        split.hashes.append(prepared.hashes[begin * HASH_BYTES : place * HASH_BYTES])
        split.next_leaf, begin = end, place + 1
    return split


@dataclass(frozen=True, slots=True)
class Joined:
    """What several requests bring for one tenant, as one; `ends` tells each of them where its own ends."""

    prepared: Prepared
    ends: Sequence[tuple[int, int]]
    """(its number among all requests, the place behind its last record)."""

    def parted(self, placed: Placed) -> Iterator[tuple[int, Placed]]:
        """Each request's own."""
        if len(self.ends) == 1:
            yield self.ends[0][0], placed
            return
        begin = 0
        for number, end in self.ends:
            mine = range(begin, end)
            yield (
                number,
                Placed(
                    placed.tenant,
                    placed.log_id,
                    placed.size,
                    placed.leaves[begin:end],
                    [place - begin for place in placed.repeated if place in mine],
                    [place - begin for place in placed.conflicts if place in mine],
                ),
            )
            begin = end


def by_tenant(batches: Sequence[Prepared], packs: Packs) -> list[Joined]:
    """One for each tenant, in the order in which they come first."""
    found = dict[str, list[int]]()
    for number, batch in enumerate(batches):
        found.setdefault(batch.tenant, []).append(number)
    return [_joined({number: batches[number] for number in numbers}, packs) for numbers in found.values()]


def key_of(prepared: Prepared, place: int) -> Key:
    return Key(prepared.sources[place], prepared.epochs[place], prepared.seqs[place])


def hash_at(hashes: bytes, at: int) -> bytes:
    return hashes[at * HASH_BYTES : (at + 1) * HASH_BYTES]


def _joined(batches: Mapping[int, Prepared], packs: Packs) -> Joined:
    ends, end = list[tuple[int, int]](), 0
    for number, each in batches.items():
        end += len(each.seqs)
        ends.append((number, end))
    first, *others = batches.values()
    if not others:
        return Joined(first, ends)
    whole = Prepared(
        tenant=first.tenant,
        leaves=[],
        hashes=b"".join([each.hashes for each in batches.values()]),
        sources=[source for each in batches.values() for source in each.sources],
        epochs=[epoch for each in batches.values() for epoch in each.epochs],
        seqs=[seq for each in batches.values() for seq in each.seqs],
        pieces=_fitting(list(batches.values()), packs),
    )
    return Joined(whole, ends)


def _fitting(batches: Sequence[Prepared], packs: Packs) -> tuple[Piece, ...]:
    """The leaves of all of them, in order."""
    pieces, loose = list[Piece](), list[bytes]()
    for batch in batches:
        loose += batch.leaves
        for piece in batch.pieces:
            if piece.leaves < FEW_LEAVES:
                loose += opened(piece, packs)
            else:
                pieces += [*in_pieces(loose, packs), piece]
                loose = []
    return (*pieces, *in_pieces(loose, packs))


def _told(prepared: Prepared, place: int, key: Key, standing: int, packs: Packs) -> bytes:
    came = prepared.leaves[place] if prepared.leaves else leaf_at(prepared.pieces, place, packs)
    return leaf_of(
        Conflict(
            came=came.decode(),
            epoch=key.epoch,
            leaf=standing,
            seq=key.seq,
            source=key.source,
            tenant=prepared.tenant,
        )
    )
