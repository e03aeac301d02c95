"""Verifying logs: every stretch of them is recomputed (stretches.py), and then what holds them together.

What is verified is the log as it stood at the beginning: it is only ever added to, so that nothing changes
under the verifier, and it may go on growing meanwhile.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple, Protocol

from holdfast.ledger.errors import LedgerError, ProofRefused
from holdfast.ledger.log.checkpoint import Checkpoint, verified
from holdfast.ledger.log.notes import Note, Verifies
from holdfast.ledger.log.tree import Edge, verify_consistency
from holdfast.ledger.ports import Key, LogStore, Packs
from holdfast.ledger.publish.proving import consistency, root
from holdfast.ledger.verify.stretches import Checked, Finding, Keys, Stretch, What, checked

STRETCH_LEAVES = 40_000
"""A stretch ends at the first growth's border behind so many leaves."""


class LogStanding(NamedTuple):
    """A log, how far it has grown, and how far it was published (0: not yet)."""

    log_id: int
    tenant: str
    origin: str
    size: int
    published: int


class Span(NamedTuple):
    """Growths of a log, from border to border."""

    log: LogStanding
    from_size: int
    to_size: int


class LogReading(Protocol):
    """Reads what is stored, as it is stored, for who trusts none of it."""

    async def logs(self) -> Sequence[LogStanding]:
        """All of them, by tenant. `published` is read first: it can only be at or below the size."""
        ...

    async def borders(self, log_id: int, size: int, leaves: int) -> Sequence[int]:
        """Where growths begin, about `leaves` apart, the first of all among them."""
        ...

    async def stretch(self, span: Span) -> Stretch: ...

    async def edge(self, log_id: int, size: int) -> Edge:
        """The tree as it was then. Raises LogDamaged."""
        ...

    async def twice(self, log_id: int) -> Sequence[Key]:
        """Numbers that stand under two leaves, some of them."""
        ...

    async def pruned(self, log_id: int) -> int:
        """Entries below that leaf are no longer kept, as retention has declared."""
        ...

    async def beyond(self, log_id: int) -> Sequence[str]:
        """What is stored of leaves that the log does not have: a word for each sort, such as `tiles`."""
        ...

    async def published_bodies(self, told: Sequence[Checkpoint]) -> Sequence[str | None]:
        """What was published under each one's origin and size, without its signatures."""
        ...


Check = Callable[[Span, Edge | None], Awaitable[Checked]]
"""Checks a stretch, here or in another process; None: from the edge that is stored."""


async def check(
    reading: LogReading,
    store: LogStore,
    span: Span,
    start: Edge | None,
    *,
    keys: Keys,
    verifies: Verifies,
    packs: Packs,
) -> Checked:
    """One stretch, and what its entries say of others. Raises LogDamaged where its start cannot be had."""
    if start is None:
        start = await reading.edge(span.log.log_id, span.from_size)
    found = checked(await reading.stretch(span), start, keys, verifies, packs)
    for kept, standing in found.conflicts:
        try:
            [leaf] = await store.placed(span.log.log_id, [kept.key])
            hash_ = await store.hashes(span.log.log_id, 0, standing, 1)
        except LedgerError as error:
            found.found(What.CONFLICT, kept.leaf, f"the conflict of leaf {kept.leaf:,}: {error}")
            continue
        if leaf != standing or hash_ == kept.came:
            text = f"leaf {kept.leaf:,} tells a conflict with leaf {standing:,} that there is not"
            found.found(What.CONFLICT, kept.leaf, text)
    bodies = await reading.published_bodies([each for _, each in found.listed])
    for (leaf, listed), body in zip(found.listed, bodies, strict=True):
        if body != listed.body:
            text = (
                f"leaf {leaf:,}: {listed.origin!r} never published that checkpoint of {listed.size:,} leaves"
            )
            found.found(What.PUBLISHED, leaf, text)
    found.listed.clear()
    return found


