"""Whose entries are kept, found in a real log of which the beginning was pruned."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from tests.ledger_records import job

from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.leaving import PostgresLeavings
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.postgres.ledger.persons import PostgresPersons
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.bootstrap.ledger.opening import Ledger
from holdfast.bootstrap.ledger.retention import entries_of
from holdfast.ledger.append.sequences import numbered
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.canonical import leaf_of
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.model import Prepared, Record
from holdfast.ledger.persons.leaving import let_go
from holdfast.ledger.persons.persons import PersonRow, RowKey

if TYPE_CHECKING:
    from conftest import Database


@pytest.fixture
async def pool(migrated_database: "Database") -> AsyncIterator[Pool]:
    async with open_pool(migrated_database.conninfo(Role.LEDGER), "test") as pool:
        yield pool


async def append(pool: Pool, *records: Record) -> None:
    leaves = [leaf_of(each) for each in records]
    columns = zip(*((each.source, each.epoch, each.seq) for each in records), strict=True)
    batch = Prepared("acme", leaves, leaf_hashes(leaves), numbered(*map(list, columns)))
    sequencer = Sequencer(
        PostgresLogs(pool, ZstdSegments()),
        ZstdSegments(),
        origin_of=lambda tenant: f"ledger.example/{tenant}",
        signer_for=lambda origin: Ed25519Signer(origin, bytes(32)),
    )
    await sequencer.append([batch])


async def test_only_who_has_no_kept_entry_is_forgotten(pool: Pool, migrated_database: "Database") -> None:
    """p-gone printed in what was pruned, p-stays as well and later, p-clash is in a conflict alone."""
    await append(pool, *(job(seq, user=("p-gone", "p-stays")[seq % 2]) for seq in range(256)))
    await append(pool, *(job(seq, user="p-other") for seq in range(256, 300)), job(300, user="p-stays"))
    await append(pool, job(256, user="p-clash"))
    persons = ("p-clash", "p-gone", "p-never", "p-stays")
    for each in persons:
        await PostgresPersons(pool).keep([PersonRow("acme", RowKey(each, bytes(32)), each.encode())])
    with migrated_database.connect() as owner:
        for statement in (
            (
                "INSERT INTO ledger.pruned (log_id, up_to, older_than)"
                " SELECT id, 256, now() - interval '30 days' FROM ledger.log WHERE tenant = 'acme'"
            ),
            "DELETE FROM ledger.segment WHERE first < 256",
            "ALTER TABLE ledger.person DISABLE TRIGGER append_only",
            "UPDATE ledger.person SET at = at - interval '40 days'",
            "ALTER TABLE ledger.person ENABLE TRIGGER append_only",
        ):
            owner.execute(statement.encode())
    logs = PostgresLogs(pool, ZstdSegments())
    leavings = PostgresLeavings(pool)
    has_entries = entries_of(cast("Ledger", SimpleNamespace(logs=logs, pool=pool)))
    [found] = await leavings.candidates()
    assert found.pseudonyms == persons
    kept = {each: await has_entries(found, each) for each in persons}
    assert kept == {"p-clash": True, "p-gone": False, "p-never": False, "p-stays": True}

    assert await let_go(leavings, has_entries, actor="ledger") == 0
    with migrated_database.connect() as owner:
        owner.execute("UPDATE ledger.leaving SET since = since - interval '2 days'")
    assert await let_go(leavings, has_entries, actor="ledger") == 2
    with migrated_database.connect() as owner:
        left = owner.execute("SELECT pseudonym FROM ledger.person ORDER BY 1").fetchall()
        assert left == [("p-clash",), ("p-stays",)]
        told = "SELECT facts FROM holdfast.journal WHERE event = 'ledger.persons_forgotten'"
        assert owner.execute(told).fetchall() == [({"tenant": "acme", "persons": 2},)]
