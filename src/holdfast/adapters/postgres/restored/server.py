"""Runs restored copies: in recovery, on a socket in a private folder, with nothing that leads outside.

DATA/holdfast-restore/
  server.conf       includes what was backed up, unless this machine cannot use it
  hba.conf          lets in who can enter run/
  server.log        of the last start
  run/              the socket (or a folder under the system's temporary one, where the path is too long)
  server.lock       held by the server and all its processes while any of them lives
"""

import hashlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from holdfast.adapters.postgres.errors import DatabaseError
from holdfast.adapters.postgres.restored import recovery as texts
from holdfast.adapters.postgres.restored.asking import has_library, run
from holdfast.adapters.postgres.restored.superusers import superusers
from holdfast.adapters.postgres.server import process
from holdfast.adapters.postgres.server.binaries import Binaries
from holdfast.adapters.postgres.server.confinement import Confinement, find_confinement
from holdfast.adapters.postgres.server.initialise import environment
from holdfast.adapters.postgres.server.layout import fits_socket, prepare_socket_folder
from holdfast.backup.errors import NotFit, RestoreFailed
from holdfast.backup.lsn import Lsn, parse_lsn
from holdfast.backup.ports import Asked, Copy
from holdfast.backup.restore.recovery import RecoverySettings

OURS = "holdfast-restore"
PORT = 5432
PAUSE_S = 0.02
STOP_PATIENCE_S = 60.0
_LOG_LINES, _LOG_READ = 12, 200
_STARVES, _MOST_WAITS = "waiting for WAL to become available", 5
"""PostgreSQL 15 and later say so at each look, a tenth of a second apart."""


class RestoredServer(Copy):
    """A copy that runs. Safe for several threads, which take turns."""

    def __init__(
        self, folder: Path, socket_folder: Path, user: str, pid: int, notes: tuple[str, ...]
    ) -> None:
        self._folder = folder
        self._socket = socket_folder
        self._user = user
        self._pid = pid
        self._connections: dict[str, psycopg.Connection[Any]] = {}
        self._lock = threading.RLock()
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
        """Whether it has reached its target, and not only the end of what is there."""
        with self._lock:
            return str(self._row("SELECT pg_get_wal_replay_pause_state() = 'paused'")[0]) == "t"

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
                if not process.serves(self._pid, self._folder):
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
            connection = _connect(self._socket, self._user, database)
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
    note: Callable[[str], None] = lambda _: None,
) -> RestoredServer:
    """Start PostgreSQL on `folder`; returns once it answers. With `recovery` it stays in recovery.

    It answers from when it is consistent, and goes on replaying. `settings` win over ours. It outlives this
    process unless it is stopped. Raises NotFit, and RestoreFailed with its last words when it ends.
    """
    folder = folder.absolute()
    lock = _lock(folder)
    try:
        confinement = _confinement(folder, binaries)
        place = _prepare(folder, confinement)
        control = _control(folder, binaries, confinement)
        major = binaries.major
        arguments = texts.private_settings(
            major, place, PORT, _ours(folder) / "hba.conf", control, recovery or RecoverySettings()
        )
        notes = _usable(folder, binaries, confinement, arguments)
        arguments.update(settings or {})
        (folder / "recovery.signal").unlink(missing_ok=True)
        if recovery is not None:
            _write(folder / "standby.signal", "", confinement)
        command = _command(folder, binaries, confinement, arguments)
        (folder / "postmaster.pid").unlink(missing_ok=True)
        pid = process.spawn(command, environment(), _ours(folder) / "server.log", lock)
    finally:
        lock.close()
    for each in notes:
        note(each)
    return RestoredServer(folder, place, _answering(folder, place, pid), pid, notes)


def _answering(folder: Path, place: Path, pid: int) -> str:
    """Wait until somebody can log in; who it is. There is no limit: replaying takes as long as it takes."""
    names: list[str] = []
    pause = PAUSE_S
    while True:
        process.reap(pid)
        if not process.lives(pid):
            raise RestoreFailed(
                f"the restored server ended while it recovered; its last words were:\n{_last_words(folder)}",
                hint=f"the whole log is in {_ours(folder) / 'server.log'}",
            )
        names = names or superusers(folder) or ["postgres"]
        for name in names:
            try:
                _connect(place, name, "template1").close()
            except psycopg.OperationalError as error:
                if "does not exist" in str(error) or "not permitted" in str(error):
                    # Roles changed since the backup: what is on the disk may know better by now.
                    names = [*superusers(folder), "postgres"]
                continue
            return name
        # The end of what is there, and not consistent yet: it would wait for ever.
        starved = [each for each in _last_words(folder, _LOG_READ).splitlines() if _STARVES in each]
        places = {each.rpartition(" at ")[2] for each in starved}
        if len(starved) >= _MOST_WAITS and len(places) == 1:
            process.send(pid, folder, signal.SIGQUIT)
            raise RestoreFailed(
                f"the WAL that is there ends at {places.pop()}, before the copy is consistent",
                hint="choose a later moment, or another backup",
            )
        time.sleep(pause)
        # Each look is a line in its log: in an hour of replaying not too many.
        pause = min(pause * 1.1, 0.5)


def _connect(place: Path, user: str, database: str) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=str(place),
        port=PORT,
        user=user,
        dbname=database,
        connect_timeout=10,
        autocommit=True,
        application_name="holdfast restore",
        client_encoding="utf8",
        options="-c timezone=UTC -c datestyle=ISO",
    )


