"""The identity store and the audit trail on PostgreSQL. The statements stand in `identity.sql`."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.queries import Queries
from holdfast.identity import throttling
from holdfast.identity.errors import NotThere, Unsuitable
from holdfast.identity.model import Account, Recorded, Right, Role, Session, Token
from holdfast.identity.ports import ChangeAccount, Factor, Kept
from holdfast.identity.throttling import Attempt, Tally
from holdfast.kernel.journal import JournalEntry

SQL = Queries.beside(__file__)
_ACCOUNT_COLUMNS = 9
_SESSION_COLUMNS = 7


class PostgresIdentity:
    """IdentityStore over a pool. What changes something is journalled in the same transaction."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def note(self, entry: JournalEntry) -> None:
        async with borrowed(self._pool) as connection:
            await _journal(connection, entry)

    async def prune(self, *, sessions_before: datetime, attempts_before: datetime) -> None:
        async with borrowed(self._pool) as connection:
            await connection.execute(SQL.prune_sessions, (sessions_before,))
            await connection.execute(SQL.prune_attempts, (attempts_before,))

    # --- attempts

    async def attempt(self, attempts: Sequence[Attempt], now: datetime) -> datetime | None:
        async with borrowed(self._pool) as connection, connection.transaction():
            keys = [attempt.key for attempt in attempts]
            await connection.execute(SQL.make_attempts, {"keys": keys, "now": now})
            known = await _tallies(connection, keys)
            tallies = [known.get(key) for key in keys]
            until = throttling.pause(tallies, attempts, now)
            if until is None:
                fresh = throttling.counted(tallies, attempts, now)
                for attempt, tally in zip(attempts, fresh, strict=True):
                    await connection.execute(SQL.keep_attempt, _tally_columns(attempt, tally))
            return until

    async def absolve(self, attempts: Sequence[Attempt]) -> None:
        async with borrowed(self._pool) as connection, connection.transaction():
            known = await _tallies(connection, [attempt.key for attempt in attempts])
            for attempt in attempts:
                tally = known.get(attempt.key)
                left = None if tally is None else throttling.absolved(tally, attempt)
                if left is None:
                    await connection.execute(SQL.forget_attempt, (attempt.key,))
                else:
                    await connection.execute(SQL.keep_attempt, _tally_columns(attempt, left))

    # --- accounts

    async def accounts(self) -> Sequence[Account]:
        async with borrowed(self._pool) as connection:
            return [_account(row) for row in await _rows(connection, SQL.accounts)]

    async def kept(self, name: str) -> Kept | None:
        async with borrowed(self._pool) as connection:
            return _kept(await _rows(connection, SQL.kept, name))

    async def kept_by_id(self, account_id: str) -> Kept | None:
        async with borrowed(self._pool) as connection:
            return _kept(await _rows(connection, SQL.kept_by_id, account_id))

    async def vouched_for(self, issuer: str, subject: str) -> Account | None:
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.vouched_for, issuer, subject)
        return _account(rows[0]) if rows else None

    async def add(self, account: Account, password_hash: str | None, entry: JournalEntry) -> None:
        columns = _account_columns(account) | {"password_hash": password_hash, "created_by": entry.actor}
        async with borrowed(self._pool) as connection, connection.transaction():
            if (await connection.execute(SQL.add_account, columns)).rowcount != 1:
                raise Unsuitable(f"there is an account {account.name!r} already")
            await _journal(connection, entry)

    async def change(self, account_id: str, decide: ChangeAccount, entry: JournalEntry) -> Account:
        async with borrowed(self._pool) as connection, connection.transaction():
            cursor = await connection.execute(SQL.lock_accounts, {"id": account_id})
            locked = {account.id: account for account in map(_account, await cursor.fetchall())}
            if account_id not in locked:
                raise NotThere("there is no such account")
            administrators = [
                each for each in locked.values() if each.role is Role.ADMIN and each.disabled_at is None
            ]
            fresh = decide(locked[account_id], administrators)
            await connection.execute(SQL.change_account, _account_columns(fresh))
            if fresh.disabled_at is not None:
                await connection.execute(SQL.end_sessions, {"id": account_id, "keep": None})
            await _journal(connection, entry)
            return fresh

    async def invite(self, account_id: str, sha256: bytes, expires_at: datetime, entry: JournalEntry) -> None:
        columns = {"account": account_id, "sha256": sha256, "expires_at": expires_at}
        async with borrowed(self._pool) as connection, connection.transaction():
            await connection.execute(SQL.invite, columns)
            await _journal(connection, entry)

    async def invited(self, sha256: bytes, now: datetime) -> Account | None:
        async with borrowed(self._pool) as connection:
            cursor = await connection.execute(SQL.invited, {"sha256": sha256, "now": now})
            row = await cursor.fetchone()
        return None if row is None else _account(row)

    async def accept(self, sha256: bytes, password_hash: str, now: datetime, entry: JournalEntry) -> bool:
        async with borrowed(self._pool) as connection, connection.transaction():
            cursor = await connection.execute(SQL.use_invitation, {"sha256": sha256, "now": now})
            row = await cursor.fetchone()
            if row is None:
                return False
            await connection.execute(SQL.set_password, {"id": row[0], "hash": password_hash})
            await connection.execute(SQL.end_sessions, {"id": row[0], "keep": None})
            await _journal(connection, entry)
            return True

    async def set_password(
        self, account_id: str, password_hash: str, entry: JournalEntry, *, keep: bytes | None = None
    ) -> None:
        async with borrowed(self._pool) as connection, connection.transaction():
            done = await connection.execute(SQL.set_password, {"id": account_id, "hash": password_hash})
            if done.rowcount != 1:
                raise NotThere("there is no such account")
            await connection.execute(SQL.forget_invitation, (account_id,))
            await connection.execute(SQL.end_sessions, {"id": account_id, "keep": keep})
            await _journal(connection, entry)

    async def rehash(self, account_id: str, old: str, new: str) -> None:
        async with borrowed(self._pool) as connection:
            await connection.execute(SQL.rehash, {"id": account_id, "old": old, "new": new})

    # --- second factors

    async def set_factor(self, account_id: str, factor: Factor, entry: JournalEntry) -> bool:
        columns = {"id": account_id, "sealed": factor.sealed, "step": factor.step, "first": factor.first}
        async with borrowed(self._pool) as connection, connection.transaction():
            if (await connection.execute(SQL.set_factor, columns)).rowcount != 1:
                return False
            await _replace_codes(connection, account_id, factor.codes)
            await connection.execute(SQL.end_sessions, {"id": account_id, "keep": factor.keep})
            await _journal(connection, entry)
            return True

    async def clear_factor(self, account_id: str, entry: JournalEntry) -> None:
        async with borrowed(self._pool) as connection, connection.transaction():
            if (await connection.execute(SQL.clear_factor, (account_id,))).rowcount != 1:
                raise NotThere("there is no such account")
            await connection.execute(SQL.forget_codes, (account_id,))
            await connection.execute(SQL.end_sessions, {"id": account_id, "keep": None})
            await _journal(connection, entry)

    async def set_codes(self, account_id: str, codes: Collection[bytes], entry: JournalEntry) -> None:
        async with borrowed(self._pool) as connection, connection.transaction():
            await _replace_codes(connection, account_id, codes)
            await _journal(connection, entry)

    async def codes_left(self, account_id: str) -> int:
        async with borrowed(self._pool) as connection:
            ((count,),) = await _rows(connection, SQL.codes_left, account_id)
        return int(count)

    async def use_step(self, account_id: str, step: int) -> bool:
        async with borrowed(self._pool) as connection:
            used = await connection.execute(SQL.use_step, {"id": account_id, "step": step})
            return used.rowcount == 1

    async def use_code(self, account_id: str, sha256: bytes, now: datetime, entry: JournalEntry) -> bool:
        async with borrowed(self._pool) as connection, connection.transaction():
            columns = {"id": account_id, "sha256": sha256, "now": now}
            used = (await connection.execute(SQL.use_code, columns)).rowcount == 1
            if used:
                await _journal(connection, entry)
            return used

    # --- sessions

    async def open(self, session: Session, entry: JournalEntry | None = None) -> None:
        async with borrowed(self._pool) as connection, connection.transaction():
            await connection.execute(SQL.open_session, _session_columns(session))
            await _journal(connection, entry)

    async def renew(self, sha256: bytes, fresh: Session, entry: JournalEntry | None = None) -> bool:
        async with borrowed(self._pool) as connection, connection.transaction():
            if (await connection.execute(SQL.end_session, (sha256,))).rowcount != 1:
                return False
            await connection.execute(SQL.open_session, _session_columns(fresh))
            await _journal(connection, entry)
            return True

    async def session(self, sha256: bytes) -> tuple[Session, Account] | None:
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.session, sha256)
        if not rows:
            return None
        return _session(rows[0][:_SESSION_COLUMNS]), _account(rows[0][_SESSION_COLUMNS:])

    async def touch(self, sha256: bytes, seen_at: datetime) -> None:
        async with borrowed(self._pool) as connection:
            await connection.execute(SQL.touch, {"sha256": sha256, "seen_at": seen_at})

    async def sessions(self, account_id: str) -> Sequence[Session]:
        async with borrowed(self._pool) as connection:
            return [_session(row) for row in await _rows(connection, SQL.sessions, account_id)]

    async def end(self, sha256: bytes, entry: JournalEntry) -> bool:
        async with borrowed(self._pool) as connection, connection.transaction():
            ended = (await connection.execute(SQL.end_session, (sha256,))).rowcount == 1
            await _journal(connection, entry if ended else None)
            return ended

    async def end_all(self, account_id: str, entry: JournalEntry, *, keep: bytes | None = None) -> int:
        async with borrowed(self._pool) as connection, connection.transaction():
            ended = await connection.execute(SQL.end_sessions, {"id": account_id, "keep": keep})
            await _journal(connection, entry)
            return ended.rowcount

    # --- tokens

    async def add_token(self, token: Token, sha256: bytes, entry: JournalEntry) -> None:
        columns = {
            "id": token.id,
            "sha256": sha256,
            "name": token.name,
            "scopes": sorted(token.scopes),
            "created_at": token.created_at,
            "created_by": token.created_by,
            "expires_at": token.expires_at,
        }
        async with borrowed(self._pool) as connection, connection.transaction():
            if (await connection.execute(SQL.add_token, columns)).rowcount != 1:
                raise Unsuitable(f"there is a token {token.name!r} already", hint="revoke it first")
            await _journal(connection, entry)

    async def token(self, sha256: bytes) -> Token | None:
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.token, sha256)
        return _token(rows[0]) if rows else None

    async def tokens(self) -> Sequence[Token]:
        async with borrowed(self._pool) as connection:
            return [_token(row) for row in await _rows(connection, SQL.tokens)]

    async def revoke_token(self, token_id: str, now: datetime, entry: JournalEntry) -> bool:
        async with borrowed(self._pool) as connection, connection.transaction():
            done = await connection.execute(SQL.revoke_token, {"id": token_id, "now": now})
            await _journal(connection, entry if done.rowcount == 1 else None)
            return done.rowcount == 1

    async def note_use(self, token_id: str, at: datetime) -> None:
        async with borrowed(self._pool) as connection:
            await connection.execute(SQL.note_use, {"id": token_id, "at": at})


