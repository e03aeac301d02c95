"""The ledger's intake with a second region: a physical standby behind a line of 60 ms, there and back.

Requests of 10,000 records of JSON, eight under way at a time: to a server that has no standby, and to one
whose answers wait until its standby has flushed what was taken in. They take turns, the other one first in
every other round. The standby, its replay and the line share the machine with all the rest; elsewhere they
would not. For information the same with batches that are prepared already: nothing but appending.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence

from tests.standby import STANDBY, two_regions

from bench.ledger_line import SETTINGS, Line, folder, opened, server, streamed
from bench.ledger_records import SOURCE, TENANT, Records
from bench.subjects import Options
from bench.table import Measurement, at_least
from holdfast.adapters.postgres.standby import PostgresStandby
from holdfast.ledger.intake.reading import Form, Sender, read
from holdfast.ledger.model import Prepared

ROUND_TRIP_S = 0.06
AT_ONCE = 8
LOCAL, BOTH = "one region", "two regions, 60 ms apart"
JSON, PREPARED = "JSON", "prepared"
SHARE = 0.8


def measure(options: Options) -> Sequence[Measurement]:
    rounds, batches = (2, 12) if options.quick else (options.runs_beside_peers, 40)
    return asyncio.run(_measure(rounds, batches))


async def _measure(rounds: int, batches: int) -> list[Measurement]:
    took = dict[tuple[str, str], list[float]]()
    with server() as alone, folder() as place, two_regions(place, settings=SETTINGS) as regions:
        far = opened(regions.primary, lambda pool: PostgresStandby(pool, STANDBY))
        async with opened(alone) as local, far as both:
            regions.link.delay(ROUND_TRIP_S / 2)
            lines, records = {LOCAL: local, BOTH: both}, {name: Records(1) for name in (LOCAL, BOTH)}
            trips = await _trips(both, records[BOTH])
            for number in range(rounds + 1):
                given = {name: [each.batch() for _ in range(2 * batches)] for name, each in records.items()}
                for name in (LOCAL, BOTH) if number % 2 else (BOTH, LOCAL):
                    line, bodies = lines[name], given[name]
                    sides: list[tuple[str, Callable[[], Awaitable[float]]]] = [
                        (JSON, lambda line=line, bodies=bodies: _json(line, bodies[:batches])),  # type: ignore[misc]
                        (PREPARED, lambda line=line, bodies=bodies: _prepared(line, bodies[batches:])),  # type: ignore[misc]
                    ]
                    for what, side in sides:
                        seconds = await side()
                        if number:  # the first round warms up
                            took.setdefault((what, name), []).append(seconds)
                            print(f"  {what}, {name}: {seconds * 1000:.1f} ms", file=sys.stderr, flush=True)
    return list(measurements(took, trips))


async def _trips(line: Line, records: Records) -> list[float]:
    """Seconds that a single small request waits for its answer."""
    await streamed(line, TENANT, [records.batch(10)], 1)
    return [await streamed(line, TENANT, [records.batch(10)], 1) for _ in range(10)]


async def _json(line: Line, bodies: Sequence[bytes]) -> float:
    return await streamed(line, TENANT, bodies, AT_ONCE)


async def _prepared(line: Line, bodies: Sequence[bytes]) -> float:
    batches = [read(body, Form.NDJSON, Sender(TENANT, SOURCE), line.packs).prepared for body in bodies]
    waiting = iter(batches)

    async def client() -> None:
        for batch in waiting:
            await _acknowledged(line, batch)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    return (time.perf_counter() - began) / len(batches)


async def _acknowledged(line: Line, batch: Prepared) -> None:
    appended = await line.sequencer.append([batch])
    await line.gate.passed(appended.lsn)


def measurements(took: dict[tuple[str, str], list[float]], trips: Sequence[float]) -> Iterator[Measurement]:
    """Shares are those of the same round. Pure."""
    told = [seconds * 1000 for seconds in trips]
    yield Measurement(f"{BOTH}: a request of ten records, alone", "ms", told, note=_least(told))
    for what in (JSON, PREPARED):
        for name in (LOCAL, BOTH):
            values = [seconds * 1000 for seconds in took[what, name]]
            yield Measurement(f"{name}: 10,000 records, {what}", "ms", values)
        pairs = zip(took[what, LOCAL], took[what, BOTH], strict=True)
        target = at_least(SHARE) if what == JSON else None
        yield Measurement(
            "  its throughput to that of one region", "x", [one / two for one, two in pairs], target
        )


def _least(trips: Sequence[float]) -> str:
    return f"of it the line {ROUND_TRIP_S * 1000:.0f} ms; the middle one {statistics.median(trips):.0f} ms"