@dataclass(slots=True)
class LogVerified:
    """What became of a log. `findings` are told one by one up to a number, `counted` are all."""

    log: LogStanding
    entries: int = 0
    growths: int = 0
    tiles: int = 0
    published: int = 0
    pruned: list[tuple[int, int]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    counted: Counter[What] = field(default_factory=Counter)

    @property
    def holds(self) -> bool:
        return not self.counted

    def found(self, what: What, leaf: int, text: str) -> None:
        self.counted[what] += 1
        self.findings.append(Finding(what, leaf, text))

    def add(self, each: Checked) -> None:
        self.entries += each.entries
        self.growths += each.growths
        self.tiles += each.tiles
        self.published += each.published
        for first, end in each.pruned:
            if self.pruned and self.pruned[-1][1] == first:
                self.pruned[-1] = (self.pruned[-1][0], end)
            else:
                self.pruned.append((first, end))
        self.findings += each.findings
        self.counted += each.counted


async def verify_log(
    reading: LogReading, log: LogStanding, check: Check, on_leaves: Callable[[int], None] = lambda _: None
) -> LogVerified:
    """The whole log. `on_leaves` hears of how many more leaves were checked."""
    result = LogVerified(log)
    if log.published > log.size:
        text = f"{log.published:,} leaves were published, and there are {log.size:,}"
        result.found(What.PUBLISHED, log.size, text)
    borders = await reading.borders(log.log_id, log.size, STRETCH_LEAVES)
    spans = [Span(log, first, end) for first, end in pairwise((*borders, log.size))]
    running = [asyncio.ensure_future(_counted(check, each, on_leaves)) for each in spans]
    try:
        await _chained(result, spans, running, check)
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    declared = await reading.pruned(log.log_id)
    for first, end in result.pruned:
        if end > declared:
            begin = max(first, declared)
            text = f"the entries {begin:,} to {end - 1:,} are missing, and retention did not take them"
            result.found(What.ENTRIES, begin, text)
    for key in await reading.twice(log.log_id):
        text = f"number {key.seq:,} of {key.source!r} (epoch {key.epoch}) stands under two leaves"
        result.found(What.NUMBERS, 0, text)
    for sort in await reading.beyond(log.log_id):
        result.found(What.GROWTH, log.size, f"there are {sort} of leaves that the log does not have")
    return result


async def _counted(check: Check, span: Span, on_leaves: Callable[[int], None]) -> Checked | LedgerError:
    try:
        found: Checked | LedgerError = await check(span, None)
    except LedgerError as error:
        found = error
    on_leaves(span.to_size - span.from_size)
    return found


async def _chained(
    result: LogVerified,
    spans: Sequence[Span],
    running: Sequence["asyncio.Future[Checked | LedgerError]"],
    check: Check,
) -> None:
    """Each stretch begins where the one before ended. Where what is stored says otherwise, it is wrong there,
    and the stretch is checked again from what was computed.
    """
    at: Edge | None = Edge()
    for span, future in zip(spans, running, strict=True):
        found = await future
        if at is None and isinstance(found, LedgerError):
            result.found(What.TILES, span.from_size, f"the tree of {span.from_size:,} leaves: {found}")
            continue
        if at is not None and (isinstance(found, LedgerError) or found.start != at):
            if not isinstance(found, LedgerError) and not result.counted[What.TILES]:
                text = f"tiles before leaf {span.from_size:,} do not fit together"
                result.found(What.TILES, span.from_size, text)
            try:
                found = await check(span, at)
            except LedgerError as error:
                result.found(What.ENTRIES, span.from_size, str(error))
                at = None
                continue
        if isinstance(found, LedgerError):
            continue
        result.add(found)
        at = found.end if found.end.size == span.to_size else None


async def verify_continues(
    store: LogStore, log: LogStanding, known: str, keys: Keys, verifies: Verifies
) -> Checkpoint:
    """That the log goes on from a checkpoint that somebody kept. Raises ProofRefused, Fork if it does not."""
    refused = ProofRefused("no key is known for this log")
    for key in keys.log:
        try:
            old = verified(known, key, verifies).checkpoint
        except ProofRefused as error:
            refused = error
            continue
        if old.size > log.size:
            raise ProofRefused(
                f"that checkpoint tells of {old.size:,} leaves, and the log has {log.size:,}",
                hint="leaves are missing: they were lost, or somebody took them away",
            )
        proof = await consistency(store, log.log_id, old.size, log.size)
        whole = await root(store, log.log_id, log.size)
        verify_consistency(old.size, old.root, log.size, whole, proof)
        return old
    raise refused


def body_of(note: str) -> str:
    """A published checkpoint without its signatures."""
    return Note.parsed(note).body
