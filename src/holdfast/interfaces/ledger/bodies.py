"""Bodies of requests within bounds: of size, of time, and of all that are here at once."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request

from holdfast.interfaces.ledger.problems import AGAIN_IN_S, Problem

MOST_BYTES = 64 * 1024 * 1024
"""Of one body, as it comes."""
MOST_AT_ONCE = 256 * 1024 * 1024
WITHIN_S = 60.0
SILENT_S = 15.0
"""Between two parts of a body."""


class Room:
    """Memory for the bodies that are here at once: when it is full, the next one has to come again."""

    def __init__(self, most: int = MOST_AT_ONCE) -> None:
        self._most = most
        self.taken = 0

    @contextmanager
    def shared(self) -> Iterator["Share"]:
        """For the length of a request."""
        share = Share(self)
        try:
            yield share
        finally:
            self.taken -= share.bytes

    def take(self, count: int) -> bool:
        if self.taken + count > self._most:
            return False
        self.taken += count
        return True


class Share:
    """What one request has of it."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.bytes = 0

    def grow(self, count: int) -> None:
        """Raises Problem when there is no room."""
        if not self._room.take(count):
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too much waits already; nothing of this was looked at",
                hint="post it again",
                retry_after=str(AGAIN_IN_S),
            )
        self.bytes += count


async def body_of(
    request: Request,
    share: Share,
    *,
    most: int = MOST_BYTES,
    within_s: float = WITHIN_S,
    silent_s: float = SILENT_S,
) -> bytes:
    """The body, as it came. Raises Problem: 413, 408, 400 when it ended early, 503 without room."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise _too_large(most)
    body = bytearray()
    parts = aiter(request.stream())
    try:
        async with asyncio.timeout(within_s):
            while True:
                async with asyncio.timeout(silent_s):
                    part = await anext(parts, None)
                if part is None:
                    return bytes(body)
                share.grow(len(part))
                body += part
                if len(body) > most:
                    raise _too_large(most)
    except TimeoutError as error:
        raise Problem(
            HTTPStatus.REQUEST_TIMEOUT, "the body took too long", hint="post it in parts", connection="close"
        ) from error
    except ClientDisconnect as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "the body ended early") from error


def _too_large(most: int) -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"a request has at most {most // 1024 // 1024} MiB",
        hint="post it in parts, packed with gzip or zstd",
        connection="close",
    )
