"""Reports in the console: what was printed, scanned, copied and faxed, drawn, as a table, and as a file."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TypeVar
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from holdfast.estate.model import zone
from holdfast.identity.model import Right
from holdfast.interfaces.console.shell import ConsolePage, page, shell_of
from holdfast.interfaces.report_sheets import (
    MEDIA_TYPES,
    FileForm,
    amount_text,
    name_of,
    table_of,
    written,
)
from holdfast.interfaces.site.i18n import Translator
from holdfast.interfaces.usage_charts import MOST_SERIES, MOST_TIMES, Series, UsageChart, columns, time_text
from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.errors import NotThere, Unsuitable
from holdfast.ledger.model import Kind
from holdfast.ledger.reports.reporting import Asked, By, Order, Per, Report, Reports, Row
from holdfast.ledger.reports.times import fitting, month_of, times_of
from holdfast.ledger.sources import Tenant

REPORTS, EXPORT = "/jobs/reports", "/jobs/reports/export"
MOST_SHOWN = 100
MOST_DAYS = 366 * 11
MOST_NAME = 200

BY = {
    By.KIND: "Kind",
    By.DEVICE: "Device",
    By.USER: "User",
    By.COST_CENTRE: "Cost centre",
    By.FORMAT: "Paper format",
    By.TENANT: "Tenant",
}
ORDERS = {
    Order.JOBS: "Jobs",
    Order.SHEETS: "Sheets",
    Order.IMPRESSIONS: "Impressions",
    Order.SCAN_PAGES: "Scan pages",
    Order.FAX_PAGES: "Fax pages",
}
W = TypeVar("W", By, Per, Order, Kind)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the form says, as it says it. `last` is the last day, which belongs to the report."""

    tenant: str = ""
    first: str = ""
    last: str = ""
    by: str = By.KIND.value
    per: str = ""
    order: str = Order.JOBS.value
    kind: str = ""
    device: str = ""
    user: str = ""
    cost_centre: str = ""

    @classmethod
    def of(cls, request: Request, today: date) -> "Wanted":
        since, until = month_of(today)
        usual = cls(first=since.isoformat(), last=(until - timedelta(days=1)).isoformat())
        query = request.query_params
        names = [name for name in cls.__slots__ if name in query]
        return replace(usual, **{name: query[name].strip()[: MOST_NAME + 1] for name in names})

    def asked(self) -> Asked:
        """Raises Unsuitable."""
        first, last = _day(self.first, "From"), _day(self.last, "To")
        if last >= date.max or (last - first).days >= MOST_DAYS:
            raise Unsuitable(f"a report is about {MOST_DAYS:,} days at most", hint="choose fewer days")
        order = _word(Order, self.order) or Order.JOBS
        by = _word(By, self.by)
        return Asked(
            first,
            last + timedelta(days=1),
            tenant=self.tenant or None,
            by=by,
            kind=_word(Kind, self.kind),
            device=self.device or None,
            user=self.user or None,
            cost_centre=self.cost_centre or None,
            order=Order.SHEETS if by is By.FORMAT else order,
        )

    def per_or(self, usual: Per) -> Per:
        return _word(Per, self.per) or usual

    def query(self, **more: object) -> str:
        """The same, as part of an address."""
        pairs = [(name, getattr(self, name)) for name in self.__slots__]
        return urlencode([*pairs, *((name, str(value)) for name, value in more.items())])


