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
from enum import IntEnum
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
_BACKGROUND = (["history"], ["formula"])
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


class Depth(IntEnum):
    """How much of a site a crawl looks at. What it leaves out is known from an earlier one."""

    NEWS = 0
    """What the news touch: overviews, clusters, incidents, maintenance, feeds."""
    STATES = 1
    """The components' pages too."""
    PAGES = 2
    """Ranges and past months too."""
    ALL = 3
    """And reports, which cost most."""


@dataclass(frozen=True, slots=True)
class Extent:
    """What a copy has, and what of it this crawl looks at: months of history, months of reports."""

    languages: tuple[str, ...]
    today: date
    months: int = 24
    report_months: int = 12
    depth: Depth = Depth.ALL

    def covers(self, address: Address) -> bool:
        """Whether this crawl looks at the address. What it answers may still keep it out."""
        segments = address.segments
        if len(segments) > 1 and segments[0] in self.languages and segments[1] in _NOT_COPIED:
            return False
        if segments[:1] in (["events"], ["metrics"], ["health"]):
            return False
        if not all(_SEGMENT.fullmatch(each) and len(each) <= MOST_NAME for each in segments):
            return False
        if depth_of(address) > self.depth:
            return False
        months = self.report_months if segments[1:2] == ["reports"] else self.months
        told = [value for name, value in address.query if name == "month"]
        named = [each for each in segments if _MONTH.fullmatch(each)]
        return all(self._recent(each, months) for each in (*named, *told)) and all(
            self._known(name, value) for name, value in address.query
        )

    def _known(self, name: str, value: str) -> bool:
        match name:
            case "range":
                return value in NAMED
            case "month":
                return _MONTH.fullmatch(value) is not None
            case "format":
                return value in set(Format)
            case "lang":
                return value in self.languages
            case "show" | "v":
                return _VALUE.fullmatch(value) is not None
        return False

    def _recent(self, month: str, months: int) -> bool:
        if not _MONTH.fullmatch(month):
            return False
        return date.fromisoformat(f"{month}-01") > months_before(self.today.replace(day=1), months)


def depth_of(address: Address) -> Depth:
    """The least depth of a crawl that looks at the address."""
    segments = address.segments
    if segments[1:2] == ["reports"]:
        return Depth.ALL
    if segments[1:2] in _BACKGROUND or address.get("range") or address.get("month"):
        return Depth.PAGES
    is_component = segments[1:2] == ["clusters"] and len(segments) == 4 and "." not in segments[3]
    return Depth.STATES if is_component else Depth.NEWS


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
