"""Logging in, tokens and accounts, over stores in memory."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from argon2 import Parameters, Type

from holdfast.adapters.hashing.argon import Argon2
from holdfast.adapters.memory.identity import MemoryIdentity
from holdfast.adapters.vault.aes import AesVault
from holdfast.identity import sessions
from holdfast.identity.desk import NOBODY, IdentityDesk
from holdfast.identity.errors import LockedOut, NotAllowed, NotThere, Refused, Unavailable, Unsuitable
from holdfast.identity.model import (
    EVERYTHING,
    SCOPES,
    Actor,
    Opened,
    Right,
    Role,
    RoleByClaim,
    Stage,
    Terms,
    Vouched,
)
from holdfast.kernel.clock import ManualClock

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
QUICK = Parameters(Type.ID, 19, 16, 16, 1, 8, 1)
BETTER = Parameters(Type.ID, 19, 16, 16, 2, 8, 1)
PASSWORD, HERE = "four words that fit", "192.0.2.1"
ROOT, NOBODY_MUCH = Actor("root", EVERYTHING), Actor("visitor", frozenset({Right.READ}))


@dataclass
class Desk:
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))
    store: MemoryIdentity = field(default_factory=MemoryIdentity)
    terms: Terms = field(default_factory=lambda: Terms(second_factor_required=False))
    hashing: Argon2 = field(default_factory=lambda: Argon2(QUICK))

    def __post_init__(self) -> None:
        self.vault = AesVault(b"k" * 32)
        self.desk = IdentityDesk(self.store, self.vault, self.hashing, self.clock, lambda: self.terms)

    async def add(self, name: str = "anna", role: Role = Role.ADMIN, password: str = PASSWORD) -> None:
        await self.desk.accounts.add(name, role, ROOT, password=password)

    async def login(self, name: str = "anna", password: str = PASSWORD, **how: str) -> Opened:
        return await self.desk.login(name, password, how.pop("address", HERE), **how)

    async def enrolled(self, name: str = "anna") -> pyotp.TOTP:
        """A second factor for an account that logs in without one; the clock is past the code's step."""
        opened = await self.login(name)
        offer = self.desk.factors.begin(opened.view, "Status")
        phone = pyotp.TOTP(offer.secret)
        await self.desk.enrol(opened.view, offer.sealed, phone.at(self.clock.now()), HERE)
        self.clock.advance(60)
        return phone

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(entry.actor, entry.event) for entry in self.store.journal]


@pytest.fixture
def at() -> Desk:
    return Desk()


# --- passwords


async def test_the_right_password_opens_and_is_journalled(at: Desk) -> None:
    await at.add()
    opened = await at.login()
    view = await at.desk.session(opened.cookie)
    assert (view.account.name, view.stage, view.actor.name) == ("anna", Stage.OPEN, "anna")
    assert at.events == [("root", "account.added"), ("anna", "login.succeeded")]
    assert at.store.journal[-1].facts == {"address": HERE}


async def test_nobody_learns_which_of_name_and_password_was_wrong(at: Desk) -> None:
    await at.add()
    await at.add("gone")
    await at.desk.accounts.disable("gone", ROOT)
    await at.desk.accounts.add("invited", Role.VIEWER, ROOT)
    said = set()
    for name, password in [
        ("anna", "wrong"),
        ("nobody", PASSWORD),
        ("gone", PASSWORD),
        ("invited", ""),
        ("not a name!", PASSWORD),
        ("anna", "x" * 5000),
        ("\ud800", "\ud800"),
    ]:
        with pytest.raises(Refused) as refused:
            await at.login(name, password)
        said.add((str(refused.value), refused.value.hint))
    assert len(said) == 1
    refusals = [entry for entry in at.store.journal if entry.event == "login.refused"]
    assert len(refusals) == 7
    assert {entry.actor for entry in refusals} == {NOBODY}
    assert "nobody" not in str([entry.facts for entry in refusals])


