"""A request's body becomes prepared records; a malformed one is refused by its line, the others go in.

A body is NDJSON (a record a line) or a JSON array of records. It is decoded as a whole, which is quick; only
when something in it is malformed, it is read again record by record, to find which and to say why.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import msgspec

from holdfast.ledger.canonical import leaf_of
from holdfast.ledger.errors import BatchRefused, RecordRefused
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.model import Prepared, Record, Refusal

MOST_RECORDS = 50_000
MOST_BODY_BYTES = 64 * 1024 * 1024
"""Of one request, unpacked."""
MOST_REFUSALS = 1_000
"""As many are told one by one; a request with more is refused whole: it is of another kind."""

_ONE = msgspec.json.Decoder(Record)
_MANY = msgspec.json.Decoder(list[Record])
_RAW = msgspec.json.Decoder(list[msgspec.Raw])


class Form(StrEnum):
    """How the records of a body stand."""

    NDJSON = "ndjson"
    JSON = "json"


class Sender(NamedTuple):
    """Who posts, as its token says: it can add to this source of this tenant and to nothing else."""

    tenant: str
    source: str


@dataclass(frozen=True, slots=True)
class Read:
    """`lines[n]` is the line of the request (the item, from 1) that record n of `prepared` came from."""

    prepared: Prepared
    lines: list[int]
    refused: list[Refusal]


def read(body: bytes, form: Form, sender: Sender) -> Read:
    """Every record that can go in, in the order of its numbers, and a refusal for every other one.

    Raises BatchRefused when the body as a whole is none: too large, too many, no JSON array.
    """
    if len(body) > MOST_BODY_BYTES:
        raise BatchRefused(
            f"{len(body):,} bytes are more than the {MOST_BODY_BYTES:,} of a request",
            hint="post it in parts",
        )
    found, refused = _at_once(body, form), list[Refusal]()
    if found is None:
        found, refused = _one_by_one(body, form)
    if len(found) > MOST_RECORDS:
        raise BatchRefused(
            f"{len(found):,} records are more than the {MOST_RECORDS:,} of a request", hint="post it in parts"
        )
    return _prepared(found, refused, sender)


def _prepared(found: Sequence[tuple[int, Record]], refused: list[Refusal], sender: Sender) -> Read:
    """Sorted by number: a source's records then stand side by side in the log, and its numbers are a run."""
    ready = list[tuple[int, int, int, bytes]]()
    for line, record in found:
        try:
            _refuse_others(record, sender)
            ready.append((record.epoch, record.seq, line, leaf_of(record)))
        except RecordRefused as error:
            refused.append(Refusal(line, str(error)))
    ready.sort()
    leaves = [leaf for *_, leaf in ready]
    prepared = Prepared(
        tenant=sender.tenant,
        leaves=leaves,
        hashes=leaf_hashes(leaves),
        sources=[sender.source] * len(ready),
        epochs=[epoch for epoch, *_ in ready],
        seqs=[seq for _, seq, *_ in ready],
    )
    return Read(prepared, [line for _, _, line, _ in ready], sorted(refused, key=lambda each: each.line))


def _refuse_others(record: Record, sender: Sender) -> None:
    if (record.tenant, record.source) != sender:
        raise RecordRefused(
            f"the token is that of source {sender.source!r} of tenant {sender.tenant!r}, the record says "
            f"{record.source!r} of {record.tenant!r}"
        )


def _at_once(body: bytes, form: Form) -> list[tuple[int, Record]] | None:
    """None when something in it is malformed."""
    try:
        records = _MANY.decode(body) if form is Form.JSON else _ONE.decode_lines(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    numbers: Sequence[int] = range(1, len(records) + 1)
    if form is Form.NDJSON and body.count(b"\n") + (not body.endswith(b"\n")) != len(records):
        numbers = [number for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
        if len(numbers) != len(records):  # a record over several lines
            return None
    return list(zip(numbers, records, strict=True))


def _one_by_one(body: bytes, form: Form) -> tuple[list[tuple[int, Record]], list[Refusal]]:
    found, refused = list[tuple[int, Record]](), list[Refusal]()
    for line, raw in _parts(body, form):
        try:
            found.append((line, _ONE.decode(raw)))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            refused.append(Refusal(line, _reason(error)))
        except RecursionError:
            refused.append(Refusal(line, "it is nested too deeply"))
        if len(refused) > MOST_REFUSALS:
            raise BatchRefused(
                f"more than {MOST_REFUSALS:,} records of the request are malformed, the last for: "
                f"{refused[-1].reason}"
            )
    return found, refused


def _parts(body: bytes, form: Form) -> Iterator[tuple[int, bytes | msgspec.Raw]]:
    if form is Form.NDJSON:
        yield from ((line, part) for line, part in enumerate(body.split(b"\n"), 1) if part.strip())
        return
    try:
        yield from enumerate(_RAW.decode(body), 1)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BatchRefused(
            f"the body is no JSON array of records: {_reason(error)}",
            hint="one record a line (application/x-ndjson) lets the good ones in",
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error)
