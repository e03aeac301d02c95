"""The jobs view: a tenant's entries by page and as an export, each with what later entries say of it.

Nothing is handed out that the access trail does not know of: it is written first, and when it cannot be
written, nothing is read out.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from holdfast.ledger.errors import NotThere, Unsuitable
from holdfast.ledger.find.access import Access, AccessTrail, Act, Caller, Reading
from holdfast.ledger.find.finding import JOBS, Dimension, Entry, Filter, What, what_of
from holdfast.ledger.find.searching import Findings, LogSeen, Mentions, named_entries, search
from holdfast.ledger.model import Record
from holdfast.ledger.ports import LogStore, Published

MOST_OF_A_PAGE = 1000
MOST_READ = 262_144
"""Leaves that are read for one page. What was not found in as many is on a later page."""


@dataclass(frozen=True, slots=True)
class Room:
    """One tenant's part of everything: what it opens onto is that tenant's alone."""

    store: LogStore
    index: Findings
    trail: AccessTrail
    published: Published


Rooms = Callable[[str], Room]


@dataclass(frozen=True, slots=True)
class Job:
    """An entry, and what others say of it."""

    leaf: int
    entry: Entry
    corrected_by: int | None = None
    """The correction whose quantities replace this entry's."""
    conflicts: tuple[int, ...] = ()
    """The entries of records that came under the same key with other content."""
    void: bool = False
    """A correction of what could not be corrected, or was before. It counts nothing."""
    original: Record | None = None
    """What this correction corrects, unless retention took it."""

    @property
    def what(self) -> What:
        return what_of(self.entry)

    @property
    def counts(self) -> bool:
        """Whether reports count its quantities."""
        return self.what is not What.CONFLICT and self.corrected_by is None and not self.void


@dataclass(frozen=True, slots=True)
class JobsPage:
    """Jobs, the newest first. `size` is the log's; a page is the same page for as long as it is asked for."""

    jobs: Sequence[Job]
    next: int | None
    """Where the next page begins (`below`), None at the end. A page that is not full may have a next one."""
    size: int
    pruned_below: int | None = None
    """Leaves below it are not kept any more; None when the page did not come to them."""
    complete: bool = True
    """False while the index is far behind: a correction or conflict of these jobs may not be shown yet."""


class JobsDesk:
    """Who reads jobs asks here."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def page(
        self, caller: Caller, tenant: str, wanted: Filter, *, limit: int, below: int | None = None
    ) -> JobsPage:
        """Raises NotThere for a tenant that has no log yet, Unsuitable."""
        if not 1 <= limit <= MOST_OF_A_PAGE:
            raise Unsuitable(f"a page has between 1 and {MOST_OF_A_PAGE:,} jobs")
        room, wanted = self._rooms(tenant), of_jobs(wanted)
        seen = await log_seen(room, tenant)
        end = seen.size if below is None else min(max(below, 0), seen.size)
        found, start, pruned, read = list[tuple[int, Entry]](), end, None, 0
        async for each in search(room.store, room.index, seen.log_id, wanted, end):
            found += each.found
            start, pruned, read = each.start, each.pruned_below, read + each.read
            if len(found) >= limit or read >= MOST_READ or pruned is not None:
                break
        if len(found) > limit:
            del found[limit:]
            start, pruned = found[-1][0], None
        elif pruned is not None:
            start = 0
        mentions = await Mentions.read(room.store, room.index, seen)
        jobs = await jobs_of(room.store, seen, found, mentions)
        await room.trail.begin(
            Reading(tenant, caller, Act.READ, wanted, start, end, shown_beside(jobs), len(jobs))
        )
        return JobsPage(jobs, start or None, seen.size, pruned, mentions.complete)

    async def export(
        self, caller: Caller, tenant: str, wanted: Filter
    ) -> AsyncGenerator[Sequence[Job], None]:
        """All that match of what is there now, the newest first, in portions. Raises as `page` does, and in
        the middle of it LogDamaged. The trail has it when this returns.
        """
        room, wanted = self._rooms(tenant), of_jobs(wanted)
        seen = await log_seen(room, tenant)
        mentions = await Mentions.read(room.store, room.index, seen)
        access = await room.trail.begin(Reading(tenant, caller, Act.EXPORT, wanted, 0, seen.size))

        async def portions() -> AsyncGenerator[Sequence[Job], None]:
            rows = 0
            async for each in search(room.store, room.index, seen.log_id, wanted, seen.size):
                if each.found:
                    rows += len(each.found)
                    # Originals are not in an export: it tells which leaf is meant, and has it by itself.
                    yield await jobs_of(room.store, seen, each.found, mentions, originals=False)
            await room.trail.ended(tenant, access, rows)

        return portions()

    async def accesses(self, tenant: str, *, before: int | None = None, limit: int = 100) -> Sequence[Access]:
        """Who read or exported what of this tenant, newest first."""
        return await self._rooms(tenant).trail.accesses(tenant, before=before, limit=limit)


def of_jobs(wanted: Filter) -> Filter:
    """The filter, of jobs alone unless it says which entries are meant."""
    if Dimension.WHAT in wanted.wanted:
        return wanted
    return Filter(wanted.since, wanted.until, {**wanted.wanted, Dimension.WHAT: JOBS})


async def log_seen(room: Room, tenant: str) -> LogSeen:
    """Raises NotThere."""
    seen = await room.index.log_of(tenant) if tenant else None
    if seen is None:
        raise NotThere(
            f"the tenant {tenant!r} has no entries here",
            hint="`holdfast ledger status` lists those that have some",
        )
    return seen


async def jobs_of(
    store: LogStore,
    seen: LogSeen,
    found: Sequence[tuple[int, Entry]],
    mentions: Mentions,
    *,
    originals: bool = True,
) -> list[Job]:
    """The entries with what the log says of them."""
    corrected, void, conflicts = dict[int, int](), set[int](), dict[int, list[int]]()
    for each in await mentions.of(leaf for leaf, _ in found):
        if each.what is What.CONFLICT:
            conflicts.setdefault(each.leaf, []).append(each.by)
        elif each.void:
            void.add(each.by)
        else:
            corrected[each.leaf] = each.by
    named = {entry.corrects.leaf for _, entry in found if isinstance(entry, Record) and entry.corrects}
    before = dict(found) | await named_entries(
        store, seen, named - {leaf for leaf, _ in found} if originals else set()
    )

    def original(entry: Entry) -> Record | None:
        if not originals or not isinstance(entry, Record) or not entry.corrects:
            return None
        former = before.get(entry.corrects.leaf)
        return former if isinstance(former, Record) else None

    return [
        Job(
            leaf,
            entry,
            corrected.get(leaf),
            tuple(sorted(set(conflicts.get(leaf, ())))),
            leaf in void,
            original(entry),
        )
        for leaf, entry in found
    ]


def shown_beside(jobs: Sequence[Job]) -> tuple[int, ...]:
    """Leaves whose content was shown because of others."""
    shown = {job.leaf for job in jobs}
    beside = {
        job.entry.corrects.leaf
        for job in jobs
        if job.original is not None and isinstance(job.entry, Record) and job.entry.corrects
    }
    return tuple(sorted(beside - shown))