async def test_an_unknown_name_costs_the_same_work(at: Desk) -> None:
    """Not by the clock, which a busy machine bends: by what is asked of the hash."""
    asked: list[bool] = []

    class Counting(Argon2):
        async def verify(self, hashed: str | None, password: str) -> bool:
            asked.append(hashed is None)
            return await super().verify(hashed, password)

    counting = Desk(hashing=Counting(QUICK))
    await counting.add()
    for name in ("anna", "nobody", "!"):
        with pytest.raises(Refused):
            await counting.login(name, "wrong password")
    assert asked == [False, True, True]


async def test_a_hash_of_older_parameters_is_renewed_at_login(at: Desk) -> None:
    await at.add()
    before = await at.store.kept("anna")
    later = Desk(at.clock, at.store, at.terms, Argon2(BETTER))
    await later.login()
    after = await at.store.kept("anna")
    assert before is not None
    assert after is not None
    assert before.password_hash != after.password_hash
    assert after.password_hash is not None
    assert not later.hashing.outdated(after.password_hash)
    await later.login()


async def test_too_many_hashes_at_once_are_sent_away() -> None:
    at = Desk(hashing=Argon2(QUICK, at_once=1, waiting=2))
    came_to = await asyncio.gather(*(at.login(f"n{n}", "x") for n in range(20)), return_exceptions=True)
    assert sum(isinstance(each, Unavailable) for each in came_to) == 17
    assert sum(isinstance(each, Refused) for each in came_to) == 3


async def test_a_name_is_found_however_it_is_written(at: Desk) -> None:
    await at.add()
    assert (await at.login("  ANNA ")).view.account.name == "anna"


# --- brute force


async def test_guessing_is_slowed_down_and_the_right_password_has_to_wait_too(at: Desk) -> None:
    await at.add()
    for _ in range(6):
        with pytest.raises(Refused):
            await at.login(password="wrong password")
    with pytest.raises(LockedOut) as locked:
        await at.login()
    at.clock.advance((locked.value.until - at.clock.now()).total_seconds())
    await at.login()
    for _ in range(6):
        with pytest.raises(Refused):
            await at.login(password="wrong password")


async def test_a_thousand_guesses_at_once_are_six(at: Desk) -> None:
    await at.add()
    many = Desk(at.clock, at.store, at.terms, Argon2(QUICK, waiting=2000))
    came_to = await asyncio.gather(
        *(many.login(password=f"wrong {n}", address=f"198.51.100.{n % 200}") for n in range(1000)),
        return_exceptions=True,
    )
    assert sum(isinstance(each, Refused) for each in came_to) == 6
    assert sum(isinstance(each, LockedOut) for each in came_to) == 994


async def test_who_was_logged_in_before_gets_in_while_somebody_guesses(at: Desk) -> None:
    await at.add()
    device = (await at.login()).device
    for _ in range(6):
        with pytest.raises(Refused):
            await at.login(password="wrong password", address="198.51.100.1")
    with pytest.raises(LockedOut):
        await at.login()
    assert (await at.login(device=device)).view.confirmed


async def test_a_mark_of_a_browser_is_good_for_its_own_name_only_and_cannot_be_made(at: Desk) -> None:
    await at.add()
    await at.add("bert", Role.VIEWER)
    device = (await at.login("bert")).device
    for _ in range(6):
        with pytest.raises(Refused):
            await at.login(password="wrong password", address="198.51.100.1")
    forged = [device, device[:-1], "x." + device.partition(".")[2], ".", "\ud800.\ud800", "a.b.c"]
    for each in forged:
        with pytest.raises(LockedOut):
            await at.login(device=each)


async def test_a_mark_does_not_make_guessing_free(at: Desk) -> None:
    await at.add()
    device = (await at.login()).device
    for _ in range(6):
        with pytest.raises(Refused):
            await at.login(password="wrong password", device=device)
    with pytest.raises(LockedOut):
        await at.login(password="wrong password", device=device)


