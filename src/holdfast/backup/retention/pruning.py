"""What is kept beside backups goes when it is old: records of verifications, lifted marks, unused histories.

    records of verifications   after 400 days, but never the newest thousand
    lifted marks               400 days after they were lifted, when no backup is left that they were about
    timeline histories         400 days after they were stored, when nothing lies on their timeline any more

A suspicion that stands stays for ever, and so does the newest history. Marks and histories go when every
region was asked: one that was away may still need them, or bring them back.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from holdfast.backup import layout
from holdfast.backup.errors import RegionError
from holdfast.backup.model import Holdings, Suspicion
from holdfast.backup.ports import Listed, Region
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.recoverable.marks import mark_key
from holdfast.kernel.clock import Clock

KEPT_FOR = timedelta(days=400)
NEWEST_KEPT = 1000
"""Records of verifications, in each region: also by a clock that runs years ahead so many stay."""
MOST_AT_ONCE = 1000
"""Objects of each region in one go. The rest goes the next time."""
_RECORD = re.compile(r"(\d{8}T\d{6}Z)-[a-z0-9]{6}\.json")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went: objects by region. `failed` tells why a region could not be asked, or let nothing go."""

    objects: Mapping[str, int]
    failed: Mapping[str, str]


def prune(regions: Sequence[Region], database: str, clock: Clock) -> Pruned:
    """Let go of what is old, but for what is locked. Cut off, or done twice, it does the rest."""
    held: dict[str, Holdings] = {}
    keys: dict[str, list[str]] = {}
    failed: dict[str, str] = {}
    for region in regions:
        try:
            held[region.name] = holdings_of(region, database, clock)
            keys[region.name] = old_verifications(
                region.listed(layout.verifications_prefix(database)), clock.now()
            )
        except RegionError as error:
            failed[region.name] = str(error)
    objects: dict[str, int] = {}
    for region in regions:
        if region.name in failed:
            continue
        try:
            old = list(keys[region.name])
            if not failed:
                there = {each.key for each in region.listed(layout.marks_prefix(database))}
                marks = old_marks(database, list(held.values()), clock.now())
                old += [key for key in marks if key in there]
                stored = region.listed(layout.timelines_prefix(database))
                old += old_histories(stored, list(held.values()), clock.now())
            objects[region.name] = _let_go(region, old[:MOST_AT_ONCE], clock.now())
        except RegionError as error:
            failed[region.name] = str(error)
    return Pruned(objects, failed)


def old_verifications(listed: Iterable[Listed], now: datetime) -> list[str]:
    """Keys of records that may go, oldest first. What is called otherwise is not ours to delete. Pure."""
    told = {
        each.key: match[1] for each in listed if (match := _RECORD.fullmatch(each.key.rpartition("/")[2]))
    }
    before = f"{now - KEPT_FOR:%Y%m%dT%H%M%SZ}"
    return [key for key in sorted(told)[:-NEWEST_KEPT] if told[key] < before]


def old_marks(database: str, held: Sequence[Holdings], now: datetime) -> list[str]:
    """Keys of marks that may go from every region, each before its lifting: it must not stand again. Pure."""
    known: dict[str, list[Suspicion]] = {}
    for region in held:
        for mark in region.suspects:
            known.setdefault(mark.id, []).append(mark)
    keys = []
    for marks in known.values():
        if all(_is_over(mark, held, now) for mark in marks):
            lifted = marks[0]
            raised = Suspicion(lifted.id, lifted.since, lifted.raised_at, lifted.reason)
            keys += [mark_key(database, raised), mark_key(database, lifted)]
    return keys


def _is_over(mark: Suspicion, held: Sequence[Holdings], now: datetime) -> bool:
    lifted = mark.lifted_at
    if lifted is None or lifted >= now - KEPT_FOR:
        return False
    # Whoever lifted it has found the backups of that time to be right: they are measured by that.
    return not any(mark.since < each.finished_at <= lifted for region in held for each in region.backups)


def old_histories(listed: Iterable[Listed], held: Sequence[Holdings], now: datetime) -> list[str]:
    """Keys of histories that may go from a region: nothing lies on their timeline anywhere. Pure."""
    used = {each.timeline for region in held for each in region.backups}
    used |= {each.segment.timeline for region in held for each in region.wal}
    newest = max((each.timeline for region in held for each in region.histories), default=None)
    return list(_unused(listed, used, newest, now - KEPT_FOR))


def _unused(
    listed: Iterable[Listed], used: Collection[int], newest: int | None, before: datetime
) -> Iterator[str]:
    for each in listed:
        told = layout.history_of(each.key)
        if told is None or told[0] in used or each.modified_at.astimezone(UTC) >= before:
            continue
        if newest is not None and told[0] < newest:
            yield each.key


def _let_go(region: Region, keys: Sequence[str], now: datetime) -> int:
    gone = 0
    for key in keys:
        try:
            until = region.locked_until(key)
        except FileNotFoundError:
            continue
        if until is None or until <= now:
            region.delete([key])
            gone += 1
    return gone
