"""The columns of a list of jobs: their names, and what stands in them. What a record does not tell is None.

Sheets, impressions and pages are counted as the device reported them. Prices are in the currency's minor
units.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from msgspec import UNSET

from holdfast.ledger.errors import Unsuitable
from holdfast.ledger.find.finding import record_of
from holdfast.ledger.find.jobs import Job
from holdfast.ledger.model import Document, Record

Value = str | int | bool | datetime | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `name` is for programs, `heading` for people."""

    name: str
    heading: str
    of: Callable[[Job, Record], Value]
    is_number: bool = False


def _field(name: str) -> Callable[[Job, Record], Value]:
    def value(_: Job, record: Record) -> Value:
        return _plain(getattr(record, name))

    return value


def _document(name: str) -> Callable[[Job, Record], Value]:
    def value(_: Job, record: Record) -> Value:
        return _plain(getattr(record.document, name)) if isinstance(record.document, Document) else None

    return value


def _sheets(_: Job, record: Record) -> Value:
    return sum(record.sheets.values()) if record.sheets else None


def _formats(_: Job, record: Record) -> Value:
    return (
        ", ".join(f"{count} {name}" for name, count in sorted(record.sheets.items()))
        if record.sheets
        else None
    )


def _prices(_: Job, record: Record) -> Value:
    if not record.prices:
        return None
    return ", ".join(f"{name} {each.amount} {each.currency}" for name, each in sorted(record.prices.items()))


def _amount(_: Job, record: Record) -> Value:
    """The prices' sum, where they are of one currency."""
    prices = list((record.prices or {}).values())
    return sum(each.amount for each in prices) if len({each.currency for each in prices}) == 1 else None


def _currency(_: Job, record: Record) -> Value:
    found = {each.currency for each in (record.prices or {}).values()}
    return ", ".join(sorted(found)) or None


def standing_of(job: Job) -> str:
    """What the entry is to reports: it `counts`, was `corrected`, is a `void` correction or a `conflict`."""
    if job.void:
        return "void"
    return "counts" if job.counts else "corrected" if job.corrected_by is not None else "conflict"


def _corrects(name: str) -> Callable[[Job, Record], Value]:
    def value(_: Job, record: Record) -> Value:
        return getattr(record.corrects, name) if record.corrects else None

    return value


COLUMNS: Mapping[str, Column] = {
    each.name: each
    for each in (
        Column("leaf", "Leaf", lambda job, _: job.leaf, is_number=True),
        Column("occurred_at", "Occurred (UTC)", _field("occurred_at")),
        Column("kind", "Kind", _field("kind")),
        Column("job", "Job", _field("job")),
        Column("user", "User", _field("user")),
        Column("device", "Device", _field("device")),
        Column("cost_centre", "Cost centre", _field("cost_centre")),
        Column("status", "Status", _field("status")),
        Column("sheets", "Sheets", _sheets, is_number=True),
        Column("formats", "Paper", _formats),
        Column("mono_impressions", "Mono impressions", _field("mono_impressions"), is_number=True),
        Column("colour_impressions", "Colour impressions", _field("colour_impressions"), is_number=True),
        Column("duplex", "Duplex", _field("duplex")),
        Column("scan_pages", "Scanned pages", _field("scan_pages"), is_number=True),
        Column("fax_pages", "Fax pages", _field("fax_pages"), is_number=True),
        Column("amount", "Amount (minor units)", _amount, is_number=True),
        Column("currency", "Currency", _currency),
        Column("prices", "Prices (minor units)", _prices),
        Column("quality", "Quality", _field("quality")),
        Column("reported_at", "Reported (UTC)", _field("reported_at")),
        Column("reporter", "Reporter", _field("reporter")),
        Column("source", "Source", _field("source")),
        Column("epoch", "Epoch", _field("epoch"), is_number=True),
        Column("seq", "Seq", _field("seq"), is_number=True),
        Column("document_format", "Document format", _document("format")),
        Column("document_pages", "Document pages", _document("pages"), is_number=True),
        Column("document_bytes", "Document bytes", _document("bytes"), is_number=True),
        Column("what", "Entry", lambda job, _: job.what.value),
        Column("standing", "Standing", lambda job, _: standing_of(job)),
        Column("corrects", "Corrects leaf", _corrects("leaf"), is_number=True),
        Column("reason", "Reason", _corrects("reason")),
        Column("actor", "Corrected by", _corrects("actor")),
        Column("corrected_by", "Corrected in leaf", lambda job, _: job.corrected_by, is_number=True),
        Column("conflicts", "Conflicts in leaves", lambda job, _: ", ".join(map(str, job.conflicts)) or None),
        Column("person", "Person", _field("person")),
    )
}
USUAL = (
    "leaf",
    "occurred_at",
    "kind",
    "job",
    "user",
    "device",
    "cost_centre",
    "status",
    "sheets",
    "standing",
)
"""What is shown when nobody chose."""


def chosen(names: Iterable[str]) -> Sequence[Column]:
    """Columns by their names, in that order; the usual ones when none is named, all for `all`.

    Raises Unsuitable for a name that is none.
    """
    wanted = list(dict.fromkeys(name for name in names if name))
    if wanted == ["all"]:
        return list(COLUMNS.values())
    if unknown := [name for name in wanted if name not in COLUMNS]:
        raise Unsuitable(f"there is no column {unknown[0]!r}", hint=f"there are: {', '.join(COLUMNS)}")
    return [COLUMNS[name] for name in wanted or USUAL]


def row_of(job: Job, columns: Sequence[Column]) -> list[Value]:
    record = record_of(job.entry)
    return [column.of(job, record) for column in columns]


def _plain(value: Any) -> Value:
    if value is UNSET:
        return None
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return value if isinstance(value, bool | int) else str(value)
