"""When a session is alive, and what it opens."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from holdfast.identity import sessions
from holdfast.identity.model import EVERYTHING, NEEDS, Account, Right, Role, Stage, Terms

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
TERMS = Terms(30 * MINUTE, 12 * HOUR)
ANNA = Account("1", "anna", "Anna", Role.ADMIN, has_second_factor=True)
OPEN = sessions.fresh("cookie", ANNA, Stage.OPEN, NOW, TERMS, "192.0.2.1")


def test_it_ends_when_it_is_not_used() -> None:
    assert sessions.is_alive(OPEN, NOW + 30 * MINUTE - SECOND, TERMS)
    assert not sessions.is_alive(OPEN, NOW + 30 * MINUTE, TERMS)
    used = replace(OPEN, seen_at=NOW + 29 * MINUTE)
    assert sessions.is_alive(used, NOW + 58 * MINUTE, TERMS)


def test_it_ends_in_the_end_however_much_it_is_used() -> None:
    used = replace(OPEN, seen_at=NOW + 12 * HOUR - SECOND)
    assert sessions.is_alive(used, NOW + 12 * HOUR - SECOND, TERMS)
    assert not sessions.is_alive(used, NOW + 12 * HOUR, TERMS)


def test_stricter_terms_count_at_once_and_looser_ones_from_the_next_login_on() -> None:
    assert not sessions.is_alive(OPEN, NOW + 2 * MINUTE, Terms(MINUTE, 12 * HOUR))
    assert not sessions.is_alive(replace(OPEN, seen_at=NOW + HOUR), NOW + HOUR, Terms(30 * MINUTE, HOUR))
    late = replace(OPEN, seen_at=NOW + 13 * HOUR)
    assert not sessions.is_alive(late, NOW + 13 * HOUR, Terms(30 * MINUTE, 24 * HOUR))


def test_one_of_the_future_is_dead_but_for_clocks_that_differ_a_little() -> None:
    assert sessions.is_alive(OPEN, NOW - 30 * SECOND, TERMS)
    assert not sessions.is_alive(OPEN, NOW - 2 * MINUTE, TERMS)


def test_a_clock_that_jumped_ahead_and_back_lets_nothing_live_longer() -> None:
    ahead = replace(OPEN, seen_at=NOW + 300 * HOUR)
    assert sessions.needs_touch(ahead, NOW + MINUTE, TERMS)
    assert not sessions.is_alive(ahead, NOW + 12 * HOUR, TERMS)


def test_waiting_for_the_second_factor_does_not_last() -> None:
    waiting = sessions.fresh("cookie", ANNA, Stage.CODE, NOW, TERMS, "")
    assert sessions.is_alive(waiting, NOW + 10 * MINUTE - SECOND, TERMS)
    assert not sessions.is_alive(waiting, NOW + 10 * MINUTE, TERMS)


@pytest.mark.parametrize(
    ("factor", "required", "stage"),
    [
        (True, True, Stage.CODE),
        (True, False, Stage.CODE),
        (False, True, Stage.ENROL),
        (False, False, Stage.OPEN),
    ],
)
def test_after_the_password_comes(factor: bool, required: bool, stage: Stage) -> None:
    account = replace(ANNA, has_second_factor=factor)
    assert sessions.first_stage(account, replace(TERMS, second_factor_required=required)) is stage


def test_an_open_session_closes_when_the_factor_is_gone_and_one_is_required() -> None:
    without = replace(ANNA, has_second_factor=False)
    assert sessions.stage_of(OPEN, without, TERMS) is Stage.ENROL
    assert sessions.stage_of(OPEN, without, replace(TERMS, second_factor_required=False)) is Stage.OPEN
    vouched = replace(without, issuer="https://id.example", subject="1")
    assert sessions.stage_of(OPEN, vouched, TERMS) is Stage.OPEN


def test_nobody_has_rights_before_they_are_known_for_sure() -> None:
    assert sessions.actor_of(ANNA, Stage.CODE).rights == frozenset()
    assert sessions.actor_of(ANNA, Stage.ENROL).rights == frozenset()
    assert sessions.actor_of(ANNA, Stage.OPEN).rights == EVERYTHING


@pytest.mark.parametrize("role", list(Role))
def test_a_role_may_what_those_below_it_may(role: Role) -> None:
    rights = sessions.actor_of(replace(ANNA, role=role), Stage.OPEN).rights
    assert rights == {right for right, needed in NEEDS.items() if needed <= role}
    assert (Right.ADMINISTER in rights) is (role is Role.ADMIN)


def test_a_customers_viewer_and_a_disabled_account_may_nothing() -> None:
    customer = replace(ANNA, role=Role.VIEWER, customer="acme")
    assert sessions.actor_of(customer, Stage.OPEN).rights == frozenset()
    assert sessions.actor_of(replace(ANNA, disabled_at=NOW), Stage.OPEN).rights == frozenset()


def test_neither_of_a_cookies_hashes_is_the_other() -> None:
    cookie = sessions.fresh_secret()
    assert sessions.csrf_of(cookie) != sessions.sha256_of(cookie).hex()
    assert len(sessions.sha256_of(cookie)) == 32


def test_no_secret_shows_itself() -> None:
    view = sessions.view_of("a cookie", OPEN, ANNA, TERMS)
    assert view.csrf not in repr(view)
    assert OPEN.sha256.hex() not in repr(view)
    assert repr(OPEN.sha256) not in repr(view)
