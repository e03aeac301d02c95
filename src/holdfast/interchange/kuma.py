"""Uptime Kuma's monitors as an estate. Rows are as its database has them, from version 1.0 to 2.5.

A column that a version does not have yet is missing from its rows. Groups become clusters, and monitors
become components. A monitor is up again at its first good beat, and down after `maxretries` more failed ones:
that is what `recover_after` and `fail_after` say.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from holdfast.interchange.draft import Candidate, Draft, Imported
from holdfast.interchange.kuma_checks import KumaMonitor, socket_fields
from holdfast.interchange.kuma_conditions import accepted_statuses, json_condition, keyword_condition
from holdfast.interchange.kuma_rows import Row, is_true, number_of, text_of, type_of, whole_of
from holdfast.interchange.lines import shown
from holdfast.interchange.report import Report
from holdfast.interchange.requests import Request, request_fields
from holdfast.interchange.rhythm import rhythm_fields
from holdfast.kernel.durations import format_duration

EVERY_S = 60
MOST_FAILURES = 100
MOST_REDIRECTS = 10
_HTTP = ("http", "keyword", "json-query")
_LOGIN = {
    "basic": "`Basic` and the base64 of user:password",
    "bearer": "`Bearer` and the token",
}
_ENCODINGS = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "xml": "text/xml; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class KumaSetUp:
    """What is read of a database: the monitors' rows, in their order, and how many rows other tables have."""

    monitors: Sequence[Row]
    others: Mapping[str, int]


def import_kuma(set_up: KumaSetUp, name: str, at: datetime) -> Imported:
    """The estate of the monitors. `origins` are the monitors' numbers. Raises NothingError when none fits."""
    report = Report()
    draft = Draft(report)
    groups = _groups(set_up.monitors)
    taken: set[int] = set()
    for row in sorted(
        set_up.monitors, key=lambda row: (-whole_of(row, "weight", 2000), whole_of(row, "id", 0))
    ):
        number = whole_of(row, "id", 0)
        if number in taken:
            report.left_out(
                f"monitor {number}", shown(text_of(row, "name")), "another monitor has its number"
            )
        else:
            taken.add(number)
            _monitor(row, groups, draft)
    for place, what, why in _elsewhere(set_up):
        report.left_out(place, what, why)
    return draft.finish(f"Uptime Kuma ({name})", at)


def every_of(row: Row) -> timedelta:
    """How often the monitor runs."""
    return timedelta(seconds=max(1, min(whole_of(row, "interval", EVERY_S), 10_000_000)))


def pause_of(row: Row) -> timedelta:
    """How long it waits before it looks again at what has failed."""
    seconds = whole_of(row, "retry_interval", 0)
    return timedelta(seconds=min(seconds, 10_000_000)) if seconds > 0 else every_of(row)


def _elsewhere(set_up: KumaSetUp) -> Iterator[tuple[str, str, str]]:
    reasons = {
        "notification": "alerts are routed in Holdfast, not per monitor",
        "proxy": "a check connects directly",
        "maintenance": "maintenance is announced with a date: holdfast maintenance plan",
        "incident": "incidents are told in Holdfast",
        "status_page": "Holdfast has one status site",
        "tag": "tags have no counterpart",
        "docker_host": "no check asks a Docker daemon",
        "remote_browser": "no check runs a browser",
        "api_key": "Holdfast has its own interfaces",
    }
    for table, why in reasons.items():
        if count := set_up.others.get(table, 0):
            yield f"table {table}", f"{count} rows", why
    expiring = sum(is_true(row, "expiry_notification") for row in set_up.monitors if type_of(row) in _HTTP)
    if expiring:
        what = f"notices of ending certificates ({expiring} monitors)"
        yield "monitor.expiry_notification", what, "add a condition such as `certificate_expires_in > 14d`"


def _groups(rows: Sequence[Row]) -> dict[int, str]:
    """The full name of each group, such as `Europe / Databases`."""
    by_id = {whole_of(row, "id", 0): row for row in rows if type_of(row) == "group"}
    names: dict[int, str] = {}
    for number in by_id:
        parts: list[str] = []
        seen: set[int] = set()
        at = number
        while at in by_id and at not in seen and len(seen) < 20:
            seen.add(at)
            parts.append(text_of(by_id[at], "name") or f"Group {at}")
            at = whole_of(by_id[at], "parent", 0)
        names[number] = " / ".join(reversed(parts))
    return names


def _monitor(row: Row, groups: Mapping[int, str], draft: Draft) -> None:
    number, name = whole_of(row, "id", 0), text_of(row, "name")
    path, what, kind = f"monitor {number}", shown(name or ""), type_of(row)
    if kind == "group":
        return
    if not is_true(row, "active", otherwise=True):
        draft.report.left_out(path, what, "it is paused")
        return
    if is_true(row, "upside_down"):
        draft.report.left_out(path, what, "it is upside down; a check cannot be asked to fail")
        return
    fields = _fields(path, what, kind, row, draft.report)
    if fields is None:
        return
    check = {**fields, **_rhythm(path, fields["type"], row, draft.report)}
    if conditions := check.pop("conditions", None):
        check["conditions"] = conditions
    group = groups.get(whole_of(row, "parent", 0), "")
    description = text_of(row, "description")
    key = str(fields["type"])
    draft.add(Candidate(path, group, name or f"Monitor {number}", key, check, description, str(number)))


def _fields(path: str, what: str, kind: str, row: Row, report: Report) -> dict[str, Any] | None:
    if kind in _HTTP:
        return _http(path, what, kind, row, report)
    return socket_fields(KumaMonitor(path, what, kind, row), report)


