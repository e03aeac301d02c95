"""Upptime's configuration (.upptimerc.yml) as an estate: sites become components of one cluster."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from holdfast.interchange.documents import read_mapping
from holdfast.interchange.draft import Candidate, Draft, Imported
from holdfast.interchange.gatus_conditions import quoted
from holdfast.interchange.lines import shown
from holdfast.interchange.report import Report
from holdfast.interchange.requests import Request, request_fields
from holdfast.interchange.rhythm import rhythm_fields

EVERY = timedelta(minutes=5)
TIMEOUT_S = 60
REDIRECTS = 3
MOST_REDIRECTS = 10
_GOOD = ["200-208", 226, "300-308"]
_CRON = re.compile(r"\*/(\d{1,2}) \* \* \* \*")
_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_CONDITIONS: Mapping[str, tuple[str, str | None]] = {
    "__dangerous__body_down": ("not body contains {0}", None),
    "__dangerous__body_down_if_text_missing": ("body contains {0}", None),
    "__dangerous__body_degraded": ("not body contains {0}", "degraded"),
    "__dangerous__body_degraded_if_text_missing": ("body contains {0}", "degraded"),
}
_READ = frozenset(
    {
        *("name", "url", "check", "type", "method", "headers", "body", "port", "slug", "expectedStatusCodes"),
        *("maxResponseTime", "maxRedirects", "requestTimeout", "connectTimeout", "__dangerous__insecure"),
        *("__dangerous__disable_verify_peer", "__dangerous__disable_verify_host"),
        *_CONDITIONS,
    }
)
_SITE = {
    "assignees": "alerts are routed in Holdfast, not per check",
    "icon": "components have no pictures",
    "ipv6": "the system chooses between IPv4 and IPv6",
    "location": "a check runs where Holdfast runs",
    "maxRetries": "a check is repeated once at once",
    "tags": "tags have no counterpart",
    "verbose": "logs are set up elsewhere",
}
_TOP = {
    "assignees": "alerts are routed in Holdfast",
    "commitMessages": "history is kept in PostgreSQL",
    "delay": "checks do not wait for each other",
    "i18n": "the status site has its own languages",
    "notifications": "alerts are routed in Holdfast",
    "runner": "checks run where Holdfast runs",
    "secrets": "secrets are references in the estate",
    "user-agent": "checks say that they are Holdfast",
}


def import_upptime(content: bytes, name: str, at: datetime, files: Mapping[str, str]) -> Imported:
    """The estate that `content`, the bytes of .upptimerc.yml, describes. `origins` are the sites' slugs.

    `files` are the history files: the address in each, by its slug. They tell which slug a site has whose
    name Upptime makes one of in its own way. Raises SourceError when the content cannot be read and
    NothingError when no site could be taken over.
    """
    config, faults = read_mapping(content, name)
    report = Report()
    for fault in faults:
        report.left_out("file", "a part that cannot be read", fault)
    draft = Draft(report, ungrouped="Services")
    website = config.get("status-website")
    if isinstance(website, Mapping):
        title = website.get("name")
        draft.title = title if isinstance(title, str) else ""
        for key in website:
            if key != "name":
                report.left_out(f"status-website.{key}", shown(key), "the status site has its own looks")
    every = _every(config, report)
    sites = config.get("sites")
    for index, site in enumerate(sites if isinstance(sites, list) else []):
        if isinstance(site, Mapping):
            _site(f"sites[{index}]", site, every, files, draft)
        else:
            report.left_out(f"sites[{index}]", "a site", "not a mapping of keys to values")
    for key in config:
        if key not in ("owner", "repo", "sites", "status-website", "workflowSchedule"):
            report.left_out(key, shown(key), _TOP.get(key, "it is about Upptime itself"))
    return draft.finish(f"Upptime ({name})", at)


def slug_of(name: str) -> str:
    """The name of a site's history file, as Upptime makes it of most names (camelCase comes apart)."""
    apart = re.sub(r"([a-z\d])([A-Z])", r"\1 \2", name)
    return re.sub(r"[^a-z0-9]+", "-", apart.lower().replace("&", " and ")).strip("-")


def _slug(site: Mapping[str, Any], name: str, url: str, files: Mapping[str, str]) -> str:
    given = site.get("slug")
    slug = given.strip() if isinstance(given, str) and given.strip() else slug_of(name)
    if slug in files:
        return slug
    same = [candidate for candidate, address in files.items() if address == url]
    return same[0] if len(same) == 1 else slug


def _every(config: Mapping[str, Any], report: Report) -> timedelta:
    schedule = config.get("workflowSchedule")
    text = schedule.get("uptime") if isinstance(schedule, Mapping) else None
    if not isinstance(text, str):
        return EVERY
    match = _CRON.fullmatch(" ".join(text.split()))
    if match is None or not int(match[1]):
        report.changed("workflowSchedule.uptime", shown(text), "not of the form `*/5 * * * *`", "every 5m")
        return EVERY
    return timedelta(minutes=int(match[1]))


