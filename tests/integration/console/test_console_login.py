"""Logging in through the pages, as a browser does, and everything that is refused on the way."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from holdfast.estate.communication import Console
from holdfast.identity.model import Role
from integration.console.console_scene import ORIGIN, PASSWORD, ROOT, Browser, Scene

FOREIGN = "https://evil.example"


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
async def browser(scene: Scene) -> AsyncIterator[Browser]:
    async with scene.browser() as browser:
        yield browser


@pytest.fixture
async def anna(scene: Scene) -> AsyncIterator[Browser]:
    """An administrator who is logged in."""
    async with await scene.logged_in() as browser:
        yield browser


# --- the way in


async def test_the_first_login_sets_a_second_factor_up_and_the_next_asks_for_it(
    scene: Scene, browser: Browser
) -> None:
    await scene.add("anna")
    await browser.get("/audit?actor=anna")
    assert browser.path == "/login"
    await browser.submit("/login", name="anna", password=PASSWORD)
    assert browser.path == "/account/second-factor"
    assert "<svg" in browser.page.text
    await browser.enrol("anna")
    codes = re.findall(r"<li><code>([\w-]+)</code>", browser.page.text)
    assert len(codes) == 10
    assert 'href="/audit?actor=anna"' in browser.page.text
    await browser.get("/audit?actor=anna")
    assert browser.page.status_code == 200
    assert "login.succeeded" in browser.page.text

    async with scene.browser() as another:
        await another.get("/login")
        await another.submit("/login", name="anna", password=PASSWORD)
        assert another.path == "/login/code"
        await another.submit(code="000000")
        assert another.page.status_code == 403
        await another.submit(code=codes[0])
        assert another.path == "/"
        await another.get("/account")
        assert "9 left" in another.page.text


async def test_a_mistyped_code_keeps_the_offer(scene: Scene, browser: Browser) -> None:
    await scene.add("anna")
    await browser.get("/login")
    await browser.submit("/login", name="anna", password=PASSWORD)
    key = re.search(r'class="key-text">([A-Z2-7 ]+)<', browser.page.text)
    await browser.submit("/account/second-factor", code="000000")
    again = re.search(r'class="key-text">([A-Z2-7 ]+)<', browser.page.text)
    assert key is not None
    assert again is not None
    assert (browser.page.status_code, key[1]) == (400, again[1])
    await browser.enrol("anna")
    assert "Recovery codes" in browser.page.text


async def test_before_the_second_factor_nothing_is_open(scene: Scene) -> None:
    async with await scene.logged_in() as before:
        await before.get("/account")
    async with scene.browser() as waiting:
        await waiting.get("/login")
        await waiting.submit("/login", name="anna", password=PASSWORD)
        for path in (
            "/",
            "/account",
            "/accounts",
            "/tokens",
            "/audit",
            "/account/second-factor",
            "/customer",
        ):
            await waiting.get(path)
            assert waiting.path == "/login/code", path
        token = waiting.csrf
        for path in ("/tokens", "/accounts/new", "/account/second-factor", "/account/recovery-codes"):
            answer = await waiting.post(path, {"csrf": token}, follow=False)
            assert (answer.status_code, answer.headers["location"]) == (303, "/login/code"), path
    assert "token.created" not in scene.events


async def test_before_enrolment_nothing_but_that_is_open(scene: Scene, browser: Browser) -> None:
    await scene.add("anna")
    await browser.get("/login")
    await browser.submit("/login", name="anna", password=PASSWORD)
    for path in ("/", "/account", "/accounts", "/tokens", "/audit", "/account/password"):
        await browser.get(path)
        assert browser.path == "/account/second-factor", path
    token = browser.csrf
    for path in ("/tokens", "/account/password", "/account/recovery-codes", "/accounts/new"):
        answer = await browser.post(path, {"csrf": token}, follow=False)
        assert answer.status_code == 303, path


async def test_a_wrong_name_and_a_wrong_password_look_the_same(scene: Scene, browser: Browser) -> None:
    await scene.add("anna")
    pages = []
    for name, password in (("anna", "wrong password"), ("nobody", PASSWORD)):
        await browser.get("/login")
        await browser.submit("/login", name=name, password=password)
        assert browser.page.status_code == 403
        pages.append(browser.page.text.replace(f'value="{name}"', ""))
    assert pages[0] == pages[1]
    assert PASSWORD not in pages[1]


async def test_guessing_is_answered_with_429(scene: Scene, browser: Browser) -> None:
    await scene.add("anna")
    await browser.get("/login")
    statuses = []
    for _ in range(8):
        await browser.submit("/login", name="anna", password="wrong password")
        statuses.append(browser.page.status_code)
    assert statuses == [403] * 6 + [429] * 2
    assert "try again after" in browser.page.text
    async with scene.browser(address="198.51.100.7") as elsewhere:
        await elsewhere.get("/login")
        await elsewhere.submit("/login", name="anna", password=PASSWORD)
        assert elsewhere.page.status_code == 429
    scene.clock.advance(301)
    await browser.submit("/login", name="anna", password=PASSWORD)
    assert browser.page.status_code == 200


async def test_a_browser_that_was_logged_in_gets_in_while_somebody_guesses(
    scene: Scene, anna: Browser
) -> None:
    await anna.get("/")
    await anna.post("/logout", {"csrf": anna.csrf})
    async with scene.browser(address="198.51.100.7") as guessing:
        await guessing.get("/login")
        for _ in range(7):
            await guessing.submit("/login", name="anna", password="wrong password")
        assert guessing.page.status_code == 429
    await anna.login("anna")
    assert anna.path == "/"


async def test_a_code_is_good_once(scene: Scene, anna: Browser) -> None:
    scene.clock.advance(30)
    code = scene.code("anna")
    for expected in (200, 403):
        async with scene.browser() as browser:
            await browser.get("/login")
            await browser.submit("/login", name="anna", password=PASSWORD)
            await browser.submit(code=code)
            assert browser.page.status_code == expected


# --- sessions


async def test_a_planted_session_is_worth_nothing_after_the_login(scene: Scene) -> None:
    """Fixation: an attacker's own waiting session in the victim's browser must not become the victim's."""
    await scene.add("anna")
    async with scene.browser() as attacker, scene.browser() as victim:
        await attacker.get("/login")
        await attacker.submit("/login", name="anna", password=PASSWORD)
        planted = attacker.cookie()
        victim.http.cookies.set("hf_session", planted, domain="127.0.0.1")
        await victim.get("/login")
        await victim.submit("/login", name="anna", password=PASSWORD)
        assert victim.cookie() != planted
        await victim.enrol("anna")
        await attacker.get("/account")
        assert attacker.path == "/login"


