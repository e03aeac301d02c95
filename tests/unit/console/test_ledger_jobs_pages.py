"""The console's pages of jobs: what is shown, to whom, and that every look is written down first."""

import csv
from datetime import UTC, datetime
from io import BytesIO, StringIO

import openpyxl
import pytest
from jobs_console import JobsConsole, record

from holdfast.identity.model import Role
from holdfast.ledger.find.access import Act, Way
from holdfast.ledger.model import Correction


@pytest.fixture
def served() -> JobsConsole:
    return JobsConsole()


async def test_jobs_are_shown_filtered_and_written_down(served: JobsConsole) -> None:
    await served.post(
        record(0, user="ann", job="<script>alert(1)</script>", sheets={"A4": 1234}),
        record(1, user="bob", cost_centre="007"),
        record(
            2, user="ann", corrects=Correction(actor="ops", leaf=0, reason="wrong <tray>"), sheets={"A4": 3}
        ),
    )
    viewer = await served.browser(Role.VIEWER)
    shown = await viewer.get("/jobs", params={"tenant": "acme", "user": "ann"})
    assert shown.status_code == 200
    assert "<script>" not in shown.text
    assert "&lt;script&gt;alert(1)" in shown.text
    assert "wrong &lt;tray&gt;" in shown.text
    assert "bob" not in shown.text
    assert "what was corrected" in shown.text
    assert "1,234" in shown.text
    assert 'href="/jobs/entry/acme/2"' in shown.text
    [line] = await served.trail.accesses("acme")
    assert (line.reading.caller.who, line.reading.caller.way) == ("viewer-1", Way.CONSOLE)
    assert (line.reading.act, line.reading.rows) == (Act.READ, 2)


async def test_jobs_are_in_the_navigation_where_there_is_a_ledger(served: JobsConsole) -> None:
    viewer = await served.browser(Role.VIEWER)
    jobs = '<a href="/jobs" aria-current="page">Jobs</a>'
    assert jobs in (await viewer.get("/jobs")).text
    served.declared = False
    assert 'href="/jobs"' not in (await viewer.get("/")).text


async def test_an_entry_leads_to_its_correction_and_back(served: JobsConsole) -> None:
    await served.post(
        record(0, sheets={"A4": 1234}, occurred_at=datetime(2026, 11, 22, 23, 30, tzinfo=UTC)),
        record(1, corrects=Correction(actor="ops", leaf=0, reason="tray"), sheets={"A4": 3}),
    )
    viewer = await served.browser(Role.VIEWER)
    text = (await viewer.get("/jobs/entry/acme/0")).text
    first, second = text.split('id="leaf-1"')
    assert '<a href="/jobs/entry/acme/1">1</a>' in first
    assert '<a href="/jobs/entry/acme/0">0</a>' in second
    assert "<td>1,234</td>" in first
    # In the zone that the page names, and so it says no other.
    assert "23 Nov 2026, 00:30" in first
    assert "(UTC)" not in text


async def test_pages_go_on_and_columns_are_chosen(served: JobsConsole) -> None:
    await served.post(*(record(n, reporter=f"reporter-{n}") for n in range(120)))
    viewer = await served.browser(Role.VIEWER)
    first = await viewer.get("/jobs", params={"tenant": "acme", "column": ["job", "reporter"]})
    assert "reporter-119" in first.text
    assert "reporter-69" not in first.text
    assert "column=job&amp;column=reporter&amp;below=70" in first.text
    second = await viewer.get("/jobs?tenant=acme&column=job&column=reporter&below=70")
    assert "reporter-69" in second.text
    assert "reporter-70" not in second.text


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ("tenant=idle2&kind=plot", 422, "There is no kind"),
        ("tenant=acme&since=yesterday", 422, "is no time"),
        ("tenant=acme&column=colour", 422, "There is no column"),
        ("tenant=nobody", 200, "has no entries here"),
        ("tenant=acme&since=2026-11-22T05:00&until=2026-11-22T04:00", 422, "ends before it begins"),
        ("", 200, "Choose a tenant"),
        ("tenant=acme&below=x", 200, "job-0"),
    ],
)
async def test_what_cannot_be_asked_is_said(served: JobsConsole, query: str, status: int, told: str) -> None:
    await served.post(record(0))
    viewer = await served.browser(Role.VIEWER)
    answer = await viewer.get(f"/jobs?{query}")
    assert (answer.status_code, told in answer.text) == (status, True)


async def test_everything_is_exported_in_each_form(served: JobsConsole) -> None:
    await served.post(*(record(n, user="=cmd()", cost_centre="007") for n in range(130)))
    viewer = await served.browser(Role.VIEWER)
    columns = "column=leaf&column=user&column=cost_centre"
    as_csv = await viewer.get(f"/jobs/export?tenant=acme&{columns}")
    assert as_csv.headers["content-disposition"] == 'attachment; filename="jobs-acme.csv"'
    rows = list(csv.reader(StringIO(as_csv.text, newline="")))
    assert rows[0] == ["leaf", "user", "cost_centre"]
    assert rows[1] == ["129", "'=cmd()", "007"]
    assert len(rows) == 131
    as_xlsx = await viewer.get(f"/jobs/export?tenant=acme&{columns}&format=xlsx")
    sheet = openpyxl.load_workbook(BytesIO(as_xlsx.content)).worksheets[0]
    cells = list(sheet.iter_rows(values_only=True))
    assert cells[:2] == [("Leaf", "User", "Cost centre"), (129, "=cmd()", "007")]
    assert len(cells) == 131
    as_lines = await viewer.get("/jobs/export?tenant=acme&format=ndjson&user=nobody")
    assert as_lines.content == b""
    assert (await viewer.get("/jobs/export?tenant=acme&format=pdf")).status_code == 400
    assert (await viewer.get("/jobs/export?tenant=nobody")).status_code == 404
    assert [each.reading.rows for each in await served.trail.accesses("acme")] == [0, 130, 130]


async def test_an_entry_is_proved_and_tells_who_saw_it(served: JobsConsole) -> None:
    await served.post(record(0, user="ann"), record(1))
    viewer = await served.browser(Role.VIEWER)
    await viewer.get("/jobs", params={"tenant": "acme", "user": "ann"})
    entry = await viewer.get("/jobs/entry/acme/0")
    assert entry.status_code == 200
    assert "c2sp.org/tlog-proof@v1" in entry.text
    assert ">proved<" in entry.text
    assert "<strong>viewer-1</strong> read (console)" in entry.text
    assert "Nobody did before you" in (await viewer.get("/jobs/entry/acme/1")).text
    for wrong in ("2", "x", "9" * 30):
        assert (await viewer.get(f"/jobs/entry/acme/{wrong}")).status_code == 404


async def test_who_read_is_for_who_may_see_the_audit_trail(served: JobsConsole) -> None:
    await served.post(record(0))
    viewer, admin = await served.browser(Role.VIEWER), await served.browser(Role.ADMIN)
    await viewer.get("/jobs?tenant=acme")
    assert (await viewer.get("/jobs/accesses?tenant=acme")).status_code == 403
    seen = await admin.get("/jobs/accesses?tenant=acme")
    assert "<strong>viewer-1</strong> read (console): 1 entry" in seen.text
    stranger = served.stranger()
    for path in ("/jobs?tenant=acme", "/jobs/export?tenant=acme", "/jobs/entry/acme/0"):
        assert (await stranger.get(path)).status_code == 303
