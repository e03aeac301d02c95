"""pgBackRest as an engine: adopts a stanza that an operator has, and drives the program that is installed."""

from collections.abc import Sequence
from datetime import UTC, timedelta
from pathlib import Path

from holdfast.adapters.pgbackrest.command import Command
from holdfast.adapters.pgbackrest.info import (
    LABEL,
    Stanza,
    kept_backups,
    stanza_of,
    state_trouble,
    windows_of,
)
from holdfast.backup.engines import Depth, Finding, Kept
from holdfast.backup.errors import BackupError, NotFit, NotRecoverable
from holdfast.backup.lsn import format_lsn
from holdfast.backup.model import RecoveryWindow, Target, TargetKind

TELLING = timedelta(minutes=2)
"""How long a listing or a check may take."""
WORKING = timedelta(days=3)
"""How long a backup or a restore may take."""

_TYPES = {Depth.FULL: "full", Depth.DIFFERENTIAL: "diff", Depth.INCREMENTAL: "incr"}


class PgBackRest:
    """An `Engine`. `command` names the stanza; `working` bounds a backup, and a restore."""

    def __init__(self, database: str, command: Command, *, working: timedelta = WORKING) -> None:
        self._database = database
        self._command = command
        self._working = working

    @property
    def database(self) -> str:
        return self._database

    def take(self, kind: Depth, *, label: str = "") -> Kept:
        """Take a backup into its first repository, and let its own retention expire what it must.

        pgBackRest waits for the WAL that the backup needs.
        """
        before = {(each.id, each.region) for each in self.backups()}
        options = [f"--type={_TYPES[kind]}", *([f"--annotation={LABEL}={label}"] if label else [])]
        self._command.run("backup", *options, patience=self._working)
        taken = [each for each in self.backups() if (each.id, each.region) not in before]
        if not taken:
            raise NotRecoverable("pgbackrest says that it took a backup, and lists none", hint="see its log")
        return taken[-1]

    def backups(self) -> Sequence[Kept]:
        return kept_backups(self._told(), self._database)

    def windows(self) -> Sequence[RecoveryWindow]:
        told = self._told()
        return windows_of(told, kept_backups(told, self._database))

    def restore(self, target: Target, folder: Path) -> Kept:
        """As the port says. Tablespaces go beside it, in `FOLDER-tablespaces`: never into their place."""
        _require_empty(folder)
        backup = begins_with(self.backups(), target)
        options = [
            f"--pg1-path={folder}",
            f"--tablespace-map-all={folder}-tablespaces",
            f"--set={backup.id}",
            f"--repo={backup.region.removeprefix('repo')}",
            "--archive-mode=off",
            *recovery_options(target),
        ]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._command.own(folder)
        self._command.run("restore", *options, patience=self._working)
        return backup

    def check(self) -> Sequence[Finding]:
        """Lets the server switch WAL and waits until the segment is in the repository."""
        try:
            trouble = state_trouble(self._told())
            self._command.run("check", patience=TELLING)
        except BackupError as error:
            return [Finding(str(error), error.hint)]
        return [Finding(f"pgbackrest: {trouble}", "see `pgbackrest info`")] if trouble else []

    def _told(self) -> Stanza:
        return stanza_of(self._command.run("info", "--output=json", patience=TELLING), self._command.stanza)


def begins_with(backups: Sequence[Kept], target: Target) -> Kept:
    """The newest backup that reaches the target, of those that its engine found whole. Pure.

    Raises NotRecoverable when none does.
    """
    sound = [each for each in backups if not each.trouble]
    match target.kind:
        case TargetKind.TIME if target.time is not None:
            fit = [each for each in sound if each.finished_at <= target.time]
        case TargetKind.LSN if target.lsn is not None:
            fit = [each for each in sound if each.stop_lsn is not None and each.stop_lsn <= target.lsn]
        case TargetKind.LABEL:
            fit = [each for each in sound if target.label in (each.id, each.label)]
        case _:
            fit = sound
    if not fit:
        first = f"; the first ended at {sound[0].finished_at:%Y-%m-%d %H:%M:%S} UTC" if sound else ""
        raise NotRecoverable(
            f"no backup of pgbackrest reaches that moment{first}", hint="see `holdfast backup list`"
        )
    return fit[-1]


def recovery_options(target: Target) -> Sequence[str]:
    """The options of pgBackRest for a target. Pure."""
    timeline = [] if target.timeline is None else [f"--target-timeline={target.timeline}"]
    exclusive = [] if target.inclusive else ["--target-exclusive"]
    match target.kind:
        case TargetKind.TIME if target.time is not None:
            moment = target.time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
            return ["--type=time", f"--target={moment}", "--target-action=promote", *exclusive, *timeline]
        case TargetKind.LSN if target.lsn is not None:
            place = format_lsn(target.lsn)
            return ["--type=lsn", f"--target={place}", "--target-action=promote", *exclusive, *timeline]
        case TargetKind.XID if target.xid is not None:
            return ["--type=xid", f"--target={target.xid}", "--target-action=promote", *exclusive, *timeline]
        case TargetKind.LABEL:
            return ["--type=immediate", "--target-action=promote"]
        case TargetKind.LATEST:
            return ["--type=default", *timeline]
        case _:
            raise NotRecoverable(f"a restore to a {target.kind.value} needs to be told which")


def _require_empty(folder: Path) -> None:
    try:
        filled = folder.exists() and any(folder.iterdir())
    except OSError as error:
        raise NotFit(f"{folder} cannot be read: {error.strerror}") from error
    if filled:
        raise NotFit(f"{folder} is not empty", hint="choose an empty folder, or one that does not exist")
    tablespaces = folder.with_name(f"{folder.name}-tablespaces")
    if tablespaces.exists():
        raise NotFit(
            f"{tablespaces} is there already", hint="the copy's tablespaces would go there: remove it"
        )
