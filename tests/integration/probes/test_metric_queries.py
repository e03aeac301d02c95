"""Values of metrics over a real socket, from servers that speak the API of Prometheus, or do not."""

import json

import pytest
from probe_targets import saying, serving

from holdfast.adapters.probes import Probes
from holdfast.adapters.probes.metrics import PrometheusQueries
from holdfast.availability.metrics import MetricUnknown
from holdfast.estate.model import Metric


def metric(port: int, query: str = "up", **fields: object) -> Metric:
    given = {"name": "Jobs", "url": f"http://127.0.0.1:{port}", "query": query, **fields}
    return Metric.model_validate(given)


def answer(*values: object, kind: str = "vector") -> bytes:
    result: object = [{"metric": {}, "value": [1.0, value]} for value in values]
    if kind == "scalar":
        result = [1.0, values[0]]
    body = json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize("kind", ["vector", "scalar"])
async def test_one_value_is_the_value(probes: Probes, kind: str) -> None:
    heard: list[bytes] = []
    async with serving(saying(answer("-12.5", kind=kind), heard=heard)) as port:
        asked = metric(port, "sum(jobs)", headers={"Authorization": "env:TOKEN"})
        assert await PrometheusQueries(probes).value(asked) == -12.5
    assert b"Authorization: s3cret-token" in heard[0]
    assert heard[0].endswith(b"query=sum%28jobs%29&timeout=10.000")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (answer(), "the query gives no series"),
        (answer("1", "2", "3"), "the query gives 3 series; make it one, with sum(...) or so"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "status 502 and no JSON"),
        (b"", "Prometheus cannot be asked"),
    ],
)
async def test_anything_else_is_no_value_and_no_zero(probes: Probes, said: bytes, why: str) -> None:
    async with serving(saying(said)) as port:
        with pytest.raises(MetricUnknown) as unknown:
            await PrometheusQueries(probes).value(metric(port))
    assert why in str(unknown.value)


async def test_a_secret_that_cannot_be_read_is_said_without_it(probes: Probes) -> None:
    async with serving(saying(answer("1"))) as port:
        with pytest.raises(MetricUnknown, match="a secret of the check cannot be read"):
            await PrometheusQueries(probes).value(metric(port, headers={"Authorization": "env:MISSING"}))


async def test_the_real_one(probes: Probes, prometheus_port: int) -> None:
    queries = PrometheusQueries(probes)
    assert await queries.value(metric(prometheus_port, "vector(12.5)")) == 12.5
    with pytest.raises(MetricUnknown, match="no series"):
        await queries.value(metric(prometheus_port, "nothing_of_the_kind"))
