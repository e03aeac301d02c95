"""Planned work: what the command line does with it, and what the controller does by the clock."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from holdfast.adapters.postgres.announcements import PostgresAnnouncements
from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.maintenance import PostgresMaintenances
from holdfast.availability.inventory import Inventory
from holdfast.bootstrap.actors import command_line
from holdfast.communication.directory import Directory, directory_of
from holdfast.communication.errors import NotPossible
from holdfast.communication.lead_times import LeadTime, lead_times, planned_ahead
from holdfast.communication.maintenance_desk import (
    Changes,
    MaintenanceDesk,
    NewMaintenance,
    NewSeries,
    Preview,
    Series,
    SeriesChanges,
)
from holdfast.communication.model import Maintenance, Stage
from holdfast.interfaces.cli.planning import (
    MaintenanceRequest,
    Outcome,
    SeriesOutcome,
    SeriesRequest,
)
from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.windows import Window

LOOK_BACK = timedelta(days=90)
LOOK_AHEAD = timedelta(days=3653)
PLANNED = "Planned maintenance"


def maintenance_desk(pool: Pool, clock: Clock, inventory: Callable[[], Inventory]) -> MaintenanceDesk:
    """The desk over a pool, for the estate that `inventory` has in force then."""

    def directory() -> Directory:
        found = inventory()
        return directory_of(found.estate, found.registered)

    return MaintenanceDesk(
        PostgresMaintenances(pool),
        PostgresAnnouncements(pool),
        clock,
        directory,
        ahead=lambda: planned_ahead(inventory().estate),
    )


class MaintenanceCommands:
    """What the commands do, on the database of a running Holdfast."""

    def __init__(self, pool: Pool, inventory: Inventory) -> None:
        self._inventory = inventory
        self._directory = directory_of(inventory.estate, inventory.registered)
        self._desk = maintenance_desk(pool, SystemClock(), lambda: inventory)
        self._actor = command_line()

    async def listed(self, *, finished: bool) -> Sequence[Outcome]:
        """What is planned and under way; with `finished` also what was in the last 90 days."""
        now = datetime.now(UTC)
        found = await self._desk.maintenances(Window(now - LOOK_BACK, now + LOOK_AHEAD))
        return [self._shown(each) for each in found if finished or not each.stage.is_over]

    async def show(self, maintenance_id: str) -> Outcome:
        return self._shown(await self._desk.maintenance(maintenance_id))

    async def do(self, request: MaintenanceRequest) -> Outcome:
        """Take the step, or in a dry run find out what it would do."""
        before = None if request.step == "plan" else await self._desk.maintenance(request.maintenance_id)
        preview, act = self._steps(request)
        told = await preview()
        foreseen = told.notice.maintenance
        if foreseen is None:
            raise NotPossible("nothing would come of it")
        after = foreseen if request.dry_run else await act()
        return Outcome(
            after,
            self._names(after.component_ids),
            None if after == before else told.notice.event.value,
            {} if after == before else _told(told),
            self._lead_times(before, after),
            dry_run=request.dry_run,
        )

    async def series(self) -> Sequence[SeriesOutcome]:
        """Every recurring plan with what it has planned."""
        return [await self._series_shown(each) for each in await self._desk.series()]

    async def one_series(self, series_id: str) -> SeriesOutcome:
        return await self._series_shown(await self._desk.one_series(series_id))

    async def do_series(self, request: SeriesRequest) -> SeriesOutcome:
        """Take the step with a recurring plan. Only planning one can be tried dry."""
        if request.step == "plan":
            new = self._new_series(request)
            foreseen = await self._desk.preview_series(new, self._actor)
            series = Series("", new) if request.dry_run else await self._desk.plan_series(new, self._actor)
            leads = [self._lead_times(None, each) for each in foreseen.maintenance[:1]]
            return SeriesOutcome(
                series,
                self._names(new.component_ids),
                foreseen.maintenance,
                _told(foreseen.told),
                [lead for each in leads for lead in each],
                dry_run=request.dry_run,
            )
        if request.step == "end":
            return await self._series_shown(await self._desk.end_series(request.series_id, self._actor))
        changes = SeriesChanges(
            request.title,
            request.body,
            self._named(request.components),
            request.rule,
            request.time_zone,
            request.first_at,
            request.lasts,
            request.starts_by_clock,
            request.ends_by_clock,
            request.remind,
        )
        return await self._series_shown(
            await self._desk.change_series(request.series_id, changes, self._actor)
        )

    def _steps(
        self, request: MaintenanceRequest
    ) -> tuple[Callable[[], Awaitable[Preview]], Callable[[], Awaitable[Maintenance]]]:
        """What the step would tell, and the step itself."""
        desk, key, body = self._desk, request.maintenance_id, request.body or ""
        actor = self._actor
        if request.step == "plan":
            new = self._new(request)
            return lambda: desk.preview(new, actor), lambda: desk.plan(new, actor)
        if request.step == "extend":
            until = _given(request.at, "--to")
            return lambda: desk.preview_extend(key, until, actor), lambda: desk.extend(key, until, actor)
        if request.step == "start":
            return lambda: desk.preview_start(key, actor), lambda: desk.start(key, actor)
        if request.step == "finish":
            at = request.at
            return (
                lambda: desk.preview_finish(key, actor, at=at, body=body),
                lambda: desk.finish(key, actor, at=at, body=body),
            )
        if request.step == "cancel":
            return lambda: desk.preview_cancel(key, body, actor), lambda: desk.cancel(key, body, actor)
        if request.step == "post":
            return self._posting(request)
        return self._changing(request)

    def _posting(
        self, request: MaintenanceRequest
    ) -> tuple[Callable[[], Awaitable[Preview]], Callable[[], Awaitable[Maintenance]]]:
        async def stage() -> Stage:
            if request.stage is not None:
                return Stage(request.stage)
            return (await self._desk.maintenance(request.maintenance_id)).stage

        key, body = request.maintenance_id, request.body or ""

        async def preview() -> Preview:
            return await self._desk.preview_post(key, body, await stage(), self._actor)

        async def post() -> Maintenance:
            return await self._desk.post(key, body, await stage(), self._actor)

        return preview, post

    def _changing(
        self, request: MaintenanceRequest
    ) -> tuple[Callable[[], Awaitable[Preview]], Callable[[], Awaitable[Maintenance]]]:
        async def changes() -> Changes:
            before = await self._desk.maintenance(request.maintenance_id)
            window = None
            if request.start is not None or request.end is not None:
                window = _window(request.start or before.window.start, request.end or before.window.end)
            return Changes(
                request.title,
                request.body,
                window,
                self._named(request.components),
                request.starts_by_clock,
                request.ends_by_clock,
                request.remind,
            )

        async def preview() -> Preview:
            return await self._desk.preview_change(request.maintenance_id, await changes(), self._actor)

        async def change() -> Maintenance:
            return await self._desk.change_by(request.maintenance_id, await changes(), self._actor)

        return preview, change

    def _new(self, request: MaintenanceRequest) -> NewMaintenance:
        return NewMaintenance(
            request.title or PLANNED,
            request.body or "",
            self._named(request.components) or frozenset(),
            _window(_given(request.start, "--from"), _given(request.end, "--to")),
            request.starts_by_clock is not False,
            request.ends_by_clock is not False,
            request.remind or (),
        )

    def _new_series(self, request: SeriesRequest) -> NewSeries:
        return NewSeries(
            request.title or PLANNED,
            request.body or "",
            self._named(request.components) or frozenset(),
            request.rule or "",
            request.time_zone or "UTC",
            _given(request.first_at, "--from"),
            request.lasts or timedelta(),
            request.starts_by_clock is not False,
            request.ends_by_clock is not False,
            request.remind or (),
        )

    async def _series_shown(self, series: Series) -> SeriesOutcome:
        now = datetime.now(UTC)
        found = await self._desk.maintenances(Window(now, now + LOOK_AHEAD))
        planned = [each for each in found if each.series == series.id and not each.stage.is_over]
        return SeriesOutcome(series, self._names(series.plan.component_ids), planned)

    def _shown(self, maintenance: Maintenance) -> Outcome:
        leads: Sequence[LeadTime] = ()
        if not maintenance.stage.is_over and maintenance.announced_at is not None:
            leads = self._leads(maintenance, maintenance.window.start, maintenance.announced_at)
        return Outcome(maintenance, self._names(maintenance.component_ids), lead_times=leads)

    def _lead_times(self, before: Maintenance | None, after: Maintenance) -> Sequence[LeadTime]:
        """Of the time that is announced by this; nothing for a step that announces none."""
        now = datetime.now(UTC)
        if before is None:
            return self._leads(after, after.window.start, now)
        if after.stage.is_over:
            return ()
        if after.component_ids - before.component_ids:
            return self._leads(after, after.window.start, now)
        start = after.began_at or after.window.start
        if start < before.window.start:
            return self._leads(after, start, now)
        if after.window.end > before.window.end:
            return self._leads(after, max(before.window.end, after.window.start), now)
        return ()

    def _leads(self, maintenance: Maintenance, start: datetime, announced_at: datetime) -> list[LeadTime]:
        places = self._directory.places_of(maintenance.component_ids).values()
        pairs = [(place.cluster_key, place.key) for place in places]
        return lead_times(self._inventory.estate, pairs, start, announced_at)

    def _named(self, patterns: Sequence[str] | None) -> frozenset[int] | None:
        return None if patterns is None else frozenset(self._directory.named(patterns))

    def _names(self, component_ids: Collection[int]) -> list[str]:
        places = self._directory.places
        return sorted(
            f"{places[each].cluster_key}/{places[each].key}" if each in places else "removed"
            for each in component_ids
        )


def check_times(request: MaintenanceRequest) -> None:
    """Raises NotPossible for times that make no sense, whatever is stored."""
    if request.step == "plan":
        window = _window(_given(request.start, "--from"), _given(request.end, "--to"))
        if window.end <= datetime.now(UTC):
            raise NotPossible("maintenance is announced before it is over", hint="look at --to")


def _told(preview: Preview) -> Mapping[str, int]:
    return {channel.value: number for channel, number in preview.audience.by_channel.items()}


def _given(moment: datetime | None, option: str) -> datetime:
    if moment is None:
        raise NotPossible("a time is missing", hint=f"look at {option}")
    return moment.astimezone(UTC)


def _window(start: datetime, end: datetime) -> Window:
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    if start >= end:
        raise NotPossible("maintenance ends after it begins", hint="look at --from and --to")
    return Window(start, end)
