"""The agents' address as it is served, over stores in memory, and a visitor that may send anything."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import uvicorn

from holdfast.adapters.memory.agents import MemoryAgents, MemoryBeats
from holdfast.adapters.memory.availability import MemoryAvailability
from holdfast.availability.exchange import encode_checks, encode_result
from holdfast.availability.ingest import Ingest
from holdfast.availability.model import Outcome, Result, Timings
from holdfast.availability.vantage import sha256_of
from holdfast.availability.verdicts import Rules
from holdfast.estate.checks import Check, HttpCheck
from holdfast.estate.values import SecretRef
from holdfast.interfaces.agents.app import Offer, create_agents_api
from holdfast.kernel.clock import SystemClock
from holdfast.kernel.errors import HoldfastError

TOKYO, OSLO, GONE, FORMER = "hfa_" + "t" * 43, "hfa_" + "o" * 43, "hfa_" + "g" * 43, "hfa_" + "f" * 43
BEAT = "beat-beat-beat-beat"
TOKYOS, OSLOS = 11, 12
LOCALS = 10
RULES = dict.fromkeys((TOKYOS, OSLOS), Rules(2, 2, timedelta(seconds=10), timedelta(seconds=10)))
CHECK: Check = HttpCheck(
    url="http://target.example/",
    headers={"Authorization": SecretRef(source="env", name="CHECK_TOKEN")},
    every=timedelta(seconds=10),
)


def result(ago_s: float = 0, probe: int = TOKYOS, outcome: Outcome = Outcome.GOOD) -> Result:
    return Result(probe, datetime.now(UTC) - timedelta(seconds=ago_s), outcome, Timings(100))


def delivery(*results: Result, **more: Any) -> bytes:
    return json.dumps({"results": [json.loads(encode_result(each)) for each in results], **more}).encode()


@dataclass(frozen=True)
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Api:
    """What is behind the address, and a way to call it."""

    def __init__(self) -> None:
        clock = SystemClock()
        self.trouble: list[HoldfastError] = []
        self.shared = MemoryAvailability(dict.fromkeys((LOCALS, TOKYOS, OSLOS), 1), clock)
        self.agents = MemoryAgents(self.shared, clock, {TOKYOS: "tokyo", OSLOS: "oslo"})
        self.beats = MemoryBeats(clock)
        self.offers = {
            key: Offer(encode_checks(key, key.title(), [(probe, "eu/web", "page", CHECK)]), f'"{key}"')
            for key, probe in (("tokyo", TOKYOS), ("oslo", OSLOS))
        }
        ingest = Ingest(self.agents, clock, lambda: RULES)
        self.app = create_agents_api(
            self.agents,
            ingest,
            self.beats,
            offer_of=self.offers.get,
            clock=clock,
            on_trouble=self.trouble.append,
        )
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def enrol(self) -> None:
        for key, token in (("tokyo", TOKYO), ("oslo", OSLO), ("gone", GONE), ("former", FORMER)):
            await self.agents.add(key, sha256_of(token), "test")
        await self.agents.revoke("former", "test")
        await self.beats.listen_for([sha256_of(BEAT)])
        await self.beats.keep_ear_open()

    async def call(
        self, method: str, path: str, body: bytes = b"", *, token: str | None = TOKYO, **headers: str
    ) -> Answered:
        """One request over a connection of its own."""
        lines = [f"{method} {quote(path, safe='/?=&%')} HTTP/1.1", "Host: x", "Connection: close"]
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            found = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            # The server may close before it has read all of a body that it refuses.
            with contextlib.suppress(ConnectionResetError):
                return Answered(int(head[0].split()[1]), found, await reader.read())
            return Answered(int(head[0].split()[1]), found, b"")
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def served() -> AsyncIterator[Api]:
    api = Api()
    await api.enrol()
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(64)
    api.port = listening.getsockname()[1]
    server = _Server(uvicorn.Config(api.app, log_config=None, access_log=False, lifespan="off"))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield api
    finally:
        server.should_exit = True
        await task
        listening.close()
