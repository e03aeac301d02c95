"""A page of the site as a file: its links made relative, and what needs a server taken out or led to it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape, unescape

_TAG = re.compile(r"""<(a|area|link|img|script|form|main)\b((?:[^>"']|"[^"]*"|'[^']*')*)>""", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""(\s)(href|src|action)=(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_LIVE = re.compile(r"\sdata-live(?=[\s>]|$)")
_FOOTER = re.compile(r"</footer>")

Found = Callable[[str], str | None]
"""The relative link to what `href` means; `href` itself for another site; None: there is no such file."""


@dataclass(frozen=True, slots=True)
class Ways:
    """Where links lead. `live` is the public address of the site that has a server; empty: it has none."""

    found: Found
    live: str = ""


def rewritten(html: str, ways: Ways, note: str = "") -> str:
    """The page for a file. `note` (text) is added at its end."""
    page = _TAG.sub(lambda tag: _tag(tag, ways), html)
    if note:
        page = _FOOTER.sub(f'<p class="wide when" data-copy>{escape(note)}</p></footer>', page, count=1)
    return page


def _tag(tag: re.Match[str], ways: Ways) -> str:
    name = tag[1].lower()
    if name == "main":
        # Nobody streams events here; the page looks itself up now and then.
        return "<" + tag[1] + _LIVE.sub(' data-live="poll"', tag[2]) + ">"
    attribute = _ATTRIBUTE.search(tag[2])
    if attribute is None:
        return tag[0]
    href = unescape(next(each for each in attribute.groups()[2:] if each is not None))
    # A form needs somebody who answers, even where the page that it is about has a file.
    target = None if name == "form" else ways.found(href)
    if target is None and ways.live and href.startswith("/") and name in {"a", "area", "form"}:
        target = ways.live.rstrip("/") + href
    if target is not None:
        return f"<{tag[1]}{_with(tag[2], attribute, target)}>"
    if name in {"link", "img", "script"}:
        return ""
    # A link without an address is plain text. What asks somebody for something is of no use without him.
    rest = tag[2][: attribute.start()] + tag[2][attribute.end() :]
    asks = name == "form" or "/subscribe" in href
    return f"<{tag[1]}{rest} hidden>" if asks else f"<{tag[1]}{rest}>"


def _with(attributes: str, attribute: re.Match[str], target: str) -> str:
    told = f'{attribute[1]}{attribute[2]}="{escape(target)}"'
    return attributes[: attribute.start()] + told + attributes[attribute.end() :]


def links_of(html: str) -> list[str]:
    """Every address that the page refers to, in its order."""
    found = []
    for tag in _TAG.finditer(html):
        attribute = _ATTRIBUTE.search(tag[2])
        if attribute is not None and tag[1].lower() != "form":
            found.append(unescape(next(each for each in attribute.groups()[2:] if each is not None)))
    return found
