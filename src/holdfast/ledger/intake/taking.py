"""Taking records in: prepared elsewhere, gathered with others that wait, appended, acknowledged.

    body -> prepared (another process) -> gathered -> one transaction -> the second region -> the answer

While a transaction is on its way to the disk, requests of other sources gather; the next one takes all of
them. So the time that a commit takes is paid by many at once when many come, and by nobody when none wait.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from holdfast.ledger.append.acknowledging import POST_AGAIN, Gate
from holdfast.ledger.append.reached import OneRegion
from holdfast.ledger.append.sequences import Before
from holdfast.ledger.append.sequencing import Placed, Sequencer
from holdfast.ledger.errors import LedgerError, NotFlushed
from holdfast.ledger.intake.reading import Form, Read, Sender
from holdfast.ledger.log.checkpoint import Checkpoint
from holdfast.ledger.log.notes import Note
from holdfast.ledger.model import Acknowledged, Prepared, Reach, Span, Stretch
from holdfast.ledger.ports import Published

CLOSED_WITHIN_S = 5.0
MOST_TOGETHER = 20_000
"""Records of one transaction, unless a single request has more."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A request as it came: `coding` is identity, gzip or zstd."""

    body: bytes
    form: Form
    coding: str = "identity"


class Preparing(Protocol):
    """Makes prepared records of a body, where nobody else has to wait for it."""

    async def prepared(self, posted: Posted, sender: Sender, before: Before | None) -> Read:
        """`before`: what the source has sent already. Raises BatchRefused, and Overloaded when it cannot be
        done now.
        """
        ...


class Taking:
    """Takes requests in, of all sources at once."""

    def __init__(
        self,
        preparing: Preparing,
        sequencer: Sequencer,
        gate: Gate,
        one_region: OneRegion,
        published: Published,
        *,
        patience_s: float,
    ) -> None:
        """`patience_s`: how long an answer waits for the database's own disk."""
        self._preparing = preparing
        self._sequencer = sequencer
        self._gathering = Gathering(sequencer)
        self._gate = gate
        self._one_region = one_region
        self._published = published
        self._patience_s = patience_s

    async def taken(self, posted: Posted, sender: Sender) -> Acknowledged:
        """Durable where `reach` says, when it returns. Raises NotFlushed when that is not known in time."""
        if self._gate.stalls:
            raise NotFlushed(
                "the second region is away, and nothing is acknowledged until it is back", hint=POST_AGAIN
            )
        before = self._sequencer.before(sender.tenant, sender.source)
        read = await self._preparing.prepared(posted, sender, before)
        if not read.begins:
            return Acknowledged((), (), (), tuple(read.refused), Reach.TWO_REGIONS, 0, "")
        placed, lsn = await self._appended(read.prepared)
        reach = await self._gate.passed(lsn)
        if reach is Reach.ONE_REGION and self._gate.second is not None:
            # Before the answer: whoever was told "one region" is found among these until it is in both.
            await self._one_region.mark(placed.log_id, placed.lowest, placed.highest + 1, lsn)
        return await self._answer(read, placed, reach)

    async def aclose(self) -> None:
        """Wait for the transaction that is on its way."""
        await self._gathering.aclose()

    async def _appended(self, prepared: Prepared) -> tuple[Placed, int]:
        try:
            async with asyncio.timeout(self._patience_s):
                return await self._gathering.append(prepared)
        except TimeoutError as error:
            raise NotFlushed(
                f"the database did not say within {self._patience_s:g} s that it is on its disk",
                hint=POST_AGAIN,
            ) from error

    async def _answer(self, read: Read, placed: Placed, reach: Reach) -> Acknowledged:
        starts = read.starts
        return Acknowledged(
            taken=_stretches(read.begins, starts, placed.new),
            repeated=_stretches(read.begins, starts, placed.again),
            conflicts=_stretches(read.begins, starts, placed.other),
            refused=tuple(read.refused),
            reach=reach,
            size=placed.size,
            # What was just taken in is in no checkpoint yet.
            checkpoint="" if placed.new else await self._checkpoint(placed),
        )

    async def _checkpoint(self, placed: Placed) -> str:
        text = await self._published.newest(placed.log_id)
        if text and Checkpoint.parsed(Note.parsed(text).body).size > placed.highest:
            return text
        return ""


