"""A token opens its own vantage point's checks and results, and nothing else."""

import gzip
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from api_served import (
    BEAT,
    FORMER,
    GONE,
    LOCALS,
    OSLO,
    OSLOS,
    RULES,
    TOKYO,
    TOKYOS,
    Api,
    delivery,
    result,
    served,
)

from holdfast.availability.exchange import decode_checks
from holdfast.availability.vantage import sha256_of
from holdfast.estate.checks import HttpCheck
from holdfast.estate.values import SecretRef

CHECKS, RESULTS = "/agents/v1/checks", "/agents/v1/results"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with served() as api:
        yield api


async def test_an_agent_gets_its_own_checks_as_they_were_declared(api: Api) -> None:
    answer = await api.call("GET", CHECKS)

    assert answer.status == 200
    orders = decode_checks(answer.body)
    assert (orders.vantage, orders.name) == ("tokyo", "Tokyo")
    (watched,) = orders.watched
    assert watched.id == TOKYOS
    check = watched.compiled.check
    assert isinstance(check, HttpCheck)
    assert check.headers["Authorization"] == SecretRef(source="env", name="CHECK_TOKEN")
    assert check.model_fields_set == {"type", "url", "headers", "every"}
    assert decode_checks((await api.call("GET", CHECKS, token=OSLO)).body).watched[0].id == OSLOS


async def test_checks_that_did_not_change_are_not_sent_again(api: Api) -> None:
    tag = (await api.call("GET", CHECKS)).headers["etag"]

    unchanged = await api.call("GET", CHECKS, if_none_match=tag)

    assert (unchanged.status, unchanged.body) == (304, b"")
    assert (await api.call("GET", CHECKS, if_none_match='"old"')).status == 200


@pytest.mark.parametrize(("method", "path"), [("GET", CHECKS), ("POST", RESULTS)])
async def test_without_a_token_that_is_worth_something_there_is_nothing(
    api: Api, method: str, path: str
) -> None:
    for token in (None, "", "hfa_", "hfa_" + "x" * 43, TOKYO[:-1], TOKYO + "t", FORMER, "é"):
        answer = await api.call(method, path, delivery(result()) if method == "POST" else b"", token=token)

        assert answer.status == 401, token
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"].startswith("bearer")
        assert answer.json["status"] == 401
    assert await api.shared.check_states() == {}


@pytest.mark.parametrize("scheme", ["Basic", "Token", ""])
async def test_the_token_comes_as_a_bearers(api: Api, scheme: str) -> None:
    answer = await api.call("GET", CHECKS, token=None, authorization=f"{scheme} {TOKYO}")
    assert answer.status == 401


async def test_a_vantage_point_that_left_the_estate_is_forbidden(api: Api) -> None:
    for method, path in (("GET", CHECKS), ("POST", RESULTS)):
        answer = await api.call(method, path, token=GONE)
        assert answer.status == 403
        assert "no vantage point" in answer.json["detail"]


async def test_a_revoked_token_is_worth_nothing_at_once(api: Api) -> None:
    assert (await api.call("GET", CHECKS)).status == 200

    await api.agents.revoke("tokyo", "test")

    assert (await api.call("GET", CHECKS)).status == 401
    assert (await api.call("POST", RESULTS, delivery(result()))).status == 401
    assert (await api.call("GET", CHECKS, token=OSLO)).status == 200


async def test_a_token_cannot_speak_for_others(api: Api) -> None:
    answer = await api.call(
        "POST", RESULTS, delivery(result(), result(probe=OSLOS), result(probe=LOCALS), result(probe=999))
    )

    assert answer.status == 200
    assert answer.json["stored"] == 1
    assert [each["index"] for each in answer.json["refused"]] == [1, 2, 3]
    assert (await api.shared.check_states()).keys() == {TOKYOS}


METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD")
OTHERS = (
    *("/", "/agents", "/agents/v1", "/agents/v1/checks/", "/agents/v1/checks/oslo", "/agents/v2/checks"),
    *("/agents/v1/tokens", "/agents/v1/../../beat", "/api/v1/status.json", "/de/", "/beat", "/beat/"),
    *("/docs", "/openapi.json", "/metrics", "/agents/v1/checks?vantage=oslo/", "//agents/v1/checks"),
)
ALLOWED = {
    CHECKS: {"GET": 200, "HEAD": 200},
    RESULTS: {"POST": 400},
    "/health": {"GET": 200, "HEAD": 200},
}


async def test_a_token_opens_nothing_else(api: Api) -> None:
    for method in METHODS:
        for path in OTHERS:
            if "vantage" in path and method in ("GET", "HEAD"):
                continue
            answer = await api.call(method, path)
            assert answer.status in (404, 405), (method, path)
            assert method == "HEAD" or answer.json["status"] == answer.status
        for path, allowed in ALLOWED.items():
            assert (await api.call(method, path)).status == allowed.get(method, 405), (method, path)


async def test_what_an_agent_asks_for_does_not_choose_whose_checks_it_gets(api: Api) -> None:
    answer = await api.call("GET", f"{CHECKS}?vantage=oslo&probe={OSLOS}", x_vantage="oslo")

    assert decode_checks(answer.body).vantage == "tokyo"


async def test_results_come_packed_or_plain(api: Api) -> None:
    first, second = result(20), result(10)

    plain = await api.call("POST", RESULTS, delivery(first))
    packed = await api.call("POST", RESULTS, gzip.compress(delivery(first, second)), content_encoding="gzip")

    assert plain.json == {"stored": 1, "absorbed": 0, "refused": []}
    assert packed.json == {"stored": 1, "absorbed": 1, "refused": []}


async def test_a_result_that_cannot_be_true_is_refused_by_itself(api: Api) -> None:
    answer = await api.call("POST", RESULTS, delivery(result(-3600), result(0), result(86_400 * 40)))

    assert answer.json["stored"] == 1
    reasons = {each["index"]: each["reason"] for each in answer.json["refused"]}
    assert reasons[0].startswith("from the future, by ")
    assert reasons[2] == "older than 30d"


GOOD = delivery(result())


NOT_UNDERSTOOD = (
    *(b"", b"nothing", b"[]", b"null", b"{", b'{"results": {}}', b'{"results": [1]}', b"\xff\xfe"),
    b'{"results": [{"probe": 11}]}',
    *(GOOD.replace(b'"good"', b'"splendid"'), GOOD.replace(b'"probe": 11', b'"probe": "11"')),
    *(GOOD.replace(b'"probe": 11', b'"probe": 99999999999'), GOOD.replace(b'"probe": 11', b'"probe": 0')),
    GOOD.replace(b'"total_us": 100', b'"total_us": -1'),
    GOOD.replace(b"Z", b""),
    delivery(result(), lost={"id": "no uuid", "by_probe": []}),
    b"[" * 100_000,
)


async def test_what_is_not_understood_is_refused_as_a_whole(api: Api) -> None:
    for body in NOT_UNDERSTOOD:
        answer = await api.call("POST", RESULTS, body)

        assert answer.status == 400, body[:200]
        assert answer.headers["content-type"] == "application/problem+json"
    assert await api.shared.check_states() == {}


@pytest.mark.parametrize("year", [1, 9999])
async def test_times_at_the_end_of_time_are_refused(api: Api, year: int) -> None:
    for offset in ("Z", "+14:00", "-14:00"):
        at = f'"{year:04d}-01-01T00:00:00{offset}"' if year == 1 else f'"{year}-12-31T23:59:59{offset}"'
        body = b'{"results": [{"probe": 11, "at": ' + at.encode() + b', "outcome": "good", "total_us": 1}]}'
        answer = await api.call("POST", RESULTS, body)
        assert answer.status in (200, 400)
        assert answer.status == 400 or answer.json["stored"] == 0


