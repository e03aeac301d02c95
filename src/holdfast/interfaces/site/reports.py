"""The pages that are made on request: a component's, a month's, an agreement's, the formula, and problems."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import groupby
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from holdfast.availability.model import Maintenance, Outcome, State
from holdfast.availability.sla import WEIGHTS, Budget, Figure
from holdfast.availability.views import (
    AgreementReport,
    ClusterStatus,
    ComponentHistory,
    ComponentReport,
    ComponentStatus,
    Event,
    LastRun,
    MonthHistory,
    Overview,
    Sample,
)
from holdfast.communication.news import News
from holdfast.interfaces.site import charts
from holdfast.interfaces.site.frozen import MOST_FROZEN, differs, frozen_rows
from holdfast.interfaces.site.i18n import NOTHING, Translator
from holdfast.interfaces.site.quantities import metrics_shown
from holdfast.interfaces.site.ranges import EARLIEST, Range, neighbours
from holdfast.interfaces.site.rendering import MOST_EVENTS, Renderer, Staleness, Told
from holdfast.interfaces.site.snapshot import Snapshot
from holdfast.interfaces.site.telling import Links, about

_PHASES = ("resolve", "connect", "tls", "first_byte")


class ReportRenderer:
    """Adds the pages made on request to a site's renderer."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._t = renderer.t

    def component(
        self,
        history: ComponentHistory,
        cluster: ClusterStatus,
        chosen: Range,
        at: datetime,
        *,
        report: ComponentReport | None = None,
        stale: Staleness | None = None,
        snapshot: Snapshot,
    ) -> str:
        """A component over a range. Without `report`, from the snapshot: days and events, but no metrics."""
        t, status = self._t, history.status
        news = about(snapshot.news, {status.id})
        links = self._renderer.links(news)
        events = list(report.events) if report else _events_of_days(history)
        samples = report.samples if report else ()
        length = charts.spacing(samples, report.resolution.length) if report else timedelta(hours=1)
        return self._renderer.page(
            "component.html",
            f"clusters/{status.cluster_key}/{status.key}{_query(chosen)}",
            live=True,
            stale=stale,
            sample=any(day.sample for day in history.days),
            status=status,
            history=history,
            cluster_name=cluster.name,
            region=cluster.region,
            report=report,
            at=at,
            news=news,
            feeds=[cluster.key, f"{cluster.key}/{status.key}"],
            **self._renderer.told(snapshot.overview, news),
            latency=charts.latency(samples, history.window, length, t, self._latency_label(report)),
            metrics=metrics_shown(report.metrics if report else (), history.window, t),
            errors=charts.errors(samples, history.window, length, t, self._errors_label(report)),
            rows=list(reversed(samples))[: charts.MOST_ROWS],
            row_length=length,
            most_rows=charts.MOST_ROWS,
            share_text=self._share,
            events=[(each, links.of(status.id, each.window)) for each in events[:MOST_EVENTS]],
            hidden=max(0, len(events) - MOST_EVENTS),
            runs=[
                (run, self._phases(run), self._phases_told(run)) for run in (report.runs if report else ())
            ],
            outcome_names=self._outcome_names(),
            **self._range_form(status, chosen, at),
        )

    def bad_range(
        self, status: ComponentStatus, cluster: ClusterStatus, shown: Range, reason: str, at: datetime
    ) -> str:
        """The form again and what was wrong; `shown` fills it. Nothing of the request is repeated."""
        _ = self._t.gettext
        problems = {
            "range": _("There is no such range. Choose one of these, or two dates."),
            "dates": _("Please give both dates, as year-month-day."),
            "order": _("The first date must not be after the last one."),
            "future": _("The last date must not be in the future."),
            "early": _("The first date is too long ago."),
            "length": _("A range may be 400 days long at most."),
        }
        custom = Range("", shown.first, shown.last, shown.window)
        form = self._range_form(status, custom, at)
        return self._renderer.page(
            "bad_range.html",
            f"clusters/{status.cluster_key}/{status.key}",
            status=status,
            cluster_name=cluster.name,
            problem=problems[reason],
            **{key: value for key, value in form.items() if key != "problem"},
        )

    def _range_form(self, status: ComponentStatus, chosen: Range, at: datetime) -> dict[str, object]:
        _ = self._t.gettext
        return {
            "chosen": chosen,
            "range_names": {
                "7d": _("7 days"),
                "30d": _("30 days"),
                "3m": _("3 months"),
                "6m": _("6 months"),
                "1y": _("1 year"),
            },
            "problem": "",
            "form_action": f"{self._renderer.home}/clusters/{status.cluster_key}/{status.key}",
            "earliest": EARLIEST,
            "today": self._t.local(at).date(),
        }

    def _latency_label(self, report: ComponentReport | None) -> str:
        whole = report.overall if report else None
        if whole is None:
            return self._t.gettext("Latency")
        return self._t.gettext("Latency over the range: p50 %(p50)s, p95 %(p95)s, p99 %(p99)s") % {
            "p50": self._t.latency(whole.p50_us),
            "p95": self._t.latency(whole.p95_us),
            "p99": self._t.latency(whole.p99_us),
        }

    def _errors_label(self, report: ComponentReport | None) -> str:
        share = self._share(report.overall) if report and report.overall else NOTHING
        return self._t.gettext("Share of failed checks over the range: %(share)s") % {"share": share}

    def _share(self, sample: Sample) -> str:
        share = charts.error_share(sample)
        return NOTHING if share is None else self._t.percent(round(share * 100, 2))

    def _outcome_names(self) -> dict[Outcome, str]:
        _ = self._t.gettext
        return {
            Outcome.GOOD: _("good"),
            Outcome.DEGRADED: _("slow or impaired"),
            Outcome.PARTIAL: _("partly failed"),
            Outcome.FAILED: _("failed"),
        }

    def _phase_names(self) -> dict[str, str]:
        _ = self._t.gettext
        return {
            "resolve": _("look up name"),
            "connect": _("connect"),
            "tls": "TLS",
            "first_byte": _("first byte"),
        }

    def _phases(self, run: LastRun) -> Markup:
        """A bar of the phases in order, in proportion to the whole run."""
        total = max(run.total_us, 1)
        x, content = 0.0, []
        for place, phase in enumerate(_PHASES):
            share = 100 * min(run.phases_us.get(phase, 0) / total, 1)
            content.append(f"<rect x={x:.1f}% width={share:.1f}% height=10 class=ph{place} />")
            x += share
        label = escape(self._phases_told(run))
        return Markup(  # noqa: S704 - numbers, and a label escaped above
            f'<svg class=phases width=100% height=10 role=img aria-label="{label}">'
            f"<rect width=100% height=10 class=ph4 />{''.join(content)}</svg>"
        )

    def _phases_told(self, run: LastRun) -> str:
        names = self._phase_names()
        told = [
            f"{names[each]} {self._t.latency(run.phases_us[each])}"
            for each in _PHASES
            if each in run.phases_us
        ]
        return " · ".join(told)

    def month(
        self,
        month: MonthHistory,
        overview: Overview,
        cluster: ClusterStatus | None,
        at: datetime,
        news: News,
    ) -> str:
        """A calendar month of all clusters, or of one."""
        t, renderer = self._t, self._renderer
        first = date(month.year, month.month, 1)
        text = f"{first:%Y-%m}"
        suffix = f"/{cluster.key}" if cluster else ""
        previous, following = neighbours(first, at, t.zone)
        names = {each.key: each.name for each in overview.clusters}
        if cluster:
            news = about(news, {each.status.id for each in cluster.components})
        teller, links = renderer.teller(overview), renderer.links(news)
        told = [
            (
                *renderer.named(names.get(status.cluster_key, status.cluster_key), status),
                interval,
                links.of(status.id, interval.window),
            )
            for status, interval in month.events[:MOST_EVENTS]
        ]
        return renderer.page(
            "history.html",
            f"history/{text}{suffix}",
            section="history",
            sample=any(interval.sample for _, interval in month.events),
            at=at,
            cluster=cluster,
            first=first,
            last=min(t.local(month.window.end - timedelta(microseconds=1)).date(), t.local(at).date()),
            month_text=text,
            previous=previous,
            following=following,
            month_href=lambda each: f"{renderer.home}/history/{each:%Y-%m}{suffix}",
            tables=_tables(month, overview, cluster),
            told_incidents=teller.incidents(news.incidents),
            works=teller.works(news.maintenance),
            days=_by_day(told, t),
            hidden=max(0, len(month.events) - MOST_EVENTS),
        )

    def agreement(
        self, report: AgreementReport, first: date, address: str, known: Snapshot, links: Links, at: datetime
    ) -> str:
        """A customer's report, in the agreement's time zone. `address` is its own, without language.

        `known` is the whole of what was read: it names the clusters, and says which of them have a page.
        """
        t = self._t.in_zone(ZoneInfo(report.agreement.time_zone))
        s, renderer = report.statement, self._renderer
        previous, following = neighbours(first, at, t.zone)
        names = {each.key: each.name for each in known.overview.clusters}

        def named(status: ComponentStatus) -> tuple[str, str]:
            name, href = renderer.named(names.get(status.cluster_key, status.cluster_key), status)
            return name, href if known.readership.is_public(status.id) else ""

        events = [
            (*named(status), interval, links.of(status.id, interval.window))
            for status, interval in sorted(report.events, key=lambda each: each[1].window.start, reverse=True)
        ]
        figures = [
            (*named(each), s.by_component[each.id]) for each in report.components if each.id in s.by_component
        ]
        _ = t.gettext
        return renderer.page(
            "agreement.html",
            f"{address}?month={first:%Y-%m}",
            t=t,
            sample=report.sample,
            at=at,
            report=report,
            s=s,
            running=s.elapsed.end < s.window.end,
            last_day=t.local(s.window.end - timedelta(microseconds=1)).date(),
            first=first,
            previous=previous,
            following=following,
            month_href=lambda each: f"?month={each:%Y-%m}",
            figures=figures,
            frozen=frozen_rows(report.frozen[: MOST_FROZEN + 1], t)[:MOST_FROZEN],
            frozen_differs=differs(report.frozen[:1], s.figure.availability),
            frozen_hidden=max(0, len(report.frozen) - MOST_FROZEN),
            budget_bar=self._budget_bar(s.budget),
            unknown_names={
                "excluded": _("left out of counted time"),
                "downtime": _("counts as downtime"),
                "uptime": _("counts as available"),
            },
            maintenance=[
                (each, self._notice_told(each, report))
                for each in report.maintenance
                if not each.component_ids.isdisjoint(s.by_component)
            ],
            events=events[:MOST_EVENTS],
            hidden=max(0, len(events) - MOST_EVENTS),
        )

    def _budget_bar(self, budget: Budget) -> Markup:
        share = float(max(Fraction(0), min(Fraction(1), 1 - budget.share_left))) if budget.allowed else 1.0
        look = "mj" if share >= 1 else "dg" if share >= 0.75 else "mt"
        label = self._t.gettext("%(share)s of the error budget is spent") % {
            "share": self._t.percent(round(float((1 - budget.share_left) * 100), 1))
        }
        return charts.proportions([(look, share), ("ph4", 1 - share)], label)

    def _notice_told(self, planned: Maintenance, report: AgreementReport) -> str:
        excluded = any(planned.excludes(each.id, report.statement.terms.notice) for each in report.components)
        if excluded:
            return self._t.gettext("Announced in time: leaves counted time")
        return self._t.gettext("Not announced in time, or cancelled: stays in counted time")

    def formula(self) -> str:
        """The formula in words. The weights are the ones that figures are made with."""
        t = self._t
        order = (State.MAJOR_OUTAGE, State.PARTIAL_OUTAGE, State.DEGRADED, State.OPERATIONAL)
        weights = [
            (
                state,
                t.number(float(WEIGHTS[state])),
                t.duration(timedelta(minutes=60 * float(WEIGHTS[state]))),
            )
            for state in order
        ]
        return self._renderer.page("formula.html", "formula", section="formula", weights=weights)

    def problem(
        self, status: int, *, stale: Staleness | None = None, known: ComponentStatus | None = None
    ) -> str:
        """A page that says, without blame or detail, what went wrong and where to go."""
        _ = self._t.gettext
        told = {
            404: (_("There is no such page"), _("It may have been renamed or removed.")),
            503: (
                _("This page is unavailable at the moment"),
                _("Its figures cannot be read right now. Please try again in a minute."),
            ),
            429: (_("Too many requests at the moment"), _("Please try again in a few seconds.")),
        }
        fallback = (_("Something went wrong here"), _("It was noted. Please try again in a moment."))
        heading, text = told.get(status, fallback)
        return self._renderer.page("problem.html", "", heading=heading, text=text, stale=stale, known=known)


