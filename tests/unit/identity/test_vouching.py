"""What becomes of somebody whom a provider vouches for."""

from dataclasses import replace

import pytest

from holdfast.identity.model import Account, Role, RoleByClaim, Vouched
from holdfast.identity.passwords import NAME
from holdfast.identity.vouching import account_for, role_by

RULES = [
    RoleByClaim("groups", "ops-admins", Role.ADMIN),
    RoleByClaim("groups", "ops", Role.OPERATOR),
    RoleByClaim("department", "support", Role.COMMUNICATOR),
]


def vouched(**claims: object) -> Vouched:
    return Vouched("https://id.example", "42", {"groups": ["ops"], **claims})


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"groups": ["ops", "ops-admins"]}, Role.ADMIN),
        ({"groups": ["ops"]}, Role.OPERATOR),
        ({"groups": "ops"}, Role.OPERATOR),
        ({"department": "support"}, Role.COMMUNICATOR),
        ({"groups": ["opsx"], "department": ["support", "x"]}, Role.COMMUNICATOR),
        ({"groups": "ops-admins,ops"}, None),
        ({"groups": {"ops": True}}, None),
        ({"groups": None}, None),
        ({"groups": [["ops"]]}, None),
        ({}, None),
    ],
)
def test_the_first_rule_that_fits_counts(claims: dict[str, object], role: Role | None) -> None:
    assert role_by(claims, RULES) is role


def test_nobody_gets_in_without_a_role() -> None:
    assert account_for(vouched(groups=["others"]), RULES, None, set()) is None
    assert account_for(vouched(), [], None, set()) is None


def test_a_first_login_makes_the_same_account_whoever_handles_it() -> None:
    one, two = (account_for(vouched(email="Anna@Example.com"), RULES, None, set()) for _ in range(2))
    assert one == two
    assert one is not None
    assert (one.name, one.role, one.issuer, one.subject) == (
        "anna@example.com",
        Role.OPERATOR,
        "https://id.example",
        "42",
    )


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"preferred_username": 7},
        {"preferred_username": "<script>alert(1)</script>"},
        {"preferred_username": "..."},
        {"preferred_username": "x" * 500},
        {"preferred_username": "Änne Müller"},
        {"email": "\u202egro.elpmaxe@anna"},
    ],
)
def test_whatever_is_claimed_the_name_can_be_one(claims: dict[str, object]) -> None:
    account = account_for(vouched(**claims), RULES, None, set())
    assert account is not None
    assert NAME.fullmatch(account.name)


def test_a_claimed_name_never_takes_anothers_account() -> None:
    account = account_for(vouched(preferred_username="root"), RULES, None, {"root"})
    assert account is not None
    assert account.name.startswith("root-")
    assert account.name != "root"


def test_a_later_login_changes_the_role_and_not_the_name() -> None:
    known = Account("1", "anna", "Anna", Role.OPERATOR, issuer="https://id.example", subject="42")
    now = account_for(vouched(groups=["ops-admins"], preferred_username="root"), RULES, known, set())
    assert now == replace(known, role=Role.ADMIN)
