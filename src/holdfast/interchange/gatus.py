"""Gatus' configuration (config.yaml) as an estate: endpoints become components, groups become clusters."""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from holdfast.interchange.documents import read_mapping
from holdfast.interchange.draft import Candidate, Draft, Imported
from holdfast.interchange.gatus_checks import Endpoint, socket_fields
from holdfast.interchange.gatus_conditions import Said, go_duration, translated
from holdfast.interchange.lines import shown
from holdfast.interchange.report import Report
from holdfast.interchange.requests import Request, request_fields
from holdfast.interchange.rhythm import rhythm_fields

EVERY = timedelta(minutes=1)
TIMEOUT = timedelta(seconds=10)
MOST_REDIRECTS = 10
_VARIABLE = re.compile(r"\$\$|\$\{([^}\n]{0,200})\}|\$([A-Za-z_][A-Za-z0-9_]*)")
_OPEN, _CLOSE = "\ue000", "\ue001"
_MARKED = re.compile(f"{_OPEN}([^{_OPEN}{_CLOSE}]*){_CLOSE}")
_OF_DOMAIN = "[DOMAIN_EXPIRATION]"
_SHOWN_LONGER = ("MX", "SRV")
_RANDOM = re.compile(r"\[RANDOM_STRING_\d+\]")
_TOP = {
    "alerting": "alerts are routed in Holdfast, not per source",
    "announcements": "announcements are made in Holdfast",
    "concurrency": "checks do not wait for each other",
    "connectivity": "silence is unknown, never down, without asking another address",
    "debug": "logs are set up elsewhere",
    "disable-monitoring-lock": "checks do not wait for each other",
    "maintenance": "maintenance is announced with a date: holdfast maintenance plan",
    "metrics": "metrics are always served",
    "remote": "other instances are not shown",
    "security": "the status site is public",
    "skip-invalid-config-update": "a broken estate file never replaces the one in force",
    "storage": "history is kept in PostgreSQL",
    "tunneling": "checks connect directly",
    "web": "see site.listen in the estate",
}
_ENDPOINT = {
    "alerts": "alerts are routed in Holdfast, not per check",
    "extra-labels": "labels have no counterpart",
    "maintenance-windows": "maintenance is announced with a date: holdfast maintenance plan",
    "ui": "the status site never shows addresses or answers",
    "store": "checks do not pass values on to each other",
    "always-run": "checks do not pass values on to each other",
}
_READ = frozenset(
    "enabled name group url method body graphql headers interval conditions client dns".split()  # noqa: SIM905
)
_CLIENT = {
    "proxy-url": "a check connects directly",
    "dns-resolver": "the system's resolver is asked",
    "network": "the system chooses between IPv4 and IPv6",
    "store-cookies": "a run keeps nothing from the one before",
}
_CLIENT_NEEDED = {
    "oauth2": "a check does not fetch tokens",
    "identity-aware-proxy": "a check does not fetch tokens",
    "tls": "a check has no client certificate",
    "tunnel": "a check connects directly",
}


def import_gatus(content: bytes, name: str, at: datetime) -> Imported:
    """The estate that `content`, the bytes of the file `name`, describes.

    Raises SourceError when it cannot be read and NothingError when no endpoint could be taken over.
    """
    config, faults = read_mapping(content, name, _mark_variables)
    report = Report()
    for fault in faults:
        report.left_out("file", "a part that cannot be read", fault)
    draft = Draft(report)
    _top_level(config, draft)
    endpoints = config.get("endpoints")
    for index, endpoint in enumerate(endpoints if isinstance(endpoints, list) else []):
        path = f"endpoints[{index}]"
        if isinstance(endpoint, Mapping):
            _endpoint(path, endpoint, draft)
        else:
            report.left_out(path, "an endpoint", "not a mapping of keys to values")
    return draft.finish(f"Gatus ({name})", at)


