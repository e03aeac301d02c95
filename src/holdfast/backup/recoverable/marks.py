"""Suspicions in the regions' stores: raised by a jump or by a person, lifted by a person only.

A mark is an object `DB/marks/ID.json`; that it was lifted is another, `DB/marks/ID-lifted.json`, for no key
is written twice. So a suspicion stands in a region until that region knows that it was lifted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from holdfast.backup.errors import AlreadyThere, BackupError, RegionError
from holdfast.backup.layout import RECORD, marks_prefix
from holdfast.backup.model import Backup, Suspicion
from holdfast.backup.ports import Region
from holdfast.backup.records import encoded
from holdfast.backup.recoverable import holdings

LIFTED = "-lifted"
LOCKED_FOR = timedelta(days=30)
"""So long nobody deletes what is from before a suspicion, counted from when it was raised."""


class NoSuchMark(BackupError):  # noqa: N818  a state of affairs more than an error
    """There is no suspicion of that id that stands."""


@dataclass(frozen=True, slots=True)
class Spread:
    """What became of telling every region: those that know it now, and why the others do not."""

    told: tuple[str, ...]
    behind: Mapping[str, str]


def mark_key(database: str, suspicion: Suspicion) -> str:
    """Where a mark lies, or its lifting once that has happened."""
    lifted = "" if suspicion.lifted_at is None else LIFTED
    return f"{marks_prefix(database)}{suspicion.id}{lifted}.json"


def suspicions_in(region: Region, database: str) -> tuple[Suspicion, ...]:
    """Every suspicion that a region knows of, oldest first. Raises RegionAway, RegionRefused."""
    unreadable: list[str] = []
    return tuple(holdings.suspicions_of(region, database, unreadable))


def suspicions_of(regions: Iterable[Region], database: str) -> tuple[Suspicion, ...]:
    """Every suspicion that any region knows of: a lifting known anywhere counts. Regions away are left out.

    Raises the last region's error when none answers: no answer is not "no suspicion".
    """
    found: dict[str, Suspicion] = {}
    answered, last_error = False, None
    for region in regions:
        try:
            marks = suspicions_in(region, database)
        except RegionError as error:
            last_error = error
            continue
        answered = True
        for mark in marks:
            if mark.id not in found or mark.lifted_at is not None:
                found[mark.id] = mark
    if not answered and last_error is not None:
        raise last_error
    return tuple(sorted(found.values(), key=lambda each: (each.raised_at, each.id)))


def tell(regions: Iterable[Region], database: str, suspicion: Suspicion) -> Spread:
    """Write a mark, or its lifting, into every region. Done twice it is as done once."""
    told: list[str] = []
    behind: dict[str, str] = {}
    for region in regions:
        try:
            region.put(mark_key(database, suspicion), encoded(suspicion))
        except AlreadyThere:
            pass
        except RegionError as error:
            behind[region.name] = str(error)
            continue
        told.append(region.name)
    return Spread(tuple(told), behind)


def lifted(suspicions: Sequence[Suspicion], mark_id: str, who: str, now: datetime) -> Suspicion:
    """That suspicion, lifted by a person. Raises NoSuchMark when none of that id stands."""
    for mark in suspicions:
        if mark.id == mark_id and mark.lifted_at is None:
            return replace(mark, lifted_at=now, lifted_by=who)
    standing = ", ".join(each.id for each in suspicions if each.lifted_at is None)
    raise NoSuchMark(f"no suspicion {mark_id!r} stands", hint=f"these do: {standing or 'none'}")


def spread(regions: Sequence[Region], database: str) -> Spread:
    """Tell regions that were away what the others know: marks and liftings."""
    told: set[str] = set()
    behind: dict[str, str] = {}
    for mark in suspicions_of(regions, database):
        raised = replace(mark, lifted_at=None, lifted_by="")
        for each in dict.fromkeys((raised, mark)):
            outcome = tell(regions, database, each)
            told |= set(outcome.told)
            behind |= outcome.behind
    return Spread(tuple(sorted(told - set(behind))), behind)


def lock_before(
    regions: Iterable[Region], backups: Sequence[Backup], suspicion: Suspicion, until: datetime
) -> tuple[dict[str, int], dict[str, str]]:
    """Let nobody delete the newest backups from before a suspicion, with their whole chains, before `until`.

    Returns how many objects were locked in each region (0 where a region has no locks), and why a
    region could not. Locks only ever become longer.
    """
    keys = _keys_before(backups, suspicion)
    locked: dict[str, int] = {}
    failed: dict[str, str] = {}
    for region in regions:
        count = 0
        try:
            for key in keys:
                if not region.lock(key, until):
                    break
                count += 1
        except (RegionError, FileNotFoundError) as error:
            failed[region.name] = str(error)
        locked[region.name] = count
    return locked, failed


def _keys_before(backups: Sequence[Backup], suspicion: Suspicion) -> list[str]:
    """The objects of the backups that had finished when the suspicion begins, and of all their parents."""
    known = {each.id: each for each in backups}
    wanted: dict[str, Backup] = {}
    for backup in backups:
        at: Backup | None = backup if backup.finished_at <= suspicion.since else None
        while at is not None and at.id not in wanted:
            wanted[at.id] = at
            at = known.get(at.parent) if at.parent else None
    keys: dict[str, None] = {}
    for backup in wanted.values():
        keys |= dict.fromkeys(each.key for each in backup.objects)
        # Beside its objects: a dump's is elsewhere than a native backup's.
        keys[f"{backup.manifest.key.rpartition('/')[0]}/{RECORD}"] = None
    return list(keys)
