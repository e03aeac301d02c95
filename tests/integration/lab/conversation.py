"""Talking to the sample service over real sockets, the way its users do."""

import asyncio
import http.client
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


async def ask(
    port: int,
    path: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    timeout_s: float = PATIENCE_S,
) -> Answer:
    """One request on a connection of its own; raises OSError as the socket does."""

    def exchange() -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    return await asyncio.to_thread(exchange)


async def say(port: int, *lines: bytes, answers: int) -> list[str]:
    """The greeting and the answers to `lines` of a message endpoint."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for line in lines:
                writer.write(line + b"\n")
            await writer.drain()
            return [(await reader.readline()).decode().rstrip("\n") for _ in range(answers + 1)]
        finally:
            writer.close()
            await writer.wait_closed()


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it holds; fail after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not await holds():
        assert time.monotonic() < deadline, "it never came to that"
        await asyncio.sleep(0.1)
