"""Drills on copies: restores apart from everything, measured from the beginning to the first answer.

    drill.restore   restores `point` (newest or older) of the subject out of `region`, or out of one at random
    drill.go-back   restores an older moment, and tells which tables have other `rows` than the newest state

Nothing that anybody uses is touched: a drill that is given up, or made twice, leaves nothing behind.
"""

import asyncio
import json
import random
import shutil
import threading
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import structlog

from holdfast.backup.errors import BackupError
from holdfast.backup.recoverable.chain import windows_of
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.verify.counting import TableRows
from holdfast.backup.verify.invariants import Outcome
from holdfast.backup.verify.verification import Standing, Verification
from holdfast.backup.verify.verified_points import NEWEST, Point, Which, older
from holdfast.bootstrap.backup.memory import give_back
from holdfast.bootstrap.backup.opening import regions_of
from holdfast.bootstrap.backup.progress import Reported
from holdfast.bootstrap.backup.taking import declared
from holdfast.bootstrap.backup.verifying import COPIES, LocalVerifications, verifier_for
from holdfast.bootstrap.backup.wanted import wanted_of
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.interfaces.cli.ports import Place, Progress, Report
from holdfast.interfaces.cli.verifying import VerifyRequest
from holdfast.kernel.journal import JournalEntry
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.evidence import UNKNOWN
from holdfast.recovery.ports import Action, Fence, Found

DRILLS = "drills"
"""Below the data directory: apart from the copies that daily verification keeps warm."""
MOST_TABLES = 200

log = structlog.get_logger()
_measured: ContextVar[Found] = ContextVar("measured")
"""What `act` came to, for the `verify` behind it in the same task."""


def drill_actions(around: Surroundings) -> Mapping[str, Action]:
    """By name."""
    return {"drill.restore": Restoring(around), "drill.go-back": GoingBack(around)}


class _GivenUpError(Exception):
    """Nobody waits for it any more."""


@dataclass(frozen=True, slots=True)
class Restoring:
    """A restore of the newest state, or of a moment at random, out of one region."""

    around: Surroundings
    finds: ClassVar[Sequence[str]] = (
        "what",
        "region",
        "reached_at",
        "rows",
        "data_bytes",
        "rpo_s",
        "rto_s",
        "loss",
    )

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        del given
        return None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        del fence  # nothing outside is changed
        point = given.get("point") or "newest"
        if point not in {"newest", "older"}:
            raise StepFailed(f"there is no point {point!r}", hint="newest or older")
        record = await _restored(self.around, given, older_one=point == "older")
        found = dict(findings_of(record, is_newest=point == "newest"))
        found["rows"] = json.dumps({each.name: each.rows for each in record.tables[:MOST_TABLES]})
        _measured.set(found)

    async def verify(self, given: Mapping[str, str]) -> Found:
        del given
        return _measured.get()


@dataclass(frozen=True, slots=True)
class GoingBack:
    """A restore of an earlier moment, compared with what the newest state was found to hold."""

    around: Surroundings
    wants: ClassVar[Sequence[str]] = ("rows", "reached")
    finds: ClassVar[Sequence[str]] = ("what", "region", "reached_at", "data_bytes", "rpo_s", "rto_s", "loss")

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        del given
        return None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        del fence  # nothing outside is changed
        record = await _restored(self.around, given, older_one=True)
        found = dict(findings_of(record, is_newest=False))
        found["loss"] = changed_since(
            record.tables, given.get("rows", ""), record.reached_at, given["reached"]
        )
        _measured.set(found)

    async def verify(self, given: Mapping[str, str]) -> Found:
        del given
        return _measured.get()


async def _restored(around: Surroundings, given: Mapping[str, str], *, older_one: bool) -> Verification:
    """Restore and question, in a thread. Raises StepFailed where nothing came to be known."""
    stop = threading.Event()

    def go_on(_: Progress) -> None:
        if stop.is_set():
            raise _GivenUpError

    work = asyncio.create_task(asyncio.to_thread(_restore, around, dict(given), go_on, older_one=older_one))
    try:
        record = await asyncio.shield(work)
    except asyncio.CancelledError:
        stop.set()  # the thread ends at its next step, and clears up behind itself
        work.add_done_callback(lambda done: done.cancelled() or done.exception())
        raise
    if record.standing is Standing.UNPROVEN:
        text = "; ".join(each.text for each in record.problems) or "it could not be tried to the end"
        raise StepFailed(f"nothing is known of the copy in {record.region}: {text}")
    return record


