"""CUPS' page_log. Sources: cupsd-logs(5), `PageLogFormat` in cupsd.conf(5), and cupsd's log.c and job.c.

    DeskJet root 1 [20/May/1999:19:21:06 +0000] total 2 acme-123 localhost myjob na_letter_8.5x11in one-sided

Since CUPS 2.3 a job has one line, with the word `total` and the impressions (sides) that were printed. It
is written at each end of the job: one that was stopped and goes on has another line, which counts from the
job's beginning; what it counts more than the line before becomes a record of its own.

Before that a job has a line for each page, with its number and its copies, and nothing says which is the
last. Lines of one job become one record once its printer has begun another job, or has been silent for a
while; a job that is still open is left for the next time.

A page_log tells no outcome (unless its format has `%{job-state}`), and colour only with
`%{print-color-mode}`: what is not told counts as completed and as monochrome, and the record as estimated.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple

from holdfast.ledger.errors import Unsuitable
from holdfast.ledger.intake.drafts import Draft, paper_format, text_of, whole_number
from holdfast.ledger.intake.files import Line, Mark
from holdfast.ledger.model import Refusal

STANDARD = "%p %u %j %T %P %C %{job-billing} %{job-originating-host-name} %{job-name} %{media} %{sides}"
SETTLED_AFTER = timedelta(minutes=10)
REMEMBERED_FOR = timedelta(days=7)
"""So long a job may be stopped and still go on as the same one."""

_DATE = r"\[\d{2}/[A-Za-z]{3}/\d{4}:\d{2}:\d{2}:\d{2}(?:\.\d+)? ?[+-]\d{2}-?\d{2}\]"
LONGEST_LINE = 2048
"""CUPS cuts its lines there (log.c)."""

_FIELDS = {"p": r"\S+", "u": ".+?", "j": r"\d+", "T": "", "P": r"\d+|total", "C": r"-?\d+"}
_TEXTS = {"job-billing", "job-name", "job-account-id", "job-accounting-user-id"}
"""Attributes that may hold blanks. All others are keywords, numbers or names of hosts."""
_MOST_TEXTS = 2
_SEQUENCE = re.compile(r"%(?:\{([^}]+)\}|(.))", re.DOTALL)
_MOMENT = re.compile(
    r"\[(\d{2})/([A-Za-z]{3})/(\d{4}):(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,6})\d*)? ?([+-])(\d{2})-?(\d{2})\]"
)
_ANY_MOMENT = re.compile(_DATE)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STATES = {"7": "cancelled", "8": "failed"}
"""IPP job-state (RFC 8011, 5.3.7); all others that a log is written in count as completed."""
_DUPLEX = {"one-sided": False, "two-sided-long-edge": True, "two-sided-short-edge": True}
_COLOURS = {"monochrome": False, "process-monochrome": False, "bi-level": False, "color": True}


class _Job(NamedTuple):
    """What makes lines those of one job. Numbers alone begin anew when the spool folder is cleared."""

    id: str
    user: str
    host: str
    name: str
    billing: str


@dataclass(slots=True)
class _Open:
    """A job whose pages are being told one by one."""

    job: _Job
    line: int
    mark: Mark
    at: datetime
    told: Mapping[str, str]
    impressions: int = 0
    fronts: int = 0
    """Impressions of odd pages: so many sheets are used when both sides are printed."""


class _Side(NamedTuple):
    """What a part of a line looks like, and what its groups tell."""

    pattern: re.Pattern[str]
    names: tuple[str, ...]


class _Counted(NamedTuple):
    impressions: int
    at: datetime


@dataclass(slots=True)
class PageLog:
    """Reads a page_log (Reads). `log_format` is the `PageLogFormat` that it was written with."""

    log_format: str = STANDARD
    encoding: str = "cp1252"
    settled_after: timedelta = SETTLED_AFTER
    _sides: tuple["_Side", "_Side"] = field(init=False, repr=False)
    """What stands before the date, and behind it."""
    _open: dict[str, _Open] = field(default_factory=dict, repr=False)
    """By printer: it prints one job after the other."""
    _counted: dict[_Job, _Counted] = field(default_factory=dict, repr=False)
    """What has become records of each job."""

    def __post_init__(self) -> None:
        self._sides = _sides_of(self.log_format)

    @property
    def held_back(self) -> int:
        return len(self._open)

    def read(self, line: Line) -> Sequence[Draft | Refusal]:
        try:
            told, at = self._told(line)
            if told.get("P", "total") == "total":
                return self._total(line, told, at)
            return self._page(line, told, at)
        except ValueError as error:
            return [Refusal(line.number, str(error))]

    def settled(self, now: datetime | None) -> Sequence[Draft]:
        found = list[Draft]()
        for printer, opened in list(self._open.items()):
            if now is None or opened.at + self.settled_after <= now:
                found += self._close(printer)
        return found

    def next_file(self) -> None:
        """A job may go on over the border of two files: nothing ends with one."""

    def _told(self, line: Line) -> tuple[dict[str, str], datetime]:
        if len(line.content) > LONGEST_LINE:
            raise ValueError(f"CUPS writes no line of more than {LONGEST_LINE:,} bytes")
        text = text_of(line.content, self.encoding)
        dates = list(_ANY_MOMENT.finditer(text))
        if len(dates) > 1:
            # A user or a document that bears a date as its name could pretend to be the fields around it.
            raise ValueError("two dates stand in it, and it cannot be told which one is whose")
        if not dates:
            raise ValueError(f"it is not of the format {self.log_format!r}")
        told = dict[str, str]()
        for side, part in zip(self._sides, (text[: dates[0].start()], text[dates[0].end() :]), strict=True):
            found = side.pattern.fullmatch(part)
            if found is None:
                raise ValueError(f"it is not of the format {self.log_format!r}")
            told.update(zip(side.names, found.groups(), strict=True))
        return told, _moment(dates[0][0])

    def _page(self, line: Line, told: Mapping[str, str], at: datetime) -> list[Draft]:
        printer, job = told["p"], _job_of(told)
        copies = max(whole_number(told["C"], "the number of copies"), 1)
        drafts = list[Draft]()
        opened = self._open.get(printer)
        if opened is not None and opened.job != job:
            drafts += self._close(printer)
            opened = None
        if opened is None:
            opened = self._open[printer] = _Open(job, line.number, line.mark, at, told)
        opened.at = max(opened.at, at)
        opened.impressions += copies
        if whole_number(told["P"], "the page's number") % 2:
            opened.fronts += copies
        return drafts

    def _total(self, line: Line, told: Mapping[str, str], at: datetime) -> list[Draft]:
        printer, job = told["p"], _job_of(told)
        counted = max(int(told["C"]), 0)
        whole_number(str(counted), "the total")
        opened = self._open.get(printer)
        if opened is not None and opened.job == job:
            del self._open[printer]
            first, mark, pages = opened.line, opened.mark, opened.impressions
        else:
            opened, first, mark, pages = None, line.number, line.mark, 0
        before = self._before(job, at)
        if counted < before:  # it counts anew: another job under the number of an old one
            before = 0
        impressions = max(counted - before, pages)
        self._remember(job, before + impressions, at)
        if not impressions and before:
            return []  # it ended once more, and nothing was printed since
        fronts = opened.fronts if opened and pages == impressions else None
        return [_draft(first, mark, told, at, impressions, fronts)]

    def _close(self, printer: str) -> list[Draft]:
        opened = self._open.pop(printer)
        before = self._before(opened.job, opened.at)
        self._remember(opened.job, before + opened.impressions, opened.at)
        return [_draft(opened.line, opened.mark, opened.told, opened.at, opened.impressions, opened.fronts)]

    def _before(self, job: _Job, at: datetime) -> int:
        known = self._counted.get(job)
        return known.impressions if known and at - known.at <= REMEMBERED_FOR else 0

    def _remember(self, job: _Job, impressions: int, at: datetime) -> None:
        self._counted.pop(job, None)
        self._counted[job] = _Counted(impressions, at)
        while len(self._counted) > 1000:
            oldest = next(iter(self._counted))
            if at - self._counted[oldest].at <= REMEMBERED_FOR:
                break
            del self._counted[oldest]


def _draft(
    line: int, mark: Mark, told: Mapping[str, str], at: datetime, impressions: int, fronts: int | None
) -> Draft:
    """`fronts`: how many sheets both-sided printing took, where it is known."""
    duplex = _DUPLEX.get(told.get("sides", ""))
    colour = _COLOURS.get(told.get("print-color-mode", ""))
    record: dict[str, Any] = {
        "device": told["p"],
        "job": f"{told['p']}-{told['j']}",
        "kind": "print",
        "occurred_at": at.isoformat(),
        "reporter": "cups",
        "status": _STATES.get(told.get("job-state", ""), "completed"),
    }
    exact = duplex is not None and colour is not None
    if impressions:
        sheets = impressions
        if duplex:
            sheets, exact = (fronts, exact) if fronts is not None else _sheets(impressions, told, exact=exact)
        record["sheets"] = {paper_format(told.get("media", "")): sheets}
        record["colour_impressions" if colour else "mono_impressions"] = impressions
    record["quality"] = "exact" if exact and impressions else "estimated"
    if duplex is not None:
        record["duplex"] = duplex
    billing = told.get("job-billing") or told.get("job-account-id") or "-"
    if billing.strip(" -"):
        record["cost_centre"] = billing
    if (kind := told.get("document-format", "-")) != "-" and kind:
        record["document"] = {"format": kind}
    user = told.get("u", "-")
    return Draft(line, mark, record, {"login": user} if user != "-" else None)


def _sheets(impressions: int, told: Mapping[str, str], *, exact: bool) -> tuple[int, bool]:
    """Sheets of both-sided printing, and whether that is exact: each copy begins on a sheet of its own."""
    copies = told.get("copies", "")
    if copies.isascii() and copies.isdigit() and 0 < int(copies) <= impressions:
        pages, rest = divmod(impressions, int(copies))
        if not rest:
            return (pages + 1) // 2 * int(copies), exact
    return (impressions + 1) // 2, False


def _job_of(told: Mapping[str, str]) -> _Job:
    others = (told.get(name, "") for name in ("job-originating-host-name", "job-name", "job-billing"))
    return _Job(told["j"], told.get("u", ""), *others)


def _moment(text: str) -> datetime:
    found = _MOMENT.fullmatch(text)
    month = found[2].title() if found else ""
    if found is None or month not in _MONTHS:
        raise ValueError(f"{text} is no date")
    day, _, year, hour, minute, second, fraction, sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
    micros = int((fraction or "0").ljust(6, "0"))
    try:
        local = datetime(  # noqa: DTZ001  its zone comes in the next step, as it may be out of range
            int(year),
            _MONTHS.index(month) + 1,
            int(day),
            int(hour),
            int(minute),
            min(int(second), 59),
            micros,
        )
        return local.replace(tzinfo=timezone(offset)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text} is no date") from None


def _sides_of(log_format: str) -> tuple[_Side, _Side]:
    """What stands before and behind the date in lines of this format.

    Raises Unsuitable when records could not be made of them.
    """
    parts: tuple[list[str], list[str]] = [], []
    names: tuple[list[str], list[str]] = [], []
    at, texts, seen = 0, 0, set[str]()
    for found in _SEQUENCE.finditer(log_format):
        part = parts["T" in seen]
        part.append(re.escape(log_format[at : found.start()]))
        at = found.end()
        attribute, letter = found.groups()
        if letter == "%":
            part.append("%")
            continue
        name, is_text = attribute or letter, attribute in _TEXTS
        shape = _FIELDS.get(name) if letter else (".*?" if is_text else r"\S*")
        if shape is None or name in seen:
            raise Unsuitable(
                f"%{name} is nothing that a page_log tells, or is there twice",
                hint="see PageLogFormat in cupsd.conf(5)",
            )
        if name != "T":
            part.append(f"({shape})")
            names["T" in seen].append(name)
        texts += is_text
        seen.add(name)
    parts["T" in seen].append(re.escape(log_format[at:]))
    missing = [f"%{name}" for name in "pjTC" if name not in seen]
    if missing or texts > _MOST_TEXTS:
        raise Unsuitable(
            f"records cannot be made without {', '.join(missing)}"
            if missing
            else f"more than {_MOST_TEXTS} attributes that may hold blanks: it cannot be told where one ends",
            hint=f"CUPS' own format: {STANDARD}",
        )
    sides = zip(parts, names, strict=True)
    before, behind = (_Side(re.compile("".join(part)), tuple(told)) for part, told in sides)
    return before, behind
