"""The write-ahead log as it is written: START_REPLICATION, physical.

Source: PostgreSQL "Streaming Replication Protocol" (protocol-replication.html), `walsender.c`.

    server sends   'w' start:8 server_end:8 sent_at:8 bytes       XLogData
                   'k' server_end:8 sent_at:8 reply_wanted:1      keepalive
    we send        'r' written:8 flushed:8 applied:8 at:8 reply_wanted:1

Times are microseconds since 2000-01-01 in UTC. When a timeline has ended the server leaves the copy, we leave
it, and one row tells which timeline follows, and where. A keepalive's `server_end` is only what was sent so
far (`walsender.c`, WalSndKeepalive): it does not prove that nothing else was written.
"""

import os
import select
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import pq

from holdfast.adapters.postgres.replication.connection import Connection, rows_of
from holdfast.backup.errors import SourceAway, SourceRefused
from holdfast.backup.lsn import Lsn, Timeline, format_lsn, parse_lsn
from holdfast.backup.ports import TimelineEnds, WalAlive, WalData, WalEvent

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_DATA = struct.Struct("!cQQq")
_ALIVE = struct.Struct("!cQq?")
_STATUS = struct.Struct("!cQQQq?")
_PRECISE_S, _MOST_OF_SELECT = 0.01, 1024
"""select() fails for descriptors from there on."""


def open_stream(
    params: Mapping[str, str],
    start: Lsn,
    timeline: Timeline,
    *,
    slot: str | None,
    application_name: str,
) -> "PqWalStream":
    """WAL from `start` of `timeline`; close it. `params` are libpq's.

    Raises SourceAway, SourceRefused; WalGone when the server does not have it any more.
    """
    stream = PqWalStream(Connection(params, application_name=application_name))
    try:
        stream.begin(start, timeline, slot)
    except BaseException:
        stream.close()
        raise
    return stream


class PqWalStream:
    """A WalStream on a connection that it closes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._libpq = connection.libpq
        self._turn = threading.Lock()
        """Held around libpq, which is not made for several threads; never while waiting for the server."""
        self._copying = False
        self._ended: TimelineEnds | None = None
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)
        self._poll = select.poll()
        self._poll.register(self._libpq.socket, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)

    def begin(self, start: Lsn, timeline: Timeline, slot: str | None) -> None:
        """Ask for WAL from there on. Raises SourceAway, SourceRefused, WalGone."""
        through = f'SLOT "{slot}" ' if slot else ""
        if slot and '"' in slot:
            raise SourceRefused(f"{slot!r} cannot be a slot's name")
        self._connection.send(f"START_REPLICATION {through}PHYSICAL {format_lsn(start)} TIMELINE {timeline}")
        result = self._connection.result()
        if result is not None and result.status == pq.ExecStatus.TUPLES_OK:
            # The start is where the timeline ended: there is nothing of it to send.
            self._ended = _end_told_by(result)
        elif result is None or result.status != pq.ExecStatus.COPY_BOTH:
            raise SourceAway("the server did not begin to send WAL")
        else:
            self._copying = True

    def receive(self, timeout_s: float) -> WalEvent | None:
        if self._ended is not None:
            return self._ended
        deadline = time.monotonic() + timeout_s
        with _broken_off():
            while True:
                with self._turn:
                    size, message = self._libpq.get_copy_data(1)
                    if size == 0:
                        self._libpq.consume_input()
                        size, message = self._libpq.get_copy_data(1)
                    self._copying = size >= 0
                if size > 0:
                    event = _event(message)
                    if event is not None:
                        return event
                elif size < 0:
                    return self._end()
                elif timeout_s <= 0 or not self._wait(max(deadline - time.monotonic(), 0.0)):
                    return None

    def acknowledge(self, written: Lsn, flushed: Lsn, *, reply_wanted: bool = False) -> None:
        now = (datetime.now(UTC) - _EPOCH) // timedelta(microseconds=1)
        # Nothing is applied here: what is flushed counts, also for synchronous_commit = remote_apply.
        message = _STATUS.pack(b"r", written, flushed, flushed, now, reply_wanted)
        with _broken_off(), self._turn:
            if self._copying:
                self._libpq.put_copy_data(message)
                self._libpq.flush()

    def wake(self) -> None:
        # BlockingIOError: it is awake already. Any other: it is closed.
        with suppress(OSError):
            os.write(self._waker, b".")

    def close(self) -> None:
        """Idempotent."""
        self._connection.close()
        woken, waker, self._woken, self._waker = self._woken, self._waker, -1, -1
        for descriptor in (woken, waker):
            if descriptor >= 0:
                os.close(descriptor)

    def _wait(self, timeout_s: float) -> bool:
        """Take in what the server has sent: False when nothing came in that time, or somebody woke us."""
        with self._turn:
            unsent = self._libpq.flush()
        ready = self._ready(timeout_s, unsent=bool(unsent))
        if self._woken in ready:
            with suppress(BlockingIOError):
                while os.read(self._woken, 4096):
                    pass
        return self._libpq.socket in ready

    def _ready(self, timeout_s: float, *, unsent: bool) -> Sequence[int]:
        """The descriptors at which something happened."""
        socket = self._libpq.socket
        if timeout_s < _PRECISE_S and max(socket, self._woken) < _MOST_OF_SELECT:
            # poll() counts in milliseconds, and one is longer than a flush.
            readable, writable, _ = select.select(
                [socket, self._woken], [socket] if unsent else [], [], timeout_s
            )
            return [*readable, *writable]
        self._poll.modify(socket, select.POLLIN | (select.POLLOUT if unsent else 0))
        return [descriptor for descriptor, _ in self._poll.poll(timeout_s * 1000)]

    def _end(self) -> WalEvent:
        """The server left the copy: the timeline ended, or it goes down, or it failed."""
        result = self._connection.result()
        if result is not None and result.status == pq.ExecStatus.COPY_IN:
            self._libpq.put_copy_end()
            result = self._connection.result()
        if result is None or result.status != pq.ExecStatus.TUPLES_OK:
            raise SourceAway("the server goes down")
        self._ended = _end_told_by(result)
        return self._ended


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
    rows = rows_of(result)
    if not rows or len(rows[0]) < 2 or rows[0][0] is None or rows[0][1] is None:
        raise SourceAway("the server did not tell which timeline follows")
    return TimelineEnds(Timeline(int(rows[0][0])), parse_lsn(rows[0][1].decode()))


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


@contextmanager
def _broken_off() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        text = " ".join(str(error).split())
        raise SourceAway(f"the stream of WAL broke off: {text}") from error
