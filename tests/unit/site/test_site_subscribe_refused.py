"""Subscribing on the site, as those do it who mean harm; and when things fail."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest
from site_client import SETTINGS, running
from site_estates import NOW, FakeReader, overview
from site_subscribing import ONE_CLICK, VAULT, Desk, a_desk, ask

from holdfast.adapters.vault.aes import AesVault
from holdfast.communication.model import Channel, Scope, Standing
from holdfast.communication.subscribing import (
    Limits,
)
from holdfast.interfaces.site.form_pages import without_secrets
from holdfast.interfaces.site.forms import FormSeal, Sealed
from holdfast.interfaces.site.limits import Throttle, client_of, throttles
from holdfast.interfaces.site.subscribe import takes_forms
from holdfast.kernel.clock import ManualClock


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with a_desk() as made:
        yield made


# What is refused


async def test_nobody_learns_whether_an_address_is_known(desk: Desk) -> None:
    await desk.subscribed("known@example.org")
    answers = [await ask(desk, f"{who}@example.org") for who in ("known", "unknown")]
    others = [desk.visitor(f"203.0.113.{number}") for number in range(3)]
    answers += [await ask(desk, "known@example.org", visitor=each) for each in others]
    assert (
        len({(each.status_code, each.content, tuple(sorted(each.headers.items()))) for each in answers}) == 1
    )


async def test_one_address_gets_few_requests_whoever_asks(desk: Desk) -> None:
    for number in range(20):
        asked = await ask(desk, "victim@example.org", visitor=desk.visitor(f"203.0.113.{number}"))
        assert asked.status_code == 303, "and nobody learns that it has had enough"
    assert len(desk.kept.queue) == Limits().letters


async def test_other_spellings_of_one_mailbox_are_counted_together(desk: Desk) -> None:
    for number in range(20):
        spelling = f"Vic.Tim+{number}@example.org" if number % 2 else f"victim+{number}@EXAMPLE.org"
        assert (await ask(desk, spelling, visitor=desk.visitor(f"203.0.113.{number}"))).status_code == 303
    assert len(desk.kept.queue) == 4


async def test_other_spellings_of_a_domain_lead_to_the_same_mailbox(desk: Desk) -> None:
    """A dot at the end, letters of another width: the same place for mail, and each with a tag of its own."""
    wide = str.maketrans("example", "\uff45\uff58\uff41\uff4d\uff50\uff4c\uff45")
    domains = [
        *(f"example.org{'.' * dots}" for dots in range(10)),
        *(f"{'example'[:count].translate(wide)}{'example'[count:]}.org" for count in range(1, 8)),
        *("example\u3002org", "\u00adexample.org"),
    ]
    for number, domain in enumerate(domains):
        asked = await ask(desk, f"victim+{number}@{domain}", visitor=desk.visitor(f"203.0.113.{number}"))
        assert asked.status_code == 303
    assert {each.rpartition("@")[2] for each in desk.addresses()} == {"example.org"}
    assert len(desk.kept.queue) == 4


async def test_one_host_gets_few_requests_however_many_addresses_it_has() -> None:
    clock = ManualClock(NOW)
    few = replace(throttles(clock), host=Throttle(clock, 3, 3600))
    async with a_desk(clock=clock, limits=few) as desk:
        for number in range(6):
            url = f"https://Hooks.example.com/{number}"
            asked = await ask(desk, url, channel="webhook", visitor=desk.visitor(f"203.0.113.{number}"))
            assert asked.status_code == 303
        assert len(desk.kept.queue) == 3
        slack = "https://hooks.slack.com/services/T/B/"
        for number in range(6):
            await ask(
                desk, f"{slack}{number}", channel="slack", visitor=desk.visitor(f"203.0.113.{10 + number}")
            )
        assert len(desk.kept.queue) == 9, "everybody's hooks are there"


async def test_one_visitor_asks_a_few_times_only(desk: Desk) -> None:
    statuses = [(await ask(desk, f"a{number}@example.org", wait_s=2)).status_code for number in range(8)]
    assert statuses == [303] * 6 + [429] * 2
    assert len(desk.addresses()) == 6
    refused = await ask(desk, "late@example.org")
    assert "retry-after" in refused.headers
    other = await ask(desk, "other@example.org", visitor=desk.visitor("192.0.2.2"))
    assert other.status_code == 303
    desk.clock.advance(600)
    assert (await ask(desk, "later@example.org")).status_code == 303


async def test_all_visitors_together_ask_so_many_times_only() -> None:
    clock = ManualClock(NOW)
    few = replace(throttles(clock), everybody=Throttle(clock, 3, 600))
    async with a_desk(clock=clock, limits=few) as desk:
        statuses = [
            (
                await ask(desk, f"a{number}@example.org", visitor=desk.visitor(f"203.0.113.{number}"))
            ).status_code
            for number in range(5)
        ]
    assert statuses == [303] * 3 + [429] * 2


async def test_ipv6_visitors_are_counted_by_their_network(desk: Desk) -> None:
    statuses = [
        (
            await ask(
                desk, f"a{number}@example.org", visitor=desk.visitor(f"2001:db8::{number:x}:1"), wait_s=2
            )
        ).status_code
        for number in range(7)
    ]
    assert statuses[-1] == 429


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_who_asks(address: str, client: str) -> None:
    assert client_of({"client": (address, 1)}) == client
    assert client_of({"client": None}) == ""


def test_a_throttle_forgets_before_it_grows_without_end() -> None:
    clock = ManualClock(NOW)
    throttle = Throttle(clock, 2, 10)
    for number in range(30_000):
        throttle.allows(number)
    assert len(throttle) == 20_000
    assert [throttle.allows("x") for _ in range(3)] == [True, True, False]
    clock.advance(5)
    assert [throttle.allows("x") for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "https://status.example.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": "http://status.example"},
    ],
)
async def test_a_foreign_page_sends_nothing_in_a_visitors_name(
    desk: Desk, headers: Mapping[str, str]
) -> None:
    await desk.subscribed("kept@example.org")
    await desk.desk.subscribe(Channel.MAIL, "pending@example.org", "en", Scope())
    assert (await ask(desk, "victim@example.org", visitor=desk.visitor(**headers))).status_code == 403
    async with desk.visitor(**headers) as victim:
        assert (await victim.post(desk.confirm_path(1))).status_code == 403
        assert (await victim.post(desk.manage_path(), data={"action": "end"})).status_code == 403
    assert desk.addresses() == ["kept@example.org", "pending@example.org"]
    assert desk.rows[1].subscription.standing is Standing.PENDING


@pytest.mark.parametrize(
    "headers", [{"origin": "http://status.example"}, {"sec-fetch-site": "same-origin"}, {}]
)
async def test_our_own_page_may(desk: Desk, headers: Mapping[str, str]) -> None:
    assert (await ask(desk, visitor=desk.visitor(**headers))).status_code == 303


async def test_behind_a_proxy_the_declared_address_counts() -> None:
    settings = SETTINGS.model_copy(update={"url": "https://status.printcloud.example/"})
    async with a_desk(settings=lambda: settings) as desk:
        ours = {"origin": "https://status.printcloud.example"}
        assert (await ask(desk, visitor=desk.visitor(**ours))).status_code == 303


@pytest.mark.parametrize("seal", ["", "x", "1.2.3", "1763816600.0.abc.0" + "0" * 31, "é.é.é"])
async def test_a_form_that_is_not_ours_comes_back(desk: Desk, seal: str) -> None:
    asked = await ask(desk, seal=seal)
    assert (asked.status_code, desk.rows) == (400, [])
    assert "send the form once more" in asked.text


async def test_a_form_in_no_time_or_after_ages_comes_back_with_what_was_entered(desk: Desk) -> None:
    for wait_s in (0.1, 7 * 3600):
        asked = await ask(
            desk, "<ann>@example.org", wait_s=wait_s, component=["eu/website"], topic=["incident"]
        )
        assert (asked.status_code, desk.rows) == (400, [])
        assert "&lt;ann&gt;@example.org" in asked.text
        assert re.search(r'value="eu/website" checked', asked.text)
        assert not re.search(r'value="maintenance" checked', asked.text)


def test_a_seal_is_bound_to_its_time_and_its_key() -> None:
    clock = ManualClock(NOW)
    seal = FormSeal(VAULT, clock)
    made = seal.fresh()
    assert seal.judge(made) is Sealed.TOO_SOON
    clock.advance(2)
    assert seal.judge(made) is Sealed.GOOD
    assert FormSeal(AesVault(b"o" * 32), clock).judge(made) is Sealed.FORGED
    for place in range(len(made)):
        other = "0" if made[place] != "0" else "1"
        assert seal.judge(made[:place] + other + made[place + 1 :]) is Sealed.FORGED
    clock.advance(6 * 3600)
    assert seal.judge(made) is Sealed.TOO_OLD


async def test_programs_that_fill_in_everything_are_thanked_and_forgotten(desk: Desk) -> None:
    asked = await ask(desk, website="https://buy.example")
    assert (asked.status_code, desk.rows, desk.kept.queue) == (303, [], [])


@pytest.mark.parametrize(
    ("channel", "address"),
    [
        ("mail", "nobody"),
        ("mail", "a@b@c"),
        ("mail", "ann@localhost"),
        ("mail", "ann@example.org\r\nBcc: all@example.org"),
        ("mail", "ann@example.org,bob@example.org"),
        ("mail", '"x y"@example.org'),
        ("mail", ""),
        ("webhook", "https://127.0.0.1/"),
        ("webhook", "https://169.254.169.254/latest/meta-data/"),
        ("webhook", "https://[::ffff:10.0.0.1]/"),
        ("webhook", "https://localhost:8443/"),
        ("webhook", "http://hooks.example.com/"),
        ("webhook", "https://user:pw@hooks.example.com/"),
        ("webhook", "file:///etc/passwd"),
        ("slack", "https://hooks.example.com/"),
        ("teams", "https://hooks.example.com/"),
    ],
)
async def test_an_address_that_messages_cannot_go_to_is_refused(
    desk: Desk, channel: str, address: str
) -> None:
    asked = await ask(desk, address, channel=channel)
    assert (asked.status_code, desk.rows) == (400, [])
    assert 'role="alert"' in asked.text


async def test_a_scope_without_topics_is_refused(desk: Desk) -> None:
    assert (await ask(desk, topic=[])).status_code == 400
    await desk.subscribed()
    async with desk.visitor() as ann:
        changed = await ann.post(desk.manage_path(), data={"action": "change"})
    assert changed.status_code == 400
    assert desk.rows[0].subscription.scope == Scope()


async def test_channels_that_are_not_offered_are_not_taken(desk: Desk) -> None:
    desk.channels[:] = [Channel.MAIL]
    asked = await ask(desk, "https://hooks.example.com/", channel="webhook")
    assert (asked.status_code, desk.rows) == (400, [])
    desk.channels.clear()
    async with desk.visitor() as who:
        assert (await who.get("/en/subscribe")).status_code == 404
        assert (await who.post("/en/subscribe", data={})).status_code == 404
        await desk.site.publisher.turn()
        assert "/subscribe" not in (await who.get("/en/")).text


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"a" * 8193, "application/x-www-form-urlencoded", 413),
        (b"&".join(b"a=b" for _ in range(700)), "application/x-www-form-urlencoded", 400),
        (b"address=\xff\xfe", "application/x-www-form-urlencoded", 400),
        (b"address=%ff", "application/x-www-form-urlencoded", 400),
        (b"{}", "application/json", 415),
        (b"{}", "", 415),
        (b"--x\r\n", "multipart/form-data; boundary=x", 415),
    ],
)
async def test_what_is_no_form_is_refused(desk: Desk, content: bytes, media_type: str, status: int) -> None:
    async with desk.visitor() as who:
        for path in ("/en/subscribe",):
            answer = await who.post(path, content=content, headers={"content-type": media_type})
            assert answer.status_code == status
            assert "text/html" in answer.headers["content-type"]


async def test_a_body_is_not_read_beyond_its_bound(desk: Desk) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1024
            assert read < 100_000
            yield b"x" * 1024

    async with desk.visitor() as who:
        answer = await who.post(
            "/en/subscribe", content=endless(), headers={"content-type": "application/x-www-form-urlencoded"}
        )
    assert answer.status_code == 413


async def test_forms_are_posted_to_these_pages_and_no_others(desk: Desk) -> None:
    await desk.subscribed()
    async with desk.visitor() as who:
        for path in (
            "/",
            "/en/",
            "/en/history",
            "/events",
            "/en/subscribe/sent",
            "/en/subscribe/webhooks",
            "/x",
        ):
            assert (await who.post(path, data={})).status_code == 405, path
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
            assert (await who.request(method, "/en/subscribe")).status_code == 405
            assert (await who.request(method, desk.manage_path())).status_code == 405
    assert not takes_forms("/en/subscribe/x")
    assert not takes_forms("/en/subscribe\n")


async def test_a_site_without_subscriptions_takes_no_forms() -> None:
    async with running(FakeReader(overview(10))) as site:
        transport = httpx.ASGITransport(app=site)
        async with httpx.AsyncClient(transport=transport, base_url="http://status.example") as who:
            assert (await who.get("/en/subscribe")).status_code == 404
            assert (await who.post("/en/subscribe", data={})).status_code == 405
            assert "/subscribe" not in (await who.get("/en/")).text


@pytest.mark.parametrize("token", ["x", "a" * 43, "a" * 100, "%00", "a" * 42 + "%C3%A9"])
async def test_a_link_that_was_never_sent_leads_nowhere(desk: Desk, token: str) -> None:
    await desk.subscribed()
    async with desk.visitor() as who:
        for what in ("confirm", "manage"):
            path = f"/en/subscriptions/{what}/{token}"
            assert (await who.get(path)).status_code == 404
            assert (await who.post(path, data={"action": "end"})).status_code in {404, 405}
    assert desk.addresses() == ["ann@example.org"]


async def test_a_link_of_one_kind_is_no_link_of_another(desk: Desk) -> None:
    await desk.desk.subscribe(Channel.MAIL, "ann@example.org", "en", Scope())
    async with desk.visitor() as who:
        crossed = desk.manage_path().replace("/manage/", "/confirm/")
        assert (await who.post(crossed)).status_code == 404
        crossed = desk.confirm_path().replace("/confirm/", "/manage/")
        assert (await who.post(crossed, data={"action": "end"})).status_code == 404
    assert desk.rows[0].subscription.standing is Standing.PENDING


async def test_the_holder_of_a_link_cannot_wear_the_database_out(desk: Desk) -> None:
    await desk.subscribed()
    async with desk.visitor() as who:
        statuses = [(await who.get(desk.manage_path())).status_code for _ in range(40)]
    assert statuses == [200] * 30 + [429] * 10


async def test_secret_pages_are_kept_by_nobody_and_told_to_nobody(
    desk: Desk, logged: list[dict[str, Any]]
) -> None:
    await desk.subscribed()
    async with desk.visitor() as who:
        for path in (desk.manage_path(), desk.confirm_path(), desk.manage_path(what="unsubscribe")):
            headers = (await who.get(path)).headers
            assert headers["cache-control"] == "private, no-store"
            assert headers["referrer-policy"] == "same-origin"
            assert "noindex" in headers["x-robots-tag"]
            assert "form-action 'self'" in headers["content-security-policy"]
            assert "set-cookie" not in headers
            page = (await who.get(path)).text
            assert 'hreflang="de" href="http' not in page, "no absolute address of a secret page in its head"
    token = desk.manage_path().rpartition("/")[2]
    assert token not in repr(logged)
    assert token not in without_secrets(desk.manage_path())


async def test_while_the_database_is_away_nothing_is_promised(desk: Desk) -> None:
    await desk.subscribed()
    desk.store.away = True
    asked = await ask(desk, "bob@example.org")
    assert (asked.status_code, "Nothing was stored" in asked.text) == (503, True)
    assert "retry-after" in asked.headers
    async with desk.visitor() as who:
        assert (await who.get("/en/subscribe")).status_code == 200
        for path in (desk.manage_path(), desk.confirm_path()):
            assert (await who.get(path)).status_code == 503
            assert (await who.post(path, data={"action": "end"})).status_code == 503
        assert (await who.post(desk.manage_path(what="unsubscribe"), data=ONE_CLICK)).status_code == 503
    desk.store.away = False
    assert desk.addresses() == ["ann@example.org"]


@pytest.mark.parametrize(
    "path", ["/fr/subscribe", "/fr/subscribe/sent", "/fr/subscriptions/manage/x", "/EN/subscribe"]
)
async def test_languages_that_the_site_does_not_speak(desk: Desk, path: str) -> None:
    async with desk.visitor() as who:
        assert (await who.get(path)).status_code == 404
