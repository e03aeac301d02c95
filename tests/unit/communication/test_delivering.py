"""What follows from an attempt, and which addresses are addresses."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters.vault.aes import AesVault
from holdfast.communication.addresses import LONGEST_MAIL, mail_address, masked
from holdfast.communication.delivering import (
    GIVE_UP_AFTER,
    LONGEST_ERROR,
    LONGEST_RETRY,
    MOST_REFUSALS,
    Claimed,
    Outcome,
    Verdict,
    again_in,
    error_line,
    verdict,
)
from holdfast.communication.errors import BadAddress
from holdfast.communication.model import Channel, Standing
from holdfast.communication.subscribing import id_of, token_of

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
CLAIMED = Claimed(1, "k", Channel.MAIL, 1, NOW - 3 * GIVE_UP_AFTER, "a", subscription_id="s")
FAILING = replace(CLAIMED, failing_since=NOW - GIVE_UP_AFTER)
RETRY, GONE, REFUSED = Outcome(ok=False, retry=True), Outcome(ok=False, gone=True), Outcome(ok=False)


@pytest.mark.parametrize(
    ("outcome", "claimed", "expected"),
    [
        (Outcome(ok=True), FAILING, Verdict.SENT),
        (Outcome(ok=False, unavailable=True), FAILING, Verdict.RELEASE),
        # However long it waited for our own relay: it has not failed yet.
        (RETRY, CLAIMED, Verdict.AGAIN),
        (RETRY, replace(CLAIMED, failing_since=NOW - GIVE_UP_AFTER + timedelta(seconds=1)), Verdict.AGAIN),
        (RETRY, FAILING, Verdict.PAUSE),
        (RETRY, replace(FAILING, standing=Standing.PAUSED), Verdict.GIVE_UP),
        (RETRY, replace(FAILING, standing=Standing.PENDING), Verdict.GIVE_UP),
        (RETRY, replace(FAILING, subscription_id=None), Verdict.GIVE_UP),
        (REFUSED, CLAIMED, Verdict.GIVE_UP),
        (GONE, CLAIMED, Verdict.GIVE_UP),
        (GONE, replace(CLAIMED, refusals=MOST_REFUSALS - 1), Verdict.END),
        (GONE, replace(CLAIMED, standing=Standing.PENDING), Verdict.END),
        (GONE, replace(CLAIMED, channel=Channel.WEBHOOK), Verdict.END),
        (GONE, replace(CLAIMED, subscription_id=None), Verdict.GIVE_UP),
    ],
)
def test_what_follows_from_an_attempt(outcome: Outcome, claimed: Claimed, expected: Verdict) -> None:
    assert verdict(outcome, claimed, NOW) is expected


def test_the_pauses_grow_and_end_somewhere() -> None:
    pauses = [again_in(attempt) for attempt in range(1, 100)]
    assert all(one <= following for one, following in pairwise(pauses))
    assert pauses[0] < pauses[1]
    assert pauses[-1] == LONGEST_RETRY


@given(st.text())
def test_an_error_is_one_bounded_line(text: str) -> None:
    line = error_line(text)
    assert line.isprintable()
    assert len(line) <= LONGEST_ERROR


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        (" Ann@Example.ORG ", "Ann@example.org"),
        ("a.b+c@mail.example.org.", "a.b+c@mail.example.org"),
        ("o'neil@example.org", "o'neil@example.org"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
    ],
)
def test_a_mail_address_has_one_form(typed: str, address: str) -> None:
    assert mail_address(typed) == address
    assert mail_address(address) == address


@pytest.mark.parametrize(
    "typed",
    [
        "", "ann", "@example.org", "ann@", "ann@localhost", "a b@example.org", "ann@exam ple.org",
        "a@b@c.org",
        ".ann@example.org", "ann.@example.org", "a..b@example.org", "ann@-x.org", "ann@x-.org", "ann@x..org",
        "ann@192.0.2.1", "ann@[192.0.2.1]", "ann@example.org\r\nBcc: x@y.z", "ann@example.org\nx",
        "ann\0@example.org",
        "<ann@example.org>", '"ann"@example.org', "änn@example.org", "a" * 65 + "@example.org",
        "ann@" + "x" * 64 + ".org", "a@" + "x." * LONGEST_MAIL + "org", "ann@xn--\udc80.org",
        "a,b@example.org",
        "ann@example.org,bob@example.org", "x" * 100_000 + "@example.org",
    ],
)  # fmt: skip
def test_what_is_no_mail_address_is_refused_and_not_repeated(typed: str) -> None:
    with pytest.raises(BadAddress) as refused:
        mail_address(typed)
    assert not typed or typed not in str(refused.value)


@given(st.text(max_size=300))
def test_whatever_is_typed_becomes_a_plain_address_or_is_refused(typed: str) -> None:
    try:
        address = mail_address(typed)
    except BadAddress:
        return
    assert address.isascii()
    assert address.isprintable()
    assert not set(address) & set(' <>",;\r\n')
    assert mail_address(address) == address


def test_a_masked_address_can_be_recognised_and_not_used() -> None:
    assert masked(Channel.MAIL, "ann@example.org") == "a***@example.org"
    assert masked(Channel.WEBHOOK, "https://x.example.org/secret?k=v") == "https://x.example.org/***"


@given(st.uuids(), st.integers(0, 42), st.characters())
def test_a_token_that_was_changed_opens_nothing(number: object, place: int, other: str) -> None:
    vault = AesVault(bytes(range(32)))
    token = token_of(vault, str(number), "manage")
    assert id_of(vault, token, "manage") == str(number)
    changed = token[:place] + other + token[place + 1 :]
    assert changed == token or id_of(vault, changed, "manage") is None
