"""Addresses of the site, which of them a static copy has, and the file that each becomes. Pure.

    /de/                          de/index.html
    /de/history/2026-10           de/history/2026-10/index.html
    /de/clusters/eu/api?range=1y  de/clusters/eu/api/range-1y.html
    /de/reports/eu?format=csv&month=2026-10   de/reports/eu/month-2026-10.csv
    /badges/eu.svg?lang=de        badges/eu.lang-de.svg

So an address without a query is found under its old name by any server that serves folders by their index:
links that were mailed still lead somewhere once only the copy is left.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from posixpath import dirname, relpath
from urllib.parse import parse_qsl, quote, unquote, urljoin, urlsplit

from holdfast.interfaces.reports.model import Format
from holdfast.interfaces.site.ranges import NAMED, months_before

MOST_NAME = 120
_SEGMENT = re.compile(r"[A-Za-z0-9_~@+-][A-Za-z0-9._~@+-]*")
_VALUE = re.compile(r"[A-Za-z0-9-]{1,40}")
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_NOT_COPIED = frozenset({"agreements", "customers", "subscribe", "subscriptions"})
"""Second parts of addresses: secrets, and what needs somebody who listens."""
_BACKGROUND = (["history"], ["reports"], ["formula"])
_ENDINGS: Mapping[str, str] = {
    "text/html": "html",
    "application/json": "json",
    "application/pdf": "pdf",
    "text/csv": "csv",
    "text/calendar": "ics",
    "image/svg+xml": "svg",
    "image/png": "png",
    "text/css": "css",
    "text/javascript": "js",
    "text/plain": "txt",
    "application/atom+xml": "atom",
    "application/rss+xml": "rss",
    "application/xml": "xml",
}


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A path and its query, in one spelling."""

    path: str
    query: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        told = "&".join(f"{quote(name)}={quote(value)}" for name, value in self.query)
        return quote(self.path) + (f"?{told}" if told else "")

    def get(self, name: str) -> str:
        return dict(self.query).get(name, "")

    @property
    def segments(self) -> list[str]:
        return [each for each in self.path.split("/") if each]


def address_of(href: str, base: Address, languages: tuple[str, ...]) -> Address | None:
    """The site's own address that `href` means on the page `base`; None for any other place."""
    parts = urlsplit(href)
    if parts.scheme or parts.netloc or not (parts.path or parts.query):
        return None
    joined = urlsplit(urljoin(str(base), href))
    path = unquote(joined.path)
    if path[1:] in languages:
        path += "/"
    query = parse_qsl(joined.query, keep_blank_values=False, max_num_fields=8)
    return Address(path, tuple(sorted(query)))


@dataclass(frozen=True, slots=True)
class Extent:
    """How far back a copy goes: months of the history, and of reports.

    A `quick` one has what changes with the news only: no other months, ranges or reports.
    """

    languages: tuple[str, ...]
    today: date
    months: int = 24
    quick: bool = False

    def covers(self, address: Address) -> bool:
        """Whether a copy has this address. What it answers may still keep it out."""
        segments = address.segments
        if len(segments) > 1 and segments[0] in self.languages and segments[1] in _NOT_COPIED:
            return False
        if segments[:1] in (["events"], ["metrics"], ["health"]):
            return False
        if self.quick and (segments[1:2] in _BACKGROUND or address.get("range") or address.get("month")):
            return False
        if not all(_SEGMENT.fullmatch(each) and len(each) <= MOST_NAME for each in segments):
            return False
        in_path = [each for each in segments if _MONTH.fullmatch(each)]
        return all(self._recent(each) for each in in_path) and all(
            self._known(name, value) for name, value in address.query
        )

    def _known(self, name: str, value: str) -> bool:
        match name:
            case "range":
                return value in NAMED
            case "month":
                return _MONTH.fullmatch(value) is not None and self._recent(value)
            case "format":
                return value in set(Format)
            case "lang":
                return value in self.languages
            case "show" | "v":
                return _VALUE.fullmatch(value) is not None
        return False

    def _recent(self, month: str) -> bool:
        first = date.fromisoformat(f"{month}-01")
        return first > months_before(self.today.replace(day=1), self.months)


def file_of(address: Address, media_type: str) -> str:
    """The file's path, relative to the root of the copy."""
    ending = _ENDINGS.get(media_type.partition(";")[0].strip(), "bin")
    told = [(name, value) for name, value in address.query if name not in {"format", "v"}]
    variant = "_".join(f"{name}-{value}" for name, value in told)
    path = address.path.strip("/")
    stem, dot, suffix = path.rpartition(".")
    if dot and "/" not in suffix:
        return f"{stem}.{variant}.{suffix}" if variant else path
    if ending == "html" or address.get("format"):
        folder = f"{path}/" if path else ""
        return f"{folder}{variant or 'index'}.{ending}"
    return f"{path}.{ending}"


def relative(target: str, page: str) -> str:
    """How the file `page` links to the file `target`."""
    return quote(relpath(target, dirname(page) or "."))
