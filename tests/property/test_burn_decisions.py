"""Alerts over time: they open once, do not flap, and never end because somebody stopped knowing."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from holdfast.availability.alerting.decisions import Action, Change, decide
from holdfast.availability.alerting.model import Alert, Kind, Reading, Severity, Silence

T0 = datetime(2026, 11, 22, 3, tzinfo=UTC)
STEP = timedelta(seconds=15)
QUIET = timedelta(minutes=1, seconds=1)

looks = st.sampled_from([None, Severity.TICKET, Severity.PAGE, "unknown"])
courses = st.lists(looks, min_size=1, max_size=40)


def reading(look: Severity | str | None, subject: str = "eu/api") -> Reading:
    firing = look if isinstance(look, Severity) else None
    return Reading(Kind.DOWN, subject, firing, known=look != "unknown", components=(subject,))


def played(course: Sequence[Severity | str | None]) -> list[tuple[datetime, list[Action], Alert | None]]:
    """Each look of the course, 15 s apart: what it changed, and what is open after it."""
    open_alert: Alert | None = None
    result = []
    for index, look in enumerate(course):
        now = T0 + index * STEP
        known = [] if open_alert is None else [open_alert]
        actions = decide([reading(look)], known, [], now, QUIET)
        for action in actions:
            open_alert = action.alert if action.alert.is_open else None
        result.append((now, actions, open_alert))
    return result


@given(courses)
def test_an_alert_is_open_from_the_first_fire_until_it_was_quiet_for_long_enough(
    course: list[Severity | str | None],
) -> None:
    fired: datetime | None = None
    for look, (now, actions, after) in zip(course, played(course), strict=True):
        if isinstance(look, Severity):
            fired = now
        elif fired is not None and look is None and now - fired >= QUIET:
            fired = None
        assert (after is not None) == (fired is not None)
        assert len(actions) <= 1


@given(courses)
def test_what_fires_or_is_not_known_never_ends_an_alert(course: list[Severity | str | None]) -> None:
    for look, (_, actions, _) in zip(course, played(course), strict=True):
        if look is not None:
            assert all(action.change is not Change.RESOLVED for action in actions)
        if look == "unknown":
            assert actions == []


@given(courses)
def test_the_severity_rises_at_once_and_falls_after_the_quiet(course: list[Severity | str | None]) -> None:
    paged: datetime | None = None
    for look, (now, _, after) in zip(course, played(course), strict=True):
        if look is Severity.PAGE:
            paged = now
        if after is None:
            paged = None
        elif isinstance(look, Severity):
            recently = paged is not None and now - paged < QUIET
            assert (after.severity is Severity.PAGE) == recently


@given(st.lists(st.booleans(), min_size=8, max_size=40))
def test_a_subject_that_comes_and_goes_is_one_alert(course: list[bool]) -> None:
    """Whatever happens in between: it fires at every fourth look, which is within the quiet."""
    flapping = [Severity.PAGE if fires or index % 4 == 0 else None for index, fires in enumerate(course)]
    changes = [action.change for _, actions, _ in played(flapping) for action in actions]
    assert changes.count(Change.OPENED) == 1
    assert Change.RESOLVED not in changes


@given(courses, st.sets(st.integers(0, 39)))
def test_more_trouble_never_closes_an_alert(course: list[Severity | str | None], worse: set[int]) -> None:
    worsened = [Severity.PAGE if index in worse else look for index, look in enumerate(course)]
    for (_, _, before), (_, _, after) in zip(played(course), played(worsened), strict=True):
        if before is not None:
            assert after is not None
            assert after.severity >= before.severity


@given(courses)
def test_deciding_again_at_the_same_time_changes_nothing(course: list[Severity | str | None]) -> None:
    now, _, after = played(course)[-1]
    known = [] if after is None else [after]
    assert decide([reading(course[-1])], known, [], now, QUIET) == []


@given(courses)
def test_a_controller_that_was_away_converges(course: list[Severity | str | None]) -> None:
    """However it was left: a week later one quiet look ends it, and one fire opens it."""
    _, _, after = played(course)[-1]
    known = [] if after is None else [after]
    later = T0 + timedelta(days=7)
    ended = decide([reading(None)], known, [], later, QUIET)
    assert [action.change for action in ended] == [Change.RESOLVED] * len(known)
    opened = decide([reading(Severity.PAGE)], [], [], later, QUIET)
    assert [action.change for action in opened] == [Change.OPENED]


def test_what_left_the_estate_ends_at_once() -> None:
    (opened,) = decide([reading(Severity.PAGE)], [], [], T0, QUIET)
    (gone,) = decide([], [opened.alert], [], T0 + STEP, QUIET)
    assert gone.change is Change.RESOLVED
    assert "no longer in the estate" in gone.alert.summary


def test_a_silence_mutes_and_lets_go() -> None:
    silence = Silence(3, "eu/*", "we know", "ann", T0, T0 + 4 * STEP)
    (opened,) = decide([reading(Severity.PAGE)], [], [silence], T0, QUIET)
    assert opened.alert.muted_by == "silence 3: we know"
    (other,) = decide([reading(Severity.PAGE, "us/api")], [], [silence], T0, QUIET)
    assert other.alert.muted_by == ""
    (later,) = decide([reading(Severity.PAGE)], [opened.alert], [silence], silence.ends_at, QUIET)
    assert later.alert.muted_by == ""
    assert later.alert.opened_at == T0


def test_an_escalation_is_news_as_of_now_and_easing_is_not() -> None:
    (opened,) = decide([reading(Severity.TICKET)], [], [], T0, QUIET)
    (raised,) = decide([reading(Severity.PAGE)], [opened.alert], [], T0 + STEP, QUIET)
    assert (raised.change, raised.alert.changed_at) == (Change.ESCALATED, T0 + STEP)
    later = T0 + STEP + QUIET
    (eased,) = decide([reading(Severity.TICKET)], [raised.alert], [], later, QUIET)
    assert (eased.change, eased.alert.changed_at) == (Change.EASED, T0 + STEP)
    assert eased.alert.opened_at == T0
