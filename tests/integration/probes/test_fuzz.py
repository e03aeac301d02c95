"""Whatever a target sends: no crash, no hang, no task, no socket and no memory left behind.

In `make test` some hundred exchanges for each protocol, in `make fuzz` ten thousand, on either event loop.
ICMP has no conversation to fuzz: its parser is tested for itself.
"""

import asyncio
import contextlib
import ctypes
import gc
import os
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fuzzing import PROTOCOLS, Protocol, Vandal, VandalOfDatagrams
from probe_targets import Authority, open_descriptors, serving, settled

from holdfast.adapters.probes import Probes
from holdfast.availability.judging import compile_check, judge

EXCHANGES = int(os.environ.get("HOLDFAST_FUZZ_EXCHANGES", "100"))
AT_ONCE = 40
PAGE = os.sysconf("SC_PAGE_SIZE")
MOST_GROWTH = 8 << 20


@contextlib.asynccontextmanager
async def vandals(
    protocol: Protocol, chance: random.Random, authority: Authority
) -> AsyncIterator[list[int]]:
    """Ports: one in plain text, and one behind TLS that is right but for its signer."""
    if protocol.datagrams:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: VandalOfDatagrams(protocol, chance), local_addr=("127.0.0.1", 0)
        )
        yield [transport.get_extra_info("sockname")[1]]
        transport.close()
        return
    vandal = Vandal(protocol, chance)
    async with serving(vandal) as plain, serving(vandal, tls=authority.server("localhost")) as secure:
        yield [plain, plain, plain, secure]


def resident() -> int:
    """What is really in use: without garbage, and without what the allocator keeps for later."""
    gc.collect()
    with contextlib.suppress(AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", PROTOCOLS)
async def test_fuzzed_exchanges(probes: Probes, authority: Authority, name: str) -> None:
    protocol, chance = PROTOCOLS[name], random.Random(f"{name} {EXCHANGES}")
    errors: set[str | None] = set()

    async def exchange(ports: list[int]) -> None:
        check = protocol.check(chance, chance.choice(ports))
        async with asyncio.timeout(120):
            observation = await probes.attempt(check)
        judge(compile_check(check), observation)
        assert observation.error is None or observation.error.isprintable()
        assert not (observation.error or "").startswith("a bug")
        assert protocol.instrument or not observation.ours, observation.error
        errors.add(observation.error)
        # An answer of a registry is kept for hours: the next exchange is to ask again.
        probes._domain._kept.clear()

    async def exchanges(count: int) -> None:
        remaining = iter(range(count))

        async def one_after_another() -> None:
            for _ in remaining:
                await exchange(ports)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(one_after_another())

    async with vandals(protocol, chance, authority) as ports:
        await exchanges(min(EXCHANGES, 500))
        await settled(lambda: len(asyncio.all_tasks()) <= 1)
        descriptors, memory, tasks = open_descriptors(), resident(), len(asyncio.all_tasks())
        began = time.monotonic()
        await exchanges(EXCHANGES)
        took = time.monotonic() - began
        await settled(lambda: open_descriptors() <= descriptors and len(asyncio.all_tasks()) <= tasks)
        print(  # noqa: T201
            f"\n{name}: {EXCHANGES} exchanges in {took:.1f} s, {len(errors)} outcomes,"
            f" resident {memory >> 10} -> {resident() >> 10} KiB,"
            f" descriptors {descriptors} -> {open_descriptors()}, tasks {tasks} -> {len(asyncio.all_tasks())}"
        )
        assert open_descriptors() <= descriptors
        assert len(asyncio.all_tasks()) <= tasks
        assert resident() - memory < MOST_GROWTH
    assert len(errors) >= 3


@pytest.mark.parametrize("name", PROTOCOLS)
async def test_cancelled_at_any_moment_nothing_stays_open(
    probes: Probes, authority: Authority, name: str
) -> None:
    protocol, chance = PROTOCOLS[name], random.Random(name)
    async with vandals(protocol, chance, authority) as ports:
        await probes.attempt(protocol.check(chance, ports[0]))
        for _ in range(15):
            checks = [protocol.check(chance, chance.choice(ports)) for _ in range(6)]
            tasks = [asyncio.create_task(probes.attempt(check)) for check in checks]
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            await asyncio.sleep(chance.choice([0, 0.001, 0.005, 0.02]))
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                assert not isinstance(ended, BaseException) or isinstance(ended, asyncio.CancelledError)
