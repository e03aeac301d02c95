"""From a report to its document: which sections there are, and what they say in the reader's language."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from holdfast.availability.freezing import FrozenMonth
from holdfast.availability.model import State
from holdfast.availability.review import DRAWN_DAYS, Counting, MonthLine, Part, Planned, Subject, Trouble
from holdfast.availability.sla import Figure
from holdfast.availability.views import ComponentHistory, ComponentStatus
from holdfast.interfaces.reports.document import Cell, Document, Key, Picture, Section, Table, Tile
from holdfast.interfaces.reports.i18n import ReportTranslator
from holdfast.interfaces.reports.model import Downtime, Report
from holdfast.interfaces.site import bars, charts
from holdfast.interfaces.site.frozen import frozen_rows
from holdfast.interfaces.site.i18n import NOTHING
from holdfast.interfaces.site.rendering import breakdown
from holdfast.interfaces.site.wording import SHOWN, Words
from holdfast.kernel.windows import MICROSECOND, Window

MOST_ROWS = 500
MOST_CHARTS = 12
MOST_CAUSES = 5


def laid_out(report: Report, language: str) -> Document:
    """The document in `language`, in the report's own time zone."""
    return _Layout(report, ReportTranslator(language, ZoneInfo(report.review.time_zone))).document()


