"""CUPS' page_log becomes records: one for each job, however its lines are told."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdfast.ledger.errors import Unsuitable
from holdfast.ledger.intake.cups import STANDARD, PageLog
from holdfast.ledger.intake.drafts import Draft, paper_format
from holdfast.ledger.intake.files import Line, Lines, marker
from holdfast.ledger.model import Refusal

AT = "[20/May/2026:19:21:05 +0200]"
TOTAL = f"DeskJet ada 7 {AT} total 5 acme-123 pc7 Minutes of May.pdf iso_a4_210x297mm two-sided-long-edge"


def lines(*texts: str | bytes) -> list[Line | Refusal]:
    content = b"".join((text if isinstance(text, bytes) else text.encode()) + b"\n" for text in texts)
    return Lines(io.BytesIO(content), marker(b"key")).read(10**6)


def drafts(log: PageLog, *texts: str | bytes) -> list[Draft | Refusal]:
    return [
        found for line in lines(*texts) for found in ([line] if isinstance(line, Refusal) else log.read(line))
    ]


def one(log: PageLog, *texts: str | bytes) -> dict[str, Any]:
    [draft] = drafts(log, *texts)
    assert isinstance(draft, Draft), draft
    return dict(draft.told)


def page(job: int, page: int | str, copies: int, at: str = AT, printer: str = "DeskJet") -> str:
    return f"{printer} ada {job} {at} {page} {copies} - pc7 report - one-sided"


def moment(minute: int, second: int = 0) -> str:
    return f"[20/May/2026:10:{minute:02}:{second:02} +0000]"


def test_a_job_with_its_total() -> None:
    [draft] = drafts(PageLog(), TOTAL)
    assert isinstance(draft, Draft)
    assert draft.person == {"login": "ada"}
    assert dict(draft.told) == {
        "device": "DeskJet",
        "job": "DeskJet-7",
        "kind": "print",
        "occurred_at": "2026-05-20T17:21:05+00:00",
        "reporter": "cups",
        "status": "completed",
        "sheets": {"A4": 3},
        "mono_impressions": 5,
        "quality": "estimated",
        "duplex": True,
        "cost_centre": "acme-123",
    }
    assert "Minutes" not in str(draft.told), "a document's name is none of the ledger's business"
    assert "pc7" not in str(draft.told)


def test_what_the_standard_format_leaves_out_counts_as_estimated() -> None:
    told = one(PageLog(), f"DeskJet - 7 {AT} total 2 - localhost untitled - -")
    assert (told["sheets"], told["mono_impressions"], told["quality"]) == ({"unknown": 2}, 2, "estimated")
    assert not {"duplex", "cost_centre"} & told.keys()
    [draft] = drafts(PageLog(), f"DeskJet - 8 {AT} total 2 - localhost untitled - -")
    assert isinstance(draft, Draft)
    assert draft.person is None


def test_a_format_that_tells_everything_is_exact() -> None:
    log = PageLog(
        "%p|%u|%j|%T|%P|%C|%{media}|%{sides}|%{print-color-mode}|%{job-state}|%{copies}|%{document-format}"
    )
    line = f"DeskJet|ada|7|{AT}|total|6|na_letter_8.5x11in|two-sided-short-edge|color|7|2|application/pdf"
    told = one(log, line)
    assert told["sheets"] == {"Letter": 4}, "two copies of three pages: each begins on its own sheet"
    assert (told["colour_impressions"], told["quality"], told["status"]) == (6, "exact", "cancelled")
    assert told["document"] == {"format": "application/pdf"}
    assert "mono_impressions" not in told


def test_nothing_printed_has_no_quantities() -> None:
    told = one(PageLog(), page(7, "total", 0))
    assert not {"sheets", "mono_impressions", "colour_impressions"} & told.keys()
    assert told["quality"] == "estimated"


def test_a_job_that_ends_twice_is_counted_once() -> None:
    log = PageLog()
    found = drafts(
        log, page(7, "total", 3, moment(1)), page(7, "total", 3, moment(2)), page(7, "total", 8, moment(3))
    )
    assert [draft.told["mono_impressions"] for draft in found if isinstance(draft, Draft)] == [3, 5]


def test_a_number_that_begins_anew_is_another_job() -> None:
    log = PageLog()
    later = "[20/Aug/2026:10:00:00 +0000]"
    found = drafts(
        log, page(7, "total", 3, moment(1)), page(7, "total", 2, moment(2)), page(7, "total", 4, later)
    )
    assert [draft.told["mono_impressions"] for draft in found if isinstance(draft, Draft)] == [3, 2, 4]


def test_pages_one_by_one_become_a_job_once_the_printer_goes_on() -> None:
    log = PageLog()
    assert not drafts(log, page(7, 1, 2, moment(1)), page(7, 2, 2, moment(2)))
    assert log.held_back == 1
    [draft] = drafts(log, page(8, 1, 1, moment(3)))
    assert isinstance(draft, Draft)
    assert (draft.told["job"], draft.told["mono_impressions"]) == ("DeskJet-7", 4)
    assert draft.told["occurred_at"] == "2026-05-20T10:02:00+00:00"
    now = datetime(2026, 5, 20, 10, 12, 59, tzinfo=UTC)
    assert not log.settled(now), "its next page may still come"
    [last] = log.settled(now + timedelta(seconds=1))
    assert (last.told["job"], last.told["mono_impressions"]) == ("DeskJet-8", 1)
    assert log.held_back == 0
    assert not log.settled(None)


def test_printers_print_side_by_side() -> None:
    log = PageLog()
    mixed = [page(n % 2, 1 + n // 2, 1, moment(n), printer=f"P{n % 2}") for n in range(10)]
    assert not drafts(log, *mixed)
    assert sorted((draft.told["job"], draft.told["mono_impressions"]) for draft in log.settled(None)) == [
        ("P0-0", 5),
        ("P1-1", 5),
    ]


def test_fronts_are_sheets_when_both_sides_are_printed() -> None:
    log = PageLog()
    both = [page(7, n, 2, moment(n)).replace("one-sided", "two-sided-long-edge") for n in (1, 2, 3)]
    assert not drafts(log, *both)
    [draft] = log.settled(None)
    assert (draft.told["sheets"], draft.told["mono_impressions"]) == ({"unknown": 4}, 6)


def test_pages_and_then_the_total_are_one_job() -> None:
    log = PageLog()
    told = one(log, page(7, 1, 1, moment(1)), page(7, 2, 1, moment(2)), page(7, "total", 4, moment(3)))
    assert told["mono_impressions"] == 4
    assert not log.settled(None)
    assert not drafts(log, page(7, "total", 4, moment(4)))


def test_a_job_is_known_by_its_first_line() -> None:
    first, second = page(7, 1, 1, moment(1)), page(7, 2, 1, moment(2))
    short, long = PageLog(), PageLog()
    drafts(short, first)
    drafts(long, first, second)
    assert short.settled(None)[0].mark == long.settled(None)[0].mark


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("rubbish", "not of the format"),
        (page(7, "total", 1).replace("May", "Mai"), "no date"),
        (page(7, "total", 1).replace("20/May", "32/May"), "no date"),
        (page(7, "total", 1).replace("+0200", "+9900"), "no date"),
        (page(7, "total", 1).replace("2026", "0000"), "no date"),
        (page(7, "total", 1_000_001), "not a number from 0 to"),
        (page(7, "9" * 400, 1), "not a number from 0 to"),
        (f"DeskJet ada 7 {AT} total 1 - pc7 x 9 {AT} total 900 - pc - -", "two dates"),
        (b"DeskJet \x81\x8d 7 x", "neither UTF-8 nor cp1252"),
        ("x" * 20_000, "a line of more than"),
        ("x" * 3_000, "no line of more than"),
    ],
)
def test_a_malformed_line_is_refused_and_the_others_go_in(line: str | bytes, why: str) -> None:
    found = drafts(PageLog(), page(1, "total", 1), line, page(2, "total", 1))
    assert [type(each) for each in found] == [Draft, Refusal, Draft]
    refused = found[1]
    assert isinstance(refused, Refusal)
    assert refused.line == 2
    assert why in refused.reason


def test_an_old_encoding_is_read() -> None:
    [draft] = drafts(PageLog(), page(7, "total", 1).replace("ada", "Jürgen").encode("cp1252"))
    assert isinstance(draft, Draft)
    assert draft.person == {"login": "Jürgen"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("[01/Jan/2026:00:00:00 +0000]", "2026-01-01T00:00:00+00:00"),
        ("[01/Jan/2026:00:00:00.250000 +0100]", "2025-12-31T23:00:00.250000+00:00"),
        ("[01/Jan/2026:00:00:00 -03-30]", "2026-01-01T03:30:00+00:00"),
    ],
)
def test_dates_as_cups_writes_them(written: str, meant: str) -> None:
    assert one(PageLog(), page(7, "total", 1, written))["occurred_at"] == meant


def test_an_empty_attribute_shifts_nothing() -> None:
    # CUPS leaves the medium empty where it is told by its size alone.
    told = one(PageLog(), f"DeskJet ada 7 {AT} total 2 - pc7 two words  one-sided")
    assert (told["sheets"], told["duplex"]) == ({"unknown": 2}, False)


@pytest.mark.parametrize("log_format", ["", "%p %u", "%p %j %T", "%p %j %T %C %x", "%p %j %T %C %C"])
def test_a_format_that_is_too_little_is_refused(log_format: str) -> None:
    with pytest.raises(Unsuitable):
        PageLog(log_format)


def test_names_of_blanks_are_told_apart_or_refused() -> None:
    blanks = f"DeskJet {'a ' * 400}7 {AT} total 1 {'- ' * 500}one-sided"
    assert one(PageLog(), blanks)["mono_impressions"] == 1
    assert isinstance(drafts(PageLog(STANDARD + " !"), blanks)[0], Refusal)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("iso_a4_210x297mm", "A4"),
        ("na_letter_8.5x11in", "Letter"),
        ("na_number-10_4.125x9.5in", "Number 10"),
        ("jis_b5_182x257mm", "JIS B5"),
        ("iso_dl_110x220mm", "DL"),
        ("iso_a4_210x297mm_borderless", "A4"),
        ("a4", "A4"),
        ("LETTER", "Letter"),
        ("Tray1,A3", "A3"),
        ("Postcard", "Postcard"),
        ("-", "unknown"),
        ("", "unknown"),
        ("???", "unknown"),
        ("größe", "unknown"),
        ("x" * 41, "unknown"),
    ],
)
def test_paper_formats(written: str, meant: str) -> None:
    assert paper_format(written) == meant
