"""Request bodies within bounds: of size, also once they are unpacked, and of time."""

import asyncio
import zlib
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request

from holdfast.interfaces.agents.problems import Problem

WITHIN_S = 30.0


async def body_of(request: Request, most: int) -> bytes:
    """The body, unpacked when it is gzip: never more than `most` bytes of either form. Raises Problem."""
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "gzip"):
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "only gzip is unpacked here", accept_encoding="gzip")
    try:
        async with asyncio.timeout(WITHIN_S):
            body = await _received(request, most)
    except TimeoutError as error:
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, "the body took too long") from error
    except ClientDisconnect as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "the body ended early") from error
    return _unpacked(body, most) if coding == "gzip" else body


async def _received(request: Request, most: int) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise _too_large(most)
    return bytes(body)


def _unpacked(body: bytes, most: int) -> bytes:
    unpacking = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacking.decompress(body, most + 1)
    except zlib.error as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "the body is not gzip") from error
    if len(unpacked) > most:
        raise _too_large(most)
    if not unpacking.eof or unpacking.unused_data:
        raise Problem(HTTPStatus.BAD_REQUEST, "the body is not one whole gzip file")
    return unpacked


def _too_large(most: int) -> Problem:
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body may hold {most // 1024 // 1024} MiB")
