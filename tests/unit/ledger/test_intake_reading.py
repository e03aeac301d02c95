"""Malformed records are refused by their line and reason; the good ones of the same request go in."""

import msgspec
import pytest

from holdfast.ledger.errors import BatchRefused
from holdfast.ledger.intake import reading
from holdfast.ledger.intake.reading import Form, Sender, read
from holdfast.ledger.log.tree import leaf_hashes

SENDER = Sender("acme", "spooler")
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


def posted(**fields: object) -> bytes:
    return msgspec.json.encode({name: value for name, value in (PLAIN | fields).items() if value is not None})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "truncated"),
        (b'{"tenant": "\xff"}', "byte 0 is not UTF-8"),
        (b"\xff\xfe", "malformed"),
        (b"[" * 200_000, "Expected `object`"),
        (b'{"sheets":' * 200_000, "$.sheets"),
        (b'{"document":' + b"[" * 200_000, "$.document"),
        (b'{"job": "\\ud800"}', "truncated"),
        (posted(seq=2**53), "$.seq"),
        (posted(seq=-1), "$.seq"),
        (posted().replace(b'"seq":1', b'"seq":1e400'), "out of range"),
        (posted(seq=None), "missing required field `seq`"),
        (posted(what="conflict"), "unknown field `what`"),
        (posted(occurred_at="2026-01-01T00:00:00"), "timezone"),
        (posted(occurred_at="9999-99-99T00:00:00Z"), "Invalid RFC3339"),
        (posted(source="another"), "the token is that of source 'spooler'"),
        (posted(tenant="another"), "the token is that of source 'spooler'"),
        (posted(user="a\x00b"), "U+0000"),
        (posted(sheets={"A4": -1}), "$.sheets"),
        (posted(sheets={"A4\u202e": 1}), "matching regex"),
        (posted(kind="burn"), "$.kind"),
        (posted(mono_impressions=1.5), "`float`"),
        (posted(prices={"total": {"amount": 1.25, "currency": "EUR"}}), "`float`"),
        (posted(job="x" * 201), "$.job"),
        (posted(prices={"p" * 190 + str(n): {"amount": 1, "currency": "EUR"} for n in range(60)}), "8,192"),
    ],
)
def test_each_refusal_has_its_line_and_reason(line: bytes, reason: str) -> None:
    body = b"\n".join([posted(seq=7), line, b"", posted(seq=8)])
    found = read(body, Form.NDJSON, SENDER)
    assert ([each.first for each in found.prepared.stretches], found.lines) == ([7, 8], [1, 4])
    [refused] = found.refused
    assert refused.line == 2
    assert reason in refused.reason


def test_a_backslash_before_u0000_is_a_text_like_any_other() -> None:
    found = read(posted(user="\\u0000"), Form.NDJSON, SENDER)
    assert not found.refused
    assert msgspec.json.decode(found.prepared.leaves[0])["user"] == "\\u0000"


def test_the_same_record_however_it_is_written_is_the_same_leaf() -> None:
    plain = posted()
    other = (
        b'{ "status":"completed","quality":"exact","occurred_at":"2026-11-22T10:00:00.000Z","kind":"print",'
    )
    other += b'"job":"\\u006a","seq":1,"epoch":1,"source":"spooler","tenant":"acme" }'
    first, second = (read(b"[%b]" % each, Form.JSON, SENDER).prepared for each in (plain, other))
    assert first == second
    assert first.hashes == leaf_hashes(first.leaves)


def test_records_stand_in_the_order_of_their_numbers() -> None:
    found = read(
        b"\n".join(posted(seq=seq, epoch=epoch) for epoch, seq in ((2, 1), (1, 9), (1, 8))),
        Form.NDJSON,
        SENDER,
    )
    assert [(each.epoch, each.first, each.length) for each in found.prepared.stretches] == [
        (1, 8, 1),
        (1, 9, 1),
        (2, 1, 1),
    ]
    assert found.lines == [3, 2, 1]


@pytest.mark.parametrize("body", [b"[1,2", b"{}", b"[" * 200_000, b"\xff[]", b"", b"null"])
def test_what_is_no_array_is_refused_whole(body: bytes) -> None:
    with pytest.raises(BatchRefused, match="no JSON array") as refused:
        read(body, Form.JSON, SENDER)
    assert refused.value.hint


def test_a_request_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_RECORDS", 3)
    monkeypatch.setattr(reading, "MOST_REFUSALS", 3)
    monkeypatch.setattr(reading, "MOST_BODY_BYTES", 2_000)
    for body, reason in (
        (b"\n".join(posted(seq=n) for n in range(4)), "more than the 3 of a request"),
        (b"\n".join([b"{"] * 4), "more than 3 records"),
        (b" " * 2_001, "2,001 bytes are more"),
    ):
        with pytest.raises(BatchRefused, match=reason):
            read(body, Form.NDJSON, SENDER)
