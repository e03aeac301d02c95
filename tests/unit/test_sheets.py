"""Tables for spreadsheets: read back by a reader that nobody here wrote, and no cell of them ever acts."""

import csv
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO, StringIO
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.interfaces.sheets import MOST_TEXT, Cell, CsvSheet, XlsxSheet, csv_of, xlsx_of

NOON = datetime(2026, 11, 22, 12, 30, 15, tzinfo=UTC)


def read_csv(content: bytes) -> list[list[str]]:
    return list(csv.reader(StringIO(content.decode("utf-8"), newline="")))


def read_xlsx(content: bytes) -> list[list[object]]:
    book = openpyxl.load_workbook(BytesIO(content))
    return [list(row) for sheet in book.worksheets for row in sheet.iter_rows(values_only=True)]


ROWS: list[list[Cell]] = [
    ["=1+1", 3, None, True, NOON, date(2026, 11, 22)],
    ["0042", -5, "", False, datetime(1899, 1, 1, tzinfo=UTC), date(1850, 1, 1)],
    ['a,b\r\n"c" ü 日', 10**15, "@x", Decimal("12.50"), NOON, 999_999_999_999_999],
]


def test_csv_is_what_rfc_4180_says() -> None:
    content = b"".join(csv_of(list("abcdef"), ROWS))
    assert content.startswith(b"a,b,c,d,e,f\r\n'=1+1,3,,yes,2026-11-22T12:30:15Z,2026-11-22\r\n0042,-5,,no,")
    assert read_csv(content)[3] == [
        'a,b\r\n"c" ü 日',
        "1000000000000000",
        "'@x",
        "12.50",
        "2026-11-22T12:30:15Z",
        "999999999999999",
    ]


def test_xlsx_keeps_types_and_texts() -> None:
    head, first, second, third = read_xlsx(b"".join(xlsx_of(list("abcdef"), ROWS)))
    assert head == list("abcdef")
    assert first == ["=1+1", 3, None, True, datetime(2026, 11, 22, 12, 30, 15), datetime(2026, 11, 22)]  # noqa: DTZ001
    # Numbers that binary64 would change, and days before its calendar, are texts.
    assert second == ["0042", -5, "", False, "1899-01-01T00:00:00Z", "1850-01-01"]
    assert third[1:4] == ["1000000000000000", "@x", 12.5]
    assert third[5] == 999_999_999_999_999


def test_no_text_of_xlsx_is_a_formula_or_a_link() -> None:
    texts = ['=HYPERLINK("http://evil")', "+1", "-1", "@SUM(A1)", "http://evil", "{=1}", "internal:x"]
    book = openpyxl.load_workbook(BytesIO(b"".join(xlsx_of(["=head"], [[each] for each in texts]))))
    cells = [row[0] for row in book.worksheets[0].iter_rows()]
    assert {cell.data_type for cell in cells} == {"s"}
    assert [cell.value for cell in cells] == ["=head", *texts]
    assert not any(cell.hyperlink for cell in cells)


@pytest.mark.parametrize("begun", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])  # noqa: RUF001
def test_no_text_of_csv_begins_as_a_formula(begun: str) -> None:
    [[head], [cell]] = read_csv(b"".join(csv_of([f"{begun}head"], [[f"{begun}1"]])))
    assert (head, cell) == (f"'{begun}head", f"'{begun}1")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_any_text_can_be_written_and_read(texts: list[str]) -> None:
    [_, row] = read_csv(b"".join(csv_of(texts, [texts])))
    assert len(row) == len(texts)
    [_, cells] = read_xlsx(b"".join(xlsx_of(["x"] * len(texts), [[f"x{each}" for each in texts]])))
    assert len(cells) == len(texts)
    for text, cell in zip(texts, cells, strict=True):
        if text.isprintable() and not any("\ud800" <= each <= "\udfff" for each in text):
            assert cell == f"x{text}".replace("\x00", "\ufffd")


def test_what_is_longer_than_a_sheet_goes_on_in_the_next_one() -> None:
    with XlsxSheet(["n"], title="Jobs: a/b", most_rows=4) as sheet:
        sheet.add([[n] for n in range(7)])
        content = b"".join(sheet.end())
    book = openpyxl.load_workbook(BytesIO(content))
    assert book.sheetnames == ["Jobs- a-b", "Jobs- a-b (2)", "Jobs- a-b (3)"]
    assert read_xlsx(content) == [["n"], [0], [1], [2], ["n"], [3], [4], [5], ["n"], [6]]


def test_a_text_that_no_cell_holds_is_cut_and_not_lost() -> None:
    [_, [cell]] = read_xlsx(b"".join(xlsx_of(["x"], [["y" * (MOST_TEXT + 5)]])))
    assert cell == "y" * (MOST_TEXT - 1) + "…"


def test_csv_is_handed_out_as_it_comes() -> None:
    with CsvSheet(["n"]) as sheet:
        parts = [sheet.add([["x" * 100]]) for _ in range(2000)]
        assert sum(map(bool, parts)) > 1
        assert max(map(len, parts)) < 100_000
        whole = b"".join([*parts, *sheet.end()])
    assert len(read_csv(whole)) == 2001


@pytest.mark.parametrize("whole", [True, False])
def test_nothing_stays_on_disk(whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with XlsxSheet(["n"]) as sheet:
        sheet.add([[n] for n in range(100)])
        assert list(tmp_path.iterdir())
        if whole:
            assert b"".join(sheet.end())[:2] == b"PK"
    assert not list(tmp_path.iterdir())
