"""`/agreements`: what was promised to whom, and what came of it."""

from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query

from holdfast.availability.views import AgreementReport
from holdfast.communication.incidents import linked
from holdfast.communication.model import Incident
from holdfast.estate.model import Agreement
from holdfast.interfaces.api.callers import Reader, Served
from holdfast.interfaces.api.paging import Cursor, Limit, page_of
from holdfast.interfaces.api.problems import INVALID, NOT_FOUND, Problem, described
from holdfast.interfaces.api.services import Services
from holdfast.interfaces.api.shapes.estate import AgreementPage, AgreementTold, ReportTold
from holdfast.interfaces.api.words import EstateKey
from holdfast.kernel.windows import month_window

MOST_INCIDENTS = 5000

Month = Annotated[
    str | None,
    Query(
        pattern=r"^(19[7-9][0-9]|20[0-9]{2}|21[0-9]{2})-(0[1-9]|1[0-2])$",
        description="YYYY-MM, in the agreement's time zone; the present window when left out",
        examples=["2026-10"],
    ),
]

router = APIRouter(prefix="/agreements", tags=["agreements"])


@router.get("", operation_id="listAgreements", responses=described())
async def list_agreements(
    services: Served, _: Reader, cursor: Cursor = None, limit: Limit = 50
) -> AgreementPage:
    """Agreements, in the estate's order."""
    estate = services.estate()
    places = list(enumerate(estate.agreements.items()))
    page, following = page_of(places, lambda each: f"{each[0]:09d}", cursor, limit)
    return AgreementPage(items=[AgreementTold.of(*each, estate) for _, each in page], next=following)


@router.get("/{key}", operation_id="getAgreement", responses=described(NOT_FOUND))
async def get_agreement(services: Served, _: Reader, key: EstateKey) -> AgreementTold:
    """One agreement."""
    return AgreementTold.of(key, _agreement(services, key), services.estate())


def _agreement(services: Services, key: str) -> Agreement:
    found = services.estate().agreements.get(key)
    if found is None:
        raise _missing(key)
    return found


def _missing(key: str) -> Problem:
    return Problem(NOT_FOUND, f"there is no agreement {key!r}", hint="see GET /agreements")


@router.get("/{key}/report", operation_id="getAgreementReport", responses=described(NOT_FOUND))
async def get_report(services: Served, _: Reader, key: EstateKey, month: Month = None) -> ReportTold:
    """The agreement over a month, or over the present window: figures, budget, credit owed, every event.

    Of a rolling window, `month` asks for the one that ends with that month.
    """
    agreement = _agreement(services, key)
    now = services.clock.now()
    moment = now if month is None else _moment(agreement, month)
    if moment > now:
        raise Problem(INVALID, "this month has not begun")
    report = await services.reader.agreement(key, moment)
    if report is None:
        raise _missing(key)
    return ReportTold.of(report, await _declared(services, report), services.estate())


async def _declared(services: Services, report: AgreementReport) -> list[Incident | None]:
    """Of each event the incident that was declared."""
    if not report.events:
        return []
    since = report.statement.window.start
    found = await services.incidents.incidents(since=since, limit=MOST_INCIDENTS, public_only=True)
    return [linked(found, status.id, event.window) for status, event in report.events]


def _moment(agreement: Agreement, month: str) -> datetime:
    year, number = (int(part) for part in month.split("-"))
    window = month_window(year, number, ZoneInfo(agreement.time_zone))
    return window.start if agreement.window == "calendar_month" else window.end
