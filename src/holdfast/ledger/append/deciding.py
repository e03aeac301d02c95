"""What becomes of each record of a request: its place in the log. The sequencer asks the store, appends."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.ledger.append.pieces import Part, leaf_at
from holdfast.ledger.append.sequences import Known, Sorted
from holdfast.ledger.canonical import leaf_of
from holdfast.ledger.log.tiles import HASH_BYTES
from holdfast.ledger.model import Conflict, Numbered, Prepared, Span
from holdfast.ledger.ports import ConflictKept, Key, Packs


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the records of one tenant's request stand, in the order of the request."""

    tenant: str
    log_id: int
    size: int
    """Of the log, with all of them in it."""
    new: Sequence[Span]
    again: Sequence[Span]
    """Those that were there already, byte for byte."""
    other: Sequence[Span]
    """Those whose key stands for something else; `leaf` is the conflict's own entry."""

    @property
    def lowest(self) -> int:
        """Of all leaves that it tells."""
        return min(each.leaf for each in self._spans)

    @property
    def highest(self) -> int:
        return max(each.leaf + each.end - each.begin - 1 for each in self._spans)

    @property
    def leaves(self) -> list[int]:
        """Item n is record n's."""
        found = dict[int, int]()
        for each in self._spans:
            places = range(each.begin, each.end)
            found.update(zip(places, range(each.leaf, each.leaf + len(places)), strict=True))
        return [found[place] for place in range(len(found))]

    @property
    def repeated(self) -> list[int]:
        """The records of `again`, by their place in the request."""
        return [place for each in self.again for place in range(each.begin, each.end)]

    @property
    def conflicts(self) -> list[int]:
        """The records of `other`, by their place in the request."""
        return [place for each in self.other for place in range(each.begin, each.end)]

    @property
    def _spans(self) -> Sequence[Span]:
        return [*self.new, *self.again, *self.other]


@dataclass(frozen=True, slots=True)
class Joined:
    """What several requests bring for one tenant, as one; `ends` tells each of them where its own ends."""

    tenant: str
    hashes: bytes
    stretches: Sequence[Numbered]
    parts: Sequence[Part]
    """The leaves."""
    ends: Sequence[tuple[int, int]]
    """(its number among all requests, the place behind its last record)."""

    def parted(self, placed: Placed) -> Iterator[tuple[int, Placed]]:
        """Each request's own."""
        if len(self.ends) == 1:
            yield self.ends[0][0], placed
            return
        begin = 0
        for number, end in self.ends:
            own = [_within(spans, begin, end) for spans in (placed.new, placed.again, placed.other)]
            yield number, Placed(placed.tenant, placed.log_id, placed.size, *own)
            begin = end


def by_tenant(batches: Sequence[Prepared]) -> list[Joined]:
    """One for each tenant, in the order in which they come first."""
    found = dict[str, list[int]]()
    for number, batch in enumerate(batches):
        found.setdefault(batch.tenant, []).append(number)
    return [_joined(tenant, {number: batches[number] for number in mine}) for tenant, mine in found.items()]


def _joined(tenant: str, batches: Mapping[int, Prepared]) -> Joined:
    ends, end, parts = list[tuple[int, int]](), 0, list[Part]()
    for number, each in batches.items():
        end += each.count
        ends.append((number, end))
        parts += each.pieces or [each.leaves]
    stretches = [stretch for each in batches.values() for stretch in each.stretches]
    return Joined(tenant, b"".join([each.hashes for each in batches.values()]), stretches, parts, ends)


def _within(spans: Sequence[Span], begin: int, end: int) -> list[Span]:
    """What of them lies in [begin, end), from whose beginning they count then. They are in order."""
    found = list[Span]()
    for at in range(max(bisect_right(spans, begin, key=_begin) - 1, 0), len(spans)):
        span = spans[at]
        if span.begin >= end:
            break
        if span.end > begin:
            first = max(span.begin, begin)
            found.append(Span(first - begin, min(span.end, end) - begin, span.leaf + first - span.begin))
    return found


Beside = tuple[int, int, bytes, Known]
"""(place, leaf, hashes, where it was known): the leaves that stand under the numbers of records from `place`
on, and their hashes.
"""


