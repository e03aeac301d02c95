"""The four formats of one report: parsed back, in both languages, and safe whatever it says."""

import csv
import json
import re
import subprocess
import sys
import zlib
from dataclasses import replace
from importlib.resources import files
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from reported import ESTATE, NOW, OCTOBER, SINCE, WEBSITE, Past, incident

from holdfast.availability.model import State, Transition
from holdfast.interfaces import reports, staticsite
from holdfast.interfaces.reports.as_csv import COLUMNS, as_csv
from holdfast.interfaces.reports.as_html import as_html
from holdfast.interfaces.reports.as_json import as_json
from holdfast.interfaces.reports.as_pdf import TypesettingFailed, as_pdf
from holdfast.interfaces.reports.drawings import printed
from holdfast.interfaces.reports.layout import MOST_ROWS, laid_out
from holdfast.interfaces.reports.model import Report
from holdfast.kernel.windows import Window

EVIL = (
    '#panic("x") $ \\ *b* _i_ @ref <label> // /* `raw` [ ] { } &amp; '
    "<script>alert(1)</script> =\"'\u202e\U0001f600"
)
PLACEHOLDER = re.compile(r"%\(\w+\)s|%%")


async def report_of(past: Past, key: str = "premium", window: Window = OCTOBER) -> Report:
    report = await past.desk().agreement(key, window)
    assert report is not None
    return report


def rows_of(content: bytes) -> list[dict[str, str]]:
    text = content.decode()
    assert text.endswith("\r\n")
    lines = list(csv.reader(StringIO(text, newline=""), strict=True))
    assert {len(line) for line in lines} == {len(COLUMNS)}, "RFC 4180: the same fields in every line"
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


# --- CSV


async def test_csv_says_what_json_says(past: Past) -> None:
    report = await report_of(past)
    told, rows = json.loads(as_json(report)), rows_of(as_csv(report))

    kinds = [row["record"] for row in rows]
    assert list(dict.fromkeys(kinds)) == [
        "report",
        "component",
        "month",
        "downtime",
        "unknown",
        "maintenance",
        "latency",
        "frozen",
    ]
    assert kinds.count("downtime") == len(told["downtimes"]) == 3
    assert kinds.count("latency") == 3 * 31
    head = rows[0]
    assert head["availability_percent"] == told["figure"]["availability_percent"]
    assert float(head["budget_left_s"]) == told["budget"]["left_s"] < 0, "a negative number stays a number"
    assert head["credit_percent"] == "10"
    assert head["customer"] == "Nordwind Drück <AG>"
    frozen = rows[-1]
    assert (
        frozen["sha256"] == told["frozen"][0]["intervals_sha256"] == report.review.frozen[0].intervals_sha256
    )


async def test_no_cell_of_a_csv_acts(past: Past) -> None:
    for text in ("=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1"):
        past.incidents.incidents_told = [incident(1, text, WEBSITE)]
        row = next(row for row in rows_of(as_csv(await report_of(past))) if row["incident_title"])
        assert row["incident_title"] == f"'{text}"
        assert row["reason"] == "'=connection refused"


async def test_a_csv_keeps_quotes_commas_and_line_ends(past: Past) -> None:
    title = 'a "b", c\r\nd; ü'
    past.incidents.incidents_told = [incident(1, title, WEBSITE)]

    assert title in {row["incident_title"] for row in rows_of(as_csv(await report_of(past)))}


# --- figures


async def test_all_formats_show_the_figure_of_the_site(past: Past) -> None:
    known = await past.reader.agreement("premium", OCTOBER.start)
    report = await report_of(past)
    document = laid_out(report, "en")

    assert known is not None
    assert json.loads(as_json(report))["figure"]["availability_percent"] == "99.84223"
    assert known.frozen[0].figures["total"]["availability_percent"] == "99.84223"
    assert document.tiles[0].value == "99.842%"
    assert "99.842%" in as_html(report, ESTATE.site, "en").decode()
    assert document.verdict == "bad"


# --- HTML


async def test_html_is_a_file_of_its_own_in_both_languages(past: Past) -> None:
    report = await report_of(past)
    english, german = (as_html(report, ESTATE.site, language).decode() for language in ("en", "de"))

    assert 'lang="de"' in german
    assert "Vorfall" in german
    assert "Fällige Gutschrift" in german
    assert "none declared" in english
    assert "keiner gemeldet" in german
    for page in (english, german):
        assert not re.findall(r'(?:src|href)="(?!#)', page), "it needs nothing else"
        assert "Nordwind Drück &lt;AG&gt;" in page
        assert "@media print" in page


async def test_texts_are_never_markup(past: Past) -> None:
    past.incidents.incidents_told = [incident(1, EVIL, WEBSITE)]
    page = as_html(await report_of(past), ESTATE.site, "en").decode()

    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page


# --- PDF


def pdf_pages(content: bytes) -> int:
    """The pages that the PDF's page tree counts, its object streams unpacked."""
    unpacked = [content]
    for stream in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL):
        try:
            unpacked.append(zlib.decompress(stream[1]))
        except zlib.error:
            continue
    counts = [
        int(each[1])
        for part in unpacked
        for each in re.finditer(rb"/Type\s*/Pages.*?/Count\s+(\d+)", part, re.DOTALL)
    ]
    assert counts, "no page tree"
    return max(counts)


