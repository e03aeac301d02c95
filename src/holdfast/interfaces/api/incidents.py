"""`/incidents`: declare, list, tell more, correct."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from holdfast.communication.errors import ChangedMeanwhile
from holdfast.communication.incident_desk import IncidentDesk, NewIncident, Preview
from holdfast.communication.model import Incident
from holdfast.communication.texts import body_of, title_of
from holdfast.interfaces.api.callers import Announcer, Reader, Served
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
from holdfast.interfaces.api.paging import Cursor, Limit, no_cursor, read, written
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
from holdfast.interfaces.api.shapes.incidents import (
    Change,
    Declare,
    Edit,
    IncidentPage,
    IncidentPreviewed,
    IncidentTold,
    Merge,
    Post,
)
from holdfast.interfaces.api.words import Moment, ToldId, moment_of

BATCH = 100
MOST_BATCHES = 10
"""A search for few among many ends after a thousand looked at, and goes on with the next page."""
State = Literal["open", "draft", "over", "all"]
_CHANGES = (NOT_FOUND, CONFLICT, CHANGED_MEANWHILE, PRECONDITION_FAILED)

router = APIRouter(prefix="/incidents", tags=["incidents"])


@router.get("", operation_id="listIncidents", responses=described())
async def list_incidents(
    services: Served,
    _: Reader,
    state: Annotated[State, Query(description="which of them; merged ones are in `all` only")] = "all",
    since: Annotated[
        Moment | None, Query(description="the open ones, and those that ended after this")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> IncidentPage:
    """Incidents, newest beginning first. Drafts and merged ones included.

    A page may hold fewer than asked for, or none, while more follow: `next` says so.
    """
    last = None if cursor is None else _read(cursor)
    page: list[Incident] = []
    more = True
    for _batch in range(MOST_BATCHES):
        batch = await services.incidents.incidents(since=since, limit=BATCH, after=last)
        for place, each in enumerate(batch, 1):
            last = each.began_at, each.id
            if _is(each, state):
                page.append(each)
            if len(page) == limit:
                more = place < len(batch) or len(batch) == BATCH
                break
        else:
            more = len(batch) == BATCH
        if len(page) == limit or not more:
            break
    directory = services.directory()
    items = [IncidentTold.of(each, directory) for each in page]
    return IncidentPage(items=items, next=_written(last) if more and last else None)


def _written(last: tuple[datetime, str]) -> str:
    return written(f"{last[0].astimezone(UTC).isoformat()} {last[1]}")


def _read(cursor: str) -> tuple[datetime, str]:
    text, _, incident_id = read(cursor).partition(" ")
    try:
        began_at = moment_of(text)
    except ValueError as error:
        raise no_cursor() from error
    if not incident_id.isalnum():
        raise no_cursor()
    return began_at, incident_id


def _is(incident: Incident, state: State) -> bool:
    match state:
        case "open":
            return incident.is_open and not incident.draft
        case "draft":
            return incident.draft and incident.merged_into is None
        case "over":
            return incident.phase.is_over and incident.merged_into is None
    return True


@router.post(
    "", operation_id="declareIncident", status_code=201, responses=told(CONFLICT, KEY_REUSED, status=201)
)
async def declare_incident(
    services: Served, actor: Announcer, response: Response, new: Declare, key: IdempotencyKey = None
) -> IncidentTold:
    """Declare an incident: a draft, or public, which tells subscribers at once.

    With an `Idempotency-Key` the same request sent again answers with the same incident, as it is by then.
    """
    wanted = new.incident(services.directory())
    try:
        incident = await services.incidents.declare(
            wanted, actor.name, incident_id=id_for(actor, "incident", key)
        )
    except ChangedMeanwhile as error:
        raise _reused() from error
    if key is not None and not _declared_as(incident, wanted):
        raise _reused()
    created(response, f"incidents/{incident.id}", incident.version)
    return IncidentTold.of(incident, services.directory())


def _reused() -> Problem:
    return Problem(KEY_REUSED)


def _declared_as(incident: Incident, wanted: NewIncident) -> bool:
    """Whether it was declared with these words, whatever became of it since."""
    titles = [each.before for each in incident.changes if each.field == "title"]
    impacts = [each.before for each in incident.changes if each.field == "impact"]
    first = incident.updates[0]
    body = first.revisions[0].body if first.revisions else first.body
    return (
        [*titles, incident.title][0] == title_of(wanted.title)
        and [*impacts, incident.impact.value][0] == wanted.impact.value
        and body == body_of(wanted.body)
        and dict(first.affected) == dict(wanted.affected)
    )


@router.post("/preview", operation_id="previewIncident", responses=described(CONFLICT))
async def preview_incident(services: Served, actor: Announcer, new: Declare) -> IncidentPreviewed:
    """What declaring this would tell, and how many. Stores nothing and tells nobody."""
    asked = new.incident(services.directory())
    return _previewed(await services.incidents.preview(asked, actor.name), services)


def _previewed(preview: Preview, services: Services) -> IncidentPreviewed:
    notice = preview.notice
    assert notice.incident is not None  # noqa: S101  it is the notice of an incident
    return IncidentPreviewed(
        event=notice.event,
        recipients=Recipients.of(preview.audience, notice.audience),
        incident=IncidentTold.of(notice.incident, services.directory()),
    )


@router.get(
    "/{incident_id}", operation_id="getIncident", response_model=IncidentTold, responses=found(NOT_FOUND)
)
async def get_incident(
    request: Request, response: Response, services: Served, _: Reader, incident_id: ToldId
) -> Response | IncidentTold:
    """One incident, with its ETag."""
    incident = await services.incidents.incident(incident_id)
    if known_already(request, incident.version):
        return not_modified(incident.version)
    return _answered(incident, response, services)


def _answered(incident: Incident, response: Response, services: Services) -> IncidentTold:
    tag(response, incident.version)
    return IncidentTold.of(incident, services.directory())


def _desk(services: Services, incident_id: str, if_match: str | None) -> IncidentDesk:
    version = expected_version(if_match)
    return services.incidents if version is None else services.incidents.as_read(incident_id, version)


@router.patch("/{incident_id}", operation_id="changeIncident", responses=told(*_CHANGES))
async def change_incident(
    services: Served,
    actor: Announcer,
    response: Response,
    incident_id: ToldId,
    change: Change,
    if_match: IfMatch = None,
) -> IncidentTold:
    """Another title, impact or beginning. What it was stays readable; nobody is told."""
    change.must_say_something()
    incident = await _desk(services, incident_id, if_match).change(
        incident_id, title=change.title, impact=change.impact, began_at=change.began_at, actor=actor.name
    )
    return _answered(incident, response, services)


@router.post("/{incident_id}/publish", operation_id="publishIncident", responses=told(*_CHANGES))
async def publish_incident(
    services: Served, actor: Announcer, response: Response, incident_id: ToldId, if_match: IfMatch = None
) -> IncidentTold:
    """Make a draft public, and tell subscribers. One that is public stays as it is."""
    incident = await _desk(services, incident_id, if_match).publish(incident_id, actor.name)
    return _answered(incident, response, services)


@router.post(
    "/{incident_id}/publish/preview", operation_id="previewIncidentPublication",
    responses=described(NOT_FOUND, CONFLICT),
)  # fmt: skip
async def preview_publication(services: Served, _: Announcer, incident_id: ToldId) -> IncidentPreviewed:
    """What publishing this draft would tell, and how many. Stores nothing and tells nobody."""
    return _previewed(await services.incidents.preview_publication(incident_id), services)


@router.post("/{incident_id}/merge", operation_id="mergeIncident", responses=told(*_CHANGES))
async def merge_incident(
    services: Served,
    actor: Announcer,
    response: Response,
    incident_id: ToldId,
    merge: Merge,
    if_match: IfMatch = None,
) -> IncidentTold:
    """Let it live on in another incident, which is answered. The ETag is that of the one that ends."""
    incident = await _desk(services, incident_id, if_match).merge(incident_id, merge.into, actor.name)
    return _answered(incident, response, services)


@router.post(
    "/{incident_id}/merge/preview", operation_id="previewIncidentMerge",
    responses=described(NOT_FOUND, CONFLICT),
)  # fmt: skip
async def preview_merge(
    services: Served, actor: Announcer, incident_id: ToldId, merge: Merge
) -> IncidentPreviewed:
    """What merging would tell, and how many. Stores nothing and tells nobody."""
    return _previewed(await services.incidents.preview_merge(incident_id, merge.into, actor.name), services)


@router.post(
    "/{incident_id}/updates", operation_id="postIncidentUpdate", status_code=201,
    responses=told(*_CHANGES, status=201),
)  # fmt: skip
async def post_update(
    services: Served,
    actor: Announcer,
    response: Response,
    incident_id: ToldId,
    post: Post,
    if_match: IfMatch = None,
) -> IncidentTold:
    """Say something more, and tell subscribers. The very same said again within two minutes is said once."""
    update = post.update(services.directory())
    incident = await _desk(services, incident_id, if_match).post(incident_id, update, actor.name)
    return _answered(incident, response, services)


@router.post(
    "/{incident_id}/updates/preview", operation_id="previewIncidentUpdate",
    responses=described(NOT_FOUND, CONFLICT),
)  # fmt: skip
async def preview_update(
    services: Served, actor: Announcer, incident_id: ToldId, post: Post
) -> IncidentPreviewed:
    """What posting this would tell, and how many. Stores nothing and tells nobody."""
    update = post.update(services.directory())
    return _previewed(await services.incidents.preview((incident_id, update), actor.name), services)


@router.patch(
    "/{incident_id}/updates/{update_id}", operation_id="editIncidentUpdate", responses=told(*_CHANGES)
)
async def edit_update(
    services: Served,
    actor: Announcer,
    response: Response,
    incident_id: ToldId,
    update_id: ToldId,
    edit: Edit,
    if_match: IfMatch = None,
) -> IncidentTold:
    """Let an update say something else. What it said stays readable; nobody is told."""
    incident = await _desk(services, incident_id, if_match).edit(
        incident_id, update_id, body=edit.body, shown_at=edit.shown_at, actor=actor.name
    )
    return _answered(incident, response, services)
