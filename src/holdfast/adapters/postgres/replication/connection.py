"""A connection that speaks replication commands, over psycopg's libpq. Nothing in it waits for ever.

Source: PostgreSQL "Streaming Replication Protocol" (protocol-replication.html).
"""

import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from holdfast.backup.errors import SourceAway, SourceError, SourceRefused, WalGone

ANSWER_TIMEOUT_S = 60.0
"""How long a server may take for a command that has little to do."""

# A machine that vanished is noticed within a minute or so, also while nothing is sent (tcp_user_timeout: ms).
_LIVENESS = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
# Refusals while connecting arrive without an SQLSTATE: libpq keeps only the text. In another language they
# count as away, and are tried again.
_REFUSED_TEXTS = (
    "password authentication failed",
    "no password supplied",
    "authentication method",
    "no pg_hba.conf entry",
    "pg_hba.conf rejects",
    "permission denied",
    "is not permitted to log in",
    "must be superuser or replication role",
    "must have the REPLICATION attribute",
    "permission denied to start WAL sender",
    "certificate verify failed",
    "signature failure",
    "does not match host name",
    "server does not support SSL",
    "root certificate file",
    "certificate authority",
)
_UNKNOWN_TEXTS = ('role "', 'database "')
_UNDEFINED_FILE = "58P01"
_AWAY_CLASSES = ("08", "53", "57")


class Connection:
    """One connection; close it, best as a context manager. One thread at a time.

    `params` are libpq's, with the password among them: they are handed to libpq and shown to nobody.
    `database`: connect to `dbname`, where SQL can be run as well. Raises SourceAway, SourceRefused.
    """

    def __init__(
        self, params: Mapping[str, str], *, application_name: str = "holdfast", database: bool = False
    ) -> None:
        settings = {**_LIVENESS, **params, "application_name": application_name}
        settings["replication"] = "database" if database else "true"
        try:
            # psycopg's own way of connecting keeps to the time limit, and lets other threads run meanwhile.
            self._session = psycopg.connect(make_conninfo("", **settings), autocommit=True)
        except psycopg.Error as error:
            # No cause: a driver's error may hold the whole connection string.
            raise _unreachable(str(error)) from None
        self._pq = self._session.pgconn
        self._pq.nonblocking = 1
        self._poll = select.poll()
        self._poll.register(self._pq.socket, select.POLLIN)

    @property
    def server_version(self) -> int:
        """As `server_version_num`."""
        return self._pq.server_version

    @property
    def libpq(self) -> pq.abc.PGconn:
        """Libpq's own connection, nonblocking, for a COPY in both directions."""
        return self._pq

    def close(self) -> None:
        """Idempotent. What the server is doing for us ends."""
        # Not through the session: it would warn of, and wait for, what is still under way.
        self._pq.finish()
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, command: str, timeout_s: float = ANSWER_TIMEOUT_S) -> list[tuple[bytes | None, ...]]:
        """The rows that a command answers with. Raises SourceAway, SourceRefused, WalGone."""
        self.send(command)
        rows: list[tuple[bytes | None, ...]] = []
        while (result := self.result(timeout_s)) is not None:
            rows = rows_of(result) or rows
        return rows

    def send(self, command: str) -> None:
        """Begin a command; its results are to be taken one by one."""
        with _broken_off():
            self._pq.send_query(command.encode())

    def result(self, timeout_s: float = ANSWER_TIMEOUT_S) -> pq.abc.PGresult | None:
        """The next result, None when there is no further one. Raises for one that is an error."""
        with _broken_off():
            deadline = time.monotonic() + timeout_s
            while True:
                unsent = self._pq.flush()
                self._pq.consume_input()
                if not unsent and not self._pq.is_busy():
                    break
                self._wait(deadline - time.monotonic(), timeout_s, writable=bool(unsent))
            result = self._pq.get_result()
        if result is not None and result.status in (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE):
            refused = refusal(result)
            # A server that ends the connection with its error has said all that there is to know.
            with suppress(SourceAway):
                self._drain()
            raise refused
        return result

    def copied(self, silence_s: float) -> Iterator[memoryview]:
        """The messages of a COPY from the server, until it ends. The server may be silent for `silence_s`."""
        get, consume, poll = self._pq.get_copy_data, self._pq.consume_input, self._poll.poll
        looked = False
        with _broken_off():
            while True:
                size, message = get(1)
                if size > 0:
                    yield message
                elif size < 0:
                    return
                elif self._pq.ssl_in_use and not looked:
                    # TLS may have read more than it handed over, and of that no poll tells.
                    consume()
                    looked = True
                    continue
                elif not poll(silence_s * 1000):
                    raise SourceAway(f"the server has sent nothing for {silence_s:.0f} s")
                else:
                    consume()
                looked = False

    def copy_in(self, content: bytes, piece_bytes: int = 1 << 18) -> None:
        """Send what a COPY to the server asked for, whole."""
        view = memoryview(content)
        with _broken_off():
            for start in range(0, len(view), piece_bytes):
                # Nonblocking, libpq buffers what cannot be sent yet: empty it before there is more.
                self._pq.put_copy_data(bytes(view[start : start + piece_bytes]))
                self._flush()
            self._pq.put_copy_end()
            self._flush()

    def _flush(self) -> None:
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while self._pq.flush():
            self._wait(deadline - time.monotonic(), ANSWER_TIMEOUT_S, writable=True)

    def _wait(self, left_s: float, timeout_s: float, *, writable: bool = False) -> None:
        """Until something can be read, or written where that is wanted."""
        poll = self._poll
        if writable:
            poll = select.poll()
            poll.register(self._pq.socket, select.POLLIN | select.POLLOUT)
        ready = poll.poll(max(left_s, 0) * 1000)
        if not ready:
            raise SourceAway(f"the server has not answered for {timeout_s:.0f} s")
        if ready[0][1] & ~select.POLLOUT:
            self._pq.consume_input()

    def _drain(self) -> None:
        """Take the results behind an error, so that the connection can be used again."""
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        with _broken_off():
            while True:
                self._pq.consume_input()
                while self._pq.is_busy():
                    self._wait(deadline - time.monotonic(), ANSWER_TIMEOUT_S)
                if self._pq.get_result() is None:
                    return


