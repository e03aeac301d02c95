"""What a commit did, in an operator's words: which tables, and which kind of statement. Pure.

The log knows files, not names, and changes, not statements. Names come from the catalog of a copy, as it was
just before the commit and just after it; the kind is what such changes come from.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from holdfast.backup.lsn import Lsn
from holdfast.backup.search.commits import Change, Commit

PG_CLASS, PG_STATISTIC = 1259, 2619
_QUIET_CATALOGS = frozenset((PG_STATISTIC, 3429))
"""pg_statistic, pg_statistic_ext_data: ANALYZE writes them, and no answer changes."""
_TABLES = frozenset("rpm")
_INDEXES = frozenset("iI")


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation of a database. `kind` is pg_class.relkind, `table` whose index or TOAST table it is."""

    number: int
    """Of its file; 0 when it has none."""
    oid: int
    kind: str
    name: str
    table: str = ""
    is_catalog: bool = False

    @property
    def shown(self) -> str:
        return self.table or self.name


Relations = Mapping[int, Relation]
"""Of one database, by the number of their file."""


@dataclass(frozen=True, slots=True)
class TableChange:
    """What a commit did to the rows of a table, for people."""

    table: str
    inserted: int
    updated: int
    deleted: int
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Watch:
    """What decides whether a commit can change a check's answer.

    `numbers` None: every commit of the database can.
    """

    database: int
    numbers: frozenset[int] | None
    catalogs: frozenset[int]
    """Numbers of the catalogs' files. A change in them may be one of a view, a table or a right."""


def relevant(commits: Iterable[Commit], watch: Watch, after: Lsn) -> list[Commit]:
    """The commits behind `after` that may change the check's answer. Rather one too many than one too few.

    Files that are made on the way may become the check's: they count from then on, whosever they are.
    """
    watched = set(watch.numbers or ())
    found = []
    for commit in commits:
        made = {each.number for each in commit.made if each.database == watch.database}
        watched |= made
        if commit.end > after and _may_matter(commit, watch, watched, made):
            found.append(commit)
    return found


def _may_matter(commit: Commit, watch: Watch, watched: set[int], made: set[int]) -> bool:
    touched = {each.locator.number for each in commit.changes if each.locator.database == watch.database}
    dropped = any(each.database == watch.database for each in commit.dropped)
    if made or dropped or commit.databases_changed or commit.truncated:
        return True
    if watch.numbers is None:
        return bool(touched)
    return bool(touched & watched) or bool(touched & watch.catalogs - _QUIET_CATALOGS)


def kind_of(commit: Commit, database: int, relations: Relations) -> str:
    """Which kind of statement it was: `UPDATE`, `INSERT, DELETE`, `COPY`, `TRUNCATE`, `DROP TABLE`, `DDL`."""
    changes = [each for each in commit.changes if each.locator.database == database]
    catalogs = {_oid(each, relations): each for each in changes if _is_catalog(each, relations)}
    rows = [each for each in changes if not _is_catalog(each, relations)]
    schema = _schema_kind(commit, database, relations, catalogs)
    if schema and schema not in ("CREATE", "DDL"):
        return schema
    kinds = [schema] if schema else []
    kinds += ["TRUNCATE"] if any(each.truncated for each in rows) else []
    kinds += ["COPY"] if any(each.copied for each in rows) else []
    kinds += ["INSERT"] if any(each.inserted > each.copied for each in rows) else []
    kinds += ["UPDATE"] if any(each.updated for each in rows) else []
    kinds += ["DELETE"] if any(each.deleted for each in rows) else []
    return ", ".join(kinds) or "unknown"


def _schema_kind(commit: Commit, database: int, relations: Relations, catalogs: Mapping[int, Change]) -> str:
    if commit.truncated:
        return "TRUNCATE"
    dropped = [relations.get(each.number) for each in commit.dropped if each.database == database]
    tables = [each for each in dropped if each is not None and each.kind in _TABLES]
    indexes = [each for each in dropped if each is not None and each.kind in _INDEXES]
    entries = catalogs.get(PG_CLASS)
    if commit.databases_changed and not dropped and not rows_of(commit, database, relations):
        return "CREATE or DROP DATABASE, or VACUUM FULL of a catalog"
    if dropped and commit.made:
        if entries is not None and (entries.inserted or entries.deleted) and tables:
            return "ALTER TABLE, CLUSTER or VACUUM FULL (rewritten)"
        return "TRUNCATE" if tables else "REINDEX" if indexes else "DDL"
    if dropped:
        return "DROP TABLE" if tables else "DROP INDEX" if indexes else "DROP"
    if commit.made:
        return "CREATE"
    if catalogs and set(catalogs) <= {PG_STATISTIC, PG_CLASS, 3429}:
        return "ANALYZE" if PG_STATISTIC in catalogs else "DDL"
    return "DDL" if catalogs else ""


def rows_of(commit: Commit, database: int, relations: Relations) -> tuple[TableChange, ...]:
    """The tables whose rows it changed, without catalogs; those of other databases by their number."""
    found: dict[str, TableChange] = {}
    for change in commit.changes:
        if _is_catalog(change, relations):
            continue
        relation = relations.get(change.locator.number) if change.locator.database == database else None
        name = relation.shown if relation else _unnamed(change, database)
        # A TOAST table's rows are parts of values: they are not rows that anybody wrote.
        counts = (0, 0, 0) if relation and relation.kind == "t" else _counts(change)
        known = found.get(name, TableChange(name, 0, 0, 0))
        found[name] = TableChange(
            name,
            known.inserted + counts[0],
            known.updated + counts[1],
            known.deleted + counts[2],
            known.truncated or change.truncated,
        )
    for each in commit.dropped:
        relation = relations.get(each.number) if each.database == database else None
        if relation is not None and relation.kind in _TABLES:
            found.setdefault(relation.name, TableChange(relation.name, 0, 0, 0))
    return tuple(found.values())


def _counts(change: Change) -> tuple[int, int, int]:
    return change.inserted, change.updated, change.deleted


def _unnamed(change: Change, database: int) -> str:
    where = "" if change.locator.database == database else f" of database {change.locator.database}"
    return f"file {change.locator.number}{where}"


def _is_catalog(change: Change, relations: Relations) -> bool:
    relation = relations.get(change.locator.number)
    if relation is not None:
        return relation.is_catalog
    return change.locator.number < 16384


def _oid(change: Change, relations: Relations) -> int:
    relation = relations.get(change.locator.number)
    return relation.oid if relation else change.locator.number
