"""Maintenance in memory, for tests and simulation. Everything ends with the process."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count

from holdfast.adapters.memory.announcements import MemoryAnnouncements
from holdfast.adapters.memory.availability import MemoryAvailability
from holdfast.availability.model import Maintenance as Counted
from holdfast.communication.counting import Claim, awaits_start, recount, settled, taken
from holdfast.communication.errors import ChangedMeanwhile
from holdfast.communication.maintenance import as_told
from holdfast.communication.model import Maintenance, Notice
from holdfast.communication.series import Series
from holdfast.kernel.clock import Clock
from holdfast.kernel.journal import JournalEntry
from holdfast.kernel.windows import MICROSECOND, Window


@dataclass(frozen=True, slots=True)
class _Row:
    """Something that counts, as availability reads it, and whether it waits to be begun."""

    counted: Counted
    awaits: bool = False


class MemoryMaintenances:
    """MaintenanceStore over dictionaries. `availability` sees what counts; `journal` what was journalled."""

    def __init__(
        self,
        clock: Clock,
        announcements: MemoryAnnouncements | None = None,
        availability: MemoryAvailability | None = None,
    ) -> None:
        self._clock = clock
        self._announcements = announcements or MemoryAnnouncements()
        self._maintenance: dict[str, Maintenance] = {}
        self._series: dict[str, Series] = {}
        self._rows: dict[int, _Row] = {}
        self._numbers = count(1)
        self._told_at = datetime.min.replace(tzinfo=UTC)
        self.journal: list[JournalEntry] = []
        if availability is not None:
            availability.lay_over(self.counted)

    async def now(self) -> datetime:
        return self._clock.now()

    def counted(self) -> list[Counted]:
        """What leaves counted time, as of now."""
        now = self._clock.now()
        found: list[Counted] = []
        for row in self._rows.values():
            window = row.counted.window
            if row.awaits and window.start <= now:
                left = window.clipped_to(Window(now + MICROSECOND, max(window.end, now + MICROSECOND)))
                found += [] if left is None else [replace(row.counted, window=left)]
            else:
                found.append(row.counted)
        return found

    async def maintenance(self, maintenance_id: str) -> Maintenance | None:
        return self._maintenance.get(maintenance_id)

    async def maintenances(self, window: Window) -> Sequence[Maintenance]:
        now = self._clock.now()
        return _by_start(each for each in self._maintenance.values() if _within(each, window, now))

    async def unfinished(self) -> Sequence[Maintenance]:
        return _by_start(each for each in self._maintenance.values() if not each.stage.is_over)

    async def occurrences(self, series_id: str, since: datetime) -> Sequence[Maintenance]:
        return _by_start(
            each
            for each in self._maintenance.values()
            if each.series == series_id
            and (not each.stage.is_over or (each.occurs_at is not None and each.occurs_at > since))
        )

    async def record(
        self, maintenance: Maintenance, notices: Sequence[Notice], entry: JournalEntry
    ) -> Maintenance:
        before = self._maintenance.get(maintenance.id)
        if maintenance.version != (0 if before is None else before.version) or self._is_taken(maintenance):
            raise ChangedMeanwhile(
                f"maintenance {maintenance.id} was changed meanwhile", hint="look at it again"
            )
        now = self._clock.now()
        after = settled(maintenance, before, now)
        known = () if before is None else before.changes
        stored = replace(
            after,
            version=after.version + 1,
            updates=tuple(replace(each, recorded_at=each.recorded_at or now) for each in after.updates),
            changes=(*known, *(replace(each, at=now) for each in after.changes[len(known) :])),
            announced_at=now if before is None else before.announced_at,
        )
        self._maintenance[stored.id] = stored
        self._count(stored, now)
        for notice in notices:
            body = stored.body if notice.maintenance is None else notice.maintenance.body
            about = replace(as_told(stored), body=body)
            self._announcements.queue(replace(notice, at=self._moment(), maintenance=about))
        self.journal.append(entry)
        return stored

    async def one_series(self, series_id: str) -> Series | None:
        return self._series.get(series_id)

    async def all_series(self) -> Sequence[Series]:
        return list(self._series.values())

    async def record_series(self, series: Series, entry: JournalEntry) -> Series:
        before = self._series.get(series.id)
        if series.version != (0 if before is None else before.version):
            raise ChangedMeanwhile(f"series {series.id} was changed meanwhile", hint="look at it again")
        now = self._clock.now()
        ended_at = None if series.ended_at is None else now
        if before is not None and before.ended_at is not None:
            series, ended_at = replace(series, ended_by=before.ended_by), before.ended_at
        created_at = now if before is None else before.created_at
        stored = replace(series, version=series.version + 1, created_at=created_at, ended_at=ended_at)
        self._series[series.id] = stored
        self.journal.append(entry)
        return stored

    def _count(self, maintenance: Maintenance, now: datetime) -> None:
        mine = {key: row for key, row in self._rows.items() if row.counted.of == maintenance.id}
        claims = [
            Claim(key, row.counted.window, row.counted.component_ids)
            for key, row in mine.items()
            if row.counted.cancelled_at is None
        ]
        counted = recount(claims, taken(maintenance), maintenance.component_ids, now)
        for key, row in mine.items():
            left = row.counted.component_ids - counted.withdrawn.get(key, frozenset())
            changed = replace(
                row.counted,
                title=maintenance.title,
                window=counted.cut.get(key, row.counted.window),
                component_ids=left,
                cancelled_at=now if key in counted.dropped else row.counted.cancelled_at,
            )
            self._rows[key] = _Row(changed, awaits_start(maintenance))
        for window, components in counted.added:
            key = next(self._numbers)
            added = Counted(
                key,
                window,
                now,
                components,
                maintenance.title,
                planned_start=window.start,
                of=maintenance.id,
            )
            self._rows[key] = _Row(added, awaits_start(maintenance))

    def _is_taken(self, maintenance: Maintenance) -> bool:
        """Whether another one has its place in the series."""
        place = (maintenance.series, maintenance.occurs_at)
        return None not in place and any(
            (each.series, each.occurs_at) == place and each.id != maintenance.id
            for each in self._maintenance.values()
        )

    def _moment(self) -> datetime:
        """Later than any before, as a database's clock is, also while a test's clock stands still."""
        self._told_at = max(self._clock.now(), self._told_at + MICROSECOND)
        return self._told_at


def _by_start(found: Iterable[Maintenance]) -> list[Maintenance]:
    return sorted(found, key=lambda each: (each.window.start, each.id))


def _within(maintenance: Maintenance, window: Window, now: datetime) -> bool:
    start = min(maintenance.window.start, maintenance.began_at or maintenance.window.start)
    end = max(maintenance.window.end, maintenance.ended_at or maintenance.window.end)
    lasts = not maintenance.stage.is_over and now >= window.start
    return start < window.end and (end > window.start or lasts)
