"""What people and programs do with planned work. Decides by maintenance.py, and keeps what was decided."""

import re
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from holdfast.communication import maintenance as decisions
from holdfast.communication.as_read import AsRead
from holdfast.communication.directory import Directory
from holdfast.communication.errors import ChangedMeanwhile, NotThere
from holdfast.communication.incident_desk import Preview, fresh_id
from holdfast.communication.maintenance import Changes, Decided, NewMaintenance, notice_of
from holdfast.communication.model import Audience, Event, Maintenance, Stage
from holdfast.communication.ports import AudienceStore, MaintenanceStore
from holdfast.communication.series import (
    ACTOR,
    NewSeries,
    Series,
    SeriesChanges,
    following,
    series_changed,
    series_ended,
    series_of,
    with_dates,
)
from holdfast.kernel.clock import Clock
from holdfast.kernel.journal import JournalEntry
from holdfast.kernel.windows import Window

__all__ = [
    "Changes",
    "MaintenanceDesk",
    "NewMaintenance",
    "NewSeries",
    "Preview",
    "Series",
    "SeriesChanges",
    "SeriesPreview",
]

AHEAD = timedelta(days=30)
_ID = re.compile(r"[a-z0-9]{12}")
_TRIES = 5
_MOST_AT_ONCE = 400

Decide = Callable[[Maintenance, datetime], Decided | None]


@dataclass(frozen=True, slots=True)
class SeriesPreview:
    """What a new series would plan first, and whom that would be told: all of it in one message."""

    maintenance: Sequence[Maintenance]
    told: Preview


