"""What a verification found: the record that is kept in every region, and what is told of it.

    DB/verifications/TIME-ID.json       TIME as in a backup's id, ID six letters

A record is JSON of `Verification`. It is written once. Times are UTC, durations seconds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from holdfast.backup.errors import (
    AlreadyThere,
    BackupError,
    Damaged,
    KeyMissing,
    NotRecoverable,
    RegionError,
    RestoreFailed,
)
from holdfast.backup.layout import verifications_prefix
from holdfast.backup.lsn import Lsn, Timeline
from holdfast.backup.model import Target
from holdfast.backup.ports import Region
from holdfast.backup.records import decoded, encoded
from holdfast.backup.restore.needs import Needs
from holdfast.backup.verify.counting import TableRows
from holdfast.backup.verify.damage import ROWS, Sample
from holdfast.backup.verify.invariants import Checked, Newest
from holdfast.backup.verify.verified_points import Which
from holdfast.backup.verify.wal_counts import WalCounts
from holdfast.kernel.journal import JournalEntry

ACTOR = "verification"
AFTERWARDS = ("checks", "pages", "counting")
"""Phases that are no part of a restore."""


class Standing(StrEnum):
    """What a verification proves."""

    PASSED = "passed"
    FAILED = "failed"
    """Something is wrong with the copy, or with what is in it."""
    UNPROVEN = "unproven"
    """It could not be tried to the end: nothing is known."""


class How(StrEnum):
    """What the restore began with."""

    FRESH = "fresh"
    """Laid out from the backups."""
    WARM = "warm"
    """The copy of a verification before, rolled forward by WAL alone."""


class Subject(StrEnum):
    """What a problem is about."""

    STORED = "stored"
    """Stored bytes are not what was stored."""
    CHAIN = "chain"
    """The backup or its WAL is not whole."""
    RESTORE = "restore"
    """It did not come up, or did not answer."""
    PAGES = "pages"
    """Pages whose checksum does not fit."""
    STRUCTURE = "structure"
    """An index or a table whose parts do not fit together."""
    INVARIANT = "invariant"
    NEWEST = "newest"
    TABLE = "table"
    DAMAGE = "damage"
    """It differs from its own history."""
    PLACE = "place"
    """The region, this machine, its programs or its room: not the copy."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, in one line that names it. `hint`: what to do next."""

    subject: Subject
    text: str
    standing: Standing
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the work: fetch, unpack, replay, first answer, checks, pages."""

    name: str
    took_s: float


@dataclass(frozen=True, slots=True)
class PagesChecked:
    """What reading every page came to. `why_not` says why it was not done; then the counts are 0.

    `healed`: pages that were torn in the backup, as happens while it is taken, and that WAL repairs.
    """

    why_not: str = ""
    files: int = 0
    pages: int = 0
    bad: tuple[str, ...] = ()
    """`base/5/16384 block 3`; no more than a hundred of them."""
    bad_count: int = 0
    healed: int = 0


@dataclass(frozen=True, slots=True)
class Verification:
    """One restore of one point from one region, and what was found."""

    id: str
    database: str
    region: str
    which: Which
    target: Target
    seed: int | None
    started_at: datetime
    finished_at: datetime
    standing: Standing
    problems: tuple[Problem, ...] = ()
    remarks: tuple[str, ...] = ()
    """Worth a look, and no failure."""
    how: How = How.FRESH
    chain: tuple[str, ...] = ()
    """Ids of the backups, the full one first."""
    timeline: Timeline | None = None
    reached_lsn: Lsn | None = None
    reached_at: datetime | None = None
    """The newest commit in the copy."""
    server_version: int | None = None
    fetched_bytes: int = 0
    """Stored bytes that the region had to give."""
    wal_bytes: int = 0
    """Of these, WAL."""
    size_bytes: int | None = None
    phases: tuple[Phase, ...] = ()
    pages: PagesChecked = PagesChecked("not reached")
    checks: tuple[Checked, ...] = ()
    newest: tuple[Newest, ...] = ()
    tables: tuple[TableRows, ...] = ()
    unlogged: tuple[str, ...] = ()
    """Tables that a restore brings back empty."""
    wal: tuple[WalCounts, ...] = ()
    """What was deleted from backup to backup, and since the newest one; empty when that is not known."""
    needs: Needs | None = None
    """What it needs of PostgreSQL's programs; None when it did not get that far."""
    format: int = 1

    @property
    def ready_s(self) -> float:
        """Seconds from the beginning to the first answer: what a restore takes."""
        return sum(each.took_s for each in self.phases if each.name not in AFTERWARDS)


