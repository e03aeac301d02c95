"""The logs in memory, for tests and simulation. Everything ends with the process."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from holdfast.kernel.clock import Clock
from holdfast.ledger.append.sequences import Numbers, Run
from holdfast.ledger.errors import Fork, LogDamaged, Otherwise, Overtaken, WitnessAway
from holdfast.ledger.log.checkpoint import Checkpoint, cosigned
from holdfast.ledger.log.keys import KnownLogs
from holdfast.ledger.log.notes import Note, Signature, Signer, Verifies
from holdfast.ledger.log.tiles import HASH_BYTES, QUARTER_WIDTH, QUARTERS, TILE_WIDTH, Quarter, unbundled
from holdfast.ledger.log.tree import Edge, leaf_hashes, perfect_root, quarter_roots
from holdfast.ledger.log.witness import Addition, Refused, judged, origin_of
from holdfast.ledger.ports import ConflictKept, Grown, Growth, Head, Key, LogStore, Packs, Pending, ProofParts

_MOST_BYTES = 1 << 28
_SPAN = QUARTER_WIDTH * HASH_BYTES


@dataclass
class _Log:
    id: int
    origin: str
    entries: list[bytes] = field(default_factory=list)
    growths: list[tuple[int, bytes, str]] = field(default_factory=list)
    peaks: dict[int, bytes] = field(default_factory=dict)
    """By size."""
    runs: list[Run] = field(default_factory=list)
    conflicts: list[ConflictKept] = field(default_factory=list)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _levels: tuple[int, list[bytes]] = (0, [])

    def level(self, level: int) -> bytes:
        """All hashes of a tile level, reckoned from the leaves; once for each size."""
        if self._levels[0] != len(self.entries):
            hashes, span = leaf_hashes(self.entries), TILE_WIDTH * HASH_BYTES
            levels = [hashes]
            while len(hashes) >= span:
                full = range(0, len(hashes) - span + 1, span)
                hashes = b"".join([perfect_root(hashes[at : at + span]) for at in full])
                levels.append(hashes)
            self._levels = len(self.entries), levels
        return self._levels[1][level] if level < len(self._levels[1]) else b""


class MemoryLogs:
    """LogStore over lists. It keeps leaves alone, and reckons every hash anew."""

    def __init__(self, packs: Packs) -> None:
        self._packs = packs
        self._logs: dict[str, _Log] = {}
        self._commits = 0

    async def head(self, tenant: str) -> Head | None:
        log = self._logs.get(tenant)
        if log is None:
            return None
        known = dict[tuple[str, int], Numbers]()
        for run in log.runs:
            known.setdefault((run.source, run.epoch), Numbers()).add(run.first, run.last)
        edge, _ = Edge().grown(leaf_hashes(log.entries))
        return Head(log.id, log.origin, edge, known)

    async def create(self, tenant: str, origin: str) -> Head:
        if any(each.origin == origin and key != tenant for key, each in self._logs.items()):
            raise LogDamaged(f"the origin {origin!r} is that of another tenant's log")
        log = self._logs.setdefault(tenant, _Log(len(self._logs) + 1, origin))
        return await self.head(tenant) or Head(log.id, log.origin, Edge(), {})

    async def since(self, head: Head) -> Grown | None:
        log, size = self.log(head.log_id), head.edge.size
        if size > len(log.entries) or (edge := Edge().grown(leaf_hashes(log.entries[:size]))[0]) != head.edge:
            return None
        now, _ = edge.grown(leaf_hashes(log.entries[size:]))
        return Grown(now, [run for run in log.runs if run.leaf >= size])

    async def append(self, growths: Sequence[Growth]) -> int:
        async with self._turns([growth.log_id for growth in growths]):
            return self._append(growths)

    @asynccontextmanager
    async def turn(self, log_ids: Sequence[int]) -> AsyncIterator[LogStore]:
        async with self._turns(log_ids):
            mine = _InTurn(self._packs, self._logs)
            yield mine
            if mine.appended:
                self._append(mine.appended)

    @asynccontextmanager
    async def _turns(self, log_ids: Sequence[int]) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for log_id in sorted(log_ids):
                await stack.enter_async_context(self.log(log_id).turn)
            yield

    def _append(self, growths: Sequence[Growth]) -> int:
        logs = [self.log(growth.log_id) for growth in growths]
        if any(len(log.entries) != growth.from_size for log, growth in zip(logs, growths, strict=True)):
            raise Overtaken("another sequencer has appended to this log")
        for log, growth in zip(logs, growths, strict=True):
            if any(_stand(log.runs, run) for run in growth.runs):
                raise LogDamaged("a number stands in the log already that seemed to be missing")
        for log, growth in zip(logs, growths, strict=True):
            full = len(log.entries) - len(log.entries) % TILE_WIDTH
            for leaf, hash_ in growth.supposed.items():
                if leaf >= full or leaf_hashes([log.entries[leaf]]) != hash_:
                    raise Otherwise("a leaf is not what a growth supposes")
        for log, growth in zip(logs, growths, strict=True):
            log.entries += unbundled(self._packs.unpack(growth.entries, _MOST_BYTES))
            log.growths.append((growth.to_size, growth.root, growth.note))
            log.peaks[growth.to_size] = growth.peaks
            log.runs += growth.runs
            log.conflicts += growth.conflicts
        self._commits += 1
        return self._commits

    async def lsn(self) -> int:
        return self._commits

    async def placed(self, log_id: int, keys: Sequence[Key]) -> Sequence[int]:
        found = {
            Key(run.source, run.epoch, run.first + at): run.leaf + at
            for run in self.log(log_id).runs
            for at in range(run.last - run.first + 1)
        }
        if missing := [key for key in keys if key not in found]:
            raise LogDamaged(f"{len(missing)} keys that were taken stand nowhere")
        return [found[key] for key in keys]

    async def conflicts_of(self, log_id: int, keys: Sequence[Key]) -> Sequence[ConflictKept]:
        return [each for each in self.log(log_id).conflicts if each.key in keys]

    async def leaf_hashes(self, log_id: int, leaves: Sequence[int]) -> Sequence[bytes]:
        entries = self.log(log_id).entries
        full = len(entries) - len(entries) % TILE_WIDTH
        if any(leaf >= full for leaf in leaves):
            raise LogDamaged("tiles are missing")
        return [leaf_hashes([entries[leaf]]) for leaf in leaves]

    async def hashes(self, log_id: int, level: int, first: int, count: int) -> bytes:
        found = self.log(log_id).level(level)
        found = found[first * HASH_BYTES : (first + count) * HASH_BYTES]
        if len(found) != count * HASH_BYTES:
            raise LogDamaged(f"hashes of level {level} from {first:,} on are missing")
        return found

    async def many_hashes(self, log_id: int, asked: Sequence[tuple[int, int, int]]) -> Sequence[bytes]:
        return [await self.hashes(log_id, *each) for each in asked]

    async def proof_parts(
        self,
        log_id: int,
        sizes: Sequence[int],
        quarters: Sequence[tuple[int, int]],
        asked: Sequence[tuple[int, int, int]],
    ) -> ProofParts:
        tiles = [
            (await self.hashes(log_id, level, number // QUARTERS * TILE_WIDTH, TILE_WIDTH), number % QUARTERS)
            for level, number in quarters
        ]
        return ProofParts(
            [self.log(log_id).peaks.get(size, b"") for size in sizes],
            [Quarter(tile[at * _SPAN : (at + 1) * _SPAN], quarter_roots(tile)) for tile, at in tiles],
            await self.many_hashes(log_id, asked),
        )

    async def entries(self, log_id: int, first: int, count: int) -> Sequence[bytes]:
        found = self.log(log_id).entries[first : first + count]
        if len(found) != count:
            raise LogDamaged(f"leaves from {first:,} on are missing")
        return found

    async def grown_to(self, log_id: int, at_least: int) -> tuple[int, bytes, str] | None:
        growths = self.log(log_id).growths
        return growths[-1] if growths and growths[-1][0] >= at_least else None

    @property
    def all(self) -> Mapping[str, _Log]:
        """By tenant, for who looks at what is stored."""
        return self._logs

    def log(self, log_id: int) -> _Log:
        return next(log for log in self._logs.values() if log.id == log_id)


class _InTurn(MemoryLogs):
    """The same logs, for who has the turn."""

    def __init__(self, packs: Packs, logs: dict[str, _Log]) -> None:
        super().__init__(packs)
        self._logs = logs
        self.appended = list[Growth]()

    async def append(self, growths: Sequence[Growth]) -> int:
        self.appended += growths
        return 0


def _stand(runs: Sequence[Run], new: Run) -> bool:
    """Whether a number of the run stands already."""
    same = [each for each in runs if (each.source, each.epoch) == (new.source, new.epoch)]
    return any(each.first <= new.last and new.first <= each.last for each in same)


class MemoryPublished:
    """Published over a dictionary. It knows what is pending of these logs."""

    def __init__(self, logs: MemoryLogs | None = None) -> None:
        self._logs = logs
        self._notes: dict[int, dict[int, str]] = {}

    def of(self, log_id: int) -> Mapping[int, str]:
        """By size."""
        return self._notes.get(log_id, {})

    async def pending(self) -> Sequence[Pending]:
        logs = self._logs.all if self._logs else {}
        found = [
            Pending(log.id, tenant, log.origin, len(log.entries), max(self.of(log.id), default=0))
            for tenant, log in logs.items()
        ]
        return [each for each in found if each.size > each.published]

    async def handed(self, tenant: str) -> tuple[int, str | None] | None:
        log = self._logs.all.get(tenant) if self._logs else None
        return None if log is None else (log.id, await self.newest(log.id))

    async def listed(self, log_id: int, origin: str, below: int) -> int | None:
        runs = self._logs.log(log_id).runs if self._logs else []
        leaves = [
            leaf
            for run in runs
            if run.source == origin
            for leaf in range(run.leaf, run.leaf + run.last - run.first + 1)
            if leaf < below
        ]
        return max(leaves, default=None)

    async def newest_of_all(self) -> Sequence[tuple[int, str]]:
        logs = self._logs.all.items() if self._logs else []
        notes = [(log.id, await self.newest(log.id)) for tenant, log in logs if tenant]
        return [(log_id, note) for log_id, note in notes if note is not None]

    async def newest(self, log_id: int) -> str | None:
        notes = self._notes.get(log_id)
        return notes[max(notes)] if notes else None

    async def publish(self, log_id: int, size: int, note: str) -> None:
        kept = self._notes.setdefault(log_id, {}).setdefault(size, note)
        if Note.parsed(kept).body != Note.parsed(note).body:
            raise Fork(f"another checkpoint of {size:,} leaves was published")


class MemorySecondRegion:
    """SecondRegion up to a place that the test moves."""

    def __init__(self) -> None:
        self.up_to = 1 << 62
        self.asked = 0

    async def flushed(self, lsn: int, within_s: float) -> bool:
        del within_s
        self.asked += 1
        return lsn <= self.up_to


class MemoryWitness:
    """Witness that decides as any witness does, and forgets with the process. `away`: it does not answer."""

    def __init__(self, signer: Signer, logs: KnownLogs, verifies: Verifies, clock: Clock) -> None:
        self.away = False
        self._signer = signer
        self._logs = logs
        self._verifies = verifies
        self._clock = clock
        self._known: dict[str, Checkpoint] = {}

    async def cosign(self, addition: Addition) -> Signature | int:
        if self.away:
            raise WitnessAway("the witness does not answer")
        origin = origin_of(addition.checkpoint)
        answer = judged(addition, self._known.get(origin), self._logs.get(origin), self._verifies)
        if isinstance(answer, Refused):
            if answer.size is not None:
                return answer.size
            raise Fork(f"the witness refuses: {answer.reason}")
        self._known[origin] = answer.checkpoint
        return cosigned(answer.note, self._signer, self._clock.now())
