"""Runs restored copies: in recovery, on a socket in a private folder, with nothing that leads outside."""

import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from holdfast.adapters.postgres.restored import recovery as texts
from holdfast.adapters.postgres.restored.answering import (
    PAUSE_S,
    PORT,
    STALLED_S,
    NeedsMore,
    answering,
    connected,
)
from holdfast.adapters.postgres.restored.launching import Launch, Launched
from holdfast.adapters.postgres.server import process
from holdfast.adapters.postgres.server.binaries import Binaries
from holdfast.adapters.postgres.server.layout import let_go_of_socket_folder
from holdfast.backup.errors import RestoreFailed
from holdfast.backup.lsn import Lsn, parse_lsn
from holdfast.backup.ports import Asked, Copy
from holdfast.backup.restore.recovery import RecoverySettings

STOP_PATIENCE_S = 60.0
MOST_WIDENINGS = 100
"""Each is a restart of the protected server with a larger setting, in the WAL of one restore."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a server was given of the settings that its WAL may ask more of, and how it is started again."""

    launch: Launch
    has: Mapping[str, str]


class RestoredServer(Copy):
    """A copy that runs. Safe for several threads, which take turns."""

    def __init__(
        self,
        folder: Path,
        socket_folder: Path,
        user: str,
        pid: int,
        notes: tuple[str, ...],
        room: Room | None = None,
    ) -> None:
        self._folder = folder
        self._socket = socket_folder
        self._user = user
        self._pid = pid
        self._connections: dict[str, psycopg.Connection[Any]] = {}
        self._lock = threading.RLock()
        self._room = room
        self._widenings = 0
        self.notes = notes
        """What had to be left out of its settings, for people."""

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def conninfo(self) -> str:
        return f"host='{self._socket}' port={PORT} user='{self._user}' dbname=postgres"

    @property
    def pid(self) -> int:
        return self._pid

    def ask(self, database: str, sql: str, timeout_s: float) -> Asked:
        with self._lock:
            try:
                return self._ask(database, sql, timeout_s)
            except psycopg.Error as error:
                self._forget(database)
                return Asked((), (error.diag.message_primary or str(error)).strip().splitlines()[0])

    def _ask(self, database: str, sql: str, timeout_s: float) -> Asked:
        connection = self._connected(database)
        connection.execute(
            f"BEGIN READ ONLY; SET LOCAL statement_timeout = {max(1, round(timeout_s * 1000))}"
        )
        try:
            cursor = connection.execute(sql.encode())
            rows: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
            while cursor.nextset():
                rows = cursor.fetchall() if cursor.description else rows
        finally:
            if not connection.broken:
                connection.execute("ROLLBACK")
        return Asked(tuple(tuple(None if cell is None else str(cell) for cell in row) for row in rows))

    def replayed(self) -> tuple[Lsn | None, datetime | None]:
        with self._lock:
            row = self._row("SELECT pg_last_wal_replay_lsn()::text, pg_last_xact_replay_timestamp()::text")
        lsn, at = row
        return parse_lsn(lsn) if lsn else None, datetime.fromisoformat(at) if at else None

    def rests(self) -> bool:
        """Whether it has paused at its target, or waits for WAL that is not there."""
        with self._lock:
            paused, waits = self._row(
                "SELECT pg_get_wal_replay_pause_state() = 'paused',"
                " (SELECT wait_event = 'RecoveryRetrieveRetryInterval' FROM pg_stat_activity"
                " WHERE backend_type = 'startup')"
            )
        return str(paused) == "t" or str(waits) == "t"

    def is_paused(self) -> bool:
        """Whether it has paused: at its target, not at the end of what is there. `widened` comes first."""
        with self._lock:
            return str(self._row("SELECT pg_get_wal_replay_pause_state() = 'paused'")[0]) == "t"

    def widened(self) -> str:
        """When it has paused because WAL tells of settings that are larger than its own, start it again with
        those; it replays on then. Says so; empty when nothing was to be done. Raises RestoreFailed.
        """
        with self._lock:
            room = self._room
            if room is None or not self.is_paused():
                return ""
            grown = texts.grown(room.has, room.launch.room_needed())
            if not grown:
                return ""
            told = ", ".join(f"{name} = {value}" for name, value in sorted(grown.items()))
            self._widenings += 1
            if self._widenings > MOST_WIDENINGS:
                raise RestoreFailed(f"the restored server never has enough: its WAL asks for {told}")
            self.stop()
            launched, self._user = _launched(room.launch)
            self._socket, self._pid = launched.place, launched.pid
            self._room = replace(room, has=launched.room)
            return f"started again with what its WAL asks for: {told}"

    def promote(self) -> None:
        with self._lock:
            self._row("SELECT pg_promote(true, 86400)")
            # Before the first checkpoint of its own a crash would need the WAL of the time before.
            while self._row("SELECT pg_is_in_recovery()")[0] == "t":
                time.sleep(PAUSE_S)

    def stop(self) -> None:
        """End it: everything is written. Idempotent. Raises RestoreFailed when it does not end."""
        with self._lock:
            for database in list(self._connections):
                self._forget(database)
        for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            process.send(self._pid, self._folder, how)
            deadline = time.monotonic() + STOP_PATIENCE_S
            while time.monotonic() < deadline:
                process.reap(self._pid)
                # Its children may outlive it for a moment, and hold the folder.
                if not process.serves(self._pid, self._folder) and not process.processes_of(self._folder):
                    let_go_of_socket_folder(self._folder)
                    return
                time.sleep(PAUSE_S)
        raise RestoreFailed(f"the restored server (process {self._pid}) does not end")

    def leave(self) -> None:
        """Close our connections, and leave it running."""
        with self._lock:
            for database in list(self._connections):
                self._forget(database)

    def _connected(self, database: str) -> psycopg.Connection[Any]:
        connection = self._connections.get(database)
        if connection is None or connection.closed:
            connection = connected(self._socket, self._user, database)
            self._connections[database] = connection
        return connection

    def _forget(self, database: str) -> None:
        connection = self._connections.pop(database, None)
        if connection is not None:
            connection.close()

    def _row(self, sql: str) -> tuple[Any, ...]:
        last: psycopg.Error | None = None
        for _ in range(2):
            try:
                cursor = self._connected("template1").execute(sql.encode())
                return tuple(
                    {True: "t", False: "f"}.get(cell, cell) if isinstance(cell, bool) else cell
                    for cell in cursor.fetchone() or ()
                )
            except psycopg.Error as error:
                last = error
                self._forget("template1")
        raise RestoreFailed(f"the restored server does not answer: {last}") from last


