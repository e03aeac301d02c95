"""What is sent: the target's address, the request's bytes, and where a redirect leads (RFC 9110, 9112)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from holdfast import __version__
from holdfast.adapters.probes.errors import AttemptFailed, OwnFault
from holdfast.adapters.probes.reach import Reach
from holdfast.estate.checks import HttpCheck
from holdfast.estate.values import SecretRef

_DEFAULT_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_UNSAFE_URL = re.compile(r"[\x00-\x20\x7f\\]")
_OURS = frozenset(
    {"connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_DEFAULTS = (("User-Agent", f"Holdfast/{__version__}"), ("Accept", "*/*"), ("Accept-Encoding", "gzip"))
_MOST_URL = 8_192


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes. `path` has its query, `authority` is the Host header."""

    scheme: str
    host: str
    port: int
    path: str
    authority: str

    @property
    def secure(self) -> bool:
        return self.scheme == "https"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, before it is bytes. `private` headers stay with the host that they were written for."""

    method: str
    headers: tuple[tuple[str, str], ...]
    private: tuple[tuple[str, str], ...]
    body: bytes

    def bytes_for(self, target: Target) -> bytes:
        """The request for `target`. Raises AttemptFailed for headers that would not be one."""
        own = (*self.headers, *self.private)
        names = {name.lower() for name, _ in own}
        lines = [f"{self.method} {target.path} HTTP/1.1"]
        if "host" not in names:
            lines.append(f"Host: {target.authority}")
        lines.extend(f"{name}: {value}" for name, value in _DEFAULTS if name.lower() not in names)
        lines.extend(checked(own))
        if self.body or self.method in _WITH_BODY:
            lines.append(f"Content-Length: {len(self.body)}")
        lines.append("Connection: close\r\n\r\n")
        return _encoded("\r\n".join(lines)) + self.body

    def redirected(self, status: int, source: Target, target: Target) -> "Request":
        """The request that follows a redirect (RFC 9110, section 15.4): no secret leaves for another host."""
        method, body = self.method, self.body
        if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
            method, body = "GET", b""
        return Request(method, self.headers, self.private if _same_owner(source, target) else (), body)


def request_of(check: HttpCheck, reach: Reach) -> Request:
    """The request that `check` describes, with its secrets."""
    plain: list[tuple[str, str]] = []
    private: list[tuple[str, str]] = []
    for name, value in check.headers.items():
        if isinstance(value, SecretRef):
            private.append((name, reach.secret(value).strip()))
        elif name.lower() in _CREDENTIALS or name.lower() == "host":
            private.append((name, value))
        else:
            plain.append((name, value))
    return Request(check.method, tuple(plain), tuple(private), (check.body or "").encode())


def target_of(url: str) -> Target:
    """The target that `url` names. Raises AttemptFailed when it names none."""
    if len(url) > _MOST_URL or _UNSAFE_URL.search(url):
        raise AttemptFailed("the URL is not valid")
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except ValueError as error:  # UnicodeError is one
        raise AttemptFailed("the URL is not valid") from error
    if not host or port == 0:
        raise AttemptFailed("the URL is not valid")
    if scheme not in _DEFAULT_PORTS:
        raise AttemptFailed("the URL is neither http nor https")
    if parts.username is not None:
        raise AttemptFailed(
            "the URL carries a user name", hint="send an Authorization header, its value by reference"
        )
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=-._~")
    query = quote(parts.query, safe="/?%:@!$&'()*+,;=-._~[]|")
    default = _DEFAULT_PORTS[scheme]
    name = f"[{host}]" if ":" in host else host
    authority = name if port in (None, default) else f"{name}:{port}"
    return Target(scheme, host, port or default, f"{path}?{query}" if query else path, authority)


def redirection(status: int, headers: Mapping[str, str], source: Target) -> Target | None:
    """Where the answer sends us, None when it is no redirect. Raises AttemptFailed when it leads nowhere."""
    location = headers.get("location")
    if status not in _REDIRECTS or location is None:
        return None
    try:
        return target_of(urljoin(source.url, location.strip()))
    except (AttemptFailed, ValueError) as error:
        raise AttemptFailed("redirected to an address that cannot be followed") from error


def _same_owner(source: Target, target: Target) -> bool:
    if source.host != target.host or (source.secure and not target.secure):
        return False
    upgraded = (source.scheme, source.port, target.scheme, target.port) == ("http", 80, "https", 443)
    return upgraded or source.port == target.port


def checked(headers: Iterable[tuple[str, str]]) -> Iterable[str]:
    """The headers as lines. Raises OwnFault for one that would not be one header, or that is ours to send."""
    for name, value in headers:
        if not _TOKEN.fullmatch(name) or name.lower() in _OURS:
            raise OwnFault("the check has a header that cannot be sent")
        if _FORBIDDEN.search(value):
            raise OwnFault("the check has a header with control characters")
        yield f"{name}: {value}"


def _encoded(head: str) -> bytes:
    try:
        return head.encode("latin-1")
    except UnicodeEncodeError:
        return head.encode()
