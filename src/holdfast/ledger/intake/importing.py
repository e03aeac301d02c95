"""An importer: drafts of records get their numbers, and go into the log as those of any source do.

    lines -> drafts (cups.py, papercut.py, ndjson.py) -> numbers (kept for each line) -> sequencer

Numbers are kept before anything is appended. Whoever dies in between has given numbers that are not in the
log yet: the same line gets the same number again, so that it goes in once, whoever reads the file next. Two
who read the same file at once give the same numbers as well, and the log absorbs the second.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple, Protocol

import msgspec

from holdfast.ledger.append.sequences import Numbers, numbered
from holdfast.ledger.append.sequencing import Appended, Sequencer
from holdfast.ledger.canonical import leaf_of
from holdfast.ledger.errors import Overtaken, RecordRefused
from holdfast.ledger.intake.drafts import Draft
from holdfast.ledger.intake.files import Mark
from holdfast.ledger.intake.reading import Sender
from holdfast.ledger.log.tiles import HASH_BYTES, TILE_WIDTH
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.model import MOST, Prepared, Reach, Record, Refusal
from holdfast.ledger.persons.persons import Person, Sealed
from holdfast.ledger.ports import Head, Key, LogStore

EPOCH = 1
"""An importer never loses its count."""
MOST_DRAFTS = 10_000
"""Of one portion: a growth of the log."""
OTHER_KEY_HINT = (
    "put `ledger.pseudonym_key` back as it was, or make another source for what comes from now on"
)
_PATIENCE = 20
_PLACEHOLDER = {"user": "p-" + "x" * 26, "person": "0" * 64}
"""As long as what takes its place: what is too long is refused before it has got a number."""


class Imports(Protocol):
    """Which number each line has. Nothing in it is ever changed."""

    async def importer(self, tenant: str, source: str, shown: bytes) -> int:
        """Its id. `shown` stands for the key that its marks are made with (files.py).

        Raises NotThere for a source that is none; Unsuitable when its marks were made with another key.
        """
        ...

    async def numbered(self, importer: int, marks: Sequence[Mark]) -> Sequence[int]:
        """The number of each; those that have none get the next ones, in this order. Durable on return."""
        ...

    async def numbers(self, importer: int, marks: Sequence[Mark]) -> Sequence[int | None]:
        """The number of each, None where there is none yet. Nothing is given."""
        ...


Seals = Callable[[Sequence[Person]], Awaitable[Mapping[Person, Sealed]]]
"""What records are to have of these persons (PersonBook.sealed, for the importer's tenant)."""


Passed = Callable[[int, Sequence[int], int], Awaitable[Reach]]
"""Waits until these leaves of a log (by its id) may be acknowledged: they are durable here up to this LSN."""


class Made(NamedTuple):
    """A draft that can become a record: it wants its number, and the person's pseudonym."""

    draft: Draft
    record: Record
    person: Person | None


@dataclass(slots=True)
class Outcome:
    """What became of drafts. `otherwise`: read in another way than when the line was taken in."""

    taken: list[tuple[int, int]] = field(default_factory=list)
    """(line, leaf)."""
    repeated: int = 0
    conflicts: list[tuple[int, int]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    otherwise: list[Refusal] = field(default_factory=list)
    reach: Reach | None = None
    """Where what was taken is durable; None when nothing was."""
    size: int = 0
    """Of the log, with it."""


class Importer:
    """Takes the drafts of one importer into its tenant's log."""

    def __init__(
        self,
        sender: Sender,
        importer: int,
        imports: Imports,
        store: LogStore,
        sequencer: Sequencer,
        *,
        passed: Passed,
        seals: Seals | None,
    ) -> None:
        """`importer` as Imports tells it. Without `seals` records do not tell whose they are."""
        self._sender = sender
        self._importer = importer
        self._imports = imports
        self._store = store
        self._sequencer = sequencer
        self._passed = passed
        self._seals = seals
        self._head: Head | None = None
        self._standing: Numbers | None = None

    async def looked_at(self, drafts: Sequence[Draft]) -> Outcome:
        """What would become of them. `taken` has no leaves; nothing is written."""
        made, outcome = self._made(drafts)
        numbers = await self._imports.numbers(self._importer, [each.draft.mark for each in made])
        known = await self._known()
        for each, seq in zip(made, numbers, strict=True):
            if seq is not None and seq in known:
                outcome.repeated += 1
            else:
                outcome.taken.append((each.draft.line, -1))
        return outcome

    async def take(self, drafts: Sequence[Draft]) -> Outcome:
        """All of them that can go in, durable. The same again changes nothing.

        Raises NotFlushed when they are durable here alone and may not be acknowledged so, also for those that
        were there already: nobody knows what was said of them the first time.
        """
        try:
            return await self._taken(drafts)
        except BaseException:
            self._standing = None  # what is in the log now is read again, perhaps from another database
            raise

    async def _taken(self, drafts: Sequence[Draft]) -> Outcome:
        made, outcome = self._made(drafts)
        if not made:
            return outcome
        numbers = await self._imports.numbered(self._importer, [each.draft.mark for each in made])
        sealed = await self._sealed(made)
        ready = list[_Ready]()
        for each, seq in zip(made, numbers, strict=True):
            record = msgspec.structs.replace(each.record, seq=seq, **sealed[each.person])
            ready.append(_Ready(seq, each.draft.line, leaf_of(record)))
        ready.sort()
        known = await self._known()
        there = await self._compare([each for each in ready if each.seq in known], outcome)
        fresh = [each for each in ready if each.seq not in known]
        if fresh:
            await self._append(fresh, there, outcome)
        elif there and self._head:
            lsn = await self._store.lsn()
            outcome.reach = await self._passed(self._head.log_id, there, lsn)
        return outcome

    def _made(self, drafts: Sequence[Draft]) -> tuple[list[Made], Outcome]:
        made, outcome = list[Made](), Outcome()
        for draft in drafts:
            try:
                made.append(self._record(draft))
            except (RecordRefused, msgspec.MsgspecError) as error:
                outcome.refused.append(Refusal(draft.line, str(error)))
        return made, outcome

    def _record(self, draft: Draft) -> Made:
        """Refused here or not at all: what was refused after it got its number would be missing for ever."""
        sender = {"tenant": self._sender.tenant, "source": self._sender.source}
        record = msgspec.convert({**draft.told, **sender, "epoch": EPOCH, "seq": MOST}, Record)
        person = None
        if draft.person is not None and self._seals is not None:
            person = msgspec.convert(draft.person, Person)
            leaf_of(msgspec.structs.replace(record, **_PLACEHOLDER))
        else:
            leaf_of(record)
        return Made(draft, record, person)

    async def _sealed(self, made: Sequence[Made]) -> Mapping[Person | None, Mapping[str, str]]:
        persons = list(dict.fromkeys(each.person for each in made if each.person is not None))
        sealed = await self._seals(persons) if self._seals is not None and persons else {}
        found: dict[Person | None, Mapping[str, str]] = {None: {}}
        return found | {person: {"user": each.user, "person": each.digest} for person, each in sealed.items()}

    async def _known(self) -> Numbers:
        """The numbers that are in the log. What others append from now on is left to the log to absorb."""
        if self._standing is None:
            self._head = await self._store.head(self._sender.tenant)
            known = self._head.known if self._head else {}
            self._standing = Numbers(list(known.get((self._sender.source, EPOCH), Numbers()).ranges))
        return self._standing

    async def _compare(self, those: Sequence["_Ready"], outcome: Outcome) -> list[int]:
        """The leaves of lines that are in the log as what they are read now; the others are told."""
        if not those or self._head is None:
            return []
        log_id = self._head.log_id
        keys = [Key(self._sender.source, EPOCH, each.seq) for each in those]
        leaves = await self._store.placed(log_id, keys)
        standing = await self._hashes(log_id, self._head.edge.size, leaves)
        there = list[int]()
        for each, leaf in zip(those, leaves, strict=True):
            if standing[leaf] == leaf_hashes([each.leaf]):
                there.append(leaf)
            else:
                outcome.otherwise.append(
                    Refusal(each.line, f"it was read otherwise when it was taken in as leaf {leaf:,}")
                )
        outcome.repeated += len(there)
        return there

    async def _hashes(self, log_id: int, size: int, leaves: Sequence[int]) -> dict[int, bytes]:
        """The leaf hashes. `size`: the log has had at least so many leaves, so that its tiles are full."""
        full = [leaf for leaf in leaves if leaf < size - size % TILE_WIDTH]
        found = dict(zip(full, await self._store.leaf_hashes(log_id, full), strict=True))
        others = sorted(set(leaves) - found.keys())
        for _, tile in groupby(others, key=lambda leaf: leaf // TILE_WIDTH):
            inside = list(tile)
            first, last = inside[0], inside[-1]
            hashes = await self._store.hashes(log_id, 0, first, last - first + 1)
            for leaf in inside:
                at = (leaf - first) * HASH_BYTES
                found[leaf] = hashes[at : at + HASH_BYTES]
        return found

    async def _append(self, those: Sequence["_Ready"], there: list[int], outcome: Outcome) -> None:
        """`there`: leaves that are acknowledged with them."""
        leaves = [each.leaf for each in those]
        appended = await append_in_turn(
            self._sequencer,
            Prepared(
                tenant=self._sender.tenant,
                leaves=leaves,
                hashes=leaf_hashes(leaves),
                stretches=numbered(
                    [self._sender.source] * len(those), [EPOCH] * len(those), [each.seq for each in those]
                ),
            ),
        )
        [placed] = appended.placed
        known, repeated, conflicts = await self._known(), {*placed.repeated}, {*placed.conflicts}
        stand = placed.leaves
        for place, each in enumerate(those):
            known.add(each.seq, each.seq)
            if place in conflicts:
                outcome.conflicts.append((each.line, stand[place]))
            elif place not in repeated:
                outcome.taken.append((each.line, stand[place]))
        if self._head is None:
            self._standing = None  # the log was made just now: from now on it can be asked
        outcome.repeated += len(repeated)
        outcome.size = placed.size
        outcome.reach = await self._passed(placed.log_id, [*there, *stand], appended.lsn)


class _Ready(NamedTuple):
    """A record with its number, as its leaf."""

    seq: int
    line: int
    leaf: bytes


async def append_in_turn(sequencer: Sequencer, prepared: Prepared) -> Appended:
    """Append beside a process that appends all the time: it may take some turns. Raises Overtaken at last."""
    for turn in range(_PATIENCE):
        try:
            return await sequencer.append([prepared])
        except Overtaken:
            await asyncio.sleep(0.05 * turn)
    return await sequencer.append([prepared])
