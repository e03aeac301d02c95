"""Reports on the site: of public components and clusters for everybody, of agreements by secret link.

They cost more than other pages, so they have a narrow gate of their own: few are made at a time, few more may
wait, and what was made is kept for a minute.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.routing import Route

from holdfast.availability.errors import TooMuch
from holdfast.availability.review import Subject, is_whole_month
from holdfast.interfaces.reports.as_csv import as_csv
from holdfast.interfaces.reports.as_html import ReportPages
from holdfast.interfaces.reports.as_json import as_json
from holdfast.interfaces.reports.as_pdf import TypesettingFailed, as_pdf
from holdfast.interfaces.reports.asking import asked_format, asked_window, last_month
from holdfast.interfaces.reports.desk import ReportSource
from holdfast.interfaces.reports.model import MEDIA_TYPES, Format, Report
from holdfast.interfaces.site.cache import PageCache, TooBusyError
from holdfast.interfaces.site.pages import PRIVATE, PRIVATE_SECURITY, Pages, html_answer
from holdfast.interfaces.site.publisher import Publisher
from holdfast.interfaces.site.ranges import EARLIEST, RangeError, months_before, neighbours
from holdfast.interfaces.site.reading import AwayError, GoneError, reading
from holdfast.interfaces.site.rendering import Renderer
from holdfast.interfaces.site.responses import SECURITY, Answer, Headers
from holdfast.interfaces.site.secret_pages import named_by
from holdfast.kernel.clock import Clock
from holdfast.kernel.windows import Window

_NAMES = {Format.HTML: "", Format.PDF: "PDF", Format.CSV: "CSV", Format.JSON: "JSON"}


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a request asks for. `address` is the page's own, without language; private ones hold a secret."""

    subject: Subject
    key: str
    window: Window
    zone: ZoneInfo
    format: Format
    address: str
    private: bool = False


