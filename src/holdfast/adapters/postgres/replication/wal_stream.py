"""The write-ahead log as it is written: START_REPLICATION, physical.

Source: PostgreSQL "Streaming Replication Protocol" (protocol-replication.html), `walsender.c`.

    server sends   'w' start:8 server_end:8 sent_at:8 bytes       XLogData
                   'k' server_end:8 sent_at:8 reply_wanted:1      keepalive
    we send        'r' written:8 flushed:8 applied:8 at:8 reply_wanted:1

Times are microseconds since 2000-01-01 in UTC. When a timeline has ended the server leaves the copy, we leave
it, and one row tells which timeline follows, and where.
"""

import os
import select
import struct
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import pq

from holdfast.backup.errors import SourceAway, SourceError, SourceRefused, WalGone
from holdfast.backup.lsn import Lsn, Timeline, format_lsn, parse_lsn
from holdfast.backup.ports import TimelineEnds, WalAlive, WalData, WalEvent

CONNECT_TIMEOUT_S = 10
ANSWER_TIMEOUT_S = 60.0
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_DATA = struct.Struct("!cQQq")
_ALIVE = struct.Struct("!cQq?")
_STATUS = struct.Struct("!cQQQq?")
_SLOT_NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")

UNDEFINED_FILE = "58P01"
IN_USE = "55006"
NO_SUCH = "42704"
WRONG_STATE = "55000"


def open_stream(
    params: Mapping[str, str],
    start: Lsn,
    timeline: Timeline,
    *,
    slot: str | None,
    application_name: str,
) -> "PqWalStream":
    """WAL from `start` of `timeline`; close it. `params` are libpq's, and win over nothing that is set here.

    Raises SourceAway, SourceRefused, WalGone.
    """
    if slot is not None and not (slot and set(slot) <= _SLOT_NAME_LETTERS):
        raise SourceRefused(f"{slot!r} cannot be a slot's name", hint="lower case letters, digits and _")
    settings = {
        "connect_timeout": str(CONNECT_TIMEOUT_S),
        "keepalives_idle": "30",
        **params,
        "replication": "true",
        "application_name": application_name,
    }
    conninfo = psycopg.conninfo.make_conninfo("", **settings)
    connection = pq.PGconn.connect(conninfo.encode())
    if connection.status != pq.ConnStatus.OK:
        message = connection.get_error_message().strip()
        connection.finish()
        raise SourceAway(f"the server cannot be reached: {message}")
    stream = PqWalStream(connection)
    try:
        stream.begin(start, timeline, slot)
    except BaseException:
        stream.close()
        raise
    return stream


