"""How many rows a copy's tables have, and how big it is: in bounded time, and what is estimated says so."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from holdfast.backup.ports import Asked, Copy

MOST_TABLES = 2000
"""Of each database, the smallest first. More than that are sized, not counted."""
MOST_DATABASES = 100
LONGEST_COUNT_S = 20.0
LONGEST_LIST_S = 60.0

_DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname"
_SIZE = "SELECT sum(pg_database_size(oid))::text FROM pg_database"
_UNLOGGED = "u"
# Partitions count with their root: that old ones are dropped is no loss of the table.
_TABLES = f"""
SELECT format('%I.%I', n.nspname, c.relname),
       format('%s.%s', rn.nspname, r.relname),
       c.relpersistence,
       greatest(c.reltuples, 0)::bigint
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class r ON r.oid = coalesce(pg_partition_root(c.oid), c.oid)
JOIN pg_namespace rn ON rn.oid = r.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.relpersistence IN ('p', 'u')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY pg_relation_size(c.oid), c.oid
LIMIT {MOST_TABLES}
"""  # noqa: S608  a constant of ours


@dataclass(frozen=True, slots=True)
class TableRows:
    """The rows of a table with all its partitions. `name` is `DATABASE.SCHEMA.TABLE`.

    `is_exact`: they were counted. If not, some are PostgreSQL's own estimate.
    """

    name: str
    rows: int
    is_exact: bool


@dataclass(frozen=True, slots=True)
class Counted:
    """What a copy holds. `unlogged` tables are empty in it by their nature.

    `trouble`: tables that could not be read, each with the server's word for it.
    """

    tables: tuple[TableRows, ...]
    unlogged: tuple[str, ...]
    trouble: tuple[tuple[str, str], ...]
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class _Listed:
    quoted: str
    name: str
    estimate: int


def counted(copy: Copy, database: str, budget_s: float, monotonic: Callable[[], float]) -> Counted:
    """Count what `copy` holds, in all its databases, asking first in `database`.

    Counting takes `budget_s` at the most and one count more; whatever is left is estimated.
    """
    ends = monotonic() + budget_s
    rows: dict[str, tuple[int, bool]] = {}
    unlogged: list[str] = []
    trouble: list[tuple[str, str]] = []
    for name in _databases(copy, database, trouble):
        listed = copy.ask(name, _TABLES, LONGEST_LIST_S)
        if listed.error:
            trouble.append((name, one_line(listed.error)))
            continue
        unlogged += [f"{name}.{row[1]}" for row in listed.rows if row[2] == _UNLOGGED]
        for table in _tables(listed, name):
            before, was_exact = rows.get(table.name, (0, True))
            found: int | None = None
            left_s = ends - monotonic()
            if left_s > 0:
                found = _count(copy, name, table, min(left_s, LONGEST_COUNT_S), monotonic, trouble)
            exact = found is not None
            rows[table.name] = (before + (table.estimate if found is None else found), was_exact and exact)
    tables = tuple(TableRows(name, count, exact) for name, (count, exact) in sorted(rows.items()))
    size = copy.ask(database, _SIZE, LONGEST_LIST_S)
    return Counted(tables, tuple(sorted(unlogged)), tuple(trouble), _number(size))


def fallen(before: Sequence[TableRows], now: Sequence[TableRows]) -> Iterator[str]:
    """What a person should look at: tables that are gone, or lost more than half of their rows. Pure."""
    here = {each.name: each for each in now}
    for old in before:
        new = here.get(old.name)
        if new is None:
            yield f"{old.name} is gone; it had {old.rows:,} rows"
        elif old.rows >= 100 and new.rows * 2 < old.rows:
            about = "" if new.is_exact and old.is_exact else "about "
            yield f"{old.name} has {about}{new.rows:,} rows; it had {old.rows:,}"


def one_line(text: str) -> str:
    """An error of the server's in one line, and not too long."""
    return " ".join(text.split())[:300]


def _databases(copy: Copy, database: str, trouble: list[tuple[str, str]]) -> list[str]:
    asked = copy.ask(database, _DATABASES, LONGEST_LIST_S)
    if asked.error:
        trouble.append((database, one_line(asked.error)))
    return [row[0] for row in asked.rows[:MOST_DATABASES] if row[0] is not None]


def _tables(listed: Asked, database: str) -> Iterator[_Listed]:
    for quoted, root, persistence, estimate in listed.rows:
        if persistence != _UNLOGGED and quoted is not None:
            yield _Listed(quoted, f"{database}.{root}", int(estimate or 0))


def _count(
    copy: Copy,
    database: str,
    table: _Listed,
    timeout_s: float,
    monotonic: Callable[[], float],
    trouble: list[tuple[str, str]],
) -> int | None:
    begun = monotonic()
    asked = copy.ask(database, f"SELECT count(*) FROM ONLY {table.quoted}", timeout_s)  # noqa: S608  quoted by the server
    if asked.error and monotonic() - begun < timeout_s:
        trouble.append((f"{database}.{table.quoted}", one_line(asked.error)))
    return _number(asked)


def _number(asked: Asked) -> int | None:
    value = asked.rows[0][0] if len(asked.rows) == 1 and asked.rows[0] else None
    return None if value is None else int(value)