def _day(text: str, name: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Unsuitable(f"“{name}” is no day: {text[:40]!r}", hint="write it as 2026-11-22") from None


def _word(words: type[W], text: str) -> W | None:
    if not text:
        return None
    try:
        return words(text)
    except ValueError:
        raise Unsuitable(f"{text[:40]!r} is nothing to choose", hint="choose one of the list") from None


class ReportPages:
    """The pages. `reports` is None while the estate in force declares no ledger."""

    def __init__(
        self,
        reports: Callable[[], Reports | None],
        tenants: Callable[[], Awaitable[Sequence[Tenant]]],
    ) -> None:
        self._reports = reports
        self._tenants = tenants

    def pages(self) -> Sequence[ConsolePage]:
        return [
            ConsolePage(
                REPORTS,
                self.shown,
                Right.LEDGER,
                title="Reports",
                about="What was printed, scanned, copied and faxed, by whom and when.",
                listed=lambda: self._reports() is not None,
            ),
            ConsolePage(EXPORT, self.export, Right.LEDGER),
        ]

    async def shown(self, request: Request) -> Response:
        t = _translator(request)
        wanted = Wanted.of(request, t.local(shell_of(request).clock.now()).date())
        trouble: HoldfastError | None = None
        report: Report | None = None
        chart: UsageChart | None = None
        per = Per.DAY
        try:
            asked = wanted.asked()
            per = wanted.per_or(fitting(asked.since, asked.until))
            reports = self._declared()
            report = await reports.report(replace(asked, most=MOST_SHOWN))
            chart = await _chart(reports, asked, per, t)
        except HoldfastError as error:
            trouble = error
        return page(
            request,
            "ledger_report.html",
            status=200 if trouble is None or isinstance(trouble, NotThere) else 422,
            title="Reports",
            wanted=wanted,
            tenants=await self._tenants(),
            kinds=[(each.value, each.value) for each in Kind],
            bys=BY,
            pers=[(each.value, each.value) for each in Per],
            orders=ORDERS,
            report=report,
            rows=[] if report is None else [_cells(report, row, t) for row in report.rows],
            total=None if report is None else _cells(report, report.total, t),
            headings=[] if report is None else _headings(report),
            chart=chart,
            chart_rows=[] if chart is None else _chart_rows(chart, wanted.asked(), per, t),
            most=MOST_SHOWN,
            trouble=trouble,
            forms=list(FileForm),
        )

    async def export(self, request: Request) -> Response:
        """All rows, by time where one is chosen."""
        name = request.query_params.get("format", FileForm.CSV)
        if name not in set(FileForm):
            raise Unsuitable(f"there is no form {name[:20]!r}", hint=f"there are: {', '.join(FileForm)}")
        wanted = Wanted.of(request, shell_of(request).clock.now().date())
        report = await self._declared().report(replace(wanted.asked(), per=_word(Per, wanted.per)))
        return StreamingResponse(
            written(FileForm(name), report),
            media_type=MEDIA_TYPES[FileForm(name)],
            headers={"content-disposition": f'attachment; filename="{name_of(report)}.{name}"'},
        )

    def _declared(self) -> Reports:
        reports = self._reports()
        if reports is None:
            raise NotThere("this estate declares no ledger", hint="add a `ledger:` section to it")
        return reports


async def _chart(reports: Reports, asked: Asked, per: Per, t: Translator) -> UsageChart | None:
    """The greatest members over time, and what is left of the whole as one more."""
    times = list(times_of(asked.since, asked.until, per))
    if len(times) > MOST_TIMES:
        return None
    series = list[Series]()
    over_time: dict[date, int] = {}
    if asked.by is not None:
        found = await reports.report(replace(asked, per=per, most=MOST_SERIES))
        members = dict[tuple[str, str], dict[date, int]]()
        for row in found.rows:
            value = _drawn(row, asked.order)
            members.setdefault((row.tenant, row.member), {})[row.start or asked.since] = value
        greatest = sorted(members.items(), key=lambda each: -sum(each[1].values()))
        for place, ((tenant, member), values) in enumerate(greatest, 1):
            several = asked.tenant is None and tenant and asked.by is not By.TENANT
            name = f"{tenant} / {_name(member)}" if several else _name(member)
            series.append(Series(name, f"u{place}", values))
    by = By.FORMAT if asked.by is By.FORMAT else None
    for row in (await reports.report(replace(asked, per=per, by=by))).rows:
        start = row.start or asked.since
        over_time[start] = over_time.get(start, 0) + _drawn(row, asked.order)
    for each in series:
        for start, value in each.values.items():
            over_time[start] = over_time.get(start, 0) - value
    name, look = ("all others", "u8") if series else (ORDERS[asked.order], "u1")
    series.append(Series(name, look, over_time))
    return columns(series, times, per, t, f"{ORDERS[asked.order]} over time")


def _drawn(row: Row, order: Order) -> int:
    if order is Order.IMPRESSIONS:
        return row.sums.mono_impressions + row.sums.colour_impressions
    return int(getattr(row.sums, order.value))


def _name(member: str) -> str:
    return member or "not told"


def _headings(report: Report) -> list[str]:
    return list(table_of(report).headings)


def _cells(report: Report, row: Row, t: Translator) -> tuple[list[str], list[str]]:
    """The texts that name a row, and its numbers."""
    table = table_of(report)
    keys = [_name(str(each)) for each in table.cells(row)[: table.keys]]
    numbers = [t.number(getattr(row.sums, name)) for name in table.quantities]
    amounts = [
        # The column's heading names the currency.
        amount_text(row.amounts[c], c).removesuffix(f" {c}") if c in row.amounts else ""
        for c in table.currencies
    ]
    return keys, numbers + amounts


def _chart_rows(chart: UsageChart, asked: Asked, per: Per, t: Translator) -> list[tuple[str, list[str]]]:
    return [
        (time_text(start, per, t), [t.number(each.values.get(start, 0)) for each in chart.legend])
        for start in times_of(asked.since, asked.until, per)
    ]


def _translator(request: Request) -> Translator:
    return Translator("en", zone(shell_of(request).site().time_zone))
