"""Reports in the processes that make them: the site, the command line, and what mails them."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

import structlog

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.incidents import PostgresIncidents
from holdfast.adapters.postgres.months import PostgresMonths
from holdfast.adapters.postgres.reading import PostgresReadingStore
from holdfast.availability.freezing import month_name
from holdfast.availability.inventory import Inventory
from holdfast.availability.ports import MonthStore
from holdfast.availability.reviewing import Reviewer
from holdfast.bootstrap.communication import directory_in
from holdfast.bootstrap.statements import agreement_named
from holdfast.communication.model import Attachment
from holdfast.communication.ports import Letterbox
from holdfast.communication.reporting import DueReport, due_reports, letters_of
from holdfast.estate.model import Site
from holdfast.estate.suggest import did_you_mean
from holdfast.interfaces.cli.reporting import ReportFile, ReportRequest
from holdfast.interfaces.reports.as_csv import as_csv
from holdfast.interfaces.reports.as_html import as_html
from holdfast.interfaces.reports.as_json import as_json
from holdfast.interfaces.reports.as_pdf import as_pdf
from holdfast.interfaces.reports.asking import days_window, last_month
from holdfast.interfaces.reports.covering import covering_letter
from holdfast.interfaces.reports.desk import ReportDesk
from holdfast.interfaces.reports.model import MEDIA_TYPES, Format, Report
from holdfast.interfaces.site.ranges import RangeError
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.windows import Window, month_window

MOST_COMPONENT_DAYS_OF_SITE = 40_000
"""What anybody may ask for: five years of twenty components. An operator may ask for ten times that."""

Note = Callable[[str, Mapping[str, object]], None]

log = structlog.get_logger()


class ReportRefused(HoldfastError):  # noqa: N818  a state of affairs more than an error
    """What is asked for is not there."""


def report_desk(
    pool: Pool, clock: Clock, inventory: Callable[[], Inventory], *, insider: bool = False
) -> ReportDesk:
    """Reports over a pool of a login that may read."""
    months, store = PostgresMonths(pool), PostgresReadingStore(pool)
    if insider:
        reviewer = Reviewer(store, months, clock, inventory)
    else:
        reviewer = Reviewer(store, months, clock, inventory, most_component_days=MOST_COMPONENT_DAYS_OF_SITE)
    return ReportDesk(reviewer, PostgresIncidents(pool), lambda: directory_in(inventory()), insider=insider)


async def written(report: Report, form: Format, site: Site, language: str) -> bytes:
    """The report in one format."""
    if form is Format.PDF:
        return await as_pdf(report, language)
    if form is Format.HTML:
        return await asyncio.to_thread(as_html, report, site, language)
    return await asyncio.to_thread(as_csv if form is Format.CSV else as_json, report)


# --- for the command line


async def requested_report(
    pool: Pool, clock: Clock, inventory: Inventory, request: ReportRequest
) -> ReportFile:
    """The file that the command line asks for. Raises ReportRefused, and NoAgreement."""
    estate, desk = inventory.estate, report_desk(pool, clock, lambda: inventory, insider=True)
    form = Format(request.format.value)
    if request.subject == "agreement":
        key = agreement_named(request.key, estate)
        window = _window(request, ZoneInfo(estate.agreements[key].time_zone), clock.now())
        report = await desk.agreement(key, window)
    else:
        window = _window(request, ZoneInfo(estate.site.time_zone), clock.now())
        cluster, _, component = request.key.partition("/")
        if request.subject == "component":
            report = await desk.component(cluster, component, window)
        else:
            report = await desk.cluster(request.key, window)
    if report is None:
        known = [f"{cluster}/{key}" for cluster, each in estate.clusters.items() for key in each.components]
        names = known if request.subject == "component" else list(estate.clusters)
        hint = did_you_mean(request.key, names, otherwise=f"there are: {', '.join(names[:20])}")
        raise ReportRefused(f"there is no {request.subject} {request.key!r}", hint=hint)
    content = await written(report, form, estate.site, request.language.value)
    return ReportFile(f"{report.name}.{form.value}", content)


_RANGES = {
    "order": "the first day is after the last one",
    "future": "the last day is in the future",
    "early": "the first day is too long ago",
    "length": "a report may cover five years at most",
}


def _window(request: ReportRequest, zone: ZoneInfo, now: datetime) -> Window:
    if request.first is not None:
        try:
            return days_window(request.first, request.last, now, zone)
        except RangeError as error:
            raise ReportRefused(_RANGES[error.reason], hint="look at --from and --to") from error
    if request.month is not None:
        window = month_window(*request.month, zone)
        if window.start > now:
            raise ReportRefused("that month has not begun", hint="look at --month")
        return window
    first = last_month(now, zone)
    return month_window(first.year, first.month, zone)


# --- by mail


class Mailing:
    """Posts the reports that are due, each once."""

    def __init__(
        self,
        desk: ReportDesk,
        months: MonthStore,
        letterbox: Letterbox,
        clock: Clock,
        inventory: Callable[[], Inventory],
        note: Note,
    ) -> None:
        self._desk = desk
        self._months = months
        self._letterbox = letterbox
        self._clock = clock
        self._inventory = inventory
        self._note = note
        self._posted: set[str] = set()

    async def post_due(self) -> int:
        """Post what is due and not posted yet; returns how many letters. Raises what its month store raises.

        A report that cannot be made or posted is tried again the next time, and holds up no other.
        """
        estate = self._inventory().estate
        posted = 0
        for due in due_reports(estate, self._clock.now()):
            keys = {due.letter_key(each) for each in due.report.to}
            if keys <= self._posted:
                continue
            month = month_name(due.window, estate.agreements[due.report.agreement].time_zone)
            if not await self._months.months_of(due.report.agreement, month):
                continue
            try:
                posted += await self._post(due, estate.site)
            except HoldfastError as error:
                log.warning("report_postponed", report=due.key, month=due.month, error=str(error))
            else:
                self._posted |= keys
        return posted

    async def _post(self, due: DueReport, site: Site) -> int:
        report = await self._desk.agreement(due.report.agreement, due.window)
        if report is None:
            return 0
        language, forms = due.report.language, dict.fromkeys(due.report.formats)
        attachments = [
            Attachment(
                f"{report.name}.{form}",
                MEDIA_TYPES[Format(form)],
                await written(report, Format(form), site, language),
            )
            for form in forms
        ]
        words = await asyncio.to_thread(covering_letter, report, site, language)
        posted = 0
        for key, letter in letters_of(due, words, attachments):
            posted += await self._letterbox.post(letter, key)
        if posted:
            facts = {
                "report": due.key,
                "agreement": due.report.agreement,
                "month": due.month,
                "letters": posted,
            }
            self._note("report_posted", facts)
        return posted