# --- second factors


async def test_a_code_confirms_once(at: Desk) -> None:
    await at.add()
    phone = await at.enrolled()
    first, second = await at.login(), await at.login()
    assert first.view.stage is Stage.CODE
    assert first.view.actor.rights == frozenset()
    code = phone.at(at.clock.now())
    opened = await at.desk.confirm(first.cookie, code, HERE)
    assert opened.view.confirmed
    with pytest.raises(Refused):
        await at.desk.confirm(second.cookie, code, HERE)
    at.clock.advance(30)
    assert (await at.desk.confirm(second.cookie, phone.at(at.clock.now()), HERE)).view.confirmed


async def test_an_older_code_is_nothing_after_a_newer_one(at: Desk) -> None:
    await at.add()
    phone = await at.enrolled()
    before = phone.at(at.clock.now() - timedelta(seconds=30))
    await at.desk.confirm((await at.login()).cookie, phone.at(at.clock.now()), HERE)
    with pytest.raises(Refused):
        await at.desk.confirm((await at.login()).cookie, before, HERE)


async def test_the_code_that_set_it_up_logs_nobody_in(at: Desk) -> None:
    await at.add()
    phone = await at.enrolled()
    at.clock.advance(-60)
    with pytest.raises(Refused):
        await at.desk.confirm((await at.login()).cookie, phone.at(at.clock.now()), HERE)


async def test_guessing_codes_is_slowed_down(at: Desk) -> None:
    await at.add()
    phone = await at.enrolled()
    waiting = await at.login()
    wrong = f"{(int(phone.at(at.clock.now())) + 1) % 10**6:06d}"
    for _ in range(6):
        with pytest.raises(Refused):
            await at.desk.confirm(waiting.cookie, wrong, HERE)
    with pytest.raises(LockedOut):
        await at.desk.confirm(waiting.cookie, phone.at(at.clock.now()), HERE)
    with pytest.raises(LockedOut):
        await at.desk.confirm((await at.login(address="198.51.100.9")).cookie, wrong, "198.51.100.9")
    assert ("anna", "login.code_refused") in at.events


async def test_a_recovery_code_gets_in_once(at: Desk) -> None:
    await at.add()
    await at.enrolled()
    waiting = await at.login()
    codes = await at.desk.factors.fresh_codes(waiting.view.account)
    opened = await at.desk.confirm(waiting.cookie, codes[0].upper(), HERE)
    assert opened.view.confirmed
    with pytest.raises(Refused):
        await at.desk.confirm((await at.login()).cookie, codes[0], HERE)
    assert await at.desk.factors.codes_left(opened.view.account) == len(codes) - 1
    assert ("anna", "account.recovery_code_used") in at.events


async def test_where_one_is_required_nothing_is_open_without_it() -> None:
    at = Desk(terms=Terms())
    await at.add()
    opened = await at.login()
    assert opened.view.stage is Stage.ENROL
    assert opened.view.actor.rights == frozenset()
    with pytest.raises(Refused):
        await at.desk.change_password(opened.view, PASSWORD, "four other words now", HERE)
    offer = at.desk.factors.begin(opened.view, "Status")
    with pytest.raises(Refused):
        await at.desk.enrol(opened.view, offer.sealed, "000000", HERE)
    code = pyotp.TOTP(offer.secret).at(at.clock.now())
    confirmed, codes = await at.desk.enrol(opened.view, offer.sealed, code, HERE)
    assert confirmed.view.confirmed
    assert len(codes) == 10
    with pytest.raises(NotAllowed):
        await at.desk.drop_factor(confirmed.view)


async def test_an_offer_is_good_in_its_own_session_only() -> None:
    at = Desk(terms=Terms())
    await at.add()
    one, other = await at.login(), await at.login()
    offer = at.desk.factors.begin(one.view, "Status")
    code = pyotp.TOTP(offer.secret).at(at.clock.now())
    for sealed in (offer.sealed, "", "zz", "00" * 40):
        with pytest.raises(Refused):
            await at.desk.enrol(other.view, sealed, code, HERE)


