"""OpenSLO in and out: what comes out is valid by the specification, and comes in again as it was."""

import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import pytest
import yaml
from imports import AT, check, expectations, loaded, said

from holdfast.availability.conditions import validate
from holdfast.estate.loader import load_estate, parse_estate
from holdfast.estate.model import Agreement, Estate
from holdfast.interchange.draft import Imported
from holdfast.interchange.errors import NothingError, SourceError
from holdfast.interchange.openslo import import_openslo
from holdfast.interchange.openslo_export import export_openslo
from holdfast.interchange.report import Kind

ESTATE = """\
regions: {r: {name: R}}
clusters:
  eu:
    name: EU
    region: r
    components:
      api: {name: API, checks: {h: {url: "http://h/"}}}
      web: {name: Web, checks: {h: {url: "http://h/"}}}
customers: {acme: {name: Acme}, "no": {name: "No: really"}}
agreements:
  gold:
    customer: acme
    name: Gold
    components: [eu/*]
    objective: 99.95
    time_zone: Europe/Berlin
    combine: worst
    unknown: downtime
    notice: 24h
    credits: [{below: 99.9, credit: 10}, {below: 99, credit: 25.5}]
    rpo: 5m
    rto: 1h30m
  rolling:
    customer: "no"
    name: Rolling
    components: [eu/api, "*/web"]
    objective: 99
    window: 28d12h
    time_zone: Asia/Tokyo
"""
DURATION = re.compile(r"[1-9]\d*[mhdwMQY]")
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
ANNOTATION = re.compile(r"([a-z0-9][a-z0-9.-]{0,252}/)?[a-zA-Z0-9]([-._a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")


def _estate(text: str = ESTATE) -> Estate:
    return parse_estate(text.encode(), Path("holdfast.yaml"), validate)


def _assert_valid(document: dict[str, Any]) -> None:
    """The rules of OpenSLO v1 (README of the specification, and the validation of its SDK)."""
    assert set(document) == {"apiVersion", "kind", "metadata", "spec"}
    assert document["apiVersion"] == "openslo/v1"
    assert NAME.fullmatch(document["metadata"]["name"])
    assert len(document["metadata"].get("displayName", "")) <= 63
    for key, value in document["metadata"].get("annotations", {}).items():
        assert ANNOTATION.fullmatch(key)
        assert isinstance(value, str)
    spec = document["spec"]
    assert len(spec.get("description", "")) <= 1050
    if document["kind"] == "SLI":
        _assert_valid_ratio(spec["ratioMetric"])
    elif document["kind"] == "SLO":
        _assert_valid_slo(spec)
    else:
        assert document["kind"] == "Service"


def _assert_valid_ratio(ratio: dict[str, Any]) -> None:
    assert set(ratio) == {"counter", "good", "total"}
    assert isinstance(ratio["counter"], bool)
    for part in ("good", "total"):
        assert ratio[part]["metricSource"]["spec"]
        assert isinstance(ratio[part]["metricSource"]["type"], str)


def _assert_valid_slo(spec: dict[str, Any]) -> None:
    assert spec["service"]
    assert NAME.fullmatch(spec["indicatorRef"])
    assert spec["budgetingMethod"] in ("Occurrences", "Timeslices", "RatioTimeslices")
    (window,) = spec["timeWindow"]
    assert DURATION.fullmatch(window["duration"])
    assert window["isRolling"] is ("calendar" not in window)
    if "calendar" in window:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", window["calendar"]["startTime"])
        assert window["calendar"]["timeZone"] in available_timezones()
    for objective in spec["objectives"]:
        assert 0 <= objective["targetPercent"] < 100
        assert DURATION.fullmatch(objective["timeSliceWindow"])


def test_agreements_become_valid_documents() -> None:
    exported = export_openslo(_estate(), "holdfast.yaml", AT)
    documents = list(yaml.safe_load_all(exported.text))

    for document in documents:
        _assert_valid(document)
    assert [each["kind"] for each in documents] == ["Service", "Service", "SLI", "SLO", "SLI", "SLO"]
    gold, rolling = documents[3], documents[5]
    assert gold["spec"]["objectives"][0]["targetPercent"] == 99.95
    assert gold["spec"]["timeWindow"][0]["duration"] == "1M"
    assert rolling["spec"]["timeWindow"][0] == {"duration": "684h", "isRolling": True}
    assert exported.slos == 2
    assert not exported.remarks


def test_what_was_exported_comes_in_as_it_was(tmp_path: Path) -> None:
    estate = _estate()
    alone = estate.model_copy(update={"agreements": {}, "customers": {}})
    text = export_openslo(estate, "holdfast.yaml", AT).text

    imported = import_openslo([("slo.yaml", text.encode())], AT, alone, None)

    assert loaded(imported, tmp_path).agreements == estate.agreements
    assert imported.estate.clusters == estate.clusters
    assert not [
        remark for remark in imported.remarks if remark.kind is Kind.LEFT_OUT and "SLO" in remark.what
    ]


