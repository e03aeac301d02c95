"""Drills on copies: restores apart from everything, measured from the beginning to the first answer.

    drill.restore   restores `point` (newest or older) of the subject out of `region`, or out of one at random
    drill.go-back   restores an older moment, and tells which tables have other `rows` than the newest state

Nothing that anybody uses is touched: a drill that is given up, or made twice, leaves nothing behind.
"""

import json
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from holdfast.backup.verify.counting import TableRows
from holdfast.backup.verify.invariants import Outcome
from holdfast.backup.verify.verification import Standing, Verification
from holdfast.bootstrap.recovery.apart import restored, wish_of
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.evidence import UNKNOWN
from holdfast.recovery.ports import Action, Fence, Found

MOST_TABLES = 200

_measured: ContextVar[Found] = ContextVar("measured")
"""What `act` came to, for the `verify` behind it in the same task."""


def drill_actions(around: Surroundings) -> Mapping[str, Action]:
    """By name."""
    return {"drill.restore": Restoring(around), "drill.go-back": GoingBack(around)}


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
        record = await restored(self.around, wish_of(given, older_one=point == "older"))
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
        record = await restored(self.around, wish_of(given, older_one=True))
        found = dict(findings_of(record, is_newest=False))
        found["loss"] = changed_since(
            record.tables, given.get("rows", ""), record.reached_at, given["reached"]
        )
        _measured.set(found)

    async def verify(self, given: Mapping[str, str]) -> Found:
        del given
        return _measured.get()


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
