"""The overall page of 50 components, from the snapshot: requests per second on one core, and its size.

The real site, in a process kept on one core, over the year; asked by a process on another. Its snapshot is
renewed meanwhile, as it always is, and the CPU for that is in the figure.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bench.processes import cpu_s, pinned
from bench.reading import COMPONENTS
from bench.served import Client, Site, site_over
from bench.subjects import Options
from bench.table import Measurement, at_least, at_most
from bench.year import Year, apply, part_of, year_of

SHOWN = 50
CONNECTIONS = 32
SECONDS = 10.0
PAGE = "/en/"
_COMPONENT = re.compile(r'href="/en/clusters/([a-z0-9-]+/[a-z0-9-]+)')


def measure(options: Options) -> Sequence[Measurement]:
    return uvloop.run(_measure(options))


async def _measure(options: Options) -> Sequence[Measurement]:
    async with year_of(COMPONENTS // 10 if options.quick else COMPONENTS) as year:
        await apply(year, part_of(year, SHOWN))
        return await asyncio.to_thread(_served, year, options)


def _served(year: Year, options: Options) -> Sequence[Measurement]:
    seconds = SECONDS / 4 if options.quick else SECONDS
    with tempfile.TemporaryDirectory() as folder, site_over(year, year.config) as site:
        pinned(site.process.pid, 0)
        client = Client(site.port)
        try:
            size = len(client.get(PAGE)) / 1000
            _require_all_shown(client.text(PAGE))
        finally:
            client.close()
        rates = [_loaded(site, seconds, Path(folder)) for _ in range(options.runs)]
    return [
        Measurement(
            "overall page: requests per second",
            "/s",
            [wall for wall, _ in rates],
            at_least(1500),
            "site on one core, load on another",
        ),
        Measurement("overall page: requests per CPU second", "/s", [cpu for _, cpu in rates], at_least(1500)),
        Measurement("overall page of 50 components", "kB", [size], at_most(60), "Brotli, over the wire"),
    ]


def _require_all_shown(page: str) -> None:
    """Raises SystemExit unless the page links to every component: a small page is only good when complete."""
    shown = set(_COMPONENT.findall(page))
    if len(shown) != SHOWN:
        raise SystemExit(f"the overall page shows {len(shown)} components, not {SHOWN}")


def _loaded(site: Site, seconds: float, folder: Path) -> tuple[float, float]:
    """Requests per second of wall time, and per second of the site's CPU."""
    arguments = [str(site.port), PAGE, str(seconds), str(CONNECTIONS)]
    with (folder / "load").open("w+b") as output:
        before = cpu_s(site.process.pid)
        load = subprocess.Popen([sys.executable, "-m", "bench.load", *arguments], stdout=output)
        pinned(load.pid, (os.cpu_count() or 1) - 1)
        if load.wait() != 0:
            raise SystemExit("the load generator failed")
        spent = cpu_s(site.process.pid) - before
        output.seek(0)
        told = json.loads(output.read())
    return told["requests"] / told["seconds"], told["requests"] / spent
