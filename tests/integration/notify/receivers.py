"""Services that receive alerts, on loopback: an HTTP endpoint and a mail server, both tiny and both real."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from email import message_from_bytes, policy
from typing import Any

USER, PASSWORD = "postmaster", "hunter-2-secret"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _served(handler: Handler) -> AsyncIterator[int]:
    """The port of a server that answers with `handler`; its connections end with it."""
    connections: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


class Webhook:
    """Takes JSON by POST with a password, and keeps it. `stuck` ones are read and never answered."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.asked = 0
        self.stuck = False
        self.status = 200
        self.port = 0

    def url(self, password: str = PASSWORD) -> str:
        return f"json://{USER}:{password}@127.0.0.1:{self.port}/hooks/path-secret?+X-Token=header-secret"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Webhook"]:
        async with _served(self._answer) as self.port:
            yield self

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        headers = {
            name.lower(): text for name, _, text in (line.partition(": ") for line in head.split("\r\n")[1:])
        }
        body = await reader.readexactly(int(headers["content-length"]))
        self.asked += 1
        if self.stuck:
            await asyncio.Event().wait()
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        status = self.status if headers.get("authorization") == expected else 401
        if status == 200:
            self.received.append(json.loads(body))
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()


class MailServer:
    """Speaks enough SMTP for a login and a message, and keeps the messages."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str]] = []
        self.port = 0

    def url(self, password: str = PASSWORD) -> str:
        return (
            f"mailto://{USER}:{password}@127.0.0.1:{self.port}"
            "?smtp=127.0.0.1&mode=insecure&from=alerts@example.com&to=oncall@example.com&format=text"
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator["MailServer"]:
        async with _served(self._converse) as self.port:
            yield self

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(text: str) -> None:
            writer.write(f"{text}\r\n".encode())

        say("220 sink")
        while line := (await reader.readline()).decode().strip():
            command = line.upper()
            if command.startswith("EHLO"):
                say("250-sink\r\n250 AUTH PLAIN")
            elif command.startswith("AUTH PLAIN"):
                given = base64.b64decode(line.split()[2]).decode().split("\0")[1:]
                say("235 welcome" if given == [USER, PASSWORD] else "535 wrong password")
            elif command == "DATA":
                say("354 go on")
                raw = await reader.readuntil(b"\r\n.\r\n")
                self.received.append(_title_and_text(raw[:-3]))
                say("250 kept")
            elif command == "QUIT":
                say("221 bye")
                await writer.drain()
                return
            else:
                say("250 ok")
            await writer.drain()


def _title_and_text(raw: bytes) -> tuple[str, str]:
    message = message_from_bytes(raw, policy=policy.default)
    body = message.get_body(("plain",))
    return str(message["subject"]), "" if body is None else body.get_content()