@dataclass(slots=True)
class Split:
    """Where the records stand. What came before is not settled yet when `split_up` returns it."""

    new: list[Span]
    hashes: bytes
    """Of the new ones, in order."""
    next_leaf: int
    """Behind all new ones."""
    again: list[Span] = field(default_factory=list)
    other: list[Span] = field(default_factory=list)
    clashing: list[bytes] = field(default_factory=list)
    """The conflict entries, as leaves from `next_leaf` on."""
    kept: list[ConflictKept] = field(default_factory=list)
    differing: list[tuple[int, Key, int]] = field(default_factory=list)
    """Places whose key stands for something else, and the leaf that it stands for."""
    supposed: dict[int, bytes] = field(default_factory=dict)
    """Leaves that nobody has looked at, and the hashes that make repeats of what came."""

    def suppose(
        self, joined: Joined, placed: Sequence[tuple[int, int, Known]], full: int
    ) -> list[tuple[int, int, Known]]:
        """Take what stands in leaves below `full` for repeats, by (place, leaf, where it was known). Returns
        what must be looked at: the other leaves, and a leaf that two different records would have to be.
        """
        left = list[tuple[int, int, Known]]()
        for each in placed:
            place, leaf, _ = each
            came = hash_at(joined.hashes, place)
            if leaf < full and self.supposed.setdefault(leaf, came) == came:
                self.again.append(Span(place, place + 1, leaf))
            else:
                left.append(each)
        return left

    def compare(self, joined: Joined, those: Sequence[Beside]) -> None:
        """What came before beside what stands under its numbers."""
        mine = joined.hashes
        same = [
            Span(place, place + len(hashes) // HASH_BYTES, leaf)
            for place, leaf, hashes, _ in those
            if mine[place * HASH_BYTES : place * HASH_BYTES + len(hashes)] == hashes
        ]
        if len(same) == len(those):  # the common case
            self.again += same
            return
        for place, leaf, hashes, came in those:
            for at in range(len(hashes) // HASH_BYTES):
                if hash_at(joined.hashes, place + at) == hash_at(hashes, at):
                    self.again.append(Span(place + at, place + at + 1, leaf + at))
                else:
                    number = came.first + place + at - came.begin
                    self.differing.append((place + at, Key(came.source, came.epoch, number), leaf + at))

    def clash(self, joined: Joined, told: Mapping[tuple[Key, bytes], int], packs: Packs) -> None:
        """Settle what differs. Each other record under a key makes one conflict entry, however often it
        comes; `told` has those that were made before.
        """
        made = dict(told)
        for place, key, standing in sorted(self.differing):
            came = hash_at(joined.hashes, place)
            leaf = made.get((key, came))
            if leaf is None:
                leaf = made[key, came] = self.next_leaf + len(self.clashing)
                self.kept.append(ConflictKept(key, came, leaf))
                self.clashing.append(_told(joined, place, key, standing, packs))
            self.other.append(Span(place, place + 1, leaf))


def split_up(joined: Joined, found: Sorted, size: int) -> Split:
    """The new ones stand behind each other, from `size` on."""
    spans, hashes, leaf = list[Span](), joined.hashes, size
    for each in found.new:
        spans.append(Span(each.start, each.stop, leaf))
        leaf += len(each)
    if found.known:
        hashes = b"".join([hashes[each.start * HASH_BYTES : each.stop * HASH_BYTES] for each in found.new])
    return Split(spans, hashes, leaf)


def joined_up(known: Sequence[Known]) -> list[tuple[int, int]]:
    """The places of these records, as few [begin, end) as they are. In order."""
    found = list[tuple[int, int]]()
    begin = end = 0
    for each in known:
        if each.begin != end:
            if end > begin:
                found.append((begin, end))
            begin = each.begin
        end = each.end
    if end > begin:
        found.append((begin, end))
    return found


def hash_at(hashes: bytes, at: int) -> bytes:
    return hashes[at * HASH_BYTES : (at + 1) * HASH_BYTES]


def _begin(span: Span) -> int:
    return span.begin


def _told(joined: Joined, place: int, key: Key, standing: int, packs: Packs) -> bytes:
    came = leaf_at(joined.parts, place, packs)
    return leaf_of(
        Conflict(
            came=came.decode(),
            epoch=key.epoch,
            leaf=standing,
            seq=key.seq,
            source=key.source,
            tenant=joined.tenant,
        )
    )
