"""Prepares a data directory, and starts PostgreSQL on it: shut off from everything around it.

DATA/holdfast-restore/
  server.conf       includes what was backed up, unless this machine cannot use it
  hba.conf          lets in who can enter run/
  server.log        of the last start
  server.pid        in place of an external_pid_file that may be another server's
  run/              the socket (or a folder under the system's temporary one, where the path is too long)
  server.lock       held by the server and all its processes while any of them lives
"""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from holdfast.adapters.postgres.errors import DatabaseError
from holdfast.adapters.postgres.restored import recovery as texts
from holdfast.adapters.postgres.restored.answering import PORT
from holdfast.adapters.postgres.restored.asking import has_library, run
from holdfast.adapters.postgres.server import process
from holdfast.adapters.postgres.server.binaries import Binaries
from holdfast.adapters.postgres.server.confinement import Confinement, find_confinement
from holdfast.adapters.postgres.server.initialise import environment
from holdfast.adapters.postgres.server.layout import fits_socket, place_elsewhere, prepare_socket_folder
from holdfast.adapters.postgres.server.parenthood import ends_with_us
from holdfast.backup.errors import NotFit, RestoreFailed
from holdfast.backup.restore.recovery import RecoverySettings

OURS = "holdfast-restore"


@dataclass(frozen=True, slots=True)
class Launched:
    """A server that was started, and need not answer yet. `notes`: what had to be left out, for people."""

    place: Path
    pid: int
    notes: tuple[str, ...]
    room: Mapping[str, str]
    """What it was given of the settings that WAL may ask more of."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How a server is started on `folder`, once or again. `settings` win over ours."""

    folder: Path
    binaries: Binaries
    recovery: RecoverySettings | None
    settings: Mapping[str, str]
    stalled_s: float
    """How long it may stand still before it answers."""
    is_ours: bool = False
    """It ends when this process ends, however that comes about."""

    @property
    def log(self) -> Path:
        return log_of(self.folder)

    def room_needed(self) -> dict[str, str]:
        """What its control file asks for, now: it runs or not. Raises NotFit."""
        confinement = _confinement_of(self.folder, self.binaries)
        return texts.at_least(_control(self.folder, self.binaries, confinement))

    def begin(self) -> Launched:
        """Start it. Raises NotFit, RestoreFailed."""
        folder, binaries = self.folder, self.binaries
        lock = _lock(folder)
        try:
            confinement = _confinement(folder, binaries)
            place = _prepare(folder, confinement)
            control = _control(folder, binaries, confinement)
            arguments = texts.private_settings(
                binaries.major, place, PORT, ours(folder), control, self.recovery or RecoverySettings()
            )
            notes = _usable(folder, binaries, confinement, arguments)
            arguments.update(self.settings)
            (folder / "recovery.signal").unlink(missing_ok=True)
            if self.recovery is not None:
                _write(folder / "standby.signal", "", confinement)
            command = _command(folder, binaries, confinement, arguments, is_ours=self.is_ours)
            (folder / "postmaster.pid").unlink(missing_ok=True)
            pid = process.spawn(command, environment(), self.log, lock)
        finally:
            lock.close()
        room = {name: arguments[name] for name in texts.at_least(control)}
        return Launched(place, pid, notes, room)


def ours(folder: Path) -> Path:
    return folder / OURS


def log_of(folder: Path) -> Path:
    """What the server that was started last on this folder has said."""
    return ours(folder) / "server.log"


LEAVING_S = 2.0
"""What a server that was ended just now leaves running for a moment is waited for."""


def _lock(folder: Path) -> process.FileLock:
    """Held until the server and all its processes have ended. Raises NotFit while another one holds it."""
    ours(folder).mkdir(mode=0o700, exist_ok=True)
    lock = process.FileLock(ours(folder) / "server.lock")
    deadline = time.monotonic() + LEAVING_S
    while not lock.try_acquire() or process.processes_of(folder):
        if time.monotonic() >= deadline:
            lock.close()
            raise NotFit(f"a server runs on {folder}", hint="stop it first")
        time.sleep(0.05)
    return lock


def in_use(folder: Path) -> bool:
    """Whether a PostgreSQL that can be seen from here runs on this folder."""
    found = process.read_pid_file(folder / "postmaster.pid")
    return found is not None and bool(process.serves(found.pid, folder) or process.processes_of(folder))


def _confinement_of(folder: Path, binaries: Binaries) -> Confinement:
    try:
        return find_confinement(binaries, folder)
    except DatabaseError as error:
        raise NotFit(str(error), hint=error.hint) from error


def _confinement(folder: Path, binaries: Binaries) -> Confinement:
    """How it is shut off, with the folder handed to whom it runs as."""
    confinement = _confinement_of(folder, binaries)
    if (confinement.uid, confinement.gid) != (os.geteuid(), os.getegid()):
        for above, folders, files in os.walk(folder):
            for name in [*folders, *files]:
                os.chown(f"{above}/{name}", confinement.uid, confinement.gid, follow_symlinks=False)
        os.chown(folder, confinement.uid, confinement.gid)
    folder.chmod(0o700)
    return confinement


def _prepare(folder: Path, confinement: Confinement) -> Path:
    """Access rules, cleaned settings, and the folder for the socket, which is returned."""
    place = ours(folder) / "run"
    if not fits_socket(place, PORT):
        place = place_elsewhere(folder)
    prepare_socket_folder(place, confinement.uid, confinement.gid)
    for stale in place.glob(".s.PGSQL.*"):
        stale.unlink(missing_ok=True)
    _write(ours(folder) / "hba.conf", texts.ACCESS_RULES, confinement)
    _write(ours(folder) / "server.conf", texts.settings_file(include=True), confinement)
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
    folder: Path,
    binaries: Binaries,
    confinement: Confinement,
    arguments: Mapping[str, str],
    *,
    is_ours: bool = False,
) -> list[str]:
    tied = ends_with_us() if is_ours else ()
    command = [*confinement.prefix, *tied, binaries.postgres, "-D", str(folder)]
    for name, value in {"config_file": str(ours(folder) / "server.conf"), **arguments}.items():
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
        _write(ours(folder) / "server.conf", texts.settings_file(include=False), confinement)
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
    room = {} if recovery is None else _more_than_configured(folder, binaries, confinement)
    text = texts.for_its_operator(was, binaries.major, recovery, in_place=in_place, room=room)
    _write(folder / texts.AUTO, text, confinement)
    if recovery is not None:
        _write(folder / "recovery.signal", "", confinement)
    (folder / "standby.signal").unlink(missing_ok=True)
    _stay_here(folder, confinement)


def _stay_here(folder: Path, confinement: Confinement) -> None:
    """Whoever starts it with `-D` gets this folder: `data_directory` may name the protected server's."""
    settings = folder / "postgresql.conf"
    if not settings.is_file():
        return
    was = settings.read_text(encoding="utf-8", errors="surrogateescape")
    if (text := texts.without_its_place(was)) != was:
        _write(settings, text, confinement)


def _more_than_configured(folder: Path, binaries: Binaries, confinement: Confinement) -> dict[str, str]:
    """What recovery needs more of than what was backed up has: the server was given it since."""
    needed = texts.at_least(_control(folder, binaries, confinement))
    command = _command(folder, binaries, confinement, {"data_directory": str(folder)})
    configured = {name: run([*command, "-C", name]).stdout.strip() for name in needed}
    return texts.grown(
        {name: value if value.isdecimal() else "0" for name, value in configured.items()}, needed
    )
