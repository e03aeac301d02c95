"""From a crawl to a copy's files: pages rewritten, an entrance in front, a page for what is not there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from zoneinfo import ZoneInfo

from holdfast.estate.model import Site
from holdfast.interfaces.reports.i18n import ReportTranslator
from holdfast.interfaces.site.i18n import NAMES
from holdfast.interfaces.staticsite.addresses import Address, address_of, relative
from holdfast.interfaces.staticsite.crawling import Copied, Crawl
from holdfast.interfaces.staticsite.rewriting import Ways, rewritten

_PLAIN_STYLE = (
    ":root{color-scheme:light dark}body{max-width:36rem;margin:15vh auto 0;padding:0 1.25rem;"
    "font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif}a{margin-right:1rem}"
)


@dataclass(frozen=True, slots=True)
class File:
    """One file of a copy: its path relative to the root, its media type, its content."""

    path: str
    media_type: str
    content: bytes


class Copy:
    """The files of one crawl. `files` makes them one after the other, so that they need not be held at once.

    `at` is when the crawl was made, `known` what the copy has besides it. Links to what the copy has not lead
    to the live site, where one is known.
    """

    def __init__(
        self,
        crawl: Crawl,
        site: Site,
        languages: tuple[str, ...],
        at: datetime,
        known: Mapping[Address, str] | None = None,
    ) -> None:
        self._crawl = crawl
        self._site = site
        self._languages = languages
        self._at = at
        mine = {each.address: each.file for each in crawl.copied.values()}
        self.known: Mapping[Address, str] = {**(known or {}), **mine}

    def __len__(self) -> int:
        return len(self._crawl.copied) + 2

    def files(self) -> Iterator[File]:
        """Every file, in the order in which they are to be put: what a page needs before the page."""
        for each in sorted(self._crawl.copied.values(), key=_order):
            yield self._file(each)
        yield File("404.html", "text/html; charset=utf-8", self._not_found().encode())
        yield File("index.html", "text/html; charset=utf-8", self._entrance().encode())

    def _file(self, copied: Copied) -> File:
        if not copied.is_page:
            return File(copied.file, copied.media_type, copied.body)
        html = rewritten(
            copied.body.decode(), Ways(self._found_from(copied), self._site.url or ""), self._note(copied)
        )
        return File(copied.file, copied.media_type, html.encode())

    def _found_from(self, page: Copied) -> "_Found":
        return _Found(self.known, page, self._languages)

    def _note(self, page: Copied) -> str:
        language = page.address.segments[0] if page.address.segments else ""
        if language not in self._languages:
            return ""
        t = ReportTranslator(language, ZoneInfo(self._site.time_zone))
        return t.gettext("This is a copy of the site, made %(time)s.") % {"time": t.moment(self._at)}

    def _entrance(self) -> str:
        first = f"{self._languages[0]}/index.html"
        links = "".join(
            f'<a href="{each}/index.html" lang="{each}" hreflang="{each}">{NAMES[each]}</a>'
            for each in self._languages
        )
        return (
            f'<!doctype html>\n<html lang="{self._languages[0]}">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta http-equiv="refresh" content="0; url={first}">\n'
            '<link rel="icon" href="data:,">\n'
            f"<title>{escape(self._site.title)}</title>\n<style>{_PLAIN_STYLE}</style>\n</head>\n"
            f"<body>\n<h1>{escape(self._site.title)}</h1>\n<p>{links}</p>\n</body>\n</html>\n"
        )

    def _not_found(self) -> str:
        """For any address, so it can link to nothing that is found by where it stands."""
        told = []
        for language in self._languages:
            t = ReportTranslator(language, ZoneInfo("UTC"))
            heading, text = (
                t.gettext("There is no such page"),
                t.gettext("It may have been renamed or removed."),
            )
            home = ""
            if self._site.url:
                href = escape(f"{self._site.url.rstrip('/')}/{language}/")
                home = f' <a href="{href}">{escape(self._site.title)}</a>'
            told.append(
                f'<section lang="{language}"><h1>{escape(heading)}</h1>'
                f"<p>{escape(text)}{home}</p></section>\n"
            )
        return (
            f'<!doctype html>\n<html lang="{self._languages[0]}">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="robots" content="noindex">\n<link rel="icon" href="data:,">\n'
            f"<title>{escape(self._site.title)}</title>\n<style>{_PLAIN_STYLE}</style>\n</head>\n"
            f"<body>\n{''.join(told)}</body>\n</html>\n"
        )


class _Found:
    """What links on one page lead to."""

    def __init__(self, files: Mapping[Address, str], page: Copied, languages: tuple[str, ...]) -> None:
        self._files = files
        self._page = page
        self._languages = languages

    def __call__(self, href: str) -> str | None:
        address = address_of(href, self._page.address, self._languages)
        if address is None:
            return href
        if address == Address("/"):
            return relative("index.html", self._page.file)
        file = self._files.get(address)
        if file is None:
            return None
        _, mark, fragment = href.partition("#")
        return relative(file, self._page.file) + mark + fragment


def _order(copied: Copied) -> tuple[int, int, str]:
    """What pages need first, then pages, the deepest first: behind every link is something."""
    if copied.address.segments[:1] == ["static"]:
        return 0, 0, copied.file
    return (2 if copied.is_page else 1), -len(copied.address.segments), copied.file
