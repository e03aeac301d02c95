"""The log of evidence in memory, for tests. Everything ends with the process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from holdfast.recovery.evidence import Entry, Evidence, Remark, canonical, entry_of
from holdfast.recovery.evidence_ports import Kept, Seal, leaf_hash
from holdfast.recovery.model import Run


def _no_runs() -> Sequence[Run]:
    return ()


@dataclass
class MemoryEvidence:
    """EvidenceLog over a list. `runs`: all there are, in their order."""

    now: Callable[[], datetime]
    runs: Callable[[], Sequence[Run]] = _no_runs
    kept: list[Kept] = field(default_factory=list)

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
        self, most: int, *, subject: str | None = None, scenario: str | None = None
    ) -> Sequence[Kept]:
        found = [
            kept
            for kept, each in self._evidence()
            if subject in {None, each.subject} and scenario in {None, each.scenario}
        ]
        return found[::-1][:most]

    async def last_drilled(self, subject: str, scenario: str) -> datetime | None:
        ends = [
            each.ended_at or each.recorded_at
            for _, each in self._evidence()
            if each.passed and (each.subject, each.scenario) == (subject, scenario)
        ]
        return max(ends, default=None)

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
