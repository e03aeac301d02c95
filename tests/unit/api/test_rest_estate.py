"""Status, agreements, templates, subscribers and the journal through the REST API."""

import httpx
import pytest
from rest_served import DECLARED, Served, subscriber_id

from holdfast.communication.model import Channel
from holdfast.identity.model import Right


async def test_the_whole_estate_as_it_is_now(api: httpx.AsyncClient) -> None:
    told = (await api.get("/status")).json()
    assert [(each["key"], each["state"], each["private"]) for each in told["clusters"]] == [
        ("eu", "major_outage", False), ("usa", "operational", False), ("gov", "operational", True),
    ]  # fmt: skip
    assert told["state"] == "major_outage"
    down = told["clusters"][0]["components"][1]
    assert (down["component"], down["reason"]) == ("eu/api", "connection refused")
    assert down["availability_percent"].startswith("99.9")


async def test_clusters_and_components_one_by_one_and_in_lists(api: httpx.AsyncClient) -> None:
    assert (await api.get("/clusters/usa")).json()["components"][0]["component"] == "usa/api"
    assert (await api.get("/components/eu/api")).json()["id"] == 2
    listed = (await api.get("/components")).json()["items"]
    assert [each["component"] for each in listed] == ["eu/website", "eu/api", "usa/api", "gov/vault"]
    bad = (await api.get("/components", params={"state": "major_outage"})).json()["items"]
    assert [each["component"] for each in bad] == ["eu/api"]
    first = (await api.get("/components", params={"limit": 3})).json()
    rest = (await api.get("/components", params={"limit": 3, "cursor": first["next"]})).json()
    assert ([each["id"] for each in rest["items"]], rest["next"]) == ([4], None)


@pytest.mark.parametrize(
    "address",
    [
        "/clusters/mars",
        "/components/eu/none",
        "/agreements/none",
        "/agreements/none/report",
        "/templates/none",
    ],
)
async def test_what_is_not_there_is_not_found(api: httpx.AsyncClient, address: str) -> None:
    answer = await api.get(address)
    assert (answer.status_code, answer.json()["type"]) == (404, "/api/v1/problems/not-found")


async def test_agreements_and_their_reports(api: httpx.AsyncClient) -> None:
    listed = (await api.get("/agreements")).json()["items"]
    assert [(each["key"], each["window"]) for each in listed] == [
        ("premium", "calendar_month"),
        ("secret", "30d"),
    ]
    report = (await api.get("/agreements/premium/report", params={"month": "2026-11"})).json()
    assert (report["from"], report["to"]) == ("2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z")
    assert report["met"] is False
    assert report["credit_percent"] == "10"
    assert report["components"]["eu/website"]["availability_percent"] == "100"
    assert report["total"]["by_state_s"]["major_outage"] == 600
    assert report["events"][0]["component"] == "eu/api"
    rolling = (await api.get("/agreements/secret/report")).json()
    assert rolling["met"] is True
    for month in ("2026-12", "2026-13", "26-01", "2026-11-01"):
        assert (await api.get("/agreements/premium/report", params={"month": month})).status_code == 422


async def test_every_downtime_of_a_report_has_its_incident_or_none(
    api: httpx.AsyncClient, served: Served
) -> None:
    asked = {"params": {"month": "2026-11"}}
    before = (await api.get("/agreements/premium/report", **asked)).json()
    assert [each["incident"] for each in before["events"]] == [None] * len(before["events"])
    down = next(each for each in before["events"] if each["state"] == "major_outage")
    declared = {
        "title": "API is down",
        "body": "We look.",
        "affected": {down["component"]: "major_outage"},
        "began_at": down["from"],
        "draft": True,
    }
    incident = (await api.post("/incidents", json=declared)).json()
    drafted = (await api.get("/agreements/premium/report", **asked)).json()
    assert drafted["events"] == before["events"]
    await api.post(f"/incidents/{incident['id']}/publish")
    after = (await api.get("/agreements/premium/report", **asked)).json()
    named = {each["from"]: each["incident"] for each in after["events"]}
    assert named[down["from"]] == {"id": incident["id"], "title": "API is down"}


