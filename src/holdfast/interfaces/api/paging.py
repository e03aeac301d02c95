"""Lists in pages. A cursor says after which one a page begins, and means nothing to anybody else."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Query

from holdfast.interfaces.api.problems import INVALID, Fault, Problem

MOST = 100
T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=MOST, description="how many at most")]
Cursor = Annotated[
    str | None,
    Query(max_length=200, description="`next` of the page before", pattern=r"^[A-Za-z0-9_-]+$"),
]


def page_of(
    everything: Sequence[T], key: Callable[[T], str], cursor: str | None, limit: int
) -> tuple[Sequence[T], str | None]:
    """Of a list whose keys only grow: those after the cursor, and the cursor after them, if more follow."""
    after = None if cursor is None else read(cursor)
    rest = [each for each in everything if after is None or key(each) > after]
    page = rest[:limit]
    return page, written(key(page[-1])) if len(rest) > limit else None


def written(position: str) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).rstrip(b"=").decode()


def read(cursor: str) -> str:
    """The position that `written` wrote. Raises Problem for anything else."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position = json.loads(raw)
    except (binascii.Error, ValueError, RecursionError):
        position = None
    if not isinstance(position, str) or "\x00" in position or not position.isascii():
        raise no_cursor()
    return position


def no_cursor() -> Problem:
    detail = "this is not the `next` of any page"
    return Problem(INVALID, detail, errors=[Fault(where="query/cursor", detail=detail)])
