"""Uptime Kuma's monitors that are not HTTP, as the fields of checks."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from holdfast.interchange.kuma_rows import Row, is_true, text_of, whole_of
from holdfast.interchange.lines import shown
from holdfast.interchange.report import Report
from holdfast.interchange.requests import Request, request_fields

_NO_TYPE = {
    "docker": "no check asks a Docker daemon",
    "grpc-keyword": "a gRPC check asks for the health of a service, not for an answer of its own",
    "manual": "a state that is set by hand is an incident in Holdfast",
    "mqtt": "there is no MQTT check",
    "real-browser": "no check runs a browser",
}
_MOST_ECHOES = 10
_TLS_MODES = ("require", "verify-ca", "verify-full", "no-verify")
_NORMAL_CLOSE = ("", "[]", '["1000"]', '["200-299"]')


@dataclass(frozen=True, slots=True)
class KumaMonitor:
    """One monitor: where it stood, what it is called, its type and its row."""

    path: str
    what: str
    kind: str
    row: Row

    @property
    def owner(self) -> tuple[str, str]:
        """The words that its environment variables are named after."""
        return "KUMA", text_of(self.row, "name") or str(self.row.get("id"))


def socket_fields(monitor: KumaMonitor, report: Report) -> dict[str, Any] | None:
    """The check's type and what is its own. None, with a remark, when there is no such check."""
    make = _MAKERS.get(monitor.kind)
    if make is None:
        why = _NO_TYPE.get(monitor.kind) or f"there is no check of the type {shown(monitor.kind)}"
        report.left_out(monitor.path, monitor.what, why)
        return None
    return make(monitor, report)


def _port(monitor: KumaMonitor, report: Report) -> dict[str, Any] | None:
    if text_of(monitor.row, "expected_tls_alert") not in ("", "none"):
        report.left_out(monitor.path, monitor.what, "it expects a TLS alert; a check cannot be asked to fail")
        return None
    return {"type": "tcp", "host": _host(monitor), "port": whole_of(monitor.row, "port", 0)}


def _ping(monitor: KumaMonitor, report: Report) -> dict[str, Any]:
    del report
    count = max(1, min(whole_of(monitor.row, "ping_count", 1), _MOST_ECHOES))
    return {"type": "icmp", "host": _host(monitor), "count": count}


def _dns(monitor: KumaMonitor, report: Report) -> dict[str, Any] | None:
    row = monitor.row
    if text_of(row, "conditions").strip() not in ("", "[]"):
        why = "its conditions on the records have no counterpart"
        report.left_out(f"{monitor.path}.conditions", monitor.what, why)
        return None
    servers = [each.strip() for each in text_of(row, "dns_resolve_server").split(",") if each.strip()]
    if len(servers) > 1:
        why = "a check asks one name server"
        report.changed(
            f"{monitor.path}.dns_resolve_server", shown(", ".join(servers)), why, f"asks {servers[0]}"
        )
    fields: dict[str, Any] = {
        "type": "dns",
        "name": _host(monitor).rstrip("."),
        "record": text_of(row, "dns_resolve_type").upper() or "A",
    }
    if servers:
        fields["server"] = servers[0].strip("[]")
    port = whole_of(row, "port", 53)
    return fields if port == 53 else {**fields, "port": port}


def _smtp(monitor: KumaMonitor, report: Report) -> dict[str, Any]:
    security = text_of(monitor.row, "smtp_security").strip().lower()
    tls = {"secure": "implicit", "starttls": "starttls"}.get(security, "none")
    if security not in ("secure", "starttls", "nostarttls"):
        why = "a check either asks for STARTTLS or does not"
        report.changed(f"{monitor.path}.smtp_security", "STARTTLS where it is offered", why, "`tls: none`")
    return {"type": "smtp", "host": _host(monitor), "port": whole_of(monitor.row, "port", 25), "tls": tls}


