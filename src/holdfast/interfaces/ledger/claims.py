"""What a source says beside its records: how far it has counted, and what its devices' own counters say.

    POST /v1/claims   {"claims": [{"epoch": 1, "highest": 1204, "lowest": 1}]}
    POST /v1/meters   {"readings": [{"device": "p-17", "read_at": "2026-11-23T06:00:00Z",
                                     "counters": {"sheets": 48211, "mono_impressions": 70110}}]}

Both may be sent as often as wanted. The answer to claims tells the source which of its numbers have not come,
so that it can post them again.
"""

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from holdfast.interfaces.ledger.bodies import Room, body_of
from holdfast.interfaces.ledger.problems import NEVER_KEPT, Problem
from holdfast.interfaces.ledger.services import Services
from holdfast.kernel.clock import Clock
from holdfast.ledger.completeness.judging import ClaimMade, Completeness, missing_of
from holdfast.ledger.completeness.meters import Counter, Reading, Taken
from holdfast.ledger.model import MOST, Moment, Number, Word

LARGEST_BODY = 1024 * 1024
MOST_AT_ONCE = 32 * LARGEST_BODY
MOST_CLAIMS = 1000
MOST_READINGS = 1000
MOST_MISSING = 1000
"""So many stretches of missing numbers are told, the oldest first."""
AHEAD = timedelta(minutes=10)
"""A reading may be dated so far ahead of this clock."""


class ClaimPosted(Struct, frozen=True, forbid_unknown_fields=True):
    epoch: Number
    highest: Number
    lowest: Number | None = None


class ClaimsPosted(Struct, frozen=True, forbid_unknown_fields=True):
    claims: Annotated[tuple[ClaimPosted, ...], Meta(min_length=1, max_length=MOST_CLAIMS)]


class ReadingPosted(Struct, frozen=True, forbid_unknown_fields=True):
    device: Word
    read_at: Moment
    counters: Annotated[dict[Counter, Annotated[int, Meta(ge=0, le=MOST)]], Meta(min_length=1)]


class ReadingsPosted(Struct, frozen=True, forbid_unknown_fields=True):
    readings: Annotated[tuple[ReadingPosted, ...], Meta(min_length=1, max_length=MOST_READINGS)]


_CLAIMS = msgspec.json.Decoder(ClaimsPosted)
_READINGS = msgspec.json.Decoder(ReadingsPosted)


def routes(services: Services) -> list[BaseRoute]:
    """None of them where completeness is not kept."""
    if services.completeness is None:
        return []
    told = _Told(services, services.completeness)
    return [
        Route("/v1/claims", told.claims, methods=["POST"]),
        Route("/v1/meters", told.meters, methods=["POST"]),
    ]


class _Told:
    def __init__(self, services: Services, store: Completeness) -> None:
        self._callers = services.callers
        self._clock = services.clock
        self._room = Room(MOST_AT_ONCE)
        self._store = store

    async def claims(self, request: Request) -> Response:
        sender = await self._callers.sender(request)
        posted = _decoded(_CLAIMS, await self._body(request))
        for at, each in enumerate(posted.claims):
            if each.lowest is not None and each.lowest > each.highest:
                raise _unreadable(f"claim {at + 1}: lowest is above highest")
        made = [ClaimMade(each.epoch, each.highest, each.lowest) for each in posted.claims]
        await self._store.claim(sender.tenant, sender.source, made)
        absent = await missing_of(self._store, sender.tenant, source=sender.source)
        return _answer(
            {
                "missing": [
                    {"epoch": each.epoch, "first": each.first, "last": each.last, "since": each.since}
                    for each in absent[:MOST_MISSING]
                ],
                "missing_numbers": sum(each.count for each in absent),
            }
        )

    async def meters(self, request: Request) -> Response:
        sender = await self._callers.sender(request)
        posted = _decoded(_READINGS, await self._body(request))
        readings = [
            Reading(each.device, counter, _not_ahead(each.read_at, at, self._clock), value)
            for at, each in enumerate(posted.readings)
            for counter, value in each.counters.items()
        ]
        outcomes = await self._store.read_meters(sender.tenant, sender.source, readings)
        return _answer(
            {
                "taken": outcomes.count(Taken.TAKEN),
                "repeated": outcomes.count(Taken.REPEATED),
                "conflicts": [
                    {"device": each.device, "counter": each.counter, "read_at": each.read_at}
                    for each, outcome in zip(readings, outcomes, strict=True)
                    if outcome is Taken.CONFLICT
                ],
            }
        )

    async def _body(self, request: Request) -> bytes:
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "it is small: send it without a coding")
        with self._room.shared() as share:
            return await body_of(request, share, most=LARGEST_BODY)


def _not_ahead(read_at: datetime, at: int, clock: Clock) -> datetime:
    if read_at - clock.now() > AHEAD:
        raise _unreadable(f"reading {at + 1}: read_at lies ahead", "its clock is off: set it, and read again")
    return read_at


def _answer(content: dict[str, Any]) -> JSONResponse:
    return JSONResponse(msgspec.to_builtins(content), headers=NEVER_KEPT)


def _decoded(decoder: "msgspec.json.Decoder[Any]", body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(f"the body cannot be read: {error}") from error


def _unreadable(detail: str, hint: str = "") -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, hint=hint)
