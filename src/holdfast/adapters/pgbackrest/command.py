"""Runs `pgbackrest`: bounded in time, as the owner of its configuration, without secrets in argv.

What an operator configured stays where it is: `/etc/pgbackrest.conf`, or PGBACKREST_CONFIG. Its exit codes
become errors of backup. Source: pgBackRest's `src/build/error/error.yaml`.
"""

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from holdfast.adapters.pgbackrest.info import LONGEST_INFO
from holdfast.backup.errors import (
    BackupError,
    Damaged,
    KeyMissing,
    NotFit,
    NotRecoverable,
    RegionAway,
    RegionRefused,
    SourceAway,
    SourceRefused,
)

CONFIGURATIONS = (Path("/etc/pgbackrest/pgbackrest.conf"), Path("/etc/pgbackrest.conf"))
GRACE = timedelta(seconds=10)
_PASSED_ON = ("PATH", "HOME", "LD_LIBRARY_PATH", "PGPASSFILE")
_ERROR = re.compile(r"ERROR: \[(\d{3})\]:? *(.*)")
_LONGEST_WORD, _LONGEST_WORDS = 500, 65536
_NOT_FOUND = 1

_Kind = tuple[type[BackupError], str]
_BUSY = "another pgbackrest works on this stanza: wait for it, or see `pgbackrest info`"
_RIGHTS = "who runs pgbackrest here must own its repository, and be let into the data directory"
_KINDS: Mapping[int, _Kind] = {
    26: (Damaged, "verify it: pgbackrest --stanza=... verify"),
    27: (NotFit, "see its configuration file, and whether the server is up"),
    28: (Damaged, "verify it: pgbackrest --stanza=... verify"),
    29: (Damaged, "verify it: pgbackrest --stanza=... verify"),
    37: (NotFit, "an option is missing in its configuration file"),
    38: (NotFit, "a server runs in that folder: stop it, or choose another folder"),
    40: (NotFit, "choose an empty folder"),
    41: (RegionRefused, _RIGHTS),
    42: (RegionRefused, _RIGHTS),
    44: (SourceRefused, "the stanza is another server's: after an upgrade run pgbackrest stanza-upgrade"),
    46: (NotFit, "this pgbackrest does not know this PostgreSQL: install a newer one"),
    47: (RegionRefused, _RIGHTS),
    49: (RegionAway, "the host of its repository does not answer"),
    50: (RegionAway, _BUSY),
    51: (SourceRefused, "the stanza is another server's: after an upgrade run pgbackrest stanza-upgrade"),
    55: (NotRecoverable, "is the stanza made? pgbackrest --stanza=... stanza-create"),
    56: (SourceAway, "is the server up, on the socket and port of pg1-socket-path and pg1-port?"),
    57: (SourceRefused, "the account of pg1-user needs the rights of pg_read_all_settings and to back up"),
    58: (SourceRefused, "pg1-path is not the data directory of the server that answers"),
    62: (SourceRefused, "it was stopped: pgbackrest start"),
    63: (RegionAway, "it was ended from outside"),
    64: (RegionRefused, "is its repository full?"),
    68: (SourceRefused, "archive_command must run pgbackrest archive-push for this stanza"),
    73: (NotFit, "a folder is missing: see pg1-path and repo1-path"),
    75: (NotRecoverable, "no backup of this name, or none before that moment"),
    76: (NotFit, "its tablespaces cannot be laid out there"),
    80: (NotRecoverable, "no database of this name was in the backup"),
    82: (SourceAway, "WAL did not reach the repository in time: does archive_command work?"),
    87: (SourceRefused, "archive_mode must be on, and archive_command run pgbackrest archive-push"),
    88: (NotFit, _RIGHTS),
    95: (KeyMissing, "its passphrase does not open the repository: see repo1-cipher-pass"),
    98: (RegionRefused, _RIGHTS),
    101: (RegionAway, "its store answers with errors"),
    103: (RegionRefused, "no repository of its configuration answers"),
    105: (RegionRefused, "its store refuses the credentials"),
    106: (SourceAway, "the clock jumped: take it again"),
}


