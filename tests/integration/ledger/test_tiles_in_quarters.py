"""A log of before tiles were kept in quarters is converted whole; and what a proof needs of a log."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from psycopg import sql
from tests.kept_logs import TENANT, Stored, prepared, record, stored_in

from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.postgres.ledger.published import PostgresPublished
from holdfast.adapters.postgres.ledger.verifying import PostgresLogReading
from holdfast.adapters.postgres.migrate import migrate
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.errors import EntriesPruned, LogDamaged
from holdfast.ledger.log.tree import leaf_hashes, verify_inclusion
from holdfast.ledger.publish import proving
from holdfast.ledger.verify.stretches import What

if TYPE_CHECKING:
    import psycopg

    from conftest import Database

BEFORE = 24
"""The last version whose tiles were whole."""
WHOLE_TILES = (
    "SELECT log_id, level, quarter / 4, string_agg(hashes, ''::bytea ORDER BY quarter),"
    " string_agg(root, ''::bytea)"
    " FROM ledger.tile GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
)
COPIED = {
    "log": ("id, tenant, origin, created_at", "SELECT {} FROM ledger.log"),
    "growth": ("log_id, from_size, to_size, root, note, at", "SELECT {} FROM ledger.growth"),
    "segment": ("log_id, first, at, leaves, entries", "SELECT {} FROM ledger.segment"),
    "tile": ("log_id, level, index, hashes, root", WHOLE_TILES),
    "run": ("log_id, source, epoch, first, last, leaf, at", "SELECT {} FROM ledger.run"),
    "conflict": ("log_id, source, epoch, seq, came, leaf", "SELECT {} FROM ledger.conflict"),
    "published": ("log_id, size, note, at", "SELECT {} FROM ledger.published"),
}


@pytest.fixture
async def kept(migrated_database: "Database") -> AsyncIterator[Stored]:
    async with stored_in(migrated_database) as found:
        yield found


def as_before(new: "psycopg.Connection", old: "psycopg.Connection") -> None:
    """What the new database holds of logs, as the version before wrote it."""
    for table, (columns, read) in COPIED.items():
        named = sql.SQL(columns)  # type: ignore[arg-type]
        rows = new.execute(sql.SQL(read).format(named)).fetchall()  # type: ignore[arg-type]
        assert rows, table
        put = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})").format(
            sql.Identifier("ledger", table), named, sql.SQL(", ").join([sql.Placeholder()] * len(rows[0]))
        )
        old.cursor().executemany(put, rows)


async def test_a_log_of_the_version_before_is_converted_whole(
    kept: Stored, migrated_database: "Database", database: "Database"
) -> None:
    await migrate(database.conninfo(), until=BEFORE)
    with migrated_database.connect() as new, database.connect() as old:
        as_before(new, old)
        assert [row.version for row in await migrate(database.conninfo(), until=BEFORE + 1)] == [BEFORE + 1]
        tiles = "SELECT * FROM ledger.tile ORDER BY log_id, level, quarter"
        assert old.execute(tiles).fetchall() == new.execute(tiles).fetchall()
        names = (
            "SELECT conname FROM pg_constraint WHERE connamespace = 'ledger'::regnamespace"
            " AND conname LIKE 'whole%'"
        )
        assert old.execute(names).fetchall() == []
        assert old.execute("SELECT count(*) FROM ledger.growth WHERE peaks IS NOT NULL").fetchone() == (0,)

    head = await kept.store.head(TENANT)
    assert head is not None
    async with open_pool(database.conninfo(Role.OWNER), "test") as pool:
        store = PostgresLogs(pool, ZstdSegments())
        converted = Stored(store, PostgresPublished(pool), PostgresLogReading(pool, store), pool)
        assert all(log.holds for log in (await converted.verified()).values())
        size = head.edge.size
        for leaf in (0, 300, size - 1):
            proof = await proving.inclusion(store, head.log_id, leaf, "", size)
            assert proof == await proving.inclusion(kept.store, head.log_id, leaf, "", size)
        line = Sequencer(
            store,
            ZstdSegments(),
            origin_of=lambda tenant: f"ledger.example/{tenant}",
            signer_for=lambda origin: Ed25519Signer(origin, bytes(32)),
        )
        placed = (await line.append([prepared(*(record("c", n) for n in range(400)))])).placed[0]
        assert placed.size == size + 400
        assert len(await proving.consistency(store, head.log_id, size, size + 400)) > 0
        assert all(log.holds for log in (await converted.verified()).values())


async def test_a_proof_needs_no_entries(kept: Stored, migrated_database: "Database") -> None:
    """Those of the last tile, which is not full, took longer to be read than all the rest of a proof."""
    head = await kept.store.head(TENANT)
    assert head is not None
    size = head.edge.size
    last = size - size % 256
    entries = await kept.store.entries(head.log_id, 0, last)
    with migrated_database.connect() as connection:
        connection.execute("DELETE FROM ledger.segment")
    for leaf in (0, 255, 700, last - 1):
        path = (await proving.inclusion(kept.store, head.log_id, leaf, "", size)).path
        verify_inclusion(leaf_hashes([entries[leaf]]), leaf, size, head.edge.root, path)
    with pytest.raises(EntriesPruned):
        await proving.inclusion(kept.store, head.log_id, last, "", size)


async def test_peaks_that_were_changed_are_told_and_make_no_proof(
    kept: Stored, migrated_database: "Database"
) -> None:
    head = await kept.store.head(TENANT)
    assert head is not None
    wrongs = (
        "set_byte(peaks, 70, get_byte(peaks, 70) # 8)",
        "substring(peaks FROM 33)",
        "peaks || root",
        "''",
    )
    for wrong in wrongs:
        with migrated_database.connect() as connection:
            [before] = connection.execute(
                "SELECT peaks FROM ledger.growth WHERE log_id = %s AND to_size = %s",
                [head.log_id, head.edge.size],
            ).fetchone() or [b""]
            connection.execute(
                sql.SQL("UPDATE ledger.growth SET peaks = {} WHERE log_id = %s AND to_size = %s").format(
                    sql.SQL(wrong)  # type: ignore[arg-type]
                ),
                [head.log_id, head.edge.size],
            )
        with pytest.raises(LogDamaged, match="peaks"):
            await proving.inclusion(kept.store, head.log_id, 0, "", head.edge.size)
        [found] = (await kept.verified())[TENANT].findings
        assert found.what is What.ROOT
        assert "peaks" in found.text
        with migrated_database.connect() as connection:
            connection.execute(
                "UPDATE ledger.growth SET peaks = %b WHERE log_id = %s AND to_size = %s",
                [before, head.log_id, head.edge.size],
            )
    assert (await kept.verified())[TENANT].holds


async def test_a_quarter_stands_in_its_row(kept: Stored, migrated_database: "Database") -> None:
    """Nothing of a tile is kept beside the table, and three rows are a page: what makes a proof quick."""
    assert kept.pool is not None
    with migrated_database.connect() as connection:
        aside = "SELECT reltoastrelid FROM pg_class WHERE oid = 'ledger.tile'::regclass"
        assert connection.execute(aside).fetchone() == (0,)
        on_a_page = (
            "SELECT max(n)"
            " FROM (SELECT count(*) AS n FROM ledger.tile GROUP BY (ctid::text::point)[0]) AS each"
        )
        assert connection.execute(on_a_page).fetchone() == (3,)
