"""Gatus' endpoints that are not HTTP, as the fields of checks. The scheme of the address says which."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from holdfast.interchange.lines import shown
from holdfast.interchange.report import Report
from holdfast.interchange.requests import Request, request_fields

_NO_TYPE = {
    "sctp": "there is no SCTP check",
    "udp": "there is no UDP check",
    "ssh": "there is no SSH check",
}
_DNS_PORT = 53


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint: where it stood, what it is called, and what of it is needed here."""

    path: str
    what: str
    url: str
    body: str | None
    insecure: bool
    dns: Any
    client: Mapping[str, Any]
    headers: Mapping[str, str]
    references: Mapping[str, str]
    name: str


def socket_fields(endpoint: Endpoint, report: Report) -> dict[str, Any] | None:
    """The check's type and what is its own. None, with a remark, when there is no such check."""
    scheme = endpoint.url.partition("://")[0].lower()
    if endpoint.dns is not None:
        return _dns(endpoint, report)
    if scheme in ("ws", "wss"):
        return _websocket(endpoint, report)
    if scheme == "icmp":
        return {"type": "icmp", "host": endpoint.url.partition("://")[2].strip("/[]")}
    if scheme not in ("tcp", "tls", "starttls", "grpc", "grpcs"):
        why = _NO_TYPE.get(scheme, "not an address that is known here")
        report.left_out(endpoint.path, endpoint.what, why)
        return None
    address = _address(endpoint.url)
    if address is None:
        report.left_out(f"{endpoint.path}.url", endpoint.what, "not an address with a host and a port")
        return None
    return _by_scheme(scheme, address, endpoint, report)


def _by_scheme(
    scheme: str, address: tuple[str, int], endpoint: Endpoint, report: Report
) -> dict[str, Any] | None:
    host, port = address
    fields: dict[str, Any] = {"type": scheme, "host": host, "port": port}
    if scheme == "tcp":
        return _sending(fields, endpoint, report)
    if scheme == "starttls":
        fields |= {"type": "smtp", "tls": "starttls"}
    elif scheme in ("grpc", "grpcs"):
        fields |= {"type": "grpc", "tls": scheme == "grpcs"}
    if endpoint.insecure and fields.get("tls") is not False:
        fields["verify_tls"] = False
    if endpoint.body:
        _unsent(endpoint, report)
    return fields


def _sending(fields: dict[str, Any], endpoint: Endpoint, report: Report) -> dict[str, Any]:
    """With the text that is sent, unless it is one of Gatus' own marks."""
    if endpoint.body and "[LOCAL_ADDRESS]" in endpoint.body:
        _unsent(endpoint, report)
    elif endpoint.body:
        fields["send"] = endpoint.body
    return fields


def _unsent(endpoint: Endpoint, report: Report) -> None:
    report.changed(
        f"{endpoint.path}.body", "the text that is sent", "this check cannot send it", "nothing is sent"
    )


def _websocket(endpoint: Endpoint, report: Report) -> dict[str, Any] | None:
    scheme, _, rest = endpoint.url.partition("://")
    request = Request(f"{scheme.lower()}://{rest}", "GET", dict(endpoint.headers), dict(endpoint.references))
    fields = request_fields(endpoint.path, endpoint.what, ("GATUS", endpoint.name), request, report)
    if fields is None:
        return None
    if endpoint.insecure:
        fields["verify_tls"] = False
    return _sending({"type": "websocket", **fields}, endpoint, report)


def _dns(endpoint: Endpoint, report: Report) -> dict[str, Any] | None:
    asked = endpoint.dns if isinstance(endpoint.dns, Mapping) else {}
    server, _, port = (
        endpoint.url.partition("://")[2].rpartition(":") if "://" in endpoint.url else ("", "", "")
    )
    if not server:
        server, colon, port = endpoint.url.partition(":")
        if not colon or endpoint.url.count(":") > 1:
            server, port = endpoint.url, ""
    fields: dict[str, Any] = {
        "type": "dns",
        "name": str(asked.get("query-name", "")).rstrip(".") or ".",
        "record": str(asked.get("query-type", "")).upper(),
        "server": server.strip("[]"),
    }
    if port and port != str(_DNS_PORT):
        if not port.isdigit() or len(port) > 5:
            report.left_out(f"{endpoint.path}.url", shown(endpoint.url), "not an address of a name server")
            return None
        fields["port"] = int(port)
    return fields


def _address(url: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    return (host, port) if host and port else None
