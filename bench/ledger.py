"""The ledger's intake beside raw COPY of the same records into a table of typed rows, taking turns.

R is what COPY needs for a batch of 10,000 records, from text that is ready, over one connection, committed.
In every round each takes its turn, another one first:

- the sequencer: batches that are prepared become signed, durable commits;
- end to end: JSON becomes signed commits, prepared by two processes, as `holdfast serve ledger` does;
- the sequencer once more, where one record in a hundred was there already, of any earlier round.

Then what repeats cost end to end (ledger_repeats.py), and how much the tables hold for each record. The
server flushes to disk.
"""

import asyncio
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import psycopg
from tests.protected import Protected

from bench import ledger_repeats
from bench.ledger_line import AT_ONCE, Line, opened, server, streamed
from bench.ledger_records import BATCH, RAW_COPY, RAW_TABLE, SOURCE, TENANT, Records, copied
from bench.subjects import Options
from bench.table import Measurement, at_least, at_most
from holdfast.ledger.intake.reading import Form, Sender, read
from holdfast.ledger.model import Prepared

RAW, SEQUENCED, END_TO_END = "raw COPY", "sequencer", "JSON to signed commit"
SEQUENCED_AGAIN = f"{SEQUENCED}, 1 % of it repeated"
STREAMED_TENANT = "streamed"
_SIZES = """
SELECT sum(pg_total_relation_size(c.oid))
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = 'ledger' AND c.relkind = 'r'
   AND c.relname ~ '^(segment.*|tile|run|growth|published|conflict)$'
"""


@dataclass(slots=True)
class Arena:
    """The server, and seconds for each batch, by who and round."""

    server: Protected
    connection: "psycopg.Connection[tuple[object, ...]]"
    line: Line
    took: dict[str, list[float]] = field(default_factory=dict)

    def raw(self, texts: Sequence[bytes]) -> list[float]:
        return [timed(lambda text=text: self._copy(text)) for text in texts]  # type: ignore[misc]

    def _copy(self, text: bytes) -> None:
        with self.connection.transaction(), self.connection.cursor().copy(RAW_COPY) as copy:
            copy.write(text)

    async def sequenced(self, batches: Sequence[Prepared]) -> list[float]:
        seconds = list[float]()
        for batch in batches:
            began = time.perf_counter()
            await self.line.sequencer.append([batch])
            seconds.append(time.perf_counter() - began)
        return seconds

    async def streamed(self, tenant: str, bodies: Sequence[bytes]) -> list[float]:
        return [await streamed(self.line, tenant, bodies)]


class Repeating:
    """Batches of one tenant, of which one record in a hundred was in an earlier round."""

    def __init__(self, tenant: str, seed: int) -> None:
        self.tenant = tenant
        self._records = Records(seed, tenant=tenant)
        self._dice = random.Random(seed)
        self._before = self._records.batch().split(b"\n")

    @property
    def first(self) -> bytes:
        """What comes before all others."""
        return b"\n".join(self._before)

    def batches(self, count: int) -> list[bytes]:
        fresh = [self._records.batch(BATCH - BATCH // 100).split(b"\n") for _ in range(count)]
        made = [b"\n".join([*each, *self._dice.sample(self._before, BATCH // 100)]) for each in fresh]
        self._before += [line for each in fresh for line in each[::20]]
        return made


def measure(options: Options) -> Sequence[Measurement]:
    rounds, batches, repeats = (3, 4, 6) if options.quick else (options.runs_beside_peers, 16, 24)
    return asyncio.run(_measure(rounds, batches, repeats))


async def _measure(rounds: int, batches: int, repeats: int) -> list[Measurement]:
    with server() as found:
        async with opened(found) as line:
            with found.connect() as connection:
                connection.execute(RAW_TABLE)
                arena = Arena(found, connection, line)
                await played(arena, rounds, batches)
                again = await ledger_repeats.played(found, line, repeats)
                rows, kept = sizes(arena)
    return [*measurements(arena.took), *ledger_repeats.measurements(again), *of_sizes(rows, kept)]


async def played(arena: Arena, rounds: int, batches: int) -> None:
    """Each in its turn; what they need is made before. The first round, of four batches, is not counted."""
    packs = arena.line.packs
    plain, ahead = Records(1), Records(2, tenant=STREAMED_TENANT)
    mixed = Repeating("repeated", 3)
    await arena.streamed(mixed.tenant, [mixed.first])

    def prepared(tenant: str, bodies: Sequence[bytes]) -> list[Prepared]:
        return [read(body, Form.NDJSON, Sender(tenant, SOURCE), packs).prepared for body in bodies]

    for number in range(rounds + 1):
        count = batches if number else AT_ONCE
        bodies = [plain.batch() for _ in range(count)]
        texts, ready = [copied(body) for body in bodies], prepared(TENANT, bodies)
        again = prepared(mixed.tenant, mixed.batches(count))
        json = [ahead.batch() for _ in range(count)]

        async def raw(texts: Sequence[bytes] = texts) -> list[float]:
            return arena.raw(texts)

        turns: list[tuple[str, Callable[[], Awaitable[list[float]]]]] = [
            (RAW, raw),
            (SEQUENCED, partial(arena.sequenced, ready)),
            (END_TO_END, partial(arena.streamed, STREAMED_TENANT, json)),
            (SEQUENCED_AGAIN, partial(arena.sequenced, again)),
        ]
        at = number % len(turns)
        for name, turn in turns[at:] + turns[:at]:
            arena.server.sql("CHECKPOINT")
            seconds = statistics.median(await turn())
            if number:
                arena.took.setdefault(name, []).append(seconds)
                print(f"  {name}: {seconds * 1000:.1f} ms a batch", file=sys.stderr, flush=True)


def sizes(arena: Arena) -> tuple[float, float]:
    """Bytes for each record: of the typed rows, and of the logs with their proofs."""
    arena.server.sql("VACUUM")
    rows = arena.server.value("SELECT pg_total_relation_size('raw')::float / count(*) FROM raw")
    leaves = arena.server.value("SELECT sum(leaves) FROM ledger.segment")
    return float(rows), float(arena.server.value(_SIZES)) / float(leaves)


def measurements(took: dict[str, list[float]]) -> Iterator[Measurement]:
    """Ratios are those of the same round. Pure."""
    raw = took[RAW]
    told = {name: [seconds * 1000 for seconds in values] for name, values in took.items()}
    yield Measurement("raw COPY of 10,000 records, a typed table with its key (R)", "ms", told[RAW])
    for name, bound in ((SEQUENCED, 1.0), (END_TO_END, 0.9)):
        yield Measurement(f"{name}, 10,000 records", "ms", told[name])
        ratios = [other / mine for mine, other in zip(took[name], raw, strict=True)]
        yield Measurement("  its throughput to that of raw COPY", "R", ratios, at_least(bound))
    yield Measurement(SEQUENCED_AGAIN, "ms", told[SEQUENCED_AGAIN])
    pairs = zip(took[SEQUENCED_AGAIN], took[SEQUENCED], strict=True)
    yield Measurement("  dearer than without", "%", [(mine / other - 1) * 100 for mine, other in pairs])


def of_sizes(rows: float, kept: float) -> Iterator[Measurement]:
    yield Measurement("a typed row, with its key", "bytes", [rows])
    yield Measurement("an entry, with all of its proof", "bytes", [kept])
    yield Measurement("  of the typed row", "x", [kept / rows], at_most(0.6))


def timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
