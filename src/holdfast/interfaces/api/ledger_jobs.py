"""`/ledger/jobs`, `/ledger/trace`, `/ledger/accesses`: entries, all about them, and who read them."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from holdfast.identity.model import Actor
from holdfast.interfaces.api.callers import Auditor, LedgerReader, Served
from holdfast.interfaces.api.paging import Cursor, Limit, no_cursor, read, written
from holdfast.interfaces.api.problems import INVALID, NOT_FOUND, Problem, described
from holdfast.interfaces.api.services import Services
from holdfast.interfaces.api.shapes.ledger import AccessPage, AccessTold, JobPage, JobTold, TraceTold
from holdfast.interfaces.api.words import Moment, Text
from holdfast.interfaces.job_lists import MEDIA_TYPES, FileForm
from holdfast.interfaces.job_lists import written as file_of
from holdfast.ledger.find.access import Caller, Way
from holdfast.ledger.find.columns import chosen
from holdfast.ledger.find.finding import MOST_VALUES, Dimension, Filter, What
from holdfast.ledger.find.jobs import JobsDesk
from holdfast.ledger.find.tracing import MOST_ENTRIES, Tracer
from holdfast.ledger.model import MOST, Kind, Status

router = APIRouter(prefix="/ledger", tags=["ledger"])

Tenant = Annotated[
    str, Query(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="the tenant's key", examples=["acme"])
]
Since = Annotated[Moment | None, Query(description="jobs that occurred then or later")]
Until = Annotated[Moment | None, Query(description="jobs that occurred before")]
Value = Annotated[Text, Query(max_length=200)]
Values = Annotated[
    list[Value], Query(max_length=MOST_VALUES, description="any of these; an empty one: none was told")
]
Kinds = Annotated[list[Kind], Query(max_length=len(Kind))]
Statuses = Annotated[list[Status], Query(max_length=len(Status))]
Whats = Annotated[
    list[What], Query(max_length=len(What), description="left out: records and corrections, no conflicts")
]
Columns = Annotated[
    Text,
    Query(max_length=600, description="of CSV and XLSX, by name and with commas; `all` for all of them"),
]


def _desk(services: Services) -> JobsDesk:
    if services.jobs is None:
        raise Problem(NOT_FOUND, "this estate declares no ledger", hint="add a `ledger:` section to it")
    return services.jobs


def _tracer(services: Services) -> Tracer:
    _desk(services)
    assert services.tracer is not None  # noqa: S101  they come together
    return services.tracer


def _caller(actor: Actor) -> Caller:
    return Caller(actor.name, Way.API)


def _leaf(cursor: str | None) -> int | None:
    position = "" if cursor is None else read(cursor)
    if cursor is not None and (not position.isdigit() or len(position) > 16):
        raise no_cursor()
    return int(position) if position else None


@router.get("/jobs", operation_id="listJobs", responses=described(NOT_FOUND))
async def list_jobs(
    services: Served,
    actor: LedgerReader,
    tenant: Tenant,
    since: Since = None,
    until: Until = None,
    job: Values = [],  # noqa: B006  FastAPI copies it
    user: Values = [],  # noqa: B006
    device: Values = [],  # noqa: B006
    cost_centre: Values = [],  # noqa: B006
    source: Values = [],  # noqa: B006
    kind: Kinds = [],  # noqa: B006
    status: Statuses = [],  # noqa: B006
    what: Whats = [],  # noqa: B006
    cursor: Cursor = None,
    limit: Limit = 50,
) -> JobPage:
    """A tenant's jobs, the newest first. That you read them is written down."""
    wanted = _filter(since, until, job, user, device, cost_centre, source, kind, status, what)
    page = await _desk(services).page(_caller(actor), tenant, wanted, limit=limit, below=_leaf(cursor))
    return JobPage(
        items=[JobTold.of(each) for each in page.jobs],
        next=None if page.next is None else written(str(page.next)),
        size=page.size,
        pruned_below=page.pruned_below,
        complete=page.complete,
    )


