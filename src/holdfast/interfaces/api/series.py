"""`/maintenance-series`: work that happens again and again."""

from fastapi import APIRouter, Request, Response

from holdfast.communication.errors import ChangedMeanwhile
from holdfast.communication.maintenance_desk import MaintenanceDesk, Series
from holdfast.communication.texts import title_of
from holdfast.interfaces.api.callers import Planner, Reader, Served
from holdfast.interfaces.api.exchange import (
    IdempotencyKey,
    IfMatch,
    created,
    expected_version,
    found,
    id_for,
    known_already,
    not_modified,
    tag,
    told,
)
from holdfast.interfaces.api.maintenances import notices_given
from holdfast.interfaces.api.paging import Cursor, Limit, page_of
from holdfast.interfaces.api.problems import (
    CHANGED_MEANWHILE,
    CONFLICT,
    KEY_REUSED,
    NOT_FOUND,
    PRECONDITION_FAILED,
    Problem,
    described,
)
from holdfast.interfaces.api.services import Services
from holdfast.interfaces.api.shapes.common import Recipients
from holdfast.interfaces.api.shapes.maintenance import (
    MaintenanceTold,
    PlanSeries,
    ReplanSeries,
    SeriesPage,
    SeriesPreviewed,
    SeriesTold,
)
from holdfast.interfaces.api.words import EARLIEST, ToldId
from holdfast.kernel.windows import MICROSECOND

_CHANGES = (NOT_FOUND, CONFLICT, CHANGED_MEANWHILE, PRECONDITION_FAILED)

router = APIRouter(prefix="/maintenance-series", tags=["maintenance series"])


@router.get("", operation_id="listMaintenanceSeries", responses=described())
async def list_series(services: Served, _: Reader, cursor: Cursor = None, limit: Limit = 50) -> SeriesPage:
    """Every recurring plan, those that ended too, oldest first."""
    found = sorted(await services.maintenance.series(), key=_place)
    page, following = page_of(found, _place, cursor, limit)
    directory = services.directory()
    return SeriesPage(items=[SeriesTold.of(each, directory) for each in page], next=following)


def _place(series: Series) -> str:
    return f"{((series.created_at or EARLIEST) - EARLIEST) // MICROSECOND:020d}{series.id}"


@router.post(
    "",
    operation_id="planMaintenanceSeries",
    status_code=201,
    responses=told(CONFLICT, KEY_REUSED, status=201),
)
async def plan_series(
    services: Served, actor: Planner, response: Response, new: PlanSeries, key: IdempotencyKey = None
) -> SeriesTold:
    """Plan it again and again. What falls into the time ahead is announced at once, in one message.

    With an `Idempotency-Key` the same request sent again answers with the same series, as it is by then.
    """
    wanted = new.plan(services.directory())
    try:
        series = await services.maintenance.plan_series(
            wanted, actor.name, series_id=id_for(actor, "series", key)
        )
    except ChangedMeanwhile as error:
        raise Problem(KEY_REUSED) from error
    if key is not None and series.version == 1 and series.plan.title != title_of(wanted.title):
        raise Problem(KEY_REUSED)
    created(response, f"maintenance-series/{series.id}", series.version)
    return SeriesTold.of(series, services.directory())


@router.post("/preview", operation_id="previewMaintenanceSeries", responses=described(CONFLICT))
async def preview_series(services: Served, actor: Planner, new: PlanSeries) -> SeriesPreviewed:
    """What it would plan first, and whom that would be told. Stores nothing and tells nobody."""
    directory = services.directory()
    preview = await services.maintenance.preview_series(new.plan(directory), actor.name)
    notice = preview.told.notice
    return SeriesPreviewed(
        event=notice.event,
        recipients=Recipients.of(preview.told.audience, notice.audience),
        maintenance=[MaintenanceTold.of(each, directory) for each in preview.maintenance],
        agreements=[each for first in preview.maintenance[:1] for each in notices_given(first, services)],
    )


@router.get(
    "/{series_id}", operation_id="getMaintenanceSeries", response_model=SeriesTold, responses=found(NOT_FOUND)
)
async def get_series(
    request: Request, response: Response, services: Served, _: Reader, series_id: ToldId
) -> Response | SeriesTold:
    """One recurring plan, with its ETag."""
    series = await services.maintenance.one_series(series_id)
    if known_already(request, series.version):
        return not_modified(series.version)
    return _answered(series, response, services)


def _answered(series: Series, response: Response, services: Services) -> SeriesTold:
    tag(response, series.version)
    return SeriesTold.of(series, services.directory())


def _desk(services: Services, series_id: str, if_match: str | None) -> MaintenanceDesk:
    version = expected_version(if_match)
    return services.maintenance if version is None else services.maintenance.as_read(series_id, version)


@router.patch("/{series_id}", operation_id="changeMaintenanceSeries", responses=told(*_CHANGES))
async def change_series(
    services: Served,
    actor: Planner,
    response: Response,
    series_id: ToldId,
    change: ReplanSeries,
    if_match: IfMatch = None,
) -> SeriesTold:
    """Change it, and all that it planned that has not begun."""
    asked = change.asked(services.directory())
    series = await _desk(services, series_id, if_match).change_series(series_id, asked, actor.name)
    return _answered(series, response, services)


@router.post("/{series_id}/end", operation_id="endMaintenanceSeries", responses=told(*_CHANGES))
async def end_series(
    services: Served, actor: Planner, response: Response, series_id: ToldId, if_match: IfMatch = None
) -> SeriesTold:
    """Plan nothing more by it, and cancel what it planned that has not begun."""
    series = await _desk(services, series_id, if_match).end_series(series_id, actor.name)
    return _answered(series, response, services)
