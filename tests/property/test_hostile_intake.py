"""Whatever is posted: the good records of it go in, each other one is refused by its line, none is lost."""

import json
from contextlib import suppress
from datetime import UTC
from itertools import accumulate, pairwise

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.ledger.append import pieces
from holdfast.ledger.append.pieces import opened
from holdfast.ledger.append.sequences import Before, Numbers
from holdfast.ledger.canonical import entry_of, leaf_of
from holdfast.ledger.errors import BatchRefused, RecordRefused
from holdfast.ledger.intake import reading
from holdfast.ledger.intake.reading import Form, Read, Sender, read
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.model import MOST, Record

SENDER = Sender("acme", "spooler")
PACKS = ZstdSegments()
PLAIN = {
    "tenant": "acme",
    "source": "spooler",
    "epoch": 1,
    "seq": 1,
    "job": "j",
    "kind": "print",
    "occurred_at": "2026-11-22T12:00:00+02:00",
    "status": "completed",
}
TEXTS = st.text(max_size=20) | st.sampled_from(
    ["\x00", "\\u0000", "\u2028", "\ud83d\ude00", "\x7f", "x" * 1001]
)
NUMBERS = (
    st.integers(-5, 5)
    | st.sampled_from([MOST, MOST + 1, -MOST - 1, 2**63, 2**64, 10**30, 10**9, 10**9 + 1])
    | st.floats(width=32)
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
MOMENTS = st.sampled_from(
    [
        "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-12:00",
        "1970-01-01T00:00:00Z",
        "2126-11-22T12:00:00.5+05:30",
        "2026-02-29T00:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T12:00:60Z",
        "2026-11-22 12:00:00Z",
        "2026-11-22T12:00:00",
        "2026-11-22",
        "1e9",
    ]
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "seq": NUMBERS,
        "epoch": st.integers(0, 3) | NUMBERS,
        "occurred_at": MOMENTS,
        "reported_at": MOMENTS,
        "user": TEXTS,
        "source": st.sampled_from(["spooler", "other", ""]),
        "tenant": st.sampled_from(["acme", "other", ""]),
        "sheets": st.dictionaries(
            st.sampled_from(["A4", "a b", " A4", "A4\n", "\u00e4"]), NUMBERS, max_size=2
        ),
        "prices": st.dictionaries(
            TEXTS,
            st.fixed_dictionaries(
                {"amount": NUMBERS, "currency": st.sampled_from(["EUR", "eur", "EUR\n", "EURO", "", 1])}
            ),
            max_size=2,
        ),
        "document": VALUES,
        "corrects": VALUES,
        "person": st.sampled_from(["0" * 64, "0" * 63, "G" * 64, "0" * 64 + "\n"]),
        "what": st.just("conflict"),
        "quality": st.sampled_from(["exact", "estimated", "guessed"]),
        "duplex": st.booleans() | st.just("yes"),
        "mono_impressions": NUMBERS,
        "anything": VALUES,
    },
)


def written(changes: dict[str, object]) -> bytes:
    return json.dumps(PLAIN | changes, ensure_ascii=len(changes) % 2 == 0).encode("utf-8", "surrogatepass")


GOOD = st.integers(0, 50).map(lambda seq: written({"seq": seq}))
DEEP = st.tuples(
    st.sampled_from([b"[", b'{"document":', b'{"sheets":{"A4":', b'[{"job":']),
    st.sampled_from([3, 900, 30_000]),
).map(lambda pair: pair[0] * pair[1])
BROKEN = st.tuples(CHANGES.map(written), st.integers(0, 200), st.binary(max_size=4)).map(
    lambda given: given[0][: given[1]] + given[2] + given[0][given[1] + len(given[2]) :]
)
ODD = st.sampled_from(
    [b"", b" ", b"\r", b"\x0c", b"\xef\xbb\xbf", b"null", b"1", b"\xff\xfe", b"\xed\xa0\x80", b"NaN", b"[]"]
)
TWO = GOOD.map(lambda record: record + b" " + record)
CUT = GOOD.map(lambda record: record.replace(b",", b",\n", 1))
"""A record that stands on two lines."""
LINES = st.one_of(GOOD, GOOD, CHANGES.map(written), DEEP, BROKEN, ODD, TWO, CUT, st.binary(max_size=30))
BODIES = st.lists(LINES, max_size=8).map(b"\n".join)

BEFORE = st.sets(st.integers(0, 50), max_size=30).map(
    lambda numbers: Before(1, _ranges(numbers)) if numbers else Before(0, [(0, 3)])
)


def _ranges(those: set[int]) -> list[tuple[int, int]]:
    numbers = Numbers()
    for each in those:
        numbers.add(each, each)
    return numbers.ranges