class PqWalStream:
    """A WalStream on a connection of its own, which it closes."""

    def __init__(self, connection: pq.abc.PGconn) -> None:
        self._connection = connection
        self._ended: TimelineEnds | None = None
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)

    def begin(self, start: Lsn, timeline: Timeline, slot: str | None) -> None:
        """Ask for WAL from there on. Raises SourceAway, SourceRefused, WalGone."""
        through = f"SLOT {slot} " if slot else ""
        self._connection.nonblocking = 1
        self._connection.send_query(
            f"START_REPLICATION {through}PHYSICAL {format_lsn(start)} TIMELINE {timeline}".encode()
        )
        result = self._result()
        if result is None:
            raise SourceAway("the server did not answer START_REPLICATION")
        if result.status == pq.ExecStatus.TUPLES_OK:
            # The start is where the timeline ended: there is nothing of it to send.
            self._ended = _end_told_by(result)
        elif result.status != pq.ExecStatus.COPY_BOTH:
            raise refusal(result)

    def receive(self, timeout_s: float) -> WalEvent | None:
        if self._ended is not None:
            return self._ended
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                size, message = self._connection.get_copy_data(1)
                if size == -1:
                    return self._end()
                if size > 0:
                    event = _event(message)
                    if event is not None:
                        return event
                    continue
                if not self._wait(deadline - time.monotonic()):
                    return None
                self._connection.consume_input()
            except psycopg.Error as error:
                raise SourceAway(f"the stream of WAL broke off: {_line(str(error))}") from error

    def acknowledge(self, written: Lsn, flushed: Lsn, *, reply_wanted: bool = False) -> None:
        if self._ended is not None:
            return
        now = (datetime.now(UTC) - _EPOCH) // timedelta(microseconds=1)
        # Nothing is applied here: what is flushed counts, also for synchronous_commit = remote_apply.
        message = _STATUS.pack(b"r", written, flushed, flushed, now, reply_wanted)
        try:
            self._connection.put_copy_data(message)
            self._connection.flush()
        except psycopg.Error as error:
            raise SourceAway(f"the stream of WAL broke off: {_line(str(error))}") from error

    def wake(self) -> None:
        """Let `receive` return now. From any thread."""
        try:
            os.write(self._waker, b".")
        except (BlockingIOError, OSError):
            return  # it is awake already, or closed

    def close(self) -> None:
        """Idempotent."""
        self._connection.finish()
        for descriptor in (self._woken, self._waker):
            if descriptor >= 0:
                os.close(descriptor)
        self._woken = self._waker = -1

    def _wait(self, timeout_s: float) -> bool:
        """Whether there is something to read, within that time and before somebody wakes us."""
        if timeout_s < 0:
            return False
        socket = self._connection.socket
        ready = _ready(socket, timeout_s, unsent=bool(self._connection.flush()), or_else=self._woken)
        if self._woken in ready:
            while _drained(self._woken):
                pass
        return socket in ready

    def _end(self) -> WalEvent:
        """The server left the copy: the timeline ended, or it goes down, or it failed."""
        result = self._result()
        if result is not None and result.status == pq.ExecStatus.COPY_IN:
            self._connection.put_copy_end(None)
            self._connection.flush()
            result = self._result()
        if result is None or result.status == pq.ExecStatus.COMMAND_OK:
            raise SourceAway("the server goes down")
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise refusal(result)
        self._ended = _end_told_by(result)
        return self._ended

    def _result(self) -> pq.abc.PGresult | None:
        """The next result, without blocking other threads. Raises SourceAway."""
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        try:
            while True:
                unsent = bool(self._connection.flush())
                if not unsent and not self._connection.is_busy():
                    return self._connection.get_result()
                left = deadline - time.monotonic()
                if left <= 0:
                    raise SourceAway(f"the server does not answer for {ANSWER_TIMEOUT_S:.0f} s")
                if _ready(self._connection.socket, left, unsent=unsent):
                    self._connection.consume_input()
        except psycopg.Error as error:
            raise SourceAway(f"the connection broke off: {_line(str(error))}") from error


def refusal(result: pq.abc.PGresult) -> SourceError:
    """What a result that is an error means."""
    code = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    text = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode(errors="replace")
    text = text or f"the server answered {pq.ExecStatus(result.status).name}"
    if code == UNDEFINED_FILE and "has already been removed" in text:
        return WalGone(text, hint="a new backup begins a new chain")
    if code == WRONG_STATE and "slot" in text:
        return WalGone(text, hint="the slot was lost; see max_slot_wal_keep_size on the server")
    if code in (IN_USE, NO_SUCH) or code[:2] in ("57", "53", "08") or not code:
        return SourceAway(text)
    return SourceRefused(text, hint=f"the server says {code or 'nothing more'}")


def _event(message: memoryview) -> WalEvent | None:
    """What a message of the copy tells; None for one of a kind that later servers may send."""
    kind = bytes(message[:1])
    if kind == b"w" and len(message) >= _DATA.size:
        _, start, server_end, at = _DATA.unpack_from(message)
        return WalData(Lsn(start), bytes(message[_DATA.size :]), Lsn(server_end), _moment(at))
    if kind == b"k" and len(message) >= _ALIVE.size:
        _, server_end, at, reply_wanted = _ALIVE.unpack_from(message)
        return WalAlive(Lsn(server_end), _moment(at), reply_wanted)
    return None


def _end_told_by(result: pq.abc.PGresult) -> TimelineEnds:
    following, switch_at = result.get_value(0, 0), result.get_value(0, 1)
    if following is None or switch_at is None:
        raise SourceAway("the server did not tell which timeline follows")
    return TimelineEnds(Timeline(int(following)), parse_lsn(switch_at.decode()))


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def _ready(socket: int, timeout_s: float, *, unsent: bool, or_else: int | None = None) -> list[int]:
    """Which of the two can be read, or written when there is something unsent, within that time."""
    # Not select(): it fails for descriptors above 1023.
    waiting = select.poll()
    waiting.register(socket, select.POLLIN | (select.POLLOUT if unsent else 0))
    if or_else is not None:
        waiting.register(or_else, select.POLLIN)
    return [descriptor for descriptor, _ in waiting.poll(timeout_s * 1000)]


def _drained(descriptor: int) -> bool:
    try:
        return len(os.read(descriptor, 4096)) == 4096
    except BlockingIOError:
        return False


def _line(text: str) -> str:
    return " ".join(text.split())