async def test_too_much_is_too_large_packed_or_not(api: Api) -> None:
    padding = b" " * (4 * 1024 * 1024)
    bomb = gzip.compress(b" " * (200 * 1024 * 1024), 9)
    assert len(bomb) < 300_000

    assert (await api.call("POST", RESULTS, GOOD + padding)).status == 413
    assert (await api.call("POST", RESULTS, bomb, content_encoding="gzip")).status == 413
    many = delivery(*[result()] * 5001)
    assert (await api.call("POST", RESULTS, many)).status == 400
    assert await api.shared.check_states() == {}


@pytest.mark.parametrize(
    ("body", "coding", "status"),
    [
        (gzip.compress(GOOD)[:-4], "gzip", 400),
        (gzip.compress(GOOD) + b"more", "gzip", 400),
        (zlib.compress(GOOD), "gzip", 400),
        (GOOD, "gzip", 400),
        (GOOD, "br", 415),
        (GOOD, "gzip, gzip", 415),
    ],
    ids=["cut off", "with more", "zlib", "plain", "another coding", "twice"],
)
async def test_odd_packing_is_refused(api: Api, body: bytes, coding: str, status: int) -> None:
    assert (await api.call("POST", RESULTS, body, content_encoding=coding)).status == status


async def test_while_the_estate_is_not_known_here_an_agent_is_asked_to_come_back(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(RULES, TOKYOS)

    answer = await api.call("POST", RESULTS, delivery(result()))

    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "11" not in answer.json["detail"]
    assert [str(error) for error in api.trouble] == ["probe 11 is not known here yet"]


async def test_who_calls_too_often_is_told_when_to_come_back(api: Api) -> None:
    answers = [await api.call("GET", CHECKS, if_none_match='"tokyo"') for _ in range(150)]

    statuses = {answer.status for answer in answers}
    assert 429 in statuses
    assert statuses <= {304, 429}
    refused = next(answer for answer in answers if answer.status == 429)
    assert int(refused.headers["retry-after"]) > 0
    assert (await api.call("GET", CHECKS, token=OSLO)).status == 200


async def test_guessing_is_slowed_down(api: Api) -> None:
    wrong = "hfa_" + "w" * 43
    statuses = {(await api.call("GET", CHECKS, token=wrong)).status for _ in range(40)}
    assert statuses == {401, 429}


# --- beats


async def test_a_beat_needs_no_more_than_its_token(api: Api) -> None:
    for method, path, failed, message in (
        ("GET", f"/beat/{BEAT}", False, ""),
        ("POST", f"/beat/{BEAT}?status=fail&message=no paper", True, "no paper"),
        ("GET", f"/beat/{BEAT}?status=up&msg=OK", False, "OK"),
        ("GET", f"/beat/{BEAT}?status=down&msg=gone", True, "gone"),
    ):
        answer = await api.call(method, path, token=None)
        assert answer.status == 200, path
        pulse = await api.beats.pulse(sha256_of(BEAT))
        assert pulse is not None
        assert pulse.newest is not None
        assert (pulse.newest.failed, pulse.newest.message) == (failed, message)


async def test_a_beat_with_another_token_is_not_found(api: Api) -> None:
    for token in ("other", TOKYO, BEAT[:-1], BEAT + "x", "x" * 5000):
        assert (await api.call("GET", f"/beat/{token}", token=None)).status == 404
    pulse = await api.beats.pulse(sha256_of(BEAT))
    assert pulse is not None
    assert pulse.newest is None


async def test_a_beat_says_ok_or_fail(api: Api) -> None:
    assert (await api.call("GET", f"/beat/{BEAT}?status=perhaps", token=None)).status == 400


async def test_beats_have_their_limit(api: Api) -> None:
    statuses = [(await api.call("GET", f"/beat/{BEAT}", token=None)).status for _ in range(60)]
    assert set(statuses) == {200, 429}


async def test_the_future_is_measured_against_the_controllers_clock(api: Api) -> None:
    near = result()
    ahead = type(near)(near.check_id, datetime.now(UTC) + timedelta(seconds=30), near.outcome, near.timings)
    assert (await api.call("POST", RESULTS, delivery(ahead))).json["stored"] == 1
