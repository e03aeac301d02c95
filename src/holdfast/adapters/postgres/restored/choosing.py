"""Which files a table or a database has: before a server runs by the catalogs' files, and then by itself.

What is read without a server may lack rows, or hold some that are dead. So it only says what to fetch first;
what counts is what the recovered copy says.

Source: PostgreSQL `src/include/catalog/pg_class.h` (12 to 18), `pg_database.h`, `pg_namespace.h`,
`pg_inherits.h`.
"""

import re
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from holdfast.adapters.postgres.restored.heap_pages import MAP, NAME_BYTES, mapped, name_at, rows_in
from holdfast.backup.errors import RestoreFailed
from holdfast.backup.ports import Copy
from holdfast.backup.restore.chosen import (
    FIRST_OF_USERS,
    LARGE_OBJECTS,
    Chosen,
    NotAlone,
    Relation,
    Sought,
    relation_of,
)

OLDEST, NEWEST = 14, 18
"""Versions whose catalogs are known here."""
KINDS = "rp"
"""Tables, and partitioned ones. A view needs whatever it was made of."""
TEMPLATE = "template1"
"""Whose catalogs the copy is always asked through."""

HOLLOW_SETTINGS = {
    # Where full-page writes are off on the server, WAL changes parts of pages that nobody fetched.
    "ignore_invalid_pages": "on",
    # So that those are told.
    "log_min_messages": "warning",
}

_DATABASE, _CLASS, _NAMESPACE, _INHERITS = 1262, 1259, 2615, 2611
_SHARED = re.compile(r"^global/([0-9]+)(?:\.[0-9]+)?$")
_DATABASE_MAP = re.compile(rf"^(?:base|pg_tblspc/[0-9]+/[^/]+)/([0-9]+)/{re.escape(MAP)}$")
_NOT_THERE = re.compile(r"page [0-9]+ of relation \"?([^\s\"]+)\"? (?:does not exist|is uninitialized)")
_ASK_S = 300.0

Bring = Callable[[Callable[[str], bool]], None]
"""Fetches the files of a backup that it says yes to, by their paths, into a folder."""


@dataclass(frozen=True, slots=True)
class _Class:
    """What counts of a row of pg_class."""

    oid: int
    name: str
    namespace: int
    number: int
    toast: int
    kind: str


def chosen_for(sought: Sought, major: int, folder: Path, bring: Bring) -> Chosen:
    """What to fetch, by the catalogs that `bring` puts into `folder`. Raises NotAlone."""
    if not OLDEST <= major <= NEWEST:
        raise NotAlone(f"the catalogs of PostgreSQL {major} are not known")
    databases = _databases(folder, bring)
    wanted, templates = databases.get(sought.database, set()), databases.get(TEMPLATE, set())
    if not wanted or not templates:
        raise NotAlone(f"the backup has no database {sought.database if templates else TEMPLATE}")
    catalogs = wanted | templates
    _bring_relations(bring, catalogs, {_CLASS, _NAMESPACE, _INHERITS}, maps=True)
    relations: set[Relation] = set()
    for database in sorted(catalogs):
        found = _Catalog(folder, bring, database, major)
        numbers = found.rewritten()
        if sought.table and database in wanted:
            numbers |= found.of_table(sought.schema, sought.table)
        relations |= {(database, number) for number in numbers}
    whole = frozenset() if sought.table else frozenset(wanted)
    return Chosen(frozenset(catalogs), whole, frozenset(relations))