def _mark_variables(text: str) -> str:
    """Gatus puts in environment variables before it reads the YAML. Here they are marked and stay unknown."""

    def mark(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else f"{_OPEN}{match[1] or match[2] or ''}{_CLOSE}"

    return _VARIABLE.sub(mark, text)


def _top_level(config: Mapping[str, Any], draft: Draft) -> None:
    for key, value in config.items():
        if key == "endpoints" or key.startswith("x-") or value is None:
            continue
        if key == "ui":
            _ui(value, draft)
        elif key == "external-endpoints":
            _named(key, value, "no check waits for reports from outside", draft.report)
        elif key == "suites":
            _named(key, value, "checks do not pass values on to each other", draft.report)
        else:
            draft.report.left_out(key, shown(key), _TOP.get(key, "not a key that is known here"))


def _ui(value: Any, draft: Draft) -> None:
    if not isinstance(value, Mapping):
        draft.report.left_out("ui", "`ui`", "not a mapping of keys to values")
        return
    title = value.get("header") or value.get("title")
    draft.title = title if isinstance(title, str) and not _MARKED.search(title) else ""
    for key in value:
        if key not in ("header", "title"):
            draft.report.left_out(f"ui.{key}", shown(key), "the status site has its own looks")


def _named(key: str, value: Any, why: str, report: Report) -> None:
    for index, each in enumerate(value if isinstance(value, list) else [value]):
        name = each.get("name", "") if isinstance(each, Mapping) else ""
        report.left_out(f"{key}[{index}]", shown(name), why)


def _endpoint(path: str, endpoint: Mapping[str, Any], draft: Draft) -> None:
    report = draft.report
    name, url = endpoint.get("name"), endpoint.get("url")
    what = shown(_unmarked(str(name)))
    if _is(endpoint.get("enabled"), False):
        report.left_out(path, what, "it is switched off (`enabled: false`)")
        return
    if not isinstance(url, str) or not url.strip():
        report.left_out(path, what, "it has no `url`")
        return
    if _MARKED.search(url):
        why = f"its address has the environment variable {_variables(url)} in it, which only secrets may be"
        report.left_out(f"{path}.url", what, why, "left out; put the value in (envsubst) and import again")
        return
    if not isinstance(endpoint.get("client", {}), Mapping):
        report.left_out(path, what, "its `client` is not a mapping of keys to values")
        return
    check = _check(path, what, endpoint, url.strip(), report)
    if check is None:
        return
    for key, value in endpoint.items():
        if key not in _READ and value is not None:
            report.left_out(f"{path}.{key}", shown(key), _ENDPOINT.get(key, "not a key that is known here"))
    group = endpoint.get("group")
    draft.add(
        Candidate(
            path,
            _unmarked(group) if isinstance(group, str) else "",
            _unmarked(name) if isinstance(name, str) else name,
            str(check["type"]),
            check,
            origin=path,
            more=_domain_check(path, url.strip(), endpoint.get("conditions"), report),
        )
    )


def _check(
    path: str, what: str, endpoint: Mapping[str, Any], url: str, report: Report
) -> dict[str, Any] | None:
    client: Mapping[str, Any] = endpoint.get("client") or {}
    for key, why in _CLIENT_NEEDED.items():
        if client.get(key):
            report.left_out(f"{path}.client.{key}", what, why)
            return None
    if endpoint.get("dns") is None and url.lower().startswith(("http://", "https://")):
        fields = _http(path, what, endpoint, url, client, report)
    else:
        fields = _socket(path, what, endpoint, url, client, report)
    if fields is None:
        return None
    conditions = _conditions(path, what, endpoint.get("conditions"), fields, report)
    if conditions is None:
        return None
    for key, why in _CLIENT.items():
        if client.get(key):
            report.changed(f"{path}.client.{key}", shown(key), why, "imported without")
    every = _duration(endpoint.get("interval"), EVERY)
    timeout = _duration(client.get("timeout"), TIMEOUT)
    rhythm = rhythm_fields(path, fields["type"], every, timeout, report)
    check = {"type": fields.pop("type"), **fields, **rhythm}
    if conditions:
        check["conditions"] = conditions
    if check["type"] == "http" and not any("status" in each for each in conditions):
        # Gatus asks for no status unless a condition does.
        check["expected_status"] = ["100-599"]
    return check


def _http(
    path: str, what: str, endpoint: Mapping[str, Any], url: str, client: Mapping[str, Any], report: Report
) -> dict[str, Any] | None:
    headers = endpoint.get("headers")
    given = {str(key): str(value) for key, value in headers.items()} if isinstance(headers, Mapping) else {}
    plain = {key: value for key, value in given.items() if not _MARKED.search(value)}
    references = _references(path, what, given, report)
    method = str(endpoint.get("method") or "GET")
    request = Request(url, method, plain, references, _body(path, endpoint, report))
    if request.body and _is(endpoint.get("graphql"), True):
        request.body = json.dumps({"query": request.body}, ensure_ascii=False)
        request.headers.setdefault("Content-Type", "application/json")
    if request.body and _MARKED.search(request.body):
        why = (
            f"its body has the environment variable {_variables(request.body)} in it, which only headers may"
        )
        report.left_out(f"{path}.body", what, why)
        return None
    fields = request_fields(path, what, ("GATUS", _unmarked(str(endpoint.get("name")))), request, report)
    if fields is None:
        return None
    fields["follow_redirects"] = 0 if _is(client.get("ignore-redirect"), True) else MOST_REDIRECTS
    if _is(client.get("insecure"), True):
        fields["verify_tls"] = False
    return {"type": "http", **fields}


def _socket(
    path: str, what: str, endpoint: Mapping[str, Any], url: str, client: Mapping[str, Any], report: Report
) -> dict[str, Any] | None:
    body = _body(path, endpoint, report)
    if body and _MARKED.search(body):
        why = f"what it sends has the environment variable {_variables(body)} in it, which only headers may"
        report.left_out(f"{path}.body", what, why)
        return None
    headers = endpoint.get("headers")
    given = {str(key): str(value) for key, value in headers.items()} if isinstance(headers, Mapping) else {}
    return socket_fields(
        Endpoint(
            path,
            what,
            url,
            body,
            _is(client.get("insecure"), True),
            endpoint.get("dns"),
            client,
            {key: value for key, value in given.items() if not _MARKED.search(value)},
            _references(path, what, given, report),
            _unmarked(str(endpoint.get("name"))),
        ),
        report,
    )


def _references(path: str, what: str, headers: Mapping[str, str], report: Report) -> dict[str, str]:
    """The environment variables of the headers with such in them: the same, or one for the whole."""
    result = {}
    for key, value in headers.items():
        whole = _MARKED.fullmatch(value)
        if whole and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", whole[1]):
            result[key] = whole[1]
            report.secret(f"{path}.headers.{key}", _variables(value), f"written as env:{whole[1]}")
        elif _MARKED.search(value):
            result[key] = report.variable(path, "GATUS", what, key)
            instead = f"written as env:{result[key]}; set it to the whole value"
            report.secret(f"{path}.headers.{key}", f"a value with {_variables(value)} in it", instead)
    return result


def _body(path: str, endpoint: Mapping[str, Any], report: Report) -> str | None:
    body = endpoint.get("body")
    if not isinstance(body, str) or not body:
        return None
    for placeholder, key in (
        ("[ENDPOINT_NAME]", "name"),
        ("[ENDPOINT_GROUP]", "group"),
        ("[ENDPOINT_URL]", "url"),
    ):
        body = body.replace(placeholder, str(endpoint.get(key) or ""))
    if _RANDOM.search(body):
        report.changed(
            f"{path}.body", "a random text", "a check sends the same each time", "sent as it is written"
        )
    return body


def _conditions(
    path: str, what: str, conditions: Any, fields: Mapping[str, Any], report: Report
) -> list[str] | None:
    """What could be said of the conditions; None when without the others it would mean the opposite."""
    said: list[str] = []
    record = str(fields.get("record", ""))
    for index, condition in enumerate(conditions if isinstance(conditions, list) else []):
        where = f"{path}.conditions[{index}]"
        text = str(condition)
        if _OF_DOMAIN in text.upper():
            continue
        if record in _SHOWN_LONGER and "[BODY]" in text.upper():
            why = f"{record} records are compared with their preference and port"
            report.left_out(where, shown(text), why, "the check is imported without this condition")
            continue
        if _MARKED.search(text):
            report.left_out(where, shown(_unmarked(text)), "conditions have no environment variables in them")
            continue
        result = translated(text, str(fields["type"]))
        if isinstance(result, Said):
            said += [result.text] if result.text and result.text not in said else []
        elif result.reverses:
            report.left_out(path, what, f"its condition {shown(text)}: {result.why}")
            return None
        else:
            report.left_out(where, shown(text), result.why, "the check is imported without this condition")
    return said


def _domain_check(path: str, url: str, conditions: Any, report: Report) -> dict[str, dict[str, Any]]:
    """A check of its own for what an endpoint expects of its domain's registration."""
    expected = []
    host = url.partition("://")[2].partition("/")[0].partition(":")[0]
    for index, condition in enumerate(conditions if isinstance(conditions, list) else []):
        text = str(condition)
        if _OF_DOMAIN not in text.upper():
            continue
        where = f"{path}.conditions[{index}]"
        result = translated(text, "domain")
        if not isinstance(result, Said):
            report.left_out(where, shown(text), result.why)
        elif host.count(".") != 1:
            why = f"which part of {shown(host)} is the registered domain is not known"
            report.left_out(where, shown(text), why, "left out; add a check of the type `domain`")
        else:
            expected.append(result.text)
    return {"domain": {"type": "domain", "domain": host, "conditions": expected}} if expected else {}


def _duration(value: Any, otherwise: timedelta) -> timedelta:
    found = go_duration(value) if isinstance(value, str) else None
    return found or otherwise


def _is(value: Any, wanted: bool) -> bool:
    """YAML 1.1 and Go read `yes` and `on` as true where a boolean is expected; 1.2 leaves them as text."""
    words = {
        "true": True,
        "yes": True,
        "on": True,
        "y": True,
        "false": False,
        "no": False,
        "off": False,
        "n": False,
    }
    return (words.get(value.lower()) if isinstance(value, str) else value) is wanted


def _variables(text: str) -> str:
    return ", ".join(dict.fromkeys(f"${{{name}}}" for name in _MARKED.findall(text)))


def _unmarked(text: str) -> str:
    return _MARKED.sub(lambda match: f"${{{match[1]}}}", text)