def problem_of(error: BackupError | OSError) -> Problem:
    """What an error on the way says of the copy. A region that is away says nothing of it."""
    failed, unproven = Standing.FAILED, Standing.UNPROVEN
    kinds: tuple[tuple[type[Exception], Subject, Standing], ...] = (
        (Damaged, Subject.STORED, failed),
        (KeyMissing, Subject.STORED, failed),
        (NotRecoverable, Subject.CHAIN, failed),
        (RestoreFailed, Subject.RESTORE, failed),
    )
    for kind, subject, standing in kinds:
        if isinstance(error, kind):
            return Problem(subject, str(error), standing, getattr(error, "hint", ""))
    return Problem(Subject.PLACE, str(error), unproven, getattr(error, "hint", ""))


def standing_of(problems: Iterable[Problem]) -> Standing:
    """A failure outweighs what is not known, and that outweighs a pass."""
    standings = {each.standing for each in problems}
    for standing in (Standing.FAILED, Standing.UNPROVEN):
        if standing in standings:
            return standing
    return Standing.PASSED


def verification_key(verification: Verification) -> str:
    return f"{verifications_prefix(verification.database)}{verification.id}.json"


def encoded_verification(verification: Verification) -> bytes:
    return encoded(verification)


def keep(regions: Iterable[Region], verification: Verification) -> dict[str, str]:
    """Write the record into every region; returns why some could not."""
    content, behind = encoded_verification(verification), {}
    for region in regions:
        try:
            region.put(verification_key(verification), content)
        except AlreadyThere:
            continue
        except RegionError as error:
            behind[region.name] = str(error)
    return behind


def verifications_in(region: Region, database: str, newest: int = 100) -> list[Verification]:
    """The newest records of a region, oldest first; those that do not decode are left out.

    Raises RegionAway, RegionRefused.
    """
    keys = [each.key for each in region.listed(verifications_prefix(database)) if each.key.endswith(".json")]
    found = []
    for key in keys[-newest:]:
        try:
            found.append(decoded(region.get(key), Verification, key))
        except (Damaged, FileNotFoundError):
            continue
    return found


def sample_of(verification: Verification) -> Sample | None:
    """Its figures beside the history of those before it; None when it reached no moment."""
    if verification.reached_at is None:
        return None
    figures = {f"{ROWS}{each.name}": float(each.rows) for each in verification.tables}
    if verification.size_bytes is not None:
        figures["size"] = float(verification.size_bytes)
    return Sample(verification.reached_at, figures, verification.id)


def last_passed(
    records: Sequence[Verification], which: Iterable[Which] = tuple(Which)
) -> Verification | None:
    """The newest by the moment that was reached."""
    wanted = set(which)
    passed = [
        each
        for each in records
        if each.standing is Standing.PASSED and each.which in wanted and each.reached_at is not None
    ]
    return max(passed, key=lambda each: (each.reached_at, each.id), default=None)


def event_of(verification: Verification) -> JournalEntry:
    """What the journal keeps of it."""
    facts: dict[str, object] = {
        "database": verification.database,
        "region": verification.region,
        "verification": verification.id,
        "which": verification.which.value,
        "how": verification.how.value,
        "ready_s": round(verification.ready_s, 3),
        "reached_at": verification.reached_at.isoformat() if verification.reached_at else None,
        "problems": [each.text for each in verification.problems],
    }
    return JournalEntry(
        verification.finished_at, ACTOR, f"backup.verification_{verification.standing.value}", facts
    )
