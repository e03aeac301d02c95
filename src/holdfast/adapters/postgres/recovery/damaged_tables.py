"""One damaged table: beside its last good copy, and put back.

The copy's rows come into a temporary table of production's server, so that both are compared, and written, by
one server in one transaction. They come before it begins: a server that waits for rows waits without an end,
and a process that is stopped meanwhile would keep what it had locked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from holdfast.adapters.postgres.recovery.damaged_sessions import SQL, Connection
from holdfast.adapters.postgres.restored.table_shapes import Shape, complete, create, shape_of
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.salvage import Compared, Way

_XIDS = 2**32


@dataclass(frozen=True, slots=True)
class Table:
    """A table in production, and the columns that it has in common with the copy's."""

    name: str
    """With its schema."""
    whole: sql.Identifier
    columns: tuple[str, ...]
    key: tuple[str, ...]
    """Empty where it has none."""
    only_by_server: frozenset[str]
    """Columns that an UPDATE cannot set."""
    good: sql.Identifier
    """Its good rows, in this session only."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A table that production does not have, as the copy has it."""

    name: str
    whole: sql.Identifier
    shape: Shape
    good: sql.Identifier
    """Its good rows, in this session only."""
    owner: str


Staged = Table | Missing


def parts_of(name: str) -> tuple[str, str]:
    """Schema and table."""
    schema, _, plain = name.partition(".")
    return schema, plain


def staged(now: Connection, then: Connection, name: str, number: int) -> Staged:
    """Its good rows, in a temporary table with this number until the session ends. In no transaction.

    Raises StepFailed when the copy has no such table either, or others inherited from it.
    """
    oid = _oid(then, name)
    if oid is None:
        raise StepFailed(f"there was no table {name} then either", hint="name it schema.table")
    good = sql.Identifier("pg_temp", f"holdfast_good_{number}")
    whole = sql.Identifier(*parts_of(name))
    here = _oid(now, name)
    if here is None:
        return _missing(now, then, name, good)
    columns = then.execute(SQL["columns"], {"table": oid}).fetchall()
    own = now.execute(SQL["columns"], {"table": here}).fetchall()
    there = {column for column, _ in columns}
    common = tuple(column for column, _ in own if column in there)
    found = now.execute(SQL["key"], {"table": here}).fetchone()
    key = tuple(found[0]) if found and found[0] else ()
    fields = _listed(common)
    now.execute(
        sql.SQL("CREATE TEMP TABLE {} AS SELECT {} FROM {} WITH NO DATA").format(
            sql.Identifier(f"holdfast_good_{number}"), fields, whole
        )
    )
    copied(then, now, whole, good, common)
    server = frozenset(column for column, always in own if always)
    return Table(name, whole, common, key if set(key) <= set(common) else (), server, good)


def _missing(now: Connection, then: Connection, name: str, good: sql.Identifier) -> Missing:
    schema, plain = parts_of(name)
    with then.transaction():
        shape = shape_of(then, schema, plain, is_alone=False)
        create(now, good, shape)
        whole = sql.Identifier(schema, plain)
        copied(then, now, whole, good, shape.kept)
        (owner,) = then.execute(SQL["owner"], {"schema": schema, "name": plain}).fetchone() or ("",)
    return Missing(name, whole, shape, good, owner)


def compared(now: Connection, table: Staged, bad: Sequence[int]) -> Compared:
    """Count how it differs. `bad`: the transactions that did it; none: nobody knows."""
    name = table.name
    good = _number(now, sql.SQL("SELECT count(*) FROM {}").format(table.good))
    if isinstance(table, Missing):
        return Compared(table=name, good=good, is_there=False)
    if not table.key:
        rows = 0 if _holds_the_same(now, table) else None
        return Compared(table=name, good=good, has_key=False, damaged=rows, later=rows, gone=rows, new=rows)
    row = now.execute(
        sql.SQL(
            "SELECT count(*) FILTER (WHERE t.ctid IS NULL),"
            " count(*) FILTER (WHERE {differs} AND {bad}), count(*) FILTER (WHERE {differs} AND NOT {bad})"
            " FROM {good} AS g LEFT JOIN {whole} AS t ON {same}"
        ).format(
            differs=sql.SQL("(t.ctid IS NOT NULL AND {})").format(_differs(table)),
            bad=_BAD,
            good=table.good,
            whole=table.whole,
            same=_same(table),
        ),
        {"bad": _xids(bad)},
    ).fetchone()
    new = _number(
        now,
        sql.SQL("SELECT count(*) FROM {} AS t WHERE NOT EXISTS (SELECT FROM {} AS g WHERE {})").format(
            table.whole, table.good, _same(table)
        ),
    )
    lost, damaged, later = row or (0, 0, 0)
    return Compared(table=name, good=good, damaged=damaged if bad else None, later=later, gone=lost, new=new)


