"""What a table of a restored copy is like, and another one made like it: as `LIKE ... INCLUDING ALL` would.

Foreign keys, triggers, rules, policies and rights are not taken over: they lead to others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from holdfast.backup.errors import NotFit

Connection = psycopg.Connection[Any]

_TABLE = """
    SELECT c.oid, c.relkind::text, c.relpersistence::text FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s
"""
_TREE = """
    WITH RECURSIVE tree AS (
        SELECT %(table)s::pg_catalog.oid AS oid
      UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid
    )
    SELECT n.nspname, c.relname, c.relkind::text FROM tree
    JOIN pg_catalog.pg_class c ON c.oid = tree.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    ORDER BY n.nspname, c.relname
"""
_COLUMNS = """
    SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
        CASE WHEN a.attcollation <> t.typcollation
            THEN pg_catalog.format('%%I.%%I', cn.nspname, co.collname) END,
        a.attnotnull, pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attidentity::text, a.attgenerated::text,
        EXISTS (SELECT FROM pg_catalog.pg_depend p JOIN pg_catalog.pg_class s ON s.oid = p.objid
            WHERE p.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND s.relkind = 'S'
            AND p.refobjid = a.attrelid AND p.refobjsubid = a.attnum AND p.deptype = 'a')
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation
    LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace
    WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_CONSTRAINTS = """
    SELECT pg_catalog.pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint
    WHERE conrelid = %s AND contype IN ('c', 'p', 'u', 'x') ORDER BY contype <> 'p', conname
"""
# Without its own name, which is taken, and the table's.
_INDEXES = """
    SELECT i.indisunique, pg_catalog.substr(
        pg_catalog.pg_get_indexdef(i.indexrelid),
        1 + pg_catalog.length(pg_catalog.format('CREATE %%sINDEX %%I ON %%s%%I.%%I ',
            CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, x.relname,
            CASE WHEN x.relkind = 'I' THEN 'ONLY ' ELSE '' END, n.nspname, c.relname)))
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
    JOIN pg_catalog.pg_class c ON c.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE i.indrelid = %s AND i.indislive AND (i.indisvalid OR x.relkind = 'I')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint
        WHERE conindid = i.indexrelid AND conrelid = i.indrelid)
    ORDER BY x.relname
"""
_LEFT_OUT = """
    SELECT 'foreign key', count(*) FROM pg_catalog.pg_constraint WHERE conrelid = %(table)s AND contype = 'f'
    UNION ALL SELECT 'trigger', count(*) FROM pg_catalog.pg_trigger
        WHERE tgrelid = %(table)s AND NOT tgisinternal
    UNION ALL SELECT 'rule', count(*) FROM pg_catalog.pg_rewrite
        WHERE ev_class = %(table)s AND rulename <> '_RETURN'
    UNION ALL SELECT 'policy', count(*) FROM pg_catalog.pg_policy WHERE polrelid = %(table)s
"""


@dataclass(frozen=True, slots=True)
class Column:
    """Texts of SQL are PostgreSQL's own, with the schema of everything that is not its own."""

    name: str
    kind: str
    collation: str | None
    needed: bool
    default: str | None
    identity: str
    """a for always, d by default; empty for none."""
    generated: str
    """s for stored, v for virtual; empty for none."""
    has_sequence: bool
    """One of its own, which its default takes numbers from."""

    @property
    def is_numbered(self) -> bool:
        return bool(self.identity) or (self.has_sequence and self.needed)


@dataclass(frozen=True, slots=True)
class Shape:
    """A table. `sources` hold its rows: itself, or its partitions.

    `by_table`: they are read as they are, and not by a query. Planning one reads all indexes, which may be
    left out, and asks the servers of foreign partitions.
    """

    kind: str
    columns: tuple[Column, ...]
    constraints: tuple[str, ...]
    indexes: tuple[tuple[bool, str], ...]
    sources: tuple[sql.Identifier, ...]
    by_table: bool
    has_children: bool
    """Others inherit from it, and are no partitions of it."""
    left_out: tuple[str, ...]

    @property
    def kept(self) -> Sequence[str]:
        """Names of the columns that hold something of their own."""
        return [each.name for each in self.columns if not each.generated]


