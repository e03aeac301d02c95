"""Subscribing on the site, as browsers and mail programs do it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from site_estates import FakeReader, overview
from site_news import readership
from site_subscribing import EVERYTHING, ONE_CLICK, VAULT, Desk, a_desk, ask, form

from holdfast.communication.model import Channel, Scope, Standing, Topic
from holdfast.communication.signing import signing_secret
from holdfast.interfaces.site.form_pages import without_secrets


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with a_desk() as made:
        yield made


# The way of a subscriber


async def test_the_whole_way_from_asking_to_ending(desk: Desk) -> None:
    asked = await ask(desk, " Ann@Example.ORG ")
    assert (asked.status_code, asked.headers["location"]) == (303, "/en/subscribe/sent?channel=mail")
    assert desk.addresses() == ["Ann@example.org"]
    assert desk.rows[0].subscription.standing is Standing.PENDING

    async with desk.visitor() as ann:
        assert "One more step" in (await ann.get(asked.headers["location"])).text
        for _ in range(3):  # by programs that look into mails
            opened = await ann.get(desk.confirm_path())
            assert (opened.status_code, "Yes, send them" in opened.text) == (200, True)
        assert desk.rows[0].subscription.standing is Standing.PENDING

        confirmed = await ann.post(desk.confirm_path())
        assert confirmed.status_code == 303
        assert desk.rows[0].subscription.standing is Standing.ACTIVE
        assert confirmed.headers["location"] == desk.manage_path() + "?done=confirmed"
        assert "You are subscribed." in (await ann.get(confirmed.headers["location"])).text

        fields = {"action": "change", "topic": ["incident"], "cluster": ["eu"], "language": "de"}
        changed = await ann.post(desk.manage_path(), data=fields)
        assert changed.headers["location"] == desk.manage_path().replace("/en/", "/de/") + "?done=changed"
        assert desk.rows[0].subscription.scope == Scope(
            frozenset({Topic.INCIDENT}), frozenset(), frozenset({"eu"})
        )
        assert desk.rows[0].subscription.language == "de"

        ended = await ann.post(desk.manage_path(), data={"action": "end"})
        assert (ended.status_code, "has ended" in ended.text) == (200, True)
        assert desk.addresses() == []
        assert (await ann.get(desk.manage_path())).status_code == 404
        assert (await ann.post(desk.confirm_path())).status_code == 404


async def test_components_are_chosen_one_by_one_or_by_cluster(desk: Desk) -> None:
    ids = {
        (cluster.key, each.status.key): each.status.id
        for cluster in overview(10).clusters
        for each in cluster.components
    }
    asked = await ask(
        desk,
        component=["eu/website", "usa/api", "eu/nothing", "eu/api' OR 1=1"],
        cluster=["eu2", "nowhere"],
        topic=["maintenance", "lottery"],
    )
    assert asked.status_code == 303
    assert desk.rows[0].subscription.scope == Scope(
        frozenset({Topic.MAINTENANCE}),
        frozenset({ids["eu", "website"], ids["usa", "api"]}),
        frozenset({"eu2"}),
    )
    await ask(desk, "bob@example.org", cluster=["eu"], component=["eu/website"])
    assert desk.rows[1].subscription.scope.component_ids == frozenset(), "the cluster covers it"


async def test_a_link_ticks_boxes_beforehand(desk: Desk) -> None:
    async with desk.visitor() as who:
        fields = await form(who, "/en/subscribe?component=eu%2Fwebsite&cluster=usa&topic=incident")
        assert (fields["component"], fields["cluster"], fields["topic"]) == (
            ["eu/website"],
            ["usa"],
            ["incident"],
        )
        assert (await form(who))["topic"] == ["incident", "maintenance", "degradation"]
        assert "/en/subscribe?cluster=eu" in (await who.get("/en/clusters/eu")).text
        assert "/en/subscribe?component=eu%2Fwebsite" in (await who.get("/en/clusters/eu/website")).text
        assert 'href="/en/subscribe"' in (await who.get("/en/")).text


async def test_what_is_gone_from_the_estate_for_now_stays_chosen(desk: Desk) -> None:
    await desk.subscribed()
    row = desk.rows[0]
    await desk.store.change(row.subscription.id, Scope(component_ids=frozenset({9999})), "en")
    async with desk.visitor() as ann:
        await ann.post(desk.manage_path(), data={"action": "change", "component": "eu/website", **EVERYTHING})
    assert 9999 in desk.rows[0].subscription.scope.component_ids


async def test_german_pages_are_german(desk: Desk) -> None:
    await desk.subscribed("https://hooks.example.com/x", Channel.WEBHOOK)
    paths = [
        *(f"/de/subscribe?channel={each.value}" for each in Channel),
        *(f"/de/subscribe/sent?channel={each.value}" for each in Channel),
        "/de/subscribe/webhooks",
        *(desk.manage_path(what=what).replace("/en/", "/de/") for what in ("manage", "unsubscribe")),
        desk.confirm_path().replace("/en/", "/de/"),
        "/de/subscriptions/manage/nothing",
    ]
    async with desk.visitor() as who:
        for path in paths:
            page = await who.get(path)
            assert page.headers["content-language"] == "de"
            said = re.sub(r"<[^>]+>", " ", page.text[page.text.index("<main") :])
            for word in ("Subscribe", "Your subscription", "address", " the ", " and ", "message", "button"):
                assert word not in said, f"{path}: {word}"


async def test_a_webhook_learns_the_secret_of_its_signatures(desk: Desk) -> None:
    await desk.subscribed("https://hooks.example.com/x", Channel.WEBHOOK)
    await desk.subscribed("ann@example.org")
    async with desk.visitor() as who:
        assert (
            signing_secret(VAULT, desk.rows[0].subscription.id) in (await who.get(desk.manage_path(0))).text
        )
        assert "whsec_" not in (await who.get(desk.manage_path(1))).text


async def test_a_paused_subscription_is_resumed(desk: Desk) -> None:
    await desk.subscribed()
    row = desk.rows[0]
    row.subscription = replace(row.subscription, standing=Standing.PAUSED)
    async with desk.visitor() as ann:
        assert "It is paused" in (await ann.get(desk.manage_path())).text
        await ann.post(desk.manage_path(), data={"action": "resume"})
    assert desk.rows[0].subscription.standing is Standing.ACTIVE


# One click (RFC 8058)


@pytest.mark.parametrize("multipart", [False, True])
async def test_a_mail_program_ends_a_subscription_with_one_post(desk: Desk, multipart: bool) -> None:
    await desk.subscribed()
    path = desk.manage_path(what="unsubscribe")
    sent: dict[str, Any] = (
        {"files": {"List-Unsubscribe": (None, "One-Click")}} if multipart else {"data": ONE_CLICK}
    )
    async with desk.visitor(
        "198.51.100.7", origin="https://mail.example", sec_fetch_site="cross-site"
    ) as program:
        for _ in range(3):
            ended = await program.post(path, **sent)
            assert ended.status_code == 200, "never a redirect, however often"
            assert "set-cookie" not in ended.headers
    assert desk.addresses() == []


async def test_opening_the_link_ends_nothing(desk: Desk) -> None:
    await desk.subscribed()
    path = desk.manage_path(what="unsubscribe")
    async with desk.visitor() as who:
        assert "End the subscription" in (await who.get(path)).text
        assert (await who.head(path)).status_code == 200
        assert (await who.post(path, data={"something": "else"})).status_code == 400
        assert (await who.post(path, content=b"List-Unsubscribe=One-Click")).status_code == 415
        assert desk.addresses() == ["ann@example.org"]
        fields = await form(who, path)
        assert fields == ONE_CLICK
        assert (await who.post(path, data=fields)).status_code == 200
    assert desk.addresses() == []


async def test_a_mail_provider_may_end_many_subscriptions_from_one_address(desk: Desk) -> None:
    for number in range(60):
        await desk.subscribed(f"a{number}@example.org")
    async with desk.visitor("198.51.100.7") as provider:
        for number in range(60):
            assert (
                await provider.post(desk.manage_path(number, "unsubscribe"), data=ONE_CLICK)
            ).status_code == 200
    assert desk.addresses() == []


# Customers, on their private pages

LINK = "c" * 40
HOME = f"/en/customers/{LINK}"
CLUSTERS = (("eu", "EU", "Frankfurt"), ("zebra", "Zebra", "Zebraville"), ("usa", "USA", "Virginia"))


@asynccontextmanager
async def a_private_desk() -> AsyncIterator[Desk]:
    """Zebra (components 5 to 7) is private; Nordwind may know of 5 and 6, and of a public one."""
    seen = overview(10, CLUSTERS)
    names = {each.status.id: each.status.identity for cluster in seen.clusters for each in cluster.components}
    private = {each: ("nordwind",) for each, (cluster, _) in names.items() if cluster == "zebra"}
    who = readership(names, private, {"nordwind": [1, 5, 6]})
    more = {"readership": lambda: who, "page_links": lambda: {"nordwind": LINK}}
    async with a_desk(reader=FakeReader(seen), **more) as desk:
        yield desk


async def test_what_is_private_is_neither_offered_to_nor_taken_from_everybody() -> None:
    async with a_private_desk() as desk:
        async with desk.visitor() as who:
            for path in ("/en/subscribe", "/de/subscribe?cluster=zebra&component=zebra%2Fapi"):
                assert "ebra" not in (await who.get(path)).text
        asked = await ask(desk, cluster=["zebra"], component=["zebra/api"])
        assert asked.status_code == 303
        assert desk.rows[0].subscription.scope == Scope()
        assert desk.rows[0].subscription.customer is None


async def test_a_customer_subscribes_to_its_own_on_its_private_pages() -> None:
    async with a_private_desk() as desk, desk.visitor(origin="http://status.example") as nordwind:
        overall = (await nordwind.get(HOME)).text
        assert f'href="{HOME}/subscribe"' in overall
        page = await nordwind.get(f"{HOME}/subscribe")
        assert "zebra/api" in page.text
        assert "usa/" not in page.text, "nothing but its own"
        assert "noindex" in page.headers["x-robots-tag"]
        assert 'name="referrer"' not in page.text, "or its browser would hide where the form comes from"
        fields = await form(nordwind, f"{HOME}/subscribe")
        desk.clock.advance(5)
        fields |= {"address": "ops@nordwind.example", "component": ["zebra/api", "usa/api"]}
        asked = await nordwind.post(f"{HOME}/subscribe", data=fields)
        assert asked.headers["location"] == f"{HOME}/subscribe/sent?channel=mail"
        assert (await nordwind.get(asked.headers["location"])).status_code == 200
        kept = desk.rows[0].subscription
        assert (kept.customer, len(kept.scope.component_ids)) == ("nordwind", 1)
        assert "Zebra" in (await nordwind.get(desk.confirm_path())).text
        assert "zebra/api" in (await nordwind.get(desk.manage_path())).text


async def test_a_link_that_is_nobodys_subscribes_nobody(logged: list[dict[str, Any]]) -> None:
    async with a_private_desk() as desk, desk.visitor() as who:
        for path in (
            f"/en/customers/{'x' * 40}/subscribe",
            "/en/customers/x/subscribe/sent",
            f"/fr{HOME[3:]}/subscribe",
        ):
            assert (await who.get(path)).status_code == 404
        assert (await who.post(f"/en/customers/{'x' * 40}/subscribe", data={"a": "b"})).status_code == 404
        assert (await who.post(HOME, data={})).status_code == 405
        assert (await who.post(f"{HOME}/incidents", data={})).status_code == 405
    assert LINK not in repr(logged)
    assert LINK not in without_secrets(f"{HOME}/subscribe")
