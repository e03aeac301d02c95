"""What the REST API refuses, and how."""

import asyncio
import hashlib
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
from rest_served import ADMIN, ALL, DECLARED, NOW, PLANNED, Away, Served

from holdfast.identity.model import Right
from holdfast.interfaces.api.app import described
from holdfast.interfaces.api.bounds import LARGEST_BODY
from holdfast.kernel.errors import HoldfastError

SOME_ID = "aaaaaaaaaaaa"
SOME_UUID = "00000000-0000-4000-8000-000000000001"


def operations(served: Served) -> list[tuple[str, str, str]]:
    """Every operation as method, address and scope."""
    found = []
    names = {
        "incident_id": SOME_ID, "update_id": SOME_ID, "maintenance_id": SOME_ID, "series_id": SOME_ID,
        "cluster": "eu", "key": "api", "subscriber_id": SOME_UUID, "run_id": SOME_ID,
        "evidence_id": SOME_ID,
    }  # fmt: skip
    for path, methods in described(served.app)["paths"].items():
        for method, operation in methods.items():
            (scope,) = operation["security"][0]["token"]
            found.append((method.upper(), path.format(**names), scope))
    return found


def is_problem(answer: httpx.Response, status: int, name: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["type"], told["status"]) == (f"/api/v1/problems/{name}", status)
    assert told["title"]
    assert isinstance(told["hint"], str)


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer hf_wrong",
        "Bearer " + "x" * 5000,
        "Bearer hf_" + "a" * 43,
        "Bearer h\xe4",
        "Basic aGY6aGY=",
        "Bearer ' OR 1=1 --",
    ],
)
async def test_without_a_valid_token_nothing_is_answered(served: Served, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization.encode("latin-1")}
    async with served.stranger() as stranger:
        for method, path, _ in operations(served):
            served.clock.advance(600)
            answer = await stranger.request(
                method, path, headers=headers, json={} if method != "GET" else None
            )
            is_problem(answer, 401, "unauthorised")
            assert answer.headers["www-authenticate"] == 'Bearer realm="holdfast"'


async def test_a_token_that_expired_or_was_revoked_is_worth_nothing(served: Served) -> None:
    secret = await served.token(Right.READ, expires_at=NOW + timedelta(hours=1))
    async with served.stranger({"authorization": f"Bearer {secret}"}) as client:
        assert (await client.get("/incidents")).status_code == 200
        served.clock.advance(3600)
        is_problem(await client.get("/incidents"), 401, "unauthorised")
    secret = await served.token(Right.READ)
    async with served.stranger({"authorization": f"Bearer {secret}"}) as client:
        assert (await client.get("/incidents")).status_code == 200
        for token in await served.identity.tokens():
            if token.expires_at is None:
                await served.tokens.revoke(token.id, ADMIN)
        is_problem(await client.get("/incidents"), 401, "unauthorised")


async def test_a_cookie_is_no_token(served: Served) -> None:
    secret = await served.token()
    async with served.stranger({"cookie": f"session={secret}; token={secret}"}) as client:
        is_problem(await client.get("/incidents"), 401, "unauthorised")
        is_problem(await client.get("/incidents", params={"token": secret}), 401, "unauthorised")


@pytest.mark.parametrize("held", ALL)
async def test_a_token_does_what_its_scopes_say_and_nothing_else(served: Served, held: Right) -> None:
    async with await served.client(held) as client:
        for method, path, scope in operations(served):
            served.clock.advance(60)
            answer = await client.request(method, path, json={} if method in {"POST", "PATCH"} else None)
            if scope == held:
                assert answer.status_code not in {401, 403}, (method, path)
            else:
                is_problem(answer, 403, "not-allowed")
                assert scope in answer.json()["detail"]
    assert not (await served.incidents.incidents(public_only=False))


async def test_guessing_tokens_is_slowed_down(served: Served) -> None:
    # Guesses whose digests share their first byte share a bucket of twenty.
    guesses = [f"hf_{number:043d}" for number in range(20_000)]
    alike = [each for each in guesses if hashlib.sha256(each.encode()).digest()[0] == 7][:30]
    async with served.stranger() as stranger:
        statuses = [
            (await stranger.get("/incidents", headers={"authorization": f"Bearer {each}"})).status_code
            for each in alike
        ]
        assert statuses == [401] * 20 + [429] * 10
        assert served.asked == 20, "what is refused as too often must not cost a look into the database"
        served.clock.advance(60)
        again = await stranger.get("/incidents", headers={"authorization": f"Bearer {alike[0]}"})
        assert again.status_code == 401