async def test_who_has_only_the_password_cannot_replace_a_factor_that_was_set_up_meanwhile() -> None:
    at = Desk(terms=Terms())
    await at.add()
    thief, owner = await at.login(), await at.login()
    for who, succeeds in ((owner, True), (thief, False)):
        offer = at.desk.factors.begin(who.view, "Status")
        code = pyotp.TOTP(offer.secret).at(at.clock.now())
        if succeeds:
            await at.desk.enrol(who.view, offer.sealed, code, HERE)
        else:
            with pytest.raises(Refused):
                await at.desk.enrol(who.view, offer.sealed, code, HERE)
    with pytest.raises(Refused):
        await at.desk.session(thief.cookie)


async def test_a_factor_moved_to_another_account_in_the_database_does_not_open(at: Desk) -> None:
    await at.add()
    await at.add("bert", Role.VIEWER)
    phone = await at.enrolled()
    await at.enrolled("bert")
    anna, bert = await at.store.kept("anna"), await at.store.kept("bert")
    assert anna is not None
    assert bert is not None
    at.store._accounts[bert.account.id] = type(bert)(bert.account, bert.password_hash, anna.factor_sealed)
    with pytest.raises(Exception, match="does not open"):
        await at.desk.confirm((await at.login("bert")).cookie, phone.at(at.clock.now()), HERE)


# --- sessions


async def test_every_step_up_is_a_new_session_and_the_old_cookie_is_nothing(at: Desk) -> None:
    await at.add()
    phone = await at.enrolled()
    waiting = await at.login()
    opened = await at.desk.confirm(waiting.cookie, phone.at(at.clock.now()), HERE)
    changed = await at.desk.change_password(opened.view, PASSWORD, "four other words now", HERE)
    cookies = [waiting.cookie, opened.cookie, changed.cookie]
    assert len(set(cookies)) == 3
    for old in cookies[:2]:
        with pytest.raises(Refused):
            await at.desk.session(old)
    assert (await at.desk.session(changed.cookie)).confirmed


async def test_a_waiting_session_opens_nothing_and_does_not_last(at: Desk) -> None:
    await at.add()
    phone = await at.enrolled()
    waiting = await at.login()
    at.clock.advance(600)
    with pytest.raises(Refused):
        await at.desk.confirm(waiting.cookie, phone.at(at.clock.now()), HERE)


@pytest.mark.parametrize("cookie", ["", "x", "\ud800", "x" * 5000, "' OR true --"])
async def test_what_is_no_cookie_is_nobody(at: Desk, cookie: str) -> None:
    with pytest.raises(Refused):
        await at.desk.session(cookie)


async def test_a_session_in_use_lives_on_and_one_that_is_not_ends(at: Desk) -> None:
    await at.add()
    used, idle = await at.login(), await at.login()
    for _ in range(4):
        at.clock.advance(20 * 60)
        await at.desk.session(used.cookie)
    with pytest.raises(Refused):
        await at.desk.session(idle.cookie)
    at.clock.advance(12 * 3600)
    with pytest.raises(Refused):
        await at.desk.session(used.cookie)


@pytest.mark.parametrize(
    ("change", "role"),
    [
        (lambda desk: desk.accounts.disable("bert", ROOT), None),
        (lambda desk: desk.accounts.change_role("bert", Role.VIEWER, ROOT), Role.VIEWER),
        (lambda desk: desk.accounts.reset_second_factor("bert", ROOT), None),
        (lambda desk: desk.accounts.set_password("bert", "four other words now", ROOT), None),
    ],
)
async def test_what_administrators_change_counts_at_once(
    at: Desk, change: Callable[[IdentityDesk], object], role: Role | None
) -> None:
    await at.add("bert", Role.COMMANDER)
    opened = await at.login("bert")
    assert opened.view.actor.may(Right.COMMAND)
    await change(at.desk)  # type: ignore[misc]
    if role is None:
        with pytest.raises(Refused):
            await at.desk.session(opened.cookie)
    else:
        assert not (await at.desk.session(opened.cookie)).actor.may(Right.COMMAND)


