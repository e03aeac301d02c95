"""Which addresses a copy has, and what they become."""

from dataclasses import replace
from datetime import date

import pytest

from holdfast.interfaces.staticsite.addresses import (
    Address,
    Depth,
    Extent,
    address_of,
    depth_of,
    file_of,
    relative,
)
from holdfast.interfaces.staticsite.rewriting import Ways, links_of, rewritten

HTML = "text/html; charset=utf-8"
BASE = Address("/de/clusters/eu/api", (("range", "1y"),))
EXTENT = Extent(("en", "de"), date(2026, 11, 22), months=3, report_months=2)


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("/de/", "/de/"),
        ("/de", "/de/"),
        ("?range=30d", "/de/clusters/eu/api?range=30d"),
        ("/de/reports/eu?month=2026-10&format=csv", "/de/reports/eu?format=csv&month=2026-10"),
        ("../eu2", "/de/clusters/eu2"),
        ("/logo?v=abc#x", "/logo?v=abc"),
        ("#main", None),
        ("https://elsewhere.example/de/", None),
        ("//elsewhere.example/de/", None),
        ("mailto:a@b.c", None),
        ("javascript:alert(1)", None),
    ],
)
def test_links_mean_addresses(href: str, expected: str | None) -> None:
    found = address_of(href, BASE, ("en", "de"))
    assert (found and str(found)) == expected


@pytest.mark.parametrize(
    ("address", "media_type", "file"),
    [
        ("/de/", HTML, "de/index.html"),
        ("/de/formula", HTML, "de/formula/index.html"),
        ("/de/clusters/eu/api", HTML, "de/clusters/eu/api/index.html"),
        ("/de/clusters/eu/api?range=1y", HTML, "de/clusters/eu/api/range-1y.html"),
        ("/de/reports/eu?month=2026-10", HTML, "de/reports/eu/month-2026-10.html"),
        (
            "/de/reports/eu?month=2026-10&format=csv",
            "text/csv; charset=utf-8",
            "de/reports/eu/month-2026-10.csv",
        ),
        ("/de/reports/eu?format=pdf", "application/pdf", "de/reports/eu/index.pdf"),
        ("/static/site.0a1b.css", "text/css; charset=utf-8", "static/site.0a1b.css"),
        ("/logo?v=abc", "image/svg+xml", "logo.svg"),
        ("/badges/eu.svg", "image/svg+xml", "badges/eu.svg"),
        (
            "/badges/eu.svg?show=availability&lang=de",
            "image/svg+xml",
            "badges/eu.lang-de_show-availability.svg",
        ),
        ("/api/v1/status.json", "application/json", "api/v1/status.json"),
        ("/de/feed.atom", "application/atom+xml", "de/feed.atom"),
    ],
)
def test_addresses_become_files(address: str, media_type: str, file: str) -> None:
    found = address_of(address, Address("/"), ("en", "de"))
    assert found is not None
    assert file_of(found, media_type) == file


@pytest.mark.parametrize(
    ("address", "covered"),
    [
        ("/de/history/2026-11", True),
        ("/de/history/2026-09/eu", True),
        ("/de/history/2026-08", False),
        ("/de/incidents?month=2026-10", True),
        ("/de/incidents?month=2020-10", False),
        ("/de/clusters/eu/api?range=1y", True),
        ("/de/clusters/eu/api?range=9y", False),
        ("/de/clusters/eu/api?from=2026-01-01&to=2026-01-02", False),
        ("/de/reports?of=eu", False),
        ("/de/reports/eu?format=csv&month=2026-10", True),
        ("/de/reports/eu?format=csv&month=2026-09", False),
        ("/de/reports/eu?format=exe", False),
        ("/de/agreements/" + "t" * 40, False),
        ("/de/customers/" + "t" * 40 + "/incidents", False),
        ("/de/subscribe", False),
        ("/events", False),
        ("/metrics", False),
        ("/health/live", False),
        ("/de/..%2f..%2fetc", False),
        ("/de/%2e%2e/x", False),
        ("/de/.git/config", False),
        ("/de/" + "a" * 200, False),
    ],
)
def test_a_copy_has_bounds(address: str, covered: bool) -> None:
    path, _, query = address.partition("?")
    parsed = address_of(address, Address("/"), ("en", "de"))
    assert parsed is not None, (path, query)
    assert EXTENT.covers(parsed) is covered