class _Catalog:
    """A database's catalogs, as their files are."""

    def __init__(self, folder: Path, bring: Bring, database: int, major: int) -> None:
        self._folder, self._bring, self._database = folder, bring, database
        self._map: dict[int, int] = {}
        for path in _found(folder, lambda path: _is_map_of(path, database)):
            self._map |= mapped(path.read_bytes())
        toast_at = 112 if major >= 18 else 108
        rows = rows_in(self._files({self._map.get(_CLASS, _CLASS)}))
        self._classes = list(_classes(rows, toast_at))

    def rewritten(self) -> set[int]:
        """Numbers of the catalogs that have another one than at first."""
        own = {each.number for each in self._classes if 0 < each.oid < FIRST_OF_USERS <= each.number}
        large = {each.number for each in self._classes if each.oid in LARGE_OBJECTS}
        return (own - large) | {number for number in self._map.values() if number >= FIRST_OF_USERS}

    def of_table(self, schema: str, table: str) -> set[int]:
        """Numbers of a table, of its partitions, of what is kept outside of its rows, and the way there."""
        schemas = {_oid(row) for row in self._rows(_NAMESPACE) if name_at(row, 4) == schema}
        named = [each for each in self._classes if each.name == table and each.namespace in schemas]
        for kind in {each.kind for each in named} - set(KINDS):
            raise NotAlone(f"{schema}.{table} is no table: it is of the kind {kind!r}")
        below: dict[int, set[int]] = {}
        for row in self._rows(_INHERITS):
            if len(row) >= 8:
                child, parent = struct.unpack_from("<II", row)
                below.setdefault(parent, set()).add(child)
        oids: set[int] = set()
        left = {each.oid for each in named}
        while left:
            oid = left.pop()
            oids.add(oid)
            left |= below.get(oid, set()) - oids
        tables = [each for each in self._classes if each.oid in oids]
        outside = {each.toast for each in tables if each.toast}
        toasts = [each for each in self._classes if each.oid in outside]
        ways = {f"{each.name}_index" for each in toasts}
        indexes = [each for each in self._classes if each.kind == "i" and each.name in ways]
        return {each.number for each in (*tables, *toasts, *indexes) if each.number}

    def _rows(self, catalog: int) -> Iterator[bytes]:
        return rows_in(self._files({each.number for each in self._classes if each.oid == catalog}))

    def _files(self, numbers: set[int]) -> list[Path]:
        """The files of catalogs, fetched where they are not there yet."""
        relations = {(self._database, number) for number in numbers}

        def is_one(path: str) -> bool:
            return relation_of(path) in relations and "_" not in path.rpartition("/")[2]

        found = _found(self._folder, is_one)
        if {relation_of(str(each.relative_to(self._folder))) for each in found} != relations:
            self._bring(is_one)
            found = _found(self._folder, is_one)
        return found


def _databases(folder: Path, bring: Bring) -> dict[str, set[int]]:
    """By a database's name the oids that it has or had."""
    bring(lambda path: path in (f"global/{MAP}", f"global/{_DATABASE}"))
    with suppress(FileNotFoundError):
        number = mapped((folder / "global" / MAP).read_bytes()).get(_DATABASE, _DATABASE)

        def is_one(path: str) -> bool:
            return (found := _SHARED.match(path)) is not None and int(found[1]) == number

        if not (paths := _found(folder, is_one)):
            bring(is_one)
            paths = _found(folder, is_one)
        names: dict[str, set[int]] = {}
        for row in rows_in(paths):
            if len(row) >= 4 + NAME_BYTES:
                names.setdefault(name_at(row, 4), set()).add(_oid(row))
        return names
    return {}


def _bring_relations(bring: Bring, databases: set[int], numbers: set[int], *, maps: bool) -> None:
    def is_one(path: str) -> bool:
        found = relation_of(path)
        if found is not None:
            return found[0] in databases and found[1] in numbers and "_" not in path.rpartition("/")[2]
        return maps and any(_is_map_of(path, database) for database in databases)

    bring(is_one)


def _is_map_of(path: str, database: int) -> bool:
    return (found := _DATABASE_MAP.match(path)) is not None and int(found[1]) == database


def _found(folder: Path, wanted: Callable[[str], bool]) -> list[Path]:
    return sorted(each for each in folder.rglob("*") if wanted(str(each.relative_to(folder))))


def _classes(rows: Iterable[bytes], toast_at: int) -> Iterator[_Class]:
    for row in rows:
        if len(row) >= toast_at + 8:
            (namespace,) = struct.unpack_from("<I", row, 68)
            (number,) = struct.unpack_from("<I", row, 88)
            (toast,) = struct.unpack_from("<I", row, toast_at)
            # Behind it: has it indexes, is it shared, does it last, what is it; a byte each.
            yield _Class(_oid(row), name_at(row, 4), namespace, number, toast, chr(row[toast_at + 7]))


