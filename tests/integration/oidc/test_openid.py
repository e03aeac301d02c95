"""Logging in through a provider that is a process of its own, in good order and in every kind of bad."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from holdfast.adapters.oidc.provider import Client, OpenIdProvider, check_address
from holdfast.identity.errors import Refused, Unavailable
from holdfast.identity.model import Role, RoleByClaim, Vouched
from holdfast.identity.ports import Departure
from holdfast.interfaces.console.login_pages import Gateway
from holdfast.kernel.clock import ManualClock
from installation import free_port
from integration.console.console_scene import ORIGIN, Browser, Scene
from oidc_provider import CLIENT, SECRET

PROVIDER = Path(__file__).resolve().parents[2] / "oidc_provider.py"
RETURN = f"{ORIGIN}/login/openid/return"
RULES = [RoleByClaim("groups", "ops", Role.OPERATOR)]


class Away:
    """The provider's process, and what a test does to it."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.http = httpx.AsyncClient(base_url=issuer, timeout=30)

    async def mode(self, mode: str) -> None:
        answer = await self.http.post("/test/mode", content=mode)
        assert answer.status_code == 200, answer.text

    async def rotate(self) -> None:
        await self.http.post("/test/rotate")

    async def seen(self) -> list[str]:
        found: list[str] = (await self.http.get("/test/seen")).json()
        return found

    async def answer_to(
        self, departure: Departure, user: str = "carl", groups: str = "ops"
    ) -> dict[str, str]:
        """What the browser comes back with, once somebody has logged in there."""
        page = await self.http.get(departure.url)
        assert page.status_code == 200, page.text
        answer = await self.http.post(departure.url, data={"user": user, "groups": groups})
        assert answer.status_code == 303, answer.text
        query = parse_qs(urlsplit(answer.headers["location"]).query)
        return {name: texts[0] for name, texts in query.items()}


@pytest.fixture(scope="module")
def process() -> Iterator[str]:
    port = free_port()
    with subprocess.Popen(
        [sys.executable, str(PROVIDER), str(port)], stdout=subprocess.PIPE, text=True
    ) as provider:
        try:
            assert provider.stdout is not None
            assert provider.stdout.readline() == "ready\n"
            yield f"http://127.0.0.1:{port}"
        finally:
            provider.terminate()


@pytest.fixture
async def away(process: str) -> AsyncIterator[Away]:
    away = Away(process)
    await away.mode("")
    await away.seen()
    yield away
    await away.http.aclose()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(UTC))


def provider(issuer: str, clock: ManualClock, *, within_s: float = 10.0) -> OpenIdProvider:
    client = Client("Our provider", issuer, CLIENT, SECRET, ("openid", "profile"))
    return OpenIdProvider(client, clock, within_s=within_s)


async def vouched(ours: OpenIdProvider, away: Away) -> Vouched:
    departure = await ours.depart(RETURN)
    return await ours.arrive(await away.answer_to(departure), departure, RETURN)


# --- in good order


async def test_somebody_who_logs_in_there_is_vouched_for(away: Away, clock: ManualClock) -> None:
    found = await vouched(provider(away.issuer, clock), away)
    assert (found.issuer, found.subject) == (away.issuer, "id of carl")
    assert found.claims["groups"] == ["ops"]


async def test_nothing_secret_is_in_the_address(away: Away, clock: ManualClock) -> None:
    departure = await provider(away.issuer, clock).depart(RETURN)
    asked = parse_qs(urlsplit(departure.url).query)
    assert asked["scope"] == ["openid profile"]
    assert asked["code_challenge_method"] == ["S256"]
    assert departure.verifier not in departure.url
    assert SECRET not in departure.url
    assert departure.verifier not in repr(departure)
    assert SECRET not in repr(Client("n", away.issuer, CLIENT, SECRET))


async def test_two_logins_share_nothing(away: Away, clock: ManualClock) -> None:
    ours = provider(away.issuer, clock)
    one, other = await ours.depart(RETURN), await ours.depart(RETURN)
    assert len({one.state, one.nonce, one.verifier, other.state, other.nonce, other.verifier}) == 6


async def test_a_provider_may_want_the_secret_in_the_body(away: Away, clock: ManualClock) -> None:
    await away.mode("secret in body")
    assert (await vouched(provider(away.issuer, clock), away)).subject == "id of carl"


