"""An HTTP request of another tool as the fields of a check, with its secrets taken out."""

from dataclasses import dataclass, field
from typing import Any, get_args

from holdfast.estate.checks import HttpMethod
from holdfast.interchange.lines import shown
from holdfast.interchange.report import Report
from holdfast.interchange.secrecy import holds_secret, is_secret_header, secret_parameter, without_login

_FRAMING = ("content-length", "transfer-encoding", "connection")
_REFERENCE = ("env:", "file:")
_METHODS = get_args(HttpMethod)
_LONGEST_BODY = 65_536


@dataclass(slots=True)
class Request:
    """What is sent. `references` are headers whose values stand in environment variables, by name.

    A reference is only what an importer made one: a source that writes `file:/etc/passwd` as a header's value
    must not make a check send that file.
    """

    url: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    body: str | None = None


def request_fields(
    path: str, what: str, owner: tuple[str, ...], request: Request, report: Report
) -> dict[str, Any] | None:
    """`url`, `method`, `headers` and `body` of a check; None, with a remark, when it cannot be sent so.

    `owner` are the words that environment variables for its secrets are named after.
    """
    url, had_login = without_login(request.url.strip())
    headers = _headers(path, owner, request, report)
    if had_login and any(name.lower() == "authorization" for name in headers):
        report.left_out(f"{path}.url", "user name and password", "the header Authorization is sent already")
    elif had_login:
        name = report.variable(path, *owner, "Authorization")
        instead = f"sent as Authorization: env:{name}; set it to `Basic` and the base64 of user:password"
        report.secret(f"{path}.url", "user name and password in the address", instead)
        headers["Authorization"] = f"env:{name}"
    if (parameter := secret_parameter(url)) is not None:
        why = (
            f"its address holds what looks like a secret (the parameter {shown(parameter)}), which it may not"
        )
        report.left_out(f"{path}.url", what, why, "left out; if the service takes it as a header, add it so")
        return None
    method = request.method.strip().upper()
    if method not in _METHODS:
        report.left_out(f"{path}.method", what, f"the method {shown(method)} is not sent by a check")
        return None
    fields: dict[str, Any] = {"url": url}
    if method != "GET":
        fields["method"] = method
    if headers:
        fields["headers"] = headers
    return fields if _with_body(path, what, method, request.body, fields, report) else None


def _with_body(
    path: str, what: str, method: str, body: str | None, fields: dict[str, Any], report: Report
) -> bool:
    if not body:
        return True
    if holds_secret(body):
        why = "its body holds what looks like a secret, and only headers may refer to one"
        report.left_out(f"{path}.body", what, why)
        return False
    if len(body) > _LONGEST_BODY:
        report.left_out(f"{path}.body", what, f"its body is longer than {_LONGEST_BODY:,} characters")
        return False
    if method == "HEAD":
        report.changed(f"{path}.body", "a body", "a HEAD request has none", "sent without")
    else:
        fields["body"] = body
    return True


def _headers(path: str, owner: tuple[str, ...], request: Request, report: Report) -> dict[str, str]:
    """The headers by their first spelling, secrets as references."""
    kept: dict[str, str] = {}
    seen: set[str] = set()
    for given in (*request.headers, *request.references):
        name = given.strip()
        where = f"{path}.headers.{name}"
        value = request.headers.get(given)
        if name.lower() in _FRAMING:
            report.left_out(where, "the header", "set by the check itself")
        elif name.lower() in seen:
            report.left_out(where, "the header", "given twice")
        elif value is None:
            kept[name] = f"env:{request.references[given]}"
        elif is_secret_header(name):
            reference = report.variable(path, *owner, name)
            report.secret(where, "a header's value", f"written as env:{reference}; set it to the whole value")
            kept[name] = f"env:{reference}"
        elif value.strip().startswith(_REFERENCE):
            report.left_out(where, "the header", "in an estate, a value that begins like this is a reference")
        else:
            kept[name] = " ".join(value.split())
        seen.add(name.lower())
    return kept