def _oid(row: bytes) -> int:
    return int.from_bytes(row[:4], "little")


_THIS = "SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"

_CATALOGS = sql.SQL("""
    SELECT ({this}), pg_catalog.pg_relation_filenode(oid) FROM pg_catalog.pg_class
    WHERE oid < {first} AND NOT relisshared AND oid <> ALL ({large})
    AND pg_catalog.pg_relation_filenode(oid) IS NOT NULL
""")

_TABLE = sql.SQL("""
    WITH RECURSIVE tree AS (
        SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = {schema} AND c.relname = {table}
      UNION
        SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid
    ), kept AS (
        SELECT c.oid, c.reltoastrelid, c.relkind FROM pg_catalog.pg_class c JOIN tree USING (oid)
    ), needed AS (
        SELECT oid, relkind FROM kept WHERE relkind <> 'f'
      UNION ALL SELECT reltoastrelid, 't' FROM kept WHERE reltoastrelid <> 0
      UNION ALL SELECT i.indexrelid, 'i' FROM pg_catalog.pg_index i
        JOIN kept ON i.indrelid = kept.reltoastrelid
    )
    SELECT ({this}), pg_catalog.pg_relation_filenode(oid), relkind FROM needed
""")

# These have rows of a table in tables of their own.
_KEPT_ELSEWHERE = sql.SQL("""
    SELECT extname FROM pg_catalog.pg_extension WHERE extname IN ('timescaledb', 'citus', 'citus_columnar')
    UNION ALL SELECT amname FROM pg_catalog.pg_am WHERE amtype = 't' AND amname <> 'heap'
""").format()


def needed_by(copy: Copy, sought: Sought) -> frozenset[Relation]:
    """The relations that the recovered copy needs to tell what is sought. Raises NotAlone, RestoreFailed."""
    catalogs = _CATALOGS.format(
        this=sql.SQL(_THIS), first=sql.Literal(FIRST_OF_USERS), large=sql.Literal(sorted(LARGE_OBJECTS))
    )
    rows = [*_asked(copy, sought.database, catalogs), *_asked(copy, TEMPLATE, catalogs)]
    if sought.table:
        table = _TABLE.format(
            this=sql.SQL(_THIS), schema=sql.Literal(sought.schema), table=sql.Literal(sought.table)
        )
        for row in _asked(copy, sought.database, _KEPT_ELSEWHERE):
            raise NotAlone(f"{row[0]} is used in {sought.database}, and may have rows elsewhere")
        own = _asked(copy, sought.database, table)
        for kind in {str(row[2]) for row in own} - {*KINDS, "t", "i"}:
            raise NotAlone(f"{sought.schema}.{sought.table} needs more than tables: the kind {kind!r}")
        rows += own
    return frozenset((int(row[0] or 0), int(row[1])) for row in rows if row[1] is not None)


def database_of(copy: Copy, name: str) -> int | None:
    """A database's oid in the recovered copy; None when there is none of that name."""
    query = sql.SQL("SELECT oid FROM pg_catalog.pg_database WHERE datname = {}").format(sql.Literal(name))
    rows = _asked(copy, TEMPLATE, query)
    return int(rows[0][0] or 0) if rows else None


def incomplete(log: Path, needed: Callable[[Relation], bool]) -> str:
    """The first file of a needed relation that WAL found pages missing in; empty when there is none."""
    with suppress(FileNotFoundError), log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if found := _NOT_THERE.search(line):
                relation = relation_of(found[1])
                if relation is None or needed(relation):
                    return found[1]
    return ""


def _asked(copy: Copy, database: str, query: sql.Composed) -> list[tuple[str | None, ...]]:
    asked = copy.ask(database, query.as_string(None), _ASK_S)
    if asked.error:
        raise RestoreFailed(f"the restored server does not tell where its files are: {asked.error}")
    return list(asked.rows)
