"""Every page in a real browser: languages, small screens, accessibility, privacy and the keyboard."""

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import BrowserContext, Page, expect

from e2e.demo import Demo

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE = {"width": 390, "height": 844}
SMALLEST = {"width": 320, "height": 568}
ENGLISH_WORDS = (
    *("Operational", "Degraded", "Partial outage", "Major outage", "Unknown", "Under maintenance"),
    *("All systems operational", "Skip to content", "Last updated", "History", "How we measure", "Events"),
    *("No events", "ongoing", "days ago", "Error budget", "Availability", "Where the time went", "Today"),
)
MONTHS = ("January", "February", "March", "May", "June", "July", "October", "December")


async def test_a_german_browser_gets_german_pages(demo: Demo, visit: Callable[..., Any]) -> None:
    page = await (await visit(locale="de-DE")).new_page()
    await page.goto("/")
    assert await page.locator("h1").inner_text() == "Alle Systeme betriebsbereit"

    for what, path in demo.pages("de").items():
        await page.goto(path)
        assert await page.locator("html").get_attribute("lang") == "de", what
        seen = await _everything_said(page)
        left = [word for word in (*ENGLISH_WORDS, *MONTHS) if word in seen]
        assert not left, f"{what}: {left}"


async def test_languages_can_be_switched_on_every_page(demo: Demo, visit: Callable[..., Any]) -> None:
    page = await (await visit()).new_page()
    for what, path in demo.pages("en").items():
        await page.goto(path)
        await page.get_by_role("link", name="Deutsch").click()
        await expect(page.locator("html"), what).to_have_attribute("lang", "de")
        await page.get_by_role("link", name="English").click()
        await expect(page.locator("html"), what).to_have_attribute("lang", "en")


async def _everything_said(page: Page) -> str:
    """The page's text, its title, and what it says on hover and to a screen reader."""
    said: str = await page.evaluate(
        """() => [
            document.title,
            document.body.innerText,
            ...[...document.querySelectorAll("svg title, .vh")].map(each => each.textContent),
            ...[...document.querySelectorAll("[aria-label], [title], [alt]")].flatMap(
                each => ["aria-label", "title", "alt"].map(name => each.getAttribute(name) ?? "")),
        ].join("\\n")"""
    )
    return said


@pytest.mark.parametrize("size", [PHONE, SMALLEST], ids=["phone", "smallest phone"])
async def test_nothing_is_wider_than_a_phone(
    demo: Demo, visit: Callable[..., Any], size: dict[str, int]
) -> None:
    page = await (await visit(viewport=size, device_scale_factor=2, is_mobile=True)).new_page()
    for language in ("en", "de"):
        for what, path in demo.pages(language).items():
            await page.goto(path)
            wide, outside = await page.evaluate(
                """() => [
                    document.scrollingElement.scrollWidth,
                    [...document.querySelectorAll("main *")].filter(each => {
                        const box = each.getBoundingClientRect();
                        return box.width > 0 && box.right > document.documentElement.clientWidth + 1
                            && !each.closest(".scroll, .vh, pre");
                    }).map(each => each.outerHTML.slice(0, 120)),
                ]"""
            )
            assert wide <= size["width"], f"{language} {what}: {wide} px wide, by {outside[:3]}"
            assert not outside, f"{language} {what}: {outside[:3]}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "de"])
async def test_axe_finds_nothing_serious(
    demo: Demo, visit: Callable[..., Any], language: str, scheme: str
) -> None:
    # The check is injected as a script, which the site's own policy rightly forbids.
    page = await (await visit(color_scheme=scheme, bypass_csp=True)).new_page()
    found = []
    for what, path in demo.pages(language).items():
        await page.goto(path)
        for violation in (await Axe().run(page)).response["violations"]:
            if violation["impact"] in {"serious", "critical"}:
                nodes = [node["html"][:160] + " " + node["failureSummary"] for node in violation["nodes"][:3]]
                found.append(f"{what}: {violation['id']} at {nodes}")
    assert not found, "\n".join(found)


