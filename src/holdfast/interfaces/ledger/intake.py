"""POST /v1/records: what a source posts is taken in, and the answer tells what became of each record.

    POST /v1/records
    Authorization: Bearer hfl_...
    Content-Type: application/x-ndjson        a record a line; application/json: an array of them
    Content-Encoding: zstd                    or gzip, or none

    {"taken": [{"first": 1, "last": 998, "leaf": 7000}], "repeated": [], "conflicts": [],
     "refused": [{"line": 999, "reason": "..."}], "reach": "two regions", "size": 7998, "checkpoint": null}

Lines (items of the array, from 1) [first, last] are the leaves from `leaf` on. It is 200 once everything that
is not in `refused` is durable; 422 with the same body when all of it was refused. What gets any other answer,
or none, is posted again: what was taken in then is told as repeated.
"""

from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from holdfast.interfaces.ledger.bodies import Room, body_of
from holdfast.interfaces.ledger.problems import NEVER_KEPT, Problem
from holdfast.interfaces.ledger.services import Services
from holdfast.ledger.intake.reading import Form
from holdfast.ledger.intake.taking import Posted
from holdfast.ledger.model import Acknowledged, Reach, Stretch

_FORMS = {
    "application/json": Form.JSON,
    "application/x-ndjson": Form.NDJSON,
    "application/ndjson": Form.NDJSON,
    "application/jsonl": Form.NDJSON,
}
_CODINGS = ("identity", "gzip", "zstd")


def routes(services: Services) -> list[BaseRoute]:
    return [Route("/v1/records", _Records(services).answer, methods=["POST"])]


class _Records:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._room = Room()
        services.figures.gauges["holdfast_ledger_waiting_bytes"] = (
            "Of bodies that are not answered yet.",
            lambda: self._room.taken,
        )

    async def answer(self, request: Request) -> Response:
        clock, figures = self._services.clock, self._services.figures
        began, status = clock.monotonic(), HTTPStatus.SERVICE_UNAVAILABLE
        try:
            response = await self._answer(request)
            status = HTTPStatus(response.status_code)
        except Problem as problem:
            status = problem.status
            raise
        finally:
            figures.answered(status.value, clock.monotonic() - began)
        return response

    async def _answer(self, request: Request) -> Response:
        sender = await self._services.callers.sender(request)
        form, coding = _form(request), _coding(request)
        with self._room.shared() as share:
            body = await body_of(request, share)
            self._services.figures.received_bytes += len(body)
            given = await self._services.intake.taken(Posted(body, form, coding), sender)
        self._services.figures.acknowledged(given, given.reach is Reach.TWO_REGIONS)
        nothing = bool(given.refused) and not (given.taken or given.repeated or given.conflicts)
        status = HTTPStatus.UNPROCESSABLE_ENTITY if nothing else HTTPStatus.OK
        return JSONResponse(plain(given), status.value, NEVER_KEPT)


def plain(given: Acknowledged) -> dict[str, Any]:
    """The answer's document."""
    return {
        "taken": _plain(given.taken),
        "repeated": _plain(given.repeated),
        "conflicts": _plain(given.conflicts),
        "refused": [{"line": each.line, "reason": each.reason} for each in given.refused],
        "reach": given.reach.value,
        "size": given.size,
        "checkpoint": given.checkpoint or None,
    }


def _plain(stretches: tuple[Stretch, ...]) -> list[dict[str, int]]:
    return [{"first": each.first, "last": each.last, "leaf": each.leaf} for each in stretches]


def _form(request: Request) -> Form:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    form = _FORMS.get(kind)
    if form is None:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"{kind or 'a body without a type'} is not read here",
            hint="application/x-ndjson, a record a line, or application/json, an array of records",
        )
    return form


def _coding(request: Request) -> str:
    coding = request.headers.get("content-encoding", "identity").strip().lower() or "identity"
    if coding not in _CODINGS:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"{coding!r} is not unpacked here",
            hint="gzip or zstd, once",
            accept_encoding="gzip, zstd",
        )
    return coding
