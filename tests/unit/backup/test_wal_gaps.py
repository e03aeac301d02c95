"""Where receiving goes on when a server is met."""

import pytest

from holdfast.backup.lsn import Lsn, Timeline
from holdfast.backup.ports import Slot, SourceIdentity
from holdfast.backup.wal.wal_gaps import Decision, Held, Step, after_gone, decide

MIB = 1 << 20
SEGMENT = 16 * MIB
SYSTEM = 7_123


def server(timeline: int = 1, flushed: int = 100 * MIB) -> SourceIdentity:
    return SourceIdentity(SYSTEM, Timeline(timeline), Lsn(flushed), 180000, SEGMENT)


def slot(restart: int | None = 50 * MIB, timeline: int = 1) -> Slot:
    return Slot("holdfast_orders", None if restart is None else Lsn(restart), Timeline(timeline))


def held(end: int, timeline: int = 1, system_id: int | None = SYSTEM) -> Held:
    return Held(Timeline(timeline), Lsn(end), system_id)


def left(*ancestors: tuple[int, int]) -> tuple[tuple[Timeline, Lsn], ...]:
    return tuple((Timeline(timeline), Lsn(at)) for timeline, at in ancestors)


def test_with_nothing_kept_it_begins_at_the_beginning_of_the_slots_segment() -> None:
    assert decide(server(), (), slot(), None) == Decision(Step.BEGIN, Timeline(1), Lsn(48 * MIB))


def test_a_slot_that_reserves_nothing_begins_where_the_server_is() -> None:
    assert decide(server(), (), slot(None), None).start == 96 * MIB


def test_a_slot_on_an_ancestor_begins_there() -> None:
    decision = decide(server(3), left((1, 60 * MIB), (2, 90 * MIB)), slot(50 * MIB, 2), None)
    assert decision.timeline == 2


@pytest.mark.parametrize("end", [40 * MIB, 80 * MIB, 100 * MIB])
def test_it_goes_on_behind_what_is_kept_whatever_the_slot_says(end: int) -> None:
    decision = decide(server(), (), slot(60 * MIB), held(end))
    assert decision == Decision(Step.GO_ON, Timeline(1), Lsn(end))
    assert not decision.backup_wanted


@pytest.mark.parametrize(
    ("kept", "timeline", "word"),
    [
        (held(100 * MIB + 1), 1, "kept up to 0/6400001"),
        (held(60 * MIB, timeline=2), 1, "an old primary"),
        (held(60 * MIB, system_id=99), 1, "cluster 7123"),
    ],
)
def test_what_is_not_the_continuation_is_refused(kept: Held, timeline: int, word: str) -> None:
    decision = decide(server(timeline), (), slot(), kept)
    assert decision.step is Step.REFUSE
    assert word in f"{decision.reason} {decision.hint}"


def test_an_old_timeline_is_followed_to_its_end_first() -> None:
    decision = decide(server(2), left((1, 90 * MIB)), slot(), held(80 * MIB))
    assert decision == Decision(Step.GO_ON, Timeline(1), Lsn(80 * MIB))


def test_at_its_end_the_next_one_begins_with_its_own_copy_of_the_segment() -> None:
    decision = decide(server(2), left((1, 90 * MIB)), slot(), held(90 * MIB))
    assert (decision.step, decision.timeline, decision.start) == (Step.BRANCH, 2, 80 * MIB)
    assert decision.abandoned is None
    assert not decision.backup_wanted


def test_what_the_old_primary_wrote_behind_the_switch_is_told() -> None:
    decision = decide(server(2), left((1, 90 * MIB)), slot(), held(95 * MIB))
    assert decision.step is Step.BRANCH
    assert decision.abandoned == (90 * MIB, 95 * MIB)
    assert not decision.backup_wanted


def test_of_two_promotions_none_is_left_out() -> None:
    decision = decide(server(3), left((1, 60 * MIB), (2, 90 * MIB)), slot(), held(60 * MIB))
    assert decision.timeline == 2


def test_a_history_that_does_not_come_from_ours_needs_a_backup() -> None:
    decision = decide(server(3), left((1, 60 * MIB)), slot(), held(70 * MIB, timeline=2))
    assert (decision.step, decision.timeline, decision.start) == (Step.BRANCH, 3, 48 * MIB)
    assert decision.backup_wanted


def test_wal_that_the_server_threw_away_is_a_gap_and_needs_a_backup() -> None:
    decision = after_gone(server(), (), slot(90 * MIB), held(40 * MIB), "removed")
    assert (decision.step, decision.start) == (Step.GAP, 80 * MIB)
    assert decision.missing == (40 * MIB, 80 * MIB)
    assert decision.backup_wanted


def test_a_gap_within_one_segment_still_needs_a_backup() -> None:
    decision = after_gone(server(), (), slot(90 * MIB), held(85 * MIB), "removed")
    assert decision.missing == (80 * MIB, 80 * MIB)
    assert decision.backup_wanted
