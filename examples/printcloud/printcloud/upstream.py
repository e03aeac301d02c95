"""The website's way to the API: one small HTTP/1.1 request per question, always answered in time."""

import asyncio
import contextlib
import json
from urllib.parse import urlsplit

import h11

MAX_ANSWER_BYTES = 1024 * 1024


class ApiAwayError(Exception):
    """The API did not answer in time, or not with JSON."""


async def ask(
    url: str, *, method: str = "GET", body: object = None, timeout_s: float = 2.0
) -> tuple[int, dict[str, object]]:
    """Status and JSON object that `url` answers with; raises ApiAwayError."""
    try:
        async with asyncio.timeout(timeout_s):
            status, answer = await _exchange(url, method, b"" if body is None else json.dumps(body).encode())
        value = json.loads(answer)
    except (OSError, h11.ProtocolError, ValueError) as error:  # a timeout is an OSError
        raise ApiAwayError(str(error) or "no answer in time") from error
    if not isinstance(value, dict):
        raise ApiAwayError("the answer is no JSON object")
    return status, value


async def _exchange(url: str, method: str, body: bytes) -> tuple[int, bytes]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        http = h11.Connection(h11.CLIENT)
        headers = [
            ("host", parts.netloc),
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("x-printcloud-via", "website"),
            ("connection", "close"),
        ]
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        for event in (
            h11.Request(method=method, target=target, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            writer.write(http.send(event) or b"")
        await writer.drain()
        return await _answer(reader, http)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader, http: h11.Connection) -> tuple[int, bytes]:
    status, answer = 0, b""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(65_536))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            answer += event.data
            if len(answer) > MAX_ANSWER_BYTES:
                raise ValueError(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return status, answer
        elif isinstance(event, h11.ConnectionClosed):
            raise ValueError("the connection ended within the answer")
