"""A report as a table, on the screen, as CSV and as XLSX; and what `holdfast ledger report` makes of it."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from io import BytesIO, StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openpyxl
import pytest
import typer
from typer.testing import CliRunner, Result

from holdfast.interfaces.cli.ledger.report import Rebuilt, add_report
from holdfast.interfaces.cli.ports import Progress
from holdfast.interfaces.report_sheets import FileForm, amount_text, in_units, name_of, table_of, written
from holdfast.ledger.errors import NotThere
from holdfast.ledger.model import Kind
from holdfast.ledger.reports.reporting import Asked, By, Order, Per, Report, Row, Standing
from holdfast.ledger.reports.rollups import Sums

NOVEMBER = date(2026, 11, 1), date(2026, 12, 1)
TOTAL = Row(None, "", "", Sums(jobs=12, sheets=30), {"EUR": 1250, "JPY": 300, "KWD": 1})
ROWS = [
    Row(None, "acme", "=HYPERLINK(1)", Sums(jobs=10, failed=1, sheets=25), {"EUR": 1250, "JPY": 300}),
    Row(None, "acme", "", Sums(jobs=2, sheets=5), {"KWD": 1}),
]


def report(asked: Asked, rows: list[Row] | None = None, standing: tuple[Standing, ...] = ()) -> Report:
    found = ROWS if rows is None else rows
    return Report(asked, found, TOTAL, len(found), standing)


def test_amounts_have_the_digits_of_their_currency() -> None:
    assert in_units(1250, "EUR") == Decimal("12.50")
    assert in_units(300, "JPY") == Decimal(300)
    assert in_units(1, "KWD") == Decimal("0.001")
    assert amount_text(-123456789, "EUR") == "-1,234,567.89 EUR"
    assert amount_text(2**70, "EUR").endswith(" EUR")


def test_columns_are_those_that_the_report_tells_of() -> None:
    every = {by: table_of(report(Asked(*NOVEMBER, by=by))).names[:2] for by in By}
    assert every == {
        By.TENANT: ["tenant", "jobs"],
        By.KIND: ["kind", "jobs"],
        By.DEVICE: ["tenant", "device"],
        By.USER: ["tenant", "user"],
        By.COST_CENTRE: ["tenant", "cost_centre"],
        By.FORMAT: ["format", "sheets"],
    }
    table = table_of(report(Asked(*NOVEMBER, tenant="acme", by=By.USER, per=Per.MONTH)))
    assert table.names[:3] == ["start", "user", "jobs"]
    assert table.names[-3:] == ["amount_EUR", "amount_JPY", "amount_KWD"]
    assert name_of(report(Asked(*NOVEMBER, "acme", by=By.USER))) == "report-acme-2026-11-01-2026-12-01-user"


def test_as_csv_and_as_xlsx() -> None:
    asked = Asked(*NOVEMBER, tenant="acme", by=By.USER)
    [head, first, second] = list(
        csv.reader(StringIO(b"".join(written(FileForm.CSV, report(asked))).decode(), newline=""))
    )
    assert head[:4] == ["user", "jobs", "failed", "sheets"]
    assert first[:4] == ["'=HYPERLINK(1)", "10", "1", "25"]
    assert first[-3:] == ["12.50", "300", "0.000"]
    assert second[0] == ""
    book = openpyxl.load_workbook(BytesIO(b"".join(written(FileForm.XLSX, report(asked)))))
    rows = list(book.active.iter_rows(values_only=True))  # type: ignore[union-attr]
    assert rows[0][:2] == ("User", "Jobs")
    assert rows[1][:2] == ("=HYPERLINK(1)", 10)
    assert rows[1][-3] == 12.5


@dataclass
class Commanded:
    """The commands, in front of a report that is there already."""

    found: Callable[[Asked], Report] = report
    asked: list[Asked] = field(default_factory=list)
    rebuilt: list[str | None] = field(default_factory=list)

    def report(self, _: Any, asked: Asked) -> Report:
        self.asked.append(asked)
        return self.found(asked)

    def rebuild(self, _: Any, tenant: str | None, report: Callable[[Progress], None]) -> Rebuilt:
        report(Progress("summing up acme", 1, 2))
        self.rebuilt.append(tenant)
        return Rebuilt(["acme"])

    def run(self, *arguments: str) -> Result:
        app = typer.Typer()
        add_report(app, lambda: SimpleNamespace(ledger_reports=lambda: self))  # type: ignore[arg-type, return-value]
        return CliRunner().invoke(app, list(arguments))


def test_what_is_asked_for() -> None:
    command = Commanded()
    result = command.run(
        *("report", "2026-W47", "--tenant", "acme", "--by", "cost-center", "--per", "day", "--kind", "scan"),
        *("--device", "", "--user", "ada", "--cost-centre", "red", "--top", "5", "--order", "scan_pages"),
    )
    assert result.exit_code == 0, result.output
    assert command.asked == [
        Asked(
            date(2026, 11, 16),
            date(2026, 11, 23),
            "acme",
            By.COST_CENTRE,
            Per.DAY,
            Kind.SCAN,
            "",
            "ada",
            "red",
            5,
            Order.SCAN_PAGES,
        )
    ]
    assert command.run("report", "--since", "2026-11-01", "--until", "2026-12-01").exit_code == 0
    assert (command.asked[1].since, command.asked[1].until) == NOVEMBER


def test_what_is_shown() -> None:
    standing = (Standing("acme", "UTC", folded=90, size=100, void=2),)
    command = Commanded(lambda asked: report(asked, standing=standing))
    shown = command.run("report", "2026-11", "--tenant", "acme", "--by", "user", "--top", "1")
    assert shown.exit_code == 0
    for text in (
        "=HYPERLINK(1)",
        "(none)",
        "12.50 EUR",
        "total",
        "the 1 greatest of 2",
        "10 entries",
        "2 corr",
    ):
        assert text in shown.output, text
    assert "fax" not in shown.output, "columns in which nothing stands are left out"
    plain = json.loads(command.run("report", "2026-11", "--by", "user", "--json").output)
    assert plain["rows"][0]["amounts"] == {"EUR": 1250, "JPY": 300}
    assert (plain["behind"], plain["void_corrections"], plain["members"]) == (10, 2, 2)
    nothing = Commanded(lambda asked: report(asked, []))
    assert "Nothing from 2026-11-01" in nothing.run("report", "2026-11").output


def test_a_file(tmp_path: Path) -> None:
    command, out = Commanded(), tmp_path / "november.xlsx"
    told = command.run("report", "2026-11", "--by", "user", "--out", str(out))
    assert (told.exit_code, told.output) == (0, f"2 rows written to {out}\n")
    assert openpyxl.load_workbook(out).active is not None
    assert command.run("report", "2026-11", "--format", "csv").output.startswith("jobs,failed")
    assert command.run("report", "--out", str(tmp_path / "no" / "such.csv")).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["2026-13"], "is no stretch of days"),
        (["2026-11", "--since", "2026-11-01"], "a period, or --since and --until"),
        (["--since", "2026-11-01"], "come together"),
        (["--since", "2026-11-02", "--until", "2026-11-02"], "are none"),
        (["--since", "November", "--until", "2026-11-02"], "is no day"),
        (["--by", "moon"], "it takes: tenant, kind"),
        (["--per", "hour"], "it takes: day"),
        (["--by", "format", "--kind", "scan"], "paper format"),
        (["--format", "pdf"], "there is no form 'pdf'"),
        (["--format", "csv", "--json"], "a file is wanted"),
    ],
)
def test_what_cannot_be_asked_for(arguments: list[str], told: str) -> None:
    result = Commanded().run("report", *arguments)
    assert result.exit_code in {1, 2}
    assert told in result.output


def test_an_error_is_one_line() -> None:
    def refused(_: Asked) -> Report:
        raise NotThere("there is no tenant 'nobody'", hint="see which there are")

    result = Commanded(refused).run("report", "--tenant", "nobody")
    assert result.exit_code == 1
    assert "holdfast: there is no tenant 'nobody'" in result.output


def test_rebuilding() -> None:
    command = Commanded()
    assert "the sums of acme were made anew" in command.run("rebuild", "--tenant", "acme").output
    assert json.loads(command.run("rebuild", "--json").output) == {"rebuilt": ["acme"]}
    assert command.rebuilt == ["acme", None]
