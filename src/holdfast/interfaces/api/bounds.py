"""What no request gets past: bounds of size, depth and time, before anything is parsed.

The whole body is read here, so that what comes after knows it to be small, complete and JSON.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from holdfast.interfaces.api.problems import (
    BAD_REQUEST,
    TOO_LARGE,
    TOO_LONG,
    TOO_SLOW,
    UNSUPPORTED,
    Problem,
    answer,
)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST_BODY = 64 * 1024
WITHIN_S = 15.0
DEEPEST = 16
MOST_PATH = 512
MOST_QUERY = 2048

_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
_API_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)


class Bounds:
    """An ASGI application around another."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _with_ours(message.get("headers", ()))
            await send(message)

        try:
            body = await _body(scope, receive)
        except Problem as problem:
            await answer(problem)(scope, receive, guarded)
            return
        except _Gone:
            return
        told = False

        async def replay() -> Message:
            nonlocal told
            if told:
                return await receive()
            told = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, guarded)


class _Gone(Exception):  # noqa: N818
    """Whoever called has left: nobody is there to be answered."""


def _with_ours(headers: Any) -> list[tuple[bytes, bytes]]:
    kept = list(headers)
    names = {name.lower() for name, _ in kept}
    kept += [each for each in _HEADERS if each[0] not in names]
    if b"content-security-policy" not in names:
        kept.append(_API_POLICY)
    if b"cache-control" not in names:
        # Answers are for who holds the token: no cache on the way keeps them.
        kept.append((b"cache-control", b"private, no-cache"))
    return kept


async def _body(scope: Scope, receive: Receive) -> bytes:
    """The body of a request that may pass. Raises Problem."""
    if len(scope["path"]) > MOST_PATH or len(scope["query_string"]) > MOST_QUERY:
        raise Problem(TOO_LONG)
    try:
        async with asyncio.timeout(WITHIN_S):
            body = await _received(scope, receive)
    except TimeoutError as error:
        raise Problem(TOO_SLOW) from error
    if body:
        _must_be_json(scope, body)
    return body


async def _received(scope: Scope, receive: Receive) -> bytes:
    announced = _header(scope, b"content-length")[:20]
    if announced.isdigit() and int(announced) > LARGEST_BODY:
        raise _too_large()
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY:
            raise _too_large()
        if not message.get("more_body"):
            return bytes(body)


def _too_large() -> Problem:
    return Problem(TOO_LARGE, f"a body may hold {LARGEST_BODY // 1024} KiB", headers={"connection": "close"})


def _must_be_json(scope: Scope, body: bytes) -> None:
    if _header(scope, b"content-encoding").lower() not in {b"", b"identity"}:
        raise Problem(UNSUPPORTED, "a body that is packed is not read", hint="send it as it is")
    if scope["method"] in {"POST", "PATCH", "PUT"}:
        media_type = _header(scope, b"content-type").partition(b";")[0].strip().lower()
        if media_type != b"application/json":
            raise Problem(UNSUPPORTED)
    if _deeper_than(body, DEEPEST):
        raise Problem(BAD_REQUEST, f"nothing is nested more than {DEEPEST} deep here")


def _deeper_than(body: bytes, most: int) -> bool:
    """Whether brackets outside of texts go deeper. What is no JSON at all is found out by the parser."""
    depth = 0
    for each in _QUOTED.sub(b"", body):
        if each in b"[{":
            depth += 1
            if depth > most:
                return True
        elif each in b"]}":
            depth -= 1
    return False


def _header(scope: Scope, wanted: bytes) -> bytes:
    return next((bytes(value) for name, value in scope["headers"] if name.lower() == wanted), b"")
