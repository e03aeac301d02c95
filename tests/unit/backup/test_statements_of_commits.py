"""What a commit is called, and which commits may change a check's answer."""

from datetime import UTC, datetime

import pytest

from holdfast.backup.lsn import Lsn
from holdfast.backup.search.commits import Change, Commit
from holdfast.backup.search.statements import Relation, TableChange, Watch, kind_of, relevant, rows_of
from holdfast.backup.wal.wal_pages import Pages
from holdfast.backup.wal.wal_records import Locator

DB, OTHER_DB = 5, 6
AT = datetime(2026, 11, 22, tzinfo=UTC)
RELATIONS = {
    each.number: each
    for each in (
        Relation(1259, 1259, "r", "pg_catalog.pg_class", is_catalog=True),
        Relation(2619, 2619, "r", "pg_catalog.pg_statistic", is_catalog=True),
        Relation(20_000, 20_000, "r", "public.account"),
        Relation(20_001, 20_001, "i", "public.account_pkey", "public.account"),
        Relation(20_002, 20_002, "t", "pg_toast.pg_toast_20000", "public.account"),
    )
}
WATCH = Watch(DB, frozenset({20_000}), frozenset({1259, 2619}))


def at(number: int, database: int = DB) -> Locator:
    return Locator(1663, database, number)


def commit(
    *changes: Change, made: tuple[int, ...] = (), dropped: tuple[int, ...] = (), end: int = 100
) -> Commit:
    return Commit(
        Lsn(end - 40),
        Lsn(end),
        700,
        AT,
        DB,
        changes,
        made=tuple(map(at, made)),
        dropped=tuple(map(at, dropped)),
    )


CLASS_CHANGED = Change(at(1259), updated=1)
CLASS_MADE = Change(at(1259), inserted=1)
CLASS_GONE = Change(at(1259), deleted=1)


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        (commit(Change(at(20_000), inserted=3)), "INSERT"),
        (commit(Change(at(20_000), inserted=3, copied=3)), "COPY"),
        (commit(Change(at(20_000), inserted=4, copied=3)), "COPY, INSERT"),
        (commit(Change(at(20_000), updated=1, deleted=1)), "UPDATE, DELETE"),
        (commit(CLASS_CHANGED, made=(30_000,), dropped=(20_000, 20_001)), "TRUNCATE"),
        (commit(CLASS_CHANGED, made=(30_000,), dropped=(20_001,)), "REINDEX"),
        (commit(CLASS_GONE, dropped=(20_000, 20_001)), "DROP TABLE"),
        (commit(CLASS_GONE, dropped=(20_001,)), "DROP INDEX"),
        (commit(CLASS_MADE, made=(30_000,)), "CREATE"),
        (commit(CLASS_MADE, Change(at(30_000), inserted=9), made=(30_000,)), "CREATE, INSERT"),
        (commit(CLASS_CHANGED), "DDL"),
        (commit(Change(at(2619), updated=4), CLASS_CHANGED), "ANALYZE"),
        (
            commit(Change(at(1259), inserted=1, deleted=1), made=(1,), dropped=(20_000,)),
            "ALTER TABLE, CLUSTER or VACUUM FULL (rewritten)",
        ),
        (commit(), "unknown"),
    ],
)
def test_a_commit_is_called_after_what_makes_such_changes(what: Commit, kind: str) -> None:
    assert kind_of(what, DB, RELATIONS) == kind


def test_rows_are_told_by_table_and_parts_of_values_are_no_rows() -> None:
    told = rows_of(
        commit(
            Change(at(20_000), inserted=2),
            Change(at(20_002), inserted=40),
            Change(at(1259), updated=1),
            Change(at(31_000), deleted=1),
            Change(at(20_000, OTHER_DB), updated=5),
        ),
        DB,
        RELATIONS,
    )
    assert told == (
        TableChange("public.account", 2, 0, 0),
        TableChange("file 31000", 0, 0, 1),
        TableChange(f"file 20000 of database {OTHER_DB}", 0, 5, 0),
    )


def test_only_what_may_change_the_answer_is_relevant() -> None:
    ours = commit(Change(at(20_000), updated=1), end=200)
    schema = commit(CLASS_CHANGED, end=400)
    kept = [ours, schema]
    others = [
        commit(Change(at(20_000), updated=1), end=100),
        commit(Change(at(21_000), updated=1), end=300),
        commit(Change(at(20_000, OTHER_DB), updated=1), end=310),
        commit(Change(at(2619), updated=9), end=320),
    ]
    assert relevant(sorted([*kept, *others], key=lambda each: each.end), WATCH, Lsn(100)) == kept


def test_files_made_on_the_way_count_from_then_on() -> None:
    """TRUNCATE gives the table another file; what is written there later must not be passed over."""
    truncate = commit(CLASS_CHANGED, made=(30_000,), dropped=(20_000,), end=200)
    written = commit(Change(at(30_000), inserted=1), end=300)
    assert relevant([truncate, written], WATCH, Lsn(0)) == [truncate, written]
    assert relevant([truncate, written], WATCH, Lsn(200)) == [written], (
        "also when it was before the beginning"
    )


def test_without_knowing_what_the_check_reads_every_commit_of_the_database_counts() -> None:
    here = commit(Change(at(21_000), updated=1))
    there = commit(Change(at(21_000, OTHER_DB), updated=1))
    assert relevant([here, there], Watch(DB, None, frozenset()), Lsn(0)) == [here]


def test_places_and_counted_bytes_lead_to_each_other() -> None:
    pages = Pages(1024 * 1024)
    for position in [*range(20_000), *range(pages.per_segment - 9000, pages.per_segment + 9000)]:
        lsn = pages.lsn(position)
        assert pages.position(lsn) == position
        assert pages.position(pages.end(position)) == position
        assert pages.end(position) <= lsn
