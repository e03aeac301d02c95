"""The primary of a ledger is killed under load, the line to the other region cut just before.

python -m tests.chaos.ledger_loss 50 [--process] [--acknowledged "at once"] [--handed-out "at once"]

Sources post to what serves the ledger, keep what was not acknowledged, and post it again to whoever took
over, as real ones do; at times an answer is lost on its way, and they post what is there already. At times
the primary lives on behind the cut line while the other region has taken over. The log goes on from round to
round, over all failovers. In the end every acknowledged record must be in it once, under the leaf that was
told, and every checkpoint that was ever handed out must be one of this log.

Control runs acknowledge at once, as asynchronous replication does, or hand checkpoints out at once: the ones
must lose records, and the others lead to a log that its witness refuses. Else the line was never cut in time,
and the other runs prove nothing.
"""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.ledger_process_serving import ProcessThird
from tests.chaos.ledger_serving import ORIGIN, TENANT, Away, Place, Served, Third
from tests.chaos.ledger_whole import Whole, whole_log
from tests.link import BACK, THERE
from tests.standby import Regions, two_regions

from holdfast.kernel.clock import SystemClock
from holdfast.ledger.canonical import leaf_of
from holdfast.ledger.log.checkpoint import Checkpoint
from holdfast.ledger.log.notes import Note
from holdfast.ledger.model import Kind, Record, Status

WHEN_FLUSHED, AT_ONCE = "when flushed", "at once"
SOURCES = 4
MOST_RECORDS = 40
LOST_ANSWERS = 0.05
"""The share of answers that never arrive at the source."""
AGAIN_WITHIN_S = 60.0
AGAIN_IN_S = 0.05
LEAST = 50
"""Records that are acknowledged before anything happens, in each round."""
ISOLATED = 0.25
"""The share of rounds in which the other region takes over before this one dies."""
WHOLE_EVERY = 10
_CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class How:
    """What waits until the other region has it."""

    acknowledged: str = WHEN_FLUSHED
    handed_out: str = WHEN_FLUSHED
    process: bool = False
    """Served by `holdfast serve ledger` over HTTP, with `holdfast ledger witness`; else by their parts."""

    @property
    def safe(self) -> bool:
        return (self.acknowledged, self.handed_out) == (WHEN_FLUSHED, WHEN_FLUSHED)

    def __str__(self) -> str:
        by = "served by its process" if self.process else "served by its parts"
        return f"{by}, acknowledged {self.acknowledged}, handed out {self.handed_out}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one round came to."""

    acknowledged: int
    lost: int
    """Of those: not there, or others stand under their leaves."""
    repeated: int
    """Records that the sources posted again and that were there."""
    handed_out: int
    """Checkpoints."""
    refused: str
    """Why the witness refused to go on, if it did."""
    took_s: float


@dataclass(slots=True)
class Source:
    """A source of records: it counts them, and keeps each until it is acknowledged."""

    name: str
    dice: random.Random
    seq: int = 0
    kept: dict[int, bytes] = field(default_factory=dict)
    """By number, the canonical form of what is not acknowledged yet."""
    acknowledged: list[tuple[int, bytes]] = field(default_factory=list)
    """In this round: the leaf that was told, and the record."""
    repeated: int = 0

    async def post(self, serving: Served) -> None:
        """For as long as it is served."""
        while True:
            self._print()
            try:
                await self._posted(serving, list(self.kept.items()))
            except Away:
                await asyncio.sleep(AGAIN_IN_S)

    async def settle(self, serving: Served) -> None:
        """Post what is still kept, once more, until it is acknowledged."""
        deadline = time.monotonic() + AGAIN_WITHIN_S
        while self.kept:
            assert time.monotonic() < deadline, f"{self.name} is not served again"
            with suppress(Away):
                await self._posted(serving, list(self.kept.items()))

    def _print(self) -> None:
        for _ in range(self.dice.randint(1, MOST_RECORDS)):
            self.seq += 1
            record = Record(
                epoch=1,
                job=f"{self.name}-{self.seq}",
                kind=Kind.PRINT,
                mono_impressions=self.dice.randint(1, 40),
                occurred_at=_CLOCK.now(),
                seq=self.seq,
                source=self.name,
                status=Status.COMPLETED,
                tenant=TENANT,
            )
            self.kept[self.seq] = leaf_of(record)

    async def _posted(self, serving: Served, records: list[tuple[int, bytes]]) -> None:
        self.dice.shuffle(records)  # in any order
        told = await serving.post(self.name, [record for _, record in records])
        self.repeated += told.repeated
        if self.dice.random() < LOST_ANSWERS:
            return
        for (seq, record), leaf in zip(records, told.leaves, strict=True):
            self.acknowledged.append((leaf, record))
            self.kept.pop(seq, None)