async def test_with_one_key_a_token_need_not_name_it(away: Away, clock: ManualClock) -> None:
    await away.mode("no kid")
    assert (await vouched(provider(away.issuer, clock), away)).subject == "id of carl"


async def test_a_rotated_key_is_looked_for_once_and_then_known(away: Away, clock: ManualClock) -> None:
    ours = provider(away.issuer, clock)
    await vouched(ours, away)
    await away.seen()
    await away.rotate()
    clock.advance(31)
    await vouched(ours, away)
    await vouched(ours, away)
    assert (await away.seen()).count("GET /keys") == 1


async def test_a_storm_of_unknown_keys_is_not_passed_on(away: Away, clock: ManualClock) -> None:
    ours = provider(away.issuer, clock)
    await vouched(ours, away)
    clock.advance(31)
    await away.mode("unknown kid")
    await away.seen()
    for _ in range(5):
        with pytest.raises(Refused):
            await vouched(ours, away)
    assert (await away.seen()).count("GET /keys") == 1


async def test_what_it_says_of_itself_is_asked_once_an_hour(away: Away, clock: ManualClock) -> None:
    ours = provider(away.issuer, clock)
    for _ in range(3):
        await ours.depart(RETURN)
    clock.advance(3600)
    await ours.depart(RETURN)
    assert (await away.seen()).count("GET /.well-known/openid-configuration") == 2


# --- in bad order


@pytest.mark.parametrize(
    "mode",
    [
        *("wrong nonce", "no nonce", "wrong audience", "many audiences", "wrong issuer", "expired", "future"),
        *("alg none", "hmac with public key", "other key", "unknown kid", "broken signature", "no subject"),
        *("no id token", "error", "wrong state", "other iss"),
    ],
)
async def test_what_does_not_hold_is_refused(away: Away, clock: ManualClock, mode: str) -> None:
    ours = provider(away.issuer, clock)
    await away.mode(mode)
    with pytest.raises(Refused):
        await vouched(ours, away)


@pytest.mark.parametrize("mode", ["too large", "compressed"])
async def test_an_answer_of_any_size_is_not_read(away: Away, clock: ManualClock, mode: str) -> None:
    ours = provider(away.issuer, clock)
    await away.mode(mode)
    with pytest.raises(Unavailable):
        await vouched(ours, away)


@pytest.mark.parametrize("mode", ["discovery other issuer", "discovery without keys", "not json", "redirect"])
async def test_a_provider_that_is_not_itself_is_not_gone_to(
    away: Away, clock: ManualClock, mode: str
) -> None:
    await away.mode(mode)
    with pytest.raises(Unavailable):
        await provider(away.issuer, clock).depart(RETURN)


async def test_a_provider_that_does_not_answer_is_not_waited_for(away: Away, clock: ManualClock) -> None:
    await away.mode("slow")
    with pytest.raises(Unavailable):
        await provider(away.issuer, clock, within_s=0.3).depart(RETURN)


async def test_a_provider_that_is_away_is_away(clock: ManualClock) -> None:
    with pytest.raises(Unavailable):
        await provider(f"http://127.0.0.1:{free_port()}", clock).depart(RETURN)


@pytest.mark.parametrize(
    "address",
    ["http://id.example", "ftp://id.example", "file:///etc/passwd", "https://", "", "http://[::1", "x"],
)
def test_an_address_that_anybody_could_answer_is_none(address: str) -> None:
    with pytest.raises(Unavailable):
        check_address(address)


@pytest.mark.parametrize(
    "address", ["https://id.example", "http://127.0.0.1:8", "http://localhost", "http://[::1]:8"]
)
def test_https_and_this_machine_are(address: str) -> None:
    check_address(address)


async def test_a_code_is_good_once_and_for_its_own_login(away: Away, clock: ManualClock) -> None:
    ours = provider(away.issuer, clock)
    departure = await ours.depart(RETURN)
    answer = await away.answer_to(departure)
    await ours.arrive(answer, departure, RETURN)
    with pytest.raises(Refused):
        await ours.arrive(answer, departure, RETURN)
    stolen = await away.answer_to(departure)
    other = await ours.depart(RETURN)
    with pytest.raises(Refused):
        await ours.arrive({**stolen, "state": other.state}, other, RETURN)