def test_terms_without_a_field_are_told() -> None:
    text = ESTATE.replace("objective: 99\n", "objective: 100\n").replace("Gold\n", "G" * 80 + "\n")
    exported = export_openslo(_estate(text.replace("rpo: 5m", "report_link: env:LINK")), "holdfast.yaml", AT)

    assert [remark.path for remark in exported.remarks if remark.kind is Kind.LEFT_OUT] == [
        "agreements.gold.report_link",
        "agreements.rolling",
    ]
    assert [remark.path for remark in exported.remarks if remark.kind is Kind.CHANGED] == [
        "agreements.gold.name"
    ]
    for document in yaml.safe_load_all(exported.text):
        _assert_valid(document)


def test_an_estate_without_agreements_has_nothing_to_export() -> None:
    estate = _estate().model_copy(update={"agreements": {}})

    with pytest.raises(NothingError):
        export_openslo(estate, "holdfast.yaml", AT)


SLO = """\
apiVersion: {version}
kind: SLO
metadata: {{name: checkout, displayName: Checkout}}
spec:
  service: shop
  {indicator}
  timeWindow: [{window}]
  budgetingMethod: {method}
  objectives: [{objective}]
"""
PROMETHEUS = """\
---
apiVersion: openslo.com/v1
kind: DataSource
metadata: {name: metrics}
spec: {type: Prometheus, connectionDetails: {url: "http://prometheus.example.org:9090/", password: hunter2}}
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: errors}
spec:
  ratioMetric:
    counter: true
    bad: {metricSource: {metricSourceRef: metrics, spec: {query: 'http_errors{code=~"5.."}'}}}
    total: {metricSource: {metricSourceRef: metrics, type: Prometheus, spec: {query: http_requests}}}
---
apiVersion: openslo/v1
kind: Service
metadata: {name: shop, displayName: The shop}
spec: {description: Sells.}
"""
ROLLING = "{duration: 28d, isRolling: true}"


def _imported(
    objective: str = "{targetPercent: 99.5}",
    indicator: str = "indicatorRef: errors",
    window: str = ROLLING,
    method: str = "Occurrences",
    version: str = "openslo/v1",
    more: str = PROMETHEUS,
) -> Imported:
    text = SLO.format(version=version, indicator=indicator, window=window, method=method, objective=objective)
    return import_openslo([("slo.yaml", (text + more).encode())], AT, None, None)


def _agreement(imported: Imported) -> Agreement:
    (agreement,) = imported.estate.agreements.values()
    return agreement


def test_an_indicator_at_prometheus_becomes_a_check(tmp_path: Path) -> None:
    imported = _imported()
    estate = loaded(imported, tmp_path)

    assert {key: cluster.name for key, cluster in estate.clusters.items()} == {"shop": "The shop"}
    asked = check(imported, "Checkout")
    assert (asked.type, asked.url) == ("prometheus", "http://prometheus.example.org:9090")
    assert asked.query == ('1 - (sum(rate(http_errors{code=~"5.."}[5m]))) / (sum(rate(http_requests[5m])))')
    assert expectations(asked) == ["value >= 0.995"]
    agreement = _agreement(imported)
    assert agreement.components == ("shop/checkout",)
    assert (agreement.objective, agreement.window) == (Decimal("99.5"), timedelta(days=28))
    assert "hunter2" not in imported.text + str(imported.remarks)
    assert "connectionDetails.password" in said(imported)["DataSource metrics"]
    assert "slo.yaml[0].spec.budgetingMethod" in said(imported, Kind.CHANGED)
    assert "slo.yaml[3].spec.description" in said(imported, Kind.LEFT_OUT)


def test_both_spellings_of_the_version() -> None:
    assert _agreement(_imported(version="openslo.com/v1")).name == "Checkout"
    with pytest.raises(NothingError) as caught:
        _imported(version="openslo/v1alpha")
    assert any("v1alpha" in remark.why for remark in caught.value.remarks)


def test_an_inline_threshold_and_slices() -> None:
    indicator = (
        "indicator: {metadata: {name: x}, spec: {thresholdMetric: {metricSource:"
        " {metricSourceRef: metrics, spec: {query: latency}}}}}"
    )
    objective = "{op: lt, value: 0.25, target: 0.999, timeSliceTarget: 0.9, timeSliceWindow: 5m}"

    imported = _imported(objective, indicator, method="Timeslices")

    asked = check(imported, "Checkout")
    assert expectations(asked) == ["value < 0.25"]
    assert asked.every == timedelta(minutes=5)
    assert _agreement(imported).objective == Decimal("99.9")


