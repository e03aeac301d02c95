"""Planned work in the console: whom it tells, and whether it leaves the counted time of agreements."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response

from holdfast.communication.directory import Directory
from holdfast.communication.errors import NotPossible
from holdfast.communication.incident_desk import fresh_id
from holdfast.communication.lead_times import LeadTime
from holdfast.communication.maintenance_desk import MaintenanceDesk, Preview
from holdfast.communication.markdown import html_of
from holdfast.communication.model import Maintenance, Stage
from holdfast.estate.model import zone
from holdfast.identity.model import Right
from holdfast.interfaces.console.bodies import Form
from holdfast.interfaces.console.incident_forms import trouble_of
from holdfast.interfaces.console.incident_pages import by_cluster
from holdfast.interfaces.console.maintenance_forms import REMINDERS, RHYTHMS, MaintenanceForm
from holdfast.interfaces.console.moments import local_text, moment_of
from holdfast.interfaces.console.series_pages import SeriesPages
from holdfast.interfaces.console.shell import ConsolePage, actor_of, form, page, redirect, shell_of
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.windows import Window

BACK, AHEAD = timedelta(days=90), timedelta(days=366)
EXTENSIONS = {"30m": timedelta(minutes=30), "1h": timedelta(hours=1), "2h": timedelta(hours=2)}

LeadTimes = Callable[[Collection[int], datetime], Sequence[LeadTime]]
"""For which agreements the notice suffices, of these components and from this start on, announced now."""


class MaintenancePages:
    """The pages over a `MaintenanceDesk`."""

    def __init__(
        self, desk: MaintenanceDesk, directory: Callable[[], Directory], lead_times: LeadTimes
    ) -> None:
        self._desk = desk
        self._directory = directory
        self._lead_times = lead_times

    def pages(self) -> Sequence[ConsolePage]:
        write = Right.MAINTENANCE
        one = "/maintenance/{maintenance_id}"
        return [
            ConsolePage(
                "/maintenance",
                self.listed,
                Right.READ,
                title="Maintenance",
                about="Announce planned work in time.",
            ),
            ConsolePage("/maintenance/new", self.plan, write, methods=("GET", "POST")),
            ConsolePage(one, self.shown, Right.READ),
            ConsolePage(f"{one}/change", self.change, write, methods=("GET", "POST")),
            ConsolePage(f"{one}/step", self.step, write, methods=("POST",)),
            *SeriesPages(self._desk, self._directory).pages(),
        ]

    async def listed(self, request: Request) -> Response:
        now = shell_of(request).clock.now()
        found = await self._desk.maintenances(Window(now - BACK, now + AHEAD))
        return page(
            request,
            "maintenances.html",
            title="Maintenance",
            under_way=[each for each in found if each.is_under_way],
            planned=[each for each in found if each.stage is Stage.SCHEDULED],
            over=[each for each in reversed(found) if each.stage.is_over],
            series=[each for each in await self._desk.series() if not each.is_over],
            rhythms=RHYTHMS,
            names=self._names,
        )

    async def shown(self, request: Request) -> Response:
        return await self._page(request, await self._maintenance(request))

    async def plan(self, request: Request) -> Response:
        """Once, or again and again."""
        if request.method == "GET":
            begun = MaintenanceForm.begun(fresh_id(), shell_of(request).clock.now(), _zone(request))
            return self._planning(request, begun)
        fields = form(request)
        sent = MaintenanceForm.sent(fields)
        try:
            if fields.get("do") == "preview":
                return self._planning(request, sent, preview=await self._previewed(request, sent))
            actor = actor_of(request).name
            if sent.repeats:
                made_of = await self._desk.plan_series(sent.series(_zone(request)), actor, series_id=sent.key)
                return redirect(
                    request, f"/maintenance/series/{made_of.id}", told="Planned, again and again."
                )
            new = sent.new(_zone(request))
            made = await self._desk.plan(new, actor, maintenance_id=sent.key)
        except HoldfastError as error:
            return self._planning(request, sent, trouble=error)
        return redirect(request, f"/maintenance/{made.id}", told="It is announced.")

    async def change(self, request: Request) -> Response:
        maintenance = await self._maintenance(request)
        if request.method == "GET":
            return self._planning(
                request, MaintenanceForm.of(maintenance, _zone(request)), before=maintenance
            )
        fields = form(request)
        sent = MaintenanceForm.sent(fields)
        try:
            changes = sent.changes(maintenance, _zone(request))
            if fields.get("do") == "preview":
                preview = await self._desk.preview_change(maintenance.id, changes, actor_of(request).name)
                return self._planning(request, sent, before=maintenance, preview=preview)
            await self._desk.change(
                maintenance.id,
                title=changes.title,
                body=changes.body,
                window=changes.window,
                component_ids=changes.component_ids,
                starts_by_clock=changes.starts_by_clock,
                ends_by_clock=changes.ends_by_clock,
                remind=changes.remind,
                actor=actor_of(request).name,
            )
        except HoldfastError as error:
            return self._planning(request, sent, before=maintenance, trouble=error)
        return redirect(request, f"/maintenance/{maintenance.id}", told="Changed.")

    async def step(self, request: Request) -> Response:
        """One button of the page of a maintenance: start, finish, extend, cancel, say something."""
        maintenance = await self._maintenance(request)
        fields = form(request)
        try:
            said = await self._done(request, maintenance, fields)
        except HoldfastError as error:
            return await self._page(request, maintenance, fields, error)
        return redirect(request, f"/maintenance/{maintenance.id}", told=said)

    async def _done(self, request: Request, maintenance: Maintenance, fields: Form) -> str:
        actor, body = actor_of(request).name, fields.get("body", "").strip()
        match fields.get("do", ""):
            case "start":
                await self._desk.start(maintenance.id, actor)
                return "It has begun."
            case "finish":
                await self._desk.finish(maintenance.id, actor, body=body)
                return "It is over."
            case "extend":
                await self._desk.extend(maintenance.id, _until(request, maintenance, fields), actor)
                return "It lasts longer. What was added counts as announced now."
            case "cancel":
                await self._desk.cancel(maintenance.id, body, actor)
                return "It is cancelled."
            case "verify":
                await self._desk.post(maintenance.id, body, Stage.VERIFYING, actor)
                return "Said."
            case "say":
                await self._desk.post(maintenance.id, body, maintenance.stage, actor)
                return "Said."
            case _:
                raise NotPossible("no button of this page was pressed")

    async def _previewed(self, request: Request, sent: MaintenanceForm) -> Preview:
        actor = actor_of(request).name
        if sent.repeats:
            return (await self._desk.preview_series(sent.series(_zone(request)), actor)).told
        return await self._desk.preview(sent.new(_zone(request)), actor)

    async def _maintenance(self, request: Request) -> Maintenance:
        return await self._desk.maintenance(request.path_params["maintenance_id"])

    def _names(self, component_ids: Collection[int]) -> list[str]:
        return [place.full_name for place in self._directory().places_of(component_ids).values()]

    def _planning(
        self,
        request: Request,
        begun: MaintenanceForm,
        *,
        before: Maintenance | None = None,
        preview: Preview | None = None,
        trouble: HoldfastError | None = None,
    ) -> Response:
        planned = preview.notice.maintenance if preview is not None else None
        leads = self._lead_times(planned.component_ids, planned.window.start) if planned is not None else ()
        return page(
            request,
            "maintenance_new.html",
            status=200 if trouble is None else 422,
            title="Plan maintenance" if before is None else f"Change: {before.title}",
            form=begun,
            before=before,
            series=None,
            clusters=by_cluster(self._directory()),
            reminders=REMINDERS,
            rhythms=RHYTHMS,
            zone_name=_zone(request).key,
            preview=preview,
            lead_times=leads,
            html_of=html_of,
            trouble=trouble and trouble_of(trouble),
        )

    async def _page(
        self,
        request: Request,
        maintenance: Maintenance,
        fields: Form | None = None,
        trouble: HoldfastError | None = None,
    ) -> Response:
        # Every button tells the same people.
        told = None
        if not maintenance.stage.is_over:
            told = await self._desk.preview_cancel(maintenance.id, "", actor_of(request).name)
        return page(
            request,
            "maintenance.html",
            status=200 if trouble is None else 422,
            title=maintenance.title,
            maintenance=maintenance,
            preview=told,
            names=self._names(maintenance.component_ids),
            extensions=EXTENSIONS,
            body="" if fields is None else fields.get("body", ""),
            until=local_text(maintenance.window.end, _zone(request)),
            zone_name=_zone(request).key,
            html_of=html_of,
            trouble=trouble and trouble_of(trouble),
        )


def _until(request: Request, maintenance: Maintenance, fields: Form) -> datetime:
    """A button's further time, or the time that was written in."""
    further = EXTENSIONS.get(fields.get("by", ""))
    if further is not None:
        return max(maintenance.window.end, shell_of(request).clock.now()) + further
    until = moment_of(fields.get("until", ""), _zone(request), "its end")
    if until is None:
        raise NotPossible("it needs an end", hint="press one of the buttons, or write a time")
    return until


def _zone(request: Request) -> ZoneInfo:
    return zone(shell_of(request).site().time_zone)