async def test_a_token_that_calls_too_often_waits(served: Served) -> None:
    busy = Served(per_second=1, burst=5)
    async with await busy.client() as one, await busy.client() as other:
        statuses = [(await one.get("/incidents")).status_code for _ in range(8)]
        assert statuses == [200] * 5 + [429] * 3
        refused = await one.get("/incidents")
        is_problem(refused, 429, "too-often")
        assert int(refused.headers["retry-after"]) > 0
        assert (await other.get("/incidents")).status_code == 200
        busy.clock.advance(2)
        assert (await one.get("/incidents")).status_code == 200


IDS = [
    "1' OR '1'='1",
    "1;DROP TABLE communication.incident",
    "..%2f..%2fetc%2fpasswd",
    "%00",
    "aaaaaaaaaaaa%0d%0aset-cookie:x=1",
    "AAAAAAAAAAAA",
    "aaaaaaaaaaaaa",
    "\u0661" * 12,
    "%ff%fe",
    "*",
]


@pytest.mark.parametrize("wrong", IDS)
async def test_ids_that_are_none_are_not_found(api: httpx.AsyncClient, wrong: str) -> None:
    for method, path in (
        ("GET", "/incidents/{}"),
        ("POST", "/incidents/{}/publish"),
        ("GET", "/maintenances/{}"),
        ("POST", "/maintenances/{}/start"),
        ("GET", "/maintenance-series/{}"),
        ("DELETE", "/subscribers/{}"),
        ("GET", "/clusters/{}"),
        ("GET", "/agreements/{}/report"),
    ):
        answer = await api.request(method, path.format(wrong))
        is_problem(answer, 404, "not-found")
        assert "set-cookie" not in answer.headers


