"""Persons in a running ledger: posted in plain, shown, erased, pruned, and what an old backup brings back."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from tests.installation import eventually
from tests.ledger_process import LedgerProcess, ledger_process, source_token

from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.vault.aes import fresh_key

if TYPE_CHECKING:
    from conftest import Database

ADA = {"login": "ada", "name": "Ada Lovelace", "mail": "ada@example.com"}
KEEP_DAYS = 30


@pytest.fixture
def token(migrated_database: "Database") -> str:
    with migrated_database.connect() as connection:
        return source_token(connection)


@pytest.fixture
def served(migrated_database: "Database", tmp_path: Path, token: str) -> Iterator[LedgerProcess]:
    del token
    more = {
        "pseudonym_key": "file:pseudonym.key",
        "person_keys": ["west/keys", "east/keys"],
        "keep": f"{KEEP_DAYS}d",
    }
    dsn = migrated_database.conninfo().dsn
    with ledger_process(tmp_path / "one", dsn, more, wait=False) as process:
        folder = process.installation.folder
        key = folder / "pseudonym.key"
        key.touch(0o600)
        key.write_text(fresh_key(), encoding="ascii")
        process.start()
        said = process.installation.run("ledger", "person", "stores", "--make", "--json").json
        assert [each["persons"] for each in said["stores"]] == [0, 0]
        yield process


def body(first: int, last: int, **more: object) -> bytes:
    """Records [first, last) of a print service."""
    records = [
        {
            "tenant": "acme",
            "source": "spooler",
            "epoch": 1,
            "seq": seq,
            "job": f"job {seq}",
            "kind": "print",
            "status": "completed",
            "occurred_at": "2026-11-22T12:00:00Z",
            "sheets": {"A4": 2},
            **more,
        }
        for seq in range(first, last)
    ]
    return "\n".join(json.dumps(each) for each in records).encode()


def ledger(served: LedgerProcess, *arguments: str, code: int = 0) -> Any:
    return served.installation.run("ledger", *arguments, "--json", code=code).json


def everything_in(database: "Database") -> bytes:
    """All rows of all tables of the ledger, and all entries, as bytes."""
    with database.connect() as connection:
        names = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname IN ('ledger', 'holdfast')"
        ).fetchall()
        found = list[bytes]()
        for (name,) in names:
            copied = f"COPY (SELECT * FROM {name}) TO STDOUT (FORMAT binary)".encode()
            with connection.cursor().copy(copied) as rows:
                found += [bytes(row) for row in rows]
        [(log_id, size)] = connection.execute(
            "SELECT log_id, max(to_size) FROM ledger.growth JOIN ledger.log ON id = log_id"
            " WHERE tenant = 'acme' GROUP BY log_id"
        ).fetchall()

    async def entries() -> bytes:
        async with open_pool(database.conninfo(), "test") as pool:
            return b"".join(await PostgresLogs(pool, ZstdSegments()).entries(log_id, 0, size))

    return b"".join(found) + asyncio.run(entries())


def test_a_person_is_told_shown_and_erased_and_the_log_still_proves_everything(
    served: LedgerProcess, token: str, migrated_database: "Database"
) -> None:
    first = served.post(body(1, 301, person=ADA), token).json()
    assert (first["taken"], first["refused"]) == ([{"first": 1, "last": 300, "leaf": 0}], [])
    large = served.post(body(301, 601, person={"login": "bob"}), token, kind="application/x-ndjson").json()
    assert large["size"] == 600
    assert served.post(body(1, 301, person=ADA), token).json()["repeated"][0]["leaf"] == 0

    shown = ledger(served, "person", "show", "--tenant", "acme", "--login", "ADA")
    assert (shown["told"], shown["rows"], shown["erased_at"]) == ([ADA], 1, None)
    who = ["--tenant", "acme", "--user", shown["user"]]
    assert ledger(served, "person", "erase", *who, "--dry-run")["told"] == []
    refused = served.installation.run("ledger", "person", "erase", *who, "--reason", "asked", code=1)
    assert "cannot be undone" in refused.err  # and nobody is there to be asked

    east = served.installation.folder / "east"
    east.rename(east.with_name("away"))
    erase = ["person", "erase", *who, "--reason", "asked for it", "--yes"]
    half = ledger(served, *erase, code=1)
    assert (half["done_at"], list(half["away"])) == (None, [str(east / "keys")])
    assert ledger(served, "person", "show", *who)["told"] == []
    east.with_name("away").rename(east)
    served.kill()
    served.start()  # and the process goes on with it

    def done() -> bool:
        return "not yet" not in served.installation.run("ledger", "person", "erasures").out

    eventually(done, "the keys are gone from both stores")
    again = ledger(served, *erase)
    assert (again["away"], again["done_at"] is not None) == ({}, True)
    assert [each["pseudonym"] for each in ledger(served, "person", "erasures")] == [shown["user"]]
    assert ledger(served, "person", "show", *who)["told"] == []
    bob = ledger(served, "person", "show", "--tenant", "acme", "--login", "bob")
    assert bob["told"] == [{"login": "bob"}]

    again = served.post(body(1, 301, person=ADA), token).json()  # still the same bytes
    assert (again["taken"], again["conflicts"], again["repeated"][0]["leaf"]) == ([], [], 0)
    served.installation.run("ledger", "verify")
    stored = everything_in(migrated_database)
    assert b"Lovelace" not in stored
    assert b"ada@" not in stored
    assert shown["user"].encode() in stored
    events = _events(migrated_database)
    assert events.count("ledger.erasure_asked") == events.count("ledger.person_erased") == 1
    assert events.count("ledger.person_shown") == 4


def test_an_old_backup_brings_nobody_back(
    served: LedgerProcess, token: str, migrated_database: "Database"
) -> None:
    served.post(body(1, 301, person=ADA), token)
    user = ledger(served, "person", "show", "--tenant", "acme", "--login", "ada")["user"]
    served.stop()
    backup = f"{migrated_database.name}_backup"
    owner = migrated_database.conninfo().with_settings(dbname="postgres").dsn
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {backup} TEMPLATE {migrated_database.name}".encode())
    served.start()
    who = ["--tenant", "acme", "--user", user]
    ledger(served, "person", "erase", *who, "--reason", "asked for it", "--yes")
    served.stop()
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {migrated_database.name} WITH (FORCE)".encode())
        connection.execute(f"ALTER DATABASE {backup} RENAME TO {migrated_database.name}".encode())

    served.start()
    shown = ledger(served, "person", "show", *who)
    assert (shown["rows"], shown["told"], shown["asked_at"]) == (1, [], None)  # the database never heard
    assert shown["erased_at"] is not None
    again = served.post(body(1, 302, person=ADA), token).json()
    assert (again["conflicts"], again["size"]) == ([], 301)
    assert ledger(served, "person", "show", *who)["told"] == []


def test_entries_go_after_their_time_and_a_hold_keeps_them(
    served: LedgerProcess, token: str, migrated_database: "Database"
) -> None:
    for first in (1, 301, 601):
        assert served.post(body(first, first + 300), token).status_code == 200
    [before] = ledger(served, "prune")["before"]
    assert (before["size"], before["keep_days"], before["going"]) == (900, None, 0)
    with migrated_database.connect() as owner:
        owner.execute("UPDATE ledger.growth SET at = at - interval '40 days' WHERE from_size < 600")
        owner.execute("UPDATE ledger.segment SET at = at - interval '40 days' WHERE first < 600")
        owner.execute("UPDATE ledger.run SET at = at - interval '40 days' WHERE leaf < 600")
        owner.execute("ALTER TABLE ledger.keeping DISABLE TRIGGER append_only")
        owner.execute("UPDATE ledger.keeping SET since = since - interval '8 days'")

    def ready() -> bool:
        [stands] = ledger(served, "prune", "--dry-run")["before"]
        return bool(stands["folded"] == stands["published"] == 900)

    eventually(ready, "all is published, and every follower has read it")
    served.installation.run("ledger", "hold", "place", "acme", "--reason", "court order")
    [held] = ledger(served, "prune", "--dry-run")["before"]
    assert (held["going"], held["waits_for"]) == (0, "a legal hold: court order")
    assert "court order" in served.installation.run("ledger", "prune").out
    assert "court order" in served.installation.run("ledger", "hold", "list").out
    served.installation.run("ledger", "hold", "lift", "acme")
    [free] = ledger(served, "prune", "--dry-run")["before"]
    assert (free["keep_days"], free["going"], free["pruned"]) == (KEEP_DAYS, 600, 0)
    done = ledger(served, "prune")
    assert (done["up_to"], done["segments"]) == ({"acme": 600}, 2)
    assert served.post(body(550, 650), token).json()["repeated"] != []
    assert "600" in served.installation.run("ledger", "verify").out
    events = _events(migrated_database)
    assert {"ledger.keeping_changed", "ledger.hold_placed", "ledger.entries_pruned"} <= set(events)


def _events(database: "Database") -> list[str]:
    with database.connect() as connection:
        return [
            str(event)
            for (event,) in connection.execute("SELECT event FROM holdfast.journal ORDER BY id").fetchall()
        ]
