"""Badges: a small SVG with a name on the left, and a state or an availability on the right."""

from collections.abc import Sequence

from markupsafe import escape

from holdfast.availability.views import ComponentHistory
from holdfast.interfaces.site.responses import SANDBOXED, Answer, security_headers
from holdfast.interfaces.site.snapshot import last_days
from holdfast.interfaces.site.wording import Shown, Words, worst_shown

# Dark enough for white text at 4.5:1, whatever page they are put on.
_COLOURS = {
    Shown.OPERATIONAL: "#0a6e49",
    Shown.DEGRADED: "#835600",
    Shown.PARTIAL_OUTAGE: "#a8480a",
    Shown.MAJOR_OUTAGE: "#b4232f",
    Shown.UNKNOWN: "#566373",
    Shown.MAINTENANCE: "#2a5db0",
}
_LEFT = "#3b4652"
_NARROW, _WIDE = frozenset("iljtfrI.,:;'|! ()[]"), frozenset("mwMW%@")
_LONGEST = 60


def badge(
    name: str, components: Sequence[ComponentHistory], words: Words, *, availability: bool, stale: bool
) -> Answer:
    """The badge of a component, or of a cluster by its worst component. A stale one says unknown."""
    state = Shown.UNKNOWN if stale else worst_shown(components)
    text = words.states[state]
    if availability and not stale:
        shares = [
            share for each in components if (share := last_days(each, 30).figure.availability) is not None
        ]
        text = words.t.availability(min(shares, default=None))
    security = security_headers(policy=SANDBOXED, shared=True)
    return Answer(
        _drawing(name[:_LONGEST], text, _COLOURS[state]),
        "image/svg+xml",
        cache="max-age=30",
        security=security,
    )


def _drawing(left: str, right: str, colour: str) -> str:
    first, second = text_width(left) + 16, text_width(right) + 16
    label = escape(f"{left}: {right}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{first + second}" height="22" role="img" '
        f'aria-label="{label}"><title>{label}</title>'
        f'<clipPath id="r"><rect width="{first + second}" height="22" rx="5"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{first}" height="22" fill="{_LEFT}"/>'
        f'<rect x="{first}" width="{second}" height="22" fill="{colour}"/></g>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="{first / 2}" y="15" textLength="{first - 16}">{escape(left)}</text>'
        f'<text x="{first + second / 2}" y="15" textLength="{second - 16}">{escape(right)}</text></g></svg>'
    )


def text_width(text: str) -> int:
    """About how wide Verdana sets `text` at 11 px. The badge stretches the text to exactly this."""
    return max(8, round(sum(4.2 if each in _NARROW else 10 if each in _WIDE else 7 for each in text)))
