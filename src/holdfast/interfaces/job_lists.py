"""Lists of jobs as files, of any length, while they are being read: CSV, XLSX and NDJSON."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from enum import StrEnum

import msgspec

from holdfast.interfaces.sheets import CSV_TYPE, XLSX_TYPE, CsvSheet, Sheet, XlsxSheet
from holdfast.ledger.canonical import leaf_of
from holdfast.ledger.find.columns import Column, row_of, standing_of
from holdfast.ledger.find.jobs import Job

_ENCODER = msgspec.json.Encoder()


class FileForm(StrEnum):
    """How a list of jobs is written. NDJSON has each entry whole, the others the chosen columns."""

    CSV = "csv"
    XLSX = "xlsx"
    NDJSON = "ndjson"


MEDIA_TYPES = {
    FileForm.CSV: CSV_TYPE,
    FileForm.XLSX: XLSX_TYPE,
    FileForm.NDJSON: "application/x-ndjson",
}


async def written(
    form: FileForm, columns: Sequence[Column], portions: AsyncGenerator[Sequence[Job], None]
) -> AsyncIterator[bytes]:
    """The file, in parts. When nobody wants the rest, the reading ends too."""
    async with aclosing(portions):
        if form is FileForm.NDJSON:
            async for jobs in portions:
                yield await asyncio.to_thread(_lines, jobs)
            return
        headings = [column.name if form is FileForm.CSV else column.heading for column in columns]
        with CsvSheet(headings) if form is FileForm.CSV else XlsxSheet(headings, title="Jobs") as sheet:
            async for jobs in portions:
                # Beside the event loop: a portion can be thousands of rows.
                if part := await asyncio.to_thread(_added, sheet, columns, jobs):
                    yield part
            rest = sheet.end()
            while part := await asyncio.to_thread(_next, rest):
                yield part


def _added(sheet: Sheet, columns: Sequence[Column], jobs: Sequence[Job]) -> bytes:
    return sheet.add(row_of(job, columns) for job in jobs)


def _next(parts: Iterator[bytes]) -> bytes:
    return next(parts, b"")


def _lines(jobs: Sequence[Job]) -> bytes:
    """Each entry in its canonical form, which its proof is about, with its leaf and standing around it."""
    return b"".join(
        _ENCODER.encode(
            {
                "leaf": job.leaf,
                "what": job.what.value,
                "standing": standing_of(job),
                "corrected_by": job.corrected_by,
                "conflicts": job.conflicts,
                "entry": msgspec.Raw(leaf_of(job.entry)),
            }
        )
        + b"\n"
        for job in jobs
    )
