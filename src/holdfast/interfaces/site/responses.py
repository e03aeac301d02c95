"""Answers as bytes: compressed once, validated by ETag, with the headers that every answer carries."""

import gzip
import hashlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import brotli

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

HTML = "text/html; charset=utf-8"
_LEAST_COMPRESSED = 256

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SANDBOXED = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""For images that are documents too: an SVG opened on its own may run no script and load nothing."""


def security_headers(
    *,
    policy: str = CONTENT_SECURITY_POLICY,
    referrer: str = "strict-origin-when-cross-origin",
    shared: bool = False,
) -> Headers:
    """What every answer carries. `shared` allows other sites to embed it, as badges are made for."""
    return [
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", referrer.encode()),
        (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"cross-origin" if shared else b"same-origin"),
    ]


SECURITY = security_headers()


class Answer:
    """A complete answer in each encoding that a client may ask for. Made once, sent many times."""

    __slots__ = ("_headers", "_not_modified", "_sizes", "bodies", "etag", "status")

    def __init__(
        self,
        body: bytes | str,
        content_type: str,
        *,
        status: int = 200,
        cache: str = "no-cache",
        headers: Headers | None = None,
        security: Headers = SECURITY,
        vary: str = "accept-encoding",
        quality: int = 5,
    ) -> None:
        raw = body.encode() if isinstance(body, str) else body
        self.status = status
        self.etag = b'W/"' + hashlib.sha256(raw).hexdigest()[:20].encode() + b'"'
        self.bodies: dict[bytes, bytes] = {b"": raw}
        if len(raw) >= _LEAST_COMPRESSED:
            mode = brotli.MODE_TEXT
            self.bodies[b"br"] = brotli.compress(raw, mode=mode, quality=quality)
            self.bodies[b"gzip"] = gzip.compress(raw, 6, mtime=0)
        common: Headers = [
            (b"cache-control", cache.encode()),
            (b"vary", vary.encode()),
            *(headers or []),
            *security,
        ]
        if status == 200 and "no-store" not in cache:
            common.append((b"etag", self.etag))
        self._not_modified = common
        self._headers: dict[bytes, Headers] = {}
        for encoding, encoded in self.bodies.items():
            self._headers[encoding] = [
                (b"content-type", content_type.encode()),
                (b"content-length", str(len(encoded)).encode()),
                *([(b"content-encoding", encoding)] if encoding else []),
                *common,
            ]

    async def __call__(self, scope: Scope, _receive: object, send: Send) -> None:
        """Answer as an ASGI application. Knows nothing of the method but HEAD."""
        accepted = known = b""
        for name, value in scope["headers"]:
            if name == b"accept-encoding":
                accepted = value
            elif name == b"if-none-match":
                known = value
        if known and self.status == 200 and (self.etag in known or known == b"*"):
            await send({"type": "http.response.start", "status": 304, "headers": self._not_modified})
            await send({"type": "http.response.body", "body": b""})
            return
        encoding = chosen_encoding(accepted) if len(self.bodies) > 1 else b""
        await send({"type": "http.response.start", "status": self.status, "headers": self._headers[encoding]})
        body = b"" if scope["method"] == "HEAD" else self.bodies[encoding]
        await send({"type": "http.response.body", "body": body})


_CHOSEN: dict[bytes, bytes] = {}
_MOST_CHOSEN = 512


def chosen_encoding(accepted: bytes) -> bytes:
    """Brotli before gzip before none, of what the client accepts with a weight above 0 (RFC 9110, 12.5.3)."""
    known = _CHOSEN.get(accepted)
    if known is not None:
        return known
    weights: dict[bytes, bool] = {}
    for part in accepted[:256].lower().split(b","):
        name, _, weight = part.partition(b";")
        weights[name.strip()] = (
            not weight.replace(b" ", b"").startswith((b"q=0,", b"q=0.0")) and weight.strip() != b"q=0"
        )
    chosen = next((each for each in (b"br", b"gzip") if weights.get(each)), b"")
    if len(_CHOSEN) < _MOST_CHOSEN:
        _CHOSEN[accepted] = chosen
    return chosen