async def test_headers_cannot_be_smuggled_through_what_is_stored(api: httpx.AsyncClient) -> None:
    nasty = "Down\r\nSet-Cookie: a=b\r\n\r\n<script>alert(1)</script>"
    answer = await api.post("/incidents", json={**DECLARED, "title": nasty})
    assert answer.status_code == 201
    assert "set-cookie" not in answer.headers
    assert "\n" not in answer.json()["title"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    key = {"idempotency-key": "abcdefgh\x7f"}
    is_problem(await api.post("/incidents", json=DECLARED, headers=key), 422, "invalid")


async def test_a_large_body_is_not_read_to_its_end(api: httpx.AsyncClient) -> None:
    body = json.dumps({**DECLARED, "body": "x" * LARGEST_BODY})
    headers = {"content-type": "application/json"}
    is_problem(await api.post("/incidents", content=body, headers=headers), 413, "too-large")
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while sent < 100 * LARGEST_BODY:
            sent += 4096
            yield b" " * 4096

    is_problem(await api.post("/incidents", content=endless(), headers=headers), 413, "too-large")
    # The transport hands over what it has before anybody answers; what counts is that nothing parsed it.
    assert not (await api.get("/incidents")).json()["items"]


@pytest.mark.parametrize(
    ("body", "status", "name"),
    [
        (b"[" * 30_000, 400, "bad-request"),
        (b'{"a":' * 10_000, 400, "bad-request"),
        (b'{"title": "' + b"[" * 5000 + b'"}', 422, "invalid"),
        (b'{"title": ', 400, "bad-request"),
        (b"not json", 400, "bad-request"),
        (b"\xff\xfe", 400, "bad-request"),
        (b'{"impact": ' + b"9" * 50_000 + b"}", 400, "bad-request"),
        (b'{"impact": NaN}', 422, "invalid"),
        (b"null", 422, "invalid"),
        (b"[]", 422, "invalid"),
        (b'"text"', 422, "invalid"),
        (b"", 422, "invalid"),
        (b'{"\\ud800": 1}', 422, "invalid"),
        (b'{"title": "\\ud800", "body": "x"}', 422, "invalid"),
        (b'{"title": "x", "body": "a\\u0000b"}', 422, "invalid"),
        (b'{"title": "x", "body": "x", "affected": {"\\ud800": "degraded"}}', 422, "invalid"),
        (b'{"title": "x", "body": "x", "affected": {"constructor": {}}}', 422, "invalid"),
        (b'{"title": "x", "body": "x", "draft": "false"}', 422, "invalid"),
        (b'{"title": "x", "body": "x", "declared_by": "somebody else"}', 422, "invalid"),
    ],
)
async def test_bodies_that_are_not_as_described(
    api: httpx.AsyncClient, body: bytes, status: int, name: str
) -> None:
    answer = await api.post("/incidents", content=body, headers={"content-type": "application/json"})
    is_problem(answer, status, name)
    assert len(answer.content) < 20_000


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": ""},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
async def test_only_plain_json_is_read(api: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await api.post("/incidents", content=json.dumps(DECLARED), headers=headers)
    is_problem(answer, 415, "unsupported-media-type")


async def test_long_addresses_and_methods_that_are_not_offered(api: httpx.AsyncClient) -> None:
    is_problem(await api.get("/" + "x" * 600), 414, "address-too-long")
    is_problem(await api.get("/incidents?" + "x" * 3000), 414, "address-too-long")
    is_problem(await api.get("/nothing"), 404, "not-found")
    refused = await api.put("/incidents", json={})
    is_problem(refused, 405, "method-not-allowed")
    assert refused.headers["allow"] == "GET, POST"
    assert (await api.delete(f"/incidents/{SOME_ID}")).headers["allow"] == "GET, PATCH"


async def test_no_other_site_may_read_or_call(api: httpx.AsyncClient) -> None:
    preflight = await api.options(
        "/incidents", headers={"origin": "https://evil.example", "access-control-request-method": "POST"}
    )
    assert preflight.status_code == 405
    answer = await api.get("/incidents", headers={"origin": "https://evil.example"})
    assert not [name for name in (*preflight.headers, *answer.headers) if name.startswith("access-control")]
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


async def test_a_private_incident_concerns_its_customers_alone(
    api: httpx.AsyncClient, served: Served
) -> None:
    answer = await api.post("/incidents", json={**DECLARED, "affected": {"gov/vault": "degraded"}})
    assert answer.status_code == 201
    (announced,) = served.announcements.announced
    assert announced.notice.audience == ("bureau",)
    assert announced.recipients == ()


class _BrokenError(HoldfastError):
    pass


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (Away("password=hunter2 at 10.0.0.1"), 503, "unavailable"),
        (_BrokenError("password=hunter2"), 500, "internal"),
        (RuntimeError("password=hunter2"), 500, "internal"),
    ],
)
async def test_what_is_wrong_inside_is_for_the_log(
    served: Served, error: Exception, status: int, name: str, logged: list[Any]
) -> None:
    class Fails:
        async def __call__(self, **_: object) -> None:
            raise error

    served.reader.overview = Fails()
    async with await served.client() as client:
        answer = await client.get("/status")
    is_problem(answer, status, name)
    assert "hunter2" not in answer.text
    assert "hunter2" in str(logged)
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_a_body_that_comes_too_slowly_is_given_up(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.interfaces.api.bounds.WITHIN_S", 0.05)
    secret = await served.token()
    sent: list[Any] = []
    parts = [{"type": "http.request", "body": b"{", "more_body": True}]

    async def receive() -> Any:
        return parts.pop() if parts else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {secret}".encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/incidents", "query_string": b"", "headers": headers}
    await served.app(scope, receive, send)
    assert sent[0]["status"] == 408


async def test_plans_are_bounded_too(api: httpx.AsyncClient) -> None:
    many = {**PLANNED, "components": ["eu/api"] * 501}
    is_problem(await api.post("/maintenances", json=many), 422, "invalid")
    is_problem(await api.get("/maintenances", params={"limit": 101}), 422, "invalid")
    is_problem(
        await api.get("/maintenances", params={"from": "1971-01-01T00:00:00Z", "to": "2199-01-01T00:00:00Z"}),
        422,
        "invalid",
    )