def test_several_objectives_are_several_agreements() -> None:
    imported = _imported(
        "{displayName: Target, target: 0.999}, {displayName: SLA, target: 0.99}, {target: 5}"
    )

    names = [agreement.name for agreement in imported.estate.agreements.values()]
    assert names == ["Checkout: Target", "Checkout: SLA"]
    assert list(imported.estate.agreements) == ["checkout-target", "checkout-sla"]
    assert "slo.yaml[0].spec.objectives[2]" in said(imported, Kind.LEFT_OUT)


@pytest.mark.parametrize(
    ("window", "expected", "zone", "told"),
    [
        ("{duration: 4w, isRolling: true}", timedelta(days=28), "UTC", ""),
        ("{duration: 1M, isRolling: true}", timedelta(days=30), "UTC", "a number of days"),
        ("{duration: 1Q, isRolling: true}", timedelta(days=91), "UTC", "a number of days"),
        (
            "{duration: 1M, calendar: {startTime: 2026-01-01 00:00:00, timeZone: Europe/Berlin}}",
            "calendar_month",
            "Europe/Berlin",
            "",
        ),
        (
            "{duration: 1M, isRolling: false, calendar: {startTime: 2026-01-15 12:00:00, timeZone: Nowhere}}",
            "calendar_month",
            "UTC",
            "begin on the first",
        ),
        (
            "{duration: 1w, calendar: {startTime: 2026-01-01 00:00:00, timeZone: UTC}}",
            timedelta(days=7),
            "UTC",
            "calendar windows are months",
        ),
        ("", timedelta(days=30), "UTC", "an agreement has one"),
    ],
)
def test_windows(window: str, expected: object, zone: str, told: str) -> None:
    imported = _imported(window=window)

    assert (_agreement(imported).window, _agreement(imported).time_zone) == (expected, zone)
    assert not told or any(told in text for text in said(imported, Kind.CHANGED).values())


@pytest.mark.parametrize(
    "window",
    [
        "{duration: 1h, isRolling: true}",
        "{duration: 5Y, isRolling: true}",
        "{duration: soon}",
        f"{ROLLING}, {ROLLING}",
    ],
)
def test_windows_that_would_be_another_promise_are_left_out(window: str) -> None:
    with pytest.raises(NothingError) as caught:
        _imported(window=window)

    assert any("timeWindow" in remark.path for remark in caught.value.remarks)


def _threshold(source: str) -> str:
    return f"indicator: {{spec: {{thresholdMetric: {{metricSource: {source}}}}}}}"


@pytest.mark.parametrize(
    ("indicator", "told"),
    [
        ("indicatorRef: missing", "no such SLI"),
        ("description: none", "no indicator"),
        ("indicator: {spec: {}}", "neither a thresholdMetric nor a ratioMetric"),
        (_threshold("{type: Datadog, spec: {query: x}}"), "only Prometheus"),
        (_threshold("{type: Prometheus, spec: {query: x}}"), "--prometheus"),
        (_threshold("{type: Prometheus, spec: {}}"), "no query"),
        (_threshold("{type: Prometheus, spec: {query: 'errors[{{.window}}]'}}"), "placeholders"),
    ],
)
def test_indicators_that_cannot_be_asked_are_named(indicator: str, told: str) -> None:
    with pytest.raises(NothingError) as caught:
        _imported("{op: lt, value: 1, target: 0.9}", indicator)

    assert any(told in remark.as_text() for remark in caught.value.remarks)


def test_other_kinds_are_named() -> None:
    more = PROMETHEUS + "".join(
        f"---\n{{apiVersion: openslo/v1, kind: {kind}, metadata: {{name: n}}, spec: {{}}}}\n"
        for kind in ("AlertPolicy", "AlertCondition", "AlertNotificationTarget", "Toaster")
    )
    left_out = said(_imported(more=more), Kind.LEFT_OUT)

    for index in (4, 5, 6, 7):
        assert f"slo.yaml[{index}]" in left_out


def test_the_address_of_prometheus_can_be_given(tmp_path: Path) -> None:
    text = SLO.format(
        version="openslo/v1",
        indicator="indicator: {spec: {ratioMetric: {rawType: failure, raw: {metricSource: {type: prometheus,"
        " spec: {query: share}}}}}}",
        window=ROLLING,
        method="RatioTimeslices",
        objective="{target: 0.99}",
    )
    base = tmp_path / "base.yaml"
    base.write_text(ESTATE)

    imported = import_openslo(
        [("slo.yaml", text.encode())], AT, load_estate(base, validate), "http://127.0.0.1:9090"
    )

    estate = loaded(imported, tmp_path)
    assert list(estate.agreements) == ["gold", "rolling", "checkout"]
    assert list(estate.clusters) == ["eu", "shop"]
    assert check(imported, "Checkout").query == "1 - (share)"


@pytest.mark.parametrize("content", [b"\xff", b"a: [", b"a: 1\n---\nb: ["])
def test_what_cannot_be_read_is_refused(content: bytes) -> None:
    with pytest.raises(SourceError):
        import_openslo([("slo.yaml", content)], AT, None, None)