def put_back(now: Connection, table: Table, way: Way, bad: Sequence[int], *, again: bool) -> int:
    """Write the good rows; how many rows were changed by it. The triggers are asleep meanwhile."""
    if way is Way.NOTHING:
        return 0
    if not table.key:
        now.execute(sql.SQL("DELETE FROM {}").format(table.whole))
        return _inserted(now, table, sql.SQL("true"))
    changed = 0
    if way is Way.REPLACE and not again:
        drop_new = sql.SQL("DELETE FROM {} AS t WHERE NOT EXISTS (SELECT FROM {} AS g WHERE {})")
        changed += now.execute(drop_new.format(table.whole, table.good, _same(table))).rowcount
    only: sql.Composable = _BAD if way is Way.ROWS else sql.SQL("true")
    settable = [each for each in table.columns if each not in table.key and each not in table.only_by_server]
    if settable:
        fields = sql.SQL(", ").join(
            sql.SQL("{} = g.{}").format(sql.Identifier(each), sql.Identifier(each)) for each in settable
        )
        statement = sql.SQL("UPDATE {} AS t SET {} FROM {} AS g WHERE {} AND {} AND {}").format(
            table.whole, fields, table.good, _same(table), _differs(table), only
        )
        changed += now.execute(statement, {"bad": _xids(bad)}).rowcount
    absent = sql.SQL("NOT EXISTS (SELECT FROM {} AS t WHERE {})").format(table.whole, _same(table))
    return changed + _inserted(now, table, absent)


def made_again(now: Connection, table: Missing) -> tuple[int, tuple[str, ...]]:
    """Make a table that is not there: rows, and what of the table is left out."""
    schema, _ = parts_of(table.name)
    now.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    lost = create(now, table.whole, table.shape)
    fields = _listed(table.shape.kept)
    statement = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}")
    rows = now.execute(statement.format(table.whole, fields, fields, table.good)).rowcount
    lost += complete(now, table.whole, table.shape)
    lost += _owned(now, table)
    return rows, (*table.shape.left_out, *lost)


def _owned(now: Connection, table: Missing) -> Sequence[str]:
    """Give it back to its owner; else programs that worked with it could not. What was lost."""
    if now.info.user == table.owner:
        return ()
    statement = sql.SQL("ALTER TABLE {} OWNER TO {}")
    try:
        with now.transaction():
            now.execute(statement.format(table.whole, sql.Identifier(table.owner)))
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedObject):
        return (f"its owner, {table.owner}",)
    return ()


def copied(
    then: Connection, now: Connection, out: sql.Identifier, into: sql.Identifier, columns: Sequence[str]
) -> None:
    """Rows of the copy, as they come. Raises StepFailed when they do not arrive whole."""
    fields = _listed(columns)
    go = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(fields, out)
    come = sql.SQL("COPY {} ({}) FROM STDIN").format(into, fields)
    with then.cursor() as reader, now.cursor() as writer:
        with reader.copy(go) as data, writer.copy(come) as sink:
            for part in data:
                sink.write(part)
        if reader.rowcount != writer.rowcount:
            raise StepFailed(f"{writer.rowcount} of {reader.rowcount} rows arrived, nothing was changed")
    now.execute(sql.SQL("ANALYZE {}").format(into))


_BAD = sql.SQL("t.xmin::text::bigint = ANY(%(bad)s)")


def _inserted(now: Connection, table: Table, which: sql.Composable) -> int:
    fields = _listed(table.columns)
    statement = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} AS g WHERE {}")
    return now.execute(statement.format(table.whole, fields, fields, table.good, which)).rowcount


def _holds_the_same(now: Connection, table: Table) -> bool:
    """Whether the two have the same rows, each as often: all that can be told without a key."""
    g, t = sql.Identifier("g"), sql.Identifier("t")
    one, other = (
        sql.SQL("SELECT {}::text AS row FROM {} AS {}").format(_row(table, alias), place, alias)
        for alias, place in ((g, table.good), (t, table.whole))
    )
    row = now.execute(
        sql.SQL(
            "SELECT NOT EXISTS (({one}) EXCEPT ALL ({other})) AND NOT EXISTS (({other}) EXCEPT ALL ({one}))"
        ).format(one=one, other=other)
    ).fetchone()
    return bool(row and row[0])


def _oid(connection: Connection, name: str) -> int | None:
    schema, plain = parts_of(name)
    row = connection.execute(SQL["table"], {"schema": schema, "name": plain}).fetchone()
    if row is None:
        return None
    if row[1]:
        raise StepFailed(
            f"other tables inherit from {name}", hint="name those that hold the rows, and not this one"
        )
    return int(row[0])


def _same(table: Table) -> sql.Composed:
    return sql.SQL(" AND ").join(
        sql.SQL("t.{} = g.{}").format(sql.Identifier(each), sql.Identifier(each)) for each in table.key
    )


def _differs(table: Table) -> sql.Composed:
    """As text: some types, such as json, know no equality."""
    one, other = (_row(table, sql.Identifier(each)) for each in "tg")
    return sql.SQL("{}::text IS DISTINCT FROM {}::text").format(one, other)


def _row(table: Table, name: sql.Identifier) -> sql.Composed:
    fields = sql.SQL(", ").join(sql.SQL("{}.{}").format(name, sql.Identifier(each)) for each in table.columns)
    return sql.SQL("ROW({})").format(fields)


def _listed(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(each) for each in columns)


def _number(connection: Connection, statement: sql.Composed) -> int:
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0


def _xids(bad: Sequence[int]) -> list[int]:
    """As rows bear them: without the epoch."""
    return [each % _XIDS for each in bad]