async def test_logging_out_ends_one_or_all_of_ones_own(at: Desk) -> None:
    await at.add()
    await at.add("bert", Role.VIEWER)
    one, two, three = [await at.login() for _ in range(3)]
    berts = await at.login("bert")
    await at.desk.logout(one.cookie)
    await at.desk.logout(one.cookie)
    await at.desk.logout("")
    with pytest.raises(NotThere):
        await at.desk.end_session(two.view, berts.view.session.sha256)
    assert await at.desk.logout_everywhere(two.view) == 1
    with pytest.raises(Refused):
        await at.desk.session(three.cookie)
    assert (await at.desk.session(berts.cookie)).account.name == "bert"
    assert [each.sha256 for each in await at.desk.sessions(two.view)] == [two.view.session.sha256]
    await at.desk.end_session(berts.view, berts.view.session.sha256)
    with pytest.raises(Refused):
        await at.desk.session(berts.cookie)


async def test_changing_ones_password_takes_the_old_one_and_a_good_new_one(at: Desk) -> None:
    await at.add()
    opened, other = await at.login(), await at.login()
    with pytest.raises(Refused):
        await at.desk.change_password(opened.view, "wrong", "four other words now", HERE)
    for bad in ("short", PASSWORD, "password1234"):
        with pytest.raises(Unsuitable):
            await at.desk.change_password(opened.view, PASSWORD, bad, HERE)
    await at.desk.change_password(opened.view, PASSWORD, "four other words now", HERE)
    with pytest.raises(Refused):
        await at.desk.session(other.cookie)
    with pytest.raises(Refused):
        await at.login()
    await at.login(password="four other words now")


async def test_a_stolen_session_cannot_guess_the_password_for_long(at: Desk) -> None:
    await at.add()
    opened = await at.login()
    for _ in range(6):
        with pytest.raises(Refused):
            await at.desk.prove_password(opened.view, "wrong", HERE)
    with pytest.raises(LockedOut):
        await at.desk.prove_password(opened.view, PASSWORD, HERE)


# --- accounts


async def test_only_administrators_administer(at: Desk) -> None:
    await at.add()
    accounts, tokens = at.desk.accounts, at.desk.tokens
    for attempt in (
        accounts.accounts(NOBODY_MUCH),
        accounts.account("anna", NOBODY_MUCH),
        accounts.add("bert", Role.ADMIN, NOBODY_MUCH),
        accounts.invite("anna", NOBODY_MUCH),
        accounts.change_role("anna", Role.VIEWER, NOBODY_MUCH),
        accounts.disable("anna", NOBODY_MUCH),
        accounts.enable("anna", NOBODY_MUCH),
        accounts.reset_second_factor("anna", NOBODY_MUCH),
        accounts.set_password("anna", PASSWORD, NOBODY_MUCH),
        tokens.create("t", [Right.READ], NOBODY_MUCH),
        tokens.tokens(NOBODY_MUCH),
        tokens.revoke("t", NOBODY_MUCH),
    ):
        with pytest.raises(NotAllowed):
            await attempt
    assert at.events == [("root", "account.added")]


async def test_the_last_administrator_stays(at: Desk) -> None:
    await at.add()
    for attempt in (
        at.desk.accounts.disable("anna", ROOT),
        at.desk.accounts.change_role("anna", Role.COMMANDER, ROOT),
    ):
        with pytest.raises(Unsuitable):
            await attempt
    await at.add("bert")
    await at.desk.accounts.disable("anna", ROOT)
    with pytest.raises(Unsuitable):
        await at.desk.accounts.disable("bert", ROOT)
    await at.desk.accounts.enable("anna", ROOT)
    await at.desk.accounts.disable("bert", ROOT)


