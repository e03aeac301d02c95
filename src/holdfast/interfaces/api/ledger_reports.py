"""`/ledger/report`: what was printed, scanned, copied and faxed, by whom and when."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from holdfast.interfaces.api.callers import LedgerReader, Served
from holdfast.interfaces.api.problems import INVALID, NOT_FOUND, Problem, described
from holdfast.interfaces.api.services import Services
from holdfast.interfaces.api.shapes.ledger_reports import ReportTold
from holdfast.interfaces.api.words import Text
from holdfast.interfaces.report_sheets import MEDIA_TYPES, FileForm, name_of, written
from holdfast.ledger.model import Kind
from holdfast.ledger.reports.reporting import Asked, By, Order, Per, Report, Reports

router = APIRouter(prefix="/ledger", tags=["ledger"])

MOST_DAYS = 366 * 11
MOST_ROWS = 100_000
"""Of a report by times of members: that many are a file's business, of one time after the other."""

Day = Annotated[date, Query(description="a day of the tenant's time zone", examples=["2026-11-01"])]
Tenant = Annotated[
    str | None,
    Query(
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="the tenant's key; left out: all", examples=["acme"]
    ),
]
One = Annotated[
    Text | None, Query(max_length=200, description="only this one's; empty: of jobs that tell none")
]


@router.get("/report", operation_id="reportJobs", responses=described(NOT_FOUND))
async def report_jobs(
    services: Served,
    _: LedgerReader,
    since: Day,
    until: Annotated[date, Query(description="the first day after the report's", examples=["2026-12-01"])],
    tenant: Tenant = None,
    by: Annotated[By | None, Query(description="what rows are about; left out: one for each time")] = None,
    per: Annotated[Per | None, Query(description="left out: the whole stretch at once")] = None,
    kind: Kind | None = None,
    device: One = None,
    user: One = None,
    cost_centre: One = None,
    top: Annotated[int | None, Query(ge=1, le=10_000, description="only the greatest members")] = None,
    order: Annotated[Order, Query(description="by which quantity they are the greatest")] = Order.JOBS,
) -> ReportTold:
    """Sums of jobs. They are those of all entries that were taken in, corrections taken into account, but for
    the newest: `logs` tells how far each log is summed up.
    """
    asked = _asked(since, until, tenant, by, per, kind, device, user, cost_centre, top, order)
    return ReportTold.of(await _read(services, asked))


@router.get(
    "/report/export",
    operation_id="exportReport",
    response_class=StreamingResponse,
    responses={
        **described(NOT_FOUND),
        200: {
            "description": "The file",
            "content": {each.partition(";")[0]: {} for each in MEDIA_TYPES.values()},
        },
    },
)
async def export_report(
    services: Served,
    _: LedgerReader,
    since: Day,
    until: Annotated[date, Query(description="the first day after the report's", examples=["2026-12-01"])],
    form: Annotated[FileForm, Query(alias="format")] = FileForm.CSV,
    tenant: Tenant = None,
    by: Annotated[By | None, Query(description="what rows are about; left out: one for each time")] = None,
    per: Annotated[Per | None, Query(description="left out: the whole stretch at once")] = None,
    kind: Kind | None = None,
    device: One = None,
    user: One = None,
    cost_centre: One = None,
    top: Annotated[int | None, Query(ge=1, le=10_000, description="only the greatest members")] = None,
    order: Annotated[Order, Query(description="by which quantity they are the greatest")] = Order.JOBS,
) -> StreamingResponse:
    """The same as a file. Amounts are in units of their currency there, a column for each."""
    asked = _asked(since, until, tenant, by, per, kind, device, user, cost_centre, top, order)
    report = await _read(services, asked)
    return StreamingResponse(
        written(form, report),
        media_type=MEDIA_TYPES[form],
        headers={"content-disposition": f'attachment; filename="{name_of(report)}.{form}"'},
    )


async def _read(services: Services, asked: Asked) -> Report:
    reports: Reports | None = services.reports
    if reports is None or services.estate().ledger is None:
        raise Problem(NOT_FOUND, "this estate declares no ledger", hint="add a `ledger:` section to it")
    found = await reports.report(asked)
    if len(found.rows) > MOST_ROWS:
        raise Problem(
            INVALID,
            f"{len(found.rows):,} rows are more than the {MOST_ROWS:,} of one report",
            hint="ask for the greatest members (top), or for a shorter stretch",
        )
    return found


def _asked(
    since: date,
    until: date,
    tenant: str | None,
    by: By | None,
    per: Per | None,
    kind: Kind | None,
    device: str | None,
    user: str | None,
    cost_centre: str | None,
    top: int | None,
    order: Order,
) -> Asked:
    """Raises Unsuitable."""
    if (until - since).days > MOST_DAYS:
        raise Problem(INVALID, f"a report is about {MOST_DAYS:,} days at most")
    return Asked(since, until, tenant, by, per, kind, device, user, cost_centre, top, order)
