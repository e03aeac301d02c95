"""An OpenSLO indicator that asks Prometheus, as a check: the value must be as the objective says."""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from holdfast.interchange.lines import shown
from holdfast.interchange.openslo_windows import shorthand
from holdfast.interchange.report import Report
from holdfast.interchange.requests import Request, request_fields
from holdfast.kernel.durations import format_duration

Source = Callable[[str], Mapping[str, Any] | None]
"""A DataSource's spec by its name."""

_OPERATORS = {"lte": "<=", "gte": ">=", "lt": "<", "gt": ">"}
_ADDRESSES = ("url", "server", "address", "endpoint", "serverURL")
_BARE = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*(?:\{[^{}]*\})?")
_PLACEHOLDER = re.compile(r"\{\{|\$\{?[A-Za-z_]|\[\[")
_EVERY = timedelta(minutes=1)
_LONGEST_EVERY = timedelta(days=1)


def prometheus_check(
    path: str,
    indicator: Mapping[str, Any],
    objective: Mapping[str, Any],
    promised: Decimal,
    source: Source,
    otherwise: str | None,
    report: Report,
) -> dict[str, Any] | None:
    """The check for the indicator's spec at `path`; None, with a remark, when it is not one."""
    measured = _measured(path, indicator, objective, promised, report)
    if measured is None:
        return None
    where, metric, query, condition = measured
    address = _address(where, metric, source, otherwise, report)
    if address is None:
        return None
    fields = request_fields(where, "the query", ("OPENSLO", "PROMETHEUS"), Request(address), report)
    if fields is None:
        return None
    slice_ = shorthand(str(objective.get("timeSliceWindow", "")))
    every = min(slice_[0], _LONGEST_EVERY) if slice_ else _EVERY
    return {
        "type": "prometheus",
        **fields,
        "query": query,
        "every": format_duration(every),
        "fail_after": 1,
        "recover_after": 1,
        "conditions": [condition],
    }


def _measured(
    path: str, indicator: Mapping[str, Any], objective: Mapping[str, Any], promised: Decimal, report: Report
) -> tuple[str, Mapping[str, Any], str, str] | None:
    """Where the metric stands, the metric, the query, and what is expected of its value."""
    threshold, ratio = indicator.get("thresholdMetric"), indicator.get("ratioMetric")
    if isinstance(threshold, Mapping):
        where = f"{path}.thresholdMetric"
        query = _query(where, threshold, report)
        operator = _OPERATORS.get(str(objective.get("op")))
        value = _number(objective.get("value"))
        if operator is None or value is None:
            report.left_out(where, "the metric", "its objective has no `op` and `value` to compare with")
            return None
        return (where, threshold, query, f"value {operator} {value}") if query else None
    if not isinstance(ratio, Mapping):
        report.left_out(path, "the indicator", "neither a thresholdMetric nor a ratioMetric")
        return None
    return _ratio(f"{path}.ratioMetric", ratio, objective, promised, report)


def _ratio(
    path: str, ratio: Mapping[str, Any], objective: Mapping[str, Any], promised: Decimal, report: Report
) -> tuple[str, Mapping[str, Any], str, str] | None:
    least = _number(objective.get("timeSliceTarget"))
    if least is None:
        least = format((promised / 100).normalize(), "f")
        why = "a check is good or bad as a whole"
        report.changed(
            f"{path}", "the share of good events", why, f"good while the share is at least {least}"
        )
    raw, total = ratio.get("raw"), ratio.get("total")
    if isinstance(raw, Mapping):
        query = _query(f"{path}.raw", raw, report)
        if query is not None and ratio.get("rawType") == "failure":
            query = f"1 - ({query})"
        return (f"{path}.raw", raw, query, f"value >= {least}") if query else None
    part = "good" if isinstance(ratio.get("good"), Mapping) else "bad"
    counted = ratio.get(part)
    if not isinstance(counted, Mapping) or not isinstance(total, Mapping):
        report.left_out(path, "the ratio", "it has neither `raw` nor `total` with `good` or `bad`")
        return None
    above = _query(f"{path}.{part}", counted, report)
    below = _query(f"{path}.total", total, report)
    if above is None or below is None:
        return None
    if ratio.get("counter") is True:
        above, below = _rate(above), _rate(below)
    share = f"({above}) / ({below})"
    return f"{path}.{part}", counted, share if part == "good" else f"1 - {share}", f"value >= {least}"


def _rate(query: str) -> str:
    """A counter as what it grew by; a query that is more than its name is taken to do that itself."""
    return f"sum(rate({query}[5m]))" if _BARE.fullmatch(query) else query


def _query(path: str, metric: Mapping[str, Any], report: Report) -> str | None:
    source = metric.get("metricSource")
    spec = source.get("spec") if isinstance(source, Mapping) else None
    query = spec.get("query") if isinstance(spec, Mapping) else None
    if not isinstance(query, str) or not query.strip():
        report.left_out(path, "the metric", "it has no query as text, as one to Prometheus has")
        return None
    if _PLACEHOLDER.search(query):
        report.left_out(path, "the query", "it has placeholders that another tool fills in")
        return None
    return " ".join(query.split())


def _address(
    path: str, metric: Mapping[str, Any], source: Source, otherwise: str | None, report: Report
) -> str | None:
    given = metric.get("metricSource")
    metric_source: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    reference = metric_source.get("metricSourceRef")
    declared = source(str(reference)) if reference is not None else None
    kind = str(metric_source.get("type") or (declared or {}).get("type") or "")
    if kind.lower() != "prometheus":
        what = shown(kind or reference or "a source without a type")
        report.left_out(path, what, "only Prometheus, and Holdfast itself, can be asked")
        return None
    details = (declared or {}).get("connectionDetails")
    if isinstance(details, Mapping):
        for key in details:
            if key not in _ADDRESSES:
                report.left_out(
                    f"DataSource {reference}", f"connectionDetails.{key}", "a check does not need it"
                )
        for key in _ADDRESSES:
            if isinstance(details.get(key), str):
                return str(details[key]).rstrip("/")
    if otherwise is None:
        why = "the address of its Prometheus is not given"
        report.left_out(path, "the query", why, "left out; give the address with --prometheus")
    return otherwise


def _number(value: Any) -> str | None:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    text = format(number.normalize(), "f") if number.is_finite() and abs(number.adjusted()) < 15 else None
    return text if text is not None and len(text) < 30 else None
