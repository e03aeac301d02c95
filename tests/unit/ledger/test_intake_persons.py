"""Persons in posted records: into the log go a pseudonym and a hash, and the same ones each time."""

import json
from typing import Any

import pytest

from holdfast.adapters.memory.ledger.persons import MemoryKeys, MemoryPersons
from holdfast.adapters.vault.aes import AesVault
from holdfast.ledger.errors import BatchRefused
from holdfast.ledger.intake import reading
from holdfast.ledger.intake.persons import anonymised, in_place, speaks_of_persons
from holdfast.ledger.intake.reading import Form, Sender, read
from holdfast.ledger.persons.keys import KeyRing
from holdfast.ledger.persons.persons import PersonBook, Pseudonyms

SENDER = Sender("acme", "front-desk")
ADA = {"login": "ada", "name": "Ada Lovelace"}


def record(seq: int, **more: Any) -> dict[str, Any]:
    return {
        "epoch": 1,
        "job": f"job {seq}",
        "kind": "print",
        "occurred_at": "2026-11-22T12:00:00Z",
        "seq": seq,
        "source": SENDER.source,
        "status": "completed",
        "tenant": SENDER.tenant,
        **more,
    }


def lines(*records: object) -> bytes:
    return b"\n".join(each if isinstance(each, bytes) else json.dumps(each).encode() for each in records)


@pytest.fixture
def book() -> PersonBook:
    return PersonBook(
        Pseudonyms(AesVault(bytes(32))), MemoryPersons(), KeyRing([MemoryKeys()]), vault_of=AesVault
    )


@pytest.mark.parametrize("form", list(Form))
async def test_a_person_in_plain_becomes_a_pseudonym(book: PersonBook, form: Form) -> None:
    posted = [record(1, person=ADA), record(2), record(3, person=ADA), record(4, person={"login": "bob"})]
    body = json.dumps(posted, indent=2).encode() if form is Form.JSON else lines(*posted)
    assert speaks_of_persons(body)
    cleared = await anonymised(body, form, "acme", book, in_place)
    again = await anonymised(body, form, "acme", book, in_place)
    assert cleared == again
    assert cleared.refused == []
    assert b"Lovelace" not in cleared.body
    found = read(cleared.body, cleared.form, SENDER)
    assert (found.lines, found.refused) == ([1, 2, 3, 4], [])
    leaves = [json.loads(leaf) for leaf in found.prepared.leaves]
    assert leaves[0]["user"] == leaves[2]["user"] == book.pseudonyms.of("acme", "ada")
    assert leaves[0]["person"] == leaves[2]["person"] != leaves[3]["person"]
    assert "user" not in leaves[1]
    shown = await book.shown("acme", leaves[0]["user"])
    assert [person.name for person in shown.persons] == ["Ada Lovelace"]


async def test_what_is_malformed_is_told_by_its_line_and_the_others_go_in(book: PersonBook) -> None:
    body = lines(
        record(1, person=ADA),
        b"",
        record(3, person={"name": "nobody"}),
        b'{"person": {',
        record(5, person={"login": "bob", "age": 7}),
        record(6, person=ADA, user="ada"),
        b'{"person": {"login": "\xff"}}',
        record(8, person=ADA),
        record(9, person=["ada"]),
        record(10, person={"login": "x" * 300}),
    )
    cleared = await anonymised(body, Form.NDJSON, "acme", book, in_place)
    found = read(cleared.body, cleared.form, SENDER)
    refused = {each.line: each.reason for each in [*cleared.refused, *found.refused]}
    assert found.lines == [1, 8]
    assert sorted(refused) == [3, 4, 5, 6, 7, 9, 10]
    assert "login" in refused[3]
    assert "user" in refused[6]
    assert not any("ada" in reason.lower() for reason in refused.values())


async def test_a_request_that_is_refused_as_a_whole_keeps_nobody(
    book: PersonBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BatchRefused):
        await anonymised(b'{"person": {"login": "ada"}}', Form.JSON, "acme", book, in_place)
    monkeypatch.setattr("holdfast.ledger.intake.persons.MOST_RECORDS", 2)
    with pytest.raises(BatchRefused, match="more than"):
        await anonymised(
            lines(*(record(n, person=ADA) for n in range(3))), Form.NDJSON, "acme", book, in_place
        )
    monkeypatch.setattr("holdfast.ledger.intake.persons.MOST_REFUSALS", 2)
    with pytest.raises(BatchRefused, match="malformed"):
        await anonymised(
            lines(*(record(n, person={}) for n in range(2, 8))), Form.NDJSON, "acme", None, in_place
        )
    assert (await book.shown("acme", book.pseudonyms.of("acme", "ada"))).rows == 0


async def test_without_a_pseudonym_key_records_with_persons_are_refused_one_by_one() -> None:
    body = lines(record(1, person=ADA), record(2))
    cleared = await anonymised(body, Form.NDJSON, "acme", None, in_place)
    assert [each.line for each in cleared.refused] == [1]
    assert "pseudonym_key" in cleared.refused[0].reason
    assert read(cleared.body, cleared.form, SENDER).lines == [2]


@pytest.mark.parametrize(
    ("text", "speaks"),
    [
        (b'{"person": {"login": "ada"}}', True),
        (b'{"person"  :\n  {"login": "ada"}}', True),
        (b'{"a":{"person":"x"},"person":{"login":"ada"}}', True),
        (b'{"person":' + b" " * 100 + b'{"login": "ada"}}', True),
        (b'{"person": "' + b"0" * 64 + b'"}', False),
        (b'{"job": "a person"}', False),
        (b"{}", False),
    ],
)
def test_only_bodies_that_may_speak_of_persons_are_looked_through(text: bytes, *, speaks: bool) -> None:
    assert speaks_of_persons(text) is speaks


async def test_a_name_in_escapes_does_not_slip_through(book: PersonBook) -> None:
    body = lines(record(1)).replace(b'"job"', b'"\\u0070erson": {"login": "ada"}, "job"')
    cleared = await anonymised(body, Form.NDJSON, "acme", book, in_place)
    found = read(cleared.body, cleared.form, SENDER)
    assert (found.lines, [each.line for each in found.refused]) == ([], [1])
    too_large = b" " * (reading.MOST_BODY_BYTES + 1)
    assert (await anonymised(too_large, Form.NDJSON, "acme", book, in_place)).body == too_large
