"""A small server of PostgreSQL's replication protocol: it feeds one standby with WAL, exactly as far as told.

It speaks on a Unix socket in a folder that only its owner can enter, asks for no password, and knows
IDENTIFY_SYSTEM, TIMELINE_HISTORY and START_REPLICATION PHYSICAL.

Source: PostgreSQL's documentation, "Streaming Replication Protocol" and "Message Formats".
"""

import itertools
import os
import re
import select
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Self

from holdfast.backup.errors import RestoreFailed
from holdfast.backup.lsn import Lsn, Timeline, format_lsn, parse_lsn
from holdfast.backup.model import TimelineHistory
from holdfast.backup.recoverable.lines import ancestors_of
from holdfast.backup.wal.wal_folder import WalFolder

PORT = 5432
PIECE = 128 * 1024
"""Bytes of WAL in a message, as PostgreSQL's own MAX_SEND_SIZE."""
ALIVE_EVERY_S = 10.0
LONGEST_MESSAGE = 1024 * 1024
SLOW_S = 60.0
"""A standby that takes nothing for so long is let go; it connects again."""
_SSL, _GSS, _CANCEL = 80877103, 80877104, 80877102
_INT = Struct(">i")
_DATA = Struct(">BQQq")
_ALIVE = Struct(">BQQqB")
_START = re.compile(
    r'\s*START_REPLICATION\s+(?:SLOT\s+"?\w+"?\s+)?(?:PHYSICAL\s+)?([0-9A-F]+/[0-9A-F]+)(?:\s+TIMELINE\s+(\d{1,10}))?'
    r"\s*;?\s*",
    re.IGNORECASE,
)
_HISTORY = re.compile(r"\s*TIMELINE_HISTORY\s+(\d{1,10})\s*;?\s*", re.IGNORECASE)
_MICROS_TO_2000 = 946_684_800_000_000
_TEXT, _INT8 = 25, 20


@dataclass(frozen=True, slots=True)
class Upstream:
    """What the server pretends to be: the protected one, at `timeline`, with PostgreSQL's own histories."""

    system_id: int
    server_version: int
    timeline: Timeline
    histories: Mapping[Timeline, str]

    def end_of(self, timeline: Timeline) -> tuple[Timeline, Lsn] | None:
        """Where a timeline was left, and for which; None for the newest, and for a stranger."""
        history = self.histories.get(self.timeline)
        if history is None or timeline == self.timeline:
            return None
        line = [*ancestors_of(TimelineHistory(self.timeline, history)), (self.timeline, Lsn(0))]
        for (left, end), (following, _) in itertools.pairwise(line):
            if left == timeline:
                return following, end
        return None


class Walsender:
    """Serves WAL out of `wal` up to what was released. A context manager; leaving it ends all connections."""

    def __init__(self, folder: Path, wal: WalFolder, upstream: Upstream) -> None:
        self.folder = folder
        self._wal = wal
        self._upstream = upstream
        self._limit = Lsn(0)
        self._closed = False
        self._lock = threading.Lock()
        self._sessions: set[_Session] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self.trouble = ""
        """The last thing that a connection ended by, for people."""

    def __enter__(self) -> Self:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = self.folder / f".s.PGSQL.{PORT}"
        place.unlink(missing_ok=True)
        try:
            self._listener.bind(str(place))
        except OSError as error:
            self._listener.close()
            raise RestoreFailed(
                f"no socket can be made at {place}: {error}", hint="name a shorter folder"
            ) from error
        self._listener.listen(8)
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
            sessions = list(self._sessions)
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for session in sessions:
            session.end()
        for thread in self._threads:
            thread.join()
        self._listener.close()
        (self.folder / f".s.PGSQL.{PORT}").unlink(missing_ok=True)

    @property
    def conninfo(self) -> str:
        """For `primary_conninfo`."""
        return f"host='{self.folder}' port={PORT} user=holdfast sslmode=disable gssencmode=disable"

    @property
    def limit(self) -> Lsn:
        """The end of what may be sent."""
        return self._limit

    def release(self, lsn: Lsn) -> None:
        """Send everything before `lsn`, too. It never goes back."""
        with self._lock:
            self._limit = max(self._limit, lsn)
            sessions = list(self._sessions)
        for session in sessions:
            session.wake()

    def _start(self, work: object) -> None:
        thread = threading.Thread(target=work, name="walsender", daemon=True)  # type: ignore[arg-type]
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            session = _Session(connection, self, self._wal, self._upstream)
            with self._lock:
                if self._closed:
                    session.end()
                self._sessions.add(session)
            self._start(lambda session=session: self._serve(session))

    def _serve(self, session: "_Session") -> None:
        try:
            session.run()
        except (OSError, _Ended) as error:
            self.trouble = str(error) or self.trouble
        finally:
            with self._lock:
                self._sessions.discard(session)
            session.close()


