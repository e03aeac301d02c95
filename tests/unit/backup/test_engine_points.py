"""What the other engines' backups restore: never more than is proven, and unknown where nobody knows."""

from dataclasses import replace
from datetime import timedelta

from tests.held import DB, at, backup, holdings, lsn

from holdfast.backup.engines import Kept
from holdfast.backup.lsn import Timeline
from holdfast.backup.model import BackupKind, RecoveryWindow, Suspicion, Target
from holdfast.backup.recoverable.drawn import as_text, drawn
from holdfast.backup.recoverable.engine_points import Told, points_of_dumps, points_told
from holdfast.backup.recoverable.standing import document_of, points_from
from holdfast.backup.verify.verification import Phase, Standing, Verification
from holdfast.backup.verify.verified_points import Which, older

NOW = at(100)


def verified(hours: float, *, region: str = "eu", standing: Standing = Standing.PASSED) -> Verification:
    return Verification(
        f"{hours:09.1f}",
        DB,
        region,
        Which.NEWEST,
        Target(),
        None,
        at(hours),
        at(hours + 0.5),
        standing,
        fetched_bytes=130,
        phases=(Phase("fetch", 10.0), Phase("checks", 100.0)),
    )


def test_dumps_restore_to_their_moments_and_to_nothing_between() -> None:
    first, second = backup(10), backup(90)
    points = points_of_dumps(holdings([first, second], [], now=100), [verified(95)])
    assert [(each.start, each.end) for each in points.windows] == [(at(10), at(10)), (at(90), at(90))]
    assert points.covered_until == at(90), "what was committed while it was dumped is not in it"
    assert points.rpo(NOW) == timedelta(hours=10)
    assert [each.id for each in points.points] == [first.id, second.id]
    assert points.expected == timedelta(seconds=10)
    assert points.verified is not None
    assert points.verified.passed_at == at(95.5)
    (line,) = drawn([points], NOW)
    assert as_text(line, 10).count("+") == 2
    assert points_from(document_of(points)) == points
    assert older(points.windows, 7) is not None


def test_a_dump_that_is_not_whole_is_no_point_and_is_named() -> None:
    whole, torn = backup(10), backup(90)
    points = points_of_dumps(holdings([whole, torn], [], missing=[torn]), [])
    assert points.covered_until == at(10)
    assert [each.id for each in points.points] == [whole.id]
    assert [id_ for id_, _ in points.unrestorable] == [torn.id]
    assert points.expected is None


def test_nothing_is_unknown_and_never_zero() -> None:
    for points in (
        points_of_dumps(holdings([], []), []),
        points_told(DB, Told("eu", NOW, [], [], proven_at=at(99)), []),
    ):
        assert points.covered_until is None
        assert points.rpo(NOW) is None
        assert points.windows == points.points == ()


def test_what_is_from_after_a_suspicion_is_suspect() -> None:
    mark = Suspicion("m", at(50), at(60), "deletes")
    points = points_of_dumps(holdings([backup(10), backup(90)], [], suspects=[mark]), [])
    assert [each.suspect for each in points.points] == [False, True]
    lifted = replace(mark, lifted_at=at(70), lifted_by="me")
    points = points_of_dumps(holdings([backup(10), backup(90)], [], suspects=[lifted]), [])
    assert [each.suspect for each in points.points] == [False, False]
    assert points.suspects == ()


def taken(hours: float, *needs: str, trouble: str = "") -> Kept:
    id_ = f"{int(hours):08d}"
    kind = BackupKind.INCREMENTAL if needs else BackupKind.FULL
    places = Timeline(1), lsn(hours), lsn(hours + 1)
    return Kept(
        id_, DB, kind, needs, "", "repo1", 150000, *places, at(hours), at(hours + 1), 1000, 100, trouble
    )


def window(*ids: str, start: float, end: float) -> RecoveryWindow:
    return RecoveryWindow("repo1", ids, Timeline(1), at(start), lsn(start), at(end), lsn(end))


def test_what_another_program_keeps_covers_what_it_proves_and_no_more() -> None:
    full, incremental = taken(10), taken(40, "00000010")
    told = Told("eu", NOW, [full, incremental], [window(full.id, incremental.id, start=11, end=41)])
    points = points_told(DB, told, [verified(50), verified(60, region="us"), verified(70)])
    assert points.covered_until == at(40), "what was committed while it was taken may be missing"
    assert [each.links for each in points.points] == [1, 2]
    assert points.windows[0].end == at(41)
    assert points.expected == timedelta(seconds=10)
    proven = points_told(DB, replace(told, proven_at=at(80)), [])
    assert proven.covered_until == at(80)
    assert proven.windows[0].end == at(80)
    stale = points_told(DB, replace(told, proven_at=at(20)), [])
    assert stale.covered_until == at(40)
    assert stale.windows[0].end == at(41)


def test_a_proof_from_the_future_makes_the_rpo_unknown() -> None:
    full = taken(10)
    told = Told("eu", NOW, [full], [window(full.id, start=11, end=11)], proven_at=at(500))
    assert points_told(DB, told, []).rpo(NOW) is None


def test_backups_in_trouble_and_without_their_wal_are_named_and_no_points() -> None:
    whole, bad, cut_off = taken(10), taken(20, trouble="pages whose checksum is not theirs"), taken(30)
    told = Told("eu", NOW, [whole, bad, cut_off], [window(whole.id, bad.id, start=11, end=21)])
    points = points_told(DB, told, [])
    assert [each.id for each in points.points] == [whole.id]
    assert dict(points.unrestorable).keys() == {bad.id, cut_off.id}
    assert points.covered_until == at(10)
