"""A print job, and what a client must say to submit one. No I/O here."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

MAX_INPUT_BYTES = 64 * 1024
MAX_PAGES = 10_000


class InvalidJobError(ValueError):
    """The request is not a job; `str(error)` says what to send instead."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job as submitted. The id is chosen before the first write, so that a repeated write stays one job."""

    id: uuid.UUID
    owner: str
    title: str
    pages: int


@dataclass(frozen=True, slots=True)
class Job:
    """A job as stored. Times are aware, in UTC; `printed_at` is None while it waits."""

    id: uuid.UUID
    owner: str
    title: str
    pages: int
    via: str
    status: str
    submitted_at: datetime
    printed_at: datetime | None

    def as_json(self) -> dict[str, object]:
        """The job as clients of the API see it."""
        return {
            "id": str(self.id),
            "owner": self.owner,
            "title": self.title,
            "pages": self.pages,
            "via": self.via,
            "status": self.status,
            "submitted_at": self.submitted_at.isoformat(),
            "printed_at": self.printed_at.isoformat() if self.printed_at else None,
        }


def decoded(text: bytes) -> object:
    """The JSON value in `text`; raises InvalidJobError when there is none."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidJobError("the request is not JSON") from error
    return value


def parse_job(request: object) -> NewJob:
    """The job that a decoded request describes; raises InvalidJobError naming the first wrong field."""
    if not isinstance(request, Mapping):
        raise InvalidJobError('send a JSON object such as {"owner": "ada", "title": "Invoice", "pages": 2}')
    unknown = sorted(str(key) for key in request if key not in {"owner", "title", "pages"})
    if unknown:
        raise InvalidJobError(f"unknown field {unknown[0][:50]!r}; a job has owner, title and pages")
    return NewJob(
        id=uuid.uuid4(),
        owner=_text(request, "owner", 100),
        title=_text(request, "title", 200),
        pages=_pages(request.get("pages", 1)),
    )


def _text(request: Mapping[object, object], field: str, limit: int) -> str:
    text = request.get(field)
    if not isinstance(text, str) or not text.strip():
        raise InvalidJobError(f"{field} is missing: a text of 1 to {limit} characters")
    text = text.strip()
    if len(text) > limit:
        raise InvalidJobError(f"{field} has {len(text)} characters; {limit} is the most")
    if not text.isprintable():  # also keeps out NUL and lone surrogates, which PostgreSQL cannot store
        raise InvalidJobError(f"{field} contains a character that cannot be printed")
    return text


def _pages(pages: object) -> int:
    if not isinstance(pages, int) or isinstance(pages, bool) or not 1 <= pages <= MAX_PAGES:
        raise InvalidJobError(f"pages is a whole number from 1 to {MAX_PAGES}")
    return pages
