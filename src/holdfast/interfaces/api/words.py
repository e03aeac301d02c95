"""Values that come with requests, held to what everything behind can bear: times, texts, patterns, ids."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic import WithJsonSchema as Schema

from holdfast.communication.directory import Directory
from holdfast.communication.errors import NotThere
from holdfast.communication.model import LONGEST_BODY, LONGEST_TITLE
from holdfast.interfaces.api.problems import INVALID, Fault, Problem

MOST_COMPONENTS = 500
_MOMENT = re.compile(r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$", re.ASCII)
_UNFIT = re.compile("[\x00\ud800-\udfff]")
_PATTERN = r"^([a-z0-9-]+|\*)/([a-z0-9-]+|\*)$|^[1-9][0-9]{0,8}$"
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


class Asked(BaseModel):
    """What a request says: nothing beside what is described."""

    model_config = ConfigDict(extra="forbid")


def moment_of(text: Any) -> datetime:
    """RFC 3339 with an offset, between 1970 and 2200, in UTC. Raises ValueError."""
    if not isinstance(text, str) or not _MOMENT.match(text):
        raise ValueError("a time is as in RFC 3339, with its offset: 2026-11-02T08:30:00Z")
    # Python reads six decimals and a capital Z.
    whole = re.sub(r"(\.\d{6})\d+", r"\1", text.upper())
    try:
        moment = datetime.fromisoformat(whole).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError("there is no such time") from error
    if not EARLIEST <= moment <= LATEST:
        raise ValueError("a time lies between 1970 and 2200")
    return moment


def _fit(text: str) -> str:
    if _UNFIT.search(text):
        raise ValueError("a text holds neither NUL nor half a surrogate pair")
    return text


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


Moment = Annotated[
    datetime,
    BeforeValidator(moment_of),
    PlainSerializer(_rfc3339, return_type=str),
    Schema({"type": "string", "format": "date-time", "examples": ["2026-11-02T08:30:00Z"]}),
]
"""A time as a request gives it."""

Told = Annotated[
    datetime,
    PlainSerializer(_rfc3339, return_type=str),
    Schema({"type": "string", "format": "date-time", "examples": ["2026-11-02T08:30:00Z"]}),
]
"""A time as an answer gives it: RFC 3339, in UTC."""

Text = Annotated[str, AfterValidator(_fit)]
Title = Annotated[Text, Field(min_length=1, max_length=LONGEST_TITLE, description="one line")]
Markdown = Annotated[
    Text, Field(min_length=1, max_length=LONGEST_BODY, description="Markdown, a safe subset")
]
Pattern = Annotated[
    str,
    Field(
        pattern=_PATTERN,
        max_length=130,
        description="a component as cluster/component, with * for all, or its number",
        examples=["eu/api", "eu/*", "12"],
    ),
]
ToldId = Annotated[
    str, Path(pattern=r"^[a-z0-9]{12}$", description="twelve letters and digits", examples=["k3x9q2m7w1zd"])
]
EstateKey = Annotated[str, Path(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", examples=["eu"])]


def component_ids(patterns: list[str], directory: Directory, where: str) -> list[int]:
    """The components that patterns and numbers name, each once. Raises Problem when one names none."""
    found: dict[int, None] = {}
    for pattern in patterns:
        found |= dict.fromkeys(_named(pattern, directory, where))
    return list(found)


def _named(pattern: str, directory: Directory, where: str) -> list[int]:
    if pattern.isdigit():
        if int(pattern) in directory.places:
            return [int(pattern)]
        raise _unknown(where, f"there is no component {pattern}", "see GET /components")
    try:
        return directory.named([pattern])
    except NotThere as error:
        raise _unknown(where, str(error), error.hint) from error


def _unknown(where: str, detail: str, hint: str) -> Problem:
    return Problem(INVALID, detail, hint=hint, errors=[Fault(where=where, detail=detail)])
