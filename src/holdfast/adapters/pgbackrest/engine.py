"""pgBackRest as an engine: adopts a stanza that an operator has, and drives the program that is installed."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path

from holdfast.adapters.pgbackrest.command import Command
from holdfast.adapters.pgbackrest.info import (
    LABEL,
    Stanza,
    kept_backups,
    stanza_of,
    state_trouble,
    wal_of,
    windows_of,
)
from holdfast.backup.engines import Depth, Finding, Kept
from holdfast.backup.errors import BackupError, Damaged, NotFit, NotRecoverable
from holdfast.backup.lsn import Timeline, format_lsn
from holdfast.backup.model import RecoveryWindow, Target, TargetKind

TELLING = timedelta(minutes=2)
"""How long a listing or a check may take."""
WORKING = timedelta(days=3)
"""How long a backup or a restore may take."""

MOST_TIMELINES = 1000

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

    def take(self, kind: Depth, *, label: str = "", repo: str = "", expire: bool = True) -> Kept:
        """Take a backup into its first repository, or into the one named `repo` (`repo2`).

        `expire`: its own retention lets go of what it must, as is usual behind a backup. pgBackRest waits for
        the WAL that the backup needs.
        """
        before = {(each.id, each.region) for each in self.backups()}
        options = [f"--type={_TYPES[kind]}", *([f"--annotation={LABEL}={label}"] if label else [])]
        options += [f"--repo={_number(repo)}"] if repo else []
        options += [] if expire else ["--no-expire-auto"]
        self._command.run("backup", *options, patience=self._working)
        taken = [each for each in self.backups() if (each.id, each.region) not in before]
        if not taken:
            raise NotRecoverable("pgbackrest says that it took a backup, and lists none", hint="see its log")
        return taken[-1]

    def expire(self) -> None:
        """Have pgBackRest let go of what its own configuration keeps no more, and nothing else."""
        self._command.run("expire", patience=self._working)

    def backups(self) -> Sequence[Kept]:
        return kept_backups(self._told(), self._database)

    def windows(self) -> Sequence[RecoveryWindow]:
        told = self._told()
        return windows_of(told, kept_backups(told, self._database))

    def told(self) -> tuple[Sequence[Kept], Sequence[RecoveryWindow]]:
        """Backups and windows of one look: what one names is in the other."""
        told = self._told()
        kept = kept_backups(told, self._database)
        return kept, windows_of(told, kept)

    def restore(self, target: Target, folder: Path, *, repo: str = "") -> Kept:
        """As the port says, from the repository `repo` alone when one is named.

        Tablespaces go beside it, in `FOLDER-tablespaces`: never into their place.
        """
        _require_empty(folder)
        backup = begins_with([each for each in self.backups() if repo in ("", each.region)], target)
        options = [
            f"--pg1-path={folder}",
            f"--tablespace-map-all={folder}-tablespaces",
            f"--set={backup.id}",
            f"--repo={_number(backup.region)}",
            "--archive-mode=off",
            *recovery_options(target),
        ]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._command.own(folder)
        self._command.run("restore", *options, patience=self._working)
        return backup

    def bring_wal(self, backup: Kept, folder: Path, *, to_its_end_only: bool = False) -> int:
        """Put archived WAL into a restored folder, so that it recovers without asking anybody.

        From where the backup began to the end of the archive, or to the backup's own end; how many segments.
        Raises NotRecoverable when WAL is missing before that end.
        """
        segment, last = wal_of(self._told(), backup)
        options = [f"--pg1-path={folder}", f"--repo={_number(backup.region)}", "--no-archive-async"]

        def got(name: str) -> bool:
            place = str(folder / "pg_wal" / name)
            return self._command.found("archive-get", *options, arguments=[name, place], patience=TELLING)

        if last.timeline > MOST_TIMELINES:
            raise Damaged(f"pgbackrest tells of timeline {last.timeline}; nobody promotes so often")
        for timeline in range(2, last.timeline + 1):
            got(f"{timeline:08X}.history")
        # Where timelines part, PostgreSQL reads the newer one's.
        timelines = [Timeline(each) for each in range(last.timeline, segment.timeline - 1, -1)]
        stop, count = backup.stop_lsn or segment.end, 0
        while not (to_its_end_only and segment.start >= stop):
            if not any(got(replace(segment, timeline=each).name) for each in timelines):
                break
            count, segment = count + 1, segment.following
        if segment.start < stop or (segment.number <= last.number and not to_its_end_only):
            raise NotRecoverable(
                f"the WAL {segment.name} is not in {backup.region}, and what follows {backup.id} needs it",
                hint="see `pgbackrest verify`; take a backup, so that what comes now can be restored",
            )
        return count

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


def _number(repo: str) -> str:
    return repo.removeprefix("repo")


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