@dataclass(slots=True)
class Rounds:
    """Failovers of one ledger, one after the other."""

    regions: Regions
    third: Place
    """Where the witness is."""
    how: How
    seed: int
    handed_out: set[str] = field(default_factory=set)
    """Every checkpoint that anybody ever saw."""
    _number: int = 0
    _sources: list[Source] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._sources = [Source(f"s{n}", random.Random(f"{self.seed} {n}")) for n in range(SOURCES)]

    async def round(self) -> Outcome:
        """One life and death of a primary."""
        self._number += 1
        began, dice = time.monotonic(), random.Random(f"{self.seed} round {self._number}")
        seen_before = len(self.handed_out)
        for source in self._sources:
            source.acknowledged, source.repeated = [], 0
        async with self._serving() as served:
            posting = [asyncio.create_task(source.post(served)) for source in self._sources]
            publishing = asyncio.create_task(self._publish(served))
            await asyncio.sleep(dice.uniform(0.1, self.third.load_s))
            while self._acknowledged < LEAST and not any(task.done() for task in posting):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.to_thread(self._disturb, dice)
            # What is meant to be lost needs time to be acknowledged.
            lead_s = dice.choice([0.0, dice.uniform(0.0, 0.15)]) if self.how.safe else dice.uniform(0.2, 0.5)
            await asyncio.sleep(lead_s)
            await asyncio.to_thread(self._lose, dice)
            await asyncio.to_thread(served.end)
            for task in (*posting, publishing):
                task.cancel()
            for ended in await asyncio.gather(*posting, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended
            refused = await _end_of(publishing)
        await asyncio.to_thread(self.regions.follow_again)
        async with self._serving() as served:
            for source in self._sources:
                await source.settle(served)
            told = [leaf for source in self._sources for leaf, _ in source.acknowledged]
            text, stopped = ("", refused) if refused else await served.handed_out(max(told, default=-1) + 1)
            self.handed_out |= {text} - {""}
            lost = await self._lost(served)
        return Outcome(
            acknowledged=self._acknowledged,
            lost=lost,
            repeated=sum(source.repeated for source in self._sources),
            handed_out=len(self.handed_out) - seen_before,
            refused=stopped,
            took_s=time.monotonic() - began,
        )

    @property
    def _acknowledged(self) -> int:
        return sum(len(source.acknowledged) for source in self._sources)

    async def whole(self) -> Whole:
        """The whole log as it stands now, read and reckoned anew."""
        async with self._serving() as served:
            return await whole_log(served.store, TENANT, served.log_key)

    def breaches(self, whole: Whole) -> list[str]:
        """What was ever said of the log and is not so."""
        found = list(whole.breaches)
        said = [Checkpoint.parsed(Note.parsed(text).body) for text in self.handed_out]
        witnessed = self.third.newest(ORIGIN)
        found += [
            f"the checkpoint of {checkpoint.size:,} leaves is that of another log"
            for checkpoint in [*said, *([witnessed] if witnessed else [])]
            if whole.root_at(checkpoint.size) != checkpoint.root
        ]
        if said and (witnessed is None or witnessed.size < max(each.size for each in said)):
            found.append("a checkpoint was handed out that the witness has not seen")
        return found

    def _serving(self) -> AbstractAsyncContextManager[Served]:
        gates = self.how.acknowledged == WHEN_FLUSHED, self.how.handed_out == WHEN_FLUSHED
        return self.third.serving(self.regions.primary, *gates)

    def _disturb(self, dice: random.Random) -> None:
        """The line goes, in one of the ways in which lines go."""
        match dice.choice(["cut", THERE, BACK, "nothing"] if self.how.safe else ["cut", BACK]):
            case "cut":
                self.regions.link.cut()
            case "nothing":
                pass
            case direction:
                self.regions.link.deafen(direction)

    def _lose(self, dice: random.Random) -> None:
        """The other region takes over: from one that is dead, or from one that lives on behind a line that is
        cut, and believes for a while that it is the one.
        """
        if self.how.safe and dice.random() < ISOLATED:
            self.regions.link.cut()
            self.regions.take_over()
            time.sleep(dice.uniform(0.0, 0.3))
            self.regions.standby.kill9()
        else:
            self.regions.fail_over()

    async def _publish(self, served: Served) -> str:
        """Hand out what grows, until it ends; why it can never go on, if that is so."""
        while True:
            refused = await self._published(served)
            if refused:
                return refused
            await asyncio.sleep(0.02)

    async def _published(self, served: Served) -> str:
        handed, refused = await served.publish()
        if handed:
            self.handed_out.add(handed)
        return refused

    async def _lost(self, served: Served) -> int:
        told = [each for source in self._sources for each in source.acknowledged]
        there = await served.entries_from(min((leaf for leaf, _ in told), default=0))
        return sum(there.get(leaf) != record for leaf, record in told)


async def _end_of(task: "asyncio.Task[str]") -> str:
    with suppress(asyncio.CancelledError):
        return await task
    return ""


def rounds(
    count: int, folder: Path, how: How, *, seed: int = 1, tell: bool = False
) -> tuple[list[Outcome], list[str]]:
    """So many failovers of one ledger, and what was found wrong with its log."""
    return asyncio.run(_rounds(count, folder, how, seed, tell))


async def _rounds(
    count: int, folder: Path, how: How, seed: int, tell: bool
) -> tuple[list[Outcome], list[str]]:
    outcomes, breaches = list[Outcome](), list[str]()
    place = (ProcessThird if how.process else Third)(folder / "third")
    with two_regions(folder) as regions, place as third:
        await third.prepare(regions.primary, [f"s{n}" for n in range(SOURCES)])
        regions.until_caught_up()
        ledger = Rounds(regions, third, how, seed)
        for number in range(1, count + 1):
            outcomes.append(await ledger.round())
            if number % WHOLE_EVERY == 0 or number == count:
                breaches = ledger.breaches(await ledger.whole())
            if tell:
                sys.stderr.write(f"{number:4} {outcomes[-1]} {breaches or ''}\n")
            if breaches or outcomes[-1].refused:
                break
    return outcomes, breaches


def figures(outcomes: Sequence[Outcome]) -> str:
    """To be quoted."""
    acknowledged, lost = (sum(getattr(each, name) for each in outcomes) for name in ("acknowledged", "lost"))
    repeated, handed = (sum(getattr(each, name) for each in outcomes) for name in ("repeated", "handed_out"))
    worst = sum(each.lost > 0 for each in outcomes)
    slowest = max(each.took_s for each in outcomes)
    return (
        f"{acknowledged:,} acknowledged, {lost:,} of them lost in {worst} rounds, {repeated:,} posted again "
        f"and absorbed, {handed:,} checkpoints handed out, the longest round {slowest:.1f} s"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.ledger_loss")
    parser.add_argument("rounds", type=int)
    for each in ("--acknowledged", "--handed-out"):
        parser.add_argument(each, choices=(WHEN_FLUSHED, AT_ONCE), default=WHEN_FLUSHED)
    parser.add_argument("--process", action="store_true", help="with the real processes")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # it tells of each connection to a killed server
    how = How(given.acknowledged, given.handed_out, given.process)
    with tempfile.TemporaryDirectory(prefix="hf-loss-") as name:
        outcomes, breaches = rounds(given.rounds, Path(name), how, seed=given.seed, tell=True)
    told = f"{len(outcomes)} rounds, {how}: {figures(outcomes)} (seed {given.seed})"
    sys.stdout.write("\n".join([told, *breaches, ""]))
    return int(how.safe and bool(breaches or any(each.lost or each.refused for each in outcomes)))


if __name__ == "__main__":
    sys.exit(main())