class MaintenanceDesk:
    """Each step reads, decides and stores; when somebody else was faster it is decided anew.

    Steps go by the store's clock, which announces; previews, which store nothing, by `clock`. Raises
    NotThere, NotPossible, and ChangedMeanwhile when others keep being faster. A step that changes nothing
    (the same twice) stores nothing and tells nobody. `ahead` is how far ahead a series is planned.
    """

    def __init__(
        self,
        store: MaintenanceStore,
        audiences: AudienceStore,
        clock: Clock,
        directory: Callable[[], Directory],
        *,
        ahead: Callable[[], timedelta] = lambda: AHEAD,
        make_id: Callable[[], str] = fresh_id,
    ) -> None:
        self._store = store
        self._audiences = audiences
        self._clock = clock
        self._directory = directory
        self._ahead = ahead
        self._make_id = make_id
        self._read: AsRead | None = None

    def as_read(self, found_id: str, version: int) -> "MaintenanceDesk":
        """This desk for one who read that version of it: a step on a newer one raises ChangedMeanwhile."""
        desk = copy(self)
        desk._read = AsRead(found_id, version)  # noqa: SLF001  it is one of us
        return desk

    # --- one maintenance

    async def plan(
        self, new: NewMaintenance, actor: str, *, maintenance_id: str | None = None
    ) -> Maintenance:
        """Announce it. With `maintenance_id`, made by the caller, the same planned twice is planned once."""
        if maintenance_id is not None:
            _checked(maintenance_id)
        now = await self._store.now()
        decided = decisions.planned(new, self._directory(), maintenance_id or self._make_id(), actor, now)
        try:
            return await self._record(decided, actor, now)
        except ChangedMeanwhile:
            known = None if maintenance_id is None else await self._store.maintenance(maintenance_id)
            if known is None or known.announced_by != actor:
                raise
            return known

    async def change(
        self,
        maintenance_id: str,
        *,
        title: str | None = None,
        body: str | None = None,
        window: Window | None = None,
        component_ids: frozenset[int] | None = None,
        starts_by_clock: bool | None = None,
        ends_by_clock: bool | None = None,
        remind: tuple[timedelta, ...] | None = None,
        actor: str,
    ) -> Maintenance:
        """Change what is given. Time and components that are added count as announced now."""
        changes = Changes(title, body, window, component_ids, starts_by_clock, ends_by_clock, remind)
        return await self.change_by(maintenance_id, changes, actor)

    async def change_by(self, maintenance_id: str, changes: Changes, actor: str) -> Maintenance:
        return await self._do(maintenance_id, actor, self._changing(changes, actor))

    async def extend(self, maintenance_id: str, until: datetime, actor: str) -> Maintenance:
        """Let it last longer. What is added counts as announced now."""
        return await self._do(
            maintenance_id, actor, lambda each, now: decisions.extended(each, until, actor, now)
        )

    async def start(self, maintenance_id: str, actor: str) -> Maintenance:
        """It begins now. Late, the time since its planned start counts again."""
        return await self._do(maintenance_id, actor, self._starting(actor))

    async def finish(
        self, maintenance_id: str, actor: str, *, at: datetime | None = None, body: str = ""
    ) -> Maintenance:
        """It is over now, or was at `at`. What is left of its planned time counts again."""
        return await self._do(maintenance_id, actor, self._finishing(actor, at, body))

    async def cancel(self, maintenance_id: str, reason: str, actor: str) -> Maintenance:
        """It does not take place; under way, it ends now."""
        return await self._do(maintenance_id, actor, self._cancelling(reason, actor))

    async def post(self, maintenance_id: str, body: str, stage: Stage, actor: str) -> Maintenance:
        """Say something about it; another stage moves it there."""
        return await self._do(maintenance_id, actor, self._posting(body, stage, actor))

    async def maintenance(self, maintenance_id: str) -> Maintenance:
        """Raises NotThere."""
        _checked(maintenance_id)
        found = await self._store.maintenance(maintenance_id)
        if found is None:
            raise _no_maintenance(maintenance_id)
        if self._read is not None:
            self._read.check(found.id, found.version)
        return found

    async def maintenances(self, window: Window) -> Sequence[Maintenance]:
        """What is planned, was done or was cancelled in `window`, by start."""
        return await self._store.maintenances(window)

    # --- dry runs: what a step would tell, and whom. They store nothing, and raise as the step would.

    async def preview(self, new: NewMaintenance, actor: str) -> Preview:
        now = self._clock.now()
        decided = decisions.planned(new, self._directory(), self._make_id(), actor, now)
        return await self._previewed(decided, now)

    async def preview_change(self, maintenance_id: str, changes: Changes, actor: str) -> Preview:
        return await self._preview(maintenance_id, self._changing(changes, actor))

    async def preview_extend(self, maintenance_id: str, until: datetime, actor: str) -> Preview:
        return await self._preview(
            maintenance_id, lambda each, now: decisions.extended(each, until, actor, now)
        )

    async def preview_start(self, maintenance_id: str, actor: str) -> Preview:
        return await self._preview(maintenance_id, self._starting(actor))

    async def preview_finish(
        self, maintenance_id: str, actor: str, *, at: datetime | None = None, body: str = ""
    ) -> Preview:
        return await self._preview(maintenance_id, self._finishing(actor, at, body))

    async def preview_cancel(self, maintenance_id: str, reason: str, actor: str) -> Preview:
        return await self._preview(maintenance_id, self._cancelling(reason, actor))

    async def preview_post(self, maintenance_id: str, body: str, stage: Stage, actor: str) -> Preview:
        return await self._preview(maintenance_id, self._posting(body, stage, actor))

    async def preview_series(self, new: NewSeries, actor: str) -> SeriesPreview:
        now = self._clock.now()
        series = series_of(new, self._directory(), self._make_id(), actor, now)
        found = following(series, (), self._directory(), self._ids(), now, now + self._ahead())
        plans = [each.maintenance for each in found.planned]
        if not plans:
            sample = NewMaintenance(
                new.title, new.body, new.component_ids, Window(now, now + new.lasts), remind=new.remind
            )
            decided = decisions.planned(sample, self._directory(), self._make_id(), actor, now)
            return SeriesPreview((), await self._previewed(replace(decided, told=None), now))
        first = replace(found.planned[0], maintenance=_speaking_for(plans, series))
        return SeriesPreview(plans, await self._previewed(first, now))

    # --- recurring work

    async def plan_series(self, new: NewSeries, actor: str, *, series_id: str | None = None) -> Series:
        """Plan it again and again. What falls into the time ahead is planned now, and told in one message.

        With `series_id`, made by the caller, the same planned twice is planned once.
        """
        if series_id is not None:
            _checked(series_id, "series")
        now = await self._store.now()
        made = series_of(new, self._directory(), series_id or self._make_id(), actor, now)
        entry = JournalEntry(now, actor, "series.planned", {"series": made.id, "rule": made.plan.rule})
        try:
            stored = await self._store.record_series(made, entry)
        except ChangedMeanwhile:
            known = None if series_id is None else await self._store.one_series(series_id)
            if known is None or known.created_by != actor:
                raise
            stored = known
        await self.follow(stored)
        return stored

    async def change_series(self, series_id: str, changes: SeriesChanges, actor: str) -> Series:
        """Change it, and all that it planned that has not begun."""
        before = await self.one_series(series_id)
        now = await self._store.now()
        after = series_changed(before, changes, self._directory(), now)
        if after == before:
            return before
        entry = JournalEntry(now, actor, "series.changed", {"series": after.id, "rule": after.plan.rule})
        stored = await self._store.record_series(after, entry)
        await self.follow(stored)
        return stored

    async def end_series(self, series_id: str, actor: str) -> Series:
        """Plan nothing more by it, and cancel what it planned that has not begun."""
        before = await self.one_series(series_id)
        now = await self._store.now()
        ended = series_ended(before, actor, now)
        if ended != before:
            entry = JournalEntry(now, actor, "series.ended", {"series": ended.id})
            ended = await self._store.record_series(ended, entry)
        await self.follow(ended)
        return ended

    async def one_series(self, series_id: str) -> Series:
        """Raises NotThere."""
        _checked(series_id, "series")
        found = await self._store.one_series(series_id)
        if found is None:
            raise NotThere(f"there is no series {series_id!r}", hint="see: holdfast maintenance series list")
        if self._read is not None:
            self._read.check(found.id, found.version)
        return found

    async def series(self) -> Sequence[Series]:
        """Every one, those that ended too, oldest first."""
        return await self._store.all_series()

    async def follow(self, series: Series) -> int:
        """Do what follows from a series now; returns how many maintenances that changed.

        Repeating it changes nothing: whoever comes next finishes what was interrupted. Readers are told of
        all that is planned (changed, cancelled) at once in one message, with the first of it.
        """
        now = await self._store.now()
        known = await self._store.occurrences(series.id, now)
        found = following(series, known, self._directory(), self._ids(), now, now + self._ahead())
        done = 0
        for batch in (found.cancelled, found.changed, found.planned):
            done += await self._do_all(batch, series, now)
        return done

    # --- parts

    async def _do_all(self, batch: Sequence[Decided], series: Series, now: datetime) -> int:
        """The first that is stored speaks for those that follow; what somebody else did is theirs to tell."""
        done, told = 0, False
        for number, each in enumerate(batch):
            rest = [one.maintenance for one in batch[number:] if one.told is not None]
            speaks = each.told is not None and not told
            if await self._recorded_once(each, _speaking_for(rest, series) if speaks else None, now):
                done, told = done + 1, told or speaks
        return done

    def _changing(self, changes: Changes, actor: str) -> Decide:
        return lambda each, now: decisions.changed(each, changes, self._directory(), actor, now)

    def _starting(self, actor: str) -> Decide:
        return lambda each, now: decisions.started(each, self._make_id(), actor, now)

    def _finishing(self, actor: str, at: datetime | None, body: str) -> Decide:
        return lambda each, now: decisions.finished(each, self._make_id(), actor, now, at=at, body=body)

    def _cancelling(self, reason: str, actor: str) -> Decide:
        return lambda each, now: decisions.cancelled(each, reason, self._make_id(), actor, now)

    def _posting(self, body: str, stage: Stage, actor: str) -> Decide:
        return lambda each, now: decisions.posted(each, body, stage, self._make_id(), actor, now)

    async def _do(self, maintenance_id: str, actor: str, decide: Decide) -> Maintenance:
        for left in reversed(range(_TRIES)):
            maintenance = await self.maintenance(maintenance_id)
            now = await self._store.now()
            decided = decide(maintenance, now)
            if decided is None:
                return maintenance
            try:
                return await self._record(decided, actor, now)
            except ChangedMeanwhile:
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

    async def _recorded_once(self, decided: Decided, told: Maintenance | None, now: datetime) -> bool:
        """False when somebody else was faster: then it is done, or decided anew the next time."""
        try:
            await self._record(decided, ACTOR, now, told=told, quiet=told is None)
        except ChangedMeanwhile:
            return False
        return True

    async def _record(
        self,
        decided: Decided,
        actor: str,
        now: datetime,
        *,
        told: Maintenance | None = None,
        quiet: bool = False,
    ) -> Maintenance:
        notices = []
        if decided.told is not None and not quiet:
            notices = [notice_of(told or decided.maintenance, decided.told, self._directory(), now)]
        facts = {"maintenance": decided.maintenance.id, **decided.facts}
        entry = JournalEntry(now, actor, decided.journalled, facts)
        return await self._store.record(decided.maintenance, notices, entry)

    async def _preview(self, maintenance_id: str, decide: Decide) -> Preview:
        maintenance, now = await self.maintenance(maintenance_id), self._clock.now()
        return await self._previewed(decide(maintenance, now) or Decided(maintenance, ""), now)

    async def _previewed(self, decided: Decided, now: datetime) -> Preview:
        event = decided.told or Event.MAINTENANCE_CHANGED
        notice = notice_of(decided.maintenance, event, self._directory(), now)
        quiet = decided.told is None
        return Preview(notice, Audience() if quiet else await self._audiences.audience(notice))

    def _ids(self) -> Iterator[str]:
        return (self._make_id() for _ in range(_MOST_AT_ONCE))


def _speaking_for(several: Sequence[Maintenance], series: Series) -> Maintenance:
    """The first of them, with the dates of all in its text."""
    first = several[0]
    if len(several) == 1:
        return first
    return replace(first, body=with_dates(first.body, several, series.plan.time_zone))


def _checked(key: str, what: str = "maintenance") -> None:
    if not _ID.fullmatch(key):
        raise NotThere(f"there is no {what} {key[:40]!r}", hint="see: holdfast maintenance list")


def _no_maintenance(maintenance_id: str) -> NotThere:
    return NotThere(f"there is no maintenance {maintenance_id!r}", hint="see: holdfast maintenance list")
