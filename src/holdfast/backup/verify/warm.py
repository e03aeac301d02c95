"""The verified copy that stays, so that the next one is rolled forward by WAL alone: the warm base.

    FOLDER/lock            held by whoever works on it
    FOLDER/state.json      what the copy is; written when it has answered, and before it is started again
    FOLDER/copy/           the data directory: always in recovery, never promoted

1. Without a state there is no copy, whatever lies in the folder.
2. A copy that was killed is recovered by PostgreSQL as a standby after a crash is: from its last restart
   point. Only when the machine itself went down since is it not trusted: files may not have been on its disk.
3. A copy moves forward only, on the history that it has replayed. Everything else is laid out afresh.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import msgspec

from holdfast.backup.errors import Damaged, NotFit
from holdfast.backup.lsn import Lsn, Segment, Timeline, format_lsn
from holdfast.backup.model import Holdings, RestorePlan, TargetKind, WalPiece
from holdfast.backup.recoverable.chain import pieces_on
from holdfast.backup.recoverable.lines import line_of
from holdfast.backup.restore import control
from holdfast.backup.restore.journal import Marker, Step, this_boot, write_marker

STATE, COPY, LOCK, WAL = "state.json", "copy", "lock", "pg_wal"
_COPIED_AT_ONCE = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class WarmState:
    """What a warm copy is. Times in UTC."""

    database: str
    system_id: int
    server_version: int
    segment_bytes: int
    chain: tuple[str, ...]
    """The backups that it was laid out from."""
    timeline: Timeline
    replayed: Lsn
    """It has replayed the history of `timeline` up to here."""
    redo: Lsn
    """WAL is needed from here on to start it again."""
    reached_at: datetime | None
    """The newest commit in it."""
    laid_out_at: datetime
    kept_at: datetime
    is_clean: bool
    """It was shut down. If not, it is being worked on, or was killed."""
    boot: str
    """Which life of the machine wrote it."""
    is_good: bool = True
    """The last verification of it found nothing wrong."""
    format: int = 1


_STATE = msgspec.json.Decoder(WarmState)


@dataclass(frozen=True, slots=True)
class Roll:
    """Start the copy again, with this plan's WAL, and lay out nothing."""

    plan: RestorePlan


@dataclass(frozen=True, slots=True)
class Afresh:
    """Lay out from the backups, because of `why`."""

    why: str


def footing(state: WarmState | None, holdings: Holdings, plan: RestorePlan, boot: str) -> Roll | Afresh:
    """Whether a warm copy serves for a plan, and with which WAL. Pure."""
    if state is None:
        return Afresh("there is no copy")
    if why := _no_longer(state, plan, boot) or _already_past(state, plan):
        return Afresh(why)
    line = line_of(plan.timeline, plan.histories)
    stretch = line.stretch_of(state.timeline)
    if stretch is None or state.replayed > stretch.end:
        left = "" if stretch is None else f" at {format_lsn(stretch.end)}"
        return Afresh(
            f"timeline {plan.timeline} left timeline {state.timeline}{left}, behind which the copy is"
        )
    end = max((each.end_lsn for each in plan.wal), default=state.replayed)
    start = Lsn(state.redo - state.redo % state.segment_bytes)
    wal = _without_gap(
        [each for each in pieces_on(line, (*plan.wal, *holdings.wal)) if each[1] > start and each[0] < end],
        start,
        end,
    )
    if wal is None:
        return Afresh(f"WAL since {format_lsn(start)} is not kept any more")
    rolled = sum(each.stored_bytes for each in wal)
    laid_out = sum(each.stored_bytes for each in plan.chain) + sum(each.stored_bytes for each in plan.wal)
    if rolled > laid_out:
        return Afresh("the WAL since is more than the newest backup")
    return Roll(replace(plan, wal=wal))


def _no_longer(state: WarmState, plan: RestorePlan, boot: str) -> str:
    if state.format != 1:
        return "another version of Holdfast made the copy"
    if not state.is_good:
        return "something was wrong with the copy"
    if state.database != plan.database or state.system_id != plan.backup.system_id:
        return "the copy is of another cluster"
    if state.server_version // 10_000 != plan.backup.server_version // 10_000:
        return "the copy is of another version of PostgreSQL"
    if not state.is_clean and state.boot != boot:
        return "the machine went down while the copy was in use"
    return ""


def _already_past(state: WarmState, plan: RestorePlan) -> str:
    target = plan.target
    if not state.is_clean and target.kind is not TargetKind.LATEST:
        return "it is not known how far the copy came before it was killed"
    match target.kind:
        case TargetKind.LATEST:
            return ""
        case TargetKind.LSN if target.lsn is not None:
            past = target.lsn < state.replayed
        case TargetKind.LABEL:
            past = plan.backup.stop_lsn < state.replayed
        case TargetKind.TIME if target.time is not None:
            past = state.reached_at is None or target.time <= state.reached_at
        case _:
            # Where a transaction stands is found only on the way: the copy may be behind it.
            past = True
    return "the copy is past that moment" if past else ""


