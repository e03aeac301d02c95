"""Reports and pages over a year of 2,000 components.

First the questions themselves, asked as the site asks them; then the pages, from the real site in a process
of its own, with that whole estate in force and its snapshot being renewed meanwhile. No page is asked for
twice, so that none comes from the site's cache.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from zoneinfo import ZoneInfo

import uvloop

from bench.clock import ShiftedClock
from bench.served import Client, site_over
from bench.subjects import Options
from bench.table import Measurement, at_most
from bench.year import END, LINK, Year, apply, year_of
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.reading import PostgresReadingStore
from holdfast.availability.inventory import Inventory
from holdfast.availability.reading import Reader
from holdfast.interfaces.site.ranges import named_range

COMPONENTS = 2_000
TIMES = 10
"""Asked so often in each run."""
PAUSE_S = 0.25
"""Between two pages, so that some fall into the renewal of the snapshot, as visitors do."""
FIRST_CHOSEN, STRIDE = 7, 37
"""Which components are asked about: spread over the estate, none twice."""
MONTHS = tuple(f"2026-{month:02}" for month in range(1, 11))


def measure(options: Options) -> Sequence[Measurement]:
    return uvloop.run(_measure(options))


async def _measure(options: Options) -> Sequence[Measurement]:
    async with year_of(COMPONENTS // 10 if options.quick else COMPONENTS) as year:
        await apply(year, year.estate)
        return [*await _asked(year, options.runs), *await asyncio.to_thread(_served, year, options.runs)]


async def _asked(year: Year, runs: int) -> Sequence[Measurement]:
    found = await PostgresRegistry(year.server.conninfo(Role.SITE)).in_force()
    assert found is not None
    inventory = Inventory(*found)
    async with open_pool(year.server.conninfo(Role.SITE), "bench") as pool:
        clock = ShiftedClock(END)
        reader = Reader(PostgresReadingStore(pool), clock, lambda: inventory)
        components = list(inventory.registered.components)
        numbers = count(FIRST_CHOSEN, STRIDE)
        zone = ZoneInfo(inventory.estate.site.time_zone)

        async def component() -> object:
            window = named_range("1y", clock.now(), zone).window
            return await reader.component(*components[next(numbers) % len(components)], window)

        async def agreement() -> object:
            return await reader.agreement("gold", clock.now())

        reports, pages = await _times(agreement, runs), await _times(component, runs)
    return [
        Measurement(
            "agreement of 50 components: its month", "ms", reports, at_most(50), "read and accounted"
        ),
        Measurement("component over a year", "ms", pages, None, "read and accounted"),
    ]


async def _times(work: Callable[[], Awaitable[object]], runs: int) -> list[float]:
    """Milliseconds of each call, after two that warm caches and connections up."""
    times = []
    for _ in range(2 + runs * TIMES):
        began = time.perf_counter()
        if await work() is None:
            raise SystemExit("the estate in force does not have what was asked for")
        times.append((time.perf_counter() - began) * 1000)
    return times[2:]


def _served(year: Year, runs: int) -> Sequence[Measurement]:
    keys = [(cluster, key) for cluster, each in year.estate.clusters.items() for key in each.components]
    with site_over(year, year.config) as site:
        client = Client(site.port)
        try:
            chosen = [keys[(FIRST_CHOSEN + n * STRIDE) % len(keys)] for n in range(2 + runs * TIMES)]
            pages = []
            for cluster, key in chosen:
                pages.append(client.timed(f"/en/clusters/{cluster}/{key}?range=1y"))
                time.sleep(PAUSE_S)
            reports = [client.timed(f"/en/agreements/{LINK}?month={month}") for month in MONTHS]
        finally:
            client.close()
    return [
        Measurement("component page, range 1 y", "ms", pages[2:], at_most(60), "over HTTP, nothing cached"),
        Measurement("agreement page, one month", "ms", reports, at_most(50), "over HTTP, nothing cached"),
    ]
