"""The CSV files of PaperCut Print Logger, by day, by month or of all time: each has the same lines.

    PaperCut Print Logger - http://www.papercut.com/
    Time,User,Pages,Copies,Printer,Document Name,Client,Paper Size,Language,Height,Width,Duplex,Grayscale,Size
    2020-05-29 17:50:10,ada,2,1,HP-MFT01,"Minutes - Notepad",PC-7,A4,PCL6,,,NOT DUPLEX,GRAYSCALE,19kb,

Times are those of the print server's clock and bear no zone: it is the tenant's, or one that is given. In the
hour that comes twice a year they are taken as of the first time. What was printed is reckoned from what was
sent, so that every record is estimated. The document's name and the client are not taken over.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from holdfast.ledger.intake.drafts import Draft, paper_format, text_of, whole_number
from holdfast.ledger.intake.files import Line
from holdfast.ledger.model import Refusal

COLUMNS = (
    "time",
    "user",
    "pages",
    "copies",
    "printer",
    "document name",
    "client",
    "paper size",
    "language",
    "height",
    "width",
    "duplex",
    "grayscale",
    "size",
)
_NEEDED = ("time", "user", "pages", "copies", "printer")
_BANNER = "papercut print logger"
_SIZE = re.compile(r"(\d{1,12})\s*(|b|kb|mb|gb)", re.IGNORECASE)
_UNITS = {"": 1024, "b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3}
"""Without a unit it is in kilobytes, as old versions wrote it."""


@dataclass(slots=True)
class PrintLogger:
    """Reads those files (Reads). A line is a job."""

    zone: ZoneInfo
    encoding: str = "cp1252"
    _columns: tuple[str, ...] = field(default=COLUMNS, repr=False)

    @property
    def held_back(self) -> int:
        return 0

    def read(self, line: Line) -> Sequence[Draft | Refusal]:
        try:
            [cells] = csv.reader([text_of(line.content, self.encoding)], strict=True)
            return self._read(line, [cell.strip() for cell in cells])
        except (ValueError, csv.Error) as error:
            return [Refusal(line.number, str(error))]

    def settled(self, now: datetime | None) -> Sequence[Draft]:
        del now
        return []

    def next_file(self) -> None:
        self._columns = COLUMNS

    def _read(self, line: Line, cells: list[str]) -> list[Draft]:
        names = tuple(cell.lower() for cell in cells if cell)
        if names and names[0].startswith(_BANNER):
            return []
        if set(_NEEDED) <= set(names):  # the heading, once or after each start of the logger
            self._columns = names
            return []
        if not len(self._columns) <= len(cells) <= len(self._columns) + 1 or any(cells[len(self._columns) :]):
            raise ValueError(f"{len(cells)} cells, and {len(self._columns)} columns in the heading")
        return [self._draft(line, dict(zip(self._columns, cells, strict=False)))]

    def _draft(self, line: Line, told: dict[str, str]) -> Draft:
        at = self._moment(told["time"])
        pages = whole_number(told["pages"], "the number of pages")
        copies = whole_number(told["copies"], "the number of copies")
        duplex, grey = _flag(told, "duplex"), _flag(told, "grayscale")
        impressions = pages * copies
        record: dict[str, Any] = {
            "device": told["printer"],
            "job": f"{told['printer']}-{at:%Y%m%dT%H%M%SZ}",
            "kind": "print",
            "occurred_at": at.isoformat(),
            "quality": "estimated",
            "reporter": "papercut",
            "status": "completed",
            "document": _document(told, pages),
        }
        if impressions:
            sheets = (pages + 1) // 2 * copies if duplex else impressions
            record["sheets"] = {paper_format(told.get("paper size", "")): sheets}
            # What is told not to be grey is in colour as a whole.
            record["colour_impressions" if grey is False else "mono_impressions"] = impressions
        if duplex is not None:
            record["duplex"] = duplex
        return Draft(line.number, line.mark, record, {"login": told["user"]} if told["user"] else None)

    def _moment(self, text: str) -> datetime:
        try:
            local = datetime.strptime(text, "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007  its zone is known
            return local.replace(tzinfo=self.zone).astimezone(UTC)
        except (ValueError, OverflowError):
            raise ValueError(f"{text[:40]!r} is no time as in 2020-05-29 17:50:10") from None


def _flag(told: dict[str, str], name: str) -> bool | None:
    """`DUPLEX` and `NOT DUPLEX`; None when the column is not there or empty."""
    value = told.get(name, "").upper()
    if value in {"", name.upper(), f"NOT {name.upper()}"}:
        return None if not value else value == name.upper()
    raise ValueError(f"{name} is {value[:40]!r}")


def _document(told: dict[str, str], pages: int) -> dict[str, Any]:
    document: dict[str, Any] = {"pages": pages}
    if told.get("language"):
        document["format"] = told["language"]
    if size := _SIZE.fullmatch(told.get("size", "")):
        document["bytes"] = int(size[1]) * _UNITS[size[2].lower()]
    return document
