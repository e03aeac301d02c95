"""Takes one table or one database out of a restored copy, and loads it into a server that is in use."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from holdfast.adapters.postgres.server.initialise import environment
from holdfast.backup.errors import NotFit, RestoreFailed

_COLUMNS = """
    SELECT attname, pg_catalog.format_type(atttypid, atttypmod), attnotnull, attgenerated = ''
    FROM pg_catalog.pg_attribute WHERE attrelid = %s::pg_catalog.regclass AND attnum > 0 AND NOT attisdropped
    ORDER BY attnum
"""


def target_of(into: str) -> dict[str, str]:
    """Parameters of a connection, from a libpq string. Raises NotFit, also for a password: others see it."""
    try:
        params = {name: str(value) for name, value in conninfo_to_dict(into).items()}
    except psycopg.ProgrammingError as error:
        # Without the text: there may be a password in it.
        raise NotFit("--into is no connection string", hint="host=db.example.com dbname=shop") from error
    if "password" in params:
        raise NotFit(
            "a password on a command line is seen by everybody on this machine",
            hint="leave it out: libpq reads PGPASSWORD, or ~/.pgpass",
        )
    return params


def copy_table(copy: str, database: str, table: str, target: Mapping[str, str], name: str | None) -> int:
    """Load `table` (schema.name) of the copy into the target: as a new table `name`, or in its own's place.

    A new one has the columns, their types and NOT NULL; no indexes, defaults or constraints. In place, all
    rows are replaced, in one transaction. How many rows there are is returned. Raises NotFit, RestoreFailed.
    """
    schema, dot, plain = table.partition(".")
    if not dot:
        schema, plain = "public", table
    origin = sql.Identifier(schema, plain)
    try:
        with (
            psycopg.connect(copy, dbname=database, application_name="holdfast restore") as source,
            psycopg.connect(**target, application_name="holdfast restore") as into,  # type: ignore[arg-type]
        ):
            columns = source.execute(_COLUMNS, [origin.as_string(source)]).fetchall()
            kept = [each for each in columns if each[3]]
            names = sql.SQL(", ").join(sql.Identifier(each[0]) for each in kept)
            if name is None:
                destination = origin
                into.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(destination))
                into.execute(sql.SQL("DELETE FROM {}").format(destination))
            else:
                destination = _named(name, schema)
                into.execute(_created(destination, kept))
            out = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(names, origin)
            come = sql.SQL("COPY {} ({}) FROM STDIN").format(destination, names)
            with source.cursor() as reader, into.cursor() as writer:
                with reader.copy(out) as data, writer.copy(come) as sink:
                    for part in data:
                        sink.write(part)
                return writer.rowcount
    except psycopg.errors.UndefinedTable as error:
        raise NotFit(f"there is no table {table}: {_first(error)}", hint="name it schema.table") from error
    except psycopg.errors.DuplicateTable as error:
        raise NotFit(f"{name} is there already", hint="choose another name with --as") from error
    except psycopg.Error as error:
        raise RestoreFailed(f"{table} was not loaded, nothing was changed: {_first(error)}") from error


def copy_database(copy: str, database: str, bin_dir: Path, target: Mapping[str, str], name: str) -> None:
    """Load a whole database of the copy into a new one of that name, by pg_dump and pg_restore."""
    try:
        with psycopg.connect(**{"dbname": "postgres", **target}, autocommit=True) as into:  # type: ignore[arg-type]
            into.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    except psycopg.errors.DuplicateDatabase as error:
        raise NotFit(f"a database {name} is there already", hint="choose another name with --as") from error
    except psycopg.Error as error:
        raise RestoreFailed(f"{name} was not created: {_first(error)}") from error
    dump = [str(bin_dir / "pg_dump"), "-Fc", "-Z0", "-d", make_conninfo(copy, dbname=database)]
    load = [str(bin_dir / "pg_restore"), "--no-owner", "--exit-on-error", "-d"]
    load.append(make_conninfo(**{**target, "dbname": name}))
    # What libpq reads from its surroundings, such as PGPASSWORD, is the operator's for the target alone.
    ours = {**environment(), **{key: value for key, value in os.environ.items() if key.startswith("PG")}}
    with (
        subprocess.Popen(dump, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as dumping,
        subprocess.Popen(load, stdin=dumping.stdout, stderr=subprocess.PIPE, env=ours) as loading,
    ):
        if dumping.stdout is not None:
            # Ours would keep the pipe open when the one who reads has ended.
            dumping.stdout.close()
        _, said = loading.communicate()
        complained = dumping.stderr.read() if dumping.stderr else b""
        dumping.wait()
    if loading.returncode or dumping.returncode:
        text = (complained or said).decode(errors="replace").strip().splitlines()
        raise RestoreFailed(
            f"{database} was not loaded whole into {name}: {text[0] if text else 'no reason was given'}",
            hint=f"drop {name} before the next attempt",
        )


def _named(name: str, schema: str) -> sql.Identifier:
    above, dot, plain = name.rpartition(".")
    return sql.Identifier(above if dot else schema, plain)


def _created(destination: sql.Identifier, columns: list[tuple[Any, ...]]) -> sql.Composed:
    # A type's text comes from PostgreSQL's own format_type, quoted as it must be.
    fields = [
        sql.SQL("{} {}{}").format(sql.Identifier(name), sql.SQL(kind), sql.SQL(" NOT NULL" if needed else ""))
        for name, kind, needed, _ in columns
    ]
    return sql.SQL("CREATE TABLE {} ({})").format(destination, sql.SQL(", ").join(fields))


def _first(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error)).strip().splitlines()[0]
