"""Two regions that copy from one another and let things go come to rest, whatever they hold."""

from dataclasses import replace
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st
from tests.held import without
from tests.property.test_retention_of_backups import keeps, nows, repositories

from holdfast.backup.copies.copying import Lacking, lacking
from holdfast.backup.model import Holdings
from holdfast.backup.ports import SourceIdentity
from holdfast.backup.recoverable.chain import reaches_of, whole_chains
from holdfast.backup.retention.across import not_worth_copying, together
from holdfast.backup.retention.retention import expiring
from holdfast.backup.take.parents import parent_for
from holdfast.backup.take.scheduling import due
from holdfast.estate.backup import Keep, Schedule

ROUNDS = 6


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Holdings, Holdings]:
    """What two regions hold of one database: each a part of it, some broken in one of them alone."""
    both = draw(repositories())
    return part(draw, both, "eu"), part(draw, both, "us")


def part(draw: st.DrawFn, both: Holdings, region: str) -> Holdings:
    lost = draw(st.sets(st.sampled_from([each.id for each in both.backups] or ["none"])))
    holes = draw(st.sets(st.integers(1, 40), max_size=10))
    unreadable = ("shop/backups/x/record.json",) if draw(st.integers(0, 5)) == 0 else ()
    left = without(
        both,
        [each for each in both.backups if each.id in lost],
        [each for each in both.wal if each.segment.number in holes],
    )
    there = {each.id for each in left.backups}
    missing = tuple(each for each in both.missing if each[0] in there and draw(st.booleans()))
    suspects = both.suspects if draw(st.booleans()) else ()
    return replace(left, region=region, missing=missing, suspects=suspects, unreadable=unreadable)


def copied(source: Holdings, target: Holdings, plan: Lacking) -> Holdings:
    """What the target holds when all of the plan has come to it."""
    brought = {each.id for each in plan.backups}
    wal = {each.key: each for each in (*target.wal, *plan.wal)}
    histories = {each.timeline: each for each in source.histories if each.timeline in plan.histories}
    known = [each for each in target.backups if each.id not in brought]
    return replace(
        target,
        backups=tuple(sorted((*known, *plan.backups), key=lambda each: (each.start_lsn, each.id))),
        wal=tuple(sorted(wal.values(), key=lambda each: (each.segment, each.start, each.end))),
        histories=tuple(({each.timeline: each for each in target.histories} | histories).values()),
        missing=tuple(each for each in target.missing if each[0] not in brought),
    )


def expired(held: Holdings, keep: Keep, now: datetime) -> Holdings:
    expiry = expiring(held, keep, now)
    return without(held, expiry.backups, expiry.wal)


@given(pairs(), keeps, keeps, nows)
def test_what_was_copied_is_not_let_go_of_and_copied_again(
    pair: tuple[Holdings, Holdings], one: Keep, other: Keep, now: datetime
) -> None:
    first, second = pair
    times: dict[tuple[str, str], int] = {}
    for _ in range(ROUNDS):
        before = first, second
        to_second = lacking(first, second, other, now)
        to_first = lacking(second, first, one, now)
        for plan in (to_second, to_first):
            for key in (*(each.id for each in plan.backups), *(each.key for each in plan.wal)):
                times[plan.target, key] = times.get((plan.target, key), 0) + 1
        first, second = copied(second, first, to_first), copied(first, second, to_second)
        first, second = expired(first, one, now), expired(second, other, now)
        if before == (first, second):
            break
    else:
        raise AssertionError("they never come to rest")
    again = {each: count for each, count in times.items() if count > 1}
    assert not again, f"copied more than once: {again}"


@given(pairs(), keeps, nows)
def test_what_expiry_lets_go_of_is_not_brought_back(
    pair: tuple[Holdings, Holdings], keep: Keep, now: datetime
) -> None:
    source, target = pair
    # What it could not restore, for want of a parent or of WAL, it may get whole.
    restored = {each.id for reach in reaches_of(target) for each in reach.backups}
    gone = {each.id for each in expiring(target, keep, now).backups} & restored
    plan = lacking(source, expired(target, keep, now), keep, now)
    assert not gone & {each.id for each in plan.backups}


@given(pairs(), keeps, nows)
def test_a_region_that_has_nothing_gets_all_that_it_is_to_keep(
    pair: tuple[Holdings, Holdings], keep: Keep, now: datetime
) -> None:
    source = replace(pair[0], suspects=(), unreadable=())
    empty = replace(source, region="new", backups=(), wal=(), histories=(), missing=())
    filled = copied(source, empty, lacking(source, empty, keep, now))
    kept = {each.id for each in expired(source, keep, now).backups} & set(whole_chains(source))
    assert kept <= set(whole_chains(filled))


@given(pairs(), keeps, nows, nows)
def test_what_the_next_increment_is_taken_of_stays_however_long_that_takes(
    pair: tuple[Holdings, Holdings], keep: Keep, now: datetime, later: datetime
) -> None:
    held = pair[0]
    server = SourceIdentity(7, max((each.timeline for each in held.backups), default=1), 1 << 60, 180001, 1)
    parent = parent_for([held], server).parent
    found = due(held, Schedule(), now, wanted="a gap")
    for each in (parent, found.parent if found is not None else None):
        if each is None:
            continue
        left = expired(held, keep, max(now, later))
        assert each.id in whole_chains(left), "its chain was let go of"


@given(pairs())
def test_together_they_hold_what_either_holds(pair: tuple[Holdings, Holdings]) -> None:
    both = together(*pair)
    assert {each.id for each in both.backups} == {each.id for held in pair for each in held.backups}
    assert {each.key for each in both.wal} == {each.key for held in pair for each in held.wal}
    whole = {each.id for held in pair for each in held.backups} - {id_ for id_, _ in both.missing}
    for id_ in whole:
        assert any(
            id_ in {each.id for each in held.backups} - {each for each, _ in held.missing} for held in pair
        )
    assert not_worth_copying(pair[0], pair[1], Keep(), both.listed_at) == not_worth_copying(
        pair[1], pair[0], Keep(), both.listed_at
    )
