"""A region catches up from another: one that was away, or a new one. It may stop anywhere and begin again.

What is copied is proven on the way: a key tells the SHA-256 of its object. Damage does not spread, it is
named and left behind. A backup's record is written when all that it names is there, so that nobody takes half
a backup for one.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from holdfast.backup import layout
from holdfast.backup.copies.side_by_side import LIMIT_BYTES, THREADS, side_by_side
from holdfast.backup.errors import AlreadyThere, Damaged, NotRecoverable
from holdfast.backup.lsn import Segment, Timeline
from holdfast.backup.model import Backup, Holdings, WalPiece
from holdfast.backup.ports import Progress, Region
from holdfast.backup.records import decoded_backup
from holdfast.backup.recoverable.chain import chain_of, whole_chains
from holdfast.backup.recoverable.marks import spread
from holdfast.backup.retention.across import not_worth_copying
from holdfast.estate.backup import Keep


@dataclass(frozen=True, slots=True)
class Lacking:
    """What a region lacks beside another. Backups oldest first: an increment comes after what it needs."""

    database: str
    source: str
    target: str
    backups: tuple[Backup, ...] = ()
    wal: tuple[WalPiece, ...] = ()
    histories: tuple[Timeline, ...] = ()
    restorable: bool = False
    """Whether the target has something to restore from already."""

    @property
    def stored_bytes(self) -> int:
        """At most so much is to be copied. A part of it may be there from an earlier attempt."""
        return sum(each.stored_bytes for each in self.backups) + sum(each.stored_bytes for each in self.wal)


@dataclass(slots=True)
class Copied:
    """What came of it. `failed` tells why a backup was not copied."""

    backups: list[str] = field(default_factory=list)
    objects: list[int] = field(default_factory=list)
    """How many bytes each had that was copied."""
    damaged: list[str] = field(default_factory=list)
    """Keys whose objects are not what was stored, in the region that was copied from."""
    gone: list[str] = field(default_factory=list)
    """Keys that were let go meanwhile."""
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def stored_bytes(self) -> int:
        return sum(self.objects)

    @property
    def complete(self) -> bool:
        return not (self.damaged or self.failed)


def lacking(source: Holdings, target: Holdings, keep: Keep, now: datetime) -> Lacking:
    """What `target` lacks of what `source` has whole. What `keep`, the target's, would let go is left out:
    judged by what both hold together, lest copying bring back what expiry has just deleted.
    """
    let_go = not_worth_copying(source, target, keep, now)
    wal_let_go = set(let_go.wal)
    complete = _complete(target)
    whole = {each.id: each for each in source.backups if each.id in _complete(source)}
    reachable = {each.id: each for each in target.backups if each.id in complete} | whole
    unwanted = complete | {each.id for each in let_go.backups}
    backups = [each for each in whole.values() if each.id not in unwanted and _has_its_chain(each, reachable)]
    known = {(each.timeline, each.text) for each in target.histories}
    histories = {each.timeline for each in source.histories if (each.timeline, each.text) not in known}
    return Lacking(
        source.database,
        source.region,
        target.region,
        tuple(sorted(backups, key=lambda each: (each.start_lsn, each.id))),
        tuple(_lacking_wal((each for each in source.wal if each not in wal_let_go), target.wal)),
        tuple(sorted(histories)),
        restorable=bool(whole_chains(target)),
    )


def _complete(holdings: Holdings) -> set[str]:
    return {each.id for each in holdings.backups} - {id_ for id_, _ in holdings.missing}


def _has_its_chain(backup: Backup, reachable: Mapping[str, Backup]) -> bool:
    try:
        chain_of(reachable.values(), backup.id)
    except NotRecoverable:
        return False
    return True


def _lacking_wal(source: Iterable[WalPiece], target: Iterable[WalPiece]) -> Iterator[WalPiece]:
    """As few pieces as there can be, so that the target has every byte of WAL that the source has."""

    def place(piece: WalPiece) -> tuple[Timeline, int, int]:
        return piece.segment.timeline, piece.segment.size, piece.segment.number

    there: dict[Segment, list[tuple[int, int]]] = {}
    for piece in target:
        there.setdefault(piece.segment, []).append((piece.start, piece.end))
    for _, pieces in groupby(sorted(source, key=place), key=place):
        here = sorted(pieces, key=lambda each: (each.start, -each.end))
        yield from _cover(here, sorted(there.get(here[0].segment, ())))


def _cover(pieces: Sequence[WalPiece], spans: Sequence[tuple[int, int]]) -> Iterator[WalPiece]:
    """Of each stretch that `spans` leave open, the pieces that reach farthest."""
    size = pieces[0].segment.size
    chosen: set[WalPiece] = set()
    at = 0
    while at < size:
        covered = max((end for start, end in spans if start <= at < end), default=None)
        if covered is not None:
            at = covered
            continue
        best = max(
            (each for each in pieces if each.start <= at < each.end), key=lambda e: e.end, default=None
        )
        if best is not None:
            if best not in chosen:
                chosen.add(best)
                yield best
            at = best.end
            continue
        starts = [start for start, _ in spans] + [each.start for each in pieces]
        at = min((start for start in starts if start > at), default=size)


class Copier:
    """Copies from one region to another. Raises RegionAway or RegionRefused; done again, it goes on."""

    def __init__(
        self,
        source: Region,
        target: Region,
        progress: Progress,
        *,
        threads: int = THREADS,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        self._source = source
        self._target = target
        self._progress = progress
        self._threads = threads
        self._limit_bytes = limit_bytes

    def copy(self, plan: Lacking) -> Copied:
        """Copy what is lacking. What is there already, from another attempt or another process, stays."""
        copied = Copied()
        self._progress.begin(f"copying to {plan.target}", plan.stored_bytes)
        self._histories(plan, copied)
        # A region that can be restored from gets its newest moments first, a new one something to begin with.
        if plan.restorable:
            self._wal(plan.wal, copied)
            self._backups(plan, copied)
        else:
            self._backups(plan, copied)
            self._wal(plan.wal, copied)
        # Whoever takes the marks for missing would restore what is suspect.
        spread([self._source, self._target], plan.database)
        return copied

    def _wal(self, pieces: Iterable[WalPiece], copied: Copied) -> None:
        self._move(((each.key, each.stored_bytes) for each in pieces), copied)

    def _histories(self, plan: Lacking, copied: Copied) -> None:
        prefix = layout.timelines_prefix(plan.database)
        there = {each.key for each in self._target.listed(prefix)}
        wanted = [
            (each.key, each.size)
            for each in self._source.listed(prefix)
            if (found := layout.history_of(each.key)) and found[0] in plan.histories and each.key not in there
        ]
        self._move(wanted, copied)

    def _backups(self, plan: Lacking, copied: Copied) -> None:
        for backup in plan.backups:
            if backup.parent in copied.failed:
                copied.failed[backup.id] = f"what it is an increment of was not copied: {backup.parent}"
                continue
            why = self._backup(backup, copied)
            if why:
                copied.failed[backup.id] = why
            else:
                copied.backups.append(backup.id)

    def _backup(self, backup: Backup, copied: Copied) -> str:
        """Copy one, its record last. Returns why it was not done; empty when it was."""
        self._progress.note(f"copying {backup.id}")
        there = self._sizes(backup)
        lacks = [each for each in backup.objects if there.get(each.key) != each.stored_bytes]
        self._progress.advance(backup.stored_bytes - sum(each.stored_bytes for each in lacks))
        self._move(((each.key, each.stored_bytes) for each in lacks), copied)
        there = self._sizes(backup)
        missing = [each.key for each in lacks if there.get(each.key) != each.stored_bytes]
        if missing:
            return f"{len(missing)} of its objects could not be copied, such as {missing[0]}"
        return self._record(backup)

    def _record(self, backup: Backup) -> str:
        key = layout.record_key(backup.database, backup.id)
        try:
            content = self._source.get(key)
            decoded_backup(content, key)
        except FileNotFoundError:
            return "it was let go meanwhile"
        except Damaged as error:
            return str(error)
        with suppress(AlreadyThere):
            self._target.put(key, content)
        return ""

    def _sizes(self, backup: Backup) -> Mapping[str, int]:
        prefix = layout.backup_prefix(backup.database, backup.id)
        return {each.key: each.size for each in self._target.listed(prefix)}

    def _move(self, objects: Iterable[tuple[str, int]], copied: Copied) -> None:
        def one(each: tuple[str, int]) -> None:
            self._one(each[0], copied)
            self._progress.advance(each[1])

        side_by_side(objects, one, lambda each: each[1], threads=self._threads, limit_bytes=self._limit_bytes)

    def _one(self, key: str, copied: Copied) -> None:
        try:
            content = self._source.get(key)
        except FileNotFoundError:
            copied.gone.append(key)
            return
        except Damaged:
            content = b""
        if not is_proven(key, content):
            copied.damaged.append(key)
            return
        try:
            self._target.put(key, content)
        except AlreadyThere:
            # Its key tells its content. If that is not what is there, scrubbing finds and heals it.
            return
        copied.objects.append(len(content))


def is_proven(key: str, content: bytes) -> bool:
    """Whether an object is what its key tells."""
    return hashlib.sha256(content).hexdigest() == layout.digest_of(key)
