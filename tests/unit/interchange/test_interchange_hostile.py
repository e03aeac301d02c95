"""Whatever is put in: a loadable estate, or a refusal that explains itself. Never another error."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imports import AT

from holdfast.availability.conditions import validate
from holdfast.estate.loader import parse_estate
from holdfast.interchange.draft import Imported
from holdfast.interchange.errors import InterchangeError
from holdfast.interchange.gatus import import_gatus
from holdfast.interchange.kuma import KumaSetUp, import_kuma
from holdfast.interchange.openslo import import_openslo
from holdfast.interchange.secrecy import holds_secret, is_secret_header, secret_parameter, without_login
from holdfast.interchange.upptime import import_upptime

HOSTILE = settings(
    deadline=None, derandomize=True, max_examples=400, suppress_health_check=[HealthCheck.too_slow]
)
TEXTS = st.text(max_size=20) | st.sampled_from(
    [
        "",
        "http://h/",
        "tcp://h:1",
        "a b",
        "\x1b[31m",
        "\u202eevil",
        "${X}",
        "env:X",
        "no",
        "1e3",
        "\x00",
        "é" * 300,
    ]
)
ANY = st.recursive(
    TEXTS | st.integers(-(10**18), 10**18) | st.booleans() | st.none() | st.sampled_from([0.5, 1e300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


MISSING = object()


def _mostly(strategy: st.SearchStrategy[Any], otherwise: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Right sixty-two times of sixty-four; else missing, or anything."""
    return st.integers(0, 63).flatmap(
        lambda dice: st.just(MISSING) if dice == 63 else otherwise if dice == 62 else strategy
    )


def _present(mapping: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if value is not MISSING}