def _restore(around: Surroundings, given: dict[str, str], go_on: Report, *, older_one: bool) -> Verification:
    estate, key = around.estate, given["subject"]
    database = declared(estate, key)
    seed = int(given["seed"]) if given.get("seed", "").isdigit() else 0
    region_key = given.get("region") or random.Random(seed).choice(sorted(database.copies))  # noqa: S311
    if region_key not in database.copies:
        raise StepFailed(
            f"there is no copy of {key} in {region_key!r}", hint=f"in: {', '.join(database.copies)}"
        )
    apart = Place(around.place.config, around.place.data_dir / DRILLS)
    if database.engine != "native":
        request = VerifyRequest(
            key, newest=not older_one, older=older_one, seed=seed, region=region_key, fresh=True
        )
        [record] = LocalVerifications(_tell, around.clock).verify(around.place, request, go_on)
        return record
    regions = regions_of(estate, key, around.place.config, around.place.data_dir)
    region = next(each for each in regions if each.name == region_key)
    point: Point | None = NEWEST
    try:
        if older_one:
            point = older(windows_of(holdings_of(region, key, around.clock)), seed)
        if point is None:
            raise StepFailed(f"{key} in {region_key}: there is nothing to restore")
        verifier = verifier_for(estate, key, region, regions, apart, _tell, around.clock, Reported(go_on))
        # Not as the newest: what daily verification learns from its own points stays its own.
        asked = Point(Which.ASKED, point.target, point.seed)
        return verifier.verify(asked, wanted_of(database), fresh=True)
    except BackupError as error:
        raise StepFailed(str(error), hint=error.hint) from error
    finally:
        shutil.rmtree(apart.data_dir / COPIES / key, ignore_errors=True)
        give_back()


def _tell(entry: JournalEntry) -> None:
    log.info(entry.event.replace(".", "_"), **entry.facts)


def findings_of(record: Verification, *, is_newest: bool) -> Mapping[str, str]:
    """What a verification says, by the names that evidence is gathered by."""
    reached = record.reached_at
    found = {
        "what": f"{record.database} out of {record.region}, as it was at {_moment(reached)}, restored apart",
        "region": record.region,
        "reached_at": reached.isoformat() if reached else UNKNOWN,
        "verification": record.id,
        "fetched_bytes": str(record.fetched_bytes),
        "data_bytes": UNKNOWN if record.size_bytes is None else str(record.size_bytes),
        "rto_s": f"{record.ready_s:.3f}" if record.standing is Standing.PASSED else UNKNOWN,
        "rpo_s": UNKNOWN,
    }
    if is_newest and reached is not None:
        found["rpo_s"] = f"{max((record.started_at - reached).total_seconds(), 0.0):.3f}"
        found["loss"] = f"what was committed after {_moment(reached)} is not in this copy"
    for name, took_s in _phases(record):
        found[f"phase.{name}"] = f"{took_s:.3f}"
    found["invariant.it comes back whole"] = _whole(record)
    found["invariant.page checksums fit"] = _pages(record)
    for each in record.checks:
        word = {Outcome.HOLDS: "holds", Outcome.TIMEOUT: f"unknown: {each.text}"}
        found[f"invariant.check {each.key}"] = word.get(each.outcome, f"fails: {each.text}")
    return found


def _phases(record: Verification) -> Sequence[tuple[str, float]]:
    """A phase that comes more than once is one, with all its time."""
    took = dict[str, float]()
    for each in record.phases:
        took[each.name] = took.get(each.name, 0.0) + each.took_s
    return list(took.items())


def _whole(record: Verification) -> str:
    if record.standing is Standing.PASSED:
        return "holds"
    return "fails: " + "; ".join(each.text for each in record.problems)[:2000]


def _pages(record: Verification) -> str:
    pages = record.pages
    if pages.why_not:
        return f"unknown: {pages.why_not}"
    return "holds" if not pages.bad_count else f"fails: {pages.bad_count:,} of {pages.pages:,} do not"


def changed_since(tables: Sequence[TableRows], newest: str, reached: datetime | None, newest_at: str) -> str:
    """Which tables hold another number of rows than the newest state: the least that would be lost."""
    try:
        later: Mapping[str, int] = json.loads(newest)
    except ValueError:
        return "unknown: what the newest state holds was not told"
    earlier = {each.name: each.rows for each in tables}
    lines = [
        f"{name}: {earlier.get(name, 0):,} rows then, {later.get(name, 0):,} in the newest state"
        for name in sorted({*earlier, *later})
        if earlier.get(name, 0) != later.get(name, 0)
    ]
    head = f"between {_moment(reached)} and {newest_at}"
    if not lines:
        return f"{head} no table has gained or lost rows; what was changed in place is not counted"
    return "\n".join([f"{head}, by rows ({len(lines)} tables):", *lines[:MOST_TABLES]])


def _moment(at: datetime | None) -> str:
    return f"{at:%F %T} UTC" if at else "an unknown moment"
