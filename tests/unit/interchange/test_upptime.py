"""Upptime's sites as an estate, and its commits as timelines."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from imports import AT, check, expectations, loaded, said

from holdfast.availability.model import State
from holdfast.interchange.errors import NothingError
from holdfast.interchange.report import Kind
from holdfast.interchange.upptime import import_upptime, slug_of
from holdfast.interchange.upptime_history import COMMIT, SiteHistories, records

CONFIG = """\
owner: shop
repo: status
assignees: [somebody]
sites:
  - name: Front Page
    url: https://example.org
    maxResponseTime: 2500
    __dangerous__body_down_if_text_missing: 'say "hello"'
    __dangerous__body_degraded: slow
    __dangerous__insecure: true
    icon: https://example.org/icon.svg
  - name: API
    url: https://api.example.org
    method: post
    headers: ["Authorization: Bearer $API_TOKEN", "X-Api-Key: $KEY", "Accept: */*", "nonsense"]
    body: '{"a": 1}'
    expectedStatusCodes: [200, 401]
    maxRedirects: 20
  - {name: Cache, check: tcp-ping, url: 192.0.2.1, port: 6379}
  - {name: Certificate, check: ssl, url: example.org}
  - {name: Socket, check: ws, url: "wss://example.org/ws", body: hello}
  - {name: Hidden, url: $SECRET_SITE}
  - {name: Odd, check: carrier-pigeon, url: "https://example.org"}
workflowSchedule: {uptime: "*/10 * * * *"}
status-website: {name: Shop status, cname: status.example.org}
"""
DAY = 86_400
START = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())


def test_sites_become_components(tmp_path: Path) -> None:
    imported = import_upptime(CONFIG.encode(), "status", AT, {})
    estate = loaded(imported, tmp_path)

    assert estate.site.title == "Shop status"
    front = check(imported, "Front Page")
    assert front.every == timedelta(minutes=10)
    assert not front.verify_tls
    assert front.expected_status == ("200-208", 226, "300-308")
    assert [(each.expect, each.otherwise) for each in front.conditions] == [
        (r'body contains "say \"hello\""', None),
        ('not body contains "slow"', "degraded"),
        ("response_time <= 2500ms", "degraded"),
    ]
    api = check(imported, "API")
    assert (api.method, api.follow_redirects) == ("POST", 10)
    assert api.headers["Authorization"].name == "UPPTIME_API_AUTHORIZATION"
    assert api.headers["X-Api-Key"].name == "KEY"
    assert api.headers["Accept"] == "*/*"
    assert api.expected_status == ("200", "401")
    cache = check(imported, "Cache")
    assert (cache.type, cache.host, cache.port) == ("tcp", "192.0.2.1", 6379)
    assert expectations(check(imported, "Certificate")) == ["certificate_expires_in >= 7d"]
    assert (check(imported, "Socket").type, check(imported, "Socket").send) == ("websocket", "hello")
    left_out = said(imported, Kind.LEFT_OUT)
    for path in (
        *("assignees", "status-website.cname", "sites[0].icon", "sites[1].headers[3]"),
        *("sites[5].url", "sites[6]"),
    ):
        assert path in left_out


def test_a_sites_history_is_found_by_its_slug_or_else_by_its_address() -> None:
    config = (
        b"sites: [{name: Wikipedia, url: 'http://w/'}, {name: 'Caf\xc3\xa9', url: 'http://c/'},"
        b" {name: x, slug: given, url: 'http://x/'}]"
    )

    imported = import_upptime(config, "status", AT, {"wikipedia": "http://w/", "cafe": "http://c/"})

    assert set(imported.origins) == {"wikipedia", "cafe", "given"}


def test_slugs_come_apart_where_upptime_takes_them_apart() -> None:
    assert slug_of("My fancyAPI & Site") == "my-fancy-api-and-site"


def test_no_site_is_said_so() -> None:
    with pytest.raises(NothingError):
        import_upptime(b"sites: [5, {name: a}]", "status", AT, {})


def _commit(day: float, slug: str, *fields: str, subject: str = "x") -> list[str]:
    at = START + round(day * DAY)
    return [
        f"{COMMIT}{at} {subject}",
        "",
        f"diff --git a/history/{slug}.yml b/history/{slug}.yml",
        f"--- a/history/{slug}.yml",
        f"+++ b/history/{slug}.yml",
        "@@ -2,4 +2,4 @@",
        *(f"+{each}" for each in fields),
    ]


def _line(*commits: list[str], slug: str = "api") -> list[tuple[float, State, str]]:
    histories = SiteHistories()
    for record in records(line for commit in commits for line in commit):
        histories.take(record)
    start = datetime.fromtimestamp(START, UTC)
    return [
        ((each.at - start) / timedelta(days=1), each.state, each.reason)
        for each in histories.timeline(slug, 1, AT).transitions
    ]


def test_commits_become_transitions() -> None:
    assert _line(
        _commit(0, "api", "status: up", "code: 200"),
        _commit(0.5, "api", "status: down", "code: 503", subject="🟥 API is down (503 in 12 ms) [skip ci]"),
        _commit(0.75, "other", "status: up"),
        _commit(1, "api", "status: up", "code: 200"),
        _commit(1.5, "api", "responseTime: 5", subject="🟩 API is up (200 in 123 ms) [skip ci] [upptime]"),
        _commit(2, "api", "status: degraded"),
    ) == [
        (0, State.OPERATIONAL, ""),
        (0.5, State.MAJOR_OUTAGE, "status was 503"),
        (1, State.OPERATIONAL, ""),
        (2, State.DEGRADED, "degraded performance"),
        (3, State.UNKNOWN, "the imported history ends here"),
    ]


def test_the_subject_alone_says_it_too() -> None:
    line = _line(_commit(0, "api", subject="🟥 API is down (0 in 0 ms)"))

    assert line[0] == (0, State.MAJOR_OUTAGE, "no answer")


def test_days_without_a_commit_are_unknown() -> None:
    line = _line(_commit(0, "api", "status: up"), _commit(5, "api", "lastUpdated: x"))

    assert [(at, state) for at, state, _ in line] == [
        (0, State.OPERATIONAL),
        (1, State.UNKNOWN),
        (5, State.OPERATIONAL),
        (6, State.UNKNOWN),
    ]


def test_the_file_says_when_it_was_checked() -> None:
    near = _commit(0.01, "api", "status: up", "lastUpdated: 2026-03-01T00:10:00.000Z")
    far = _commit(0.01, "api", "status: up", "lastUpdated: 2020-03-01T00:10:00.000Z")

    assert _line(near)[0][0] == pytest.approx(10 / 1440)
    assert _line(far)[0][0] == pytest.approx(0.01)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["+status: up"],
        [f"{COMMIT}999999999999 x", "+++ b/history/api.yml", "+status: up"],
        [f"{COMMIT}1 x", "+++ b/history/../../etc/passwd", "+status: up"],
        [f"{COMMIT}nonsense", "+++ b/history/api.yml", "+status: up"],
        [f"{COMMIT}1 x", "+++ b/history/api.yml", "+status: sideways", "+code: 99999999999999"],
        ["\x00" * 100, "+" * 10_000],
    ],
)
def test_other_lines_are_passed_over(lines: list[str]) -> None:
    assert _line(lines) == []