def _mappings(
    otherwise: st.SearchStrategy[Any] = ANY, **fields: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    """Mappings whose fields are mostly right, sometimes missing and sometimes anything."""
    mixed = {key: _mostly(strategy, otherwise) for key, strategy in fields.items()}
    return st.fixed_dictionaries(mixed).map(_present)


def _refusal(error: InterchangeError) -> None:
    """A refusal says why, and is about the source: that nothing valid came out would be a fault of ours."""
    assert str(error).isprintable()
    assert "not a valid estate" not in str(error)


def _explained(make: Any) -> Imported | None:
    """The estate, which has to load, or None with an explanation."""
    try:
        imported: Imported = make()
    except InterchangeError as error:
        return _refusal(error)
    assert parse_estate(imported.text.encode(), Path("x.yaml"), validate) == imported.estate
    for remark in imported.remarks:
        assert remark.as_text().isprintable()
        assert remark.what
        assert remark.why
    return imported


ADDRESSES = ["http://h/", "https://u:p@h/", "tcp://h:1", "tls://[::1]:1", "icmp://h", "wss://h/"]
CONDITIONS = ["[STATUS] == 200", "[BODY].a == b", "[RESPONSE_TIME] < 5", "len([BODY]) < 5", "x"]
ENDPOINTS = _mappings(
    name=TEXTS,
    group=TEXTS,
    url=st.sampled_from([*ADDRESSES, "https://u:p@h:8443/x?token=1", "dns", "x://"]),
    method=st.sampled_from(["GET", "post", "BREW"]),
    headers=st.dictionaries(TEXTS, TEXTS, max_size=3),
    body=TEXTS,
    interval=st.sampled_from(["30s", "5m", "-1s", "9999999h", "1ns"]),
    conditions=st.lists(st.sampled_from(CONDITIONS) | TEXTS, max_size=4),
    client=_mappings(timeout=st.sampled_from(["1s", "100h"]), insecure=st.booleans(), **{"proxy-url": TEXTS}),
    dns=st.none() | _mappings(**{"query-name": TEXTS, "query-type": st.sampled_from(["A", "MX", "NOPE"])}),
    enabled=st.sampled_from([True, True, True, False]),
    graphql=st.booleans(),
)  # fmt: skip


@given(_mappings(endpoints=st.lists(ENDPOINTS | ANY, max_size=4), ui=_mappings(title=TEXTS), alerting=ANY))
@HOSTILE
def test_any_gatus_configuration(config: dict[str, Any]) -> None:
    content = json.dumps(config).encode()

    _explained(lambda: import_gatus(content, "config.yaml", AT))


CELLS = TEXTS | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.binary(max_size=20) | st.none()
KINDS = [
    "http",
    "keyword",
    "json-query",
    "port",
    "ping",
    "dns",
    "group",
    "postgres",
    "smtp",
    "rabbitmq",
    "push",
]
ROWS = _mappings(
    CELLS,
    id=st.integers(1, 5),
    name=TEXTS,
    type=st.sampled_from(KINDS),
    active=st.sampled_from([1, 1, 1, 0]),
    interval=st.sampled_from([20, 60, 86_401, 0]),
    timeout=st.sampled_from([0, 48.0, 1e9]),
    maxretries=st.integers(0, 120),
    retry_interval=st.sampled_from([0, 20]),
    parent=st.none() | st.integers(1, 5),
    url=st.sampled_from(["http://h/", "https://u:p@h/?q=1", "http://h/?token=x"]),
    hostname=st.sampled_from(["h", "192.0.2.1", "::1", "a b"]),
    port=st.sampled_from([1, 53, 70_000, None]),
    headers=st.sampled_from(['{"A": "b", "Token": "c"}', '{"\\ud800": "\\udfff"}', "[]", "{", None]),
    body=st.none() | TEXTS,
    method=st.sampled_from(["GET", "HEAD", "post", "BREW"]),
    keyword=TEXTS,
    json_path=st.sampled_from(["$.a", "a[0]", "$sum(a)"]),
    expected_value=TEXTS,
    accepted_statuscodes_json=st.sampled_from(['["200-299"]', "[]", '["x", 5]']),
    auth_method=st.sampled_from([None, "basic", "ntlm", "bearer"]),
    database_connection_string=st.sampled_from(["postgres://u:p@h/db", "postgres://h"]),
    dns_resolve_type=st.sampled_from(["A", "MX", "NOPE"]),
    dns_resolve_server=st.sampled_from(["1.1.1.1", "a,b", ""]),
    rabbitmq_nodes=st.sampled_from(['["http://h:15672"]', "[]"]),
    description=TEXTS,
    maxredirects=st.integers(-1, 30),
    upside_down=st.sampled_from([0, 0, 0, 1]),
)


@given(st.lists(ROWS, max_size=4))
@HOSTILE
def test_any_rows_of_uptime_kuma(rows: list[dict[str, object]]) -> None:
    _explained(lambda: import_kuma(KumaSetUp(rows, {}), "kuma.db", AT))


METRICS = _mappings(
    metricSource=_mappings(
        type=st.sampled_from(["Prometheus", "Prometheus", "Holdfast", "Datadog"]),
        metricSourceRef=st.just("m"),
        spec=_mappings(query=st.just("up") | TEXTS, components=st.lists(TEXTS, max_size=2)),
    )
)
RATIOS = _mappings(
    counter=st.booleans(), good=METRICS, total=METRICS, raw=st.none() | METRICS, rawType=st.just("failure")
)
WINDOWS = _mappings(
    duration=st.sampled_from(["28d", "4w", "1M", "1Q", "1h", "99999Y"]),
    isRolling=st.booleans(),
    calendar=_mappings(timeZone=st.sampled_from(["UTC", "Mars"]), startTime=TEXTS),
)
OBJECTIVES = _mappings(
    target=st.sampled_from(["0.99", 0.5]),
    targetPercent=st.just(99.9),
    op=st.just("lt"),
    value=st.just(1),
    displayName=TEXTS,
    timeSliceWindow=st.sampled_from(["1m", "1Q", "x"]),
)
TERMS = {
    f"holdfast/{key}": st.sampled_from(["99=1, 98=2", "5m", "worst", "UTC"]) | TEXTS
    for key in ("customer", "combine", "credits", "notice", "rpo", "time-zone")
}
SLOS = _mappings(
    apiVersion=st.sampled_from(["openslo/v1", "openslo.com/v1"]),
    kind=st.just("SLO"),
    metadata=_mappings(name=TEXTS, displayName=TEXTS, annotations=_mappings(**TERMS)),
    spec=_mappings(
        service=TEXTS,
        indicator=_mappings(spec=_mappings(thresholdMetric=st.none() | METRICS, ratioMetric=RATIOS)),
        timeWindow=st.lists(WINDOWS, min_size=1, max_size=1),
        budgetingMethod=st.sampled_from(["Occurrences", "Timeslices"]),
        objectives=st.lists(OBJECTIVES, min_size=1, max_size=2),
    ),
)
OTHERS = _mappings(
    apiVersion=st.sampled_from(["openslo/v1", "openslo/v2"]),
    kind=st.sampled_from(["SLI", "Service", "DataSource", "AlertPolicy"]),
    metadata=_mappings(name=st.sampled_from(["a", "m"])),
    spec=_mappings(type=st.just("Prometheus"), connectionDetails=_mappings(url=st.just("http://p:9090"))),
)
DOCUMENTS = SLOS | OTHERS


@given(st.lists(DOCUMENTS | ANY, max_size=4))
@HOSTILE
def test_any_openslo_documents(documents: list[Any]) -> None:
    content = "".join(f"---\n{json.dumps(document)}\n" for document in documents).encode()

    _explained(lambda: import_openslo([("slo.yaml", content)], AT, None, "http://127.0.0.1:9090"))


SITES = _mappings(
    name=TEXTS,
    url=st.sampled_from(["https://example.org", "192.0.2.1", "$SECRET", "wss://h/"]),
    check=st.sampled_from(["http", "tcp-ping", "ssl", "ws"]),
    port=st.integers(0, 70_000),
    headers=st.lists(st.sampled_from(["A: b", "Authorization: $X", "no colon"]), max_size=2),
    expectedStatusCodes=st.lists(st.integers(0, 700), max_size=3),
    maxResponseTime=st.integers(-5, 10**9),
    maxRedirects=st.integers(-5, 50),
    __dangerous__body_down=TEXTS,
)


@given(_mappings(sites=st.lists(SITES, max_size=3), workflowSchedule=_mappings(uptime=TEXTS)))
@HOSTILE
def test_any_upptime_configuration(config: dict[str, Any]) -> None:
    content = json.dumps(config).encode()

    _explained(lambda: import_upptime(content, "status", AT, {}))


@given(st.binary(max_size=200))
@HOSTILE
def test_any_bytes(content: bytes) -> None:
    _explained(lambda: import_gatus(content, "config.yaml", AT))
    _explained(lambda: import_upptime(content, "status", AT, {}))
    _explained(lambda: import_openslo([("slo.yaml", content)], AT, None, None))


@pytest.mark.parametrize(
    "name", ["Authorization", "X-API-Key", "x-auth-token", "Cookie", "Private-Token", "X-Secret", "apikey"]
)
def test_headers_that_carry_secrets(name: str) -> None:
    assert is_secret_header(name)


@pytest.mark.parametrize("name", ["Accept", "Content-Type", "X-Request-Id", "User-Agent", "Host", "X-Tokyo"])
def test_headers_that_do_not(name: str) -> None:
    assert not is_secret_header(name)


def test_secrets_in_addresses_and_bodies() -> None:
    assert secret_parameter("https://h/?a=1&access_token=x") == "access_token"
    assert secret_parameter("https://h/?a=1&page=2") is None
    assert without_login("https://u:p@h/x@y") == ("https://h/x@y", True)
    assert without_login("https://u:p@q@h?x") == ("https://h?x", True)
    assert without_login("https://h/x@y") == ("https://h/x@y", False)
    assert holds_secret('{"password": "x"}')
    assert holds_secret("user=a&token=b")
    assert not holds_secret('{"query": "{ users { name } }"}')