async def test_templates_are_filled_in(api: httpx.AsyncClient) -> None:
    (template,) = (await api.get("/templates")).json()["items"]
    assert (template["key"], template["variables"]) == ("outage", ["component", "cluster"])
    filled = await api.post(
        "/templates/outage/fill", json={"variables": {"component": "API", "cluster": "EU"}}
    )
    assert filled.json() == {
        "title": "API is down",
        "body": "We look into API in EU.",
        "impact": "major",
        "phase": "investigating",
    }
    # As a person chooses them in the console: the components say the rest.
    chosen = {"affected": {"eu/website": "degraded", "eu/api": "major_outage"}}
    known = (await api.post("/templates/outage/fill", json=chosen)).json()
    assert (known["title"], known["body"]) == ("API is down", "We look into API in EU.")
    elsewhere = await api.post("/templates/outage/fill", json={"affected": {"mars/api": "degraded"}})
    assert elsewhere.status_code == 422
    missing = await api.post("/templates/outage/fill", json={"variables": {}})
    assert (missing.status_code, "component" in missing.json()["detail"]) == (409, True)


async def test_subscribers_without_their_addresses(api: httpx.AsyncClient, served: Served) -> None:
    counts = (await api.get("/subscribers/counts")).json()["items"]
    assert {"channel": "mail", "standing": "active", "count": 1} in counts
    listed = (await api.get("/subscribers")).json()["items"]
    assert [each["id"] for each in listed] == [subscriber_id(number) for number in (1, 2, 3)]
    assert listed[0]["components"] == [{"id": 2, "component": "eu/api", "name": "EU API"}]
    assert "address" not in listed[0]
    removed = await api.delete(f"/subscribers/{subscriber_id(1)}")
    assert (removed.status_code, removed.content) == (204, b"")
    assert (await api.delete(f"/subscribers/{subscriber_id(1)}")).status_code == 404
    assert served.kept.rows[subscriber_id(1)].address is None
    assert served.identity.journal[-1].event == "subscription.removed"
    assert served.identity.journal[-1].facts == {"subscription": subscriber_id(1)}


async def test_what_is_not_delivered_yet_by_channel(api: httpx.AsyncClient, served: Served) -> None:
    assert (await api.get("/subscribers/waiting")).json() == {"items": []}
    for number, channel in enumerate((Channel.WEBHOOK, Channel.MAIL, Channel.MAIL), 1):
        served.kept.put(channel, subscription_id=subscriber_id(number), announcement_id="one")
        served.clock.advance(60)
    served.kept.queue[-1].last_error = "the server is away"
    waiting = (await api.get("/subscribers/waiting")).json()["items"]
    assert waiting == [
        {
            "channel": "mail",
            "deliveries": 2,
            "oldest": "2026-11-22T13:04:20Z",
            "last_error": "the server is away",
        },
        {"channel": "webhook", "deliveries": 1, "oldest": "2026-11-22T13:03:20Z", "last_error": ""},
    ]
    assert (await (await served.client(Right.READ)).get("/subscribers/waiting")).status_code == 403


async def test_the_journal_in_pages(api: httpx.AsyncClient, served: Served) -> None:
    for _ in range(3):
        await served.token(Right.READ)
    first = (await api.get("/journal", params={"limit": 2, "event": "token."})).json()
    second = (
        await api.get("/journal", params={"limit": 2, "event": "token.", "cursor": first["next"]})
    ).json()
    ids = [each["id"] for page in (first, second) for each in page["items"]]
    assert ids == [4, 3, 2, 1]
    assert second["next"] is None
    assert (await api.get("/journal", params={"actor": "nobody"})).json()["items"] == []


async def test_what_it_says_of_itself_needs_no_token(served: Served) -> None:
    async with served.stranger() as stranger:
        document = (await stranger.get("/openapi.json")).json()
        assert document["openapi"].startswith("3.1")
        page = await stranger.get("/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "<script" not in page.text
        for operations in document["paths"].values():
            for operation in operations.values():
                assert f"id={operation['operationId']}" in page.text
        problem = await stranger.get("/problems/too-large")
        assert problem.text.startswith("413 ")
        assert (await stranger.get("/problems/other")).status_code == 404


async def test_the_estates_status_is_read_once_for_many(api: httpx.AsyncClient, served: Served) -> None:
    before = (await api.get("/status")).json()["as_of"]
    served.clock.advance(1)
    assert (await api.get("/status")).json()["as_of"] == before
    served.clock.advance(2)
    assert (await api.get("/status")).json()["as_of"] != before


async def test_every_operation_is_described_for_those_who_call_it(served: Served) -> None:
    async with served.stranger() as stranger:
        document = (await stranger.get("/openapi.json")).json()
    names = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            names.append(operation["operationId"])
            assert operation["description"], where
            assert operation["tags"], where
            (scheme,) = operation["security"]
            assert set(scheme["token"]) <= set(Right), where
            for status in ("401", "403", "422", "429", "503"):
                assert "application/problem+json" in operation["responses"][status]["content"], where
    assert len(names) == len(set(names))
    assert DECLARED.keys() <= document["components"]["schemas"]["Declare"]["properties"].keys()
