"""Looks into indexes and tables by amcheck, where the copied database has it: nothing can be installed there.

Source: PostgreSQL "amcheck"; on a standby `bt_index_check` and `verify_heapam` work, `bt_index_parent_check`
does not.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from holdfast.backup.ports import Copy
from holdfast.backup.verify.counting import one_line

LONGEST_LIST_S = 60.0
_SCHEMA = """
SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'amcheck'
"""
_INDEXES = """
SELECT c.oid::text, c.oid::regclass::text
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
WHERE a.amname = 'btree' AND i.indisvalid AND i.indisready AND c.relpersistence = 'p' AND c.relkind = 'i'
ORDER BY c.relpages, c.oid
"""
_TABLES = """
SELECT c.oid::text, c.oid::regclass::text FROM pg_class c JOIN pg_am a ON a.oid = c.relam
WHERE c.relkind IN ('r', 'm', 't') AND a.amname = 'heap' AND c.relpersistence = 'p'
ORDER BY c.relpages, c.oid
"""


@dataclass(frozen=True, slots=True)
class Structures:
    """What amcheck found wrong. `why_not`: it was not used, or not to the end."""

    wrong: tuple[str, ...] = ()
    checked: int = 0
    why_not: str = ""


def checked(copy: Copy, database: str, budget_s: float, monotonic: Callable[[], float]) -> Structures:
    """Check indexes, then tables, the smallest first, for `budget_s` at the most."""
    schema = copy.ask(database, _SCHEMA, LONGEST_LIST_S)
    if schema.error or not schema.rows or schema.rows[0][0] is None:
        return Structures(why_not=one_line(schema.error) or f"not installed in {database}")
    prefix = schema.rows[0][0]
    ends = monotonic() + budget_s
    wrong: list[str] = []
    done = 0
    for oid, name, sql in _statements(copy, database, prefix):
        left_s = ends - monotonic()
        if left_s <= 0:
            return Structures(tuple(wrong), done, f"{done} were looked at, then its time was over")
        began = monotonic()
        asked = copy.ask(database, sql.format(oid=oid), left_s)
        if asked.error and monotonic() - began >= left_s:
            return Structures(tuple(wrong), done, f"{done} were looked at, then its time was over")
        if asked.error and "could not access file" in asked.error:
            return Structures(tuple(wrong), done, f"not on this machine: {one_line(asked.error)}")
        done += 1
        if asked.error:
            wrong.append(f"{name}: {one_line(asked.error)}")
        else:
            wrong += [f"{name}: {one_line(row[0])}" for row in asked.rows if row and row[0]]
    return Structures(tuple(wrong), done)


def _statements(copy: Copy, database: str, schema: str) -> Iterator[tuple[str, str, str]]:
    for listing, sql in (
        (_INDEXES, f"SELECT NULL::text FROM {schema}.bt_index_check({{oid}}::regclass)"),  # noqa: S608
        (_TABLES, f"SELECT msg FROM {schema}.verify_heapam({{oid}}::regclass) LIMIT 5"),  # noqa: S608
    ):
        for oid, name in copy.ask(database, listing, LONGEST_LIST_S).rows:
            if oid is not None:
                yield oid, str(name), sql
