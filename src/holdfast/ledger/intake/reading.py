"""A request's body becomes prepared records; a malformed one is refused by its line, the others go in.

A body is NDJSON (a record a line) or a JSON array of records. It is decoded many records at once, which is
quick; only when something in it must be refused, it is read again record by record, to find which and why.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from itertools import accumulate, chain
from typing import Any, NamedTuple, cast, get_args

import msgspec
from msgspec import UnsetType

from holdfast.ledger.append.pieces import PIECE_LEAVES, in_pieces
from holdfast.ledger.append.sequences import Before, Numbers
from holdfast.ledger.canonical import leaf_of, leaves_of
from holdfast.ledger.errors import BatchRefused, RecordRefused
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.model import (
    Count,
    Currency,
    Numbered,
    PaperFormat,
    Prepared,
    Price,
    Record,
    Refusal,
    Word,
)
from holdfast.ledger.ports import Packs

MOST_RECORDS = 50_000
MOST_BODY_BYTES = 64 * 1024 * 1024
"""Of one request, unpacked."""
MOST_REFUSALS = 1_000
"""As many are told one by one; a request with more is refused whole: it is of another kind."""

CHUNK_BYTES = 128 * 1024
FEW_RECORDS = 16
"""So many are looked at singly when they are not numbered one by one."""
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
    """`begins[n]` is the line of the request (the item, from 1) that the first record of the stretch n of
    `prepared` came from; the others of the stretch came from the lines behind it.
    """

    prepared: Prepared
    begins: list[int]
    refused: list[Refusal]

    @property
    def starts(self) -> list[int]:
        """The first record of each stretch."""
        counts = [each.length for each in self.prepared.stretches]
        return list(accumulate(counts[:-1], initial=0)) if counts else []

    @property
    def lines(self) -> list[int]:
        """Item n is record n's line."""
        stretches = zip(self.begins, self.prepared.stretches, strict=True)
        return [line for begin, each in stretches for line in range(begin, begin + each.length)]


def read(
    body: bytes, form: Form, sender: Sender, packs: Packs | None = None, before: Before | None = None
) -> Read:
    """Every record that can go in, in the order of its numbers, and a refusal for every other one.

    With `packs` the leaves are packed in pieces, and stand nowhere else. `before` tells what the source has
    sent already: that stands in front, in pieces of its own, so that nothing is packed anew without it.
    Raises BatchRefused when the body as a whole is none: too large, too many, no JSON array.
    """
    if len(body) > MOST_BODY_BYTES:
        raise BatchRefused(
            f"{len(body):,} bytes are more than the {MOST_BODY_BYTES:,} of a request",
            hint="post it in parts",
        )
    refused = list[Refusal]()
    found = _at_once(body, form, sender) or _one_by_one(body, form, sender, refused)
    if len(found.leaves) > MOST_RECORDS:
        raise BatchRefused(
            f"{len(found.leaves):,} records are more than the {MOST_RECORDS:,} of a request",
            hint="post it in parts",
        )
    return _prepared(found, refused, sender, packs, before)


class _Stretch(NamedTuple):
    """Records [begin, begin + length) of what was found: with their lines, they are numbered one by one."""

    epoch: int
    first: int
    line: int
    begin: int
    length: int