async def test_every_step_changes_the_cookie(scene: Scene, anna: Browser) -> None:
    seen = {anna.cookie()}
    scene.clock.advance(30)
    async with scene.browser() as browser:
        for fields in ({"name": "anna", "password": PASSWORD}, {"code": scene.code("anna")}):
            await browser.get("/login" if "name" in fields else "/login/code")
            await browser.submit(**fields)
            assert browser.cookie() not in seen
            seen.add(browser.cookie())
        await browser.get("/account/password")
        fresh = "four other words now"
        await browser.submit("/account/password", password_now=PASSWORD, password=fresh, password_again=fresh)
        assert browser.path == "/account"
        assert browser.cookie() not in seen
    await anna.get("/account")
    assert anna.path == "/login", "all other sessions end with a new password"


@pytest.mark.parametrize("later", [timedelta(minutes=30), timedelta(hours=13)])
async def test_a_session_that_is_over_leads_to_the_login(
    scene: Scene, anna: Browser, later: timedelta
) -> None:
    scene.clock.advance(later.total_seconds())
    await anna.get("/audit")
    assert anna.path == "/login"
    assert anna.page.url.query == b"next=%2Faudit"


async def test_what_was_written_in_a_session_that_ended_is_not_lost(scene: Scene, anna: Browser) -> None:
    await anna.get("/tokens")
    scene.clock.advance(3600)
    await anna.submit("/tokens", name="half an hour of work", code="123456")
    assert anna.page.status_code == 401
    assert "half an hour of work" in anna.page.text
    assert "123456" not in anna.page.text
    assert anna.cookie() not in anna.page.text