@router.get(
    "/jobs/export",
    operation_id="exportJobs",
    response_class=StreamingResponse,
    responses={
        **described(NOT_FOUND),
        200: {
            "description": "The file",
            "content": {each.partition(";")[0]: {} for each in MEDIA_TYPES.values()},
        },
    },
)
async def export_jobs(
    services: Served,
    actor: LedgerReader,
    tenant: Tenant,
    form: Annotated[FileForm, Query(alias="format")] = FileForm.CSV,
    columns: Columns = "",
    since: Since = None,
    until: Until = None,
    job: Values = [],  # noqa: B006
    user: Values = [],  # noqa: B006
    device: Values = [],  # noqa: B006
    cost_centre: Values = [],  # noqa: B006
    source: Values = [],  # noqa: B006
    kind: Kinds = [],  # noqa: B006
    status: Statuses = [],  # noqa: B006
    what: Whats = [],  # noqa: B006
) -> StreamingResponse:
    """All of a tenant's jobs that match, the newest first, in one file. That you take them is written down.

    A file that breaks off in the middle was not answered whole: the connection ends without its end mark.
    """
    wanted = _filter(since, until, job, user, device, cost_centre, source, kind, status, what)
    picked = chosen(columns.split(","))
    # What can be refused is refused now, and not in the middle of a file.
    portions = await _desk(services).export(_caller(actor), tenant, wanted)
    return StreamingResponse(
        file_of(form, picked, portions),
        media_type=MEDIA_TYPES[form],
        headers={"content-disposition": f'attachment; filename="jobs-{tenant}.{form}"'},
    )


@router.get("/trace", operation_id="traceJobs", responses=described(NOT_FOUND))
async def trace_jobs(
    services: Served,
    actor: LedgerReader,
    tenant: Tenant,
    leaf: Annotated[int | None, Query(ge=0, le=MOST, description="one entry")] = None,
    job: Values = [],  # noqa: B006
    user: Values = [],  # noqa: B006
    device: Values = [],  # noqa: B006
    proofs: Annotated[bool, Query(description="false: nothing is proved, which is quicker")] = True,
    limit: Annotated[int, Query(ge=1, le=MOST_ENTRIES)] = 100,
) -> TraceTold:
    """Everything about a job, a user, a device, or the entry at a leaf: corrections, conflicts, proofs, and
    who read it. That you did is written down, too.
    """
    named = {Dimension.JOB: job, Dimension.USER: user, Dimension.DEVICE: device}
    if (leaf is None) != any(named.values()):
        raise Problem(INVALID, "name either a leaf, or a job, user or device")
    wanted = Filter.of(wanted=named) if leaf is None else leaf
    trace = await _tracer(services).trace(_caller(actor), tenant, wanted, most=limit, proofs=proofs)
    return TraceTold.of(trace)


@router.get("/accesses", operation_id="listLedgerAccesses", responses=described(NOT_FOUND))
async def list_accesses(
    services: Served, _: Auditor, tenant: Tenant, cursor: Cursor = None, limit: Limit = 50
) -> AccessPage:
    """Who read or exported this tenant's entries, newest first."""
    found = await _desk(services).accesses(tenant, before=_leaf(cursor), limit=limit + 1)
    page = found[:limit]
    following = written(str(page[-1].id)) if len(found) > limit else None
    return AccessPage(items=[AccessTold.of(each) for each in page], next=following)


def _filter(since: Any, until: Any, *values: Sequence[str]) -> Filter:
    """Raises Unsuitable. The values stand in the order of the dimensions' names in a request."""
    names = (
        Dimension.JOB,
        Dimension.USER,
        Dimension.DEVICE,
        Dimension.COST_CENTRE,
        Dimension.SOURCE,
        Dimension.KIND,
        Dimension.STATUS,
        Dimension.WHAT,
    )
    return Filter.of(since, until, dict(zip(names, values, strict=True)))