async def test_an_invitation_sets_a_password_once_and_survives_a_bad_one(at: Desk) -> None:
    invitation = await at.desk.accounts.add("bert", Role.VIEWER, ROOT)
    assert invitation is not None
    assert invitation.secret not in repr(invitation)
    assert (await at.desk.accounts.invited(invitation.secret)).name == "bert"
    with pytest.raises(Unsuitable):
        await at.desk.accounts.accept(invitation.secret, "short")
    await at.desk.accounts.accept(invitation.secret, PASSWORD)
    for each in (invitation.secret, "", "x" * 5000):
        with pytest.raises(Refused):
            await at.desk.accounts.accept(each, PASSWORD)
    await at.login("bert")
    assert ("bert", "account.invitation_used") in at.events


async def test_an_invitation_ends_by_itself(at: Desk) -> None:
    invitation = await at.desk.accounts.add("bert", Role.VIEWER, ROOT)
    assert invitation is not None
    at.clock.advance(72 * 3600)
    with pytest.raises(Refused):
        await at.desk.accounts.invited(invitation.secret)


@pytest.mark.parametrize("name", ["", "two words", "<b>", "a" * 101, "ö", "-x", "a\nb"])
async def test_what_can_be_no_name_is_told(at: Desk, name: str) -> None:
    with pytest.raises(Unsuitable):
        await at.add(name)


async def test_a_customers_account_is_a_viewer_and_stays_one(at: Desk) -> None:
    with pytest.raises(Unsuitable):
        await at.desk.accounts.add("c", Role.OPERATOR, ROOT, customer="acme")
    await at.desk.accounts.add("c", Role.VIEWER, ROOT, customer="acme")
    with pytest.raises(Unsuitable):
        await at.desk.accounts.change_role("c", Role.ADMIN, ROOT)


# --- tokens


async def test_a_token_may_what_its_scopes_say_and_is_named_in_the_journal(at: Desk) -> None:
    token, secret = await at.desk.tokens.create("ci", [Right.READ, Right.INCIDENTS], ROOT)
    assert secret.startswith("hf_")
    actor = await at.desk.actor_of_token(secret)
    assert actor == Actor("token ci", frozenset({Right.READ, Right.INCIDENTS}))
    assert secret not in str(at.store.journal)
    assert at.store.journal[-1].facts == {"token": "ci", "scopes": ["incidents:write", "read"]}
    (kept,) = await at.desk.tokens.tokens(ROOT)
    assert kept.last_used_at == NOW
    await at.desk.tokens.revoke(token.id, ROOT)
    with pytest.raises(Refused):
        await at.desk.actor_of_token(secret)
    with pytest.raises(NotThere):
        await at.desk.tokens.revoke(token.id, ROOT)


async def test_no_token_administers(at: Desk) -> None:
    assert Right.ADMINISTER not in SCOPES
    with pytest.raises(Unsuitable):
        await at.desk.tokens.create("ci", [Right.ADMINISTER], ROOT)
    _, secret = await at.desk.tokens.create("everything", SCOPES, ROOT)
    with pytest.raises(NotAllowed):
        await at.desk.tokens.create("more", [Right.READ], await at.desk.actor_of_token(secret))


async def test_a_token_ends_when_it_says(at: Desk) -> None:
    _, secret = await at.desk.tokens.create("ci", [Right.READ], ROOT, expires_at=NOW + timedelta(days=1))
    at.clock.advance(86_399)
    await at.desk.actor_of_token(secret)
    at.clock.advance(1)
    with pytest.raises(Refused):
        await at.desk.actor_of_token(secret)
    with pytest.raises(Unsuitable):
        await at.desk.tokens.create("past", [Right.READ], ROOT, expires_at=NOW)