@pytest.mark.parametrize(
    ("address", "depth"),
    [
        ("/de/", Depth.NEWS),
        ("/de/clusters/eu", Depth.NEWS),
        ("/de/clusters/eu/feed.atom", Depth.NEWS),
        ("/de/incidents/abc", Depth.NEWS),
        ("/api/v2/summary.json", Depth.NEWS),
        ("/de/clusters/eu/api", Depth.STATES),
        ("/de/clusters/eu/api?range=7d", Depth.PAGES),
        ("/de/incidents?month=2026-10", Depth.PAGES),
        ("/de/history", Depth.PAGES),
        ("/de/reports", Depth.ALL),
        ("/de/reports/eu?month=2026-10&format=pdf", Depth.ALL),
    ],
)
def test_a_crawl_looks_no_deeper_than_it_is_told(address: str, depth: Depth) -> None:
    parsed = address_of(address, Address("/"), ("en", "de"))
    assert parsed is not None
    assert depth_of(parsed) is depth
    assert replace(EXTENT, depth=depth).covers(parsed)
    if depth:
        assert not replace(EXTENT, depth=Depth(depth - 1)).covers(parsed)


def test_links_between_files_are_relative() -> None:
    assert relative("static/a.css", "de/clusters/eu/api/range-1y.html") == "../../../../static/a.css"
    assert relative("de/index.html", "de/history/index.html") == "../index.html"
    assert relative("index.html", "index.html") == "index.html"


PAGE = """<!doctype html><head><link rel="stylesheet" href="/static/a.css"><link rel=icon href=/gone.svg>
<script src="/static/gone.js" defer></script></head><main id="main" data-live>
<a class="x > y" href="/de/?a=1&amp;b=2">In</a><a href="/gone" rel="next">Gone</a>
<a href='https://else.example/?a&amp;b'>Else</a><form method="get" action="/de/?a=1&amp;b=2"><button></form>
<svg><use href="#i"/></svg><pre>&lt;a href="/not-a-tag"&gt;</pre></main><footer></footer>"""


def _found(href: str) -> str | None:
    known = {"/static/a.css": "../static/a.css", "/de/?a=1&b=2": "a-1.html"}
    return known.get(href) if href.startswith("/") else href


def test_pages_are_rewritten_and_nothing_else_of_them() -> None:
    page = rewritten(PAGE, Ways(_found), 'made <now> & "here"')

    assert 'href="../static/a.css"' in page
    assert "gone" not in page
    assert '<a class="x > y" href="a-1.html">In</a>' in page
    assert '<a rel="next">Gone</a>' in page
    assert '<form method="get" hidden>' in page
    assert 'href="https://else.example/?a&amp;b"' in page
    assert '<use href="#i"/>' in page
    assert '&lt;a href="/not-a-tag"&gt;' in page
    assert '<main id="main" data-live="poll">' in page
    assert "made &lt;now&gt; &amp; &quot;here&quot;</p></footer>" in page


def test_what_needs_a_server_is_led_to_the_live_site() -> None:
    page = rewritten(PAGE, Ways(_found, "https://status.example/"))

    assert '<a href="https://status.example/gone" rel="next">' in page
    assert '<form method="get" action="https://status.example/de/?a=1&amp;b=2">' in page
    assert "gone.js" not in page
    assert "gone.svg" not in page


def test_links_are_found_as_a_browser_finds_them() -> None:
    assert links_of(PAGE) == [
        "/static/a.css",
        "/gone.svg",
        "/static/gone.js",
        "/de/?a=1&b=2",
        "/gone",
        "https://else.example/?a&b",
    ]
