"""Takes one table out of a restored copy, and loads it into a server that is in use."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from holdfast.adapters.postgres.restored.rows_in_place import emptied
from holdfast.adapters.postgres.restored.table_shapes import Connection, Shape, complete, create, shape_of
from holdfast.backup.errors import NotFit, RestoreFailed

_SPOKEN = (
    "datestyle=ISO",
    "intervalstyle=postgres",
    "extra_float_digits=3",
    "statement_timeout=0",
    "idle_in_transaction_session_timeout=0",
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """How many rows, and what of the table was left out."""

    rows: int
    left_out: tuple[str, ...] = ()


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


def table_named(text: str) -> tuple[str, str]:
    """Schema and name, of a table as it was given."""
    schema, dot, plain = text.partition(".")
    return (schema, plain) if dot else ("public", text)


def copy_table(
    copy: str,
    database: str,
    table: str,
    target: Mapping[str, str],
    name: str | None,
    *,
    is_alone: bool = False,
) -> Loaded:
    """Load `table` (schema.name) of the copy into the target: as a new table `name`, or in its own's place.

    A new one gets columns, defaults, constraints and indexes, and is one table also where it was
    partitioned. In place, all rows are replaced. One transaction either way. `is_alone`: the copy has the
    table's files and no others. Raises NotFit, RestoreFailed.
    """
    schema, plain = table_named(table)
    try:
        with (
            _connected({**conninfo_to_dict(copy), "dbname": database}) as source,
            _connected(target) as into,
        ):
            shape = shape_of(source, schema, plain, is_alone=is_alone)
            if name is None:
                if shape.has_children:
                    raise NotFit(f"others inherited from {table}", hint="load it by another name with --as")
                with emptied(into, schema, plain):
                    rows = _rows(source, into, sql.Identifier(schema, plain), shape)
                return Loaded(rows)
            above, dot, below = name.rpartition(".")
            destination = sql.Identifier(above if dot else schema, below)
            lost = create(into, destination, shape)
            rows = _rows(source, into, destination, shape)
            lost += complete(into, destination, shape)
            return Loaded(rows, (*shape.left_out, *lost))
    except psycopg.errors.UndefinedTable as error:
        raise NotFit(f"there is no table {table}: {_first(error)}", hint="name it schema.table") from error
    except psycopg.errors.DuplicateTable as error:
        raise NotFit(f"{name} is there already", hint="choose another name with --as") from error
    except psycopg.Error as error:
        raise RestoreFailed(f"{table} was not loaded, nothing was changed: {_first(error)}") from error


def _connected(params: Mapping[str, Any]) -> Connection:
    """One that reads and writes values as the other one does, whatever their servers are set to."""
    options = f"{params.get('options') or ''} {' '.join(f'-c {each}' for each in _SPOKEN)}".strip()
    ours = {"options": options, "client_encoding": "utf8", "application_name": "holdfast restore"}
    return psycopg.connect(**{**params, **ours})


def _rows(source: Connection, into: Connection, destination: sql.Identifier, shape: Shape) -> int:
    """Copy the rows of all that hold some; how many. Raises RestoreFailed when they do not arrive whole."""
    return sum(_copied(source, into, each, destination, shape) for each in shape.sources)


def _copied(
    source: Connection,
    into: Connection,
    origin: sql.Identifier,
    destination: sql.Identifier,
    shape: Shape,
) -> int:
    names = sql.SQL(", ").join(sql.Identifier(each) for each in shape.kept)
    fields = sql.SQL(" ({})").format(names) if shape.kept else sql.SQL("")
    if shape.by_table:
        out = sql.SQL("COPY {}{} TO STDOUT").format(origin, fields)
    else:
        out = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(names, origin)
    come = sql.SQL("COPY {}{} FROM STDIN").format(destination, fields)
    with source.cursor() as reader, into.cursor() as writer:
        with reader.copy(out) as data, writer.copy(come) as sink:
            for part in data:
                sink.write(part)
        if reader.rowcount != writer.rowcount:
            told = f"{writer.rowcount} of {reader.rowcount} rows"
            raise RestoreFailed(f"{told} of {origin.as_string(source)} arrived, nothing was changed")
        return writer.rowcount


def _first(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error)).strip().splitlines()[0]