@pytest.mark.parametrize("language", ["en", "de"])
async def test_pdf_has_pages_and_is_the_same_every_time(past: Past, language: str) -> None:
    report = await report_of(past)
    first, second = await as_pdf(report, language), await as_pdf(report, language)

    assert first.startswith(b"%PDF-")
    assert first.rstrip().endswith(b"%%EOF")
    assert first == second
    assert pdf_pages(first) == 2
    assert f"/Lang({language})".encode() in first.replace(b" ", b"")


async def test_pdf_grows_with_what_it_tells(past: Past) -> None:
    line = [
        Transition(
            30, SINCE + turn * (NOW - SINCE) / 2400, State.MAJOR_OUTAGE if turn % 2 else State.OPERATIONAL
        )
        for turn in range(1, 2400)
    ]
    past.store._transitions[30] = line
    report = await report_of(past, window=Window(SINCE, NOW))
    section = next(each for each in laid_out(report, "de").sections if each.id == "downtimes")

    assert len(report.downtimes) > 1000
    assert section.table is not None
    assert len(section.table.rows) == MOST_ROWS
    assert section.table.more.endswith("stehen in den CSV- und JSON-Dateien.")
    assert pdf_pages(await as_pdf(report, "de")) > 10


async def test_no_text_becomes_part_of_the_pdf_s_program(past: Past) -> None:
    past.incidents.incidents_told = [incident(1, EVIL, WEBSITE)]
    past.planned[0] = replace(
        past.planned[0], title='#read("/etc/passwd") #sys.inputs #import "@preview/x:1.0.0"'
    )

    assert 2 <= pdf_pages(await as_pdf(await report_of(past), "en")) <= 3


async def test_typesetting_that_fails_says_so(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    report = await report_of(past)
    monkeypatch.setattr(
        "holdfast.interfaces.reports.as_pdf._PROGRAM", (sys.executable, "-c", "raise SystemExit('no')")
    )
    with pytest.raises(TypesettingFailed, match="no"):
        await as_pdf(report, "en")


async def test_typesetting_that_hangs_is_ended(
    past: Past, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    report = await report_of(past)
    told = tmp_path / "pid"
    program = f"import os,time; open({str(told)!r},'w').write(str(os.getpid())); time.sleep(600)"
    monkeypatch.setattr("holdfast.interfaces.reports.as_pdf._PROGRAM", (sys.executable, "-c", program))
    monkeypatch.setattr("holdfast.interfaces.reports.as_pdf.PATIENCE_S", 2.0)
    with pytest.raises(TypesettingFailed, match="too long"):
        await as_pdf(report, "en")
    assert not _still_there(told)


def _still_there(told: Path) -> bool:
    return told.exists() and Path(f"/proc/{told.read_text()}").exists()


def test_the_typesetter_writes_nothing_and_refuses_what_is_no_report() -> None:
    ended = subprocess.run(
        [sys.executable, "-I", "-m", "holdfast.interfaces.reports.typesetting"],
        input=b'{"report": {}, "made_at": 0}',
        capture_output=True,
        env={},
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stdout == b""
    assert ended.stderr.count(b"\n") == 1


# --- drawings and words


async def test_drawings_for_print_are_well_formed_and_complete(past: Past) -> None:
    past.incidents.incidents_told = [incident(1, EVIL, WEBSITE)]
    document = laid_out(await report_of(past), "de")
    pictures = [each for section in document.sections for each in section.pictures]

    assert {each.kind for each in pictures} == {"share", "days", "chart"}
    for each in pictures:
        root = ET.fromstring(printed(each.drawing, each.stretch))
        assert root.get("viewBox", "").startswith("0 0 1000 ")
        shapes = list(root)[1:]
        assert shapes, each.kind
        assert not any("%" in text for shape in shapes for text in shape.attrib.values())
        assert not any(shape.get("class") == "band" for shape in shapes)
    chart = next(each for each in pictures if each.kind == "chart")
    assert printed(chart.drawing).count("<path") == 3


def test_a_drawing_is_stretched_without_its_lines() -> None:
    drawing = (
        '<svg viewBox="0 0 1000 100" aria-label="a=b"><path class=p50 d="M0.0 50.0L10.5 100.0M3 4h0"/></svg>'
    )
    assert 'd="M0.0 100L10.5 200M3 8h0"' in printed(drawing, 2)
    assert 'viewBox="0 0 1000 200"' in printed(drawing, 2)


def test_every_text_of_reports_is_in_a_german_catalogue() -> None:
    """Those of copies are in the same one."""
    folder = files(reports)
    found = {
        each[2]
        for package in (reports, staticsite)
        for each in extract_from_dir(
            str(files(package)),
            method_map=[("templates/**.html", "jinja2"), ("**.py", "python")],
            options_map={"templates/**.html": {"newstyle_gettext": "true"}},
        )
    }
    with (folder / "locale/de/LC_MESSAGES/reports.po").open("rb") as source:
        own = read_po(source, locale="de")
    with (files("holdfast.interfaces.site") / "locale/de/LC_MESSAGES/site.po").open("rb") as source:
        site = {each.id for each in read_po(source, locale="de")}

    known = {each.id for each in own if each.id}
    assert len(found) > 60
    assert found - known - site == set(), "not translated"
    assert known - found == set(), "translated, but nowhere used"
    for each in own:
        originals = each.id if isinstance(each.id, tuple) else (each.id,)
        strings = each.string if isinstance(each.string, tuple) else (each.string,)
        assert not each.fuzzy
        for text in strings if each.id else ():
            assert text.strip(), each.id
            assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(originals[-1])), each.id