class PostgresTrail:
    """Trail over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def entries(
        self, *, before: int | None = None, actor: str = "", event: str = "", limit: int = 50
    ) -> Sequence[Recorded]:
        # Nothing in an event's name is special to LIKE but the underscore.
        pattern = event.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
        filters = {"before": before, "actor": actor, "event": event, "pattern": pattern, "limit": limit}
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(SQL.trail, filters)).fetchall()
        return [Recorded(*row) for row in rows]


async def _rows(connection: Connection, statement: Any, *values: object) -> list[tuple[Any, ...]]:
    return await (await connection.execute(statement, values)).fetchall()


async def _journal(connection: Connection, entry: JournalEntry | None) -> None:
    if entry is not None:
        columns = {
            "at": entry.at,
            "actor": entry.actor,
            "event": entry.event,
            "facts": Jsonb(dict(entry.facts)),
        }
        await connection.execute(SQL.write_journal, columns)


async def _tallies(connection: Connection, keys: Sequence[bytes]) -> dict[bytes, Tally]:
    """Locked until the transaction ends. A row without failures was made only to be locked."""
    cursor = await connection.execute(SQL.lock_attempts, {"keys": list(keys)})
    return {key: Tally(*rest) for key, *rest in await cursor.fetchall() if rest[0] > 0}


async def _replace_codes(connection: Connection, account_id: str, codes: Collection[bytes]) -> None:
    await connection.execute(SQL.forget_codes, (account_id,))
    await connection.execute(SQL.keep_codes, {"id": account_id, "codes": list(codes)})


def _tally_columns(attempt: Attempt, tally: Tally) -> dict[str, object]:
    return {
        "key": attempt.key,
        "failures": tally.failures,
        "last_at": tally.last_at,
        "paused_until": tally.paused_until,
    }


def _account(row: Sequence[Any]) -> Account:
    account_id, name, full_name, role, *rest = row[:_ACCOUNT_COLUMNS]
    return Account(str(account_id), name, full_name, Role[role.upper()], *rest)


def _kept(rows: Sequence[Sequence[Any]]) -> Kept | None:
    return Kept(_account(rows[0]), *rows[0][_ACCOUNT_COLUMNS:]) if rows else None


def _account_columns(account: Account) -> dict[str, object]:
    return {
        "id": account.id,
        "name": account.name,
        "full_name": account.full_name,
        "role": account.role.label,
        "customer": account.customer,
        "issuer": account.issuer,
        "subject": account.subject,
        "disabled_at": account.disabled_at,
    }


def _session(row: Sequence[Any]) -> Session:
    sha256, account_id, *rest = row
    return Session(sha256, str(account_id), *rest)


def _session_columns(session: Session) -> dict[str, object]:
    return {
        "sha256": session.sha256,
        "account": session.account_id,
        "created_at": session.created_at,
        "seen_at": session.seen_at,
        "expires_at": session.expires_at,
        "confirmed_at": session.confirmed_at,
        "address": session.address,
    }


def _token(row: Sequence[Any]) -> Token:
    token_id, name, scopes, *rest = row
    return Token(str(token_id), name, frozenset(map(Right, scopes)), *rest)
