"""Maintenance and series through the REST API."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from rest_served import PLANNED, Served

from holdfast.communication.model import Event

SERIES = {
    "title": "Weekly patches",
    "components": ["usa/api"],
    "rule": "FREQ=WEEKLY;BYDAY=SU",
    "time_zone": "Europe/Berlin",
    "first_at": "2026-11-29T02:00:00+01:00",
    "lasts_s": 7200,
}


async def planned(api: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await api.post("/maintenances", json={**PLANNED, **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_planned_announced_and_found_again(api: httpx.AsyncClient, served: Served) -> None:
    answer = await api.post("/maintenances", json=PLANNED)
    work = answer.json()
    assert answer.headers["location"] == f"/api/v1/maintenances/{work['id']}"
    assert (work["stage"], work["starts_at"], work["ends_at"]) == (
        "scheduled", "2026-11-29T01:00:00Z", "2026-11-29T03:00:00Z",
    )  # fmt: skip
    assert [each["component"] for each in work["components"]] == ["eu/website", "eu/api"]
    assert work["remind_before_s"] == [86400]
    assert (await api.get(f"/maintenances/{work['id']}")).json() == work
    assert [each["id"] for each in (await api.get("/maintenances")).json()["items"]] == [work["id"]]
    assert [each.notice.event for each in served.announcements.announced] == [Event.MAINTENANCE_PLANNED]


async def test_run_by_hand_from_start_to_end(api: httpx.AsyncClient, served: Served) -> None:
    work = await planned(api)
    address = f"/maintenances/{work['id']}"
    served.clock.advance(timedelta(days=6, hours=12).total_seconds())
    assert (await api.post(f"{address}/start")).json()["stage"] == "in_progress"
    later = await api.post(f"{address}/extend", json={"until": "2026-11-29T04:30:00Z"})
    assert (later.status_code, later.json()["ends_at"]) == (200, "2026-11-29T04:30:00Z")
    said = await api.post(f"{address}/updates", json={"body": "Nearly there.", "stage": "verifying"})
    assert (said.status_code, said.json()["stage"]) == (201, "verifying")
    done = (await api.post(f"{address}/finish", json={"body": "All done."})).json()
    assert (done["stage"], done["ended_at"] is not None) == ("completed", True)
    assert (await api.post(f"{address}/cancel", json={"reason": "too late"})).status_code == 409


async def test_changed_and_cancelled(api: httpx.AsyncClient) -> None:
    work = await planned(api)
    address = f"/maintenances/{work['id']}"
    changed = await api.patch(address, json={"title": "Bigger upgrade", "ends_at": "2026-11-29T05:00:00Z"})
    assert (changed.json()["title"], changed.json()["starts_at"]) == ("Bigger upgrade", work["starts_at"])
    refused = await api.patch(address, json={"title": "x"}, headers={"if-match": '"1"'})
    assert refused.status_code == 412
    gone = await api.post(f"{address}/cancel", json={"reason": "Not needed."})
    assert gone.json()["stage"] == "cancelled"


async def test_the_same_key_plans_once(api: httpx.AsyncClient, served: Served) -> None:
    headers = {"idempotency-key": "0b1f9c2e-6a57"}
    first = (await api.post("/maintenances", json=PLANNED, headers=headers)).json()
    moved = {
        "starts_at": "2026-11-30T01:00:00Z",
        "ends_at": "2026-11-30T03:00:00Z",
        "components": ["usa/api"],
    }
    assert (await api.patch(f"/maintenances/{first['id']}", json=moved)).status_code == 200
    again = await api.post("/maintenances", json=PLANNED, headers=headers)
    assert (again.status_code, again.json()["id"]) == (201, first["id"])
    for other in (moved, {"title": "Another"}):
        reused = await api.post("/maintenances", json={**PLANNED, **other}, headers=headers)
        assert (reused.status_code, reused.json()["type"]) == (422, "/api/v1/problems/idempotency-key-reused")
    told = [each.notice.event for each in served.announcements.announced]
    assert told.count(Event.MAINTENANCE_PLANNED) == 1


async def test_a_preview_tells_nobody(api: httpx.AsyncClient, served: Served) -> None:
    preview = (await api.post("/maintenances/preview", json=PLANNED)).json()
    assert (preview["event"], preview["recipients"]["total"]) == ("maintenance.planned", 2)
    assert not (await api.get("/maintenances")).json()["items"]
    assert not served.announcements.announced


async def test_a_preview_says_for_which_agreements_the_notice_suffices(api: httpx.AsyncClient) -> None:
    late = {**PLANNED, "components": ["eu/api"], "starts_at": "2026-11-23T13:00:00Z"}
    for sent, suffices in (({**late, "starts_at": "2026-11-27T13:00:00Z"}, True), (late, False)):
        sent["ends_at"] = "2026-11-27T15:00:00Z"
        (notice,) = (await api.post("/maintenances/preview", json=sent)).json()["agreements"]
        assert (notice["agreement"], notice["customer"]) == ("premium", "acme")
        assert notice["suffices"] is suffices
        assert notice["suffices"] is (notice["given_s"] >= notice["asked_s"])
    work = await planned(api)
    begun = (await api.post(f"/maintenances/{work['id']}/cancel/preview", json={})).json()
    assert begun["agreements"] == []


async def test_every_step_can_be_tried_before_it_is_made(api: httpx.AsyncClient, served: Served) -> None:
    work = await planned(api)
    address, before = f"/maintenances/{work['id']}", len(served.announcements.announced)
    for step, body, event in (
        ("preview", {"title": "Another"}, "maintenance.changed"),
        ("extend/preview", {"until": "2026-11-29T05:00:00Z"}, "maintenance.changed"),
        ("start/preview", None, "maintenance.started"),
        ("cancel/preview", {"reason": "No."}, "maintenance.cancelled"),
        ("updates/preview", {"body": "Soon.", "stage": "scheduled"}, "maintenance.updated"),
    ):
        served.clock.jump_to(served.clock.now() + timedelta(days=6, hours=12) * (step == "start/preview"))
        told = await api.post(f"{address}/{step}", json=body)
        assert told.status_code == 200, (step, told.text)
        assert (told.json()["event"], told.json()["recipients"]["total"]) == (event, 2)
    refused = await api.post(f"{address}/finish/preview", json={})
    assert refused.status_code == 409, "it has not begun"
    assert (await api.get(address)).json() == work
    assert len(served.announcements.announced) == before


async def test_the_same_key_plans_one_series(api: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": "0b1f9c2e-6a57"}
    first = (await api.post("/maintenance-series", json=SERIES, headers=headers)).json()
    again = await api.post("/maintenance-series", json=SERIES, headers=headers)
    assert (again.status_code, again.json()) == (201, first)
    other = await api.post("/maintenance-series", json={**SERIES, "title": "Other"}, headers=headers)
    assert (other.status_code, other.json()["type"]) == (422, "/api/v1/problems/idempotency-key-reused")
    assert len((await api.get("/maintenance-series")).json()["items"]) == 1


@pytest.mark.parametrize(
    "window",
    [
        {"ends_at": "2026-11-29T01:00:00+01:00"},
        {"ends_at": "2026-11-29T02:00:00+01:00"},
        {"starts_at": "2026-11-29 02:00:00"},
        {"starts_at": "2026-11-29T02:00:00"},
        {"starts_at": 1764378000},
        {"starts_at": "2026-02-30T02:00:00Z"},
        {"starts_at": "0001-01-01T00:00:00+23:59"},
        {"ends_at": "9999-12-31T23:59:59-23:59"},
    ],
)
async def test_times_that_make_no_sense_are_refused(api: httpx.AsyncClient, window: dict[str, Any]) -> None:
    answer = await api.post("/maintenances", json={**PLANNED, **window})
    assert (answer.status_code, answer.json()["type"]) == (422, "/api/v1/problems/invalid")
    assert answer.json()["errors"][0]["where"] == f"body/{next(iter(window))}" or "ends_at" in answer.text


async def test_lists_by_time(api: httpx.AsyncClient) -> None:
    work = await planned(api)
    inside = {"from": "2026-11-28T00:00:00Z", "to": "2026-11-30T00:00:00Z"}
    outside = {"from": "2027-01-01T00:00:00Z", "to": "2027-02-01T00:00:00Z"}
    assert [each["id"] for each in (await api.get("/maintenances", params=inside)).json()["items"]] == [
        work["id"]
    ]
    assert (await api.get("/maintenances", params=outside)).json() == {"items": [], "next": None}
    backwards = await api.get("/maintenances", params={"from": inside["to"], "to": inside["from"]})
    assert backwards.status_code == 422


async def test_a_series_is_planned_changed_and_ended(api: httpx.AsyncClient) -> None:
    preview = (await api.post("/maintenance-series/preview", json=SERIES)).json()
    assert preview["maintenance"][0]["starts_at"] == "2026-11-29T01:00:00Z"
    answer = await api.post("/maintenance-series", json=SERIES)
    series = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (
        201, f"/api/v1/maintenance-series/{series['id']}",
    )  # fmt: skip
    address = f"/maintenance-series/{series['id']}"
    made = (await api.get("/maintenances")).json()["items"]
    assert {each["series"] for each in made} == {series["id"]}
    changed = await api.patch(address, json={"lasts_s": 3600}, headers={"if-match": answer.headers["etag"]})
    assert (changed.status_code, changed.json()["lasts_s"]) == (200, 3600)
    stale = await api.post(f"{address}/end", headers={"if-match": answer.headers["etag"]})
    assert stale.status_code == 412
    assert (await api.post(f"{address}/end")).json()["ended_at"] is not None
    assert [each["id"] for each in (await api.get("/maintenance-series")).json()["items"]] == [series["id"]]
    assert {each["stage"] for each in (await api.get("/maintenances")).json()["items"]} == {"cancelled"}


@pytest.mark.parametrize("wrong", [{"rule": "FREQ=SOMETIMES"}, {"time_zone": "Mars/Olympus"}, {"lasts_s": 0}])
async def test_a_series_that_makes_no_sense_is_refused(api: httpx.AsyncClient, wrong: dict[str, Any]) -> None:
    answer = await api.post("/maintenance-series", json={**SERIES, **wrong})
    assert answer.status_code in {409, 422}
    assert answer.headers["content-type"] == "application/problem+json"