def shape_of(source: Connection, schema: str, table: str, *, is_alone: bool) -> Shape:
    """What a table is like; `is_alone`: the rest is not there. Raises NotFit when its rows cannot be read."""
    # Everything is named with its schema then: the other server may look elsewhere.
    source.execute("SELECT pg_catalog.set_config('search_path', '', false)")
    found = source.execute(_TABLE, [schema, table]).fetchone()
    if found is None:
        raise NotFit(f"there is no table {schema}.{table}", hint="name it schema.table; quotes do not count")
    oid, kind, persistence = found
    if persistence != "p":
        raise NotFit(f"{schema}.{table} is unlogged: its content is in no backup")
    if kind not in ("r", "p", "m", "v"):
        raise NotFit(f"{schema}.{table} is no table: its rows are elsewhere")
    tree = source.execute(_TREE, {"table": oid}).fetchall()
    foreign = [name for _, name, each in tree if each == "f"]
    counted = source.execute(_LEFT_OUT, {"table": oid}).fetchall()
    left_out = [f"{count} {_many(what, count)}" for what, count in counted if count]
    if foreign:
        left_out.append(f"the rows of {', '.join(foreign)}, which are on another server")
    by_table = kind in "rp" and (is_alone or bool(foreign))
    held_by = [(above, name) for above, name, each in tree if each not in "pf"]
    return Shape(
        kind,
        tuple(Column(*row) for row in source.execute(_COLUMNS, [oid]).fetchall()),
        tuple(row[0] for row in source.execute(_CONSTRAINTS, [oid]).fetchall()),
        tuple((row[0], row[1]) for row in source.execute(_INDEXES, [oid]).fetchall()),
        tuple(sql.Identifier(*each) for each in (held_by if by_table else [(schema, table)])),
        by_table,
        has_children=kind == "r" and len(tree) > 1,
        left_out=tuple(left_out),
    )


def create(into: Connection, destination: sql.Identifier, shape: Shape) -> list[str]:
    """Make an empty table like it, with its defaults; what could not be taken over is returned."""
    fields = sql.SQL(", ").join(_field(each) for each in shape.columns)
    into.execute(sql.SQL("CREATE TABLE {} ({})").format(destination, fields))
    lost = []
    for each in shape.columns:
        if each.default is None or each.generated or each.is_numbered:
            continue
        if each.has_sequence:
            lost.append(f"the default of {each.name}: its sequence is the other table's")
            continue
        statement = sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET DEFAULT {}").format(
            destination, sql.Identifier(each.name), _text(each.default)
        )
        lost += _tried(into, statement, f"the default of {each.name}")
    return lost


def complete(into: Connection, destination: sql.Identifier, shape: Shape) -> list[str]:
    """Give the table, whose rows are there, its constraints and indexes; what it did not get is returned."""
    lost: list[str] = []
    for text in shape.constraints:
        statement = sql.SQL("ALTER TABLE {} ADD {}").format(destination, _text(text))
        lost += _tried(into, statement, text)
    for unique, text in shape.indexes:
        kind = sql.SQL("CREATE UNIQUE INDEX ON {} {}" if unique else "CREATE INDEX ON {} {}")
        lost += _tried(into, kind.format(destination, _text(text)), f"the index {text}")
    for each in shape.columns:
        if each.is_numbered:
            _numbered(into, destination, each.name)
    return lost


def _numbered(into: Connection, destination: sql.Identifier, column: str) -> None:
    """Let the next number be above those that are there."""
    into.execute(
        sql.SQL(
            "SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence({}, {}), most)"
            " FROM (SELECT max({}) AS most FROM {}) AS rows WHERE most > 0"
        ).format(
            sql.Literal(destination.as_string(into)),
            sql.Literal(column),
            sql.Identifier(column),
            destination,
        )
    )


def _field(column: Column) -> sql.Composed:
    parts: list[sql.Composable] = [sql.Identifier(column.name), _text(column.kind)]
    if column.collation:
        parts += [sql.SQL("COLLATE"), _text(column.collation)]
    if column.generated:
        kept = sql.SQL("STORED" if column.generated == "s" else "VIRTUAL")
        parts.append(sql.SQL("GENERATED ALWAYS AS ({}) {}").format(_text(column.default or "NULL"), kept))
    if column.is_numbered:
        parts.append(sql.SQL("GENERATED {} AS IDENTITY").format(_when(column)))
    if column.needed:
        parts.append(sql.SQL("NOT NULL"))
    return sql.SQL(" ").join(parts)


def _when(column: Column) -> sql.SQL:
    return sql.SQL("ALWAYS" if column.identity == "a" else "BY DEFAULT")


def _tried(into: Connection, statement: sql.Composed, what: str) -> Iterator[str]:
    """What was lost, and why; nothing when it was done. The rest of the transaction goes on."""
    try:
        with into.transaction():
            into.execute(statement)
    except psycopg.errors.QueryCanceled:
        raise
    except psycopg.Error as error:
        if into.broken:
            raise
        yield f"{what} ({(error.diag.message_primary or str(error)).splitlines()[0]})"


def _text(text: str) -> sql.SQL:
    # PostgreSQL's own, quoted as it must be. It is put in its place, and never looked into for one.
    return sql.SQL(text)


def _many(what: str, count: int) -> str:
    if count == 1:
        return what
    return "policies" if what == "policy" else f"{what}s"
