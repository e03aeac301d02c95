"""Prometheus checks against the real one, and against servers that answer otherwise."""

import json
from typing import Any

import pytest
from probe_targets import saying, serving

from holdfast.adapters.probes import Probes
from holdfast.availability.judging import compile_check, judge
from holdfast.availability.model import Outcome
from holdfast.estate.checks import PrometheusCheck


def prometheus(port: int, query: str, *conditions: str, **fields: Any) -> PrometheusCheck:
    url = f"http://127.0.0.1:{port}"
    return PrometheusCheck.model_validate(
        {"type": "prometheus", "url": url, "query": query, "conditions": conditions, **fields}
    )


async def test_thresholds_on_real_metrics(probes: Probes, prometheus_port: int) -> None:
    for query, condition, reason in (
        ("up", "value == 1 and series == 1", ""),
        ("up", "value == 0", "value was 1, expected 0"),
        ("vector(12.5)", "value in 12..13", ""),
        ("scalar(vector(3))", "value == 3", ""),
        ("nothing_of_the_kind", "value < 5", "value is missing"),
        ("nothing_of_the_kind", "empty", ""),
        ("nothing_of_the_kind", "not value exists", ""),
        ("vector(0) / 0", "value < 5", "value is not a number"),
        ("vector(0) / 0", "not value < 5", "value is not a number"),
        ("vector(1) / 0", "value > 5", ""),
        ("prometheus_http_requests_total or vector(1)", "value >= 0 and series > 1", ""),
        (
            "label_replace(vector(1), 'a', 'b', '', '') or vector(9)",
            "value < 5",
            "value was 1, 9, expected < 5",
        ),
    ):
        check = prometheus(prometheus_port, query, condition)
        outcome, found = judge(compile_check(check), await probes.attempt(check))
        assert found == reason, query
        assert (outcome is Outcome.GOOD) == (not reason)


async def test_a_query_that_is_wrong_is_no_failure_of_the_component(
    probes: Probes, prometheus_port: int
) -> None:
    for query, error in (
        ("up{", "Prometheus refused the query (bad_data)"),
        ("up[5m]", "the query gives no instant value; write avg_over_time(...) or the like"),
    ):
        observation = await probes.attempt(prometheus(prometheus_port, query, "value > 0"))
        assert (observation.error, observation.ours) == (error, True)


def answer(body: object, status: str = "200 OK") -> bytes:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw


def vector(*values: object) -> dict[str, object]:
    result = [{"metric": {}, "value": [1.0, value]} for value in values]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (answer(vector("1")), None),
        (answer(vector("1", "nonsense")), None),
        (answer(vector(7)), None),
        (answer({"status": "success", "data": {"resultType": "vector", "result": [1, {}, None]}}), None),
        (answer({}), "Prometheus answered with status 200 and no result"),
        (answer([]), "Prometheus answered with status 200 and no result"),
        (answer(b"<html>", "502 Bad Gateway"), "Prometheus answered with status 502 and no JSON"),
        (answer(b"[" * 100_000), "Prometheus answered with status 200 and no JSON"),
        (
            answer({"status": "error", "errorType": "hunter2"}, "400 No"),
            "Prometheus answered with status 400 and no result",
        ),
        (b"", "Prometheus cannot be asked: connection closed without an answer"),
    ],
)
async def test_other_answers(probes: Probes, said: bytes, error: str | None) -> None:
    async with serving(saying(said)) as port:
        observation = await probes.attempt(prometheus(port, "up", "value == 1"))
    assert observation.error == error
    assert observation.ours == (error is not None)


async def test_the_request(probes: Probes) -> None:
    heard: list[bytes] = []
    async with serving(saying(answer(vector("1")), heard=heard)) as port:
        check = prometheus(
            port, 'sum(rate(x{a="b"}[5m])) > 1', "value == 1", headers={"Authorization": "env:TOKEN"}
        )
        assert (await probes.attempt(check)).facts == {"values": (1.0,), "series": 1, "empty": False}
    head, _, body = heard[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/v1/query HTTP/1.1\r\n")
    assert b"Authorization: s3cret-token" in head
    assert body == b"query=sum%28rate%28x%7Ba%3D%22b%22%7D%5B5m%5D%29%29+%3E+1&timeout=10.000"