# --- through the console


@pytest.fixture
async def scene(away: Away, clock: ManualClock) -> Scene:
    scene = Scene(gateway=Gateway(provider(away.issuer, clock), RULES))
    scene.clock.jump_to(clock.now())
    return scene


async def there_and_back(browser: Browser, away: Away, user: str = "carl", groups: str = "ops") -> str:
    """Click the button, log in there, and come back; returns the address with which the browser came."""
    assert "Our provider" in (await browser.get("/login?next=/account")).text
    leaving = await browser.get("/login/openid?next=/account", follow=False)
    assert leaving.status_code == 303
    assert leaving.headers["location"].startswith(f"{away.issuer}/authorize?")
    answer = await away.http.post(leaving.headers["location"], data={"user": user, "groups": groups})
    back: str = answer.headers["location"]
    await browser.get(back.removeprefix(ORIGIN))
    return back


async def test_the_button_leads_there_and_back(scene: Scene, away: Away) -> None:
    async with scene.browser() as browser:
        back = await there_and_back(browser, away)
        assert (browser.path, browser.page.status_code) == ("/account", 200)
        assert away.issuer in browser.page.text
        assert browser.cookie("openid") == ""
        await browser.get(back.removeprefix(ORIGIN))
        assert browser.page.status_code == 403, "the way back is good once"
    assert scene.events == ["account.added", "login.succeeded"]


async def test_another_browser_cannot_come_back_with_it(scene: Scene, away: Away) -> None:
    """An attacker's answer in a victim's browser would log the victim in as the attacker."""
    async with scene.browser() as attacker, scene.browser() as victim:
        leaving = await attacker.get("/login/openid", follow=False)
        answer = await away.http.post(leaving.headers["location"], data={"user": "mallory", "groups": "ops"})
        await victim.get(answer.headers["location"].removeprefix(ORIGIN))
        assert victim.page.status_code == 403
        assert victim.cookie() == ""
        await victim.get("/login/openid", follow=False)
        await victim.get(answer.headers["location"].removeprefix(ORIGIN))
        assert victim.page.status_code == 403


async def test_who_took_too_long_begins_again(scene: Scene, away: Away) -> None:
    async with scene.browser() as browser:
        leaving = await browser.get("/login/openid", follow=False)
        answer = await away.http.post(leaving.headers["location"], data={"user": "carl", "groups": "ops"})
        scene.clock.advance(601)
        await browser.get(answer.headers["location"].removeprefix(ORIGIN))
        assert browser.page.status_code == 403


async def test_who_has_no_role_is_told_so_and_gets_no_account(scene: Scene, away: Away) -> None:
    async with scene.browser() as browser:
        await there_and_back(browser, away, groups="others")
        assert browser.page.status_code == 403
        assert "You have no role here" in browser.page.text or "you have no role here" in browser.page.text
        assert browser.cookie() == ""
    assert scene.events == ["login.refused"]


@pytest.mark.parametrize("mode", ["alg none", "other key", "wrong nonce", "expired"])
async def test_a_forged_answer_logs_nobody_in(scene: Scene, away: Away, mode: str) -> None:
    await away.mode(mode)
    async with scene.browser() as browser:
        await there_and_back(browser, away)
        assert browser.page.status_code == 403
        assert browser.cookie() == ""
    assert "login.succeeded" not in scene.events


async def test_a_provider_that_is_away_leaves_the_password(away: Away, clock: ManualClock) -> None:
    gone = provider(f"http://127.0.0.1:{free_port()}", clock)
    scene = Scene(gateway=Gateway(gone, RULES))
    async with scene.browser() as browser:
        await browser.get("/login/openid")
        assert browser.page.status_code == 503
        await scene.add("anna")
        await browser.login("anna")


async def test_no_way_leads_elsewhere(scene: Scene, away: Away) -> None:
    async with scene.browser() as browser:
        leaving = await browser.get("/login/openid?next=https://evil.example/", follow=False)
        answer = await away.http.post(leaving.headers["location"], data={"user": "carl", "groups": "ops"})
        back = await browser.get(answer.headers["location"].removeprefix(ORIGIN), follow=False)
        assert back.headers["location"] == "/"
