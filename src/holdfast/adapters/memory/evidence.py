"""The log of evidence in memory, for tests. Everything ends with the process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from holdfast.recovery.evidence import Entry, Evidence, Remark, canonical, entry_of
from holdfast.recovery.evidence_ports import Cosigned, Grown, Kept, Seal, Waiting, Why, leaf_hash
from holdfast.recovery.model import Run


def _no_runs() -> Sequence[Run]:
    return ()


@dataclass
class MemoryEvidence:
    """EvidenceLog over a list. `runs`: all there are, in their order."""

    now: Callable[[], datetime]
    runs: Callable[[], Sequence[Run]] = _no_runs
    kept: list[Kept] = field(default_factory=list)
    seen: dict[int, Cosigned] = field(default_factory=dict)
    """What was cosigned, by its size."""
    waiting: Waiting | None = None

    async def append(self, entry: Evidence | Remark, seal: Seal) -> Kept:
        content = canonical(entry)
        for each in self.kept:
            if each.id == entry.id:
                return each
        hashes = [leaf_hash(each.content) for each in self.kept]
        note = seal(b"".join([*hashes, leaf_hash(content)]))
        self.kept.append(Kept(len(self.kept), entry.id, content, note, self.now()))
        return self.kept[-1]

    async def entries(self, first: int = 0, most: int = 1_000_000) -> Sequence[Kept]:
        return self.kept[first : first + most]

    async def get(self, id: str) -> Kept | None:  # noqa: A002
        return next((each for each in self.kept if each.id == id), None)

    async def about(self, id: str) -> Sequence[Kept]:  # noqa: A002
        return [kept for kept, entry in self._read() if isinstance(entry, Remark) and entry.about == id]

    async def newest(
        self,
        most: int,
        *,
        subject: str | None = None,
        scenario: str | None = None,
        before: int | None = None,
    ) -> Sequence[Kept]:
        found = [
            kept
            for kept, each in self._evidence()
            if subject in {None, each.subject}
            and scenario in {None, each.scenario}
            and (before is None or kept.leaf < before)
        ]
        return found[::-1][:most]

    async def last_drilled(self, subject: str, scenario: str) -> datetime | None:
        ends = [
            each.ended_at or each.recorded_at
            for _, each in self._evidence()
            if each.passed and (each.subject, each.scenario) == (subject, scenario)
        ]
        return max(ends, default=None)

    async def grown(self) -> Grown:
        if not self.kept:
            return Grown()
        seen = self.seen[max(self.seen)] if self.seen else None
        unseen = self.kept[seen.size if seen else 0 :]
        return Grown(len(self.kept), self.kept[-1].note, seen, unseen[0].at if unseen else None, self.waiting)

    async def hashes(self) -> bytes:
        return b"".join(leaf_hash(each.content) for each in self.kept)

    async def cosigned(self) -> Sequence[Cosigned]:
        return [self.seen[size] for size in sorted(self.seen)]

    async def keep_cosigned(self, size: int, note: str) -> None:
        self.seen.setdefault(size, Cosigned(size, note, self.now()))
        self.waiting = None

    async def keep_waiting(self, why: Why, text: str) -> None:
        if self.waiting is None or self.waiting.why is not why:
            self.waiting = Waiting(why, text, self.now())

    async def unrecorded(self, most: int) -> Sequence[str]:
        there = {each.run for _, each in self._evidence()}
        return [run.id for run in self.runs() if run.state.is_over and run.id not in there][:most]

    def _read(self) -> list[tuple[Kept, Entry]]:
        return [(each, entry_of(each.content)) for each in self.kept]

    def _evidence(self) -> list[tuple[Kept, Evidence]]:
        return [(kept, entry) for kept, entry in self._read() if isinstance(entry, Evidence)]


@dataclass
class MemoryTold:
    """ToldOnce over a set."""

    told: dict[str, str] = field(default_factory=dict)

    async def first(self, key: str, event: str, facts: Mapping[str, object]) -> bool:
        del facts
        is_first = key not in self.told
        self.told.setdefault(key, event)
        return is_first
