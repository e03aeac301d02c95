"""Codes by the time and recovery codes."""

from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from holdfast.identity import factors

# RFC 6238, appendix B, for SHA-1 and six digits: the last six of its eight.
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
VECTORS = [
    (59, "287082"),
    (1111111109, "081804"),
    (1111111111, "050471"),
    (1234567890, "005924"),
    (2000000000, "279037"),
    (20000000000, "353130"),
]
NOW = datetime(2026, 11, 20, 3, 0, 10, tzinfo=UTC)


@pytest.mark.parametrize(("seconds", "code"), VECTORS)
def test_codes_are_those_of_the_standard(seconds: int, code: str) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    assert factors.step_of(SECRET, code, at) == seconds // 30


def test_a_phone_may_be_one_step_off_and_no_more() -> None:
    step = int(NOW.timestamp()) // 30
    totp = pyotp.TOTP(SECRET)
    found = {off: factors.step_of(SECRET, totp.generate_otp(step + off), NOW) for off in range(-3, 4)}
    assert found == {-3: None, -2: None, -1: step - 1, 0: step, 1: step + 1, 2: None, 3: None}


@pytest.mark.parametrize(
    "typed", ["", "12345", "1234567", "abcdef", "\uff11\uff12\uff13\uff14\uff15\uff16", "-12345", "12 34 5"]
)
def test_what_is_no_code_is_none(typed: str) -> None:
    assert factors.step_of(SECRET, typed, NOW) is None


def test_blanks_in_a_code_do_not_matter() -> None:
    code = pyotp.TOTP(SECRET).at(NOW)
    assert factors.step_of(SECRET, f" {code[:3]} {code[3:]}\n", NOW) is not None


def test_a_code_is_nothing_half_a_minute_after_its_step_plus_drift() -> None:
    code = pyotp.TOTP(SECRET).at(NOW)
    assert factors.step_of(SECRET, code, NOW + timedelta(seconds=30)) is not None
    assert factors.step_of(SECRET, code, NOW + timedelta(seconds=60)) is None


def test_recovery_codes_are_many_and_each_its_own() -> None:
    codes = factors.fresh_codes()
    assert len(set(codes)) == factors.CODES
    assert all(factors.looks_like_recovery(code) for code in codes)
    assert not factors.looks_like_recovery("123456")


def test_a_recovery_code_is_known_however_it_is_typed_and_for_its_account_only() -> None:
    kept = factors.code_sha256("a", "abcd-efgh-jkmn-pqrs")
    assert factors.code_sha256("a", " ABCD efgh jkmnpqrs ") == kept
    assert factors.code_sha256("b", "abcd-efgh-jkmn-pqrs") != kept
    assert factors.code_sha256("a", "abcd-efgh-jkmn-pqrt") != kept


def test_the_phone_reads_who_it_is_for() -> None:
    uri = factors.uri_of(SECRET, "anna@example.com", "Status: of us")
    assert uri.startswith("otpauth://totp/")
    parsed = pyotp.parse_uri(uri)
    assert (parsed.secret, parsed.name, parsed.issuer) == (SECRET, "anna@example.com", "Status: of us")


def test_fresh_secrets_differ() -> None:
    assert len({factors.fresh_factor() for _ in range(50)}) == 50
