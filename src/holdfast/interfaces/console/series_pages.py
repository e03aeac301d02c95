"""Recurring work in the console: what it has planned, and how it goes on."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response

from holdfast.communication.directory import Directory
from holdfast.communication.errors import ChangedMeanwhile, NotPossible
from holdfast.communication.maintenance_desk import (
    MaintenanceDesk,
    NewSeries,
    Preview,
    Series,
    SeriesChanges,
)
from holdfast.communication.markdown import html_of
from holdfast.estate.model import zone
from holdfast.identity.model import Right
from holdfast.interfaces.console.incident_forms import trouble_of
from holdfast.interfaces.console.incident_pages import by_cluster
from holdfast.interfaces.console.maintenance_forms import REMINDERS, RHYTHMS, MaintenanceForm
from holdfast.interfaces.console.shell import ConsolePage, actor_of, form, page, redirect, shell_of
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.windows import Window

AHEAD = timedelta(days=366)


class SeriesPages:
    """The pages of recurring plans over a `MaintenanceDesk`."""

    def __init__(self, desk: MaintenanceDesk, directory: Callable[[], Directory]) -> None:
        self._desk = desk
        self._directory = directory

    def pages(self) -> Sequence[ConsolePage]:
        write = Right.MAINTENANCE
        one = "/maintenance/series/{series_id}"
        return [
            ConsolePage(one, self.shown, Right.READ),
            ConsolePage(f"{one}/change", self.change, write, methods=("GET", "POST")),
            ConsolePage(f"{one}/end", self.end, write, methods=("POST",)),
        ]

    async def shown(self, request: Request) -> Response:
        series = await self._series(request)
        now = shell_of(request).clock.now()
        found = await self._desk.maintenances(Window(now, now + AHEAD))
        places = self._directory().places_of(series.plan.component_ids).values()
        return page(
            request,
            "series.html",
            title=series.plan.title,
            series=series,
            rhythms=RHYTHMS,
            names=[place.full_name for place in places],
            planned=[each for each in found if each.series == series.id and not each.stage.is_over],
            html_of=html_of,
        )

    async def change(self, request: Request) -> Response:
        """All that it planned that has not begun follows, and subscribers are told in one message."""
        series = await self._series(request)
        if request.method == "GET":
            return self._changing(request, series, MaintenanceForm.of_series(series, _zone(request)))
        fields = form(request)
        sent = MaintenanceForm.sent(fields)
        seen = fields.get("seen", "")
        version = int(seen) if seen.isdecimal() and len(seen) < 10 else 0
        try:
            changes = sent.series_changes(series, _zone(request))
            if fields.get("do") == "preview":
                told = await self._desk.preview_series(_changed(series.plan, changes), actor_of(request).name)
                return self._changing(request, series, sent, preview=told.told)
            desk = self._desk.as_read(series.id, version)
            await desk.change_series(series.id, changes, actor_of(request).name)
        except ChangedMeanwhile:
            trouble = NotPossible(
                "somebody changed this plan while you were writing",
                hint="look at it in another window; your text is still here, to be sent again if it holds",
            )
            return self._changing(request, await self._series(request), sent, trouble=trouble)
        except HoldfastError as error:
            return self._changing(request, series, sent, trouble=error)
        return redirect(request, f"/maintenance/series/{series.id}", told="Changed.")

    async def end(self, request: Request) -> Response:
        """Nothing more is planned by it, and what has not begun is cancelled."""
        ended = await self._desk.end_series(request.path_params["series_id"], actor_of(request).name)
        return redirect(request, "/maintenance", told=f"“{ended.plan.title}” is not planned again.")

    async def _series(self, request: Request) -> Series:
        return await self._desk.one_series(request.path_params["series_id"])

    def _changing(
        self,
        request: Request,
        series: Series,
        begun: MaintenanceForm,
        *,
        preview: Preview | None = None,
        trouble: HoldfastError | None = None,
    ) -> Response:
        return page(
            request,
            "maintenance_new.html",
            status=200 if trouble is None else 422,
            title=f"Change: {series.plan.title}",
            form=begun,
            before=None,
            series=series,
            lead_times=(),
            clusters=by_cluster(self._directory()),
            reminders=REMINDERS,
            rhythms={
                rule: name if rule else "by its own rule below"
                for rule, name in RHYTHMS.items()
                if rule or not begun.rhythm
            },
            preview=preview,
            html_of=html_of,
            trouble=trouble and trouble_of(trouble),
        )


def _changed(plan: NewSeries, changes: SeriesChanges) -> NewSeries:
    given = {name: getattr(changes, name) for name in SeriesChanges.__slots__}
    return replace(plan, **{name: value for name, value in given.items() if value is not None})


def _zone(request: Request) -> ZoneInfo:
    return zone(shell_of(request).site().time_zone)