def judged(raw: bytes) -> Record | None:
    """A record as the strictest reader takes it, by itself."""
    try:
        record = msgspec.json.Decoder(Record).decode(raw)
        leaf_of(record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, RecordRefused):
        return None
    return record if (record.tenant, record.source) == SENDER else None


def holds(found: Read, good: dict[int, Record], bad: set[int]) -> None:
    """These records by their lines, and a refusal for each other line."""
    prepared = found.prepared
    assert {each.line for each in found.refused} == bad
    assert all(each.reason for each in found.refused)
    assert sorted(found.lines) == sorted(good)
    numbers = [(each.epoch, each.first + at) for each in prepared.stretches for at in range(each.length)]
    order = list(zip(numbers, found.lines, strict=True))
    assert order == [((good[line].epoch, good[line].seq), line) for line in found.lines]
    assert sum(one > two for one, two in pairwise(order)) <= 1, "short runs in order, then long ones"
    assert {each.source for each in prepared.stretches} <= {SENDER.source}
    leaves = [leaf_of(good[line]) for line in found.lines]
    assert prepared.leaves == leaves
    assert prepared.hashes == leaf_hashes(leaves)
    for leaf in leaves:
        entry = entry_of(leaf)
        assert isinstance(entry, Record)
        assert leaf_of(entry) == leaf
        assert entry.occurred_at.tzinfo is UTC
        assert json.loads(leaf)["seq"] == entry.seq


@settings(deadline=None, max_examples=400)
@given(BODIES, st.sampled_from([64, 1024, 128 * 1024]), BEFORE)
@example(
    written({}) + b" " + written({}) + b"\n" + written({}).replace(b",", b",\n", 1), 64, Before(1, [(1, 1)])
)
def test_each_line_is_a_record_or_a_refusal(body: bytes, chunk: int, before: Before) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "CHUNK_BYTES", chunk)
        patch.setattr(reading, "PIECE_LEAVES", 2)
        patch.setattr(pieces, "PIECE_LEAVES", 2)
        found = read(body, Form.NDJSON, SENDER)
        lines = {line: raw for line, raw in enumerate(body.split(b"\n"), 1) if raw.strip()}
        records = {line: judged(raw) for line, raw in lines.items()}
        good = {line: record for line, record in records.items() if record is not None}
        holds(found, good, lines.keys() - good.keys())
        packed = read(body, Form.NDJSON, SENDER, PACKS)
        assert [
            leaf for piece in packed.prepared.pieces for leaf in opened(piece, PACKS)
        ] == found.prepared.leaves
        assert packed.prepared.leaves == []
        assert (packed.lines, packed.refused) == (found.lines, found.refused)
        told = read(body, Form.NDJSON, SENDER, PACKS, before)
        assert told.refused == found.refused
        numbers = [
            (each.epoch, each.first + at) for each in told.prepared.stretches for at in range(each.length)
        ]
        assert sorted(zip(told.lines, numbers, strict=True)) == sorted(
            (line, (good[line].epoch, good[line].seq)) for line in good
        )
        inside = [each for piece in told.prepared.pieces for each in opened(piece, PACKS)]
        assert inside == [leaf_of(good[line]) for line in told.lines]
        assert told.prepared.hashes == leaf_hashes(inside)
        sent = [epoch == before.epoch and seq in Numbers(list(before.ranges)) for epoch, seq in numbers]
        assert sent == sorted(sent, reverse=True), "what came before stands in front"
        first = sum(sent)
        ends = set(accumulate(piece.leaves for piece in told.prepared.pieces)) | {0}
        assert first in ends, "in pieces of its own"


@settings(deadline=None, max_examples=300)
@given(
    st.lists(GOOD | CHANGES.map(written) | DEEP | BROKEN | ODD, max_size=6),
    st.sampled_from([b"[%b]", b"%b", b"[%b"]),
)
def test_an_array_is_read_item_by_item_or_refused_whole(items: list[bytes], around: bytes) -> None:
    body = around % b",".join(items)
    try:
        raws = msgspec.json.Decoder(list[msgspec.Raw]).decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        with pytest.raises(BatchRefused):
            read(body, Form.JSON, SENDER)
        return
    records = {number: judged(bytes(raw)) for number, raw in enumerate(raws, 1)}
    good = {number: record for number, record in records.items() if record is not None}
    holds(read(body, Form.JSON, SENDER), good, records.keys() - good.keys())


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=300), st.sampled_from(Form))
def test_noise_is_refused_and_breaks_nothing(body: bytes, form: Form) -> None:
    with suppress(BatchRefused):
        assert not read(body, form, SENDER).lines
