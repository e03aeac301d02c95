"""A site that can be subscribed on, its visitors, and what is kept of them. Nothing is sent."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from typing import Any

import httpx
from site_client import running
from site_estates import NOW, AwayError, FakeReader, overview

from holdfast.adapters.memory.subscriptions import Kept, MemorySubscriptions
from holdfast.adapters.vault.aes import AesVault
from holdfast.communication.model import Channel, Scope
from holdfast.communication.subscribing import (
    CONFIRM,
    Limits,
    SubscriptionDesk,
    address_of,
    token_of,
)
from holdfast.interfaces.site.form_pages import Subscribing
from holdfast.interfaces.site.limits import Throttles
from holdfast.kernel.clock import ManualClock

VAULT = AesVault(b"k" * 32)
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
EVERYTHING = {"topic": ["incident", "maintenance", "degradation"]}


class Store(MemorySubscriptions):
    """May be away, as a database is."""

    away = False

    def __getattribute__(self, name: str) -> Any:
        if name in {"ask", "confirm", "subscription", "change", "end"} and object.__getattribute__(
            self, "away"
        ):
            raise AwayError("the database does not answer", hint="wait")
        return super().__getattribute__(name)


@dataclass
class Desk:
    """The site, its visitors, and what is kept of them."""

    clock: ManualClock
    kept: Kept
    store: Store
    desk: SubscriptionDesk
    site: Any
    channels: list[Channel]

    def visitor(self, address: str = "192.0.2.1", **headers: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.site, client=(address, 40_000))
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.AsyncClient(transport=transport, base_url="http://status.example", headers=named)

    @property
    def rows(self) -> list[Any]:
        return list(self.kept.rows.values())

    def addresses(self) -> list[str]:
        return [address_of(VAULT, row.address) for row in self.rows if row.address is not None]

    def confirm_path(self, row: int = 0) -> str:
        token = token_of(VAULT, self.rows[row].subscription.id, CONFIRM)
        return f"/en/subscriptions/confirm/{token}"

    def manage_path(self, row: int = 0, what: str = "manage") -> str:
        token = self.desk.manage_token_of(self.rows[row].subscription.id)
        return f"/en/subscriptions/{what}/{token}"

    async def subscribed(self, address: str = "ann@example.org", channel: Channel = Channel.MAIL) -> None:
        await self.desk.subscribe(channel, address, "en", Scope())
        row = next(each for each in self.rows if address_of(VAULT, each.address) == address)
        await self.store.confirm(row.subscription.id, Limits())


@asynccontextmanager
async def a_desk(
    clock: ManualClock | None = None,
    limits: Throttles | None = None,
    reader: FakeReader | None = None,
    **more: Any,
) -> AsyncIterator[Desk]:
    clock = clock or ManualClock(NOW)
    kept = Kept(clock)
    store = Store(kept)
    desk = SubscriptionDesk(store, VAULT)
    channels = list(Channel)
    subscribing = Subscribing(desk, VAULT, lambda: channels, limits=limits)
    reader = reader or FakeReader(overview(10))
    async with running(reader, clock=clock, subscribing=subscribing, **more) as site:
        yield Desk(clock, kept, store, desk, site, channels)


async def form(visitor: httpx.AsyncClient, path: str = "/en/subscribe") -> dict[str, Any]:
    """The hidden fields of the page's first form, and the boxes that are ticked."""
    page = (await visitor.get(path)).text
    main = page[page.index("<main") :]
    start = main.index("<form")
    text = main[start : main.index("</form>", start)]
    fields: dict[str, Any] = {}
    for tag in re.findall(r"<input[^>]*>", text):
        given = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        kind, name, value = given.get("type"), given.get("name", ""), unescape(given.get("value", ""))
        if kind == "hidden":
            fields[name] = value
        elif kind == "checkbox" and " checked" in tag:
            fields.setdefault(name, []).append(value)
    return fields


async def ask(
    desk: Desk, address: str = "ann@example.org", *, wait_s: float = 5, visitor: Any = None, **changes: Any
) -> httpx.Response:
    """Fill in the form as a person does: in a moment, not at once."""
    async with visitor or desk.visitor() as who:
        path = f"/en/subscribe?channel={changes.get('channel', 'mail')}"
        fields = await form(who, path) | {"address": address} | changes
        desk.clock.advance(wait_s)
        return await who.post("/en/subscribe", data=fields)
