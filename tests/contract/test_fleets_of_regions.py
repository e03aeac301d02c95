"""Who sees to the replicas of a region, in memory and over HTTP; and a user's write over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from aiohttp import web

from holdfast.adapters.memory.region import MemoryFleet
from holdfast.adapters.memory.two_regions import World
from holdfast.adapters.service.fleet import HttpFleet
from holdfast.adapters.service.looking import HttpLook
from holdfast.adapters.service.user_write import HttpUserWrite, Request
from holdfast.kernel.clock import SystemClock
from holdfast.recovery.errors import ComesLate, StepFailed
from holdfast.recovery.outage import Seen
from holdfast.recovery.ports import Fence
from holdfast.recovery.region_ports import Fleet, Replicas

CLOCK = SystemClock()


@dataclass
class Service:
    """A supervisor and a service in one: it keeps a fence, and jobs."""

    wanted: int = 2
    fence: tuple[int, int] = (0, 0)
    jobs: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    status: int = 201
    hangs: bool = False
    loses: bool = False
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.headers.get("authorization", ""))
        if self.hangs:
            await asyncio.sleep(60)
        if request.path == "/replicas":
            return await self.replicas(request)
        if request.path == "/health":
            return web.Response(status=200 if self.status == 201 else 503)
        if request.method == "POST":
            if self.status == 201 and not self.loses:
                self.jobs.append((await request.json())["title"])
            return web.json_response({}, status=self.status)
        return web.json_response({"jobs": self.jobs})

    async def replicas(self, request: web.Request) -> web.StreamResponse:
        if request.method == "PUT":
            told = await request.json()
            fence = (told["fence"][0], told["fence"][1])
            if fence < self.fence:
                return web.json_response({"error": "overtaken"}, status=409)
            if told["wanted"] > 100:
                return web.json_response({"error": "too many"}, status=400)
            self.fence, self.wanted = fence, told["wanted"]
        return web.json_response({"wanted": self.wanted, "ready": list(range(self.wanted))})


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    server = web.Server(made.handle)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture(params=["memory", "http"])
def fleet(request: pytest.FixtureRequest) -> Fleet:
    if request.param == "memory":
        return MemoryFleet(World(CLOCK.now, CLOCK.monotonic), "a")
    url = request.getfixturevalue("service").url
    return HttpFleet(f"{url}/replicas", login="holdfast", password="secret")


async def test_a_region_has_as_many_replicas_as_it_was_told(fleet: Fleet) -> None:
    assert await fleet.replicas() == Replicas(2, 2)
    await fleet.scale(4, Fence("run", 7, 1))
    assert await fleet.replicas() == Replicas(4, 4)
    await fleet.scale(4, Fence("run", 7, 1))
    await fleet.scale(3, Fence("run", 7, 2))
    assert await fleet.replicas() == Replicas(3, 3)


async def test_replicas_are_not_scaled_by_who_comes_late(fleet: Fleet) -> None:
    await fleet.scale(4, Fence("run", 7, 5))
    for late in (Fence("run", 7, 4), Fence("older", 6, 99)):
        with pytest.raises(ComesLate):
            await fleet.scale(1, late)
    assert await fleet.replicas() == Replicas(4, 4)


async def test_a_supervisor_that_refuses_or_is_gone_says_so(service: Service) -> None:
    fleet = HttpFleet(f"{service.url}/replicas")
    with pytest.raises(StepFailed, match="too many"):
        await fleet.scale(101, Fence("run", 1, 1))
    with pytest.raises(StepFailed, match="does not tell of replicas"):
        await HttpFleet(f"{service.url}/jobs").replicas()
    service.hangs = True
    with pytest.raises(StepFailed, match="does not answer"):
        await HttpFleet(f"{service.url}/replicas", within_s=0.5).replicas()
    with pytest.raises(StepFailed, match="does not answer"):
        await HttpFleet("http://127.0.0.1:1/replicas").replicas()


async def test_the_password_is_sent_as_a_login(service: Service) -> None:
    await HttpFleet(f"{service.url}/replicas", login="ada", password="secret").replicas()
    assert service.asked == ["Basic YWRhOnNlY3JldA=="]


def writing(
    service: Service, found: Callable[[str], Awaitable[str | None]], host: str, within_s: float = 60.0
) -> HttpUserWrite:
    url = service.url.replace("127.0.0.1", host)
    request = Request(
        url=f"{url}/jobs",
        method="POST",
        body=json.dumps({"title": "{id}"}),
        status=201,
        headers={},
        read_url=f"{url}/jobs",
        within=timedelta(seconds=within_s),
    )
    return HttpUserWrite(request, found, CLOCK)


async def here(host: str) -> str | None:
    assert host == "print.lab.test"
    return "127.0.0.1"


async def nobody(host: str) -> str | None:
    raise StepFailed("the name server does not answer")


async def test_a_users_write_is_made_at_the_address_of_the_name_and_read_again(service: Service) -> None:
    write = writing(service, here, "print.lab.test")
    first, second = await write.write(), await write.write()
    assert service.jobs == [first.id, second.id]
    assert first.id != second.id
    assert first.read_again
    assert 0 < first.seconds < 60
    with pytest.raises(StepFailed, match="name server"):
        await writing(service, nobody, "print.lab.test").write()


async def test_a_write_that_is_not_acknowledged_or_not_there_is_none(service: Service) -> None:
    write = writing(service, here, "127.0.0.1")
    service.status = 503
    with pytest.raises(StepFailed, match="answers 503"):
        await write.write()
    service.status, service.loses = 201, True
    with pytest.raises(StepFailed, match="is not read again"):
        await write.write()
    service.hangs = True
    with pytest.raises(StepFailed, match="does not answer"):
        await writing(service, here, "127.0.0.1", within_s=0.5).write()


async def test_an_edge_is_up_when_it_answers_200_in_time(service: Service) -> None:
    regions = {"a": f"{service.url}/health", "b": "http://127.0.0.1:1/health"}
    look = HttpLook("local", regions, CLOCK, within_s=60.0)
    assert (await look.look()).regions == {"a": Seen.UP, "b": Seen.DOWN}
    service.status = 503
    assert (await look.look()).regions["a"] is Seen.DOWN
    service.status, service.hangs = 201, True
    assert (await HttpLook("local", regions, CLOCK, within_s=0.5).look()).regions["a"] is Seen.DOWN
