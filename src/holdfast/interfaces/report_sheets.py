"""Reports as tables: for people on a screen, and as CSV and XLSX files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from babel.numbers import get_currency_precision

from holdfast.interfaces.sheets import CSV_TYPE, XLSX_TYPE, Cell, csv_of, xlsx_of
from holdfast.ledger.reports.reporting import By, Report, Row
from holdfast.ledger.reports.rollups import Sums

HEADINGS = {
    "start": "Begins",
    "tenant": "Tenant",
    "kind": "Kind",
    "device": "Device",
    "user": "User",
    "cost_centre": "Cost centre",
    "format": "Paper format",
    "jobs": "Jobs",
    "failed": "Failed",
    "sheets": "Sheets",
    "mono_impressions": "Mono impressions",
    "colour_impressions": "Colour impressions",
    "scan_pages": "Scan pages",
    "fax_pages": "Fax pages",
}
QUANTITIES = tuple(name for name in Sums._fields if name != "amount")


class FileForm(StrEnum):
    """How a report is written to a file."""

    CSV = "csv"
    XLSX = "xlsx"


MEDIA_TYPES = {FileForm.CSV: CSV_TYPE, FileForm.XLSX: XLSX_TYPE}


@dataclass(frozen=True, slots=True)
class Table:
    """A report's columns, by name and by heading, and how many of them name a row."""

    names: Sequence[str]
    headings: Sequence[str]
    keys: int
    quantities: Sequence[str]
    currencies: Sequence[str]

    def cells(self, row: Row) -> list[Cell]:
        return [
            *(self._key(row, name) for name in self.names[: self.keys]),
            *(getattr(row.sums, name) for name in self.quantities),
            *(in_units(row.amounts.get(each, 0), each) for each in self.currencies),
        ]

    def _key(self, row: Row, name: str) -> Cell:
        if name == "start":
            return row.start
        # Of a report by tenant the tenant is the member.
        return row.tenant if name == "tenant" else row.member


def table_of(report: Report) -> Table:
    """Columns for what the report tells; one for the amounts of each currency that it has."""
    asked = report.asked
    keys = ["start"] if asked.per is not None else []
    if asked.tenant is None and asked.by in {By.DEVICE, By.USER, By.COST_CENTRE}:
        keys.append("tenant")
    if asked.by is not None:
        keys.append(asked.by.value)
    quantities = ("sheets",) if asked.by is By.FORMAT else QUANTITIES
    currencies = sorted({each for row in report.rows for each in row.amounts})
    names = [*keys, *quantities, *(f"amount_{each}" for each in currencies)]
    headings = [HEADINGS[each] for each in (*keys, *quantities)] + list(currencies)
    return Table(names, headings, len(keys), quantities, currencies)


def written(form: FileForm, report: Report) -> Iterator[bytes]:
    """The file, in parts."""
    table = table_of(report)
    rows = (table.cells(row) for row in report.rows)
    if form is FileForm.CSV:
        return csv_of(table.names, rows)
    return xlsx_of(table.headings, rows, title="Report")


def in_units(amount: int, currency: str) -> Decimal:
    """An amount in minor units as one in units: 1250 EUR cents are 12.50."""
    return Decimal(amount).scaleb(-get_currency_precision(currency))


def amount_text(amount: int, currency: str) -> str:
    """12,345.50 EUR."""
    return f"{in_units(amount, currency):,f} {currency}"


def name_of(report: Report) -> str:
    """A report's name, for a file: tenant, stretch, and what it is by."""
    asked = report.asked
    parts = [asked.tenant or "all", asked.since.isoformat(), asked.until.isoformat()]
    parts += [each.value for each in (asked.by, asked.per) if each is not None]
    return "report-" + "-".join(parts)