async def test_the_dark_scheme_is_dark(visit: Callable[..., Any]) -> None:
    brightness = {}
    for scheme in ("light", "dark"):
        page = await (await visit(color_scheme=scheme)).new_page()
        await page.goto("/en/")
        colour: str = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness[scheme] = sum(int(part) for part in colour.strip("rgb()").split(",")[:3]) / 3
    assert brightness["dark"] < 60
    assert brightness["light"] > 200


async def test_pages_keep_their_own_policy_and_set_no_cookie(demo: Demo, visit: Callable[..., Any]) -> None:
    visitor: BrowserContext = await visit()
    await visitor.add_init_script(
        "document.addEventListener('securitypolicyviolation',"
        " event => console.error('policy: ' + event.violatedDirective + ' ' + event.blockedURI))"
    )
    page = await visitor.new_page()
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    for what, path in demo.pages("en").items():
        answer = await page.goto(path)
        assert answer is not None
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy or "default-src 'self'" in policy, what
        assert "unsafe-inline" not in policy, what
        assert "unsafe-eval" not in policy, what
        # The page that is not there answers 404, and the browser calls that an error.
        assert [each for each in trouble if what != "problem" or "404" not in each] == [], what
        trouble.clear()

    assert await visitor.cookies() == []
    assert all(url.startswith((demo.site, "data:")) for url in asked)
    kept = await page.evaluate("[localStorage.length, sessionStorage.length]")
    assert kept == [0, 0]


async def test_everything_is_reached_by_keyboard(visit: Callable[..., Any]) -> None:
    page = await (await visit()).new_page()
    await page.goto("/en/")

    # The first stop leads past the navigation, and shows itself when it has the focus.
    await page.keyboard.press("Tab")
    skip = page.locator("a.skip")
    assert await _focused(page) == await skip.evaluate("each => each.outerHTML")
    box = await skip.bounding_box()
    assert box is not None
    assert box["y"] >= 0
    assert box["height"] > 10
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()

    # From there every cluster and every component is met, in the order of the page.
    met: list[str] = []
    for _ in range(80):
        await page.keyboard.press("Tab")
        what = await page.evaluate(
            "document.activeElement.tagName === 'SUMMARY' ? document.activeElement.parentElement.id"
            " : document.activeElement.getAttribute('href') ?? ''"
        )
        met.append(what)
        if what == "/en/clusters/usa/messaging":
            break
    wanted = ["c-eu", "/en/clusters/eu/api", "c-eu2", "c-usa", "/en/clusters/usa/messaging"]
    assert [each for each in met if each in wanted] == wanted

    # Enter opens and closes a cluster, and follows a link.
    summary = page.locator("#c-usa > summary")
    was_open = bool(await page.locator("#c-usa").evaluate("each => each.open"))
    await summary.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#c-usa")).to_have_js_property("open", not was_open)
    await page.locator("#c-eu").get_by_role("link", name="API", exact=True).focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/en/clusters/eu/api")


async def _focused(page: Page) -> str:
    html: str = await page.evaluate("document.activeElement.outerHTML")
    return html


async def test_bars_say_what_happened_on_each_day(visit: Callable[..., Any]) -> None:
    """On hover by a title, and to a screen reader by a list."""
    page = await (await visit()).new_page()
    await page.goto("/en/clusters/eu/api?range=3m")

    titles = await page.locator(".bar svg title").all_text_contents()
    assert len(titles) >= 89
    assert any("outage" in title for title in titles)
    told = await page.locator("section[aria-labelledby=days] ul.vh li").all_text_contents()
    assert told
    assert set(told) <= set(titles)


async def test_every_range_of_a_component_can_be_looked_at(visit: Callable[..., Any]) -> None:
    page = await (await visit(java_script_enabled=False)).new_page()
    await page.goto("/en/clusters/eu/api")
    for name in ("7d", "30d", "3m", "6m", "1y"):
        await page.locator(f"nav.ranges a[href='?range={name}']").click()
        chosen = page.locator("nav.ranges a[aria-current=true]")
        await expect(chosen).to_have_attribute("href", f"?range={name}")
        await expect(page.locator("dl.tiles dd").first).not_to_be_empty()
