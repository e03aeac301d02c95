"""What every identity store promises, run over the one in memory and the one on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

import psycopg
import pytest

from holdfast.adapters.memory.identity import MemoryIdentity
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role as Login
from holdfast.adapters.postgres.identity import PostgresIdentity, PostgresTrail
from holdfast.identity.accounts import check_administrated
from holdfast.identity.errors import NotThere, Unsuitable
from holdfast.identity.model import Account, Right, Role, Session, Token
from holdfast.identity.ports import Factor, IdentityStore, Trail
from holdfast.identity.throttling import ACCOUNT, ADDRESS, attempts_at
from holdfast.kernel.journal import JournalEntry

if TYPE_CHECKING:
    from conftest import Database

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


class Store(IdentityStore, Trail, Protocol):
    pass


class _Both(PostgresIdentity, PostgresTrail):
    """As the console has them: two views of one pool."""


@dataclass
class Stored:
    """A store, and another one over the same storage."""

    store: Store
    another: Store

    async def events(self) -> list[str]:
        return [each.event for each in await self.store.entries()][::-1]


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    """Where the stores keep what they are told: a database of their own, or nowhere but in memory."""
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def stored(database: "Database | None") -> AsyncIterator[Stored]:
    if database is None:
        memory = MemoryIdentity()
        yield Stored(memory, memory)
        return
    async with AsyncExitStack() as stack:
        pools = [
            await stack.enter_async_context(open_pool(database.conninfo(Login.CONSOLE), name))
            for name in ("one", "another")
        ]
        one, another = map(_Both, pools)
        yield Stored(one, another)


def entry(event: str = "test.done", actor: str = "anna", **facts: object) -> JournalEntry:
    return JournalEntry(NOW, actor, event, facts)


def account(name: str = "anna", role: Role = Role.ADMIN, **more: str) -> Account:
    return Account(str(uuid4()), name, name.title(), role, **more)


def session(of: Account, sha: bytes = b"s" * 32, at: datetime = NOW) -> Session:
    return Session(sha, of.id, at, at, at + HOUR, None, "192.0.2.1")


def factor(keep: bytes = b"", *, first: bool = False) -> Factor:
    return Factor(b"sealed", 100, [b"1" * 32, b"2" * 32], keep, first)


async def added(stored: Stored, *accounts: Account, password: str | None = "hash") -> None:
    for each in accounts:
        await stored.store.add(each, password, entry("account.added", account=each.name))


# --- accounts


async def test_an_account_comes_back_as_it_was_added(stored: Stored) -> None:
    anna = account()
    bert = account("bert", Role.VIEWER, customer="acme")
    carl = account("carl", Role.OPERATOR, issuer="https://id.example", subject="1")
    await added(stored, anna)
    await added(stored, carl, bert, password=None)
    assert await stored.another.accounts() == [anna, bert, carl]
    kept = await stored.store.kept("anna")
    assert kept is not None
    assert (kept.account, kept.password_hash, kept.factor_sealed) == (anna, "hash", None)
    assert await stored.store.kept_by_id(anna.id) == kept
    assert await stored.store.vouched_for("https://id.example", "1") == carl
    assert await stored.store.vouched_for("https://id.example", "2") is None
    assert await stored.store.kept("nobody") is None
    assert await stored.store.kept_by_id(str(uuid4())) is None


async def test_a_name_is_given_once_and_so_are_issuer_and_subject(stored: Stored) -> None:
    await added(stored, account())
    carl = account("carl", Role.VIEWER, issuer="https://id.example", subject="1")
    await added(stored, carl, password=None)
    with pytest.raises(Unsuitable):
        await added(stored, account())
    with pytest.raises(Unsuitable):
        await added(stored, replace(carl, id=str(uuid4()), name="other"), password=None)
    assert await stored.events() == ["account.added", "account.added"]


async def test_a_change_is_decided_on_what_is_there_and_journalled(stored: Stored) -> None:
    anna, bert = account(), account("bert")
    await added(stored, anna, bert)
    seen: list[object] = []

    def demoted(now: Account, administrators: Sequence[Account]) -> Account:
        seen.append((now, {each.name for each in administrators}))
        return replace(now, role=Role.VIEWER)

    changed = await stored.store.change(anna.id, demoted, entry("account.role_changed"))  # type: ignore[arg-type]
    assert changed.role is Role.VIEWER
    assert seen == [(anna, {"anna", "bert"})]
    assert (await stored.another.accounts())[0] == changed
    assert (await stored.events())[-1] == "account.role_changed"
    with pytest.raises(NotThere):
        await stored.store.change(str(uuid4()), lambda now, _: now, entry())


async def test_who_is_disabled_has_no_session_left_and_no_word_in_it(stored: Stored) -> None:
    anna, bert = account(), account("bert")
    await added(stored, anna, bert)
    await stored.store.open(session(anna))
    await stored.store.open(session(bert, b"b" * 32))
    await stored.store.change(anna.id, lambda now, _: replace(now, disabled_at=NOW), entry())
    assert await stored.another.session(b"s" * 32) is None
    assert await stored.another.session(b"b" * 32) is not None
    seen: list[str] = []
    await stored.store.change(
        bert.id, lambda now, admins: seen.extend(a.name for a in admins) or now, entry()
    )
    assert seen == ["bert"]


async def test_two_administrators_cannot_demote_each_other_at_once(stored: Stored) -> None:
    anna, bert = account(), account("bert")
    await added(stored, anna, bert)

    def demoted(now: Account, administrators: Sequence[Account]) -> Account:
        fresh = replace(now, role=Role.VIEWER)
        check_administrated(now, fresh, administrators)
        return fresh

    came_to = await asyncio.gather(
        stored.store.change(anna.id, demoted, entry()),  # type: ignore[arg-type]
        stored.another.change(bert.id, demoted, entry()),  # type: ignore[arg-type]
        return_exceptions=True,
    )
    assert sum(isinstance(each, Unsuitable) for each in came_to) == 1
    assert sum(each.role is Role.ADMIN for each in await stored.store.accounts()) == 1


# --- passwords and invitations


async def test_an_invitation_works_once_and_ends_sessions(stored: Stored) -> None:
    anna = account()
    await added(stored, anna, password=None)
    await stored.store.open(session(anna))
    await stored.store.invite(anna.id, b"i" * 32, NOW + HOUR, entry("account.invited"))
    assert await stored.another.invited(b"i" * 32, NOW) == anna
    assert await stored.store.accept(b"i" * 32, "new hash", NOW, entry("account.invitation_used"))
    assert not await stored.another.accept(b"i" * 32, "other hash", NOW, entry("never"))
    kept = await stored.store.kept("anna")
    assert kept is not None
    assert kept.password_hash == "new hash"
    assert await stored.store.session(b"s" * 32) is None
    assert await stored.events() == ["account.added", "account.invited", "account.invitation_used"]


async def test_of_two_who_use_an_invitation_at_once_one_succeeds(stored: Stored) -> None:
    anna = account()
    await added(stored, anna, password=None)
    await stored.store.invite(anna.id, b"i" * 32, NOW + HOUR, entry())
    came_to = await asyncio.gather(
        *(each.accept(b"i" * 32, "hash", NOW, entry()) for each in (stored.store, stored.another))
    )
    assert sorted(came_to) == [False, True]


async def test_an_invitation_ends_with_time_replacement_password_and_disabling(stored: Stored) -> None:
    anna = account()
    await added(stored, anna)
    await stored.store.invite(anna.id, b"1" * 32, NOW + HOUR, entry())
    assert await stored.store.invited(b"1" * 32, NOW + HOUR) is None
    assert not await stored.store.accept(b"1" * 32, "hash", NOW + HOUR, entry())
    await stored.store.invite(anna.id, b"2" * 32, NOW + HOUR, entry())
    assert await stored.store.invited(b"1" * 32, NOW) is None
    await stored.store.set_password(anna.id, "hash", entry())
    assert await stored.store.invited(b"2" * 32, NOW) is None
    await stored.store.invite(anna.id, b"3" * 32, NOW + HOUR, entry())
    await stored.store.change(anna.id, lambda now, _: replace(now, disabled_at=NOW), entry())
    assert await stored.store.invited(b"3" * 32, NOW) is None
    assert not await stored.store.accept(b"3" * 32, "hash", NOW, entry())


async def test_a_new_password_ends_every_session_but_the_one_to_keep(stored: Stored) -> None:
    anna = account()
    await added(stored, anna)
    for each in (b"a", b"b", b"c"):
        await stored.store.open(session(anna, each * 32))
    await stored.store.set_password(anna.id, "new", entry("account.password_changed"), keep=b"b" * 32)
    assert [each.sha256 for each in await stored.another.sessions(anna.id)] == [b"b" * 32]
    with pytest.raises(NotThere):
        await stored.store.set_password(str(uuid4()), "new", entry())


async def test_a_rehash_never_brings_an_old_password_back(stored: Stored) -> None:
    anna = account()
    await added(stored, anna)
    await stored.store.set_password(anna.id, "changed meanwhile", entry())
    await stored.store.rehash(anna.id, "hash", "same password, newer parameters")
    kept = await stored.store.kept("anna")
    assert kept is not None
    assert kept.password_hash == "changed meanwhile"
    await stored.store.rehash(anna.id, "changed meanwhile", "rehashed")
    kept = await stored.store.kept("anna")
    assert kept is not None
    assert kept.password_hash == "rehashed"


# --- second factors


async def test_a_step_is_used_once_and_none_before_it_ever(stored: Stored) -> None:
    anna = account()
    await added(stored, anna)
    assert not await stored.store.use_step(anna.id, 101), "there is no second factor yet"
    assert await stored.store.set_factor(anna.id, factor(), entry("account.factor_set"))
    assert not await stored.store.use_step(anna.id, 100), "the one that put it in force"
    came_to = await asyncio.gather(*(each.use_step(anna.id, 102) for each in (stored.store, stored.another)))
    assert sorted(came_to) == [False, True]
    assert not await stored.store.use_step(anna.id, 101)


async def test_a_recovery_code_is_used_once(stored: Stored) -> None:
    anna = account()
    await added(stored, anna)
    await stored.store.set_factor(anna.id, factor(), entry())
    assert await stored.store.codes_left(anna.id) == 2
    used = entry("account.recovery_code_used")
    came_to = await asyncio.gather(
        *(each.use_code(anna.id, b"1" * 32, NOW, used) for each in (stored.store, stored.another))
    )
    assert sorted(came_to) == [False, True]
    assert not await stored.store.use_code(anna.id, b"9" * 32, NOW, used)
    assert await stored.store.codes_left(anna.id) == 1
    assert (await stored.events()).count("account.recovery_code_used") == 1
    await stored.store.set_codes(anna.id, [b"3" * 32], entry())
    assert not await stored.store.use_code(anna.id, b"2" * 32, NOW, used), "replaced"
    assert await stored.store.use_code(anna.id, b"3" * 32, NOW, used)


async def test_a_first_factor_never_replaces_one(stored: Stored) -> None:
    anna = account()
    await added(stored, anna)
    await stored.store.open(session(anna, b"a" * 32))
    await stored.store.open(session(anna, b"b" * 32))
    assert await stored.store.set_factor(anna.id, factor(b"a" * 32, first=True), entry())
    assert [each.sha256 for each in await stored.store.sessions(anna.id)] == [b"a" * 32]
    assert not await stored.another.set_factor(anna.id, replace(factor(first=True), sealed=b"x"), entry("no"))
    kept = await stored.store.kept("anna")
    assert kept is not None
    assert kept.factor_sealed == b"sealed"
    assert kept.account.has_second_factor
    assert "no" not in await stored.events()


async def test_a_reset_leaves_no_factor_no_code_and_no_session(stored: Stored) -> None:
    anna = account()
    await added(stored, anna)
    await stored.store.set_factor(anna.id, factor(), entry())
    await stored.store.open(session(anna))
    await stored.store.clear_factor(anna.id, entry("account.factor_reset"))
    kept = await stored.another.kept("anna")
    assert kept is not None
    assert kept.factor_sealed is None
    assert not kept.account.has_second_factor
    assert await stored.store.codes_left(anna.id) == 0
    assert await stored.store.session(b"s" * 32) is None
    with pytest.raises(NotThere):
        await stored.store.clear_factor(str(uuid4()), entry())


# --- sessions


async def test_a_session_comes_with_the_account_as_it_is_now(stored: Stored) -> None:
    anna, bert = account(), account("bert")
    await added(stored, anna, bert)
    opened = session(anna)
    await stored.store.open(opened, entry("login.succeeded"))
    assert await stored.another.session(opened.sha256) == (opened, anna)
    changed = await stored.store.change(anna.id, lambda now, _: replace(now, role=Role.VIEWER), entry())
    assert await stored.another.session(opened.sha256) == (opened, changed)
    await stored.store.touch(opened.sha256, NOW + MINUTE)
    found = await stored.another.session(opened.sha256)
    assert found is not None
    assert found[0].seen_at == NOW + MINUTE


async def test_a_session_is_renewed_once(stored: Stored) -> None:
    anna = account()
    await added(stored, anna)
    await stored.store.open(session(anna))
    fresh = [session(anna, each * 32) for each in (b"x", b"y")]
    came_to = await asyncio.gather(
        stored.store.renew(b"s" * 32, fresh[0], entry("login.succeeded")),
        stored.another.renew(b"s" * 32, fresh[1], entry("login.succeeded")),
    )
    assert sorted(came_to) == [False, True]
    assert await stored.store.session(b"s" * 32) is None
    assert len(await stored.store.sessions(anna.id)) == 1
    assert (await stored.events()).count("login.succeeded") == 1


async def test_ending_is_told_once(stored: Stored) -> None:
    anna, bert = account(), account("bert")
    await added(stored, anna, bert)
    for number, of in enumerate((anna, anna, anna, bert)):
        await stored.store.open(session(of, bytes([number]) * 32, NOW + number * MINUTE))
    assert [each.sha256[0] for each in await stored.store.sessions(anna.id)] == [2, 1, 0]
    assert await stored.store.end(bytes(32), entry("session.ended"))
    assert not await stored.store.end(bytes(32), entry("session.ended"))
    assert await stored.another.end_all(anna.id, entry("session.ended_all"), keep=bytes([1]) * 32) == 1
    assert [each.sha256[0] for each in await stored.store.sessions(anna.id)] == [1]
    assert len(await stored.store.sessions(bert.id)) == 1
    assert (await stored.events()).count("session.ended") == 1


async def test_what_is_over_is_pruned(stored: Stored) -> None:
    anna = account()
    await added(stored, anna)
    await stored.store.open(session(anna, b"o" * 32, NOW - 2 * HOUR))
    await stored.store.open(session(anna, b"n" * 32))
    old, new = (
        attempts_at("password", "old", "192.0.2.1", "d"),
        attempts_at("password", "new", "192.0.2.1", "d"),
    )
    for _ in range(ACCOUNT.free + 1):
        await stored.store.attempt(old, NOW - HOUR)
        await stored.store.attempt(new, NOW)
    await stored.store.prune(sessions_before=NOW, attempts_before=NOW - MINUTE)
    assert await stored.store.session(b"o" * 32) is None
    assert await stored.store.session(b"n" * 32) is not None
    assert await stored.store.attempt(new, NOW) is not None


# --- attempts


async def test_many_attempts_at_once_count_as_many(stored: Stored) -> None:
    attempts = attempts_at("password", "anna", "192.0.2.1", None)
    came_to = await asyncio.gather(
        *((stored.store, stored.another)[n % 2].attempt(attempts, NOW) for n in range(20))
    )
    assert came_to.count(None) == ACCOUNT.free + 1
    until = NOW + ACCOUNT.first
    assert {each for each in came_to if each is not None} == {until}
    assert await stored.store.attempt(attempts, until) is None
    assert await stored.another.attempt(attempts, until) == until + 2 * ACCOUNT.first


async def test_a_success_forgets_the_accounts_failures_and_takes_one_back_from_the_address(
    stored: Stored,
) -> None:
    anna = attempts_at("password", "anna", "192.0.2.1", None)
    for _ in range(ACCOUNT.free):
        assert await stored.store.attempt(anna, NOW) is None
    await stored.store.absolve(anna)
    for number in range(ADDRESS.free - (ACCOUNT.free - 1) + 1):
        other = attempts_at("password", f"other {number}", "192.0.2.1", None)
        assert await stored.another.attempt(other, NOW) is None, number
    assert await stored.store.attempt(anna, NOW) is not None, "the address has used up its patience"
    elsewhere = attempts_at("password", "anna", "198.51.100.1", None)
    assert await stored.store.attempt(elsewhere, NOW) is None


# --- tokens


def token(name: str = "pipeline", **more: datetime) -> Token:
    return Token(str(uuid4()), name, frozenset({Right.READ, Right.INCIDENTS}), NOW, "anna", **more)


async def test_a_token_comes_back_as_it_was_made(stored: Stored) -> None:
    one = token(expires_at=NOW + HOUR)
    await stored.store.add_token(one, b"t" * 32, entry("token.created"))
    two = replace(token("other"), created_at=NOW + MINUTE)
    await stored.store.add_token(two, b"u" * 32, entry("token.created"))
    assert await stored.another.token(b"t" * 32) == one
    assert await stored.another.token(b"v" * 32) is None
    assert await stored.another.tokens() == [two, one]
    await stored.store.note_use(one.id, NOW + MINUTE)
    assert await stored.another.token(b"t" * 32) == replace(one, last_used_at=NOW + MINUTE)


async def test_a_name_is_one_token_at_a_time(stored: Stored) -> None:
    one = token()
    await stored.store.add_token(one, b"t" * 32, entry("token.created"))
    with pytest.raises(Unsuitable):
        await stored.another.add_token(token(), b"u" * 32, entry("token.created"))
    assert await stored.store.revoke_token(one.id, NOW, entry("token.revoked"))
    assert not await stored.another.revoke_token(one.id, NOW, entry("token.revoked"))
    assert await stored.store.token(b"t" * 32) == replace(one, revoked_at=NOW)
    await stored.store.add_token(token(), b"u" * 32, entry("token.created"))
    assert await stored.events() == ["token.created", "token.revoked", "token.created"]


# --- the trail


async def test_the_trail_is_read_newest_first_by_page_actor_and_event(stored: Stored) -> None:
    for number in range(6):
        event = ("incident.posted", "incident_x.odd", "login.succeeded")[number % 3]
        await stored.store.note(entry(event, actor=("anna", "bert")[number % 2], number=number))
    everything = await stored.another.entries()
    assert [each.facts["number"] for each in everything] == [5, 4, 3, 2, 1, 0]
    assert everything[0].at == NOW
    page = await stored.store.entries(before=everything[1].id, limit=2)
    assert [each.facts["number"] for each in page] == [3, 2]
    assert [each.facts["number"] for each in await stored.store.entries(actor="bert")] == [5, 3, 1]
    assert [each.facts["number"] for each in await stored.store.entries(event="incident.")] == [3, 0]
    assert [each.facts["number"] for each in await stored.store.entries(event="incident_")] == [4, 1]
    assert list(await stored.store.entries(event="%")) == []


# --- PostgreSQL alone


@pytest.mark.parametrize("login", [Login.SITE, Login.CONTROLLER, Login.SENDER])
def test_nobody_but_the_console_sees_anything_of_it(migrated_database: "Database", login: Login) -> None:
    with migrated_database.connect(login) as connection:
        for table in ("account", "session", "token", "recovery_code", "invitation", "attempt"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT * FROM identity.{table}".encode())


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM identity.account",
        "DELETE FROM identity.token",
        "UPDATE identity.account SET name = 'other'",
        "UPDATE identity.account SET issuer = 'other'",
        "UPDATE identity.token SET scopes = '{operate}'",
        "UPDATE identity.token SET expires_at = NULL",
        "UPDATE holdfast.journal SET actor = 'other'",
        "DELETE FROM holdfast.journal",
        "TRUNCATE holdfast.journal",
    ],
)
def test_not_even_the_console_can_rewrite_who_did_what(migrated_database: "Database", statement: str) -> None:
    with (
        migrated_database.connect(Login.CONSOLE) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


async def test_a_change_and_its_journal_entry_are_one(migrated_database: "Database") -> None:
    """What cannot be journalled does not happen."""
    with migrated_database.connect() as connection:
        connection.execute("REVOKE INSERT ON holdfast.journal FROM holdfast_console")
    async with open_pool(migrated_database.conninfo(Login.CONSOLE), "one") as pool:
        store = PostgresIdentity(pool)
        with pytest.raises(Exception, match="permission denied"):
            await store.add(account(), "hash", entry())
        assert not await store.accounts()
