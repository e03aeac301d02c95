"""A request's body becomes prepared records; a malformed one is refused by its line, the others go in.

A body is NDJSON (a record a line) or a JSON array of records. It is decoded many records at once, which is
quick; only when something in it must be refused, it is read again record by record, to find which and why.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from itertools import islice
from operator import gt
from typing import Any, NamedTuple, cast, get_args

import msgspec
from msgspec import UnsetType

from holdfast.ledger.append.pieces import PIECE_LEAVES, in_pieces
from holdfast.ledger.canonical import leaf_of, leaves_of
from holdfast.ledger.errors import BatchRefused, RecordRefused
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.model import Count, Currency, PaperFormat, Piece, Prepared, Price, Record, Refusal, Word
from holdfast.ledger.ports import Packs

MOST_RECORDS = 50_000
MOST_BODY_BYTES = 64 * 1024 * 1024
"""Of one request, unpacked."""
MOST_REFUSALS = 1_000
"""As many are told one by one; a request with more is refused whole: it is of another kind."""

CHUNK_BYTES = 128 * 1024
_ONE = msgspec.json.Decoder(Record)
_RAW = msgspec.json.Decoder(list[msgspec.Raw])


class _AnyPrice(Price, frozen=True, forbid_unknown_fields=True, gc=False):
    currency: str


def _quick() -> type[Record]:
    """Record without the patterns of its names: each name is looked at once, not again for each record."""
    looser: Mapping[str, Any] = {
        "sheets": dict[str, Count] | UnsetType,
        "prices": dict[Word, _AnyPrice] | UnsetType,
    }
    fields = [
        (each.name, looser.get(each.name, each.type))
        if each.required
        else (each.name, looser.get(each.name, each.type), each.default)
        for each in msgspec.structs.fields(Record)
    ]
    made = msgspec.defstruct(
        "Record", fields, frozen=True, forbid_unknown_fields=True, gc=False, kw_only=True
    )
    return cast("type[Record]", made)


@cache
def _pattern_of(text: Any) -> "re.Pattern[str]":
    return re.compile(get_args(text)[1].pattern)


_QUICK = _quick()
_LINES = msgspec.json.Decoder(_QUICK)
_MANY = msgspec.json.Decoder(list[_QUICK])  # type: ignore[valid-type]


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


def read(body: bytes, form: Form, sender: Sender, packs: Packs | None = None) -> Read:
    """Every record that can go in, in the order of its numbers, and a refusal for every other one.

    With `packs` the leaves are packed in pieces, and stand nowhere else.
    Raises BatchRefused when the body as a whole is none: too large, too many, no JSON array.
    """
    if len(body) > MOST_BODY_BYTES:
        raise BatchRefused(
            f"{len(body):,} bytes are more than the {MOST_BODY_BYTES:,} of a request",
            hint="post it in parts",
        )
    refused = list[Refusal]()
    found = _at_once(body, form, sender) or _one_by_one(body, form, sender, refused)
    if len(found.lines) > MOST_RECORDS:
        raise BatchRefused(
            f"{len(found.lines):,} records are more than the {MOST_RECORDS:,} of a request",
            hint="post it in parts",
        )
    return _prepared(found, refused, sender, packs)


@dataclass(frozen=True, slots=True)
class _Found:
    """What can go in: item n of each is record n's. Records themselves are not kept, they are large."""

    lines: list[int] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)

    def add(self, lines: Iterable[int], records: Sequence[Record], leaves: list[bytes]) -> None:
        self.lines.extend(lines)
        self.leaves.extend(leaves)
        self.epochs.extend([record.epoch for record in records])
        self.seqs.extend([record.seq for record in records])


def _prepared(found: _Found, refused: list[Refusal], sender: Sender, packs: Packs | None) -> Read:
    """Sorted by number: a source's records then stand side by side in the log, and its numbers are a run."""
    lines, leaves, epochs, seqs = found.lines, found.leaves, found.epochs, found.seqs
    if len(set(epochs)) > 1 or any(map(gt, seqs, islice(seqs, 1, None))):
        order = sorted(range(len(lines)), key=list(zip(epochs, seqs, lines, strict=True)).__getitem__)
        lines, leaves = [lines[at] for at in order], [leaves[at] for at in order]
        epochs, seqs = [epochs[at] for at in order], [seqs[at] for at in order]
    prepared = Prepared(
        tenant=sender.tenant,
        leaves=[] if packs else leaves,
        hashes=leaf_hashes(leaves),
        sources=[sender.source] * len(leaves),
        epochs=epochs,
        seqs=seqs,
        pieces=_pieces(leaves, _lead(seqs), packs) if packs else (),
    )
    return Read(prepared, lines, refused)


