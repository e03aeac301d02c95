"""Tables for spreadsheets, of any length: CSV (RFC 4180) and XLSX (Office Open XML).

    for part in csv_of(("job", "sheets"), rows): ...       # bytes, as they come
    for part in xlsx_of(("job", "sheets"), rows): ...

Rows that come bit by bit go into a `Sheet`: each `add` returns what can be handed out already, `end` the
rest. Neither form keeps the table in memory: XLSX waits on disk until it is whole.

A cell never acts. In CSV a text that a spreadsheet would take for a formula gets an apostrophe in front; in
XLSX every text is one by its type, and stays what it was. Numbers are numbers, and texts that look like some
(a cost centre 0042) stay texts. Times are in UTC: RFC 3339 in CSV, date cells in XLSX.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Protocol, Self

from xlsxwriter import Workbook

Cell = str | int | Decimal | bool | date | datetime | None
Row = Sequence[Cell]

CSV_TYPE = "text/csv; charset=utf-8; header=present"
XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

MOST_ROWS = 1_048_576
"""Of one XLSX sheet, its headings among them (ECMA-376). What is longer goes on in a next sheet."""
MOST_TEXT = 32_767
"""Characters of an XLSX cell."""
MOST_DIGITS = 15
"""A spreadsheet counts in binary64: a number with more digits would be another one there."""
_INEXACT: int = 10**MOST_DIGITS
_PART = 64 * 1024
_ACTING = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  those act, too
_UNFIT = dict.fromkeys((0, *range(0xD800, 0xE000), 0xFFFE, 0xFFFF), "\ufffd")
_NO_TITLE = str.maketrans(dict.fromkeys("[]:*?/\\'", "-"))
_FIRST_DATE = date(1900, 3, 1)
"""Before it spreadsheets count a day that never was (29 February 1900)."""


class Sheet(Protocol):
    """A table that is written row by row. A context: what it keeps on disk is gone at its end."""

    media_type: str
    suffix: str

    def add(self, rows: Iterable[Row]) -> bytes:
        """Takes them in, and returns what can be handed out by now."""
        ...

    def end(self) -> Iterator[bytes]:
        """The rest. Nothing can be added then."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def csv_of(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[bytes]:
    """The table as CSV, in parts: UTF-8 without a mark, lines end with CR LF."""
    with CsvSheet(columns) as sheet:
        for row in rows:
            if len(part := sheet.add([row])) > _PART:
                yield part
        yield from sheet.end()


def xlsx_of(columns: Sequence[str], rows: Iterable[Row], *, title: str = "Sheet") -> Iterator[bytes]:
    """The table as XLSX, in parts."""
    with XlsxSheet(columns, title=title) as sheet:
        sheet.add(rows)
        yield from sheet.end()


class CsvSheet:
    """`Sheet` as CSV."""

    media_type = CSV_TYPE
    suffix = "csv"

    def __init__(self, columns: Sequence[str]) -> None:
        self._text = StringIO()
        self._writer = csv.writer(self._text, lineterminator="\r\n")
        self._writer.writerow([_csv_cell(each) for each in columns])

    def add(self, rows: Iterable[Row]) -> bytes:
        self._writer.writerows([[_csv_cell(cell) for cell in row] for row in rows])
        return self._taken() if self._text.tell() > _PART else b""

    def end(self) -> Iterator[bytes]:
        if part := self._taken():
            yield part

    def _taken(self) -> bytes:
        part = self._text.getvalue().encode()
        self._text.seek(0)
        self._text.truncate()
        return part

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._text.close()


class XlsxSheet:
    """`Sheet` as XLSX. It has its first byte when it is whole: the directory of a zip stands at its end."""

    media_type = XLSX_TYPE
    suffix = "xlsx"

    def __init__(self, columns: Sequence[str], *, title: str = "Sheet", most_rows: int = MOST_ROWS) -> None:
        self._columns = columns
        self._title = title.translate(_NO_TITLE)[:24]
        self._most_rows = most_rows
        self._folder = TemporaryDirectory(prefix="holdfast-sheet-")
        self._path = Path(self._folder.name) / "sheet.xlsx"
        # In constant memory a row is written out once the next one begins.
        self._book = Workbook(str(self._path), {"constant_memory": True, "tmpdir": self._folder.name})
        self._bold = self._book.add_format({"bold": True})
        self._moment = self._book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        self._day = self._book.add_format({"num_format": "yyyy-mm-dd"})
        self._sheets = 0
        self._begin()

    def add(self, rows: Iterable[Row]) -> bytes:
        for row in rows:
            if self._next == self._most_rows:
                self._begin()
            for column, cell in enumerate(row):
                self._write(self._next, column, cell)
            self._next += 1
        return b""

    def end(self) -> Iterator[bytes]:
        self._book.close()
        with self._path.open("rb") as whole:
            while part := whole.read(_PART):
                yield part

    def _begin(self) -> None:
        self._sheets += 1
        name = self._title if self._sheets == 1 else f"{self._title} ({self._sheets})"
        self._sheet: Any = self._book.add_worksheet(name)
        self._sheet.freeze_panes(1, 0)
        self._sheet.set_column(0, max(len(self._columns) - 1, 0), 16)
        for column, heading in enumerate(self._columns):
            self._sheet.write_string(0, column, _fit(heading), self._bold)
        self._next = 1

    def _write(self, row: int, column: int, cell: Cell) -> None:
        match cell:
            case None:
                return
            case bool():
                self._sheet.write_boolean(row, column, cell)
            case int() | Decimal() if _is_exact(cell):
                self._sheet.write_number(row, column, cell)
            case datetime() if cell.date() >= _FIRST_DATE:
                moment = cell.astimezone(UTC).replace(tzinfo=None)
                self._sheet.write_datetime(row, column, moment, self._moment)
            case date() if not isinstance(cell, datetime) and cell >= _FIRST_DATE:
                self._sheet.write_datetime(row, column, cell, self._day)
            case _:
                self._sheet.write_string(row, column, _fit(_text(cell)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._book.fileclosed:
            self._book.close()
        self._folder.cleanup()


def _csv_cell(cell: Cell) -> str:
    if not isinstance(cell, str):
        return _text(cell)
    text = _written(cell)
    return f"'{text}" if text.startswith(_ACTING) else text


def _written(text: str) -> str:
    """Without what neither UTF-8 nor XML can hold."""
    return text if text.isprintable() else text.translate(_UNFIT)


def _fit(text: str) -> str:
    """What XML and a cell can hold."""
    text = _written(text)
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return "yes" if cell else "no"
        case datetime():
            return cell.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return cell.isoformat()
        case Decimal():
            return f"{cell:f}"
        case _:
            return str(cell)


def _is_exact(number: int | Decimal) -> bool:
    if isinstance(number, int):
        return abs(number) < _INEXACT
    return number.is_finite() and len(number.normalize().as_tuple().digits) <= MOST_DIGITS