def _websocket(monitor: KumaMonitor, report: Report) -> dict[str, Any] | None:
    row = monitor.row
    request = Request(text_of(row, "url"))
    fields = request_fields(monitor.path, monitor.what, monitor.owner, request, report)
    if fields is None:
        return None
    if text_of(row, "accepted_statuscodes_json").replace(" ", "") not in _NORMAL_CLOSE:
        why = "a check does not wait for the connection to be closed"
        report.changed(f"{monitor.path}.accepted_statuscodes_json", "the close codes", why, "not looked at")
    if is_true(row, "ws_ignore_sec_websocket_accept_header"):
        why = "a check insists on a correct handshake"
        report.changed(
            f"{monitor.path}.ws_ignore_sec_websocket_accept_header", "the exception", why, "insisted on"
        )
    if subprotocol := text_of(row, "ws_subprotocol").strip():
        fields["subprotocol"] = subprotocol
    return {"type": "websocket", **fields}


def _rabbitmq(monitor: KumaMonitor, report: Report) -> dict[str, Any] | None:
    """Its management interface, as Kuma asks it: whether any alarm is raised."""
    try:
        nodes = json.loads(text_of(monitor.row, "rabbitmq_nodes") or "[]")
    except (ValueError, RecursionError):
        nodes = []
    if not isinstance(nodes, list) or len(nodes) != 1 or not isinstance(nodes[0], str):
        why = "a check asks one node; of several, any would do"
        report.left_out(f"{monitor.path}.rabbitmq_nodes", monitor.what, why)
        return None
    url = nodes[0].rstrip("/") + "/api/health/checks/alarms/"
    request = Request(url, "GET", {"Accept": "application/json", "Authorization": ""})
    fields = request_fields(monitor.path, monitor.what, monitor.owner, request, report)
    return fields and {"type": "http", **fields, "expected_status": [200]}


def _postgres(monitor: KumaMonitor, report: Report) -> dict[str, Any] | None:
    where = f"{monitor.path}.database_connection_string"
    try:
        parts = urlsplit(text_of(monitor.row, "database_connection_string"))
        port, options = parts.port or 5432, parse_qs(parts.query, max_num_fields=50)
    except ValueError:
        parts, port, options = urlsplit(""), 0, {}
    database = unquote(parts.path.strip("/"))
    if (
        parts.scheme not in ("postgres", "postgresql")
        or not parts.hostname
        or not parts.username
        or not database
    ):
        report.left_out(where, monitor.what, "not of the form postgres://user:password@host:port/database")
        return None
    mode = (options.get("sslmode") or options.get("ssl") or [""])[0].lower()
    fields: dict[str, Any] = {
        "type": "postgres",
        "host": parts.hostname,
        "port": port,
        "tls": mode in _TLS_MODES or mode == "true",
        "database": database,
        "user": unquote(parts.username),
    }
    if mode == "no-verify":
        fields["verify_tls"] = False
    if parts.password:
        name = report.variable(monitor.path, *monitor.owner, "password")
        report.secret(where, "the password", f"written as env:{name}; set it to the password")
        fields["password"] = f"env:{name}"
    if query := text_of(monitor.row, "database_query").strip():
        fields["query"] = query
    return fields


def _push(monitor: KumaMonitor, report: Report) -> dict[str, Any]:
    """Who calls in calls another address from now on; the token may stay when it is long enough."""
    name = report.variable(monitor.path, *monitor.owner, "token")
    instead = (
        f"written as env:{name}; set it to a token of 16 characters or more, and call /beat/TOKEN with it"
    )
    report.secret(f"{monitor.path}.push_token", "the token", instead)
    return {"type": "heartbeat", "token": f"env:{name}"}


def _host(monitor: KumaMonitor) -> str:
    return text_of(monitor.row, "hostname").strip()


_MAKERS: Mapping[str, Callable[[KumaMonitor, Report], dict[str, Any] | None]] = {
    "port": _port,
    "ping": _ping,
    "dns": _dns,
    "smtp": _smtp,
    "websocket-upgrade": _websocket,
    "rabbitmq": _rabbitmq,
    "postgres": _postgres,
    "push": _push,
}
