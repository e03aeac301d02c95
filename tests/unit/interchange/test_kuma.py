"""Uptime Kuma's monitors as an estate, and its heartbeats as timelines."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from imports import AT, check, component, expectations, loaded, said

from holdfast.availability.model import State
from holdfast.interchange.draft import Imported
from holdfast.interchange.errors import NothingError
from holdfast.interchange.history import Count
from holdfast.interchange.kuma import KumaSetUp, every_of, import_kuma, pause_of
from holdfast.interchange.kuma_conditions import accepted_statuses, json_condition, keyword_condition
from holdfast.interchange.kuma_history import HeartbeatRow, beats, kuma_timeline, moment
from holdfast.interchange.report import Kind

DEFAULTS: dict[str, object] = {
    "active": 1, "interval": 60, "weight": 2000, "maxretries": 0, "retry_interval": 0, "timeout": 48.0,
    "accepted_statuscodes_json": '["200-299"]', "maxredirects": 10, "method": "GET", "upside_down": 0,
}  # fmt: skip


def _rows(*monitors: dict[str, object]) -> list[dict[str, object]]:
    return [{**DEFAULTS, "id": number, **monitor} for number, monitor in enumerate(monitors, 1)]


def _imported(*monitors: dict[str, object], **others: int) -> Imported:
    return import_kuma(KumaSetUp(_rows(*monitors), others), "kuma.db", AT)


def test_monitors_become_components_and_groups_clusters(tmp_path: Path) -> None:
    imported = _imported(
        {"type": "group", "name": "Europe"},
        {"type": "group", "name": "Databases", "parent": 1},
        {"type": "http", "name": "Shop", "url": "https://h/", "parent": 1, "description": "Sells.\nWell."},
        {"type": "port", "name": "db", "hostname": "db.example.org", "port": 5432, "parent": 2},
        {"type": "ping", "name": "host", "hostname": "192.0.2.1"},
    )  # fmt: skip

    estate = loaded(imported, tmp_path)

    assert [cluster.name for cluster in estate.clusters.values()] == [
        "Europe",
        "Europe / Databases",
        "Services",
    ]
    assert component(imported, "Shop").description == "Sells. Well."
    assert (check(imported, "db").host, check(imported, "db").port) == ("db.example.org", 5432)
    assert check(imported, "host").type == "icmp"
    assert imported.origins["3"] == ("europe", "shop", "http")


def test_retries_and_rhythm() -> None:
    shop = check(
        _imported({"type": "http", "name": "a", "url": "http://h/", "maxretries": 3, "retry_interval": 20}),
        "a",
    )

    assert (shop.every, shop.timeout) == (timedelta(seconds=60), timedelta(seconds=48))
    assert (shop.fail_after, shop.recover_after, shop.retry) == (4, 1, False)


def test_an_http_monitor_with_everything() -> None:
    imported = _imported(
        {
            "type": "http",
            "name": "API",
            "url": "https://example.org/api",
            "method": "post",
            "headers": json.dumps({"X-A": "b", "Cookie": "hunter2"}),
            "body": '{"a": 1}',
            "http_body_encoding": "json",
            "accepted_statuscodes_json": '["200-299", "401", "x"]',
            "maxredirects": 20,
            "ignore_tls": 1,
            "auth_method": "basic",
            "basic_auth_user": "me",
            "basic_auth_pass": "hunter2",
            "proxy_id": 3,
            "expiry_notification": 1,
        },
        notification=2,
        tag=0,
    )
    api = check(imported, "API")

    assert (api.method, api.body, api.verify_tls, api.follow_redirects) == ("POST", '{"a": 1}', False, 10)
    assert api.expected_status == ("200-299", 401)
    assert api.headers["X-A"] == "b"
    assert api.headers["Content-Type"] == "application/json"
    assert api.headers["Authorization"].name == "KUMA_API_AUTHORIZATION"
    assert api.headers["Cookie"].name == "KUMA_API_COOKIE"
    everything = imported.text + "".join(remark.as_text() for remark in imported.remarks)
    assert "hunter2" not in everything
    remarks = said(imported)
    assert "monitor 1.proxy_id" in remarks
    assert "monitor 1.maxredirects" in remarks
    assert "`x`" in remarks["monitor 1.accepted_statuscodes_json"]
    assert "2 rows" in remarks["table notification"]
    assert "table tag" not in remarks
    assert "1 monitors" in remarks["monitor.expiry_notification"]


def test_monitors_of_one_name_do_not_share_a_secret() -> None:
    login: dict[str, object] = {"type": "http", "name": "a", "auth_method": "basic"}

    imported = _imported({**login, "url": "http://one/"}, {**login, "url": "http://other/"})

    checks = [
        next(iter(each.checks.values())) for each in imported.estate.clusters["services"].components.values()
    ]
    names = [getattr(each, "headers")["Authorization"].name for each in checks]  # noqa: B009  of the union
    assert names == ["KUMA_A_AUTHORIZATION", "KUMA_A_AUTHORIZATION_2"]


def test_keywords_and_json_queries() -> None:
    query: dict[str, object] = {"type": "json-query", "url": "http://h/", "expected_value": "3"}
    imported = _imported(
        {"type": "keyword", "name": "a", "url": "http://h/", "keyword": 'say "ok"'},
        {"type": "keyword", "name": "b", "url": "http://h/", "keyword": "error", "invert_keyword": 1},
        {**query, "name": "c", "json_path": "$.a.b[0]"},
        {**query, "name": "d", "json_path": "$sum(x)"},
    )

    assert expectations(check(imported, "a")) == [r'body contains "say \"ok\""']
    assert expectations(check(imported, "b")) == ['not body contains "error"']
    assert expectations(check(imported, "c")) == ['json("$.a.b[0]") in ("3", 3)']
    assert "monitor 4.json_path" in said(imported, Kind.LEFT_OUT)


@pytest.mark.parametrize(
    ("path", "operator", "expected", "condition"),
    [
        ("status", "==", "up", 'json("$.status") == "up"'),
        ("$", "==", "1", 'json("$") in ("1", 1)'),
        ("ok", "!=", "true", 'json("$.ok") exists and not json("$.ok") in ("true", true)'),
        ("depth", "<", "10", 'json("$.depth") < 10'),
        ("tags", "contains", "x", 'json("$.tags") contains "x"'),
        ("`a b`.c", "==", "x", 'json("$[\'a b\'].c") == "x"'),
        ("depth", "<", "many", None),
        ("a & b", "==", "x", None),
        ("a", "like", "x", None),
    ],
)
def test_json_conditions(path: str, operator: str, expected: str, condition: str | None) -> None:
    assert json_condition(path, operator, expected) == condition


def test_keyword_conditions_at_the_edge() -> None:
    assert keyword_condition("", inverted=True) is None
    assert keyword_condition("x" * 2000, inverted=False) is None


@pytest.mark.parametrize("text", ["", "nonsense", "[", "{}", "[]", '["abc"]', "[" * 5000, "5"])
def test_statuses_are_never_empty(text: str) -> None:
    assert accepted_statuses(text)[0] == ["200-299"]


def test_other_types() -> None:
    imported = _imported(
        {
            "type": "dns",
            "name": "dns",
            "hostname": "example.org",
            "dns_resolve_server": "192.0.2.53, 192.0.2.54",
            "dns_resolve_type": "MX",
            "port": 53,
            "conditions": "[]",
        },
        {
            "type": "smtp",
            "name": "smtp",
            "hostname": "mail.example.org",
            "port": 465,
            "smtp_security": "secure",
        },
        {
            "type": "websocket-upgrade",
            "name": "ws",
            "url": "wss://example.org/",
            "ws_subprotocol": "mqtt",
            "accepted_statuscodes_json": '["1000"]',
        },
        {
            "type": "postgres",
            "name": "pg",
            "database_query": "SELECT 2",
            "database_connection_string": "postgres://me:hunter2@db.example.org:5433/shop?sslmode=require",
        },
        {
            "type": "rabbitmq",
            "name": "mq",
            "rabbitmq_nodes": '["https://mq.example.org:15672/"]',
            "rabbitmq_username": "me",
            "rabbitmq_password": "hunter2",
        },
    )

    dns = check(imported, "dns")
    assert (dns.name, dns.record, dns.server, dns.port) == ("example.org", "MX", "192.0.2.53", 53)
    assert "192.0.2.54" in said(imported, Kind.CHANGED)["monitor 1.dns_resolve_server"]
    assert (check(imported, "smtp").tls, check(imported, "smtp").port) == ("implicit", 465)
    assert check(imported, "ws").subprotocol == "mqtt"
    pg = check(imported, "pg")
    assert (pg.host, pg.port, pg.database, pg.user, pg.tls) == ("db.example.org", 5433, "shop", "me", True)
    assert (pg.query, pg.password.name) == ("SELECT 2", "KUMA_PG_PASSWORD")
    mq = check(imported, "mq")
    assert mq.url == "https://mq.example.org:15672/api/health/checks/alarms/"
    assert mq.expected_status == (200,)
    assert "hunter2" not in imported.text + "".join(remark.as_text() for remark in imported.remarks)


def test_what_called_in_still_does() -> None:
    imported = _imported(
        {
            "type": "push",
            "name": "nightly",
            "push_token": "hunter2hunter2hunter2",
            "interval": 3600,
            "maxretries": 2,
            "retry_interval": 60,
        }
    )

    nightly = check(imported, "nightly")
    assert (nightly.type, nightly.token.name) == ("heartbeat", "KUMA_NIGHTLY_TOKEN")
    assert (nightly.every, nightly.grace) == (timedelta(hours=1), timedelta(seconds=121))
    assert "/beat/" in said(imported, Kind.REFERENCE)["monitor 1.push_token"]
    assert "hunter2" not in imported.text + "".join(remark.as_text() for remark in imported.remarks)


@pytest.mark.parametrize(
    "monitor",
    [
        {"type": "docker"},
        {"type": "mqtt", "mqtt_password": "hunter2"},
        {"type": "grpc-keyword"},
        {"type": "steam"},
        {"type": "http", "url": "http://h/", "active": 0},
        {"type": "http", "url": "http://h/", "upside_down": 1},
        {"type": "http", "url": "http://h/", "auth_method": "ntlm"},
        {"type": "http", "url": "http://h/", "method": "BREW"},
        {"type": "http", "url": "not an address"},
        {"type": "port", "hostname": "h", "port": 0},
        {"type": "port", "hostname": "h", "port": 1, "expected_tls_alert": "certificate_required"},
        {"type": "dns", "hostname": "h", "conditions": '[{"type": "expression"}]'},
        {"type": "postgres", "database_connection_string": "nonsense"},
        {"type": "rabbitmq", "rabbitmq_nodes": '["http://a", "http://b"]'},
    ],
)
def test_what_has_no_counterpart_is_named(monitor: dict[str, object]) -> None:
    imported = _imported({"type": "http", "name": "good", "url": "http://h/"}, {"name": "bad", **monitor})

    left_out = [each for each in imported.remarks if each.kind is Kind.LEFT_OUT and "monitor 2" in each.path]
    assert len(left_out) == 1
    assert "`bad`" in left_out[0].what
    assert list(imported.origins) == ["1"]


def test_a_first_version_without_most_columns() -> None:
    row = {
        "id": 1,
        "name": "old",
        "type": "http",
        "url": "http://h/",
        "interval": 20,
        "active": 1,
        "maxretries": 1,
    }

    imported = import_kuma(KumaSetUp([row], {}), "kuma.db", AT)

    assert check(imported, "old").fail_after == 2


@pytest.mark.parametrize(
    "odd", [b"\xff\x00", 1e308, -5, 10**30, "", None, "\x1b[31m", "x" * 100_000, float("inf"), "\ud800"]
)
def test_odd_values_in_any_column_never_break_an_import(odd: object) -> None:
    columns = [
        *(*DEFAULTS, "name", "type", "url", "hostname", "port", "parent", "headers", "body", "description"),
        *("json_path", "keyword", "auth_method", "database_connection_string", "dns_resolve_server"),
        "rabbitmq_nodes",
    ]
    kinds = ["http", "keyword", "json-query", "port", "dns", "postgres", "rabbitmq", "ping", "group"]
    for column in columns:
        rows: list[dict[str, Any]] = _rows(
            *({"type": kind, "url": "http://h/", "name": "n"} for kind in kinds)
        )
        for row in rows:
            row[column] = odd
            every_of(row)
            pause_of(row)
        assert _explained(rows), column


def _explained(rows: list[dict[str, Any]]) -> bool:
    """An estate, or why there is none."""
    try:
        return bool(import_kuma(KumaSetUp(rows, {}), "kuma.db", AT).text)
    except NothingError as error:
        return bool(error.remarks)


def test_groups_in_a_circle_end() -> None:
    imported = _imported(
        {"type": "group", "name": "A", "parent": 2},
        {"type": "group", "name": "B", "parent": 1},
        {"type": "http", "name": "x", "url": "http://h/", "parent": 2},
    )

    assert [cluster.name for cluster in imported.estate.clusters.values()] == ["A / B"]


def _history(rows: list[tuple[object, object, object]], counts: list[Count] | None = None) -> Any:
    minute = timedelta(minutes=1)
    timeline = kuma_timeline(1, AT, minute, counts or [])
    unreadable = [0]
    cells = (HeartbeatRow(time, status, msg, 20) for time, status, msg in rows)
    for beat in beats(cells, minute, minute, unreadable):
        timeline.take(beat)
    timeline.finish()
    return timeline, unreadable[0]


def test_heartbeats_become_transitions_with_reasons_for_customers() -> None:
    timeline, unreadable = _history(
        [
            ("2026-03-01 10:00:00.123", 1, "200 - OK"),
            ("2026-03-01 10:01:00", 2, "Request failed with status code 503"),
            ("2026-03-01 10:02:00", 0, "Request failed with status code 503, secret-host 10.0.0.5"),
            ("2026-03-01 10:03:00.5", 1, "200 - OK"),
            ("2026-03-01 10:04:00", 3, "Monitor under maintenance"),
            ("2026-03-01 10:05:00", 1, ""),
            ("nonsense", 1, ""),
            ("2026-03-01 10:06:00", 9, ""),
        ]
    )

    assert unreadable == 2
    assert [(each.at.isoformat(), each.state) for each in timeline.transitions] == [
        ("2026-03-01T10:00:00.123000+00:00", State.OPERATIONAL),
        ("2026-03-01T10:01:00+00:00", State.MAJOR_OUTAGE),
        ("2026-03-01T10:03:00.500000+00:00", State.OPERATIONAL),
        ("2026-03-01T10:04:00+00:00", State.UNKNOWN),
        ("2026-03-01T10:05:00+00:00", State.OPERATIONAL),
        ("2026-03-01T10:06:00+00:00", State.UNKNOWN),
    ]
    assert timeline.transitions[1].reason == "status was 503"
    assert timeline.hours[0].good == 3


def test_what_version_2_deleted_is_known_from_its_statistics() -> None:
    day = timedelta(days=1)
    start = datetime(2026, 3, 1, tzinfo=UTC)
    rows: list[tuple[object, object, object]] = [
        ("2026-03-01 00:00:00", 1, ""),
        ("2026-03-04 12:00:00", 0, ""),
    ]

    alone, _ = _history(rows)
    counts = [Count(start + n * day, day, 1440) for n in (0, 1, 3)]
    attested, _ = _history(rows, [*counts, Count(start + 2 * day, day, 700)])

    assert alone.tally.unknown == timedelta(days=3, hours=12) - timedelta(minutes=1)
    assert attested.tally.unknown == day
    assert [each.state for each in attested.transitions] == [
        State.OPERATIONAL, State.UNKNOWN, State.OPERATIONAL, State.MAJOR_OUTAGE, State.UNKNOWN,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("connect ECONNREFUSED 10.0.0.1:443", "connection refused"),
        ("getaddrinfo ENOTFOUND internal.example.org", "the name was not found"),
        ("timeout of 48000ms exceeded", "no answer in time"),
        ("200 - OK, but keyword is not in [<html>secret]", "the answer did not say what it should"),
        ("unable to verify the first certificate", "the certificate was not accepted"),
        ("No heartbeat in the time window", "no heartbeat came in time"),
        ("something with a secret", "down in Uptime Kuma"),
        (b"bytes", "down in Uptime Kuma"),
        (None, "down in Uptime Kuma"),
    ],
)
def test_a_reason_never_repeats_what_the_target_said(message: object, reason: str) -> None:
    timeline, _ = _history([("2026-03-01 10:00:00", 0, message)])

    assert timeline.transitions[0].reason == reason


@pytest.mark.parametrize(
    "value", [None, b"2026-03-01 10:00:00", "2026-13-01 10:00:00", "yesterday", "", 1e300, float("nan"), True]
)
def test_what_is_no_time_is_none(value: object) -> None:
    assert moment(value) is None


def test_times_are_utc() -> None:
    ten = datetime(2026, 3, 1, 10, tzinfo=UTC)

    for value in ("2026-03-01 10:00:00", "2026-03-01T10:00:00.000Z", ten.timestamp(), ten.timestamp() * 1000):
        assert moment(value) == ten
