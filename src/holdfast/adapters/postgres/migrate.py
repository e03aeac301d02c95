"""Brings the schema to this program's version, once, however many replicas start together.

Rules:
1. Versions are 1, 2, 3 ... without a gap, and what is applied is a prefix of what the program knows.
2. A migration and its row in `holdfast.migration` are one transaction: both are there or neither.
3. One session-level advisory lock is held by the connection that migrates. Lock and work live and die
   together: a replica that is killed midway leaves neither.
4. An applied migration is history. A file that no longer matches its checksum is refused, not repaired.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import psycopg
from psycopg.pq import TransactionStatus

from holdfast.adapters.postgres.connect import Connection, connect
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.errors import (
    DatabaseAway,
    DatabaseBusy,
    DatabaseError,
    DatabaseFull,
    DatabaseNewer,
    MigrationChanged,
    MigrationError,
    MigrationsWrong,
    translated,
)

# "holdfast" in ASCII, as a number: every Holdfast, of whatever version, must ask for the same lock.
LOCK_KEY = int.from_bytes(b"holdfast", "big")
LOCK_PATIENCE = timedelta(minutes=2)
# A migration that waits longer for a table blocks everybody who queues up behind it.
TABLE_PATIENCE = timedelta(seconds=30)
_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema. `sha256` is over the text with Unix line ends."""

    version: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def file(self) -> str:
        return f"{self.version:04d}_{self.name}.sql"


@dataclass(frozen=True, slots=True)
class Applied:
    """A migration that the database has. `applied_at` is the database's clock, in UTC."""

    version: int
    name: str
    sha256: str
    applied_at: datetime


def packaged() -> tuple[Migration, ...]:
    """The migrations of this program."""
    return read_migrations(files("holdfast.adapters.postgres") / "migrations")


def read_migrations(folder: Path | Traversable) -> tuple[Migration, ...]:
    """The migrations in `folder`, in order; MigrationsWrong for a gap, a number used twice or an odd name."""
    found: list[Migration] = []
    for file in folder.iterdir():
        if not file.name.endswith(".sql"):
            continue
        match = _FILE.fullmatch(file.name)
        if match is None:
            raise MigrationsWrong(
                f"{file.name} is no name for a migration", hint="write NNNN_lower_case_words.sql"
            )
        text = file.read_bytes().decode("utf-8").replace("\r\n", "\n")
        found.append(Migration(int(match[1]), match[2], text))
    found.sort(key=lambda migration: (migration.version, migration.name))
    check_numbering(found)
    return tuple(found)


def check_numbering(migrations: Sequence[Migration]) -> None:
    """Raises MigrationsWrong unless the versions are 1, 2, 3 ... in order."""
    for expected, migration in enumerate(migrations, start=1):
        if migration.version != expected:
            raise MigrationsWrong(f"migration {expected:04d} was expected, and {migration.file} found")


def outstanding(
    migrations: Sequence[Migration], applied: Sequence[Applied], until: int | None = None
) -> Sequence[Migration]:
    """What is left to apply, in order; raises where database and program disagree about the past. Pure."""
    if len(applied) > len(migrations):
        newest = applied[-1]
        raise DatabaseNewer(
            f"this database was migrated by a newer Holdfast: it has {newest.version:04d}_{newest.name}, "
            f"and this program knows {len(migrations)} migrations",
            hint="install that version of Holdfast, or a later one; the schema never goes back",
        )
    for known, past in zip(migrations, applied, strict=False):
        if (known.version, known.name, known.sha256) != (past.version, past.name, past.sha256):
            raise MigrationChanged(
                f"migration {known.file} is not the one that was applied as {past.version:04d}_{past.name} "
                f"on {past.applied_at:%Y-%m-%d}",
                hint="a released migration is never changed: restore the file, and add a new one instead",
            )
    last = len(migrations) if until is None else until
    return migrations[len(applied) : last]


async def migrate(
    conninfo: Conninfo,
    migrations: Sequence[Migration] | None = None,
    *,
    until: int | None = None,
    patience: timedelta = LOCK_PATIENCE,
) -> list[Applied]:
    """Apply what is missing, up to version `until`, and return what was applied now.

    Safe to call from any number of processes at once: one applies, the others wait at most `patience`
    (DatabaseBusy) and find it done. Idempotent.
    """
    known = packaged() if migrations is None else migrations
    check_numbering(known)
    async with connect(conninfo, "migrate", statement_timeout=timedelta(0)) as connection:
        await _lock(connection, patience)
        await _prepare(connection)
        done = [
            await _apply(connection, step) for step in outstanding(known, await _applied(connection), until)
        ]
        await connection.execute("SELECT pg_advisory_unlock(%s)", [LOCK_KEY])
    return done


