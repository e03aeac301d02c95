"""The kinds of values that an estate is made of: keys, durations, zones, secrets by reference."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from holdfast.kernel.durations import format_duration, parse_duration

KEY_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
Key = Annotated[str, Field(pattern=KEY_PATTERN, description="lower-case letters, digits and hyphens")]
PATTERN_PATTERN = r"^([a-z0-9-]+|\*)/([a-z0-9-]+|\*)$"


# Far beyond any setting, and still safe to subtract from any date.
LONGEST = timedelta(days=36525)


def _to_duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        try:
            duration = parse_duration(value)
        except OverflowError:
            duration = timedelta.max
        if duration > LONGEST:
            raise ValueError(f"{value!r} is longer than 100 years; write 500ms, 10s, 5m or 14d")
        return duration
    raise ValueError("write a duration with its unit, such as 500ms, 10s, 5m or 14d")


Duration = Annotated[
    timedelta,
    BeforeValidator(_to_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(
        {"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d|w))+$", "examples": ["10s", "5m", "14d"]}
    ),
]


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name!r} is not a time zone; use a name such as Europe/Berlin or UTC")
    return name


TimeZone = Annotated[str, AfterValidator(_known_zone)]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$", examples=["#0b6e4f"])]
Language = Literal["en", "de"]
Percent = Annotated[Decimal, Field(ge=0, le=100, allow_inf_nan=False)]


LOCAL = "local"
"""The vantage point of the controllers themselves. It is always there and never declared."""


class Declared(BaseModel):
    """A part of the estate: immutable, and strict about keys that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class SecretRef(Declared):
    """A secret by reference, written `env:NAME` or `file:/path`. The estate never holds a secret itself."""

    source: Literal["env", "file"]
    name: str


def _to_secret(value: Any) -> Any:
    if isinstance(value, SecretRef):
        return value
    if isinstance(value, str) and (match := re.fullmatch(r"(env|file):(.+)", value)):
        return SecretRef(source=match[1], name=match[2])
    raise ValueError("write a secret by reference: env:NAME or file:/path, never in the file itself")


Secret = Annotated[
    SecretRef,
    BeforeValidator(_to_secret),
    PlainSerializer(lambda ref: f"{ref.source}:{ref.name}", return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^(env|file):.+", "examples": ["env:HOLDFAST_TOKEN"]}),
]


def _secret_if_reference(value: Any) -> Any:
    # A union prefers plain text, so that a reference would be sent out as if it were the secret.
    return _to_secret(value) if isinstance(value, str) and value.startswith(("env:", "file:")) else value


Header = Annotated[str | Secret, BeforeValidator(_secret_if_reference)]
Severity = Literal["degraded", "partial_outage", "major_outage"]
