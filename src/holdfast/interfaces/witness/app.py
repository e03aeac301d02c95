"""The witness's address. Source: C2SP tlog-witness.

    POST /add-checkpoint    a log asks to have its newest checkpoint cosigned
    GET  /health            this process runs

Anybody may ask: what counts is the log's signature on the checkpoint. Answers come one after the other,
because each must be on the disk before it leaves.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.errors import ProofRefused
from holdfast.ledger.log.notes import Signature
from holdfast.ledger.log.witness import MOST_REQUEST_BYTES, SIZE_TYPE, Addition, Refused

BODY_WITHIN_S = 10.0


class Cosigns(Protocol):
    """Decides and keeps. Blocks until it is on the disk."""

    def add(self, addition: Addition) -> Signature | Refused: ...


def create_witness_app(witness: Cosigns, on_trouble: Callable[[Exception], None]) -> Starlette:
    """The application. `on_trouble` hears why the witness could not answer."""
    # One thread: an answer that nobody waits for any more is finished before the next one begins.
    turns = ThreadPoolExecutor(1, "witness")

    async def add_checkpoint(request: Request) -> Response:
        text = await _body(request)
        if text is None:
            return PlainTextResponse(
                "the request is too long, or too slow\n", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            )
        try:
            addition = Addition.parsed(text)
        except ProofRefused as error:
            return PlainTextResponse(f"{error}\n", HTTPStatus.BAD_REQUEST)
        try:
            answer = await asyncio.get_running_loop().run_in_executor(turns, witness.add, addition)
        except (HoldfastError, OSError) as error:
            on_trouble(error)
            return PlainTextResponse("the witness cannot answer now\n", HTTPStatus.SERVICE_UNAVAILABLE)
        if isinstance(answer, Signature):
            return PlainTextResponse(answer.line)
        if answer.size is not None:
            return Response(f"{answer.size}\n", answer.status, {"content-type": SIZE_TYPE})
        return PlainTextResponse(f"{answer.reason}\n", answer.status)

    return Starlette(
        routes=[
            Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            Route("/health", _health, methods=["GET"]),
        ]
    )


async def _body(request: Request) -> str | None:
    """None for one that is too long, too slow, or not text."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_REQUEST_BYTES:
                    return None
        return body.decode()
    except (TimeoutError, UnicodeDecodeError, ClientDisconnect):
        return None


async def _health(request: Request) -> Response:
    del request
    return PlainTextResponse("ok\n")