@pytest.mark.parametrize("token", ["", "hf_", "hf_" + "x" * 43, "x" * 46, "hf_" + "x" * 5000, "hf_\ud800"])
async def test_what_is_no_token_is_nobody(at: Desk, token: str) -> None:
    with pytest.raises(Refused):
        await at.desk.actor_of_token(token)


async def test_a_session_is_no_token_nor_the_other_way(at: Desk) -> None:
    await at.add()
    opened = await at.login()
    _, secret = await at.desk.tokens.create("ci", [Right.READ], ROOT)
    with pytest.raises(Refused):
        await at.desk.actor_of_token(opened.cookie)
    with pytest.raises(Refused):
        await at.desk.session(secret)


# --- providers

RULES = [RoleByClaim("groups", "ops", Role.OPERATOR), RoleByClaim("groups", "boss", Role.ADMIN)]


def vouched(*groups: str, name: str = "carl") -> Vouched:
    return Vouched("https://id.example", "7", {"groups": list(groups), "preferred_username": name})


async def test_whom_a_provider_vouches_for_gets_in_with_the_role_of_now() -> None:
    at = Desk(terms=Terms())
    first = await at.desk.login_vouched(vouched("ops"), RULES, HERE)
    assert (first.view.stage, first.view.account.role) == (Stage.OPEN, Role.OPERATOR)
    second = await at.desk.login_vouched(vouched("boss"), RULES, HERE)
    assert second.view.account.role is Role.ADMIN
    assert (await at.desk.session(first.cookie)).account.role is Role.ADMIN
    assert len(await at.store.accounts()) == 1


async def test_who_lost_their_role_at_the_provider_is_out_everywhere(at: Desk) -> None:
    opened = await at.desk.login_vouched(vouched("ops"), RULES, HERE)
    with pytest.raises(Refused):
        await at.desk.login_vouched(vouched("others"), RULES, HERE)
    with pytest.raises(Refused):
        await at.desk.session(opened.cookie)


async def test_a_stranger_without_a_role_leaves_no_account(at: Desk) -> None:
    with pytest.raises(Refused):
        await at.desk.login_vouched(vouched("others"), RULES, HERE)
    assert list(await at.store.accounts()) == []


async def test_a_disabled_account_stays_out_whoever_vouches(at: Desk) -> None:
    await at.desk.login_vouched(vouched("ops"), RULES, HERE)
    await at.desk.accounts.disable("carl", ROOT)
    with pytest.raises(Refused):
        await at.desk.login_vouched(vouched("boss"), RULES, HERE)


async def test_a_claimed_name_takes_nobodys_account(at: Desk) -> None:
    await at.add("anna")
    opened = await at.desk.login_vouched(vouched("ops", name="anna"), RULES, HERE)
    assert opened.view.account.name != "anna"
    assert opened.view.account.role is Role.OPERATOR


async def test_two_first_logins_at_once_are_one_account(at: Desk) -> None:
    opened = await asyncio.gather(*(at.desk.login_vouched(vouched("ops"), RULES, HERE) for _ in range(5)))
    assert len({each.view.account.id for each in opened}) == 1


async def test_a_vouched_account_has_no_password_and_no_factor_here(at: Desk) -> None:
    opened = await at.desk.login_vouched(vouched("ops"), RULES, HERE)
    with pytest.raises(Refused):
        await at.login("carl", "")
    with pytest.raises(Unsuitable):
        at.desk.factors.begin(opened.view, "Status")
    with pytest.raises(Unsuitable):
        await at.desk.accounts.invite("carl", ROOT)
    with pytest.raises(Unsuitable):
        await at.desk.accounts.change_role("carl", Role.ADMIN, ROOT)


async def test_pruning_leaves_the_living(at: Desk) -> None:
    await at.add()
    old = await at.login()
    at.clock.advance(11 * 3600)
    new = await at.login()
    at.clock.advance(3600)
    await at.desk.prune()
    assert await at.store.session(sessions.sha256_of(old.cookie)) is None
    assert await at.store.session(sessions.sha256_of(new.cookie)) is not None
