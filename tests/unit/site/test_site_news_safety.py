"""What people write is text wherever it stands: never markup, script or anything that loads."""

import re
from dataclasses import replace
from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st
from site_client import ask, running
from site_estates import NOW, FakeReader, overview
from site_news import FakeNews, edited, incident, maintenance

from holdfast.communication.model import Incident, Maintenance
from holdfast.communication.news import News
from holdfast.estate.model import Site
from holdfast.interfaces.site.assets import assets_of
from holdfast.interfaces.site.news_rendering import NewsRenderer
from holdfast.interfaces.site.rendering import Renderer

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{1234*4321}}&'


class _Markup(HTMLParser):
    """Notes every element and attribute that could run or load something."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self.scripts += 1
        if tag in {"iframe", "object", "embed", "style", "base", "form", "input"} or (
            tag == "img" and dict(attrs).get("src", "") != ""
        ):
            self.bad.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name == "style":
                self.bad.append(f"{tag} {name}")
            if name in {"href", "src"} and not re.match(r"(/|#|https?://|mailto:|\?)", value or ""):
                self.bad.append(f"{tag} {name}={value}")


_TEXTS = st.one_of(
    st.text(max_size=200),
    st.sampled_from(
        [
            EVIL,
            "[x](javascript:alert(1))",
            "<svg onload=alert(1)>",
            "![a](http://evil.example/x.png)",
            "[a](data:text/html,<script>)",
            "]]><script>alert(1)</script>",
            "</details></main><script>x</script>",
            "`</code><script>`",
            '[a](http://x/"onmouseover="alert(1))',
        ]
    ),
)


@settings(max_examples=60, deadline=None)
@given(title=_TEXTS, body=_TEXTS, language=st.sampled_from(["en", "de"]))
def test_no_text_ever_becomes_markup_of_its_own(title: str, body: str, language: str) -> None:
    site = Site(title="Printcloud")
    renderer = Renderer(language, site, assets_of(site, None)[0])
    told: Incident = edited(incident(title=title, body=body))
    told = replace(told, changes=(replace(told.changes[0], before=title, after=body, field="title"),))
    work: Maintenance = maintenance(title=title, body=body)
    pages = NewsRenderer(renderer)
    seen = overview(3)
    news = News(NOW, [told], [work])
    for html in (
        pages.incident(told, seen, NOW),
        pages.maintenance(work, seen, NOW),
        pages.month(news, seen, NOW.date().replace(day=1), NOW),
        renderer.overall(seen, None, news),
    ):
        found = _Markup()
        found.feed(html)
        found.close()
        assert found.bad == []
        assert found.scripts == 1
        assert html.count("<h1") == 1


async def test_pages_of_news_obey_the_content_policy_and_send_no_cookie() -> None:
    async with running(
        FakeReader(overview(10)), news=FakeNews([incident(title=EVIL, body=EVIL)], [maintenance(title=EVIL)])
    ) as site:
        for address in (
            "/en/",
            "/en/incidents/abcdefghijkl",
            "/de/incidents",
            "/en/maintenance/mmmmmmmmmmmm",
        ):
            answer = await ask(site, address)
            assert "script-src 'self'" in answer.headers["content-security-policy"]
            assert "set-cookie" not in answer.headers
            assert "5332114" not in answer.text
            assert len(re.findall(r"<script", answer.text)) == 1
            identifiers = re.findall(r'\sid="([^"]+)"', answer.text)
            assert len(identifiers) == len(set(identifiers)), address