def _without_gap(
    placed: list[tuple[Lsn, Lsn, WalPiece]], start: Lsn, end: Lsn
) -> tuple[WalPiece, ...] | None:
    """The fewest pieces that hold [start, end), by their place; None when bytes are missing."""
    chosen: dict[str, WalPiece] = {}
    reached = start
    while reached < end:
        best = max(
            (each for each in placed if each[0] <= reached < each[1]),
            key=lambda each: (each[1], each[2].segment.timeline),
            default=None,
        )
        if best is None:
            return None
        chosen[best[2].key] = best[2]
        reached = best[1]
    return tuple(sorted(chosen.values(), key=lambda each: (each.segment.timeline, each.start_lsn)))


class WarmBase:
    """A warm copy's folder. Whoever uses it holds it: `with base.held(): ...`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def copy(self) -> Path:
        """The data directory."""
        return self.folder / COPY

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else works on it meanwhile. Raises NotFit when somebody does."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise NotFit(
                    f"somebody else works on {self.folder}", hint="wait until that verification has ended"
                ) from error
            yield
        finally:
            os.close(descriptor)

    def state(self) -> WarmState | None:
        """What the copy is, or None when there is none that can be trusted."""
        try:
            state = _STATE.decode((self.folder / STATE).read_bytes())
        except (FileNotFoundError, msgspec.MsgspecError):
            return None
        return state if (self.copy / control.PATH).is_file() else None

    def keep(self, state: WarmState) -> None:
        """Write the state: whole or not at all."""
        beside = self.folder / f"{STATE}.new"
        with beside.open("wb") as file:
            file.write(msgspec.json.encode(state))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.folder / STATE)
        _fsync_folder(self.folder)

    def forget(self) -> None:
        """From now on there is no copy; its files may still lie there, to be laid out over."""
        (self.folder / STATE).unlink(missing_ok=True)
        _fsync_folder(self.folder)

    def remove(self) -> None:
        """Let go of the copy and its files."""
        if self.folder.is_dir():
            self.forget()
            shutil.rmtree(self.copy, ignore_errors=True)

    def standing(self) -> control.Control:
        """What the copy's own control file tells. Raises Damaged."""
        try:
            return control.control_of((self.copy / control.PATH).read_bytes())
        except OSError as error:
            raise Damaged(f"{self.copy / control.PATH}: {error.strerror}") from error

    def lacking(self, plan: RestorePlan) -> RestorePlan:
        """The same plan without the WAL that lies in the copy: whole segments that it has replayed.

        They stay there from its restart point on: PostgreSQL lets go of those before it alone.
        """
        state = self.state()
        if state is None:
            return plan
        return replace(
            plan, wal=tuple(each for each in plan.wal if not self._has(each.segment, state.replayed))
        )

    def _has(self, segment: Segment, replayed: Lsn) -> bool:
        if segment.end > replayed:
            return False
        try:
            return (self.copy / WAL / segment.name).lstat().st_size == segment.size
        except FileNotFoundError:
            return False

    def seed(self, plan: RestorePlan, to: Path) -> None:
        """Make `to` a copy that a restore of `plan`, a `Roll`'s, resumes: by WAL, laying out nothing."""
        self.clone(to)
        chain = tuple(each.id for each in plan.chain)
        write_marker(
            to,
            Marker(plan.database, chain, plan.backup.system_id, Step.WRITTEN, boot=this_boot()),
        )

    def clone(self, to: Path) -> None:
        """Copy the data directory to the new folder `to`; where the file system shares blocks, at once.

        Never by hard links: PostgreSQL writes in place, into both then. Call it while it does not run.
        """
        if to.exists() and any(to.iterdir()):
            raise NotFit(f"{to} is not empty", hint="name a folder that is empty, or that is not there")
        shutil.copytree(self.copy, to, symlinks=True, copy_function=_copied, dirs_exist_ok=True)
        to.chmod(0o700)


def _copied(source: str, to: str) -> str:
    """copy_file_range(2) shares the blocks where the file system can (XFS, Btrfs), and copies elsewhere."""
    with Path(source).open("rb") as reading, Path(to).open("xb") as writing:
        left = os.fstat(reading.fileno()).st_size
        try:
            while left > 0:
                done = os.copy_file_range(reading.fileno(), writing.fileno(), min(left, _COPIED_AT_ONCE))
                if done == 0:
                    break
                left -= done
        except OSError:
            reading.seek(0)
            writing.seek(0)
            writing.truncate()
            shutil.copyfileobj(reading, writing, 1024 * 1024)
    shutil.copystat(source, to)
    return to


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
