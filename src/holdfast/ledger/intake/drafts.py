"""What the readers of files have in common: drafts of records, and the words that several formats share."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from holdfast.ledger.errors import Unsuitable
from holdfast.ledger.intake.files import Line, Mark
from holdfast.ledger.model import Refusal

UNKNOWN_PAPER = "unknown"
"""The format of sheets whose format was not told."""

_PWG = re.compile(r"([a-z]+)_([a-z0-9-]+)_[0-9.]+x[0-9.]+(?:in|mm).*")
_PAPER_FORMAT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}")
_ISO = re.compile(r"[abc](?:10|[0-9])", re.IGNORECASE)
_NAMED = {
    name.lower(): name
    for name in ("Letter", "Legal", "Ledger", "Tabloid", "Executive", "Statement", "Folio", "SRA3", "DL")
}


@dataclass(frozen=True, slots=True)
class Draft:
    """A record before it has its number: `told` holds fields of model.Record by name, as JSON has them."""

    line: int
    mark: Mark
    told: Mapping[str, Any]
    person: Mapping[str, Any] | None = None
    """Whose job it was, in plain words (`login`, perhaps `name` and `mail`): never a part of the record."""


class Reads(Protocol):
    """Makes drafts of lines. It may hold back a job whose last line may still come."""

    def read(self, line: Line) -> Sequence[Draft | Refusal]: ...

    def settled(self, now: datetime | None) -> Sequence[Draft]:
        """What is waited for no longer. None: all that is held back."""
        ...

    def next_file(self) -> None:
        """The lines of another file follow, which goes on where this one ended."""
        ...

    @property
    def held_back(self) -> int:
        """Jobs whose last line may still come."""
        ...


def paper_format(text: str) -> str:
    """The name of a paper format as ledgers have it: A4, Letter, JIS B5. Source of the names: PWG 5101.1.

    `iso_a4_210x297mm`, `A4`, `a4,Tray1` and `LETTER` are what print servers write.
    """
    parts = [part.strip() for part in text.split(",") if part.strip(" -?")]
    known = (_known(part) for part in parts)
    found = next((name for name in known if name), parts[0] if parts else UNKNOWN_PAPER)
    return found if _PAPER_FORMAT.fullmatch(found) else UNKNOWN_PAPER


def _known(text: str) -> str | None:
    if _ISO.fullmatch(text):
        return text.upper()
    if (named := _NAMED.get(text.lower())) is not None:
        return named
    described = _PWG.fullmatch(text.lower())
    if described is None:
        return None
    standard, name = described.groups()
    match standard:
        case "iso":
            return name.upper()
        case "na":
            return name.replace("-", " ").title()
        case "custom":
            return text[:40]
        case _:
            return f"{standard} {name}".upper()


def whole_number(text: str, what: str, most: int = 1_000_000) -> int:
    """Raises ValueError, whose text says what was no number."""
    if not text.isascii() or not text.isdigit() or int(text[:20]) > most:
        raise ValueError(f"{what} is {text[:40]!r}, not a number from 0 to {most:,}")
    return int(text)


def encoding_of(name: str) -> str:
    """An encoding of texts by its name. Raises Unsuitable."""
    try:
        b" ".decode(name)
    except (LookupError, ValueError):
        raise Unsuitable(
            f"there is no encoding {name!r}", hint="such as cp1252, iso-8859-2 or cp437"
        ) from None
    return name


def text_of(content: bytes, encoding: str) -> str:
    """UTF-8 when it is, else in the encoding of old. Raises ValueError."""
    try:
        return content.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError:
        pass
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is neither UTF-8 nor {encoding}") from None
