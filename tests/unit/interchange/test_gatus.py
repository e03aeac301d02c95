"""Gatus' configuration as an estate, and what is said of the parts without a counterpart."""

from datetime import timedelta
from pathlib import Path

import pytest
from imports import AT, check, component, expectations, loaded, said

from holdfast.estate.values import SecretRef
from holdfast.interchange.draft import Imported
from holdfast.interchange.errors import NothingError, SourceError
from holdfast.interchange.gatus import import_gatus
from holdfast.interchange.report import Kind

CONFIG = """\
ui: {title: Shop status, logo: https://example.org/logo.png}
metrics: true
alerting: {slack: {webhook-url: "https://hooks.example.org/${SLACK}"}}
x-common: &common
  interval: 30s
  client: {timeout: 20s, insecure: yes, ignore-redirect: true}
endpoints:
  - <<: *common
    name: Front page
    group: Shop
    url: https://example.org/health
    headers:
      Authorization: Bearer ${TOKEN}
      X-Api-Key: ${API_KEY}
      X-Session-Id: literal
      X-Price: $$5
      X-Trap: file:/etc/passwd
    conditions:
      - "[STATUS] == 200"
      - "[BODY].status == UP"
      - "[IP] == 192.0.2.1"
      - "[CONNECTED] == true"
    alerts: [{type: slack}]
  - name: Grüße & Küsse
    url: https://example.org/graphql
    method: POST
    graphql: true
    body: "{ user { name } }"
    conditions: ["[RESPONSE_TIME] < 500"]
  - {name: cache, group: Shop, url: "tcp://127.0.0.1:6379", body: "PING\\r\\n", conditions: ["[BODY] == pat(+PONG*)"]}
  - {name: cert, group: Shop, url: "tls://example.org:993", conditions: ["[CERTIFICATE_EXPIRATION] > 48h"]}
  - {name: mail, group: Shop, url: "starttls://smtp.example.org:587", conditions: ["[CONNECTED] == true"]}
  - {name: host, group: Shop, url: "icmp://example.org", conditions: ["[CONNECTED] == true"]}
  - {name: socket, group: Shop, url: "wss://example.org/ws", body: hello, conditions: ["[BODY] == hello"]}
  - {name: rpc, group: Shop, url: "grpcs://example.org:443", conditions: ["[BODY].status == SERVING"]}
  - name: names
    group: Shop
    url: "192.0.2.53:5353"
    dns: {query-name: example.org, query-type: A}
    conditions: ["[BODY] == 192.0.2.1", "[DNS_RCODE] == NOERROR"]
  - {name: domain, url: "https://example.org", interval: 5m, conditions: ["[STATUS] == 200", "[DOMAIN_EXPIRATION] > 720h"]}
  - {name: deep, url: "https://a.example.org", interval: 5m, conditions: ["[STATUS] == 200", "[DOMAIN_EXPIRATION] > 720h"]}
  - {name: off, enabled: false, url: "https://example.org", conditions: ["[STATUS] == 200"]}
  - {name: variable, url: "https://${HOST}/", conditions: ["[STATUS] == 200"]}
  - {name: down, url: "tcp://127.0.0.1:1", conditions: ["[CONNECTED] == false"]}
  - {name: udp, url: "udp://127.0.0.1:1", conditions: ["[CONNECTED] == true"]}
  - {name: login, url: "https://example.org/login", method: POST, body: '{"password": "hunter2"}', conditions: ["[STATUS] == 200"]}
  - {name: token, url: "https://example.org/?api_token=hunter2", conditions: ["[STATUS] == 200"]}
  - {name: user, url: "https://me:hunter2@example.org/", conditions: ["[STATUS] == 200"]}
  - {name: oauth, url: "https://example.org/", client: {oauth2: {client-secret: hunter2}}, conditions: ["[STATUS] == 200"]}
external-endpoints: [{name: batch, token: hunter2}]
suites: [{name: journey, endpoints: []}]
"""  # noqa: E501  one endpoint a line


@pytest.fixture(scope="module")
def imported() -> Imported:
    return import_gatus(CONFIG.encode(), "config.yaml", AT)


def test_what_comes_out_loads_and_reads_well(imported: Imported, tmp_path: Path) -> None:
    estate = loaded(imported, tmp_path)

    assert estate == imported.estate
    assert imported.text.startswith("# Imported from Gatus (config.yaml) on 2026-11-22 12:00 UTC.\n")
    assert "            url: https://example.org/health\n" in imported.text
    assert estate.site.title == "Shop status"
    assert list(estate.clusters) == ["shop", "services"]
    assert list(estate.clusters["services"].components)[:2] == ["gruesse-and-kuesse", "domain"]


def test_an_http_endpoint(imported: Imported) -> None:
    front = check(imported, "Front page")

    assert front.url == "https://example.org/health"
    assert (front.every, front.timeout) == (timedelta(seconds=30), timedelta(seconds=20))
    assert front.timeouts.first_byte == timedelta(seconds=20)
    assert front.follow_redirects == 0
    assert not front.verify_tls
    assert expectations(front) == ["status == 200", 'json("$.status") == "UP"']
    assert "conditions[2]" in said(imported)["endpoints[0].conditions[2]"]
    assert "alerts" in said(imported)["endpoints[0].alerts"]


def test_secrets_are_references(imported: Imported) -> None:
    headers = check(imported, "Front page").headers

    assert headers["Authorization"] == SecretRef(source="env", name="GATUS_FRONT_PAGE_AUTHORIZATION")
    assert headers["X-Api-Key"] == SecretRef(source="env", name="API_KEY")
    assert headers["X-Session-Id"] == SecretRef(source="env", name="GATUS_FRONT_PAGE_X_SESSION_ID")
    assert headers["X-Price"] == "$5"
    references = said(imported, Kind.REFERENCE)
    assert {path for path in references if path.startswith("endpoints[0].headers")} == {
        "endpoints[0].headers.Authorization",
        "endpoints[0].headers.X-Api-Key",
        "endpoints[0].headers.X-Session-Id",
    }
    assert check(imported, "user").headers["Authorization"].name == "GATUS_USER_AUTHORIZATION"


