"""Tracing: everything about one job, user, device or entry: what was recorded, corrected and disputed, the
proof that it stands in the log, and who read it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from holdfast.ledger.canonical import entry_of
from holdfast.ledger.errors import EntriesPruned, LogDamaged, NotThere, ProofRefused
from holdfast.ledger.find.access import Act, Caller, Reading, Seen, who_saw
from holdfast.ledger.find.finding import Dimension, Entry, Filter, What
from holdfast.ledger.find.jobs import Job, Room, Rooms, jobs_of, log_seen
from holdfast.ledger.find.searching import LogSeen, Mentions, search
from holdfast.ledger.log.checkpoint import Checkpoint, LogKeys
from holdfast.ledger.log.notes import Note, Verifies
from holdfast.ledger.log.proof import Proof
from holdfast.ledger.log.tree import leaf_hash, verify_inclusion
from holdfast.ledger.model import Record
from holdfast.ledger.publish import proving

MOST_ENTRIES = 1000
MOST_ACCESSES = 500


@dataclass(frozen=True, slots=True)
class Proven:
    """Whether the log holds an entry at its leaf, recomputed just now from the entry's own bytes."""

    size: int
    """Of the checkpoint that it was proved against."""
    published: bool
    """Whether that one was handed out: in both regions, and cosigned by the witness."""
    holds: bool
    reason: str = ""
    """Why not; or what of it was not checked."""
    proof: str = ""
    """As C2SP tlog-proof: anybody can check it with the log's public key."""


@dataclass(frozen=True, slots=True)
class Traced:
    """An entry of a trace."""

    job: Job
    received_at: datetime
    """When the ledger took it in (UTC)."""
    proven: Proven | None
    """None when no proof was asked for."""


@dataclass(frozen=True, slots=True)
class Trace:
    """All of it, in the order of the leaves."""

    tenant: str
    origin: str
    size: int
    entries: Sequence[Traced]
    seen: Seen
    """Who was handed any of these entries before."""
    complete: bool
    """False when there are older entries than were asked for, or the index is far behind."""
    pruned_below: int | None
    """Leaves below it are not kept any more, and were not looked at."""

    @property
    def broken(self) -> Sequence[Traced]:
        """Those whose proof does not hold."""
        return [each for each in self.entries if each.proven and not each.proven.holds]


class Tracer:
    """Who traces asks here. `keys_of` an origin: what its checkpoints verify with; None: nobody knows any."""

    def __init__(self, rooms: Rooms, verifies: Verifies, keys_of: Callable[[str], LogKeys | None]) -> None:
        self._rooms = rooms
        self._verifies = verifies
        self._keys_of = keys_of

    async def trace(
        self,
        caller: Caller,
        tenant: str,
        wanted: Filter | int,
        *,
        most: int = MOST_ENTRIES,
        proofs: bool = True,
    ) -> Trace:
        """Of what a filter finds, or of one leaf: with its corrections, what it corrects, and its conflicts.

        Raises NotThere, EntriesPruned for a leaf that is not kept any more, LogDamaged.
        """
        room = self._rooms(tenant)
        seen = await log_seen(room, tenant)
        mentions = await Mentions.read(room.store, room.index, seen)
        pruned: int | None = None
        if isinstance(wanted, int):
            found, more = await _one(room, seen, wanted), False
        else:
            wanted = _of_everything(wanted)
            found, more, pruned = await _matching(room, seen, wanted, most)
        found = await _with_mentioned(room, seen, found, mentions, most)
        jobs = await jobs_of(room.store, seen, sorted(found.items()), mentions, originals=False)
        saw = await who_saw(room.trail, tenant, found.items(), most=MOST_ACCESSES)
        received = await room.index.received(seen.log_id, sorted(found))
        prover = await _Prover.of(room, seen, self._verifies, self._keys_of(seen.origin)) if proofs else None
        traced = [
            Traced(job, received[job.leaf], await prover.proved(job.leaf) if prover else None) for job in jobs
        ]
        one = isinstance(wanted, int)
        shown = tuple(sorted(found))
        await room.trail.begin(
            Reading(tenant, caller, Act.TRACE, Filter() if one else wanted, 0, 0, shown, len(shown))  # type: ignore[arg-type]
        )
        return Trace(tenant, seen.origin, seen.size, traced, saw, mentions.complete and not more, pruned)