async def applied(conninfo: Conninfo) -> list[Applied]:
    """What the database has, oldest first; empty for one that was never migrated."""
    async with connect(conninfo, "migrate") as connection:
        return await _applied(connection)


async def _lock(connection: Connection, patience: timedelta) -> None:
    await _limit_locks(connection, patience)
    try:
        await connection.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
    except psycopg.errors.LockNotAvailable as error:
        raise DatabaseBusy(
            f"another Holdfast ({await _holder(connection)}) has been migrating this database for more than "
            f"{patience.total_seconds():.0f} s",
            hint="let it finish, then start again; if it hangs, end its session with pg_terminate_backend",
        ) from error
    await _limit_locks(connection, TABLE_PATIENCE)


async def _limit_locks(connection: Connection, patience: timedelta) -> None:
    await connection.execute(
        "SELECT set_config('lock_timeout', %s, false)", [str(round(patience / timedelta(milliseconds=1)))]
    )


async def _holder(connection: Connection) -> str:
    cursor = await connection.execute(
        "SELECT format('session %%s of %%s', a.pid, a.application_name)"
        " FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
        " AND (l.classid::bigint << 32) | l.objid::bigint = %s",
        [LOCK_KEY],
    )
    row = await cursor.fetchone()
    return row[0] if row is not None else "a session that just ended"


async def _prepare(connection: Connection) -> None:
    await connection.execute(
        "CREATE SCHEMA IF NOT EXISTS holdfast;"
        " CREATE TABLE IF NOT EXISTS holdfast.migration ("
        " version integer PRIMARY KEY CHECK (version > 0),"
        " name text NOT NULL,"
        " sha256 text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now())"
    )


async def _applied(connection: Connection) -> list[Applied]:
    row = await (await connection.execute("SELECT to_regclass('holdfast.migration') IS NOT NULL")).fetchone()
    if row is None or not row[0]:
        return []
    cursor = await connection.execute(
        "SELECT version, name, sha256, applied_at FROM holdfast.migration ORDER BY version"
    )
    return [Applied(*row) for row in await cursor.fetchall()]


async def _apply(connection: Connection, migration: Migration) -> Applied:
    try:
        async with connection.transaction():
            begun = await _transaction_id(connection)
            await connection.execute(migration.text.encode())
            await _still_in(connection, begun, migration)
            cursor = await connection.execute(
                "INSERT INTO holdfast.migration (version, name, sha256) VALUES (%s, %s, %s)"
                " RETURNING version, name, sha256, applied_at",
                [migration.version, migration.name, migration.sha256],
            )
            row = await cursor.fetchone()
    except psycopg.Error as error:
        raise _failure(migration, error) from error
    if row is None:
        raise MigrationError(f"migration {migration.file} left no row")
    return Applied(*row)


async def _transaction_id(connection: Connection) -> str:
    row = await (await connection.execute("SELECT pg_current_xact_id()::text")).fetchone()
    return "" if row is None else str(row[0])


async def _still_in(connection: Connection, begun: str, migration: Migration) -> None:
    """A COMMIT inside a migration would leave half of it behind when the other half fails."""
    inside = connection.info.transaction_status is TransactionStatus.INTRANS
    if not inside or await _transaction_id(connection) != begun:
        raise MigrationsWrong(
            f"migration {migration.file} ends its own transaction",
            hint="leave BEGIN and COMMIT to the runner",
        )


def _failure(migration: Migration, error: psycopg.Error) -> DatabaseError:
    """Away, busy and full stay what they are, for they pass; the rest is the migration's fault."""
    ours = translated(error)
    if isinstance(ours, DatabaseAway | DatabaseBusy | DatabaseFull):
        return ours
    position = int(error.diag.statement_position or 0)
    line = f", line {migration.text.count(chr(10), 0, position) + 1}" if position else ""
    return MigrationsWrong(
        f"migration {migration.file}{line} failed: {error.diag.message_primary}",
        hint=error.diag.message_hint or "nothing of it was applied",
    )
