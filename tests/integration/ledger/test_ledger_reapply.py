"""`holdfast ledger reapply`: entries that only a lost primary had go in again, as if their sources did it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.ledger.test_ledger_ingesting import Bench, opened_bench
from tests.ledger_process import posted

from holdfast.ledger.model import Conflict

if TYPE_CHECKING:
    from conftest import Database


@pytest.fixture
def bench(migrated_database: "Database", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with opened_bench(migrated_database, tmp_path / "here", monkeypatch, {}) as bench:
        bench.said("tenant", "add", "acme")
        bench.said("source", "add", "mfp-1", "--tenant", "acme", "--kind", "device")
        bench.said("source", "add", "cups", "--tenant", "acme", "--kind", "importer")
        yield bench


def written(bench: Bench, *parts: bytes) -> Path:
    path = bench.place.config.parent / "entries.ndjson"
    path.write_bytes(b"\n".join(parts) + b"\n")
    return path


def test_entries_go_in_once_under_their_own_numbers(bench: Bench) -> None:
    file = written(bench, posted(range(1, 31), source="mfp-1"))
    tried = bench.json("reapply", file, "--dry-run")
    assert tried["sources"][0]["taken"] == 30
    assert bench.entries() == []
    [first] = bench.json("reapply", file)["sources"]
    assert (first["tenant"], first["source"], first["taken"], first["repeated"]) == ("acme", "mfp-1", 30, 0)
    assert [(each.source, each.epoch, each.seq) for each in bench.records()] == [
        ("mfp-1", 1, seq) for seq in range(1, 31)
    ]
    assert "0 taken in again, 30 there already" in bench.said("reapply", file).output
    assert len(bench.entries()) == 30


def test_what_its_source_has_posted_meanwhile_is_absorbed_and_another_job_is_a_conflict(bench: Bench) -> None:
    bench.json("reapply", written(bench, posted([1, 2], source="mfp-1")))
    file = written(bench, posted([1, 2, 3], source="mfp-1"), posted([2], source="mfp-1", job="another"))
    [found] = bench.json("reapply", file, code=1)["sources"]
    assert (found["taken"], found["repeated"], found["conflicts"]) == (1, 2, 1)
    assert sum(isinstance(each, Conflict) for each in bench.entries()) == 1
    again = bench.json("reapply", file, code=1)["sources"][0]
    assert (again["taken"], again["conflicts"]) == (0, 1)
    assert "1 numbers belong to other jobs now" in bench.said("reapply", file, code=1).output
    assert sum(isinstance(each, Conflict) for each in bench.entries()) == 1


def test_what_cannot_go_in_is_said_and_the_others_do(bench: Bench) -> None:
    file = written(
        bench,
        posted([1], source="mfp-1"),
        posted([1, 2], source="cups"),
        posted([5], source="gone"),
        b"no entry",
        b'{"tenant": "acme"}',
        posted([2], source="mfp-1"),
    )
    told = bench.json("reapply", file, code=1)
    found = {each["source"]: each for each in told["sources"]}
    assert found["mfp-1"]["taken"] == 2
    assert (found["cups"]["left"], found["gone"]["left"]) == (2, 1)
    assert "read again" in found["cups"]["why_left"]
    assert "no such source" in found["gone"]["why_left"]
    assert [each["line"] for each in told["unread"]] == [5, 6]
    said = bench.said("reapply", file, code=1)
    assert "acme  cups: 2 left" in said.output
    assert len(bench.entries()) == 2


def test_a_file_that_is_not_there_is_no_traceback(bench: Bench) -> None:
    told = bench.json("reapply", bench.place.config.parent / "nothing.ndjson", code=1)
    assert "nothing.ndjson" in told["error"]
    empty = bench.place.config.parent / "empty.ndjson"
    empty.write_bytes(b"")
    assert "no entry" in bench.said("reapply", empty).output
    assert json.loads(bench.said("reapply", empty, "--json").stdout)["sources"] == []