def rows_of(result: pq.abc.PGresult) -> list[tuple[bytes | None, ...]]:
    """A result's rows, each value as the text that the server sent."""
    return [
        tuple(result.get_value(row, column) for column in range(result.nfields))
        for row in range(result.ntuples)
    ]


def refusal(result: pq.abc.PGresult) -> SourceError:
    """What an error of the server means to us. `sqlstate` stands in its hint."""
    state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    text = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode(errors="replace")
    if not text:
        return SourceAway(f"the server broke off: {_line(result.error_message.decode(errors='replace'))}")
    detail = (result.error_field(pq.DiagnosticField.MESSAGE_HINT) or b"").decode(errors="replace")
    hint = _line(detail) or f"the server's error {state}: its log may say more"
    if state == _UNDEFINED_FILE and "removed" in text:
        return WalGone(f"the server no longer has it: {_line(text)}", hint=hint)
    if state[:2] in _AWAY_CLASSES:
        return SourceAway(f"the server cannot now: {_line(text)}", hint=hint)
    return SourceRefused(f"the server refused: {_line(text)}", hint=hint)


@contextmanager
def _broken_off() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise SourceAway(f"the connection to the server broke off: {_line(str(error))}") from error


def _unreachable(text: str) -> SourceError:
    line = _line(text) or "no reason was given"
    unknown = "does not exist" in text and any(part in text for part in _UNKNOWN_TEXTS)
    if unknown or any(part in text for part in _REFUSED_TEXTS):
        return SourceRefused(
            f"the server refused: {line}",
            hint="check the login, its password, its REPLICATION attribute, pg_hba.conf and TLS",
        )
    return SourceAway(f"the server is away: {line}", hint="is it running, and can it be reached from here?")


def _line(text: str) -> str:
    return " ".join(text.split())[:1000]
