"""What lies where below the embedded server's directory, and the checks before anything there is touched."""

import hashlib
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from holdfast.adapters.postgres.errors import DatabaseTaken, DatabaseUnsuitable
from holdfast.adapters.postgres.server.binaries import Binaries
from holdfast.adapters.postgres.server.confinement import owner_name

UNFINISHED = "initdb-"
LOG_FILES, LOG_FILE_SIZE_MB = 8, 10
# sockaddr_un.sun_path has 108 bytes with the closing NUL (unix(7)); PostgreSQL adds the name in the folder.
_SOCKET_PATH_LIMIT = 107
_SOCKET_NAME = ".s.PGSQL.{port}"


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths below one server's directory."""

    directory: Path

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def pid_file(self) -> Path:
        return self.data / "postmaster.pid"

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def startup_log(self) -> Path:
        """What the server said before its own log began."""
        return self.log / "startup.log"

    @property
    def secrets(self) -> Path:
        return self.directory / "secrets"

    @property
    def start_lock(self) -> Path:
        """Held while somebody starts or stops the server."""
        return self.directory / "start.lock"

    @property
    def server_lock(self) -> Path:
        """Held by the server and each of its processes, for as long as one of them lives."""
        return self.directory / "server.lock"

    @property
    def settings(self) -> Path:
        return self.directory / "postgresql.conf"

    @property
    def extra(self) -> Path:
        """The operator's own settings, which `settings` includes."""
        return self.directory / "extra.conf"

    @property
    def access(self) -> Path:
        return self.directory / "pg_hba.conf"

    @property
    def port(self) -> Path:
        """The loopback port that was chosen, kept over restarts."""
        return self.directory / "port"

    def prepare(self) -> None:
        """Make the folders, private to their owner. Idempotent."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.directory.stat().st_uid != os.geteuid():
                raise _foreign(self.directory)
            for folder in (self.log, self.secrets):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise DatabaseUnsuitable(
                f"cannot use {self.directory} for the database: {error.strerror}",
                hint="choose a data directory that this account may write",
            ) from error

    def is_initialised(self, binaries: Binaries) -> bool:
        """Whether `data` is a data directory for these programs; False when it is still to be made.

        Raises DatabaseUnsuitable for anything else that stands there. Nothing is changed.
        """
        try:
            content = list(self.data.iterdir())
        except FileNotFoundError:
            return False
        except NotADirectoryError as error:
            raise DatabaseUnsuitable(
                f"{self.data} is not a directory", hint="move it out of the way"
            ) from error
        except PermissionError as error:
            raise _foreign(self.data) from error
        if not content:
            return False
        version = self.data / "PG_VERSION"
        if not version.is_file():
            raise DatabaseUnsuitable(
                f"{self.data} is not empty and is not a PostgreSQL data directory",
                hint="choose another data directory, or move what is there out of the way",
            )
        major = version.read_text(encoding="ascii", errors="replace").strip()
        if major != str(binaries.major):
            raise DatabaseUnsuitable(
                f"{self.data} belongs to PostgreSQL {major}, and the programs in {binaries.folder} are "
                f"PostgreSQL {binaries.major}",
                hint=f"set postgres.bin_dir to the programs of PostgreSQL {major}; how to move to "
                f"{binaries.major} is in docs/postgres.md",
            )
        return True

    def data_owner(self) -> int:
        """The uid that the data belongs to."""
        return self.data.stat().st_uid

    def remove_unfinished(self) -> None:
        """Clear away what an interrupted initdb left. Only while holding the start lock."""
        for leftover in self.directory.glob(f"{UNFINISHED}*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def prune_logs(self) -> None:
        """Keep the newest log files only, which bounds the log's size."""
        files = sorted(self.log.glob("postgresql-*.log"), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in files[LOG_FILES:]:
            file.unlink(missing_ok=True)

    def last_log_lines(self, count: int = 12) -> str:
        """The end of what the server said last, for a person to read."""
        files = [file for file in self.log.glob("*.log") if file.stat().st_size]
        lines: list[str] = []
        for file in sorted(files, key=lambda file: file.stat().st_mtime)[-2:]:
            with file.open("rb") as opened:
                opened.seek(max(0, file.stat().st_size - 16_384))
                lines += opened.read().decode(errors="replace").splitlines()[-count:]
        return "\n".join(lines[-count:])


def socket_folder(layout: Layout, port: int) -> Path:
    """Where the socket goes: `run` below the directory, or a private folder under the system's temporary one.

    The latter where `run` would be no usable address: longer than the kernel allows for a socket, or with a
    character that separates hosts (`,`) or addresses in PostgreSQL's lists. Its name follows from the data
    directory, so every process finds the same one.
    """
    run = layout.directory / "run"
    return run if fits_socket(run, port) else place_elsewhere(layout.data)


def let_go_of_socket_folder(data: Path) -> None:
    """Remove the empty folder for the socket of the server on `data`, where it is not below its directory.

    For who ended the server, while nobody can start it again.
    """
    with suppress(OSError):
        place_elsewhere(data).rmdir()


def place_elsewhere(data: Path) -> Path:
    """The folder for the socket of the server on `data`, below the system's temporary one."""
    digest = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"holdfast-{os.geteuid()}-{digest}"


def fits_socket(folder: Path, port: int) -> bool:
    """Whether a server's socket in `folder` has an address that PostgreSQL and libpq can both write down."""
    address = os.fsencode(folder / _SOCKET_NAME.format(port=port))
    printable = all(character.isprintable() and character not in ',"' for character in str(folder))
    return len(address) <= _SOCKET_PATH_LIMIT and printable


def prepare_socket_folder(folder: Path, uid: int, gid: int) -> None:
    """Make the folder for the socket, private to the server's owner; refuse one that somebody else made."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (uid, os.geteuid()):
            raise DatabaseTaken(
                f"{folder}, the folder for the database's socket, belongs to {owner_name(found.st_uid)}",
                hint="remove it, or choose a data directory with a shorter path",
            ) from None
    os.chown(folder, uid, gid)
    folder.chmod(0o700)


def _foreign(folder: Path) -> DatabaseUnsuitable:
    owner, me = owner_name(folder.stat().st_uid), owner_name(os.geteuid())
    return DatabaseUnsuitable(
        f"{folder} belongs to {owner}, and this is {me}",
        hint=f"run Holdfast as {owner}, or choose another data directory",
    )