class ReportRoutes:
    """The router's endpoints for reports."""

    def __init__(
        self,
        source: ReportSource,
        publisher: Publisher,
        pages: Pages,
        clock: Clock,
        *,
        report_links: Callable[[], Mapping[str, str]],
        page_links: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._source = source
        self._publisher = publisher
        self._pages = pages
        self._clock = clock
        self._report_links = report_links
        self._page_links = page_links
        self._cache = PageCache(clock, ttl_s=60, entries=64, width=2, queue=32)

    def routes(self) -> list[Route]:
        return [
            Route("/{language}/reports", self._index),
            Route("/{language}/reports/{cluster}", self._public),
            Route("/{language}/reports/{cluster}/{component}", self._public),
            Route("/{language}/agreements/{token}/report", self._agreement),
            Route("/{language}/customers/{token}/agreements/{key}/report", self._of_customer),
        ]

    async def close(self) -> None:
        await self._cache.close()

    # What is asked for

    async def _index(self, request: Request) -> Answer:
        """The form with the newest months; or, once it is filled in, the report."""
        edition, language = self._publisher.edition, request.path_params["language"]
        renderer = edition.renderers.get(language)
        if renderer is None or edition.snapshot is None:
            return self._pages.missing(request)
        wanted = request.query_params.get("of")
        if wanted is not None:
            cluster, _, component = wanted.partition("/")
            return await self._public_of(request, renderer, cluster, component)
        return await asyncio.to_thread(self._form, renderer, "", "")

    async def _public(self, request: Request) -> Answer:
        renderer = self._publisher.edition.renderers.get(request.path_params["language"])
        if renderer is None:
            return self._pages.problem(request, 404)
        found = request.path_params
        return await self._public_of(request, renderer, found["cluster"], found.get("component", ""))

    async def _public_of(self, request: Request, renderer: Renderer, cluster: str, component: str) -> Answer:
        key = f"{cluster}/{component}" if component else cluster
        subject = Subject.COMPONENT if component else Subject.CLUSTER
        return await self._asked(request, renderer, subject, key, renderer.t.zone, f"reports/{key}")

    async def _agreement(self, request: Request) -> Answer:
        token = request.path_params["token"]
        key = named_by(token, self._report_links())
        return await self._secret(request, key, f"agreements/{token}/report")

    async def _of_customer(self, request: Request) -> Answer:
        """One of the customer's own agreements, from the customer's pages."""
        token, key = request.path_params["token"], request.path_params["key"]
        whole = self._publisher.edition.whole
        customer = named_by(token, self._page_links())
        holder = whole.readership.holders.get(customer) if whole and customer else None
        own = key if holder is not None and key in holder.agreements else None
        return await self._secret(request, own, f"customers/{token}/agreements/{key}/report")

    async def _secret(self, request: Request, key: str | None, address: str) -> Answer:
        renderer = self._publisher.edition.renderers.get(request.path_params["language"])
        zone = self._source.zone_of(key) if key else None
        if renderer is None or key is None or zone is None:
            return self._pages.problem(request, 404)
        return await self._asked(request, renderer, Subject.AGREEMENT, key, zone, address)

    async def _asked(
        self, request: Request, renderer: Renderer, subject: Subject, key: str, zone: ZoneInfo, address: str
    ) -> Answer:
        private = subject is Subject.AGREEMENT
        edition = self._publisher.edition
        try:
            window = asked_window(request.query_params, self._clock.now(), zone)
            wish = _Wish(subject, key, window, zone, asked_format(request.query_params), address, private)
            return await self._cache.get((renderer, wish, edition.mark), lambda: self._made(wish, renderer))
        except (TooBusyError, TypesettingFailed):
            return self._pages.problem(request, 429)
        except GoneError:
            return self._pages.problem(request, 404)
        except (RangeError, TooMuch) as error:
            if private:
                return self._pages.problem(request, 404)
            reason = error.reason if isinstance(error, RangeError) else "length"
            return await asyncio.to_thread(self._form, renderer, key, reason)
        except AwayError:
            return self._pages.problem(request, 503, stale=edition.stale(self._clock.now()))

    # What is answered

    async def _made(self, wish: _Wish, renderer: Renderer) -> Answer:
        report = await self._read(wish)
        language = renderer.t.language
        if wish.format is Format.HTML:
            return await asyncio.to_thread(self._page, wish, report, renderer)
        if wish.format is Format.PDF:
            content = await as_pdf(report, language)
        else:
            write = as_csv if wish.format is Format.CSV else as_json
            content = await asyncio.to_thread(write, report)
        headers: Headers = [
            (b"content-disposition", f'attachment; filename="{report.name}.{wish.format.value}"'.encode())
        ]
        if wish.private:
            headers += PRIVATE
        return Answer(
            content,
            MEDIA_TYPES[wish.format],
            cache="private, no-store" if wish.private else "no-cache",
            headers=headers,
            security=PRIVATE_SECURITY if wish.private else SECURITY,
            quality=4,
        )

    async def _read(self, wish: _Wish) -> Report:
        async with reading():
            if wish.subject is Subject.AGREEMENT:
                report = await self._source.agreement(wish.key, wish.window)
            elif wish.subject is Subject.CLUSTER:
                report = await self._source.cluster(wish.key, wish.window)
            else:
                cluster, _, component = wish.key.partition("/")
                report = await self._source.component(cluster, component, wish.window)
        if report is None:
            raise GoneError
        return report

    def _page(self, wish: _Wish, report: Report, renderer: Renderer) -> Answer:
        now, here = self._clock.now(), f"{renderer.home}/{wish.address}"
        first = wish.window.start.astimezone(wish.zone).date()
        whole = is_whole_month(wish.window, wish.zone)
        last = (wish.window.end - timedelta(microseconds=1)).astimezone(wish.zone).date()
        query = {"month": f"{first:%Y-%m}"} if whole else {"from": f"{first}", "to": f"{last}"}
        previous, following = neighbours(first, now, wish.zone) if whole else (None, None)
        html = ReportPages(renderer).report(
            report,
            f"{wish.address}?{urlencode(query)}",
            private=wish.private,
            downloads=[
                (name, f"{here}?{urlencode({**query, 'format': form.value})}")
                for form, name in _NAMES.items()
                if name
            ],
            first=first,
            previous=previous,
            following=following,
            month_href=lambda each: f"{here}?month={each:%Y-%m}",
        )
        if wish.private:
            return html_answer(
                html, renderer, cache="private, no-store", headers=PRIVATE, security=PRIVATE_SECURITY
            )
        return html_answer(html, renderer)

    def _form(self, renderer: Renderer, chosen: str, reason: str) -> Answer:
        """The page with the form. `reason` is why it is shown again."""
        pages = ReportPages(renderer)
        snapshot, now = self._publisher.edition.snapshot, self._clock.now()
        newest = last_month(now, renderer.t.zone)
        html = pages.page(
            "reports.html",
            "reports",
            section="reports",
            clusters=snapshot.overview.clusters if snapshot else (),
            months=[months_before(newest, back) for back in range(self._source.months_offered)],
            chosen=chosen,
            problem=_problems(pages).get(reason, ""),
            earliest=EARLIEST,
            today=renderer.t.local(now).date(),
            first=newest,
            last=_last_day(newest),
        )
        return html_answer(
            html, renderer, status=400 if reason else 200, cache="no-store" if reason else "no-cache"
        )


def _problems(pages: ReportPages) -> Mapping[str, str]:
    _ = pages.t.gettext
    return {
        "month": _("There is no report of such a month."),
        "dates": _("Please give both dates, as year-month-day."),
        "order": _("The first date must not be after the last one."),
        "future": _("The last date must not be in the future."),
        "early": _("The first date is too long ago."),
        "length": _("This is too much for one report. Please choose a shorter range."),
        "format": _("There is no such format. Choose page, PDF, CSV or JSON."),
    }


def _last_day(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
