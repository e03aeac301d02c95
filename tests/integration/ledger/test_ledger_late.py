"""`holdfast ledger late`: what came after the moment that a damaged ledger was put back to goes in again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.ledger.test_ledger_ingesting import Bench, opened_bench
from tests.ledger_process import posted

from holdfast.ledger.model import Record

if TYPE_CHECKING:
    import psycopg

    from conftest import Database


class PutBack:
    """A ledger that was put back to an earlier moment, beside the damaged one that was kept."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.name = bench.database.name
        self.aside = f"{self.name}_before"
        self._early = f"{self.name}_early"

    def take(self, *seqs: int, **more: object) -> None:
        file = self.file("posted.ndjson")
        file.write_bytes(posted(seqs, source="mfp-1", **more) + b"\n")
        self.bench.said("reapply", file, code=1 if more else 0)

    def file(self, name: str) -> Path:
        return self.bench.place.config.parent / name

    def keep_this_moment(self) -> None:
        with self._server() as server:
            self._alone(server)
            server.execute(f"CREATE DATABASE {self._early} TEMPLATE {self.name}")

    def put_back(self) -> None:
        with self._server() as server:
            self._alone(server)
            server.execute(f"ALTER DATABASE {self.name} RENAME TO {self.aside}")
            server.execute(f"ALTER DATABASE {self._early} RENAME TO {self.name}")

    def damage(self, statement: str) -> None:
        """In the one that was put aside."""
        import psycopg  # noqa: PLC0415

        parameters = {**self.bench.database.conninfo().parameters, "dbname": self.aside}
        with psycopg.connect(autocommit=True, **parameters) as connection:
            connection.execute("SET session_replication_role = replica")
            assert connection.execute(statement).rowcount > 0

    def drop(self) -> None:
        with self._server() as server:
            for each in (self.aside, self._early):
                server.execute(f"DROP DATABASE IF EXISTS {each} WITH (FORCE)")

    def _server(self) -> "psycopg.Connection":
        import psycopg  # noqa: PLC0415

        parameters = {**self.bench.database.conninfo().parameters, "dbname": "postgres"}
        return psycopg.connect(autocommit=True, **parameters)

    def _alone(self, server: "psycopg.Connection") -> None:
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [self.name]
        )


@pytest.fixture
def ledger(
    migrated_database: "Database", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PutBack]:
    with opened_bench(migrated_database, tmp_path / "here", monkeypatch, {}) as bench:
        bench.said("tenant", "add", "acme")
        bench.said("source", "add", "mfp-1", "--tenant", "acme", "--kind", "device")
        made = PutBack(bench)
        yield made
        made.drop()


def test_what_came_later_goes_in_again_and_nothing_comes_twice(ledger: PutBack) -> None:
    bench = ledger.bench
    ledger.take(*range(1, 11))
    ledger.keep_this_moment()
    ledger.take(*range(11, 300))
    ledger.take(*range(300, 320))
    ledger.take(3, job="another")  # a conflict entry
    before = bench.entries()
    ledger.put_back()
    assert len(bench.entries()) == 10

    file = ledger.file("late.ndjson")
    found = bench.json("late", ledger.aside, "--to", file)
    [log] = found["logs"]
    assert log == {"tenant": "acme", "size": 320, "common": 10, "written": 309, "by_hand": 1, "lost": []}
    assert file.stat().st_mode & 0o077 == 0
    [aside] = [json.loads(line) for line in Path(found["by_hand"]).read_text().splitlines()]
    assert (aside["leaf"], "came twice" in aside["why"]) == (319, True)

    [taken] = bench.json("reapply", file)["sources"]
    assert (taken["taken"], taken["repeated"], taken["conflicts"]) == (309, 0, 0)
    assert bench.records() == [each for each in before if isinstance(each, Record)]
    [again] = bench.json("reapply", file)["sources"]
    assert (again["taken"], again["repeated"]) == (0, 309)
    bench.said("verify")
    assert "is there already" in bench.said("late", ledger.aside, "--to", file, code=1).output
    more = bench.json("late", ledger.aside, "--to", ledger.file("more.ndjson"))
    assert [(each["common"], each["written"], each["by_hand"]) for each in more["logs"]] == [(319, 0, 1)]


def test_what_was_changed_is_set_aside_and_what_cannot_be_read_is_told(ledger: PutBack) -> None:
    bench = ledger.bench
    ledger.take(*range(1, 11))
    ledger.keep_this_moment()
    ledger.take(*range(11, 531))  # two tiles are full behind it
    ledger.take(*range(531, 541))
    ledger.take(*range(541, 551))
    ledger.put_back()
    cut = "UPDATE ledger.segment SET entries = substring(entries FOR 100) WHERE first = {}"
    ledger.damage(cut.format(530))
    found = bench.json("late", ledger.aside, "--to", ledger.file("one.ndjson"), code=1)
    [log] = found["logs"]
    assert (log["written"], log["by_hand"]) == (520, 10)
    assert [(each["first"], each["end"]) for each in log["lost"]] == [(530, 540)]
    told = [json.loads(line) for line in Path(found["by_hand"]).read_text().splitlines()]
    assert {each["why"] for each in told} == {"nothing proves it: the log before them is not proven"}
    assert [each["leaf"] for each in told] == list(range(540, 550))

    ledger.damage("UPDATE ledger.growth SET note = replace(note, '550', '551') WHERE to_size = 550")
    ledger.damage("UPDATE ledger.growth SET root = sha256(root) WHERE to_size = 530")
    found = bench.json("late", ledger.aside, "--to", ledger.file("two.ndjson"), code=1)
    [log] = found["logs"]
    assert log["written"] == 520, "the note is what counts"


def test_a_ledger_that_has_gone_on_for_itself_takes_in_what_it_does_not_have(ledger: PutBack) -> None:
    bench = ledger.bench
    ledger.take(*range(1, 11))
    ledger.keep_this_moment()
    ledger.take(*range(11, 21))
    ledger.put_back()
    ledger.take(*range(16, 26))
    [log] = bench.json("late", ledger.aside, "--to", ledger.file("late.ndjson"))["logs"]
    assert (log["common"], log["written"]) == (0, 20)
    [taken] = bench.json("reapply", ledger.file("late.ndjson"))["sources"]
    assert (taken["taken"], taken["repeated"]) == (5, 15)
    assert sorted(each.seq for each in bench.records()) == list(range(1, 26))
    bench.said("verify")


def test_another_database_is_told_from_a_ledger(ledger: PutBack) -> None:
    gone = ledger.bench.json("late", "nowhere_at_all", "--to", ledger.file("x"), code=1)
    assert "does not exist" in gone["error"]
    assert not ledger.file("x").exists()
