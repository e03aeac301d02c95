"""Who may do what with the logs, tried: the role that serves only adds, and no tenant reads another's."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.postgres.tenancy import EVERY_TENANT, as_tenant
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.intake.reading import Form, Sender, read

if TYPE_CHECKING:
    from conftest import Database

LOG_TABLES = ("log", "growth", "segment", "tile", "run", "conflict", "published")
TENANTS = ("acme", "other", "")


@pytest.fixture
async def filled(migrated_database: "Database") -> "Database":
    """Logs of two tenants and the one over all, with something in every table."""
    async with open_pool(migrated_database.conninfo(Role.LEDGER), "test") as pool:
        packs = ZstdSegments()
        line = Sequencer(
            PostgresLogs(pool, packs),
            packs,
            origin_of=lambda tenant: f"ledger.example/{tenant}".rstrip("/"),
            signer_for=lambda origin: Ed25519Signer(origin, bytes(32)),
        )
        for tenant in TENANTS:
            for job in ("one", "two"):
                body = b"\n".join(
                    b'{"tenant":"%s","source":"s","epoch":1,"seq":%d,"job":"%s","kind":"print",'
                    b'"status":"completed","occurred_at":"2026-11-22T12:00:00Z"}'
                    % (tenant.encode() or b"x", seq, job.encode())
                    for seq in range(300)
                )
                await line.append([read(body, Form.NDJSON, Sender(tenant or "x", "s")).prepared])
    with migrated_database.connect() as connection:
        connection.execute(
            "INSERT INTO ledger.published (log_id, size, note) SELECT id, 300, 'note' FROM ledger.log"
        )
        connection.execute(
            "INSERT INTO ledger.one_region (log_id, from_size, to_size, lsn)"
            " SELECT id, 0, 9, 1 FROM ledger.log"
        )
        connection.execute("UPDATE ledger.log SET tenant = '' WHERE tenant = 'x'")
    return migrated_database


@pytest.fixture
def serving(filled: "Database") -> Iterator[psycopg.Connection]:
    with filled.connect(Role.LEDGER) as connection:
        yield connection


@pytest.fixture
def reading(filled: "Database") -> Iterator[psycopg.Connection]:
    with filled.connect(Role.CONSOLE) as connection:
        yield connection


def count(connection: psycopg.Connection, table: str) -> int:
    row = connection.execute(
        sql.SQL("SELECT count(*) FROM ledger.{}").format(sql.Identifier(table))
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("table", LOG_TABLES)
def test_the_role_that_serves_changes_nothing(serving: psycopg.Connection, table: str) -> None:
    assert count(serving, table) >= 3
    name = sql.Identifier("ledger", table)
    column = serving.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(name)).description
    assert column
    for statement in (
        sql.SQL("UPDATE {} SET {column} = {column}"),
        sql.SQL("DELETE FROM {}"),
        sql.SQL("TRUNCATE {} CASCADE"),
        sql.SQL("DROP TABLE {} CASCADE"),
        sql.SQL("ALTER TABLE {} DISABLE ROW LEVEL SECURITY"),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            serving.execute(statement.format(name, column=sql.Identifier(column[-1].name)))


def test_partitions_are_no_way_round(serving: psycopg.Connection, reading: psycopg.Connection) -> None:
    partitions = [
        name
        for (name,) in serving.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'ledger.segment'::regclass"
        ).fetchall()
    ]
    assert partitions
    for partition in partitions:
        name = sql.Identifier(*partition.split("."))
        for connection in (serving, reading):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(sql.SQL("SELECT * FROM {}").format(name))
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(sql.SQL("DELETE FROM {}").format(name))


def test_a_mark_is_ended_and_otherwise_left_alone(serving: psycopg.Connection) -> None:
    serving.execute("UPDATE ledger.one_region SET reached_at = now() WHERE lsn = 1")
    for statement in ("UPDATE ledger.one_region SET to_size = 1000", "DELETE FROM ledger.one_region"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            serving.execute(statement.encode())


@pytest.mark.parametrize("table", [*LOG_TABLES, "one_region"])
def test_who_says_no_tenant_sees_nothing(reading: psycopg.Connection, table: str) -> None:
    assert count(reading, table) == 0
    with reading.transaction():
        reading.execute("SELECT set_config('holdfast.tenant', 'acme', true)")
        assert count(reading, table) > 0
    # What was set for a transaction is empty behind it, not unset: the empty name is no tenant's.
    assert count(reading, table) == 0
    reading.execute("SET holdfast.tenant = ''")
    assert count(reading, table) == 0


@pytest.mark.parametrize("table", [*LOG_TABLES, "one_region"])
async def test_a_tenant_sees_its_own_and_an_operator_all(filled: "Database", table: str) -> None:
    with filled.connect() as owner:
        whole = count(owner, table)
        own = owner.execute(
            sql.SQL(
                "SELECT count(*) FROM ledger.{} WHERE {} = (SELECT id FROM ledger.log WHERE tenant = 'acme')"
            ).format(sql.Identifier(table), sql.Identifier("id" if table == "log" else "log_id"))
        ).fetchone()
    assert own is not None
    seen = dict[str, int]()
    async with open_pool(filled.conninfo(Role.CONSOLE), "test", max_size=1) as pool:
        for tenant in ("acme", "other", "nobody", EVERY_TENANT, "acme", "%", "acme'; SELECT '*"):
            async with as_tenant(pool, tenant) as connection:
                cursor = await connection.execute(
                    sql.SQL("SELECT count(*) FROM ledger.{}").format(sql.Identifier(table))
                )
                rows = await cursor.fetchall()
            assert seen.setdefault(tenant, rows[0][0]) == rows[0][0]
    assert seen == {
        "acme": own[0],
        "other": own[0],
        "nobody": 0,
        EVERY_TENANT: whole,
        "%": 0,
        "acme'; SELECT '*": 0,
    }
    assert 0 < own[0] < whole


def test_who_reads_writes_nothing(reading: psycopg.Connection) -> None:
    for table in (*LOG_TABLES, "one_region"):
        name = sql.Identifier("ledger", table)
        for statement in (sql.SQL("DELETE FROM {}"), sql.SQL("INSERT INTO {} DEFAULT VALUES")):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reading.execute(statement.format(name))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reading.execute("SELECT * FROM ledger.standby('x')")


@pytest.mark.parametrize("role", [Role.CONTROLLER, Role.SITE, Role.SENDER, Role.BACKUP])
def test_everybody_else_has_no_business_there(filled: "Database", role: Role) -> None:
    with filled.connect(role) as connection:
        for table in (*LOG_TABLES, "one_region"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                count(connection, table)


def test_no_table_of_the_ledger_is_without_row_level_security(migrated_database: "Database") -> None:
    with migrated_database.connect() as owner:
        open_ones = owner.execute(
            "SELECT relname FROM pg_class"
            " WHERE relnamespace = 'ledger'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
            " AND NOT (relrowsecurity AND EXISTS (SELECT FROM pg_policy WHERE polrelid = pg_class.oid))"
        ).fetchall()
        partitions = owner.execute(
            "SELECT c.relname FROM pg_class AS c, aclexplode(c.relacl) AS granted"
            " WHERE c.relnamespace = 'ledger'::regnamespace AND c.relispartition"
            " AND granted.grantee <> c.relowner"
        ).fetchall()
        functions = owner.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'ledger'::regnamespace"
            " AND (has_function_privilege('holdfast_site', oid, 'EXECUTE')"
            "      OR prosecdef AND NOT 'search_path=pg_catalog, pg_temp' = ANY (coalesce(proconfig, '{}')))"
        ).fetchall()
    assert (open_ones, partitions, functions) == ([], [], [])
