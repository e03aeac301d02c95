"""WebSocket checks against the server of `websockets`, and against servers that break the protocol."""

import asyncio
import base64
import contextlib
import hashlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from probe_targets import Authority, Conversation, read_request, serving
from websockets.asyncio.server import ServerConnection, serve

from holdfast.adapters.probes import Probes
from holdfast.availability.judging import compile_check, judge
from holdfast.availability.model import Outcome
from holdfast.estate.checks import WebsocketCheck


@contextlib.asynccontextmanager
async def websockets(
    conversation: Callable[[ServerConnection], Awaitable[None]],
    *,
    tls: ssl.SSLContext | None = None,
    subprotocols: list[Any] | None = None,
) -> AsyncIterator[int]:
    server = await serve(conversation, "127.0.0.1", 0, ssl=tls, subprotocols=subprotocols, close_timeout=0.1)
    try:
        yield next(iter(server.sockets)).getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.05)


def websocket(port: int, *conditions: str, scheme: str = "ws", **fields: Any) -> WebsocketCheck:
    url = f"{scheme}://localhost:{port}/live?a=1"
    return WebsocketCheck.model_validate(
        {"type": "websocket", "url": url, "conditions": conditions, **fields}
    )


async def quiet(connection: ServerConnection) -> None:
    await connection.wait_closed()


async def echo(connection: ServerConnection) -> None:
    async for received in connection:
        await connection.send(received.upper() if isinstance(received, str) else received)


async def test_a_handshake_is_enough_when_nothing_is_asked(probes: Probes) -> None:
    async with websockets(quiet) as port:
        observation = await probes.attempt(websocket(port))
    assert (observation.error, observation.facts) == (None, {})
    assert observation.timings.first_byte_us is not None


async def test_a_message_for_a_message(probes: Probes, authority: Authority) -> None:
    offered = ["v2.print", "v1.print"]
    async with websockets(echo, tls=authority.server("localhost"), subprotocols=offered) as port:
        check = websocket(
            port,
            'message == "PING"',
            'subprotocol == "v2.print"',
            'tls_version == "TLSv1.3"',
            scheme="wss",
            send="ping",
            subprotocol="v2.print",
            ca_file=str(authority.ca_file),
        )
        assert judge(compile_check(check), await probes.attempt(check)) == (Outcome.GOOD, "")


async def test_headers_with_secrets_are_sent(probes: Probes) -> None:
    heard: list[str] = []

    async def listening(connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        heard.extend((request.path, request.headers["Authorization"]))

    async with websockets(listening) as port:
        observation = await probes.attempt(websocket(port, headers={"Authorization": "env:TOKEN"}))
        broken = await probes.attempt(websocket(port, headers={"Authorization": "env:BROKEN"}))
    assert observation.error is None
    assert heard == ["/live?a=1", "s3cret-token"]
    assert (broken.error, broken.ours) == ("the check has a header with control characters", True)


async def test_fragments_pings_and_bytes_make_one_message(probes: Probes) -> None:
    async def parts(connection: ServerConnection) -> None:
        await connection.ping()
        await connection.send([b"one ", b"two ", b"three"])
        await connection.wait_closed()

    async with websockets(parts) as port:
        observation = await probes.attempt(websocket(port, 'message ends_with "three"'))
    assert observation.facts == {"message": b"one two three"}


async def test_no_message(probes: Probes) -> None:
    async with websockets(quiet) as port:
        check = websocket(port, 'message == "x"', timeouts={"first_byte": "200ms"})
        assert (await probes.attempt(check)).error == "answer timed out after 200ms"

    async def leaving(connection: ServerConnection) -> None:
        await connection.close(1013, "try again later")

    async with websockets(leaving) as port:
        error = (await probes.attempt(websocket(port, 'message == "x"'))).error
    assert error == "closed with code 1013 before a message came"


async def test_a_long_message_is_cut(probes: Probes) -> None:
    async def long(connection: ServerConnection) -> None:
        await connection.send("x" * 200_000)

    async with websockets(long) as port:
        observation = await probes.attempt(websocket(port, 'message starts_with "x"'))
    assert observation.facts == {"message": b"x" * 65_536}


def answering(answer: Callable[[bytes], bytes]) -> Conversation:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(await read_request(reader)))
        await writer.drain()
        await asyncio.sleep(0.05)

    return conversation


def accepted(request: bytes, frames: bytes = b"") -> bytes:
    match = re.search(rb"sec-websocket-key: (\S+)", request, re.IGNORECASE)
    assert match is not None
    digest = hashlib.sha1(match[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return head + b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n" + frames


BROKEN = "not WebSocket: the server broke the protocol"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (
            lambda _: b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
            "the handshake was answered with 403, expected 101",
        ),
        (
            lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "the handshake was answered with 200, expected 101",
        ),
        (lambda _: b"hello\r\n\r\n", BROKEN),
        (lambda request: accepted(request).replace(b"Accept: ", b"Accept: x"), BROKEN),
        (lambda request: accepted(request, b"\x81\x80\0\0\0\0"), BROKEN),  # a server masks nothing
        (lambda request: accepted(request, b"\x83\x00"), BROKEN),
        (lambda request: accepted(request, b"\x81\x02\xff\xff"), BROKEN),  # not UTF-8
        (lambda request: accepted(request, b"\x80\x01x"), BROKEN),  # the rest of nothing
        (lambda request: accepted(request, b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff"), BROKEN),
        (lambda request: accepted(request).replace(b"Connection: Up", b"Connection: \xff"), BROKEN),
        (
            lambda request: accepted(request, b"\x88\x02\x03\xe8"),
            "closed with code 1000 before a message came",
        ),
        (accepted, "connection closed by the server"),
    ],
)
async def test_what_is_no_websocket(probes: Probes, answer: Callable[[bytes], bytes], error: str) -> None:
    async with serving(answering(answer)) as port:
        observation = await probes.attempt(websocket(port, 'message == "x"', send="hello"))
    assert observation.error == error


async def test_endless_fragments_are_bounded(probes: Probes) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(accepted(await read_request(reader)))
        while True:
            writer.write(b"\x89\x7d" + b"x" * 125)  # pings, which are no message
            await writer.drain()

    async with serving(endless) as port:
        observation = await probes.attempt(websocket(port, 'message == "x"'))
    assert observation.error in ("the server sends too many frames", "the answer is too long")
