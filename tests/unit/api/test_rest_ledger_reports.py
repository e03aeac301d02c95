"""`/ledger/report`: sums for programs, and as files."""

import csv
from dataclasses import replace
from io import StringIO

import pytest
from rest_served import Served
from tests.ledger_records import jobs_of_a_year, kept_ledger

from holdfast.estate.ledger import Ledger
from holdfast.identity.model import Right
from holdfast.ledger.model import Kind

YEAR = {"since": "2026-01-01", "until": "2027-01-01"}
RECORDS = {tenant: jobs_of_a_year(200, seed=len(tenant), tenant=tenant) for tenant in ("acme", "other")}


@pytest.fixture
async def summed(served: Served) -> Served:
    """The API over the sums of two tenants, of which one has an entry that is not summed up yet."""
    async with kept_ledger(None) as ledger:
        for records in RECORDS.values():
            await ledger.post(*records[:-1])
        await ledger.follow()
        await ledger.post(RECORDS["acme"][-1])
    services = served.app.state.services
    declared = Ledger.model_validate({"name": "ledger.example", "signing_key": "env:NO_SUCH_KEY"})
    estate = services.estate().model_copy(update={"ledger": declared})
    served.app.state.services = replace(services, reports=ledger.reports, estate=lambda: estate)
    return served


async def test_sums_by_kind_and_month(summed: Served) -> None:
    async with await summed.client(Right.LEDGER) as client:
        answer = await client.get(
            "/ledger/report", params={**YEAR, "tenant": "acme", "by": "kind", "per": "month"}
        )
        assert answer.status_code == 200, answer.text
        told = answer.json()
    mine = [each for each in RECORDS["acme"][:-1] if each.occurred_at.year == 2026]
    assert told["total"]["jobs"] == len(mine)
    for kind in Kind:
        jobs = sum(row["jobs"] for row in told["rows"] if row["member"] == kind)
        assert jobs == sum(each.kind is kind for each in mine)
    assert [row["start"] for row in told["rows"]] == sorted(row["start"] for row in told["rows"])
    assert told["logs"] == [
        {"tenant": "acme", "time_zone": "UTC", "folded": 199, "size": 200, "void_corrections": 0}
    ]
    euros = sum(
        price.amount for each in mine for price in (each.prices or {}).values() if price.currency == "EUR"
    )
    assert told["total"]["amounts"]["EUR"] == euros


async def test_over_all_tenants_and_the_greatest_of_them(summed: Served) -> None:
    async with await summed.client(Right.LEDGER) as client:
        told = (await client.get("/ledger/report", params={**YEAR, "by": "user", "top": 3})).json()
        assert len(told["rows"]) == 3
        assert told["members"] > 10
        assert {row["tenant"] for row in told["rows"]} <= {"acme", "other"}
        by_tenant = (await client.get("/ledger/report", params={**YEAR, "by": "tenant"})).json()
        assert {row["member"] for row in by_tenant["rows"]} == {"acme", "other"}
        none = (
            await client.get("/ledger/report", params={**YEAR, "by": "kind", "user": "", "tenant": "acme"})
        ).json()
    mine = [each for each in RECORDS["acme"][:-1] if each.occurred_at.year == 2026 and not each.user]
    assert none["total"]["jobs"] == len(mine)


@pytest.mark.parametrize("form", ["csv", "xlsx"])
async def test_as_a_file(summed: Served, form: str) -> None:
    async with await summed.client(Right.LEDGER) as client:
        asked = {**YEAR, "tenant": "acme", "by": "device", "format": form}
        answer = await client.get("/ledger/report/export", params=asked)
        assert answer.status_code == 200
        assert (
            f'filename="report-acme-2026-01-01-2027-01-01-device.{form}"'
            in answer.headers["content-disposition"]
        )
        if form == "csv":
            rows = list(csv.reader(StringIO(answer.text, newline="")))
            assert rows[0][:2] == ["device", "jobs"]
            assert len(rows) == 6


@pytest.mark.parametrize(
    "asked",
    [
        {"since": "2026-01-01"},
        {"since": "2026-01-01", "until": "2026-01-01"},
        {"since": "2026-02-30", "until": "2026-03-01"},
        {"since": "1900-01-01", "until": "2027-01-01"},
        {**YEAR, "by": "moon"},
        {**YEAR, "by": "format", "kind": "scan"},
        {**YEAR, "top": 0},
        {**YEAR, "user": "a\x00b"},
        {**YEAR, "tenant": "../etc"},
    ],
)
async def test_what_cannot_be_asked_for(summed: Served, asked: dict[str, str]) -> None:
    async with await summed.client(Right.LEDGER) as client:
        for path in ("/ledger/report", "/ledger/report/export"):
            answer = await client.get(path, params=asked)
            assert answer.status_code == 422, answer.text
            assert answer.headers["content-type"] == "application/problem+json"


async def test_nobody_there_and_nobody_allowed(summed: Served, served: Served) -> None:
    async with await summed.client(Right.LEDGER) as client:
        assert (await client.get("/ledger/report", params={**YEAR, "tenant": "nobody"})).status_code == 404
        served.app.state.services = replace(served.app.state.services, reports=None)
        assert (await client.get("/ledger/report", params=YEAR)).status_code == 404
    async with await summed.client(Right.READ) as client:
        assert (await client.get("/ledger/report", params=YEAR)).status_code == 403