def _http(path: str, what: str, kind: str, row: Row, report: Report) -> dict[str, Any] | None:
    login = text_of(row, "auth_method").strip().lower()
    if login not in ("", "none", "null", *_LOGIN):
        report.left_out(f"{path}.auth_method", what, f"a check cannot log in by {shown(login)}")
        return None
    conditions = _conditions(path, what, kind, row, report)
    if conditions is None:
        return None
    owner = ("KUMA", text_of(row, "name") or str(row.get("id")))
    headers = _given_headers(path, row, report)
    body = text_of(row, "body").strip()
    if body and not any(each.lower() == "content-type" for each in headers):
        encoding = text_of(row, "http_body_encoding").strip().lower() or "json"
        headers["Content-Type"] = _ENCODINGS.get(encoding, "application/json")
    if login in _LOGIN and not any(each.lower() == "authorization" for each in headers):
        headers["Authorization"] = ""
        report.note(
            f"{path}.auth_method", f"{login} login", f"the header Authorization is to be {_LOGIN[login]}"
        )
    request = Request(text_of(row, "url"), text_of(row, "method") or "GET", headers, {}, body or None)
    fields = request_fields(path, what, owner, request, report)
    if fields is None:
        return None
    fields["expected_status"] = _statuses(path, row, report)
    fields["follow_redirects"] = _redirects(path, row, report)
    if is_true(row, "ignore_tls"):
        fields["verify_tls"] = False
    _without_counterpart(path, row, report)
    return {"type": "http", **fields, **({"conditions": conditions} if conditions else {})}


def _conditions(path: str, what: str, kind: str, row: Row, report: Report) -> list[str] | None:
    if kind == "http":
        return []
    if kind == "keyword":
        inverted = is_true(row, "invert_keyword")
        condition = keyword_condition(text_of(row, "keyword"), inverted=inverted)
        where = f"{path}.keyword"
        if condition and '"' in text_of(row, "keyword"):
            why = "Uptime Kuma writes a JSON answer anew, without spaces, before it looks"
            report.changed(where, "the keyword", why, "looked for in the answer as it was sent")
    else:
        operator = text_of(row, "json_path_operator") or "=="
        condition = json_condition(text_of(row, "json_path"), operator, text_of(row, "expected_value"))
        where = f"{path}.json_path"
    if condition is None:
        # Without what it looks for the monitor would be another one, that shows up where this shows down.
        report.left_out(where, what, "what it looks for in the answer cannot be said in our conditions")
        return None
    return [condition]


def _given_headers(path: str, row: Row, report: Report) -> dict[str, str]:
    text = text_of(row, "headers").strip()
    if not text:
        return {}
    try:
        headers = json.loads(text)
    except (ValueError, RecursionError):
        headers = None
    if not isinstance(headers, dict):
        report.left_out(f"{path}.headers", "the headers", "not a JSON object")
        return {}
    return {name: str(value) for name, value in headers.items()}


def _statuses(path: str, row: Row, report: Report) -> list[int | str]:
    statuses, refused = accepted_statuses(text_of(row, "accepted_statuscodes_json"))
    if refused:
        report.left_out(
            f"{path}.accepted_statuscodes_json", shown(refused), "not a status or a range of them"
        )
    return statuses


def _redirects(path: str, row: Row, report: Report) -> int:
    given = whole_of(row, "maxredirects", MOST_REDIRECTS)
    if given > MOST_REDIRECTS:
        why = f"a check follows at most {MOST_REDIRECTS}"
        report.changed(f"{path}.maxredirects", f"{given} redirects", why, f"follows {MOST_REDIRECTS}")
    return max(0, min(given, MOST_REDIRECTS))


def _without_counterpart(path: str, row: Row, report: Report) -> None:
    if row.get("proxy_id") is not None:
        report.changed(f"{path}.proxy_id", "its proxy", "a check connects directly", "imported without")
    if is_true(row, "cache_bust"):
        why = "a check sends the same each time"
        report.changed(f"{path}.cache_bust", "the random parameter", why, "sent without")
    if text_of(row, "ip_family").lower() in ("ipv4", "ipv6"):
        why = "the system chooses between IPv4 and IPv6"
        report.changed(f"{path}.ip_family", shown(text_of(row, "ip_family")), why, "either may be used")
    if is_true(row, "domain_expiry_notification"):
        report.left_out(
            f"{path}.domain_expiry_notification", "notices of ending domains", "no check asks for it"
        )


def _rhythm(path: str, check_type: str, row: Row, report: Report) -> dict[str, Any]:
    if check_type == "heartbeat":
        return _beats(row)
    every = every_of(row)
    timeout = timedelta(seconds=number_of(row, "timeout")) or every * 0.8
    fields = rhythm_fields(path, check_type, every, min(timeout, every), report)
    retries = max(0, whole_of(row, "maxretries", 0))
    if retries + 1 > MOST_FAILURES:
        what, instead = f"{retries} retries", f"fails after {MOST_FAILURES} runs"
        report.changed(f"{path}.maxretries", what, f"at most {MOST_FAILURES} runs make a failure", instead)
    pause = pause_of(row)
    if retries and pause != every:
        why = "a check keeps its rhythm while it fails"
        report.changed(
            f"{path}.retry_interval",
            f"{format_duration(pause)} between retries",
            why,
            f"{fields['every']} between them",
        )
    return {**fields, "fail_after": min(retries + 1, MOST_FAILURES), "recover_after": 1, "retry": False}


def _beats(row: Row) -> dict[str, Any]:
    """Kuma waits for one interval, and then for each retry, before a missing beat counts."""
    patience = min(max(0, whole_of(row, "maxretries", 0)), MOST_FAILURES) * pause_of(row)
    return {
        "every": format_duration(every_of(row)),
        "grace": format_duration(timedelta(seconds=1) + patience),
    }
