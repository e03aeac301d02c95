"""Posted records may tell of a person in plain. Before they are read as records, that becomes a pseudonym.

    {"job": ..., "person": {"login": "ada", "name": "Ada Lovelace", "mail": "ada@example.com"}}
    {"job": ..., "person": "<SHA-256 of the sealed row>", "user": "p-..."}

What is in plain never goes further than this: not into a leaf, a log line or an answer.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from holdfast.ledger.errors import BatchRefused
from holdfast.ledger.intake.reading import MOST_BODY_BYTES, MOST_RECORDS, MOST_REFUSALS, Form
from holdfast.ledger.model import Refusal
from holdfast.ledger.persons.persons import Person, PersonBook, Sealed

Off = Callable[..., Awaitable[Any]]
"""Calls a function with arguments elsewhere, such as in another process."""

_RECORD = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RECORDS = msgspec.json.Decoder(list[msgspec.Raw])
_PERSON = msgspec.json.Decoder(Person)
_NAMED = b'"person"'
_NO_BOOK = "it tells of a person, and the ledger has no `pseudonym_key` to take that in with"
_BOTH = "it has both a `user` and a `person` in plain: the pseudonym of the person becomes the user"


@dataclass(frozen=True, slots=True)
class Cleared:
    """A body without persons in plain, each record on the line that it had (the item's number, from 1).

    The lines of those that are `refused` are empty.
    """

    body: bytes
    form: Form
    refused: list[Refusal]


def speaks_of_persons(body: bytes) -> bool:
    """Whether any record may tell of a person in plain. Quick, and wrong only in saying so."""
    at = body.find(_NAMED)
    while at >= 0:
        rest = body[at + len(_NAMED) : at + len(_NAMED) + 64].lstrip()
        # Longer gaps than that before the value are nobody's habit, and are looked at.
        if not rest or not rest.startswith(b":") or not rest[1:].lstrip().startswith(b'"'):
            return True
        at = body.find(_NAMED, at + 1)
    return False


async def anonymised(body: bytes, form: Form, tenant: str, book: PersonBook | None, off: Off) -> Cleared:
    """The body as it may be read. Rows and keys of the persons are durable when it returns.

    Raises BatchRefused for a JSON body that is no array, and KeysAway.
    """
    if len(body) > MOST_BODY_BYTES:
        return Cleared(body, form, [])  # reading it says so
    persons = await off(persons_in, body, form) if book is not None else []
    sealed = await book.sealed(tenant, persons) if book is not None and persons else {}
    cleared: Cleared = await off(cleared_of, body, form, sealed, known=book is not None)
    return cleared


async def in_place(function: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """An `Off` that stays here."""
    return function(*given, **named)


def persons_in(body: bytes, form: Form) -> list[Person]:
    """Those that are told of in plain, each once. What cannot be read is passed over.

    Raises BatchRefused when there are more records than may be in a request: none of it is kept then.
    """
    found, records = dict[Person, None](), 0
    for _, raw in _parts(body, form):
        records += bool(raw.strip())
        if records > MOST_RECORDS:
            raise BatchRefused(
                f"more than the {MOST_RECORDS:,} records of a request", hint="post it in parts"
            )
        try:
            told = _RECORD.decode(raw).get("person") if _may_tell(raw) else None
            if told is not None and _is_object(told):
                found[_PERSON.decode(told)] = None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
    return list(found)


def cleared_of(body: bytes, form: Form, sealed: Mapping[Person, Sealed], *, known: bool = True) -> Cleared:
    """`sealed` has all of `persons_in`. Not `known`: no person can be taken in at all."""
    lines, refused, next_line = list[bytes](), list[Refusal](), 1
    for number, raw in _parts(body, form):
        lines += [b""] * (number - next_line)
        next_line = number + 1
        try:
            lines.append(_cleared(raw, sealed, known) if _may_tell(raw) else bytes(raw))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
            refused.append(Refusal(number, _reason(error)))
            lines.append(b"")
        if len(refused) > MOST_REFUSALS:
            raise BatchRefused(
                f"more than {MOST_REFUSALS:,} records of the request are malformed, the last for: "
                f"{refused[-1].reason}"
            )
    if form is Form.JSON:  # what is one item may stand on several lines
        lines = [line.replace(b"\n", b" ") for line in lines]
    return Cleared(b"\n".join(lines), Form.NDJSON, refused)


def _cleared(raw: bytes, sealed: Mapping[Person, Sealed], known: bool) -> bytes:
    try:
        record = _RECORD.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return bytes(raw)  # reading it as a record says what is wrong with it
    told = record.get("person")
    if told is None or not _is_object(told):
        return bytes(raw)
    if not known:
        raise ValueError(_NO_BOOK)
    if "user" in record:
        raise ValueError(_BOTH)
    found = sealed[_PERSON.decode(told)]
    record["person"] = msgspec.Raw(msgspec.json.encode(found.digest))
    record["user"] = msgspec.Raw(msgspec.json.encode(found.user))
    return msgspec.json.encode(record)


def _parts(body: bytes, form: Form) -> Iterator[tuple[int, bytes]]:
    if form is Form.NDJSON:
        yield from enumerate(body.split(b"\n"), 1)
        return
    try:
        items: Sequence[msgspec.Raw] = _RECORDS.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BatchRefused(
            f"the body is no JSON array of records: {_reason(error)}",
            hint="one record a line (application/x-ndjson) lets the good ones in",
        ) from error
    yield from ((number, bytes(item)) for number, item in enumerate(items, 1))


def _may_tell(raw: bytes) -> bool:
    # Written with escapes the name is not found, and the record refused for what it has in that field.
    return _NAMED in raw


def _is_object(raw: msgspec.Raw) -> bool:
    return bytes(raw).lstrip().startswith(b"{")


def _reason(error: Exception) -> str:
    """Never the value itself: it may be somebody's name."""
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, msgspec.MsgspecError):
        return f"its person cannot be read: {error}"
    return str(error)