class _Layout:
    def __init__(self, report: Report, t: ReportTranslator) -> None:
        self.report = report
        self.review = report.review
        self.t = t
        self.words = Words(t)

    def document(self) -> Document:
        _, review, t = self.t.gettext, self.review, self.t
        kinds = {
            Subject.COMPONENT: _("Component report"),
            Subject.CLUSTER: _("Cluster report"),
            Subject.AGREEMENT: _("Service level report"),
        }
        warning = ""
        if review.sample:
            warning = _("This report contains sample history, which was never measured.")
        verdict, verdict_text = self._verdict()
        return Document(
            review.customer_name or review.name,
            kinds[review.subject],
            self._subtitle(),
            _("Made %(time)s. All times in %(zone)s. Availability by formula %(formula)s.")
            % {"time": t.moment(review.at), "zone": t.zone.key, "formula": review.figure.formula},
            verdict,
            verdict_text,
            warning,
            list(self._tiles()),
            [each for each in self._sections() if each is not None],
        )

    def _subtitle(self) -> str:
        first, last = self._day(self.review.window.start), self._day(self.review.window.end - MICROSECOND)
        days = f"{self.t.long_date(first)} – {self.t.long_date(last)}"  # noqa: RUF001  an en dash between dates
        if self.review.subject is Subject.AGREEMENT:
            name = self.t.gettext("Agreement %(name)s") % {"name": self.review.name}
            return f"{name} · {days}"
        return days

    def _day(self, moment: datetime) -> date:
        return self.t.local(moment).date()

    def _verdict(self) -> tuple[str, str]:
        _, made = self.t.gettext, self.review.statement
        if made is None:
            return "", ""
        if made.met is None:
            return "", _("No figure yet")
        running = self.review.elapsed.end < self.review.window.end
        if made.met:
            return "good", _("Objective met so far") if running else _("Objective met")
        return "bad", _("Objective missed")

    def _tiles(self) -> Iterator[Tile]:
        _, t, review, made = self.t.gettext, self.t, self.review, self.review.statement
        yield Tile(
            f"{_('Availability')} · {review.figure.formula}", t.availability(review.figure.availability)
        )
        yield Tile(_("Weighted downtime"), t.duration(review.figure.downtime))
        if made is not None:
            yield Tile(_("Promised"), t.percent(made.terms.objective))
            yield Tile(_("Error budget left"), t.duration(made.budget.left))
            if review.has_credit:
                yield Tile(_("Credit owed"), t.percent(made.credit))
        else:
            yield Tile(_("Downtimes"), t.number(len(self.report.downtimes)))
        yield Tile(_("Unknown"), t.duration(review.figure.tally.of(State.UNKNOWN)))

    def _sections(self) -> Iterator[Section | None]:
        yield self._time()
        yield self._budget()
        yield self._months()
        yield self._components()
        yield self._downtimes()
        yield self._unknown()
        yield self._maintenance()
        yield self._latency()
        yield self._terms()
        yield self._frozen()

    def _time(self) -> Section:
        _, figure = self.t.gettext, self.review.figure
        parts = breakdown(figure, self.words)
        total = figure.tally.total or timedelta(1)
        label = ", ".join(f"{name} {share}" for _look, name, _length, share in parts)
        bar = charts.proportions([(look, length / total) for look, _name, length, _share in parts], label)
        keys = [
            Key(look, f"{name} {self.t.duration(length)} ({share})") for look, name, length, share in parts
        ]
        pictures = [Picture("", bar, "share", keys=keys, label=label)]
        return Section("time", _("Where the time went"), pictures=[*pictures, *self._days()])

    def _days(self) -> Iterator[Picture]:
        """The days of each component, where there are few enough of both."""
        for part in self.review.parts[:MOST_CHARTS]:
            if 1 < len(part.days) <= DRAWN_DAYS + 1:
                label = self._days_label(part)
                yield Picture(
                    part.name,
                    bars.row(part.days, self.words, label),
                    "days",
                    times=[self.t.short_day(part.days[0].day), self.t.short_day(part.days[-1].day)],
                    label=label,
                )

    def _days_label(self, part: Part) -> str:
        status = ComponentStatus(part.id, *part.identity, part.name, "", State.UNKNOWN, None)
        window = Window(part.days[0].figure.window.start, part.days[-1].figure.window.end)
        history = ComponentHistory(status, window, part.days, part.figure)
        troubled = sum(1 for day in part.days if day.worst is not State.OPERATIONAL)
        return self.t.gettext(
            "%(name)s, %(days)s days: %(availability)s available, %(troubled)s days with events"
        ) % {
            "name": history.status.name,
            "days": len(part.days),
            "availability": self.t.availability(part.figure.availability),
            "troubled": troubled,
        }

    def _budget(self) -> Section | None:
        _, t, made = self.t.gettext, self.t, self.review.statement
        if made is None:
            return None
        notes = [
            _("%(spent)s of %(allowed)s spent.")
            % {"spent": t.duration(made.budget.spent), "allowed": t.duration(made.budget.allowed)}
        ]
        if self.review.has_credit:
            owed = _("A credit of %(percent)s of the fee is owed.") % {"percent": t.percent(made.credit)}
            notes.append(owed if made.credit else _("No credit is owed."))
        else:
            notes.append(_("Credits are owed for whole months: see the months."))
        spent = 1 - made.budget.share_left if made.budget.allowed else Fraction(1)
        share = float(max(Fraction(0), min(Fraction(1), spent)))
        look = "mj" if share >= 1 else "dg" if share >= 0.75 else "mt"
        label = _("%(share)s of the error budget is spent") % {
            "share": t.percent(round(float((1 - made.budget.share_left) * 100), 1))
        }
        bar = charts.proportions([(look, share), ("ph4", 1 - share)], label)
        return Section("budget", _("Error budget"), notes, pictures=[Picture("", bar, "share", label=label)])

    def _months(self) -> Section | None:
        _, review = self.t.gettext, self.review
        if len(review.months) < 2 and not (
            review.months and review.months[0].budget and not review.has_credit
        ):
            return None
        headings = [_("Month"), _("Availability"), _("Weighted downtime"), _("Unknown"), _("Maintenance")]
        if review.statement is not None:
            headings += [_("Error budget left"), _("Credit")]
        rows = [self._month(each) for each in review.months]
        notes = []
        if not all(each.whole for each in review.months):
            notes.append(_("A month marked * is not covered as a whole."))
        return Section("months", _("By month"), notes, table=self._table(headings, rows, 1))

    def _month(self, line: MonthLine) -> list[Cell]:
        t = self.t
        cells = [
            Cell(t.month(line.first) + ("" if line.whole else " *")),
            *self._figure_cells(line.figure),
        ]
        if self.review.statement is not None:
            cells.append(Cell(NOTHING if line.budget is None else t.duration(line.budget.left)))
            cells.append(Cell(NOTHING if line.credit is None else t.percent(line.credit)))
        return cells

    def _components(self) -> Section | None:
        _, parts = self.t.gettext, self.review.parts
        if self.review.subject is Subject.COMPONENT:
            return None
        headings = [_("Component"), _("Availability"), _("Weighted downtime"), _("Unknown"), _("Maintenance")]
        rows = [[Cell(each.name), *self._figure_cells(each.figure)] for each in parts]
        return Section("components", _("Components"), table=self._table(headings, rows, 1))

    def _figure_cells(self, figure: Figure) -> list[Cell]:
        t = self.t
        return [
            Cell(t.availability(figure.availability)),
            Cell(t.duration(figure.downtime)),
            Cell(t.duration(figure.tally.of(State.UNKNOWN))),
            Cell(t.duration(figure.tally.excluded)),
        ]

    def _downtimes(self) -> Section:
        _ = self.t.gettext
        if not self.report.downtimes:
            return Section("downtimes", _("Downtimes"), [_("No downtimes.")])
        headings = [_("From"), _("Duration"), _("Component"), _("State"), _("Incident")]
        rows = [self._downtime(each) for each in self.report.downtimes]
        return Section("downtimes", _("Downtimes"), table=self._table(headings, rows, None))

    def _downtime(self, downtime: Downtime) -> list[Cell]:
        _, trouble = self.t.gettext, downtime.trouble
        incident = downtime.incident
        told = Cell(_("none declared"))
        if incident is not None:
            href = f"/{self.t.language}/incidents/{incident.id}" if downtime.is_public else ""
            told = Cell(incident.title, href=href)
        return [*self._trouble(trouble), told]

    def _trouble(self, trouble: Trouble) -> list[Cell]:
        _, t, event = self.t.gettext, self.t, trouble.event
        causes = t.listing(each.full_name for each in event.because_of[:MOST_CAUSES])
        notes = [event.reason, f"{_('because of')} {causes}" if causes else ""]
        if trouble.excluded:
            length = t.duration(trouble.excluded)
            notes.append(_("%(length)s of it was announced maintenance") % {"length": length})
        if event.sample:
            notes.append(_("sample data"))
        return [
            Cell(t.dated_moment(event.window.start)),
            Cell(t.duration(event.duration)),
            Cell(trouble.part.name),
            Cell(
                self.words.state(event.state), SHOWN[event.state].value, note="; ".join(filter(None, notes))
            ),
        ]

    def _unknown(self) -> Section | None:
        _ = self.t.gettext
        if not self.report.unknown:
            return None
        counted = {
            "excluded": _("left out of counted time"),
            "downtime": _("counts as downtime"),
            "uptime": _("counts as available"),
        }[self.review.figure.unknown_counts_as]
        headings = [_("From"), _("Duration"), _("Component"), _("State")]
        rows = [self._trouble(each) for each in self.report.unknown]
        note = _("Nothing is known about these times: %(how)s.") % {"how": counted}
        return Section("unknown", _("Unknown time"), [note], table=self._table(headings, rows, None))

    def _maintenance(self) -> Section | None:
        _ = self.t.gettext
        if not self.review.planned:
            return None
        headings = [_("From"), _("Duration"), _("Maintenance"), _("Announced"), _("In the figures")]
        rows = [self._planned(each) for each in self.review.planned]
        return Section("maintenance", _("Maintenance"), table=self._table(headings, rows, None))

    def _planned(self, planned: Planned) -> list[Cell]:
        _, t, each = self.t.gettext, self.t, planned.maintenance
        counting = {
            Counting.EXCLUDED: _("Announced in time: leaves counted time"),
            Counting.TOO_LATE: _("Not announced in time: stays in counted time"),
            Counting.CANCELLED: _("Cancelled: stays in counted time"),
        }
        return [
            Cell(t.dated_moment(each.window.start)),
            Cell(t.duration(each.window.duration)),
            Cell(each.title or _("Planned maintenance"), note=t.listing(part.name for part in planned.parts)),
            Cell(t.dated_moment(each.announced_at)),
            Cell(counting[planned.counting]),
        ]

    def _latency(self) -> Section | None:
        _, review = self.t.gettext, self.review
        found = [each for each in review.parts if each.latency]
        if not found:
            return None
        keys = [Key("p50", _("p50, half of all checks")), Key("p95", "p95"), Key("p99", "p99")]
        pictures = []
        for part in found[:MOST_CHARTS]:
            chart = charts.latency(part.latency, review.elapsed, review.step, self.t, part.name)
            if chart is not None:
                pictures.append(
                    Picture(
                        part.name, chart.drawing, "chart", 1.8, chart.heights, chart.times, keys, part.name
                    )
                )
        notes = [_("Each point is %(length)s, in UTC.") % {"length": self.t.duration(review.step)}]
        if len(found) > MOST_CHARTS:
            notes.append(
                _("The first %(shown)s of %(all)s components are drawn.")
                % {"shown": MOST_CHARTS, "all": len(found)}
            )
        return Section("latency", _("Latency"), notes, pictures=pictures)

    def _terms(self) -> Section | None:
        _, t, made = self.t.gettext, self.t, self.review.statement
        if made is None:
            return None
        unknown = {
            "excluded": _("left out of counted time"),
            "downtime": _("counts as downtime"),
            "uptime": _("counts as available"),
        }
        together = {"average": _("their average"), "worst": _("the worst at each moment")}
        notice = _("leaves counted time when announced at least %(notice)s before")
        facts = [
            (_("Objective"), t.percent(made.terms.objective)),
            (_("Several components"), together[made.terms.combine]),
            (_("Unknown time"), unknown[made.terms.unknown]),
            (_("Maintenance"), notice % {"notice": t.duration(made.terms.notice)}),
        ]
        facts += [
            (
                _("Below %(percent)s") % {"percent": t.percent(tier.below)},
                _("%(percent)s credit") % {"percent": t.percent(tier.credit)},
            )
            for tier in sorted(made.terms.credits, key=lambda tier: tier.below, reverse=True)
        ]
        return Section("terms", _("Terms"), facts=facts)

    def _frozen(self) -> Section | None:
        _ = self.t.gettext
        if not self.review.frozen:
            return None
        headings = [
            _("Month"),
            _("Frozen on"),
            _("Availability"),
            _("Credit"),
            _("SHA-256 over its intervals"),
        ]
        rows = [cells for chain in _chains(self.review.frozen) for cells in self._chain(chain)]
        note = _(
            "Written down when the month had closed, and never changed. A correction is a row of its own; "
            "the newest one counts."
        )
        return Section("frozen", _("Frozen figures"), [note], table=self._table(headings, rows, None))

    def _chain(self, newest_first: Sequence[FrozenMonth]) -> Iterator[list[Cell]]:
        for row, shown in zip(newest_first, frozen_rows(newest_first, self.t), strict=True):
            yield [
                Cell(row.month),
                Cell(self.t.dated_moment(shown.at), note=shown.corrects),
                Cell(shown.availability),
                Cell(self.t.percent(shown.credit)),
                Cell(shown.sha256, "hash"),
            ]

    def _table(
        self, headings: Sequence[str], rows: Sequence[Sequence[Cell]], numbers_from: int | None
    ) -> Table:
        numeric = frozenset() if numbers_from is None else frozenset(range(numbers_from, len(headings)))
        hidden = len(rows) - MOST_ROWS
        more = ""
        if hidden > 0:
            more = self.t.ngettext(
                "%(num)s more row is in the CSV and JSON files.",
                "%(num)s more rows are in the CSV and JSON files.",
                hidden,
            ) % {"num": hidden}
        return Table(headings, numeric, rows[:MOST_ROWS], more)


def _chains(newest_first: Sequence[FrozenMonth]) -> list[list[FrozenMonth]]:
    """The rows of each month together."""
    by_month: dict[str, list[FrozenMonth]] = {}
    for row in newest_first:
        by_month.setdefault(row.month, []).append(row)
    return list(by_month.values())
