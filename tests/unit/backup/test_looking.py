"""What a copy's answers mean: checks, newest rows, rows, pages; each without a server."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests import held

from holdfast.adapters.postgres.page_checksums import bad_pages, page_of, whole_pages
from holdfast.backup.errors import Damaged, KeyMissing, NotFit, NotRecoverable, RegionAway, RestoreFailed
from holdfast.backup.lsn import Lsn
from holdfast.backup.model import TargetKind
from holdfast.backup.ports import Asked, Copy
from holdfast.backup.recoverable.chain import windows_of
from holdfast.backup.restore.control import control_of
from holdfast.backup.verify import counting, structures
from holdfast.backup.verify.counting import Counted, TableRows, fallen
from holdfast.backup.verify.invariants import Checked, Outcome, moment_of, verdict_of
from holdfast.backup.verify.looking import Looked, problems_in
from holdfast.backup.verify.verification import (
    PagesChecked,
    Problem,
    Standing,
    Subject,
    problem_of,
    standing_of,
)
from holdfast.backup.verify.verified_points import Which, older, seed_of


@pytest.mark.parametrize(
    ("asked", "took_s", "outcome"),
    [
        (Asked((("t",),)), 0.1, Outcome.HOLDS),
        (Asked((("True",),)), 0.1, Outcome.HOLDS),
        (Asked((("f",),)), 0.1, Outcome.FALSE),
        (Asked(((None,),)), 0.1, Outcome.FALSE),
        (Asked(()), 0.1, Outcome.FAILED),
        (Asked((("t",), ("t",))), 0.1, Outcome.FAILED),
        (Asked((("1",),)), 0.1, Outcome.FAILED),
        (Asked((), "syntax error"), 0.1, Outcome.FAILED),
        (Asked((), "canceling statement due to statement timeout"), 0.1, Outcome.TIMEOUT),
        (Asked((), "storniere Anfrage wegen Zeitüberschreitung"), 5.0, Outcome.TIMEOUT),
    ],
)
def test_a_check_has_four_ways_to_end(asked: Asked, took_s: float, outcome: Outcome) -> None:
    assert verdict_of(asked, took_s, 5.0)[0] is outcome


def test_the_newest_row_is_a_moment_or_there_is_none() -> None:
    assert moment_of(Asked((("0.5",),)), 0, 5)[1] == datetime(1970, 1, 1, microsecond=500_000, tzinfo=UTC)
    assert moment_of(Asked(((None,),)), 0, 5)[0] is Outcome.FALSE
    assert moment_of(Asked(()), 0, 5)[0] is Outcome.FALSE
    assert moment_of(Asked((("infinity",),)), 0, 5)[0] is Outcome.FAILED
    assert moment_of(Asked((), "broken"), 0, 5)[0] is Outcome.FAILED


def test_tables_that_fell_or_are_gone_are_named_and_small_ones_may_move() -> None:
    before = [
        TableRows("a", 1000, True),
        TableRows("b", 50, True),
        TableRows("c", 7, True),
        TableRows("d", 200, True),
    ]
    now = [TableRows("a", 400, False), TableRows("b", 1, True), TableRows("d", 150, True)]
    assert list(fallen(before, now)) == ["a has about 400 rows; it had 1,000", "c is gone; it had 7 rows"]


class Told(Copy):
    """A copy that answers from a table; each question takes a second."""

    def __init__(self, answers: Mapping[str, Asked]) -> None:
        self._answers = answers
        self.now = 0.0
        self.asked: list[str] = []

    @property
    def folder(self) -> Path:
        raise NotImplementedError

    @property
    def conninfo(self) -> str:
        raise NotImplementedError

    def ask(self, database: str, sql: str, timeout_s: float) -> Asked:
        self.asked.append(f"{database}: {sql}")
        self.now += min(1.0, timeout_s)
        return next((answer for part, answer in self._answers.items() if part in sql), Asked(()))

    def replayed(self) -> tuple[Lsn | None, datetime | None]:
        raise NotImplementedError

    def promote(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError


def test_counting_ends_with_its_time_and_the_rest_is_estimated() -> None:
    listed = Asked(
        (
            ("public.p1", "public.parts", "p", "10"),
            ("public.p2", "public.parts", "p", "20"),
            ("public.s", "public.s", "u", "5"),
            ("public.huge", "public.huge", "p", "1000000"),
            ("public.torn", "public.torn", "p", "3"),
        )
    )
    copy = Told(
        {
            "pg_database_size": Asked((("5000",),)),
            "datname": Asked((("shop",),)),
            "pg_partition_root": listed,
            "ONLY public.p1": Asked((("11",),)),
            "ONLY public.p2": Asked((("22",),)),
            "ONLY public.torn": Asked((), "invalid page"),
        }
    )
    enough = counting.counted(copy, "postgres", 100.0, lambda: copy.now)
    assert {each.name: (each.rows, each.is_exact) for each in enough.tables} == {
        "shop.public.parts": (33, True),
        "shop.public.huge": (1_000_000, False),
        "shop.public.torn": (3, False),
    }
    assert enough.trouble == (("shop.public.torn", "invalid page"),)
    assert enough.unlogged == ("shop.public.s",)
    assert enough.size_bytes == 5000
    copy.now = 0.0
    short = counting.counted(copy, "postgres", 3.0, lambda: copy.now)
    assert {each.name: each.is_exact for each in short.tables}["shop.public.parts"] is False
    assert not short.trouble


def test_amcheck_says_what_is_wrong_where_it_is_installed() -> None:
    copy = Told(
        {
            "extname": Asked((("public",),)),
            "pg_index": Asked((("1", "orders_pkey"), ("2", "torn_pkey"))),
            "c.relkind": Asked((("3", "orders"),)),
            "index_check(2": Asked((), 'item order invariant violated for index "torn_pkey"'),
            "verify_heapam(3": Asked((("line pointer redirection to itself",),)),
        }
    )
    found = structures.checked(copy, "shop", 100.0, lambda: copy.now)
    assert found.checked == 3
    assert found.wrong == (
        'torn_pkey: item order invariant violated for index "torn_pkey"',
        "orders: line pointer redirection to itself",
    )
    assert structures.checked(Told({}), "shop", 100.0, lambda: 0.0).why_not == "not installed in shop"


def test_what_is_wrong_is_named_and_a_failure_outweighs_what_is_unknown() -> None:
    looked = Looked(
        [Checked("a", Outcome.HOLDS, "", 0), Checked("b", Outcome.TIMEOUT, "it took longer", 9)],
        [],
        Counted((), (), (("t", "invalid page"),), None),
    )
    problems = list(problems_in(looked, PagesChecked("", 1, 9, ("base/5/1 block 3",), 1)))
    assert [(each.subject, each.standing) for each in problems] == [
        (Subject.INVARIANT, Standing.UNPROVEN),
        (Subject.TABLE, Standing.FAILED),
        (Subject.PAGES, Standing.FAILED),
    ]
    assert standing_of(problems) is Standing.FAILED
    assert standing_of(problems[:1]) is Standing.UNPROVEN
    assert standing_of([]) is Standing.PASSED


def test_what_an_error_says_of_a_copy() -> None:
    def said(error: Exception) -> tuple[Subject, Standing]:
        problem: Problem = problem_of(error)  # type: ignore[arg-type]
        return problem.subject, problem.standing

    assert said(Damaged("x")) == (Subject.STORED, Standing.FAILED)
    assert said(KeyMissing("x")) == (Subject.STORED, Standing.FAILED)
    assert said(NotRecoverable("x")) == (Subject.CHAIN, Standing.FAILED)
    assert said(RestoreFailed("x")) == (Subject.RESTORE, Standing.FAILED)
    for error in (RegionAway("x"), NotFit("x"), OSError(28, "No space left on device")):
        assert said(error) == (Subject.PLACE, Standing.UNPROVEN)


def test_pages_are_named_by_files_and_found_whole_in_wal() -> None:
    told = (
        'pg_checksums: error: checksum verification failed in file "/d/base/5/16384.1", block 3: calculated'
    )
    assert list(bad_pages(told)) == [("/d/base/5/16384.1", 3)]
    assert page_of("base/5/16384.1", 3) == (1663, 5, 16384, "main", 131075)
    assert page_of("global/1260_vm", 0) == (1664, 0, 1260, "vm", 0)
    assert page_of("pg_tblspc/16390/PG_18_202506291/5/16400", 1) == (16390, 5, 16400, "main", 1)
    assert page_of("base/5/pg_filenode.map", 0) is None
    line = (
        "rmgr: Heap len (rec/tot): 54/8250, tx: 7, lsn: 0/0, prev 0/0, desc: INSERT off: 2, "
        "blkref #0: rel 1663/5/16384 blk 3 FPW, blkref #1: rel 1663/5/16384 fork vm blk 0 (FPW); hole: 1"
    )
    assert (1663, 5, 16384, "main", 3) in set(whole_pages(line))
    assert not list(whole_pages("blkref #0: rel 1663/5/16384 blk 3"))


def test_a_control_file_that_is_none_is_told() -> None:
    for content in (b"", b"\0" * 8192, b"short"):
        with pytest.raises(Damaged):
            control_of(content)


def test_an_older_point_is_chosen_by_chance_and_can_be_chosen_again() -> None:
    holdings = held.holdings([held.backup(0), held.backup(24)], held.wal(0, 48))
    windows = windows_of(holdings)
    seeds = [seed_of("shop", held.at(24 * day).date()) for day in range(200)]
    assert len(set(seeds)) == 200
    assert seeds != [seed_of("main", held.at(24 * day).date()) for day in range(200)]
    moments = []
    for seed in seeds:
        point = older(windows, seed)
        assert point == older(list(reversed(windows)), seed)
        assert point is not None
        assert (point.which, point.seed, point.target.kind) == (Which.OLDER, seed, TargetKind.TIME)
        assert point.target.time is not None
        assert windows[0].start <= point.target.time <= windows[0].end
        moments.append(point.target.time)
    assert max(moments) - min(moments) > timedelta(hours=40)
    assert older([], 1) is None
