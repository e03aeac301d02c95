"""What may become of planned work, and what is refused with a reason."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from holdfast.communication.counting import Claim, Recount, awaits_start, recount, settled, taken
from holdfast.communication.directory import Directory
from holdfast.communication.errors import NotPossible, NotThere
from holdfast.communication.lead_times import lead_times, planned_ahead
from holdfast.communication.maintenance import (
    Changes,
    Decided,
    NewMaintenance,
    cancelled,
    changed,
    extended,
    finished,
    planned,
    posted,
    reminded,
    started,
)
from holdfast.communication.model import ComponentState, Event, Maintenance, Place, Stage
from holdfast.communication.upkeep import by_clock, overdue
from holdfast.estate.checks import HttpCheck
from holdfast.estate.model import Agreement, Cluster, Component, Customer, Estate, Region, Site
from holdfast.kernel.windows import Window

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WINDOW = Window(NOW + DAY, NOW + DAY + 2 * HOUR)
DIRECTORY = Directory(
    {each: Place("eu", "EU", f"c{each}", f"C{each}") for each in (1, 2, 3)}, {3: frozenset({"acme"})}
)


def new(window: Window = WINDOW, **others: object) -> NewMaintenance:
    return replace(NewMaintenance("Switches", "New ones.", frozenset({1}), window), **others)  # type: ignore[arg-type]


def made(window: Window = WINDOW, now: datetime = NOW, **others: object) -> Maintenance:
    return planned(new(window, **others), DIRECTORY, "abcdefghijkl", "ann", now).maintenance


def under_way(**others: object) -> Maintenance:
    decided = started(made(**others), "u1", "ann", WINDOW.start, by_clock=True)
    assert decided is not None
    return decided.maintenance


def done(decided: Decided | None) -> Maintenance:
    assert decided is not None
    return decided.maintenance


# --- planning


def test_it_is_planned_as_it_was_given() -> None:
    decided = planned(new(remind=(HOUR, DAY, HOUR)), DIRECTORY, "abcdefghijkl", "ann", NOW)
    assert (decided.journalled, decided.told) == ("maintenance.planned", Event.MAINTENANCE_PLANNED)
    assert decided.maintenance.remind == (DAY, HOUR)
    assert decided.maintenance.stage is Stage.SCHEDULED
    assert decided.maintenance.announced_by == "ann"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (new(title=" \n"), "a title is needed"),
        (new(body="x" * 20_001), "characters"),
        (new(component_ids=frozenset()), "at least one component"),
        (new(Window(NOW - 2 * HOUR, NOW)), "before it is over"),
        (new(Window(NOW, NOW)), "ends after it begins"),
        (new(Window(NOW, NOW + 32 * DAY)), "lasts 32 days"),
        (new(Window(NOW + 4000 * DAY, NOW + 4000 * DAY + HOUR)), "ten years"),
        (new(remind=tuple(each * HOUR for each in range(1, 7))), "6 reminders"),
        (new(remind=(timedelta(),)), "no reminder"),
        (new(remind=(61 * DAY,)), "no reminder"),
    ],
)
def test_what_makes_no_plan_is_refused(wrong: NewMaintenance, why: str) -> None:
    with pytest.raises(NotPossible, match=why) as refused:
        planned(wrong, DIRECTORY, "abcdefghijkl", "ann", NOW)
    assert refused.value.hint


def test_a_component_that_is_not_there_is_refused() -> None:
    with pytest.raises(NotThere, match="no component 9"):
        made(component_ids=frozenset({1, 9}))


def test_a_reminder_that_would_have_come_before_is_not_sent() -> None:
    """Planned 24 h ahead: who reads the announcement needs no reminder of two days before."""
    assert made(remind=(2 * DAY, HOUR)).reminded == (2 * DAY,)


# --- changes


def test_a_change_leaves_its_trail() -> None:
    after = done(
        changed(
            made(),
            Changes(title="Routers", window=Window(WINDOW.start, WINDOW.end + HOUR)),
            DIRECTORY,
            "bob",
            NOW,
        )
    )
    assert [(each.field, each.actor) for each in after.changes] == [("title", "bob"), ("ends_at", "bob")]
    assert after.changes[0].before == "Switches"


def test_nothing_changed_is_nothing_told() -> None:
    assert changed(made(), Changes(title="Switches", window=WINDOW), DIRECTORY, "bob", NOW) is None
    assert changed(made(), Changes(), DIRECTORY, "bob", NOW) is None


def test_other_reminders_alone_are_told_to_nobody() -> None:
    decided = changed(made(), Changes(remind=(HOUR,)), DIRECTORY, "bob", NOW)
    assert decided is not None
    assert decided.told is None


def test_another_start_is_reminded_of_anew() -> None:
    each = done(reminded(made(remind=(HOUR,)), WINDOW.start - HOUR))
    assert each.reminded == (HOUR,)
    later = Window(WINDOW.start + DAY, WINDOW.end + DAY)
    moved = done(changed(each, Changes(window=later), DIRECTORY, "ann", WINDOW.start - HOUR))
    assert moved.reminded == ()
    assert reminded(moved, later.start - HOUR) is not None


def test_work_under_way_keeps_its_start_and_components() -> None:
    earlier = Changes(window=Window(WINDOW.start - HOUR, WINDOW.end))
    for change in (earlier, Changes(component_ids=frozenset({2}))):
        with pytest.raises(NotPossible, match="has begun"):
            changed(under_way(), change, DIRECTORY, "ann", WINDOW.start + HOUR)
    shorter = Changes(window=Window(WINDOW.start, WINDOW.end - MINUTE))
    assert changed(under_way(), shorter, DIRECTORY, "ann", WINDOW.start + HOUR) is not None


def test_a_start_cannot_be_moved_into_the_past() -> None:
    with pytest.raises(NotPossible, match="has passed"):
        changed(made(), Changes(window=Window(NOW - HOUR, WINDOW.end)), DIRECTORY, "ann", NOW)


def test_what_everybody_knows_of_does_not_become_private() -> None:
    with pytest.raises(NotPossible, match="not everybody"):
        changed(made(), Changes(component_ids=frozenset({1, 3})), DIRECTORY, "ann", NOW)


# --- extending


def test_it_is_extended_and_not_shortened_so() -> None:
    decided = extended(made(), WINDOW.end + HOUR, "ann", NOW)
    assert decided is not None
    assert (decided.told, decided.journalled) == (Event.MAINTENANCE_CHANGED, "maintenance.extended")
    assert decided.maintenance.window == Window(WINDOW.start, WINDOW.end + HOUR)
    assert extended(made(), WINDOW.end, "ann", NOW) is None
    with pytest.raises(NotPossible, match="as it is"):
        extended(made(), WINDOW.end - HOUR, "ann", NOW)


def test_an_extension_has_to_reach_beyond_now() -> None:
    with pytest.raises(NotPossible, match="before it is over"):
        extended(under_way(ends_by_clock=False), WINDOW.end + HOUR, "ann", WINDOW.end + 2 * HOUR)


# --- starting and finishing


def test_by_the_clock_it_begins_and_ends_as_planned_however_late_the_clock_is_looked_at() -> None:
    late = done(by_clock(made(), "u1", WINDOW.start + 5 * MINUTE))
    assert (late.stage, late.began_at) == (Stage.IN_PROGRESS, WINDOW.start)
    over = done(by_clock(late, "u2", WINDOW.end + 5 * MINUTE))
    assert (over.stage, over.ended_at) == (Stage.COMPLETED, WINDOW.end)
    assert [dict(each.affected) for each in over.updates] == [
        {1: ComponentState.UNDER_MAINTENANCE},
        {1: ComponentState.OPERATIONAL},
    ]


def test_what_passed_while_nobody_looked_is_told_once() -> None:
    decided = by_clock(made(remind=(HOUR,)), "u1", WINDOW.end + DAY)
    assert decided is not None
    assert decided.told is Event.MAINTENANCE_COMPLETED
    assert (decided.maintenance.began_at, decided.maintenance.ended_at) == (WINDOW.start, WINDOW.end)
    assert by_clock(decided.maintenance, "u2", WINDOW.end + DAY) is None


def test_the_clock_leaves_alone_what_people_do() -> None:
    by_hand = made(starts_by_clock=False, ends_by_clock=False)
    assert by_clock(by_hand, "u", WINDOW.start + HOUR) is None
    begun = done(started(by_hand, "u", "ann", WINDOW.start + HOUR))
    assert by_clock(begun, "u", WINDOW.end + 9 * HOUR) is None


def test_what_nobody_started_did_not_take_place() -> None:
    gone = done(by_clock(made(starts_by_clock=False), "u", WINDOW.end))
    assert (gone.stage, gone.began_at) == (Stage.CANCELLED, None)
    assert taken(gone) is None


def test_who_is_late_is_told_to_operators() -> None:
    by_hand = made(starts_by_clock=False, ends_by_clock=False)
    assert overdue(by_hand, WINDOW.start + 4 * MINUTE) == ""
    assert overdue(by_hand, WINDOW.start + 5 * MINUTE) == "start"
    begun = done(started(by_hand, "u", "ann", WINDOW.start + 6 * MINUTE))
    assert overdue(begun, WINDOW.end) == ""
    assert overdue(begun, WINDOW.end + 5 * MINUTE) == "end"
    assert overdue(made(), WINDOW.end + DAY) == ""


def test_it_starts_early_but_not_by_more_than_a_day() -> None:
    early = done(started(made(), "u", "ann", WINDOW.start - 23 * HOUR))
    assert early.began_at == WINDOW.start - 23 * HOUR
    with pytest.raises(NotPossible, match="is planned for"):
        started(made(), "u", "ann", WINDOW.start - 25 * HOUR)


def test_it_does_not_start_after_its_window() -> None:
    with pytest.raises(NotPossible, match="was over"):
        started(made(starts_by_clock=False), "u", "ann", WINDOW.end)


def test_twice_is_once() -> None:
    begun = under_way()
    assert started(begun, "u", "ann", WINDOW.start + HOUR) is None
    over = done(finished(begun, "u", "ann", WINDOW.start + HOUR))
    assert finished(over, "u", "ann", WINDOW.start + HOUR) is None
    gone = done(cancelled(made(), "", "u", "ann", NOW))
    assert cancelled(gone, "", "u", "ann", NOW) is None


def test_what_has_not_begun_is_not_finished() -> None:
    with pytest.raises(NotPossible, match="scheduled"):
        finished(made(), "u", "ann", NOW)


def test_an_end_is_dated_back_between_the_start_and_now() -> None:
    now = WINDOW.start + HOUR
    over = done(finished(under_way(), "u", "ann", now, at=now - 30 * MINUTE))
    assert over.ended_at == now - 30 * MINUTE
    for wrong in (now + MINUTE, WINDOW.start - MINUTE):
        with pytest.raises(NotPossible, match="it ended between"):
            finished(under_way(), "u", "ann", now, at=wrong)


def test_an_end_that_is_known_is_corrected_to_an_earlier_one_only() -> None:
    over = done(by_clock(under_way(), "u", WINDOW.end))
    corrected = finished(over, "u", "ann", WINDOW.end + DAY, at=WINDOW.end - HOUR)
    assert corrected is not None
    assert corrected.told is None
    assert corrected.maintenance.ended_at == WINDOW.end - HOUR
    assert corrected.maintenance.changes[-1].field == "ended_at"
    with pytest.raises(NotPossible, match="was over"):
        finished(corrected.maintenance, "u", "ann", WINDOW.end + DAY, at=WINDOW.end)


def test_cancelled_under_way_is_ended_early() -> None:
    decided = cancelled(under_way(), "It went wrong.", "u", "ann", WINDOW.start + HOUR)
    assert decided is not None
    assert decided.told is Event.MAINTENANCE_COMPLETED
    assert decided.maintenance.stage is Stage.COMPLETED
    assert decided.maintenance.ended_at == WINDOW.start + HOUR
    assert decided.maintenance.updates[-1].body == "It went wrong."


def test_what_is_over_stays_over() -> None:
    over = done(finished(under_way(), "u", "ann", WINDOW.start + HOUR))
    gone = done(cancelled(made(), "", "u", "ann", NOW))
    for each in (over, gone):
        for step in (
            lambda one: extended(one, WINDOW.end + DAY, "ann", NOW),
            lambda one: changed(one, Changes(title="x"), DIRECTORY, "ann", NOW),
            lambda one: started(one, "u", "ann", WINDOW.start),
            lambda one: posted(one, "x", Stage.IN_PROGRESS, "u", "ann", NOW),
        ):
            with pytest.raises(NotPossible):
                step(each)
    with pytest.raises(NotPossible):
        cancelled(over, "", "u", "ann", NOW)


def test_words_move_it_on_and_back() -> None:
    at = WINDOW.start + HOUR
    verifying = done(posted(under_way(), "Looks good.", Stage.VERIFYING, "u", "ann", at))
    assert verifying.stage is Stage.VERIFYING
    again = done(posted(verifying, "It does not.", Stage.IN_PROGRESS, "u", "ann", at))
    assert again.stage is Stage.IN_PROGRESS
    over = done(posted(again, "Done.", Stage.COMPLETED, "u", "ann", at))
    assert (over.stage, over.ended_at, over.updates[-1].body) == (Stage.COMPLETED, at, "Done.")
    with pytest.raises(NotPossible, match="not in progress"):
        posted(made(), "We begin.", Stage.IN_PROGRESS, "u", "ann", NOW)
    said_after = done(posted(over, "All is well since.", Stage.COMPLETED, "u", "ann", at + HOUR))
    assert (said_after.ended_at, said_after.stage) == (at, Stage.COMPLETED)


def test_a_clock_that_was_set_back_does_not_change_the_order_of_what_was_said() -> None:
    first = done(posted(made(), "one", Stage.SCHEDULED, "u1", "ann", NOW))
    second = done(posted(first, "two", Stage.SCHEDULED, "u2", "ann", NOW - HOUR))
    assert [each.at for each in second.updates] == [NOW, NOW]


# --- reminders


def test_every_reminder_goes_out_once_and_several_that_are_due_as_one() -> None:
    each = made(remind=(3 * HOUR, 2 * HOUR, MINUTE))
    assert reminded(each, WINDOW.start - 4 * HOUR) is None
    decided = reminded(each, WINDOW.start - HOUR)
    assert decided is not None
    assert decided.told is Event.MAINTENANCE_REMINDER
    assert decided.maintenance.reminded == (3 * HOUR, 2 * HOUR)
    assert reminded(decided.maintenance, WINDOW.start - HOUR) is None
    assert done(reminded(decided.maintenance, WINDOW.start - MINUTE)).reminded == each.remind


def test_nobody_is_reminded_of_what_has_begun() -> None:
    each = made(remind=(HOUR,))
    assert reminded(each, WINDOW.start) is None
    decided = by_clock(each, "u", WINDOW.start + MINUTE)
    assert decided is not None
    assert decided.told is Event.MAINTENANCE_STARTED


# --- what counts


def test_what_lasts_longer_than_planned_takes_no_more_than_planned() -> None:
    over = replace(under_way(), stage=Stage.COMPLETED, ended_at=WINDOW.end + HOUR)
    assert taken(over) == WINDOW
    assert taken(replace(over, ended_at=WINDOW.start)) is None


def test_only_what_somebody_has_to_start_waits() -> None:
    by_hand = made(starts_by_clock=False)
    assert awaits_start(by_hand)
    assert not awaits_start(made())
    assert not awaits_start(done(started(by_hand, "u", "ann", WINDOW.start)))


def test_begun_by_hand_is_begun_by_the_clock_that_announces() -> None:
    begun = done(started(made(), "u", "ann", WINDOW.start - HOUR))
    announced = WINDOW.start - HOUR + timedelta(milliseconds=3)
    assert settled(begun, made(), announced).began_at == announced
    assert settled(begun, begun, announced).began_at == WINDOW.start - HOUR, "that is known already"
    assert settled(under_way(), made(), announced).began_at == WINDOW.start


def test_claims_are_cut_withdrawn_and_added() -> None:
    claims = [
        Claim(1, WINDOW, frozenset({1, 2})),
        Claim(2, Window(WINDOW.end, WINDOW.end + HOUR), frozenset({1})),
    ]
    target = Window(WINDOW.start + HOUR, WINDOW.end)
    assert recount(claims, target, {1, 3}, NOW) == Recount(
        frozenset({2}), {1: target}, {1: frozenset({2})}, ((target, frozenset({3})),)
    )
    assert recount(claims, None, {1}, NOW) == Recount(frozenset({1, 2}))
    assert recount(claims, Window(WINDOW.start, WINDOW.end + HOUR), {1, 2}, NOW).added == (
        (Window(WINDOW.end, WINDOW.end + HOUR), frozenset({2})),
    )
    assert recount([], WINDOW, {1}, WINDOW.end) == Recount(), "what is over cannot be announced"


# --- whether the notice suffices


def agreement(*components: str, notice: timedelta) -> Agreement:
    return Agreement(customer="acme", name="Acme", components=components, objective=99, notice=notice)  # type: ignore[arg-type]


def estate(**agreements: Agreement) -> Estate:
    components = {
        f"c{each}": Component(name=f"C{each}", checks={"home": HttpCheck(url="https://print.example/")})
        for each in (1, 2)
    }
    return Estate(
        version=1,
        site=Site(title="Status"),
        regions={"eu": Region(name="EU")},
        clusters={"eu": Cluster(name="EU", region="eu", components=components)},
        customers={"acme": Customer(name="Acme")},
        agreements=agreements,
    )


def test_every_agreement_that_is_concerned_says_whether_the_notice_suffices() -> None:
    found = lead_times(
        estate(
            short=agreement("eu/c1", notice=DAY),
            long=agreement("eu/*", notice=DAY + MINUTE),
            other=agreement("eu/c2", notice=DAY),
        ),
        [("eu", "c1")],
        NOW + DAY,
        NOW,
    )
    assert [(each.agreement, each.given, each.suffices) for each in found] == [
        ("short", DAY, True),
        ("long", DAY, False),
    ]


def test_series_are_planned_early_enough_for_the_longest_notice() -> None:
    assert planned_ahead(estate()) == 30 * DAY
    assert planned_ahead(estate(long=agreement("eu/*", notice=60 * DAY))) == 63 * DAY
