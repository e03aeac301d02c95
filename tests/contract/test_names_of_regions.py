"""The name that users know, in memory and at a real name server that takes signed updates."""

import asyncio
import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from holdfast.adapters.dns.names import DnsNames, TsigKey
from holdfast.adapters.memory.region import MemoryNames
from holdfast.adapters.memory.two_regions import World
from holdfast.kernel.clock import SystemClock
from holdfast.recovery.errors import ComesLate, StepFailed
from holdfast.recovery.ports import Fence
from holdfast.recovery.region_ports import Names

CLOCK = SystemClock()
SECRET = base64.b64encode(b"k" * 32).decode()
ANSWERS = {"a": ["127.0.1.1"], "b": ["127.0.2.1", "127.0.2.2"]}


class NameServer:
    """The lab's, as a process."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            self.port = int(held.getsockname()[1])
        settings = {
            "listen": ["127.0.0.1", self.port],
            "file": str(folder / "zone.json"),
            "zone": "lab.test.",
            "key": "holdfast.",
            "secret": SECRET,
            "begin": {"print.lab.test.": "127.0.1.1"},
        }
        file = folder / "settings.json"
        file.write_text(json.dumps(settings), encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "holdfast.lab.regions.nameserver", str(file)], env=dict(os.environ)
        )

    def names(self, secret: str = SECRET) -> DnsNames:
        return DnsNames(
            ("127.0.0.1", self.port),
            "lab.test.",
            "print.lab.test.",
            ANSWERS,
            TsigKey("holdfast.", secret),
            ttl_s=1,
        )

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(60)


@pytest.fixture
def name_server(tmp_path: Path) -> Iterator[NameServer]:
    running = NameServer(tmp_path)
    yield running
    running.end()


async def answered(names: Names) -> str | None:
    for _ in range(600):
        try:
            return await names.pointing()
        except StepFailed:
            await asyncio.sleep(0.1)
    raise AssertionError("the name server never answered")


@pytest.fixture(params=["memory", "dns"])
async def names(request: pytest.FixtureRequest) -> AsyncIterator[Names]:
    if request.param == "memory":
        yield MemoryNames(World(CLOCK.now, CLOCK.monotonic))
        return
    made = request.getfixturevalue("name_server").names()
    await answered(made)
    yield made


async def test_a_name_has_the_addresses_of_where_it_points(names: Names) -> None:
    assert await names.pointing() == "a"
    await names.point("b", Fence("run", 7, 1))
    assert await names.pointing() == "b"
    await names.point("b", Fence("run", 7, 1))
    assert await names.pointing() == "b"
    await names.point("a", Fence("run", 7, 2))
    assert await names.pointing() == "a"


async def test_a_name_refuses_who_comes_late(names: Names) -> None:
    await names.point("b", Fence("run", 7, 5))
    for late in (Fence("run", 7, 4), Fence("older", 6, 99)):
        with pytest.raises(ComesLate):
            await names.point("a", late)
    assert await names.pointing() == "b"


async def test_of_many_that_change_a_name_at_once_the_newest_stays(name_server: NameServer) -> None:
    await answered(name_server.names())

    async def point(turn: int) -> None:
        try:
            await name_server.names().point("b" if turn == 8 else "a", Fence("run", 1, turn))
        except (ComesLate, StepFailed):
            assert turn != 8

    await asyncio.gather(*(point(turn) for turn in range(1, 9)))
    assert await name_server.names().pointing() == "b"


async def test_a_wrong_key_changes_nothing(name_server: NameServer) -> None:
    await answered(name_server.names())
    wrong = name_server.names(base64.b64encode(b"x" * 32).decode())
    with pytest.raises(StepFailed):
        await wrong.point("b", Fence("run", 1, 1))
    assert await name_server.names().pointing() == "a"


async def test_a_name_server_that_is_gone_says_so(name_server: NameServer) -> None:
    await answered(name_server.names())
    name_server.process.kill()
    name_server.process.wait(60)
    with pytest.raises(StepFailed, match="does not answer"):
        await name_server.names().pointing()


def test_a_key_that_is_no_base64_is_told() -> None:
    with pytest.raises(StepFailed, match="no base64"):
        DnsNames(("127.0.0.1", 53), "lab.test.", "print.lab.test.", ANSWERS, TsigKey("k.", "!!"))
