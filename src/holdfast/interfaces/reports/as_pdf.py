"""A report as PDF, by typst. The same report gives the same bytes: its time is the time in the file."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from zoneinfo import ZoneInfo

from holdfast.interfaces.reports.document import Document, Picture
from holdfast.interfaces.reports.drawings import printed
from holdfast.interfaces.reports.i18n import ReportTranslator
from holdfast.interfaces.reports.layout import laid_out
from holdfast.interfaces.reports.model import Report
from holdfast.kernel.errors import HoldfastError, Remedy

PATIENCE_S = 60.0
MOST_BYTES = 64 * 1024 * 1024
_PROGRAM = (sys.executable, "-I", "-m", "holdfast.interfaces.reports.typesetting")


class TypesettingFailed(HoldfastError):  # noqa: N818  a state of affairs more than an error
    """The PDF could not be made. The other formats can."""

    remedy = Remedy.TRANSIENT


async def as_pdf(report: Report, language: str) -> bytes:
    """The file. Raises TypesettingFailed when it cannot be made, or not in time."""
    return await typeset(await asyncio.to_thread(_payload, report, language))


async def typeset(payload: bytes) -> bytes:
    """A document, as JSON of what `plain` returns and when it was made. Raises TypesettingFailed."""
    process = await asyncio.create_subprocess_exec(
        *_PROGRAM,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={},
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            made, complaint = await process.communicate(payload)
    except TimeoutError as error:
        raise TypesettingFailed("the PDF took too long to make", hint="ask for HTML, CSV or JSON") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode != 0 or not made.startswith(b"%PDF-"):
        reason = complaint.decode(errors="replace").strip().splitlines()[-1:] or ["it ended without a word"]
        raise TypesettingFailed(f"the PDF could not be made: {reason[0][:300]}")
    return made


def _payload(report: Report, language: str) -> bytes:
    t = ReportTranslator(language, ZoneInfo(report.review.time_zone))
    document = laid_out(report, language)
    return json.dumps(
        {"made_at": int(report.review.at.timestamp()), "report": plain(document, language, t)}
    ).encode()


def plain(document: Document, language: str, t: ReportTranslator) -> Mapping[str, Any]:
    """The document as the template takes it: texts, numbers, and drawings as SVG."""
    told = asdict(document)
    for section, shown in zip(document.sections, told["sections"], strict=True):
        shown["pictures"] = [_picture(each) for each in section.pictures]
        if section.table is not None:
            shown["table"]["numeric"] = sorted(section.table.numeric)
    return told | {
        "language": language,
        "page": t.gettext("Page"),
        "of": t.gettext("of"),
    }


def _picture(picture: Picture) -> Mapping[str, Any]:
    return asdict(picture) | {"drawing": printed(picture.drawing, picture.stretch)}