@dataclass(frozen=True, slots=True)
class _Found:
    """What can go in, as it stands in the request. Records themselves are not kept, they are large."""

    leaves: list[bytes] = field(default_factory=list)
    stretches: list[_Stretch] = field(default_factory=list)

    def add(self, lines: Sequence[int], records: Sequence[Record], leaves: list[bytes]) -> None:
        place = len(self.leaves)
        self.leaves.extend(leaves)
        epochs = [record.epoch for record in records]
        seqs = [record.seq for record in records]
        self._add(place, lines, epochs, seqs)

    def _add(self, place: int, lines: Sequence[int], epochs: Sequence[int], seqs: Sequence[int]) -> None:
        """Halved until what is left is one stretch: most are whole, and few records are looked at singly."""
        count = len(seqs)
        if not count:
            return
        if (
            seqs[-1] - seqs[0] == lines[-1] - lines[0] == count - 1
            and epochs.count(epochs[0]) == count
            and seqs == list(range(seqs[0], seqs[0] + count))
            and list(lines) == list(range(lines[0], lines[0] + count))
        ):
            self._go_on(epochs[0], seqs[0], lines[0], place, count)
        elif count <= FEW_RECORDS:
            for at in range(count):
                self._go_on(epochs[at], seqs[at], lines[at], place + at, 1)
        else:
            half = count // 2
            self._add(place, lines[:half], epochs[:half], seqs[:half])
            self._add(place + half, lines[half:], epochs[half:], seqs[half:])

    def _go_on(self, epoch: int, first: int, line: int, place: int, count: int) -> None:
        if self.stretches:
            epoch_before, first_before, line_before, begin, so_far = self.stretches[-1]
            if (epoch_before, first_before + so_far, line_before + so_far) == (epoch, first, line):
                self.stretches[-1] = _Stretch(epoch, first_before, line_before, begin, so_far + count)
                return
        self.stretches.append(_Stretch(epoch, first, line, place, count))


def _prepared(
    found: _Found, refused: list[Refusal], sender: Sender, packs: Packs | None, before: Before | None
) -> Read:
    """Sorted by number: a source's records then stand side by side in the log, and its numbers are a run.

    What came before stands in front, in pieces of its own: it is left away without packing anything anew. So
    do short runs where it is not known what came before: as a rule they came before, or late.
    """
    known, new = _told_apart(found.stretches, before)
    short, long = _ordered(new)
    groups = [_leaves(found, each) for each in (known, short, long) if each]
    stretches = [*known, *short, *long]
    prepared = Prepared(
        tenant=sender.tenant,
        leaves=[] if packs else list(chain.from_iterable(groups)),
        hashes=b"".join(map(leaf_hashes, groups)),
        stretches=[Numbered(sender.source, each.epoch, each.first, each.length) for each in stretches],
        pieces=tuple(chain.from_iterable([in_pieces(each, packs) for each in groups])) if packs else (),
    )
    return Read(prepared, [each.line for each in stretches], refused)


def _told_apart(
    stretches: Sequence[_Stretch], before: Before | None
) -> tuple[list[_Stretch], list[_Stretch]]:
    """What was sent before, in the order of its numbers; and what was not, or not as far as is known here."""
    if before is None:
        return [], list(stretches)
    known, new, numbers = list[_Stretch](), list[_Stretch](), Numbers(list(before.ranges))
    for each in stretches:
        if each.epoch != before.epoch:
            new.append(each)
            continue
        for first, last, came in numbers.parts(each.first, each.first + each.length - 1):
            at, length = first - each.first, last - first + 1
            part = _Stretch(each.epoch, first, each.line + at, each.begin + at, length)
            (known if came else new).append(part)
    return sorted(known), new


def _ordered(stretches: Sequence[_Stretch]) -> tuple[list[_Stretch], list[_Stretch]]:
    """Those of short runs, and those of long ones; all of them together where none is long."""
    runs = list(_runs(sorted(stretches)))
    long = [run for run in runs if sum([each.length for each in run]) >= PIECE_LEAVES]
    short = [run for run in runs if sum([each.length for each in run]) < PIECE_LEAVES]
    return list(chain.from_iterable(short)), list(chain.from_iterable(long))


def _leaves(found: _Found, stretches: Sequence[_Stretch]) -> list[bytes]:
    """In the order of these stretches."""
    if len(stretches) == 1 and stretches[0].length == len(found.leaves):
        return found.leaves
    parts = [found.leaves[each.begin : each.begin + each.length] for each in stretches]
    return parts[0] if len(parts) == 1 else list(chain.from_iterable(parts))


def _runs(stretches: Sequence[_Stretch]) -> Iterator[list[_Stretch]]:
    """Those together that are numbered on, wherever their lines are."""
    run = list[_Stretch]()
    for each in stretches:
        if run and (run[-1].epoch, run[-1].first + run[-1].length) != (each.epoch, each.first):
            yield run
            run = []
        run.append(each)
    if run:
        yield run


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
            if len(found.leaves) > MOST_RECORDS:
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