@dataclass(eq=False, slots=True)
class _Waiting:
    prepared: Prepared
    done: "asyncio.Future[tuple[Placed, int]]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Gathering:
    """Appends what waits, as one transaction, while it appends nothing else."""

    def __init__(self, sequencer: Sequencer, most: int = MOST_TOGETHER) -> None:
        self._sequencer = sequencer
        self._most = most
        self._waiting = deque[_Waiting]()
        self._working: asyncio.Task[None] | None = None

    async def append(self, prepared: Prepared) -> tuple[Placed, int]:
        """Where its records stand, and the LSN behind them. It goes on when the caller no longer waits."""
        mine = _Waiting(prepared)
        self._waiting.append(mine)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await mine.done

    async def aclose(self) -> None:
        """Wait for what is being appended; what only waits is given up."""
        for each in self._waiting:
            each.done.cancel()
        if self._working is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSED_WITHIN_S):
                    await asyncio.shield(self._working)
            self._working.cancel()

    async def _work(self) -> None:
        while self._waiting:
            if together := self._next():
                try:
                    await self._append(together)
                except LedgerError:
                    # What is wrong with one log is no matter of the others.
                    for each in together:
                        await self._append([each])

    async def _append(self, together: Sequence[_Waiting]) -> None:
        """Tells each how it went. Raises LedgerError, and tells nobody, when it may be one among several."""
        try:
            appended = await self._sequencer.append([each.prepared for each in together])
        except BaseException as error:
            if isinstance(error, LedgerError) and len(together) > 1:
                raise
            for each in together:
                if not each.done.done():
                    each.done.set_exception(_for_each(error))
            if not isinstance(error, Exception):
                raise
            return
        for each, placed in zip(together, appended.placed, strict=True):
            if not each.done.done():
                each.done.set_result((placed, appended.lsn))

    def _next(self) -> list[_Waiting]:
        """In the order in which they came. Who no longer waits is left out: nobody would hear of it."""
        together, records = list[_Waiting](), 0
        while self._waiting:
            each = self._waiting[0]
            records += each.prepared.count
            if together and records > self._most:
                break
            self._waiting.popleft()
            if not each.done.done():
                together.append(each)
        return together


def _for_each(error: BaseException) -> BaseException:
    return error if isinstance(error, Exception) else asyncio.CancelledError()


def _stretches(begins: Sequence[int], starts: Sequence[int], spans: Sequence[Span]) -> tuple[Stretch, ...]:
    """The spans by their lines, where record `starts[n]` stands on line `begins[n]`, and the next ones behind
    it. Consecutive lines that are consecutive leaves are together; in the order of the lines.
    """
    parts, found, at = list[tuple[int, int, int]](), list[Stretch](), 0
    for place, end, leaf in spans:
        if not (starts[at] <= place and (at + 1 == len(starts) or place < starts[at + 1])):
            at = bisect_right(starts, place) - 1
        first = place
        while first < end:
            upto = min(end, starts[at + 1]) if at + 1 < len(starts) else end
            line = begins[at] + first - starts[at]
            parts.append((line, line + upto - first - 1, leaf + first - place))
            first, at = upto, at + (upto < end)
    parts.sort()
    begin = behind = of = 0
    for first, last, leaf in parts:
        if first == behind and leaf - first == of:
            behind = last + 1
            continue
        if behind:
            found.append(Stretch(begin, behind - 1, begin + of))
        begin, behind, of = first, last + 1, leaf - first
    if behind:
        found.append(Stretch(begin, behind - 1, begin + of))
    return tuple(found)
