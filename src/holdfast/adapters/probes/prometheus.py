"""The Prometheus probe: an instant query by the HTTP API (prometheus.io, "HTTP API", instant queries).

Prometheus is the instrument here, and the component is what it measures. An instrument that cannot be asked
says nothing about the component, so that is no result: the check falls silent and becomes unknown.
"""

import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec

from holdfast.adapters.probes.errors import AttemptFailed, OwnFault
from holdfast.adapters.probes.http import HttpPlan, HttpProbe
from holdfast.adapters.probes.phases import Attempt
from holdfast.estate.checks import HttpCheck, PrometheusCheck

_MOST_SERIES = 10_000
_ERRORS = frozenset(
    {"bad_data", "canceled", "execution", "internal", "not_acceptable", "not_found", "timeout", "unavailable"}
)


@dataclass(frozen=True, slots=True)
class PrometheusPlan:
    """The request that asks, prepared once."""

    check: HttpCheck
    plan: HttpPlan


class PrometheusProbe:
    def __init__(self, http: HttpProbe) -> None:
        self._http = http

    def plan(self, check: PrometheusCheck) -> PrometheusPlan:
        """Prepare `check`. Raises AttemptFailed when it can never be sent."""
        limit = f"{check.timeout.total_seconds():.3f}"
        asked = HttpCheck(
            url=f"{check.url.rstrip('/')}/api/v1/query",
            method="POST",  # a query may be longer than an address
            headers={**check.headers, "Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode({"query": check.query, "timeout": limit}),
            every=check.every,
            timeout=check.timeout,
            timeouts=check.timeouts,
            verify_tls=check.verify_tls,
            ca_file=check.ca_file,
            follow_redirects=0,
        )
        return PrometheusPlan(asked, self._http.plan(asked))

    async def attempt(self, plan: PrometheusPlan, attempt: Attempt) -> dict[str, object]:
        """The values of the series. Raises OwnFault when Prometheus cannot be asked."""
        try:
            facts = await self._http.attempt(plan.check, plan.plan, attempt)
        except OwnFault:
            raise
        except AttemptFailed as error:
            raise OwnFault(f"Prometheus cannot be asked: {error}") from error
        return _facts(facts)


def _facts(answer: dict[str, object]) -> dict[str, object]:
    body = answer.get("body")
    try:
        document: Any = msgspec.json.decode(body if isinstance(body, (bytes, str)) else b"")
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise OwnFault(f"Prometheus answered with status {answer['status']} and no JSON") from error
    match document:
        case {"status": "success", "data": {"resultType": "vector", "result": list(result)}}:
            values = tuple(_sample(each) for each in result[:_MOST_SERIES])
        case {"status": "success", "data": {"resultType": "scalar", "result": result}}:
            values = (_value(result),)
        case {"status": "success", "data": {"resultType": "matrix" | "string"}}:
            raise OwnFault("the query gives no instant value; write avg_over_time(...) or the like")
        case {"status": "error", "errorType": str(kind)} if kind in _ERRORS:
            raise OwnFault(f"Prometheus refused the query ({kind})")
        case _:
            raise OwnFault(f"Prometheus answered with status {answer['status']} and no result")
    return {"values": values, "series": len(values), "empty": not values}


def _sample(series: object) -> float:
    match series:
        case {"value": sample}:
            return _value(sample)
        case _:  # a native histogram has no single value
            return math.nan


def _value(sample: object) -> float:
    """The value of `[time, text]`; NaN when it is none."""
    match sample:
        case [_, str(text)] if len(text) <= 40:
            try:
                return float(text)
            except ValueError:
                return math.nan
    return math.nan
