"""Replaces the rows of a table that is in use by those that it had: they alone, and as they were."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import sql

from holdfast.adapters.postgres.restored.table_shapes import Connection
from holdfast.backup.errors import NotFit

_TREE = """
    WITH RECURSIVE tree AS (
        SELECT c.oid, 0 AS depth FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = %(schema)s AND c.relname = %(table)s
      UNION ALL SELECT i.inhrelid, depth + 1 FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid
    )
"""
_INHERITORS = """
    SELECT count(*) FROM tree JOIN pg_catalog.pg_class c USING (oid) WHERE depth > 0 AND NOT c.relispartition
"""
_FOLLOWERS = """
    SELECT f.conrelid::pg_catalog.regclass::text, f.conname FROM pg_catalog.pg_constraint f
    WHERE f.contype = 'f' AND f.confdeltype IN ('c', 'n', 'd') AND f.confrelid IN (SELECT oid FROM tree)
    AND f.conrelid NOT IN (SELECT oid FROM tree) ORDER BY 1, 2 LIMIT 1
"""
_TRIGGERS = """
    SELECT n.nspname, c.relname, t.tgname, t.tgenabled::text FROM tree
    JOIN pg_catalog.pg_trigger t ON t.tgrelid = tree.oid JOIN pg_catalog.pg_class c ON c.oid = tree.oid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' ORDER BY depth, c.relname, t.tgname
"""
_ENABLED = {"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}


@contextmanager
def emptied(into: Connection, schema: str, table: str) -> Iterator[None]:
    """Rows that are written meanwhile are the table's only ones afterwards. One transaction, the caller's.

    Its triggers sleep: they would change the rows, or what others made of them. Raises NotFit when other
    tables' rows would change with it.
    """
    whole = sql.Identifier(schema, table)
    into.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(whole))
    see_that_it_stands_alone(into, schema, table)
    with asleep(into, schema, table):
        into.execute(sql.SQL("DELETE FROM {}").format(whole))
        yield


@contextmanager
def asleep(into: Connection, schema: str, table: str) -> Iterator[None]:
    """The triggers of a table and of all below it do nothing meanwhile; afterwards they are as they were."""
    triggers = _of_the_tree(into, schema, table, _TRIGGERS)
    for above, relation, trigger, _ in triggers:
        _switched(into, sql.Identifier(above, relation), "DISABLE", trigger)
    yield
    # Checks that wait for the end would keep the triggers asleep.
    into.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for above, relation, trigger, how in triggers:
        _switched(into, sql.Identifier(above, relation), _ENABLED[how], trigger)


def see_that_it_stands_alone(into: Connection, schema: str, table: str) -> None:
    """Raises NotFit when others' rows would end up in it, or go or change with its own."""
    hint = "load it under another name with --as, and take over from there"
    if _of_the_tree(into, schema, table, _INHERITORS)[0][0]:
        raise NotFit(f"other tables inherit from {table}, and their rows would end up in it", hint=hint)
    for follower, by in _of_the_tree(into, schema, table, _FOLLOWERS):
        raise NotFit(f"rows of {follower} would go or change with it, by {by}", hint=hint)


def _of_the_tree(into: Connection, schema: str, table: str, query: str) -> list[tuple[Any, ...]]:
    """What a query tells of a table and all below it."""
    return into.execute(sql.SQL(_TREE) + sql.SQL(query), {"schema": schema, "table": table}).fetchall()


def _switched(into: Connection, relation: sql.Identifier, how: str, trigger: str) -> None:
    statement = sql.SQL("ALTER TABLE {} {} TRIGGER {}")
    into.execute(statement.format(relation, sql.SQL(how), sql.Identifier(trigger)))