async def test_logging_out_ends_the_session_not_just_the_cookie(anna: Browser) -> None:
    cookie = anna.cookie()
    await anna.get("/account")
    await anna.post("/logout", {"csrf": anna.csrf})
    assert anna.path == "/login"
    anna.http.cookies.set("hf_session", cookie, domain="127.0.0.1")
    await anna.get("/account")
    assert anna.path == "/login"


async def test_cookies_are_out_of_reach(scene: Scene, browser: Browser) -> None:
    await scene.add("anna")
    await browser.get("/login")
    answer = await browser.submit("/login", follow=False, name="anna", password=PASSWORD)
    for each in answer.headers.get_list("set-cookie"):
        assert "HttpOnly" in each
        assert "SameSite=lax" in each
        assert "Path=/" in each
        assert "Domain" not in each
    scene.settings = Console(url="https://console.example")
    async with scene.browser("https://console.example") as secure:
        await secure.get("/login")
        answer = await secure.submit("/login", follow=False, name="anna", password=PASSWORD)
        cookies = answer.headers.get_list("set-cookie")
        assert all(each.startswith("__Host-hf_") and "Secure" in each for each in cookies)
        assert any(each.startswith("__Host-hf_session=") for each in cookies)
        assert "max-age=31536000" in answer.headers["strict-transport-security"]


async def test_a_cookie_that_is_there_twice_is_nobodys(scene: Scene, anna: Browser) -> None:
    both = f"hf_session={anna.cookie()}; hf_session={anna.cookie()}"
    answer = await anna.http.get("/account", headers={"cookie": both})
    assert answer.status_code == 303


async def test_a_role_that_was_changed_counts_from_the_next_click_on(scene: Scene, anna: Browser) -> None:
    await scene.add("boss")
    await anna.get("/accounts")
    assert anna.page.status_code == 200
    await scene.identity.accounts.change_role("anna", Role.VIEWER, ROOT)
    await anna.get("/accounts")
    assert anna.page.status_code == 403
    await scene.identity.accounts.disable("anna", ROOT)
    await anna.get("/account")
    assert anna.path == "/login"


# --- foreign pages


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": FOREIGN, "sec_fetch_site": "cross-site"},
        {"origin": FOREIGN, "sec_fetch_site": "same-origin"},
        {"origin": ORIGIN, "sec_fetch_site": "cross-site"},
        {"origin": ORIGIN, "sec_fetch_site": "same-site"},
        {"origin": "null", "sec_fetch_site": "same-origin"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://127.0.0.1.evil.example:8082"},
        {"origin": "http://[::1"},
    ],
)
async def test_a_form_of_a_foreign_page_is_refused_even_with_its_token(
    scene: Scene, anna: Browser, headers: dict[str, str]
) -> None:
    await anna.get("/tokens")
    _, hidden = anna.form("/tokens")
    answer = await anna.post("/tokens", {**hidden, "name": "x", "scope": "read"}, **headers)
    assert answer.status_code == 403
    assert "token.created" not in scene.events


async def test_a_form_without_word_of_where_it_comes_from_is_refused(anna: Browser) -> None:
    await anna.get("/tokens")
    answer = await anna.http.post("/tokens", data={"csrf": anna.csrf, "name": "x", "scope": "read"})
    assert answer.status_code == 403