@dataclass(frozen=True, slots=True)
class Command:
    """How to run pgBackRest for a stanza. `config` None is where it looks by itself."""

    stanza: str
    program: str = "pgbackrest"
    config: Path | None = None
    environment: Mapping[str, str] | None = None
    """Other than what is passed on of ours."""

    def run(self, name: str, *options: str, patience: timedelta) -> bytes:
        """Run one of its commands; its output. Raises BackupErrors; after `patience` it is ended."""
        status, output, said = self._ended(name, options, (), patience)
        if status != 0:
            raise translated(name, status, said)
        return output

    def found(self, name: str, *options: str, arguments: Sequence[str], patience: timedelta) -> bool:
        """Run one that gets something; False when there is no such thing. Raises as `run`."""
        status, _, said = self._ended(name, options, arguments, patience)
        if status not in (0, _NOT_FOUND):
            raise translated(name, status, said)
        return status == 0

    def _ended(
        self, name: str, options: Sequence[str], arguments: Sequence[str], patience: timedelta
    ) -> tuple[int, bytes, str]:
        """Run it to its end: its exit status, its output, and its last words."""
        command = [*self._as_owner(), self._found(), f"--stanza={self.stanza}", *self._configured(), *options]
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as trouble:
            try:
                process = subprocess.Popen(
                    [*command, "--log-level-console=off", "--log-level-stderr=error", name, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=trouble,
                    env=self._environment(),
                    start_new_session=True,
                )
            except OSError as error:
                raise NotFit(f"pgbackrest does not run: {error}", hint="is it installed here?") from error
            status = _awaited(process, name, patience)
            told, said = output.tell(), trouble.tell()
            output.seek(0)
            trouble.seek(max(0, said - _LONGEST_WORDS))
            if status == 0 and told > LONGEST_INFO:
                raise Damaged(f"pgbackrest {name} told {told} bytes; that is no answer")
            return status, output.read(LONGEST_INFO), trouble.read().decode(errors="replace")

    def own(self, folder: Path) -> None:
        """Hand a folder of ours to whom pgBackRest runs as."""
        owner = self._owner()
        if owner is not None:
            os.chown(folder, owner.pw_uid, owner.pw_gid)

    def _found(self) -> str:
        found = shutil.which(self.program)
        if found is None:
            raise NotFit(f"no `{self.program}` here", hint="apt-get install pgbackrest")
        return found

    def _configured(self) -> Sequence[str]:
        return [] if self.config is None else [f"--config={self.config}"]

    def _as_owner(self) -> Sequence[str]:
        owner = self._owner()
        if owner is None:
            return []
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise NotFit(f"pgbackrest must run as {owner.pw_name}", hint="run Holdfast as that account")
        return [setpriv, f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--init-groups", "--"]

    def _owner(self) -> pwd.struct_passwd | None:
        """As root it would leave files that its owner's own runs cannot read: then it runs as that owner."""
        named = self.config or os.environ.get("PGBACKREST_CONFIG")
        candidates = (Path(named),) if named else CONFIGURATIONS
        file = next((each for each in candidates if each.is_file()), None)
        if os.geteuid() != 0 or file is None or file.stat().st_uid == 0:
            return None
        try:
            return pwd.getpwuid(file.stat().st_uid)
        except KeyError as error:
            raise NotFit(f"{file} belongs to nobody", hint="chown it to pgbackrest's account") from error

    def _environment(self) -> dict[str, str]:
        ours = {name: text for name, text in os.environ.items() if name.startswith("PGBACKREST_")}
        ours |= {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        if os.geteuid() == 0 and self._owner() is None:
            # Newer versions want to be told that root's own repository is meant; older ones do not mind.
            ours["PGBACKREST_ALLOW_ROOT"] = "y"
        return {**ours, "LC_ALL": "C", "TZ": "UTC", **(self.environment or {})}


def translated(name: str, status: int, said: str) -> BackupError:
    """The error that an exit status and what was said on stderr mean. Pure."""
    match = _ERROR.search(said)
    code, text = (int(match[1]), match[2]) if match else (status, "".join(said.strip().splitlines()[-1:]))
    word = text.strip()[:_LONGEST_WORD]
    kind, hint = _KINDS.get(code, (BackupError, "see pgbackrest's log"))
    return kind(f"pgbackrest {name}: {word or f'exit status {status}'}", hint=hint)


def _awaited(process: subprocess.Popen[bytes], name: str, patience: timedelta) -> int:
    try:
        return process.wait(patience.total_seconds())
    except subprocess.TimeoutExpired as error:
        raise RegionAway(
            f"pgbackrest {name} was not done after {patience}", hint="see pgbackrest's log"
        ) from error
    finally:
        # Its workers are of its session: they end with it, whatever ends us.
        if process.returncode is None:
            _signal(process, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE.total_seconds())
            _signal(process, signal.SIGKILL)
            process.wait()


def _signal(process: subprocess.Popen[bytes], what: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, what)
