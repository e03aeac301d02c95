"""Who is told what, and when."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from alerting_estates import EXAMPLE, T0, parsed

from holdfast.availability.alerting.model import Alert, Board, Kind, Notice, Reason, Severity, Told
from holdfast.availability.alerting.routing import Telling, channels_of, matches, routes_of, telling
from holdfast.estate.model import AlertMatch, Alerts

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
WAITED = T0 + 30 * SECOND


def alerts(routes: str, channels: Sequence[str] = ("ops", "desk")) -> Alerts:
    """The `alerts` of an estate with these channels and routes."""
    declared = "".join(f"    {channel}: {{url: env:X}}\n" for channel in channels)
    head = EXAMPLE[: EXAMPLE.index("alerts:")]
    return parsed(f"{head}alerts:\n  channels:\n{declared}  routes: {routes}\n").alerts


def down(name: str, severity: Severity = Severity.PAGE, agreement: str = "gold") -> Alert:
    return Alert(
        Kind.DOWN, name, severity, T0, T0, T0, T0, f"{name} is down", (agreement,), (name,), facts={}
    )


def burn(severity: Severity = Severity.TICKET) -> Alert:
    components = ("eu/api", "us/api")
    return Alert(Kind.BURN, "gold", severity, T0, T0, T0, None, "Gold burns", ("gold",), components)


def told_of(found: Telling) -> list[Told]:
    return list(found.told)


def only(found: Telling) -> Notice:
    (notice,) = found.notices
    return notice


OPS = "[{channels: [ops]}]"


# --- routes


def test_without_routes_everything_goes_everywhere() -> None:
    assert [route.channels for route in routes_of(alerts("[]"))] == [("ops", "desk")]
    assert list(routes_of(Alerts())) == []


@pytest.mark.parametrize(
    ("match", "takes"),
    [
        (AlertMatch(), True),
        (AlertMatch(agreements=("gold",)), True),
        (AlertMatch(agreements=("silver",)), False),
        (AlertMatch(components=("us/*",)), True),
        (AlertMatch(components=("eu/web",)), False),
        (AlertMatch(severities=("ticket",)), True),
        (AlertMatch(severities=("page",)), False),
        (AlertMatch(agreements=("gold",), components=("eu/*",), severities=("page", "ticket")), True),
        (AlertMatch(agreements=("gold",), components=("*/web",)), False),
    ],
)
def test_every_list_that_is_given_must_hold(match: AlertMatch, takes: bool) -> None:
    assert matches(match, burn()) is takes


def test_a_channel_hears_of_an_alert_by_the_first_route_that_names_it() -> None:
    routes = routes_of(
        alerts(
            "[{match: {severities: [page]}, channels: [ops]}, {channels: [desk]}, {channels: [ops, desk]}]"
        )
    )
    assert channels_of(down("eu/api"), routes) == {"ops": 0, "desk": 1}
    assert channels_of(burn(), routes) == {"desk": 1, "ops": 2}


# --- waiting and grouping


def test_a_message_waits_for_the_group_and_tells_all_of_it() -> None:
    board = Board(0)
    open_now = [down("eu/api"), replace(down("eu/web"), changed_at=T0 + 29 * SECOND)]
    assert telling(board, open_now, alerts(OPS), WAITED - SECOND).notices == []
    notice = only(telling(board, open_now, alerts(OPS), WAITED))
    assert notice.reason is Reason.OPEN
    assert notice.group == "0: cluster eu"
    assert [alert.subject for alert in notice.firing] == ["eu/api", "eu/web"]


def test_groups_are_what_the_route_says() -> None:
    open_now = [down("eu/api"), down("eu/web"), down("us/api"), burn()]

    def groups(labels: str) -> dict[str, int]:
        declared = alerts(f"[{{channels: [ops], group_by: {labels}}}]")
        return {
            each.group: len(each.firing) for each in telling(Board(0), open_now, declared, WAITED).notices
        }

    assert groups("[]") == {"0: ": 4}
    assert groups("[cluster]") == {"0: cluster eu": 2, "0: cluster us": 1, "0: cluster eu+us": 1}
    assert groups("[severity, kind]") == {
        "0: severity page, kind down": 3,
        "0: severity ticket, kind burn": 1,
    }
    assert len(groups("[component]")) == 4
    assert groups("[agreement]") == {"0: agreement gold": 4}


def test_the_most_urgent_comes_first() -> None:
    notice = only(
        telling(Board(0), [burn(), down("us/api")], alerts("[{channels: [ops], group_by: []}]"), WAITED)
    )
    assert [alert.severity for alert in notice.firing] == [Severity.PAGE, Severity.TICKET]
    assert notice.severity is Severity.PAGE


# --- after the first message


def test_what_was_told_is_told_again_only_when_it_is_time() -> None:
    page, ticket = down("eu/api"), down("eu/api", Severity.TICKET)
    for alert, again in ((page, 4 * HOUR), (ticket, timedelta(days=1))):
        told = told_of(telling(Board(0), [alert], alerts(OPS), WAITED))
        board = Board(1, told=told)
        assert telling(board, [alert], alerts(OPS), WAITED + again - SECOND).notices == []
        assert only(telling(board, [alert], alerts(OPS), WAITED + again)).reason is Reason.REPEAT


def test_the_route_says_how_often_and_a_message_that_is_not_delivered_is_enough() -> None:
    declared = alerts("[{channels: [ops], repeat_every: 10m}]")
    told = told_of(telling(Board(0), [down("eu/api")], declared, WAITED))
    later = WAITED + 10 * MINUTE
    assert telling(Board(1, told=told), [down("eu/api")], declared, later - SECOND).notices == []
    assert len(telling(Board(1, told=told), [down("eu/api")], declared, later).notices) == 1
    stuck = Board(1, told=told, waiting=frozenset([("ops", "0: cluster eu")]))
    assert telling(stuck, [down("eu/api")], declared, later).notices == []


def test_a_new_alert_in_a_group_brings_the_others_along_and_starts_the_repeat_anew() -> None:
    told = told_of(telling(Board(0), [down("eu/api")], alerts(OPS), WAITED))
    later = WAITED + 3 * HOUR
    second = replace(down("eu/web"), opened_at=later, changed_at=later)
    open_now = [down("eu/api"), second]
    found = telling(Board(1, told=told), open_now, alerts(OPS), later + 30 * SECOND)
    assert [alert.subject for alert in only(found).firing] == ["eu/api", "eu/web"]
    board = Board(2, told=told_of(found))
    assert telling(board, open_now, alerts(OPS), later + 2 * HOUR).notices == []


def test_an_escalation_is_news_and_easing_is_not_but_makes_the_next_one_news_again() -> None:
    ticket = burn()
    told = told_of(telling(Board(0), [ticket], alerts(OPS), WAITED))
    paged = replace(ticket, severity=Severity.PAGE, changed_at=WAITED)
    raised = telling(Board(1, told=told), [paged], alerts(OPS), WAITED + 30 * SECOND)
    assert only(raised).reason is Reason.ESCALATE
    eased = telling(Board(2, told=told_of(raised)), [ticket], alerts(OPS), WAITED + HOUR)
    assert eased.notices == []
    (remembered,) = eased.told
    assert remembered.severity is Severity.TICKET
    again = replace(paged, changed_at=WAITED + 2 * HOUR)
    found = telling(Board(3, told=told_of(eased)), [again], alerts(OPS), WAITED + 3 * HOUR)
    assert only(found).reason is Reason.ESCALATE


def test_an_end_is_told_once_and_only_to_those_who_knew() -> None:
    alert = down("eu/api")
    found = telling(Board(0), [alert], alerts(OPS), WAITED)
    ended = replace(alert, resolved_at=WAITED + HOUR, muted_by="silence 1: hush")
    board = Board(1, told=told_of(found))
    assert telling(board, [ended], alerts(OPS), WAITED + HOUR).notices == []
    last = telling(board, [ended], alerts(OPS), WAITED + HOUR + 30 * SECOND)
    assert only(last).reason is Reason.RESOLVE
    assert only(last).severity is None
    assert list(last.forget) == [("ops", alert.id)]
    assert telling(Board(2), [ended], alerts(OPS), WAITED + 2 * HOUR).notices == []


def test_the_end_reaches_a_channel_whose_route_no_longer_matches() -> None:
    pager = alerts("[{match: {severities: [page]}, channels: [ops]}]")
    paged = burn(Severity.PAGE)
    told = told_of(telling(Board(0), [paged], pager, WAITED))
    ended = replace(paged, severity=Severity.TICKET, resolved_at=WAITED)
    assert only(telling(Board(1, told=told), [ended], pager, WAITED + MINUTE)).resolved == [ended]


def test_a_channel_that_left_the_estate_is_forgotten() -> None:
    alert = down("eu/api")
    told = told_of(telling(Board(0), [alert], alerts(OPS), WAITED))
    without = alerts("[{channels: [desk]}]", ["desk"])
    found = telling(Board(1, told=told), [alert], without, WAITED + HOUR)
    assert [notice.channel for notice in found.notices] == ["desk"]
    assert list(found.forget) == [("ops", alert.id)]


def test_what_is_muted_is_not_told_and_not_repeated() -> None:
    muted = replace(down("eu/api"), muted_by="maintenance 1: switch")
    assert telling(Board(0), [muted], alerts(OPS), WAITED).notices == []
    told = told_of(telling(Board(0), [down("eu/api")], alerts(OPS), WAITED))
    assert telling(Board(1, told=told), [muted], alerts(OPS), WAITED + 9 * HOUR).notices == []


def test_the_same_moment_again_with_what_was_remembered_is_silent() -> None:
    declared = alerts("[{channels: [ops], group_wait: 0s}, {channels: [desk], group_by: [kind]}]")
    open_now = [down("eu/api"), burn()]
    found = telling(Board(0), open_now, declared, WAITED)
    assert found.notices
    assert telling(Board(1, told=told_of(found)), open_now, declared, WAITED).notices == []