def _ours(folder: Path) -> Path:
    return folder / OURS


def _lock(folder: Path) -> process.FileLock:
    """Held until the server and all its processes have ended. Raises NotFit while another one holds it."""
    _ours(folder).mkdir(mode=0o700, exist_ok=True)
    lock = process.FileLock(_ours(folder) / "server.lock")
    if not lock.try_acquire() or process.processes_of(folder):
        lock.close()
        raise NotFit(f"a server runs on {folder}", hint="stop it first")
    return lock


def in_use(folder: Path) -> bool:
    """Whether a PostgreSQL that can be seen from here runs on this folder."""
    found = process.read_pid_file(folder / "postmaster.pid")
    return found is not None and bool(process.serves(found.pid, folder) or process.processes_of(folder))


def _confinement(folder: Path, binaries: Binaries) -> Confinement:
    try:
        confinement = find_confinement(binaries, folder)
    except DatabaseError as error:
        raise NotFit(str(error), hint=error.hint) from error
    if (confinement.uid, confinement.gid) != (os.geteuid(), os.getegid()):
        for above, folders, files in os.walk(folder):
            for name in [*folders, *files]:
                os.chown(f"{above}/{name}", confinement.uid, confinement.gid, follow_symlinks=False)
        os.chown(folder, confinement.uid, confinement.gid)
    folder.chmod(0o700)
    return confinement


def _prepare(folder: Path, confinement: Confinement) -> Path:
    """Access rules, cleaned settings, and the folder for the socket, which is returned."""
    place = _ours(folder) / "run"
    if not fits_socket(place, PORT):
        digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
        place = Path(tempfile.gettempdir()) / f"holdfast-{os.geteuid()}-{digest}"
    prepare_socket_folder(place, confinement.uid, confinement.gid)
    for stale in place.glob(".s.PGSQL.*"):
        stale.unlink(missing_ok=True)
    _write(_ours(folder) / "hba.conf", texts.ACCESS_RULES, confinement)
    _write(_ours(folder) / "server.conf", texts.settings_file(include=True), confinement)
    kept = folder / texts.AUTO_AS_IT_WAS
    if not kept.exists():
        with suppress(FileNotFoundError):
            (folder / texts.AUTO).rename(kept)
    was = kept.read_text(encoding="utf-8", errors="surrogateescape") if kept.exists() else ""
    _write(folder / texts.AUTO, texts.cleaned(was), confinement)
    return place


def _write(path: Path, content: str, confinement: Confinement) -> None:
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_text(content, encoding="utf-8", errors="surrogateescape")
    os.chown(path, confinement.uid, confinement.gid)


def _command(
    folder: Path, binaries: Binaries, confinement: Confinement, arguments: Mapping[str, str]
) -> list[str]:
    command = [*confinement.prefix, binaries.postgres, "-D", str(folder)]
    for name, value in {"config_file": str(_ours(folder) / "server.conf"), **arguments}.items():
        command += ["-c", f"{name}={value}"]
    return command


def _control(folder: Path, binaries: Binaries, confinement: Confinement) -> str:
    command = [*confinement.prefix, str(binaries.folder / "pg_controldata"), "-D", str(folder)]
    ended = run(command)
    if ended.returncode != 0:
        raise NotFit(f"{folder} is no data directory for {binaries.folder}: {ended.stderr.strip()}")
    return ended.stdout


def _usable(
    folder: Path, binaries: Binaries, confinement: Confinement, arguments: dict[str, str]
) -> tuple[str, ...]:
    """See that the server can read its settings, leaving out what this machine has not. Returns what was."""
    notes: list[str] = []
    asked = [*_command(folder, binaries, confinement, arguments), "-C", "shared_preload_libraries"]
    ended = run(asked)
    if ended.returncode != 0:
        reason = (ended.stderr.strip().splitlines() or ["no reason was given"])[-1]
        notes.append(f"the settings that were backed up cannot be used here, and are left out: {reason}")
        _write(_ours(folder) / "server.conf", texts.settings_file(include=False), confinement)
        _write(folder / texts.AUTO, "", confinement)
        ended = run(asked)
        if ended.returncode != 0:
            raise RestoreFailed(f"{binaries.postgres} refuses its settings: {ended.stderr.strip()}")
    wanted = [each.strip().strip('"') for each in ended.stdout.split(",") if each.strip()]
    missing = [name for name in wanted if not has_library(binaries, name)]
    if missing:
        notes.append(f"not in {binaries.folder}, and not loaded: {', '.join(missing)}")
        arguments["shared_preload_libraries"] = ",".join(each for each in wanted if each not in missing)
    return tuple(notes)


def hand_over(folder: Path, binaries: Binaries, recovery: RecoverySettings | None, *, in_place: bool) -> None:
    """Leave it to whoever starts it: with `recovery` to end that, without as the primary that it is."""
    confinement = _confinement(folder, binaries)
    kept = folder / texts.AUTO_AS_IT_WAS
    was = kept.read_text(encoding="utf-8", errors="surrogateescape") if kept.exists() else ""
    text = texts.for_its_operator(was, binaries.major, recovery, in_place=in_place)
    _write(folder / texts.AUTO, text, confinement)
    if recovery is not None:
        _write(folder / "recovery.signal", "", confinement)
    (folder / "standby.signal").unlink(missing_ok=True)


def _last_words(folder: Path, count: int = _LOG_LINES) -> str:
    try:
        text = (_ours(folder) / "server.log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-count:])