def test_a_header_cannot_make_a_check_send_a_file(imported: Imported) -> None:
    assert "X-Trap" not in check(imported, "Front page").headers
    assert "reference" in said(imported, Kind.LEFT_OUT)["endpoints[0].headers.X-Trap"]


def test_no_secret_comes_through(imported: Imported) -> None:
    everything = imported.text + "".join(remark.as_text() for remark in imported.remarks)

    assert "hunter2" not in everything
    assert "literal" not in everything


def test_other_kinds_of_endpoints(imported: Imported) -> None:
    graph = check(imported, "Grüße & Küsse")
    assert graph.body == '{"query": "{ user { name } }"}'
    assert graph.headers["Content-Type"] == "application/json"
    assert graph.expected_status == ("100-599",)
    assert check(imported, "cache").send == "PING\r\n"
    assert expectations(check(imported, "cert")) == ["certificate_expires_in > 2d"]
    mail = check(imported, "mail")
    assert (mail.type, mail.tls, mail.port) == ("smtp", "starttls", 587)
    assert check(imported, "host").host == "example.org"
    socket = check(imported, "socket")
    assert (socket.type, socket.url, socket.send) == ("websocket", "wss://example.org/ws", "hello")
    assert (check(imported, "rpc").type, check(imported, "rpc").tls) == ("grpc", True)
    names = check(imported, "names")
    assert (names.name, names.record, names.server, names.port) == ("example.org", "A", "192.0.2.53", 5353)


def test_a_domains_end_is_a_check_of_its_own(imported: Imported) -> None:
    checks = component(imported, "domain").checks

    assert list(checks) == ["http", "domain"]
    assert getattr(checks["domain"], "domain", None) == "example.org"
    assert expectations(checks["domain"]) == ["expires_in > 30d"]
    assert list(component(imported, "deep").checks) == ["http"]
    assert "registered domain" in said(imported)["endpoints[10].conditions[1]"]


def test_whatever_is_left_out_is_named(imported: Imported) -> None:
    left_out = said(imported, Kind.LEFT_OUT)

    for path in (
        *("ui.logo", "metrics", "alerting", "external-endpoints[0]", "suites[0]"),
        *("endpoints[11]", "endpoints[12].url", "endpoints[13]", "endpoints[14]"),
        *("endpoints[15].body", "endpoints[16].url", "endpoints[18].client.oauth2"),
    ):
        assert path in left_out
    names = {
        each.name for cluster in imported.estate.clusters.values() for each in cluster.components.values()
    }
    assert not names & {"off", "variable", "down", "udp", "login", "token", "oauth"}
    assert "${HOST}" in left_out["endpoints[12].url"]


def test_a_rhythm_beyond_ours_is_bounded_and_told() -> None:
    config = b"""
endpoints:
  - {name: a, url: "http://h/", interval: 72h, client: {timeout: 100h}, conditions: ["[STATUS] == 200"]}
  - {name: b, url: "http://h/", interval: 100ms, conditions: ["[STATUS] == 200"]}
"""
    imported = import_gatus(config, "c", AT)

    assert check(imported, "a").every == timedelta(days=1)
    assert check(imported, "b").every == timedelta(seconds=1)
    assert check(imported, "b").timeout == timedelta(seconds=1)
    told = [remark.as_text() for remark in imported.remarks if remark.kind is Kind.CHANGED]
    assert len([text for text in told if "at least once a day" in text]) == 2
    assert len([text for text in told if "a run ends before the next one is due" in text]) == 2


def test_the_same_name_twice_gets_a_key_of_its_own() -> None:
    endpoint = '{name: "a b", url: "http://h/", conditions: ["[STATUS] == 200"]}'

    imported = import_gatus(f"endpoints: [{endpoint}, {endpoint}, {endpoint}]".encode(), "c", AT)

    assert list(imported.estate.clusters["services"].components) == ["a-b", "a-b-2", "a-b-3"]


def test_a_check_that_would_not_be_valid_is_left_out_with_the_reason() -> None:
    config = b"""
endpoints:
  - {name: bad, url: "http://", conditions: ["[STATUS] == 200"]}
  - {name: good, url: "http://h/", conditions: ["[STATUS] == 200"]}
"""
    imported = import_gatus(config, "c", AT)

    assert [each.name for each in imported.estate.clusters["services"].components.values()] == ["good"]
    assert "not be a valid check" in said(imported)["endpoints[0]"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"a: [", "this is not YAML"),
        (b"- a", "not one mapping"),
        (b"", "not one mapping"),
        (b"a: 1\n---\nb: 2", "not one mapping"),
        (b"x" * (4 * 1024 * 1024 + 1), "larger than 4 MiB"),
        (b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
            b"%c: &%c [%s]\n" % (98 + n, 98 + n, b", ".join([b"*%c" % (97 + n)] * 9)) for n in range(8)
        ), "keys and values"),
        (b"[" * 100, "nested deeper"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        import_gatus(content, "config.yaml", AT)


def test_nothing_to_import_says_why() -> None:
    with pytest.raises(NothingError) as caught:
        import_gatus(b'endpoints: [{name: a, url: "udp://h:1", conditions: []}, 5]', "config.yaml", AT)

    assert [remark.path for remark in caught.value.remarks] == ["endpoints[0]", "endpoints[1]"]