@pytest.mark.parametrize("token", [None, "", "0" * 64, "é", "\x7f"])
async def test_a_form_without_its_token_is_refused(scene: Scene, anna: Browser, token: str | None) -> None:
    for path in ("/tokens", "/accounts/anna/disable", "/account/sessions/end-others", "/logout"):
        fields = {"name": "x", "scope": "read"} | ({} if token is None else {"csrf": token})
        answer = await anna.post(path, fields)
        assert answer.status_code == 403, path
    assert "out of date" in anna.page.text
    assert {"token.created", "account.disabled", "session.ended"}.isdisjoint(scene.events)


async def test_the_token_of_another_session_is_refused(scene: Scene, anna: Browser) -> None:
    scene.clock.advance(30)
    async with scene.browser() as other:
        await other.login("anna")
        await other.get("/tokens")
        stolen = other.csrf
    answer = await anna.post("/tokens", {"csrf": stolen, "name": "x", "scope": "read"})
    assert answer.status_code == 403


async def test_nobody_is_logged_in_as_somebody_else_by_a_foreign_form(scene: Scene) -> None:
    """Login CSRF: without the token of this browser's own visit there is no login."""
    await scene.add("anna")
    async with scene.browser() as browser:
        answer = await browser.post("/login", {"name": "anna", "password": PASSWORD})
        assert answer.status_code == 403
        async with scene.browser() as attacker:
            await attacker.get("/login")
            token = attacker.csrf
        answer = await browser.post("/login", {"name": "anna", "password": PASSWORD, "csrf": token})
        assert answer.status_code == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_other_methods_are_refused(anna: Browser, method: str) -> None:
    answer = await anna.http.request(method, "/accounts")
    assert answer.status_code == 405


async def test_get_changes_nothing(scene: Scene, anna: Browser) -> None:
    before = list(scene.events)
    for path in ("/logout", "/accounts/anna/disable", "/account/sessions/end-others", "/tokens/1/revoke"):
        await anna.get(path)
        assert anna.page.status_code == 405, path
    assert scene.events == before


@pytest.mark.parametrize("host", ["evil.example:8082", "127.0.0.1:1", "", "127.0.0.1.evil.example:8082"])
async def test_a_name_that_was_bent_to_our_address_reaches_nothing(browser: Browser, host: str) -> None:
    answer = await browser.http.get("/login", headers={"host": host})
    assert answer.status_code == 421


async def test_the_declared_address_is_ours_and_only_that(scene: Scene) -> None:
    scene.settings = Console(url="https://console.example/", listen="0.0.0.0:8082")
    for host, status in (("console.example", 200), ("console.example:443", 200), ("other.example", 421)):
        async with scene.browser("http://127.0.0.1:8082") as browser:
            answer = await browser.http.get("/login", headers={"host": host})
            assert answer.status_code == status, host


# --- where one is sent


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example",
        "/\t/evil.example",
        "/%0d%0aLocation: https://evil.example" + "\r\nX: y",
        "javascript:alert(1)",
        "http:evil.example",
        "/login",
        "/logout",
        "",
        "/" + "x" * 600,
        "//[",
    ],
)
async def test_nobody_is_sent_elsewhere(scene: Scene, anna: Browser, wanted: str) -> None:
    scene.clock.advance(30)
    answer = await anna.http.get("/login", params={"next": wanted})
    assert (answer.status_code, answer.headers.get("location")) == (303, "/")
    async with scene.browser() as browser:
        browser.page = await browser.http.get("/login", params={"next": wanted})
        _, hidden = browser.form("/login")
        assert hidden["next"] == "/"
        await browser.post(
            "/login", {**hidden, "next": wanted, "name": "anna", "password": PASSWORD}, follow=False
        )
        assert browser.page.headers["location"] == "/login/code"


async def test_one_is_sent_on_to_where_one_wanted(scene: Scene, anna: Browser) -> None:
    answer = await anna.http.get("/login", params={"next": "/audit?actor=a%26b&event=login."})
    assert answer.headers["location"] == "/audit?actor=a%26b&event=login."