def _of_everything(wanted: Filter) -> Filter:
    kinds = wanted.wanted.get(Dimension.WHAT, frozenset(What))
    return replace(wanted, wanted={**wanted.wanted, Dimension.WHAT: kinds})


async def _one(room: Room, seen: LogSeen, leaf: int) -> dict[int, Entry]:
    if not 0 <= leaf < seen.size:
        raise NotThere(f"the log has no leaf {leaf:,}", hint=f"its leaves are 0 to {seen.size - 1:,}")
    [content] = await room.store.entries(seen.log_id, leaf, 1)
    return {leaf: entry_of(content)}


async def _matching(
    room: Room, seen: LogSeen, wanted: Filter, most: int
) -> tuple[dict[int, Entry], bool, int | None]:
    """The newest so many, whether there are more, and below which leaf nothing is kept."""
    found = dict[int, Entry]()
    async for each in search(room.store, room.index, seen.log_id, wanted, seen.size):
        for leaf, entry in each.found:
            if len(found) == most:
                return found, True, None
            found[leaf] = entry
        if each.pruned_below is not None:
            return found, False, each.pruned_below
    return found, False, None


async def _with_mentioned(
    room: Room, seen: LogSeen, found: Mapping[int, Entry], mentions: Mentions, most: int
) -> dict[int, Entry]:
    """These entries and those tied to them by mentions, in either direction and over several steps."""
    whole, fresh = dict(found), set(found)
    while fresh and len(whole) < most + len(found):
        tied = {leaf for each in await mentions.of(fresh) for leaf in (each.leaf, each.by)}
        tied |= {
            entry.corrects.leaf
            for leaf in fresh
            if isinstance(entry := whole[leaf], Record) and entry.corrects
        }
        fresh = set[int]()
        for leaf in sorted(each for each in tied - set(whole) if each < seen.size):
            try:
                whole |= await _one(room, seen, leaf)
            except EntriesPruned:
                continue
            fresh.add(leaf)
    return whole


@dataclass(frozen=True, slots=True)
class _Prover:
    """Proves leaves against the newest published checkpoint that holds them, else the log's newest one."""

    room: Room
    seen: LogSeen
    verifies: Verifies
    key: LogKeys | None
    published: tuple[str, int] | None
    newest: tuple[str, int]

    @classmethod
    async def of(cls, room: Room, seen: LogSeen, verifies: Verifies, key: LogKeys | None) -> "_Prover":
        handed = await room.published.newest(seen.log_id)
        grown = await room.store.grown_to(seen.log_id, seen.size)
        if grown is None:
            raise LogDamaged("the log has lost leaves while it was read")
        size = Checkpoint.parsed(Note.parsed(handed).body).size if handed else 0
        return cls(room, seen, verifies, key, (handed, size) if handed else None, (grown[2], grown[0]))

    async def proved(self, leaf: int) -> Proven:
        published = self.published is not None and leaf < self.published[1]
        text, size = self.published if self.published is not None and published else self.newest
        try:
            # Read as it is stored, and not as it was decoded: a proof is about bytes.
            [content] = await self.room.store.entries(self.seen.log_id, leaf, 1)
            proof = await proving.inclusion(self.room.store, self.seen.log_id, leaf, text, size)
            if self.key is None:
                _check_path(proof, content, size)
                reason = "the checkpoint's signature was not checked: the estate has no ledger.public_key"
                return Proven(size, published, True, reason, proof.text)
            proof.verify(content, self.key, self.verifies)
        except (ProofRefused, LogDamaged) as error:
            return Proven(size, published, False, str(error))
        return Proven(size, published, True, "", proof.text)


def _check_path(proof: Proof, content: bytes, size: int) -> None:
    checkpoint = Checkpoint.parsed(Note.parsed(proof.checkpoint).body)
    verify_inclusion(leaf_hash(content), proof.index, size, checkpoint.root, proof.path)
