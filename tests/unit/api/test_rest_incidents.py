"""Incidents through the REST API: what the console does, for programs."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from rest_served import DECLARED, NOW, Served

from holdfast.communication.model import Event
from holdfast.interfaces.api.incidents import BATCH
from holdfast.interfaces.api.paging import written


async def declared(api: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await api.post("/incidents", json={**DECLARED, **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_declared_told_and_found_again(api: httpx.AsyncClient, served: Served) -> None:
    answer = await api.post("/incidents", json=DECLARED)
    assert answer.status_code == 201
    incident = answer.json()
    assert answer.headers["location"] == f"/api/v1/incidents/{incident['id']}"
    assert answer.headers["etag"] == '"1"'
    assert incident["affected"] == [
        {"id": 2, "component": "eu/api", "name": "EU API", "state": "major_outage"}
    ]
    assert incident["updates"][0]["body"] == "We are **looking** into it."
    assert (await api.get(answer.headers["location"].removeprefix("/api/v1"))).json() == incident
    assert [each.notice.event for each in served.announcements.announced] == [Event.INCIDENT_DECLARED]


async def test_a_draft_is_told_once_it_is_published(api: httpx.AsyncClient, served: Served) -> None:
    draft = await declared(api, draft=True)
    assert not served.announcements.announced
    for _ in range(2):
        public = await api.post(f"/incidents/{draft['id']}/publish")
        assert (public.status_code, public.json()["draft"], public.headers["etag"]) == (200, False, '"2"')
    assert len(served.announcements.announced) == 1


async def test_updates_up_to_the_postmortem(api: httpx.AsyncClient, served: Served) -> None:
    incident = await declared(api)
    address = f"/incidents/{incident['id']}"
    for phase in ("identified", "monitoring", "resolved", "postmortem"):
        served.clock.advance(60)
        answer = await api.post(f"{address}/updates", json={"phase": phase, "body": f"It is {phase}."})
        assert (answer.status_code, answer.json()["phase"]) == (201, phase)
    done = (await api.get(address)).json()
    assert [each["step"] for each in done["updates"]] == [
        "investigating", "identified", "monitoring", "resolved", "postmortem",
    ]  # fmt: skip
    assert not done["open"]
    assert done["affected"][0]["state"] == "operational"
    refused = await api.post(f"{address}/updates", json={"phase": "investigating", "body": "again"})
    assert (refused.status_code, refused.json()["type"]) == (409, "/api/v1/problems/conflict")


async def test_edits_and_changes_leave_their_trail(api: httpx.AsyncClient) -> None:
    incident = await declared(api)
    address = f"/incidents/{incident['id']}"
    update = f"{address}/updates/{incident['updates'][0]['id']}"
    edited = (await api.patch(update, json={"body": "We found it."})).json()["updates"][0]
    assert (edited["body"], edited["revisions"][0]["body"]) == ("We found it.", DECLARED["body"])
    changed = (await api.patch(address, json={"title": "The API was down", "impact": "critical"})).json()
    assert {(each["field"], each["before"]) for each in changed["changes"]} == {
        ("title", DECLARED["title"]), ("impact", "major"),
    }  # fmt: skip
    assert changed["changes"][0]["actor"].startswith("token ")


async def test_merged_into_another(api: httpx.AsyncClient) -> None:
    one, other = await declared(api), await declared(api, title="Printing is down too")
    merged = await api.post(f"/incidents/{one['id']}/merge", json={"into": other["id"]})
    assert (merged.status_code, merged.json()["id"]) == (200, other["id"])
    assert (await api.get(f"/incidents/{one['id']}")).json()["merged_into"] == other["id"]
    listed = (await api.get("/incidents", params={"state": "open"})).json()["items"]
    assert [each["id"] for each in listed] == [other["id"]]


async def test_a_preview_says_who_would_be_told_and_changes_nothing(
    api: httpx.AsyncClient, served: Served
) -> None:
    preview = (await api.post("/incidents/preview", json=DECLARED)).json()
    assert preview["event"] == "incident.declared"
    assert preview["recipients"] == {"total": 2, "by_channel": {"mail": 1, "webhook": 1}, "customers": None}
    secret = (
        await api.post("/incidents/preview", json={**DECLARED, "affected": {"gov/*": "degraded"}})
    ).json()
    assert secret["recipients"]["customers"] == ["bureau"]
    assert not (await api.get("/incidents")).json()["items"]
    assert not served.announcements.announced
    incident = await declared(api)
    told = await api.post(
        f"/incidents/{incident['id']}/updates/preview", json={"phase": "resolved", "body": "Over."}
    )
    assert (told.json()["event"], told.json()["incident"]["phase"]) == ("incident.resolved", "resolved")
    assert (await api.get(f"/incidents/{incident['id']}")).json()["phase"] == "investigating"


async def test_publishing_and_merging_can_be_tried_before(api: httpx.AsyncClient, served: Served) -> None:
    draft, other = await declared(api, draft=True), await declared(api, title="Printing is down")
    before = len(served.announcements.announced)
    told = (await api.post(f"/incidents/{draft['id']}/publish/preview")).json()
    assert (told["event"], told["recipients"]["total"]) == ("incident.declared", 2)
    public = await declared(api, title="Scanning is down")
    merged = await api.post(f"/incidents/{public['id']}/merge/preview", json={"into": other["id"]})
    assert (merged.json()["event"], merged.json()["incident"]["id"]) == ("incident.updated", other["id"])
    assert (await api.get(f"/incidents/{draft['id']}")).json() == draft
    assert (await api.get(f"/incidents/{public['id']}")).json() == public
    assert len(served.announcements.announced) == before + 1


async def test_components_by_pattern_and_by_number_and_later_ones_win(api: httpx.AsyncClient) -> None:
    incident = await declared(api, affected={"eu/*": "degraded", "2": "major_outage"})
    assert [(each["component"], each["state"]) for each in incident["affected"]] == [
        ("eu/website", "degraded"), ("eu/api", "major_outage"),
    ]  # fmt: skip


@pytest.mark.parametrize("pattern", ["eu/nothing", "99", "mars/*"])
async def test_a_component_that_is_not_there_is_named(api: httpx.AsyncClient, pattern: str) -> None:
    answer = await api.post("/incidents", json={**DECLARED, "affected": {pattern: "degraded"}})
    assert answer.status_code == 422
    assert pattern in answer.json()["detail"]
    assert answer.json()["errors"][0]["where"] == "body/affected"


async def test_the_same_key_declares_once(api: httpx.AsyncClient, served: Served) -> None:
    headers = {"idempotency-key": "0b1f9c2e-6a57"}
    first = await api.post("/incidents", json=DECLARED, headers=headers)
    await api.patch(f"/incidents/{first.json()['id']}", json={"title": "Another title"})
    again = await api.post("/incidents", json=DECLARED, headers=headers)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    assert again.json()["title"] == "Another title"
    assert len(served.announcements.announced) == 1
    other = await api.post("/incidents", json={**DECLARED, "title": "Something else"}, headers=headers)
    assert (other.status_code, other.json()["type"]) == (422, "/api/v1/problems/idempotency-key-reused")
    assert len((await api.get("/incidents")).json()["items"]) == 1


async def test_keys_of_different_tokens_are_different_keys(api: httpx.AsyncClient, served: Served) -> None:
    headers = {"idempotency-key": "0b1f9c2e-6a57"}
    first = await api.post("/incidents", json=DECLARED, headers=headers)
    async with await served.client() as other:
        second = await other.post("/incidents", json=DECLARED, headers=headers)
    assert second.status_code == 201
    assert second.json()["id"] != first.json()["id"]


async def test_what_somebody_else_changed_is_not_overwritten(api: httpx.AsyncClient) -> None:
    incident = await declared(api)
    address, read = f"/incidents/{incident['id']}", {"if-match": '"1"'}
    assert (await api.patch(address, json={"title": "First"}, headers=read)).headers["etag"] == '"2"'
    for method, where, body in (
        ("PATCH", address, {"title": "Second"}),
        ("POST", f"{address}/updates", {"phase": "resolved", "body": "Over."}),
        ("POST", f"{address}/publish", None),
        ("PATCH", f"{address}/updates/{incident['updates'][0]['id']}", {"body": "Other words"}),
    ):
        refused = await api.request(method, where, json=body, headers=read)
        assert (refused.status_code, refused.json()["type"]) == (412, "/api/v1/problems/precondition-failed")
    assert (await api.get(address)).json()["title"] == "First"
    assert (await api.patch(address, json={"title": "Any"}, headers={"if-match": "*"})).status_code == 200


async def test_what_is_known_already_is_not_sent_again(api: httpx.AsyncClient) -> None:
    incident = await declared(api)
    for known, status in (('"1"', 304), ('W/"1"', 304), ('"7", "1"', 304), ('"2"', 200), ("nonsense", 200)):
        answer = await api.get(f"/incidents/{incident['id']}", headers={"if-none-match": known})
        assert (answer.status_code, answer.headers["etag"]) == (status, '"1"')
        assert bool(answer.content) == (status == 200)


async def test_pages_hold_each_incident_once(api: httpx.AsyncClient, served: Served) -> None:
    made = []
    for number in range(7):
        made.append((await declared(api, title=f"Incident {number}"))["id"])
        # Two began in the same moment: a page may end between them.
        served.clock.advance(60 if number % 2 else 0)
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = (
            await api.get("/incidents", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        ).json()
        found += [each["id"] for each in page["items"]]
        assert len(page["items"]) <= 2
        cursor = page["next"]
        if cursor is None:
            break
        served.clock.advance(1)
        await declared(api, title="One that came meanwhile")
    assert sorted(found) == sorted(made)


async def test_few_are_found_among_many() -> None:
    served = Served(per_second=1, burst=10 * BATCH)
    async with await served.client() as api:
        for number in range(3):
            await declared(api, title=f"Draft {number}", draft=True)
        served.clock.advance(60)
        for number in range(2 * BATCH):
            # Many began in the same moment, so that a batch ends between them.
            await declared(api, title=f"Open {number}")
        asked = {"state": "draft", "limit": 2}
        first = (await api.get("/incidents", params=asked)).json()
        rest = (await api.get("/incidents", params={**asked, "cursor": first["next"]})).json()
    titles = [each["title"] for page in (first, rest) for each in page["items"]]
    assert sorted(titles) == ["Draft 0", "Draft 1", "Draft 2"]
    assert rest["next"] is None


@pytest.mark.parametrize(
    "cursor",
    ["x", "AAAA", "bm90aGluZw", "WzEsMl0", "-" * 199, written("0001-01-01T00:00:00+23:59 a"), written("9 9")],
)
async def test_a_cursor_that_nobody_gave_is_refused(api: httpx.AsyncClient, cursor: str) -> None:
    answer = await api.get("/incidents", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["type"]) == (422, "/api/v1/problems/invalid")


async def test_lists_by_state_and_time(api: httpx.AsyncClient, served: Served) -> None:
    old = await declared(api, began_at=(NOW - timedelta(days=3)).isoformat(), title="Old")
    await api.post(f"/incidents/{old['id']}/updates", json={"phase": "resolved", "body": "Over."})
    served.clock.advance(3600)
    await declared(api, draft=True, title="Draft")
    await declared(api, title="Open")

    async def titles(**params: str) -> list[str]:
        return [each["title"] for each in (await api.get("/incidents", params=params)).json()["items"]]

    assert await titles(state="over") == ["Old"]
    assert await titles(state="draft") == ["Draft"]
    assert await titles(state="open") == ["Open"]
    assert sorted(await titles()) == ["Draft", "Old", "Open"]
    assert sorted(await titles(since=served.clock.now().isoformat())) == ["Draft", "Open"]
