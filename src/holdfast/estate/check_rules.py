"""What must hold inside one check, beyond the types of its values."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from ipaddress import ip_address
from typing import TypeAlias
from urllib.parse import urlsplit

from holdfast.estate.checks import (
    Check,
    DnsCheck,
    DomainCheck,
    GrpcCheck,
    HeartbeatCheck,
    HttpCheck,
    PrometheusCheck,
    WebsocketCheck,
)
from holdfast.estate.findings import Finding
from holdfast.estate.model import Metric
from holdfast.estate.source import Path
from holdfast.estate.values import LOCAL, SecretRef
from holdfast.kernel.durations import format_duration

ConditionCheck: TypeAlias = Callable[[str, str], str | None]
"""(check type, text of a condition) -> what is wrong with it, or None. The language lives above."""

SHORTEST_EVERY = timedelta(seconds=1)
LONGEST_EVERY = timedelta(days=1)
RAREST_BEAT = timedelta(days=366)
_WithUrl: TypeAlias = HttpCheck | WebsocketCheck | PrometheusCheck | Metric
_PHASES = ("resolve", "connect", "tls", "first_byte")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: token
_METADATA_NAME = re.compile(r"[0-9a-z_.-]+")
_LABEL = re.compile(r"[0-9A-Za-z_*-]{1,63}")  # underscores as in _dmarc, a star as a record's own name
_FRAMING = ("content-length", "transfer-encoding", "connection")
_SECRETIVE = ("authorization", "proxy-authorization", "cookie", "x-api-key")
_STATUS_RANGE = re.compile(r"(\d{3})(?:\s*-\s*(\d{3}))?")


def check_rules(path: Path, check: Check, check_condition: ConditionCheck) -> Iterator[Iterator[Finding]]:
    """The rules for the check at `path`, each to be run by itself."""
    yield _rhythm(path, check)
    yield _timeout(path, check)
    yield _phases(path, check)
    yield _conditions(path, check, check_condition)
    if isinstance(check, HttpCheck | WebsocketCheck | PrometheusCheck):
        yield _url(path, check)
        yield _header_names(path, check)
        yield _header_values(path, check, "headers")
    for key in ("host", "server", "server_name"):
        yield _host(path, key, getattr(check, key, None))
    match check:
        case HttpCheck():
            yield _statuses(path, check)
            yield _body(path, check)
        case DnsCheck():
            yield _asked_name(path, check)
        case DomainCheck():
            yield _domain(path, check)
            yield _whois(path, check)
        case GrpcCheck():
            yield _metadata_names(path, check)
            yield _header_values(path, check, "metadata")
        case HeartbeatCheck():
            yield _heard_here(path, check)
        case PrometheusCheck():
            yield _base_address(path, check)
            yield _threshold(path, check)


def metric_rules(path: Path, metric: Metric) -> Iterator[Iterator[Finding]]:
    """The rules for the metric at `path`: those of a request to a Prometheus."""
    yield _url(path, metric)
    yield _header_names(path, metric)
    yield _header_values(path, metric, "headers")
    yield _base_address(path, metric)


def _rhythm(path: Path, check: Check) -> Iterator[Finding]:
    if check.every < SHORTEST_EVERY:
        yield Finding((*path, "every"), "shorter than 1s", "run a check every second at most")
    elif isinstance(check, HeartbeatCheck):
        if check.every > RAREST_BEAT:
            yield Finding((*path, "every"), f"longer than {format_duration(RAREST_BEAT)}")
    elif check.every > LONGEST_EVERY:
        yield Finding((*path, "every"), "longer than 1d", "run a check once a day at least")


def _timeout(path: Path, check: Check) -> Iterator[Finding]:
    where = (*path, "timeout" if "timeout" in check.model_fields_set else "every")
    if check.timeout < timedelta(milliseconds=1):
        yield Finding((*path, "timeout"), "shorter than 1ms")
    elif check.timeout > check.every:
        timeout, every = format_duration(check.timeout), format_duration(check.every)
        # A run must have ended before the next one is due, or a hanging target would pile up runs.
        yield Finding(
            where, f"the timeout ({timeout}) is longer than the check's `every` ({every})", "shorten it"
        )


def _phases(path: Path, check: Check) -> Iterator[Finding]:
    for phase in _PHASES:
        where = (*path, "timeouts", phase)
        limit: timedelta = getattr(check.timeouts, phase)
        if limit < timedelta(milliseconds=1):
            yield Finding(where, "shorter than 1ms")
        elif phase in check.timeouts.model_fields_set and limit > check.timeout:
            whole = format_duration(check.timeout)
            hint = "one phase cannot take longer than all of them together"
            yield Finding(where, f"longer than the check's `timeout` ({whole})", hint)


def _conditions(path: Path, check: Check, check_condition: ConditionCheck) -> Iterator[Finding]:
    for index, condition in enumerate(check.conditions):
        message = check_condition(check.type, condition.expect)
        if message is not None:
            yield Finding((*path, "conditions", index, "expect"), message)


def _url(path: Path, check: _WithUrl) -> Iterator[Finding]:
    where = (*path, "url")
    kind = "a WebSocket" if isinstance(check, WebsocketCheck) else "an HTTP"
    try:
        parts = urlsplit(check.url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        yield Finding(where, f"not {kind} address", "check the host and the port")
        return
    if not host or re.search(r"\s", check.url):
        yield Finding(where, f"not {kind} address", "check the host, and write %20 for a space")
    elif parts.username is not None or parts.password is not None:
        hint = "send it as a header by reference: `headers: {Authorization: env:NAME}`"
        yield Finding(where, "the address holds a user name or password", hint)


def _header_names(path: Path, check: _WithUrl) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for name in check.headers:
        where = (*path, "headers", name)
        if not _HEADER_NAME.fullmatch(name):
            yield Finding(where, "not a possible header name", "use letters, digits and hyphens", at_key=True)
        elif name.lower() in _FRAMING or (
            isinstance(check, WebsocketCheck) and name.lower().startswith(("sec-websocket-", "upgrade"))
        ):
            yield Finding(where, "set by the check itself", "remove it", at_key=True)
        elif (first := seen.setdefault(name.lower(), name)) != name:
            yield Finding(where, f"the same header as `{first}`", "header names ignore case", at_key=True)


def _header_values(path: Path, check: Check | Metric, key: str) -> Iterator[Finding]:
    headers: Mapping[str, str | SecretRef] = getattr(check, key)
    for name, value in headers.items():
        where = (*path, key, name)
        if isinstance(value, SecretRef):
            continue
        if name.lower() in _SECRETIVE:
            hint = "write env:NAME or file:/path, and put the whole value there"
            yield Finding(where, "a secret is given by reference, never in the file itself", hint)
        elif not value.isascii():
            yield Finding(where, "a header holds ASCII only")


def _statuses(path: Path, check: HttpCheck) -> Iterator[Finding]:
    if not check.expected_status:
        yield Finding((*path, "expected_status"), "empty", "name at least one status, or remove the key")
    for index, status in enumerate(check.expected_status):
        where = (*path, "expected_status", index)
        match = _STATUS_RANGE.fullmatch(str(status))
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not (100 <= low <= 599 and 100 <= high <= 599):
            yield Finding(where, "not a status", "write a code from 100 to 599, or a range such as 200-299")
        elif high < low:
            yield Finding(where, "the range runs backwards", f"write {high}-{low}")


def _body(path: Path, check: HttpCheck) -> Iterator[Finding]:
    if check.body is not None and check.method == "HEAD":
        yield Finding((*path, "body"), "a HEAD request has no body", "remove it, or use another method")


def _host(path: Path, key: str, host: str | None) -> Iterator[Finding]:
    where = (*path, key)
    if host is None:
        return
    if "://" in host or "/" in host:
        yield Finding(where, "a host, not an address with a path", "write the name or the IP address alone")
    elif not host or re.search(r"[\s@]", host):
        yield Finding(where, "not a host", "write a name such as mq.example.com, or an IP address")
    elif ":" in host and not _is_ip(host):
        yield Finding(where, "not a host", "give the port by itself, as `port: ...`")


def _asked_name(path: Path, check: DnsCheck) -> Iterator[Finding]:
    if check.name == "." or (check.record == "PTR" and _is_ip(check.name)):
        return
    if not _is_name(check.name):
        hint = "write a name such as www.example.com"
        yield Finding((*path, "name"), "not a name of the DNS", hint)


def _domain(path: Path, check: DomainCheck) -> Iterator[Finding]:
    if not _is_name(check.domain) or _is_ip(check.domain) or "." not in check.domain.rstrip("."):
        hint = "write the registered domain, such as example.com"
        yield Finding((*path, "domain"), "not a domain", hint)


def _whois(path: Path, check: DomainCheck) -> Iterator[Finding]:
    port = (check.whois or "").partition(":")[2]
    if port and not 1 <= int(port) <= 65535:
        yield Finding((*path, "whois"), "not a possible port", "write host:port, or the host alone")


def _metadata_names(path: Path, check: GrpcCheck) -> Iterator[Finding]:
    for name in check.metadata:
        where = (*path, "metadata", name)
        if not _METADATA_NAME.fullmatch(name):
            hint = "use lower-case letters, digits, hyphens, dots and underscores"
            yield Finding(where, "not a possible name", hint, at_key=True)
        elif name.startswith("grpc-") or name in ("content-type", "te", *_FRAMING):
            yield Finding(where, "set by the check itself", "remove it", at_key=True)
        elif name.endswith("-bin"):
            yield Finding(where, "binary metadata cannot be sent", "remove it", at_key=True)


def _base_address(path: Path, check: PrometheusCheck | Metric) -> Iterator[Finding]:
    parts = urlsplit(check.url)
    if parts.query or parts.fragment or parts.path.rstrip("/").endswith("/api/v1/query"):
        hint = "write the address of the server alone, such as http://prometheus.example.com:9090"
        yield Finding((*path, "url"), "more than the address of a server", hint)


def _threshold(path: Path, check: PrometheusCheck) -> Iterator[Finding]:
    if not check.conditions:
        hint = "say what the value must be, such as `conditions: [value < 100]`"
        yield Finding((*path, "conditions"), "missing", hint)


def _heard_here(path: Path, check: HeartbeatCheck) -> Iterator[Finding]:
    if check.seen_from != (LOCAL,):
        hint = "services call the controllers; remove seen_from"
        yield Finding((*path, "seen_from"), "an agent hears no beats", hint)


def _is_name(text: str) -> bool:
    try:
        name = text if text.isascii() else text.encode("idna").decode("ascii")
    except UnicodeError:
        return False
    labels = name.removesuffix(".").split(".")
    return len(name) <= 254 and all(_LABEL.fullmatch(label) for label in labels)


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
