"""Feeding a file's lines into the log, and what became of them all.

There are two ways: an importer's lines are drafts, which get their numbers here; those of any other source
are records that have their own.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.intake.drafts import Draft, Reads
from holdfast.ledger.intake.files import Line
from holdfast.ledger.intake.importing import (
    MOST_DRAFTS,
    Importer,
    Outcome,
    Passed,
    append_in_turn,
)
from holdfast.ledger.intake.persons import Cleared
from holdfast.ledger.intake.reading import Sender, read
from holdfast.ledger.model import Prepared, Reach, Refusal

MOST_TOLD = 1_000
"""As many refusals are told one by one, the others counted."""
MOST_LINES = 5_000


Insisting = Callable[[Callable[[], Awaitable[Outcome]]], Awaitable[Outcome]]
"""Does it, and perhaps again when it failed in passing: what is there already is absorbed."""


async def at_once(work: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """Insisting that does not."""
    return await work()


class Told(NamedTuple):
    """Something about a line of a file."""

    file: str
    line: int
    reason: str


@dataclass(slots=True)
class Total:
    """What became of everything that was fed. `conflicts` name the leaf of the conflict's own entry."""

    lines: int = 0
    taken: int = 0
    first_leaf: int | None = None
    last_leaf: int | None = None
    repeated: int = 0
    refused: int = 0
    otherwise: int = 0
    conflicts: int = 0
    told: list[Told] = field(default_factory=list)
    """Of what was refused, read otherwise or conflicting: the first of them."""
    one_region: bool = False
    """Whether any of it was acknowledged in one region alone."""
    size: int = 0

    def add(self, file: str, outcome: Outcome) -> None:
        leaves = [leaf for _, leaf in outcome.taken if leaf >= 0]
        if leaves:
            first = min(leaves)
            self.first_leaf = first if self.first_leaf is None else min(self.first_leaf, first)
            self.last_leaf = max(leaves)
        self.taken += len(outcome.taken)
        self.repeated += outcome.repeated
        self.refused += len(outcome.refused)
        self.otherwise += len(outcome.otherwise)
        self.conflicts += len(outcome.conflicts)
        clashes = [
            Refusal(line, f"another record stands under its number; this one became conflict entry {leaf:,}")
            for line, leaf in outcome.conflicts
        ]
        for each in (*outcome.refused, *outcome.otherwise, *clashes):
            if len(self.told) < MOST_TOLD:
                self.told.append(Told(file, each.line, each.reason))
        self.one_region |= outcome.reach is Reach.ONE_REGION
        self.size = max(self.size, outcome.size)


class Feed(Protocol):
    """Takes the lines of one file after the other."""

    total: Total

    async def feed(self, file: str, lines: Sequence[Line | Refusal]) -> None:
        """It may hold some back until `flush`. Raises NotFlushed as the gate does."""
        ...

    async def flush(self, now: datetime | None) -> None:
        """Everything that waits for no further line at that time; None: everything."""
        ...

    def next_file(self) -> None: ...

    @property
    def held_back(self) -> int:
        """Jobs whose last line may still come."""
        ...


class FeedDrafts:
    """An importer's (Feed)."""

    def __init__(
        self, reads: Reads, importer: Importer, *, dry_run: bool, insisting: Insisting = at_once
    ) -> None:
        self.total = Total()
        self._insisting = insisting
        self._reads = reads
        self._take = importer.looked_at if dry_run else importer.take
        self._drafts = list[Draft]()
        self._file = ""

    @property
    def held_back(self) -> int:
        return self._reads.held_back

    async def feed(self, file: str, lines: Sequence[Line | Refusal]) -> None:
        self._file = file
        refused = Outcome()
        for line in lines:
            self.total.lines += 1
            found = [line] if isinstance(line, Refusal) else self._reads.read(line)
            for each in found:
                if isinstance(each, Refusal):
                    refused.refused.append(each)
                else:
                    self._drafts.append(each)
        self.total.add(file, refused)
        while len(self._drafts) >= MOST_DRAFTS:
            await self._take_some()

    async def flush(self, now: datetime | None) -> None:
        self._drafts += self._reads.settled(now)
        while self._drafts:
            await self._take_some()

    def next_file(self) -> None:
        self._reads.next_file()

    async def _take_some(self) -> None:
        some = self._drafts[:MOST_DRAFTS]
        self.total.add(self._file, await self._insisting(lambda: self._take(some)))
        del self._drafts[:MOST_DRAFTS]


class FeedRecords:
    """Those of a source that numbers its records itself: NDJSON (Feed)."""

    def __init__(
        self,
        sender: Sender,
        sequencer: Sequencer,
        cleared: Callable[[bytes], Awaitable[Cleared]],
        passed: Passed,
        *,
        dry_run: bool,
        insisting: Insisting = at_once,
    ) -> None:
        """`cleared` takes persons in plain words out of lines (persons.py)."""
        self.total = Total()
        self._sender = sender
        self._sequencer = sequencer
        self._cleared = cleared
        self._passed = passed
        self._dry_run = dry_run
        self._insisting = insisting

    @property
    def held_back(self) -> int:
        return 0

    async def feed(self, file: str, lines: Sequence[Line | Refusal]) -> None:
        self.total.lines += len(lines)
        self.total.add(file, await self._insisting(lambda: self._taken(lines)))

    async def _taken(self, lines: Sequence[Line | Refusal]) -> Outcome:
        outcome = Outcome(refused=[each for each in lines if isinstance(each, Refusal)])
        whole = [each for each in lines if isinstance(each, Line)]
        if not whole:
            return outcome
        cleared = await self._cleared(b"\n".join([each.content for each in whole]))
        found = read(cleared.body, cleared.form, self._sender)
        numbers = [each.number for each in whole]
        refused = [*cleared.refused, *found.refused]
        outcome.refused += [Refusal(numbers[each.line - 1], each.reason) for each in refused]
        lines_of = [numbers[line - 1] for line in found.lines]
        if self._dry_run:
            outcome.taken = [(line, -1) for line in lines_of]
        elif lines_of:
            await self._append(found.prepared, lines_of, outcome)
        return outcome

    async def flush(self, now: datetime | None) -> None:
        """Nothing is ever held back."""

    def next_file(self) -> None:
        """Lines know nothing of each other."""

    async def _append(self, prepared: Prepared, lines: Sequence[int], outcome: Outcome) -> None:
        appended = await append_in_turn(self._sequencer, prepared)
        [placed] = appended.placed
        others = {*placed.repeated, *placed.conflicts}
        leaves = list(zip(lines, placed.leaves, strict=True))
        outcome.taken = [each for place, each in enumerate(leaves) if place not in others]
        outcome.conflicts = [leaves[place] for place in placed.conflicts]
        outcome.repeated = len(placed.repeated)
        outcome.size = placed.size
        outcome.reach = await self._passed(placed.log_id, placed.leaves, appended.lsn)
