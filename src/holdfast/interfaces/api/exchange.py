"""The HTTP of it: ETags and If-Match, idempotency keys, and where a new thing is found."""

import re
from typing import Annotated

from fastapi import Header, Request, Response

from holdfast.identity.model import Actor
from holdfast.interfaces.api.problems import PRECONDITION_FAILED, ROOT, Kind, Problem, described
from holdfast.kernel.ids import id_from

_TAG = re.compile(r'^(?:W/)?"([0-9]{1,9})"$')

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=8,
        max_length=200,
        pattern=r"^[!-~]+$",
        description="made by whoever calls, a new one for each new request: the same request sent twice "
        "with one key is carried out once, for good",
        examples=["0b1f9c2e-6a57-4a3e-9d7e-0d3f5c1e8a42"],
    ),
]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=40,
        pattern=r'^(\*|(W/)?"[0-9]{1,9}")$',
        description="the ETag that was read: the change is refused with 412 when it is another now",
        examples=['"3"'],
    ),
]
TAGGED = {"headers": {"ETag": {"description": "its version", "schema": {"type": "string"}}}}


def told(*kinds: Kind, status: int = 200) -> dict[int | str, dict[str, object]]:
    """Responses of an operation that answers with one thing and its ETag."""
    return {status: dict(TAGGED), **described(*kinds)}


def found(*kinds: Kind) -> dict[int | str, dict[str, object]]:
    """The same of an operation that reads it, and may be asked for what is newer only."""
    return {304: {"description": "It is as it was when it was read"}, **told(*kinds)}


def tag(response: Response, version: int) -> None:
    response.headers["etag"] = f'"{version}"'


def created(response: Response, path: str, version: int) -> None:
    """Where the new thing is found, and its ETag."""
    response.headers["location"] = f"{ROOT}/{path}"
    tag(response, version)


def known_already(request: Request, version: int) -> bool:
    """Whether the caller has this version: it is answered with 304 then."""
    found = request.headers.get("if-none-match", "")
    return any(f'"{version}"' == each.strip().removeprefix("W/") for each in found[:400].split(","))


def not_modified(version: int) -> Response:
    return Response(status_code=304, headers={"etag": f'"{version}"'})


def expected_version(if_match: str | None) -> int | None:
    """The version that the caller read; None when any will do. Raises Problem."""
    if if_match is None or if_match == "*":
        return None
    found = _TAG.match(if_match)
    if found is None:
        raise Problem(PRECONDITION_FAILED, "this is no ETag of ours")
    return int(found[1])


def id_for(actor: Actor, kind: str, key: str | None) -> str | None:
    """The id that a new thing gets under an idempotency key; None without one: any fresh id.

    The id follows from who calls and the key, so that the store itself, which has each id once, keeps the
    promise: over restarts, between replicas, and for as long as the thing is kept.
    """
    if key is None:
        return None
    return id_from(kind, actor.name, key)
