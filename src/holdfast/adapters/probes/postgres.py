"""The PostgreSQL probe: one statement in a read-only transaction, and its first row (protocol 3.0).

psycopg rests on libpq, which reads ~/.pgpass and PG* variables, hashes as often as the server asks (which can
hold up everything else for minutes) and keeps a row of any size; and psycopg looks names up in a thread. Here
each phase is bounded, and what the target sends is too (PostgreSQL documentation, chapter
"Frontend/Backend Protocol").
"""

import secrets
import struct

from holdfast.adapters.probes.errors import AttemptFailed, OwnFault
from holdfast.adapters.probes.incoming import Incoming
from holdfast.adapters.probes.phases import Attempt
from holdfast.adapters.probes.reach import Reach
from holdfast.adapters.probes.scram import MECHANISM, Scram, md5_answer
from holdfast.adapters.probes.wire import Wire
from holdfast.estate.checks import PostgresCheck

MOST_ROWS = 1_000
_MOST = 1_048_576
_MOST_COLUMNS = 1_664
_MOST_MESSAGES = 10_000
_TLS_REQUEST = struct.pack(">II", 8, 80_877_103)
_PROTOCOL = 196_608
_OK, _PASSWORD, _MD5, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 3, 5, 10, 11, 12
_BOOLEAN, _WHOLE, _REAL = 16, frozenset({20, 21, 23, 26}), frozenset({700, 701, 1700})
_BY_THE_WAY = frozenset(b"NSAKv")  # notices, settings, notifications, the key for cancelling, the version
_WORDS = {
    "25006": "the query writes, and a check only reads",
    "28000": "the database refused the login",
    "28P01": "the database refused the login",
    "3D000": "the database does not exist",
    "42501": "the query is not permitted",
    "53300": "the database has too many connections",
    "57014": "the query took too long",
    "57P01": "the database is shutting down",
    "57P02": "the database is recovering from a crash",
    "57P03": "the database is starting or shutting down",
}


class PostgresProbe:
    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    async def attempt(self, check: PostgresCheck, attempt: Attempt) -> dict[str, object]:
        """The first row, the number of rows, and the facts about TLS. Raises AttemptFailed."""
        password = self._reach.secret(check.password) if check.password is not None else None
        async with self._reach.connected(attempt, check.host, check.port) as wire:
            incoming = Incoming(attempt.loop, most=_MOST)
            session = _Session(wire, incoming)
            tls: dict[str, object] = {}
            if check.tls:
                async with attempt.securing():
                    await session.ask_for_tls()
                tls = await self._reach.secured(attempt, wire, check)
            async with attempt.awaiting_first_byte():
                session.introduce(check.user, check.database)
                wire.attach(incoming)
                await incoming.begun()
            async with attempt.reading():
                await session.log_in(check.user, password, encrypted=check.tls)
                limit_ms = max(1, round(check.timeout.total_seconds() * 1_000))
                await session.begin(limit_ms)
                facts = await session.query(check.query)
            session.send(b"X", b"")
        return {**facts, **tls}


