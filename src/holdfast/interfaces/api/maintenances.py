"""`/maintenances`: plan, list, run and call off work."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from holdfast.communication.errors import ChangedMeanwhile
from holdfast.communication.incident_desk import Preview
from holdfast.communication.lead_times import lead_times
from holdfast.communication.maintenance_desk import Changes, MaintenanceDesk, NewMaintenance
from holdfast.communication.model import Maintenance
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
from holdfast.interfaces.api.paging import Cursor, Limit, page_of
from holdfast.interfaces.api.problems import (
    CHANGED_MEANWHILE,
    CONFLICT,
    INVALID,
    KEY_REUSED,
    NOT_FOUND,
    PRECONDITION_FAILED,
    Problem,
    described,
)
from holdfast.interfaces.api.services import Services
from holdfast.interfaces.api.shapes.common import NoticeGiven, Recipients
from holdfast.interfaces.api.shapes.maintenance import (
    Cancel,
    Extend,
    Finish,
    MaintenancePage,
    MaintenancePreviewed,
    MaintenanceTold,
    Plan,
    Replan,
    Say,
)
from holdfast.interfaces.api.words import EARLIEST, Moment, ToldId
from holdfast.kernel.windows import MICROSECOND, Window

BACK = timedelta(days=90)
AHEAD = timedelta(days=366)
MOST_ASKED = timedelta(days=5 * 366)
_CHANGES = (NOT_FOUND, CONFLICT, CHANGED_MEANWHILE, PRECONDITION_FAILED)

router = APIRouter(prefix="/maintenances", tags=["maintenance"])


@router.get("", operation_id="listMaintenances", responses=described())
async def list_maintenances(
    services: Served,
    _: Reader,
    start: Annotated[Moment | None, Query(alias="from", description="90 days ago when left out")] = None,
    end: Annotated[Moment | None, Query(alias="to", description="in a year when left out")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> MaintenancePage:
    """What is planned, was done or was cancelled in a stretch of time, by start."""
    now = services.clock.now()
    window = _asked(start or now - BACK, end or now + AHEAD)
    found = sorted(await services.maintenance.maintenances(window), key=_place)
    page, following = page_of(found, _place, cursor, limit)
    directory = services.directory()
    return MaintenancePage(items=[MaintenanceTold.of(each, directory) for each in page], next=following)


def _asked(start: Moment, end: Moment) -> Window:
    if not start < end <= start + MOST_ASKED:
        raise Problem(INVALID, "`from` is before `to`, and at most five years")
    return Window(start, end)


def _place(maintenance: Maintenance) -> str:
    return f"{(maintenance.window.start - EARLIEST) // MICROSECOND:020d}{maintenance.id}"


@router.post(
    "", operation_id="planMaintenance", status_code=201, responses=told(CONFLICT, KEY_REUSED, status=201)
)
async def plan_maintenance(
    services: Served, actor: Planner, response: Response, new: Plan, key: IdempotencyKey = None
) -> MaintenanceTold:
    """Announce work, which tells subscribers at once. Only what is announced in time leaves counted time.

    With an `Idempotency-Key` the same request sent again answers with the same maintenance, as it is by then.
    """
    wanted = new.maintenance(services.directory())
    try:
        planned = await services.maintenance.plan(
            wanted, actor.name, maintenance_id=id_for(actor, "maintenance", key)
        )
    except ChangedMeanwhile as error:
        raise Problem(KEY_REUSED) from error
    if key is not None and not _planned_as(planned, wanted):
        raise Problem(KEY_REUSED)
    created(response, f"maintenances/{planned.id}", planned.version)
    return MaintenanceTold.of(planned, services.directory())


def _planned_as(planned: Maintenance, wanted: NewMaintenance) -> bool:
    """Whether it was planned with this title, time and components, whatever became of it since."""
    first = {each.field: each.before for each in reversed(planned.changes)}
    return (
        first.get("title", planned.title) == title_of(wanted.title)
        and first.get("starts_at", planned.window.start.isoformat()) == wanted.window.start.isoformat()
        and first.get("ends_at", planned.window.end.isoformat()) == wanted.window.end.isoformat()
        and first.get("components", _listed(planned.component_ids)) == _listed(wanted.component_ids)
    )


def _listed(component_ids: frozenset[int]) -> str:
    return ", ".join(str(each) for each in sorted(component_ids))


@router.post("/preview", operation_id="previewMaintenance", responses=described(CONFLICT))
async def preview_maintenance(services: Served, actor: Planner, new: Plan) -> MaintenancePreviewed:
    """What announcing this would tell, and how many. Stores nothing and tells nobody."""
    preview = await services.maintenance.preview(new.maintenance(services.directory()), actor.name)
    return _previewed(preview, services, announced=True)


def _previewed(preview: Preview, services: Services, *, announced: bool = False) -> MaintenancePreviewed:
    """`announced`: whether it is about when the work begins."""
    notice = preview.notice
    assert notice.maintenance is not None  # noqa: S101  it is the notice of a maintenance
    return MaintenancePreviewed(
        event=notice.event,
        recipients=Recipients.of(preview.audience, notice.audience),
        maintenance=MaintenanceTold.of(notice.maintenance, services.directory()),
        agreements=notices_given(notice.maintenance, services) if announced else [],
    )


def notices_given(maintenance: Maintenance, services: Services) -> list[NoticeGiven]:
    """For which agreements the notice of its start suffices, announced now."""
    places = services.directory().places_of(maintenance.component_ids).values()
    pairs = [(place.cluster_key, place.key) for place in places]
    found = lead_times(services.estate(), pairs, maintenance.window.start, services.clock.now())
    return [NoticeGiven.of(each) for each in found]


@router.get(
    "/{maintenance_id}", operation_id="getMaintenance", response_model=MaintenanceTold,
    responses=found(NOT_FOUND),
)  # fmt: skip
async def get_maintenance(
    request: Request, response: Response, services: Served, _: Reader, maintenance_id: ToldId
) -> Response | MaintenanceTold:
    """One maintenance, with its ETag."""
    found = await services.maintenance.maintenance(maintenance_id)
    if known_already(request, found.version):
        return not_modified(found.version)
    return _answered(found, response, services)


def _answered(maintenance: Maintenance, response: Response, services: Services) -> MaintenanceTold:
    tag(response, maintenance.version)
    return MaintenanceTold.of(maintenance, services.directory())


def _desk(services: Services, maintenance_id: str, if_match: str | None) -> MaintenanceDesk:
    version = expected_version(if_match)
    return services.maintenance if version is None else services.maintenance.as_read(maintenance_id, version)


@router.patch("/{maintenance_id}", operation_id="changeMaintenance", responses=told(*_CHANGES))
async def change_maintenance(
    services: Served,
    actor: Planner,
    response: Response,
    maintenance_id: ToldId,
    change: Replan,
    if_match: IfMatch = None,
) -> MaintenanceTold:
    """Another title, text, time or set of components, which tells subscribers."""
    desk = _desk(services, maintenance_id, if_match)
    before = await desk.maintenance(maintenance_id)
    asked = change.asked(before, services.directory())
    # A window of which one end was given is made of what was just read: nobody may move the other one
    # meanwhile.
    desk = desk if asked["window"] is None else desk.as_read(maintenance_id, before.version)
    return _answered(await desk.change(maintenance_id, **asked, actor=actor.name), response, services)


@router.post(
    "/{maintenance_id}/preview", operation_id="previewMaintenanceChange",
    responses=described(NOT_FOUND, CONFLICT),
)  # fmt: skip
async def preview_change(
    services: Served, actor: Planner, maintenance_id: ToldId, change: Replan
) -> MaintenancePreviewed:
    """What changing it like this would tell, and how many. Stores nothing and tells nobody."""
    before = await services.maintenance.maintenance(maintenance_id)
    asked = Changes(**change.asked(before, services.directory()))
    preview = await services.maintenance.preview_change(maintenance_id, asked, actor.name)
    return _previewed(preview, services, announced=True)


@router.post("/{maintenance_id}/extend", operation_id="extendMaintenance", responses=told(*_CHANGES))
async def extend_maintenance(
    services: Served,
    actor: Planner,
    response: Response,
    maintenance_id: ToldId,
    extend: Extend,
    if_match: IfMatch = None,
) -> MaintenanceTold:
    """Let it last longer, which tells subscribers. What is added counts as announced now."""
    desk = _desk(services, maintenance_id, if_match)
    return _answered(await desk.extend(maintenance_id, extend.until, actor.name), response, services)


@router.post(
    "/{maintenance_id}/extend/preview", operation_id="previewMaintenanceExtension",
    responses=described(NOT_FOUND, CONFLICT),
)  # fmt: skip
async def preview_extend(
    services: Served, actor: Planner, maintenance_id: ToldId, extend: Extend
) -> MaintenancePreviewed:
    """What extending it would tell, and how many. Stores nothing and tells nobody."""
    preview = await services.maintenance.preview_extend(maintenance_id, extend.until, actor.name)
    return _previewed(preview, services)


@router.post("/{maintenance_id}/start", operation_id="startMaintenance", responses=told(*_CHANGES))
async def start_maintenance(
    services: Served, actor: Planner, response: Response, maintenance_id: ToldId, if_match: IfMatch = None
) -> MaintenanceTold:
    """It begins now, which tells subscribers."""
    desk = _desk(services, maintenance_id, if_match)
    return _answered(await desk.start(maintenance_id, actor.name), response, services)


@router.post(
    "/{maintenance_id}/start/preview", operation_id="previewMaintenanceStart",
    responses=described(NOT_FOUND, CONFLICT),
)  # fmt: skip
async def preview_start(services: Served, actor: Planner, maintenance_id: ToldId) -> MaintenancePreviewed:
    """What starting it now would tell, and how many. Stores nothing and tells nobody."""
    return _previewed(await services.maintenance.preview_start(maintenance_id, actor.name), services)


@router.post("/{maintenance_id}/finish", operation_id="finishMaintenance", responses=told(*_CHANGES))
async def finish_maintenance(
    services: Served,
    actor: Planner,
    response: Response,
    maintenance_id: ToldId,
    finish: Finish,
    if_match: IfMatch = None,
) -> MaintenanceTold:
    """It is over, which tells subscribers. What is left of its planned time counts again."""
    desk = _desk(services, maintenance_id, if_match)
    done = await desk.finish(maintenance_id, actor.name, at=finish.at, body=finish.body)
    return _answered(done, response, services)


@router.post(
    "/{maintenance_id}/finish/preview", operation_id="previewMaintenanceEnd",
    responses=described(NOT_FOUND, CONFLICT),
)  # fmt: skip
async def preview_finish(
    services: Served, actor: Planner, maintenance_id: ToldId, finish: Finish
) -> MaintenancePreviewed:
    """What finishing it would tell, and how many. Stores nothing and tells nobody."""
    preview = await services.maintenance.preview_finish(
        maintenance_id, actor.name, at=finish.at, body=finish.body
    )
    return _previewed(preview, services)


@router.post("/{maintenance_id}/cancel", operation_id="cancelMaintenance", responses=told(*_CHANGES))
async def cancel_maintenance(
    services: Served,
    actor: Planner,
    response: Response,
    maintenance_id: ToldId,
    cancel: Cancel,
    if_match: IfMatch = None,
) -> MaintenanceTold:
    """It does not take place, which tells subscribers; under way, it ends now."""
    desk = _desk(services, maintenance_id, if_match)
    return _answered(await desk.cancel(maintenance_id, cancel.reason, actor.name), response, services)


@router.post(
    "/{maintenance_id}/cancel/preview", operation_id="previewMaintenanceCancellation",
    responses=described(NOT_FOUND, CONFLICT),
)  # fmt: skip
async def preview_cancel(
    services: Served, actor: Planner, maintenance_id: ToldId, cancel: Cancel
) -> MaintenancePreviewed:
    """What cancelling it would tell, and how many. Stores nothing and tells nobody."""
    preview = await services.maintenance.preview_cancel(maintenance_id, cancel.reason, actor.name)
    return _previewed(preview, services)


@router.post(
    "/{maintenance_id}/updates", operation_id="postMaintenanceUpdate", status_code=201,
    responses=told(*_CHANGES, status=201),
)  # fmt: skip
async def post_update(
    services: Served,
    actor: Planner,
    response: Response,
    maintenance_id: ToldId,
    say: Say,
    if_match: IfMatch = None,
) -> MaintenanceTold:
    """Say something about it, which tells subscribers; another stage moves it there."""
    desk = _desk(services, maintenance_id, if_match)
    return _answered(await desk.post(maintenance_id, say.body, say.stage, actor.name), response, services)


@router.post(
    "/{maintenance_id}/updates/preview", operation_id="previewMaintenanceUpdate",
    responses=described(NOT_FOUND, CONFLICT),
)  # fmt: skip
async def preview_update(
    services: Served, actor: Planner, maintenance_id: ToldId, say: Say
) -> MaintenancePreviewed:
    """What posting this would tell, and how many. Stores nothing and tells nobody."""
    preview = await services.maintenance.preview_post(maintenance_id, say.body, say.stage, actor.name)
    return _previewed(preview, services)