def _pieces(leaves: list[bytes], lead: int, packs: Packs) -> tuple[Piece, ...]:
    """What leads is packed by itself: as a rule it is what came before, and then nothing is packed anew."""
    return (*in_pieces(leaves[:lead], packs), *in_pieces(leaves[lead:], packs))


def _lead(seqs: Sequence[int]) -> int:
    """How many stand before the last numbers that go up by one; 0 where those are few."""
    lead = len(seqs) - 1
    if not seqs or seqs[-1] - seqs[0] == lead:
        return 0
    while lead and seqs[lead - 1] + 1 == seqs[lead]:
        lead -= 1
    return lead if len(seqs) - lead >= PIECE_LEAVES else 0


def _refuse_others(record: Record, sender: Sender) -> None:
    if (record.tenant, record.source) != sender:
        raise RecordRefused(
            f"the token is that of source {sender.source!r} of tenant {sender.tenant!r}, the record says "
            f"{record.source!r} of {record.tenant!r}"
        )


def _at_once(body: bytes, form: Form, sender: Sender) -> _Found | None:
    """None when something in it must be refused."""
    found, line = _Found(), 1
    try:
        for chunk in [body] if form is Form.JSON else _chunks(body):
            records = _MANY.decode(chunk) if form is Form.JSON else _LINES.decode_lines(chunk)
            lines: Sequence[int] = range(line, line + len(records))
            if form is Form.NDJSON:
                lines = _lines_of(chunk, line, len(records))
                line += chunk.count(b"\n")
            leaves = leaves_of(records) if _fit(records, sender) else None
            if leaves is None or len(lines) != len(records):
                return None
            found.add(lines, records, leaves)
            if len(found.lines) > MOST_RECORDS:
                break
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found


def _lines_of(chunk: bytes, first: int, records: int) -> Sequence[int]:
    """The lines of so many records; none unless each has one to itself.

    A record begins with `{` and ends with `}`, and nowhere in it does one follow the other: where all lines
    begin and end so, none of them is a part of a record.
    """
    whole = chunk.startswith(b"{") and chunk.endswith((b"}\n", b"}"))
    if whole and chunk.count(b"}\n{") == chunk.count(b"\n", 0, -1) == records - 1:
        return range(first, first + records)
    found = [(at, each.strip()) for at, each in enumerate(chunk.split(b"\n"), first)]
    if all(each.startswith(b"{") and each.endswith(b"}") for _, each in found if each):
        return [at for at, each in found if each]
    return []


def _chunks(body: bytes) -> Iterator[bytes]:
    """Whole lines, as many as a processor's cache holds together with what they become."""
    begin = 0
    while begin < len(body):
        end = body.find(b"\n", begin + CHUNK_BYTES) + 1 or len(body)
        yield body[begin:end]
        begin = end


def _fit(records: Sequence[Record], sender: Sender) -> bool:
    """What `_LINES` has not looked at: whose they are, and the names that have a pattern."""
    formats = {each for record in records if record.sheets for each in record.sheets}
    currencies = {each.currency for record in records if record.prices for each in record.prices.values()}
    return (
        {record.source for record in records} <= {sender.source}
        and {record.tenant for record in records} <= {sender.tenant}
        and all(map(_pattern_of(PaperFormat).search, formats))
        and all(map(_pattern_of(Currency).search, currencies))
    )


def _one_by_one(body: bytes, form: Form, sender: Sender, refused: list[Refusal]) -> _Found:
    found, reason = _Found(), ""
    for line, raw in _parts(body, form):
        try:
            record = _ONE.decode(raw)
            _refuse_others(record, sender)
            found.add([line], [record], [leaf_of(record)])
            continue
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            reason = _reason(error)
        except RecordRefused as error:
            reason = str(error)
        refused.append(Refusal(line, reason))
        if len(refused) > MOST_REFUSALS:
            raise BatchRefused(
                f"more than {MOST_REFUSALS:,} records of the request are refused, the last for: {reason}"
            )
    return found


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
