"""One side of a comparison: makes checks at a given rate when it is told to, in a process of its own.

    python -m bench.paced_process holdfast CA_FILE          Holdfast's own probe, its conditions judged
    python -m bench.paced_process blackbox EXPORTER_PORT    somebody who asks the exporter to probe

Each line of its input is a JSON object {"url", "rate", "seconds"}; the answer is a line with how many checks
were made and were good. A check that was not good ends it with an error: a failure costs something else.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import uvloop

from bench.estates import CONDITIONS
from bench.probe_cpu import no_secret
from holdfast.adapters.probes import Probes
from holdfast.availability.judging import compile_check, judge
from holdfast.availability.model import Outcome
from holdfast.availability.rounds import STARTS_TOGETHER
from holdfast.estate.checks import HttpCheck

Check = Callable[[], Awaitable[None]]
"""Makes one check. Raises SystemExit when it is not good."""


async def paced(check: Check, rate: float, seconds: float) -> int:
    """Checks at `rate` a second, each on its own moment's turn, however long those before it take.

    Those of 100 ms start together, as the controller has it. Returns how many there were.
    """
    loop = asyncio.get_running_loop()
    began, running = loop.time(), set[asyncio.Task[None]]()
    made, turns = 0, round(seconds / STARTS_TOGETHER)
    for turn in range(1, turns + 1):
        while made < rate * turn * STARTS_TOGETHER:
            running.add(asyncio.ensure_future(check()))
            made += 1
        await asyncio.sleep(began + turn * STARTS_TOGETHER - loop.time())
        ended = {task for task in running if task.done()}
        running -= ended
        for task in ended:
            task.result()
    await asyncio.gather(*running)
    return made


@asynccontextmanager
async def holdfast(ca_file: str) -> AsyncIterator[Callable[[str], Check]]:
    probes = Probes(no_secret)

    def check_of(url: str) -> Check:
        check = HttpCheck(url=url, ca_file=ca_file, conditions=CONDITIONS)
        compiled = compile_check(check)

        async def once() -> None:
            outcome, reason = judge(compiled, await probes.attempt(check))
            if outcome is not Outcome.GOOD:
                raise SystemExit(reason)

        return once

    try:
        yield check_of
    finally:
        await probes.close()


@asynccontextmanager
async def blackbox(port: str) -> AsyncIterator[Callable[[str], Check]]:
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", connector=connector) as session:

        async def once(url: str) -> None:
            module = url.partition(":")[0]
            async with session.get("/probe", params={"target": url, "module": module}) as response:
                told = await response.text()
            if "\nprobe_success 1\n" not in told:
                raise SystemExit(f"the exporter's check was not good:\n{told}")

        yield lambda url: partial(once, url)


async def main() -> None:
    side, argument = sys.argv[1:]
    loop = asyncio.get_running_loop()
    async with {"holdfast": holdfast, "blackbox": blackbox}[side](argument) as check_of:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            wanted = json.loads(line)
            made = await paced(check_of(wanted["url"]), wanted["rate"], wanted["seconds"])
            print(json.dumps({"made": made}), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