class _Ended(Exception):  # noqa: N818
    """The connection is over; with a reason when it is not the standby that ended it."""


class _Session:
    """One connection of a standby."""

    def __init__(
        self, connection: socket.socket, sender: Walsender, wal: WalFolder, upstream: Upstream
    ) -> None:
        self._socket = connection
        self._socket.settimeout(SLOW_S)
        self._sender = sender
        self._wal = wal
        self._upstream = upstream
        self._received = bytearray()
        self._woken = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def wake(self) -> None:
        with suppress(OSError):
            os.eventfd_write(self._woken, 1)

    def end(self) -> None:
        """From another thread: what it waits for ends now."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self.wake()

    def close(self) -> None:
        self._socket.close()
        os.close(self._woken)

    def run(self) -> None:
        self._welcome()
        while True:
            kind, body = self._message()
            if kind == b"X":
                return
            if kind == b"Q":
                self._command(body.rstrip(b"\0").decode(errors="replace"))

    # How it begins.

    def _welcome(self) -> None:
        while True:
            body = self._startup()
            (code,) = _INT.unpack_from(body)
            if code in (_SSL, _GSS):
                self._socket.sendall(b"N")
            elif code >> 16 == 3:
                break
            else:
                raise _Ended("" if code == _CANCEL else f"a client of protocol {code >> 16} came")
        major, minor = divmod(self._upstream.server_version, 10_000)
        told = {
            "server_version": f"{major}.{minor}",
            "server_encoding": "UTF8",
            "client_encoding": "UTF8",
            "integer_datetimes": "on",
            "standard_conforming_strings": "on",
            "DateStyle": "ISO, MDY",
            "TimeZone": "UTC",
        }
        self._send(b"R", _INT.pack(0))
        for name, text in told.items():
            self._send(b"S", f"{name}\0{text}\0".encode())
        self._send(b"K", _INT.pack(0) + _INT.pack(0))
        self._ready()

    def _startup(self) -> bytes:
        (length,) = _INT.unpack(self._taken(4))
        if not 8 <= length <= LONGEST_MESSAGE:
            raise _Ended("something came that does not speak PostgreSQL's protocol")
        return self._taken(length - 4)

    # Commands.

    def _command(self, text: str) -> None:
        upper = text.strip().rstrip(";").upper()
        if upper == "IDENTIFY_SYSTEM":
            newest = format_lsn(self._sender.limit)
            row = (str(self._upstream.system_id), str(self._upstream.timeline), newest, None)
            self._rows({"systemid": _TEXT, "timeline": _INT8, "xlogpos": _TEXT, "dbname": _TEXT}, row, upper)
        elif match := _HISTORY.fullmatch(text):
            self._history(Timeline(int(match[1])))
        elif match := _START.fullmatch(text):
            self._replicate(parse_lsn(match[1]), Timeline(int(match[2] or self._upstream.timeline)))
        else:
            self._refuse("0A000", f"not known here: {text[:100]}")
        self._ready()

    def _history(self, timeline: Timeline) -> None:
        content = self._upstream.histories.get(timeline)
        if content is None:
            self._refuse("58P01", f"there is no history of timeline {timeline}")
            return
        row = (f"{timeline:08X}.history", content)
        self._rows({"filename": _TEXT, "content": _TEXT}, row, "TIMELINE_HISTORY")

    def _replicate(self, start: Lsn, timeline: Timeline) -> None:
        left = self._upstream.end_of(timeline)
        if left is None and timeline != self._upstream.timeline:
            self._refuse("22023", f"timeline {timeline} is not in this server's history")
            return
        self._send(b"W", b"\0\0\0")
        finished = self._stream(start, timeline, left[1] if left else None)
        if finished and left:
            self._rows(
                {"next_tli": _INT8, "next_tli_startpos": _TEXT},
                (str(left[0]), format_lsn(left[1])),
                "START_STREAMING",
            )
        else:
            self._send(b"C", b"START_STREAMING\0")

    def _stream(self, position: Lsn, timeline: Timeline, end: Lsn | None) -> bool:
        """Send WAL until the standby wants no more. True when the timeline's end was reached before."""
        said_at = time.monotonic()
        done = False
        while True:
            limit = self._sender.limit if end is None else min(self._sender.limit, end)
            if not done and end is not None and position >= end:
                self._send(b"c", b"")
                done = True
            if not done and position < limit:
                content = self._wal.read(timeline, position, min(PIECE, limit - position))
                if not content:
                    raise _Ended(f"WAL at {format_lsn(position)} of timeline {timeline} is not there")
                self._send(b"d", _DATA.pack(ord("w"), position, limit, _now()), content)
                position = Lsn(position + len(content))
                said_at = time.monotonic()
            if self._answers(position, wait=done or position >= limit) == "end":
                if not done:
                    self._send(b"c", b"")
                return done
            if not done and time.monotonic() - said_at >= ALIVE_EVERY_S:
                self._alive(position)
                said_at = time.monotonic()

    def _answers(self, position: Lsn, *, wait: bool) -> str:
        """Take what the standby sent, if anything; `wait` for that, for WAL that is released, or a while."""
        if not self._received:
            readable, _, _ = select.select(
                [self._socket.fileno(), self._woken], [], [], ALIVE_EVERY_S if wait else 0
            )
            if self._woken in readable:
                os.eventfd_read(self._woken)
            if self._socket.fileno() not in readable:
                return ""
        kind, body = self._message()
        if kind == b"X":
            raise _Ended
        if kind == b"c":
            return "end"
        # A status update ends with whether an answer is wanted.
        if kind == b"d" and body[:1] == b"r" and body[-1:] == b"\1":
            self._alive(position)
        return ""

    def _alive(self, position: Lsn) -> None:
        self._send(b"d", _ALIVE.pack(ord("k"), position, position, _now(), 0))

    # Messages.

    def _rows(self, columns: Mapping[str, int], row: Sequence[str | None], tag: str) -> None:
        described = b"".join(
            name.encode() + b"\0" + Struct(">ihihih").pack(0, 0, kind, -1, -1, 0)
            for name, kind in columns.items()
        )
        cells = b"".join(
            _INT.pack(-1) if cell is None else _INT.pack(len(cell.encode())) + cell.encode() for cell in row
        )
        self._send(b"T", Struct(">h").pack(len(columns)) + described)
        self._send(b"D", Struct(">h").pack(len(row)) + cells)
        self._send(b"C", tag.encode() + b"\0")

    def _refuse(self, state: str, message: str) -> None:
        fields = {"S": "ERROR", "V": "ERROR", "C": state, "M": message}
        self._send(b"E", b"".join(f"{key}{text}\0".encode() for key, text in fields.items()) + b"\0")

    def _ready(self) -> None:
        self._send(b"Z", b"I")

    def _send(self, kind: bytes, body: bytes, more: bytes = b"") -> None:
        self._socket.sendall(kind + _INT.pack(4 + len(body) + len(more)) + body + more)

    def _message(self) -> tuple[bytes, bytes]:
        head = self._taken(5)
        (length,) = _INT.unpack_from(head, 1)
        if not 4 <= length <= LONGEST_MESSAGE:
            raise _Ended("a message of an impossible length came")
        return head[:1], self._taken(length - 4)

    def _taken(self, count: int) -> bytes:
        while len(self._received) < count:
            try:
                came = self._socket.recv(64 * 1024)
            except TimeoutError:
                # An idle standby that has connected and asks for nothing is no fault.
                continue
            if not came:
                raise _Ended
            self._received += came
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken


def _now() -> int:
    return time.time_ns() // 1000 - _MICROS_TO_2000