def _site(
    path: str, site: Mapping[str, Any], every: timedelta, files: Mapping[str, str], draft: Draft
) -> None:
    report = draft.report
    name, url = site.get("name"), site.get("url")
    what = shown(name)
    if not isinstance(url, str) or not url.strip():
        report.left_out(path, what, "it has no `url`")
        return
    if found := _VARIABLE.findall(url):
        why = f"its address has the secret {', '.join('$' + each for each in found)} in it, which it may not"
        report.left_out(f"{path}.url", what, why)
        return
    fields = _fields(path, what, site, url.strip(), report)
    if fields is None:
        return
    conditions = fields.pop("conditions", [])
    timeout = timedelta(seconds=_number(site, "requestTimeout", TIMEOUT_S))
    check = {**fields, **rhythm_fields(path, fields["type"], every, min(timeout, every), report)}
    if conditions:
        check["conditions"] = conditions
    for key, value in site.items():
        if key not in _READ and value is not None:
            report.left_out(f"{path}.{key}", shown(key), _SITE.get(key, "not a key that is known here"))
    if site.get("type") == "globalping":
        report.changed(f"{path}.type", "checked from Globalping", _SITE["location"], "checked from here")
    origin = _slug(site, str(name), url, files)
    draft.add(Candidate(path, "", name, str(fields["type"]), check, origin=origin))


def _fields(path: str, what: str, site: Mapping[str, Any], url: str, report: Report) -> dict[str, Any] | None:
    kind = site.get("check") or "http"
    if kind == "http":
        return _http(path, what, site, url, report)
    if kind == "ws":
        return _websocket(path, what, site, url, report)
    if kind not in ("tcp-ping", "ssl"):
        report.left_out(path, what, f"there is no check of the type {shown(kind)}")
        return None
    host, port = _address(url, site.get("port"), 443 if kind == "ssl" else 80)
    if kind == "tcp-ping":
        return {"type": "tcp", "host": host, "port": port, "conditions": _slow(site)}
    return {"type": "tls", "host": host, "port": port, "conditions": ["certificate_expires_in >= 7d"]}


def _http(path: str, what: str, site: Mapping[str, Any], url: str, report: Report) -> dict[str, Any] | None:
    body = site.get("body")
    if isinstance(body, str) and _VARIABLE.search(body):
        report.left_out(f"{path}.body", what, "its body has a secret in it, which only headers may")
        return None
    headers, references = _headers(path, what, site.get("headers"), report)
    method = str(site.get("method") or "GET")
    request = Request(url, method, headers, references, body if isinstance(body, str) else None)
    fields = request_fields(path, what, ("UPPTIME", what), request, report)
    if fields is None:
        return None
    codes = site.get("expectedStatusCodes")
    fields["expected_status"] = [str(code) for code in codes] if isinstance(codes, list) and codes else _GOOD
    fields["follow_redirects"] = int(min(_number(site, "maxRedirects", REDIRECTS), MOST_REDIRECTS))
    if any(site.get(key) is True for key in site if key.startswith("__dangerous__") and key in _READ):
        fields["verify_tls"] = False
    return {"type": "http", **fields, "conditions": [*_said(site), *_slow(site)]}


def _websocket(
    path: str, what: str, site: Mapping[str, Any], url: str, report: Report
) -> dict[str, Any] | None:
    fields = request_fields(path, what, ("UPPTIME", what), Request(url), report)
    body = site.get("body")
    if fields and isinstance(body, str) and body and not _VARIABLE.search(body):
        fields["send"] = body
    return fields and {"type": "websocket", **fields}


def _said(site: Mapping[str, Any]) -> list[Any]:
    conditions: list[Any] = []
    for key, (form, otherwise) in _CONDITIONS.items():
        text = site.get(key)
        if isinstance(text, str) and text:
            expect = form.format(quoted(text))
            conditions.append({"expect": expect, "otherwise": otherwise} if otherwise else expect)
    return conditions


def _slow(site: Mapping[str, Any]) -> list[Any]:
    most = _number(site, "maxResponseTime", 0)
    return [{"expect": f"response_time <= {round(most)}ms", "otherwise": "degraded"}] if most >= 1 else []


def _headers(path: str, what: str, lines: Any, report: Report) -> tuple[dict[str, str], dict[str, str]]:
    """Upptime's lines `Name: value` as headers, and as references where a secret stands in them."""
    headers: dict[str, str] = {}
    references: dict[str, str] = {}
    for index, line in enumerate(lines if isinstance(lines, list) else []):
        name, colon, value = str(line).partition(":")
        if not colon:
            report.left_out(f"{path}.headers[{index}]", "a header", "not of the form `Name: value`")
        elif found := _VARIABLE.findall(value):
            whole = value.strip() == f"${found[0]}"
            references[name.strip()] = found[0] if whole else report.variable(path, "UPPTIME", what, name)
            rest = "" if whole else "; set it to the whole value"
            instead = f"written as env:{references[name.strip()]}{rest}"
            report.secret(f"{path}.headers[{index}]", f"the secret ${found[0]}", instead)
        else:
            headers[name.strip()] = value.strip()
    return headers, references


def _address(url: str, port: Any, otherwise: int) -> tuple[str, int]:
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        host, given = parts.hostname or url, parts.port
    except ValueError:
        host, given = url, None
    text = str(port if port is not None else given or otherwise)
    return host, int(text) if text.isascii() and text.isdigit() and len(text) < 6 else otherwise


def _number(site: Mapping[str, Any], key: str, otherwise: float) -> float:
    try:
        value = float(str(site.get(key)))
    except ValueError:
        return otherwise
    return value if 0 <= value < 1e7 else otherwise
