"""The console's reports: drawn, as a table, and as files; for who may read the ledger."""

import csv
import re
from io import BytesIO, StringIO

import httpx
import openpyxl
import pytest
from desks import ADMIN, NOW, PASSWORD, PlainHashing
from tests.ledger_records import KeptLedger, job, kept_ledger

from holdfast.adapters.memory.identity import MemoryIdentity
from holdfast.adapters.vault.aes import AesVault
from holdfast.estate.model import Site
from holdfast.identity.desk import IdentityDesk
from holdfast.identity.model import Role, Terms
from holdfast.interfaces.console.app import create_console
from holdfast.interfaces.console.ledger_report_pages import ReportPages
from holdfast.kernel.clock import ManualClock
from holdfast.ledger.model import Kind, Price
from holdfast.ledger.sources import Tenant

PAGE, EXPORT = "/jobs/reports", "/jobs/reports/export"
RECT = re.compile(r'<rect class="(u\d)" x="([\d.]+)" y="(-?[\d.]+)" width="([\d.]+)" height="([\d.]+)">')


async def _browser(ledger: KeptLedger | None, role: Role = Role.VIEWER) -> httpx.AsyncClient:
    clock = ManualClock(NOW)
    identity = IdentityDesk(
        MemoryIdentity(),
        AesVault(bytes(32)),
        PlainHashing(),
        clock,
        lambda: Terms(second_factor_required=False),
    )

    async def tenants() -> list[Tenant]:
        return [Tenant("acme", "Acme <b>", "UTC", None, NOW), Tenant("other", "Other", "UTC", None, NOW)]

    app = create_console(
        identity,
        MemoryIdentity(),
        AesVault(bytes(32)),
        clock,
        site=lambda: Site(url="https://status.example.com"),
        pages=ReportPages(lambda: None if ledger is None else ledger.reports, tenants).pages(),
    )
    await identity.accounts.add("anna", role, ADMIN)
    await identity.accounts.set_password("anna", PASSWORD, ADMIN)
    opened = await identity.login("anna", PASSWORD, "127.0.0.1")
    browser = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8082")
    browser.cookies.set("hf_session", opened.cookie)
    return browser


@pytest.fixture
async def browser() -> httpx.AsyncClient:
    async with kept_ledger(None) as ledger:
        for tenant in ("acme", "other"):
            await ledger.post(
                *(
                    job(
                        seq,
                        tenant=tenant,
                        occurred_at=NOW.replace(day=seq % 22 + 1),
                        kind=Kind.SCAN if seq % 5 == 0 else Kind.PRINT,
                        user="<i>mallory" if seq == 7 else f"user-{seq % 12}",
                        prices={"paper": Price(125, "EUR")},
                    )
                    for seq in range(120)
                )
            )
        await ledger.follow()
    return await _browser(ledger)


async def test_this_month_is_drawn_and_told(browser: httpx.AsyncClient) -> None:
    answer = await browser.get(PAGE)
    assert answer.status_code == 200
    assert 'value="2026-11-01"' in answer.text
    assert 'value="2026-11-30"' in answer.text
    assert 'aria-label="Jobs over time"' in answer.text
    assert "All together" in answer.text
    assert "240" in answer.text
    assert '<th scope="col" class="n">EUR</th>' in answer.text
    assert '<td class="n">300.00</td>' in answer.text
    assert "Acme &lt;b&gt;" in answer.text
    looks = {look for look, *_ in RECT.findall(answer.text)}
    assert looks == {"u1", "u2"}, "print and scan, and no others"


async def test_columns_stand_on_each_other_within_the_drawing(browser: httpx.AsyncClient) -> None:
    answer = await browser.get(PAGE, params={"by": "user", "tenant": "acme", "order": "sheets"})
    assert answer.status_code == 200
    found = RECT.findall(answer.text)
    drawn = [(look, *map(float, numbers)) for look, *numbers in found if numbers[2] != "10"]
    assert {look for look, *_ in drawn} == {*(f"u{n}" for n in range(1, 8)), "u8"}
    columns: dict[float, float] = {}
    for _, x, y, width, height in drawn:
        assert 0 <= x <= x + width <= 1000
        assert abs(y + height - columns.get(x, 100.0)) < 0.02
        columns[x] = y
    assert len(columns) == 22
    assert all(top >= -2 for top in columns.values())
    assert "<i>mallory" not in answer.text
    assert "&lt;i&gt;mallory" in answer.text


@pytest.mark.parametrize("by", ["", "tenant", "kind", "device", "user", "cost_centre", "format"])
async def test_every_choice_is_answered(browser: httpx.AsyncClient, by: str) -> None:
    for per in ("", "day", "week", "month", "year"):
        asked = {"by": by, "per": per, "first": "2025-12-01", "last": "2026-12-31"}
        answer = await browser.get(PAGE, params=asked)
        assert answer.status_code == 200
        assert "<table>" in answer.text
        for form in ("csv", "xlsx"):
            file = await browser.get(EXPORT, params={**asked, "format": form})
            assert file.status_code == 200
            assert f".{form}" in file.headers["content-disposition"]


async def test_files_have_all_rows(browser: httpx.AsyncClient) -> None:
    page = await browser.get(PAGE, params={"by": "user", "tenant": "acme"})
    link = next(each for each in re.findall(r'href="([^"]+)"', page.text) if "format=csv" in each)
    text = (await browser.get(link.replace("&amp;", "&"))).content.decode()
    rows = list(csv.reader(StringIO(text, newline="")))
    assert len(rows) == 14
    assert sum(int(row[1]) for row in rows[1:]) == 120
    file = await browser.get(EXPORT, params={"by": "kind", "per": "month", "format": "xlsx"})
    sheet = openpyxl.load_workbook(BytesIO(file.content)).active
    assert sheet is not None
    assert [row[1] for row in sheet.iter_rows(min_row=2, values_only=True)] == ["print", "scan"]


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"first": "yesterday"}, "is no day"),
        ({"first": "2026-12-01", "last": "2026-11-01"}, "are none"),
        ({"first": "1900-01-01"}, "days at most"),
        ({"last": "9999-12-31"}, "days at most"),
        ({"by": "moon"}, "is nothing to choose"),
        ({"per": "hour"}, "is nothing to choose"),
        ({"by": "format", "kind": "scan"}, "over all kinds"),
    ],
)
async def test_what_cannot_be_asked_for(
    browser: httpx.AsyncClient, params: dict[str, str], told: str
) -> None:
    answer = await browser.get(PAGE, params=params)
    assert answer.status_code == 422
    assert told in answer.text
    assert (await browser.get(EXPORT, params=params)).status_code == 400


async def test_a_tenant_that_nobody_knows_and_nothing_in_these_days(browser: httpx.AsyncClient) -> None:
    assert "there is no tenant" in (await browser.get(PAGE, params={"tenant": "nobody"})).text.lower()
    empty = await browser.get(PAGE, params={"first": "2020-01-01", "last": "2020-01-31"})
    assert "Nothing of that kind in these days." in empty.text
    assert '<svg viewBox="0 0 1000' not in empty.text


async def test_an_estate_without_a_ledger() -> None:
    browser = await _browser(None)
    assert "declares no ledger" in (await browser.get(PAGE)).text
    assert (await browser.get(EXPORT)).status_code == 404