def start(
    folder: Path,
    binaries: Binaries,
    *,
    recovery: RecoverySettings | None,
    settings: Mapping[str, str] | None = None,
    stalled_s: float = STALLED_S,
    is_ours: bool = False,
) -> RestoredServer:
    """Start PostgreSQL on `folder`; returns once it answers. With `recovery` it stays in recovery.

    It answers from when it is consistent, and goes on replaying. `settings` win over ours. It outlives this
    process unless it is stopped, or `is_ours`: then it ends with the thread that started it. Raises NotFit,
    and RestoreFailed with its last words when it ends, or when it replays nothing for `stalled_s` seconds and
    is not consistent.
    """
    launch = Launch(folder.absolute(), binaries, recovery, dict(settings or {}), stalled_s, is_ours)
    launched, user = _launched(launch)
    room = Room(launch, launched.room)
    return RestoredServer(launch.folder, launched.place, user, launched.pid, launched.notes, room)


def _launched(launch: Launch) -> tuple[Launched, str]:
    """Start it, and again when it ends because its WAL asks for more; who can log in, too."""
    for _ in range(MOST_WIDENINGS):
        launched = launch.begin()
        try:
            return launched, answering(
                launch.folder, launched.place, launched.pid, launch.log, launch.stalled_s
            )
        except NeedsMore:
            if not texts.grown(launched.room, launch.room_needed()):
                raise
    raise RestoreFailed("the restored server never has enough of what its WAL asks for")