class _Session:
    """Messages out, messages in."""

    def __init__(self, wire: Wire, incoming: Incoming) -> None:
        self._wire = wire
        self._incoming = incoming
        self._heard = 0

    async def ask_for_tls(self) -> None:
        self._wire.write(_TLS_REQUEST)
        self._wire.attach(self._incoming)
        match await self._incoming.exactly(1):
            case b"S":
                pass
            case b"N":
                raise AttemptFailed("the database offers no TLS")
            case _:
                raise AttemptFailed("not PostgreSQL: an unknown answer")
        if self._incoming.waits:  # CVE-2021-23222: it would pass for a part of what is encrypted
            raise AttemptFailed("the server went on in plain text where TLS begins")

    def introduce(self, user: str, database: str) -> None:
        settings = ("user", user, "database", database, "application_name", "holdfast")
        body = b"".join(_text(each) for each in (*settings, "client_encoding", "UTF8")) + b"\0"
        self._wire.write(struct.pack(">II", len(body) + 8, _PROTOCOL) + body)

    def send(self, kind: bytes, body: bytes) -> None:
        self._wire.write(kind + struct.pack(">I", len(body) + 4) + body)

    async def log_in(self, user: str, password: str | None, *, encrypted: bool) -> None:
        """Until the server is ready for a query. Raises AttemptFailed."""
        scram: Scram | None = None
        confirmed = True
        while True:
            kind, body = await self.receive()
            if kind == b"Z" and confirmed:
                return
            if kind != b"R":
                raise AttemptFailed("not PostgreSQL: an unexpected message")
            asked = int.from_bytes(body[:4], "big")
            if asked == _OK:
                continue
            if password is None:
                raise AttemptFailed("the database asks for a password, and the check has none")
            match asked, scram:
                case _ if asked == _PASSWORD:
                    if not encrypted:
                        raise AttemptFailed("the database asks for the password in plain text")
                    self.send(b"p", _text(password))
                case _ if asked == _MD5:
                    self.send(b"p", md5_answer(user, password, body[4:8]) + b"\0")
                case _, None if asked == _SASL and MECHANISM in body[4:].split(b"\0"):
                    scram, confirmed = Scram(password, secrets.token_urlsafe(18)), False
                    first = scram.first()
                    self.send(b"p", MECHANISM + b"\0" + struct.pack(">I", len(first)) + first)
                case _, Scram() if asked == _SASL_CONTINUE:
                    self.send(b"p", scram.answer(body[4:]))
                case _, Scram() if asked == _SASL_FINAL:
                    confirmed = scram.confirms(body[4:])
                    if not confirmed:
                        raise AttemptFailed("the server does not know the password itself")
                case _:
                    raise AttemptFailed("the database asks for a kind of login that is not known here")

    async def begin(self, limit_ms: int) -> None:
        self.send(b"Q", _text(f"BEGIN TRANSACTION READ ONLY; SET LOCAL statement_timeout = {limit_ms}"))
        while True:
            kind, body = await self.receive()
            if kind == b"Z":
                if body != b"T":
                    raise AttemptFailed("the database began no transaction")
                return
            if kind != b"C":
                raise AttemptFailed("not PostgreSQL: an unexpected message")

    async def query(self, text: str) -> dict[str, object]:
        """The facts about the rows. The extended protocol takes one statement only: none can end the
        transaction and go on.
        """
        self.send(b"P", b"\0" + _text(text) + struct.pack(">H", 0))
        self.send(b"B", b"\0\0" + struct.pack(">HHH", 0, 0, 0))
        self.send(b"D", b"P\0")
        self.send(b"E", b"\0" + struct.pack(">I", MOST_ROWS))
        self.send(b"S", b"")
        columns: list[tuple[str, int]] = []
        row: dict[str, object] | None = None
        rows = 0
        while True:
            kind, body = await self.receive()
            match kind:
                case b"1" | b"2" | b"n" | b"C" | b"s" | b"I":
                    pass
                case b"T":
                    columns = _columns(body)
                case b"D":
                    rows += 1
                    row = _row(columns, body) if row is None else row
                case b"Z":
                    return {"rows": rows} if row is None else {"rows": rows, "row": row}
                case _:
                    raise AttemptFailed("the query gives no rows")

    async def receive(self) -> tuple[bytes, bytes]:
        """The next message that matters. Raises AttemptFailed for an error."""
        while True:
            self._heard += 1
            head = await self._incoming.exactly(5)
            size = int.from_bytes(head[1:], "big") - 4
            if not 0 <= size <= _MOST or self._heard > _MOST_MESSAGES:
                raise AttemptFailed("not PostgreSQL: a message is too long, or there are too many")
            body = await self._incoming.exactly(size)
            if head[0] == ord("E"):
                raise _error(body)
            if head[0] not in _BY_THE_WAY:
                return head[:1], body


def _error(body: bytes) -> AttemptFailed:
    """The error by its code alone: its text may hold what nobody outside should read."""
    code = next((field[1:] for field in body.split(b"\0") if field[:1] == b"C"), b"")
    state = code.decode("ascii", "replace")
    if not (len(state) == 5 and state.isalnum()):
        return AttemptFailed("not PostgreSQL: an error without a code")
    if state in _WORDS:
        return AttemptFailed(_WORDS[state])
    return AttemptFailed(f"the query is wrong ({state})" if state.startswith("42") else f"error {state}")


def _columns(body: bytes) -> list[tuple[str, int]]:
    """Names and types."""
    count, at = _count(body), 2
    columns: list[tuple[str, int]] = []
    for _ in range(count):
        end = body.find(b"\0", at)
        if end < 0 or end + 19 > len(body):
            raise AttemptFailed("not PostgreSQL: a message is cut short")
        columns.append(
            (body[at:end].decode("utf-8", "replace"), int.from_bytes(body[end + 7 : end + 11], "big"))
        )
        at = end + 19
    return columns


def _row(columns: list[tuple[str, int]], body: bytes) -> dict[str, object]:
    if _count(body) != len(columns):
        raise AttemptFailed("not PostgreSQL: a row does not fit its columns")
    row: dict[str, object] = {}
    at = 2
    for name, kind in columns:
        size = int.from_bytes(body[at : at + 4], "big", signed=True)
        at += 4
        if at + max(size, 0) > len(body) or size < -1:
            raise AttemptFailed("not PostgreSQL: a message is cut short")
        row.setdefault(name, None if size < 0 else _value(kind, body[at : at + size]))
        at += max(size, 0)
    return row


def _count(body: bytes) -> int:
    count = int.from_bytes(body[:2], "big")
    if len(body) < 2 or count > _MOST_COLUMNS:
        raise AttemptFailed("not PostgreSQL: a message is cut short")
    return count


def _value(kind: int, raw: bytes) -> object:
    """Numbers and truth as such, NaN as null, everything else as text."""
    text = raw.decode("utf-8", "replace")
    try:
        if kind == _BOOLEAN:
            return text == "t"
        if kind in _WHOLE:
            return int(text)
        if kind in _REAL:
            number = float(text)
            return None if number != number else number  # noqa: PLR0124  only NaN differs from itself
    except ValueError:
        return text
    return text


def _text(text: str) -> bytes:
    if "\0" in text:
        raise OwnFault("a text of the check holds a NUL character")
    return text.encode("utf-8", "surrogateescape") + b"\0"
