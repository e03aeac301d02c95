"""How damaged tables are put back, decided from counts."""

import pytest

from holdfast.recovery.errors import Refused
from holdfast.recovery.salvage import Compared, Way, loss_of, order_of, tables_named, told, way_for


def table(**counts: int | None) -> Compared:
    zero: dict[str, int | None] = {"damaged": 0, "later": 0, "gone": 0, "new": 0}
    return Compared(table="public.jobs", good=100, **{**zero, **counts})  # type: ignore[arg-type]


def test_only_what_the_damage_wrote_is_put_back_where_that_is_known() -> None:
    assert way_for(table()) is Way.NOTHING
    assert way_for(table(later=5, new=3)) is Way.NOTHING
    assert way_for(table(damaged=1)) is Way.ROWS
    assert way_for(table(gone=1)) is Way.ROWS
    assert way_for(table(damaged=1), replace=True) is Way.REPLACE
    assert way_for(table(later=1), replace=True) is Way.REPLACE
    assert way_for(table(), replace=True) is Way.NOTHING


def test_where_it_is_not_known_all_rows_are_replaced() -> None:
    assert way_for(table(damaged=None, later=4)) is Way.REPLACE
    keyless = Compared(table="public.notes", good=9, has_key=False)
    assert way_for(keyless) is Way.REPLACE
    same = Compared(table="public.notes", good=9, has_key=False, damaged=0, later=0, gone=0, new=0)
    assert way_for(same) is Way.NOTHING
    assert way_for(Compared(table="public.notes", good=9, is_there=False)) is Way.CREATE


def test_what_is_lost_is_counted_and_unknown_is_not_nothing() -> None:
    rows = loss_of([table(damaged=7, gone=2, later=3, new=5)])
    assert (rows.back, rows.kept, rows.lost) == (9, 8, 0)
    replaced = loss_of([table(damaged=7, later=3, new=5)], replace=True)
    assert (replaced.back, replaced.kept, replaced.lost) == (100, 5, 3)
    dropped = loss_of([table(damaged=7, later=3, new=5)], replace=True, again=False)
    assert (dropped.kept, dropped.lost) == (0, 8)
    assert loss_of([Compared(table="a.b", good=9, is_there=False), table(damaged=1)]).lost is None
    assert loss_of([Compared(table="a.b", good=9, has_key=False)]).lost is None


def test_whoever_approves_reads_what_happens_to_each_table() -> None:
    lines = told([table(damaged=1, new=1, later=2), Compared(table="a.b", good=9, is_there=False)])
    assert lines.splitlines() == [
        (
            "public.jobs: 1 row put back, 0 that are gone put in again; 1 row new since then stay;"
            " 2 rows changed later stay as they are"
        ),
        (
            "a.b: not there; made again with 9 rows; what was written into it since then is lost: how much is"
            " unknown"
        ),
    ]
    assert "without a key: they are lost" in told([Compared(table="a.b", good=9, has_key=False)])
    assert "3 rows changed later lose that" in told([table(later=3, new=1)], replace=True)


def test_tables_are_named_with_their_schema_once() -> None:
    assert tables_named(" jobs, public.jobs ,ledger.entry") == ("public.jobs", "ledger.entry")
    assert tables_named("") == ()
    for wrong in ("a.b.c", ".b", "a."):
        with pytest.raises(Refused):
            tables_named(wrong)


def test_a_table_comes_behind_those_that_it_refers_to_also_in_a_circle() -> None:
    refers = {"line": ["order"], "order": ["customer", "line"], "customer": ["elsewhere"]}
    assert order_of(["line", "order", "customer"], refers) == ["customer", "order", "line"]
    assert order_of(["order"], refers) == ["order"]