# --- what is shown


@pytest.mark.parametrize(
    "path", ["/login", "/", "/account", "/accounts", "/tokens", "/audit", "/nowhere", "/health/live"]
)
async def test_every_answer_is_fenced(anna: Browser, path: str) -> None:
    answer = await anna.get(path, follow=False)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy
    assert "form-action 'self'" in policy
    assert "script" not in policy
    assert "unsafe" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers
    assert "<script" not in answer.text
    assert not re.search(r"\son\w+=|style=|javascript:", answer.text)


async def test_refusals_are_fenced_as_well(browser: Browser) -> None:
    for answer in (
        await browser.post("/login", {}, origin=FOREIGN),
        await browser.http.request("PUT", "/"),
        await browser.http.get("/" + "x" * 600),
        await browser.http.get("/login", headers={"host": "evil.example"}),
    ):
        assert answer.status_code >= 400
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


async def test_no_page_is_compressed_beside_a_secret(anna: Browser) -> None:
    answer = await anna.get("/account")
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7777*7777 }}"]
)
async def test_what_somebody_typed_is_shown_as_text(scene: Scene, anna: Browser, text: str) -> None:
    await scene.identity.accounts.add("bert", Role.VIEWER, ROOT, full_name=text, password=PASSWORD)
    raw = ("<script", "<img", "60481729")
    for path in ("/accounts", "/accounts/bert"):
        await anna.get(path)
        assert not any(each in anna.page.text.partition("<main")[2] for each in raw), path
    await anna.get("/audit", follow=False)
    for path in ("/audit", "/login", "/accounts/new", "/nowhere"):
        answer = await anna.http.get(path, params={"actor": text, "event": text, "next": text})
        assert not any(each in answer.text.partition("<main")[2] for each in raw), path
    await anna.get("/tokens")
    await anna.submit("/tokens", name=text, scope="read")
    assert anna.page.status_code == 400
    assert not any(each in anna.page.text.partition("<main")[2] for each in raw[:2])
    async with scene.browser() as browser:
        await browser.get("/login")
        await browser.submit("/login", name=text, password=text)
        assert not any(each in browser.page.text.partition("<main")[2] for each in raw[:2])
        await browser.login("bert")
        await browser.get("/")
        assert not any(each in browser.page.text.partition("<body")[2] for each in raw[:2])


async def test_a_told_message_is_ours_or_nothing(anna: Browser) -> None:
    await anna.get("/tokens")
    await anna.submit("/tokens", name="pipeline", scope="read")
    await anna.get("/tokens")
    await anna.submit(anna.form_to("/revoke"))
    assert "worth nothing any more" in anna.page.text
    await anna.get("/tokens")
    assert "worth nothing any more.</p>" not in anna.page.text, "it is said once"
    anna.http.cookies.set("hf_told", "WyJPd25lZCIsZmFsc2Vd.0123", domain="127.0.0.1")
    await anna.get("/tokens")
    assert "Owned" not in anna.page.text


# --- bounds


async def test_a_form_that_is_too_large_is_refused(browser: Browser) -> None:
    await browser.get("/login")
    await browser.submit("/login", name="x" * 300_000, password="y")
    assert browser.page.status_code == 413


async def test_a_body_that_does_not_say_how_long_it_is_is_bounded_too(browser: Browser) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"name=" + b"x" * 10_000 + b"&"

    headers = {"origin": ORIGIN, "content-type": "application/x-www-form-urlencoded"}
    answer = await browser.http.post("/login", content=endless(), headers=headers)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"csrf=%ff%fe", "application/x-www-form-urlencoded", 400),
        (b"name=%00", "application/x-www-form-urlencoded", 400),
        ("csrf=é".encode(), "application/x-www-form-urlencoded", 400),
        (b"a=1&" * 3000, "application/x-www-form-urlencoded", 400),
        (b"{}", "application/json", 415),
        (b"x", "multipart/form-data; boundary=x", 415),
        (b"x", "text/plain", 415),
    ],
)
async def test_what_is_no_form_is_refused(browser: Browser, content: bytes, kind: str, status: int) -> None:
    answer = await browser.http.post(
        "/login", content=content, headers={"origin": ORIGIN, "content-type": kind}
    )
    assert answer.status_code == status


