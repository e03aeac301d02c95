"""The site's own files, named after their content, and the operator's colours, logo and favicon."""

import hashlib
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import structlog

from holdfast.estate.model import Site
from holdfast.interfaces.site.colours import theme
from holdfast.interfaces.site.rendering import Assets
from holdfast.interfaces.site.responses import SANDBOXED, Answer, security_headers
from holdfast.interfaces.site.wording import Shown

MOST_LOGO_BYTES = 256 * 1024
_FOREVER = "public, max-age=31536000, immutable"
_MINUTES = "public, max-age=300"
_log = structlog.get_logger(__name__)

# The fills of site.css, in its light variant: they reach 3:1 on white and on black browser bars alike.
_FAVICON = {
    Shown.OPERATIONAL: "#1f9d6b",
    Shown.DEGRADED: "#b97f04",
    Shown.PARTIAL_OUTAGE: "#e0681f",
    Shown.MAJOR_OUTAGE: "#d2323f",
    Shown.UNKNOWN: "#8793a1",
    Shown.MAINTENANCE: "#4d82d8",
}
_SIGNS = {
    Shown.OPERATIONAL: "m9 16.5 5 5 9-10",
    Shown.DEGRADED: "M9 18c2.5-4 5-4 7-2s4.5 2 7-2",
    Shown.PARTIAL_OUTAGE: "M16 8v10M16 23.5v.5",
    Shown.MAJOR_OUTAGE: "m10 10 12 12M22 10 10 22",
    Shown.UNKNOWN: "M12 12c.5-5 8-5 8 0 0 3-4 3.5-4 6.5M16 23.5v.5",
    Shown.MAINTENANCE: "M9 16h14",
}


@lru_cache
def _static(name: str) -> tuple[str, Answer]:
    """A file of ours: its address, which changes with its content, and the answer."""
    content = (files(__package__) / "static" / name).read_bytes()
    stem, _, suffix = name.rpartition(".")
    kind = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}[suffix]
    return f"/static/{stem}.{_digest(content)}.{suffix}", Answer(content, kind, cache=_FOREVER, quality=11)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


@lru_cache(maxsize=8)
def _theme(accent: str) -> tuple[str, Answer]:
    content = theme(accent).encode()
    return f"/static/theme.{_digest(content)}.css", Answer(content, "text/css; charset=utf-8", cache=_FOREVER)


@lru_cache(maxsize=4)
def _logo(path: Path, _modified_ns: int) -> tuple[str, Answer] | None:
    content = path.read_bytes()
    kind = logo_kind(content)
    if kind is None or len(content) > MOST_LOGO_BYTES:
        _log.warning("site_logo_refused", path=str(path), size=len(content))
        return None
    # An SVG is a document: opened by its address it could run script on the site's origin.
    security = security_headers(policy=SANDBOXED)
    return f"/logo?v={_digest(content)}", Answer(content, kind, cache=_MINUTES, security=security)


def logo_kind(content: bytes) -> str | None:
    """The media type, by what the file holds rather than by its name; None for anything but PNG and SVG."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    return "image/svg+xml" if b"<svg" in content[:4096] else None


def assets_of(site: Site, folder: Path | None) -> tuple[Assets, dict[str, Answer]]:
    """Where pages find their files, and the answers by path. A logo that cannot be read is left out."""
    style, script, colours = _static("site.css"), _static("site.js"), _theme(site.colours.accent)
    answers = dict([style, script, colours])
    logo = None
    if site.logo:
        path = (folder or Path()) / site.logo
        try:
            logo = _logo(path, path.stat().st_mtime_ns)
        except OSError as error:
            _log.warning("site_logo_unreadable", path=str(path), error=str(error))
    if logo is not None:
        answers["/logo"] = logo[1]
    return Assets(style[0], colours[0], script[0], logo[0] if logo else None), answers


@lru_cache(maxsize=16)
def favicon(state: Shown) -> Answer:
    """The shield in the colour, and with the sign, of the overall state."""
    drawing = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
        f'<rect x="1" y="1" width="30" height="30" rx="9" fill="{_FAVICON[state]}"/>'
        f'<path d="{_SIGNS[state]}" fill="none" stroke="#fff" stroke-width="3.5" stroke-linecap="round" '
        'stroke-linejoin="round"/></svg>'
    )
    return Answer(drawing, "image/svg+xml", security=security_headers(policy=SANDBOXED))