def _query(chosen: Range) -> str:
    if not chosen.name:
        return f"?from={chosen.first}&to={chosen.last}"
    return f"?range={chosen.name}"


def _events_of_days(history: ComponentHistory) -> list[Event]:
    return [event for day in reversed(history.days) for event in reversed(day.events)]


def _tables(
    month: MonthHistory, overview: Overview, only: ClusterStatus | None
) -> list[tuple[str, str, list[tuple[ComponentStatus, Figure, bool]]]]:
    """By cluster: key, name, and each component with its figure and whether it still has a page.

    What was removed from the estate keeps its history: it stands behind the ones that are there today.
    """
    names = {each.key: each.name for each in ([only] if only else overview.clusters)}
    present = {(cluster.key, each.status.key) for cluster in overview.clusters for each in cluster.components}
    tables: dict[str, list[tuple[ComponentStatus, Figure, bool]]] = {key: [] for key in names}
    for status in month.components:
        figure = month.figures.get(status.id)
        here = (status.cluster_key, status.key) in present
        # A component that was removed before the month, or came after it, has nothing to say about it.
        if figure is not None and (here or figure.availability is not None):
            tables.setdefault(status.cluster_key, []).append((status, figure, here))
    return [
        (key, names.get(key, key), sorted(rows, key=lambda row: not row[2]))
        for key, rows in tables.items()
        if rows
    ]


def _by_day(events: Iterable[Told], t: Translator) -> Sequence[tuple[date, list[Told]]]:
    newest_first = sorted(events, key=lambda each: each[2].window.start, reverse=True)
    return [
        (day, list(group))
        for day, group in groupby(newest_first, lambda each: t.local(each[2].window.start).date())
    ]