async def test_an_address_that_is_too_long_is_refused(browser: Browser) -> None:
    for path in ("/" + "x" * 600, "/login?next=/" + "x" * 5000):
        assert (await browser.http.get(path)).status_code == 414


# --- invitations


async def test_an_invitation_is_made_used_once_and_logged_in_with(scene: Scene, anna: Browser) -> None:
    await anna.get("/accounts/new")
    await anna.submit("/accounts/new", name="Bert", full_name="Bert B", role="operator", customer="")
    link = re.search(r'class="secret">([^<]+)<', anna.page.text)
    assert link is not None
    assert link[1].startswith(f"{ORIGIN}/invitation/")
    path = link[1].removeprefix(ORIGIN)
    async with scene.browser() as bert:
        for _ in range(2):
            await bert.get(path)
            assert "Welcome, Bert B" in bert.page.text, "looking at it does not use it"
        await bert.submit(password="short", password_again="short")
        assert bert.page.status_code == 400
        await bert.submit(password=PASSWORD, password_again="another thing here")
        assert "two passwords differ" in bert.page.text
        await bert.submit(password=PASSWORD, password_again=PASSWORD)
        await bert.submit("/login", name="bert", password=PASSWORD)
        assert bert.path == "/account/second-factor"
        await bert.get(path)
        assert bert.page.status_code == 403
    secret = path.rpartition("/")[2]
    assert secret not in str(scene.store.journal)


# --- customers


async def test_a_customers_viewer_sees_their_own_page_and_nothing_else(scene: Scene) -> None:
    async with await scene.logged_in("carla", Role.VIEWER, customer="acme") as carla:
        await carla.get("/")
        assert carla.path == "/customer"
        for path in ("/accounts", "/tokens", "/audit", "/accounts/carla"):
            await carla.get(path)
            assert carla.path == "/customer", path
        await carla.get("/account")
        assert carla.path == "/account"
        assert "/accounts" not in carla.page.text


@pytest.mark.parametrize("role", [Role.VIEWER, Role.COMMUNICATOR, Role.OPERATOR, Role.COMMANDER])
async def test_who_is_no_administrator_administers_nothing(scene: Scene, role: Role) -> None:
    await scene.add("boss")
    async with await scene.logged_in("dora", role) as dora:
        await dora.get("/")
        assert "Accounts" not in dora.page.text
        csrf = dora.csrf
        for path in ("/accounts", "/accounts/new", "/accounts/boss", "/tokens", "/audit"):
            assert (await dora.get(path)).status_code == 403, path
        for path in ("/accounts/new", "/accounts/boss/disable", "/accounts/dora/role", "/tokens"):
            answer = await dora.post(path, {"csrf": csrf, "role": "admin", "name": "x", "scope": "read"})
            assert answer.status_code == 403, path
    assert {"account.disabled", "account.role_changed", "token.created"}.isdisjoint(scene.events)


async def test_a_way_without_a_provider_is_none(browser: Browser) -> None:
    assert (await browser.get("/login/openid")).status_code == 404
    assert (await browser.get("/login/openid/return?code=x&state=y")).status_code == 403


async def test_a_defect_shows_nothing_of_itself(scene: Scene, anna: Browser) -> None:
    async def broken(_: str) -> object:
        raise RuntimeError("a secret detail")

    scene.store.accounts = broken  # type: ignore[assignment,method-assign]
    answer: httpx.Response = await anna.get("/accounts")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
