"""PaperCut Print Logger's CSV files become records."""

import io
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from holdfast.ledger.intake.drafts import Draft
from holdfast.ledger.intake.files import Line, Lines, marker
from holdfast.ledger.intake.papercut import PrintLogger
from holdfast.ledger.model import Refusal

BANNER = "PaperCut Print Logger - http://www.papercut.com/"
HEADING = (
    "Time,User,Pages,Copies,Printer,Document Name,Client,"
    "Paper Size,Language,Height,Width,Duplex,Grayscale,Size"
)
LINE = '2026-05-29 17:50:10,ada,3,2,HP-MFT01,"Minutes, of May",PC7,A4,PCL6,,,DUPLEX,GRAYSCALE,19kb,'
BERLIN = ZoneInfo("Europe/Berlin")


def drafts(*texts: str, zone: ZoneInfo = BERLIN) -> list[Draft | Refusal]:
    content = b"".join(text.encode() + b"\r\n" for text in texts)
    log = PrintLogger(zone)
    found = list[Draft | Refusal]()
    for line in Lines(io.BytesIO(content), marker(b"")).read(10**6):
        found += [line] if isinstance(line, Refusal) else log.read(line)
    return found


def one(line: str, zone: ZoneInfo = BERLIN) -> dict[str, Any]:
    [draft] = drafts(BANNER, HEADING, line, zone=zone)
    assert isinstance(draft, Draft), draft
    return dict(draft.told)


def test_a_line_is_a_job() -> None:
    [draft] = drafts(BANNER, HEADING, LINE)
    assert isinstance(draft, Draft)
    assert (draft.line, draft.person) == (3, {"login": "ada"})
    assert dict(draft.told) == {
        "device": "HP-MFT01",
        "document": {"bytes": 19456, "format": "PCL6", "pages": 3},
        "duplex": True,
        "job": "HP-MFT01-20260529T155010Z",
        "kind": "print",
        "mono_impressions": 6,
        "occurred_at": "2026-05-29T15:50:10+00:00",
        "quality": "estimated",
        "reporter": "papercut",
        "sheets": {"A4": 4},
        "status": "completed",
    }
    assert "Minutes" not in str(draft.told)
    assert "PC7" not in str(draft.told)


def test_colour_and_single_sides() -> None:
    told = one(LINE.replace(",DUPLEX,GRAYSCALE", ",NOT DUPLEX,NOT GRAYSCALE"))
    assert (told["colour_impressions"], told["sheets"], told["duplex"]) == (6, {"A4": 6}, False)
    assert "mono_impressions" not in told


def test_nothing_printed_has_no_quantities() -> None:
    assert not {"sheets", "mono_impressions"} & one(LINE.replace(",3,2,", ",0,1,")).keys()


def test_the_hour_that_comes_twice_is_the_first_one() -> None:
    told = one(LINE.replace("2026-05-29 17:50:10", "2026-10-25 02:30:00"))
    assert told["occurred_at"] == "2026-10-25T00:30:00+00:00"
    assert one(LINE, ZoneInfo("America/New_York"))["occurred_at"] == "2026-05-29T21:50:10+00:00"


def test_columns_are_found_by_their_headings() -> None:
    shuffled = "\ufeffUser,Time,Printer,Copies,Pages"
    [draft] = drafts(shuffled, "ada,2026-05-29 17:50:10,P1,2,5")
    assert isinstance(draft, Draft)
    assert (draft.told["mono_impressions"], draft.told["sheets"]) == (10, {"unknown": 10})
    assert "duplex" not in draft.told


def test_a_file_without_heading_has_the_usual_columns() -> None:
    assert len(drafts(LINE)) == len(drafts(BANNER, HEADING, BANNER, HEADING, LINE)) == 1


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (LINE.replace("17:50", "25:50"), "no time"),
        (LINE.replace("2026-05-29", "29.05.2026"), "no time"),
        (LINE.replace(",3,2,", ",3,x,"), "the number of copies is 'x'"),
        (LINE.replace(",3,2,", ",-3,2,"), "the number of pages is '-3'"),
        (LINE.replace(",3,2,", ",1000001,2,"), "the number of pages"),
        (LINE.replace(",DUPLEX", ",MAYBE"), "duplex is 'MAYBE'"),
        (LINE.replace('of May"', "of May"), "unexpected end"),
        (LINE + "more,and,more", "cells"),
        ("2026-05-29 17:50:10,ada,3", "cells"),
    ],
)
def test_a_malformed_line_is_refused_and_the_others_go_in(line: str, why: str) -> None:
    found = drafts(HEADING, LINE, line, LINE)
    assert [type(each) for each in found] == [Draft, Refusal, Draft]
    refused = found[1]
    assert isinstance(refused, Refusal)
    assert refused.line == 3
    assert why in refused.reason


def test_equal_lines_are_two_jobs_and_the_same_two_in_every_file() -> None:
    daily, monthly = drafts(HEADING, LINE, LINE), drafts(HEADING, "2026-05-01" + LINE[10:], LINE, LINE)
    marks = [draft.mark for draft in daily if isinstance(draft, Draft)]
    assert len(set(marks)) == 2
    assert [draft.mark for draft in monthly if isinstance(draft, Draft)][1:] == marks


def test_lines_that_are_not_complete_are_left() -> None:
    content = io.BytesIO(LINE.encode()[:40])
    lines = Lines(content, marker(b""))
    assert not lines.read(10)
    assert lines.half_written
    content.write(LINE.encode()[40:] + b"\n" + b"half")
    content.seek(40)
    [line] = lines.read(10)
    assert isinstance(line, Line)
    assert line.content == LINE.encode()
    assert [each.content for each in lines.finish() if isinstance(each, Line)] == [b"half"]
    assert not lines.half_written


def test_a_line_without_end_fills_no_memory() -> None:
    content = io.BytesIO(b"x" * 3_000_000 + b"\n" + LINE.encode() + b"\n")
    first, second = Lines(content, marker(b"")).read(10)
    assert isinstance(first, Refusal)
    assert isinstance(second, Line)
    assert (first.line, second.number) == (1, 2)
