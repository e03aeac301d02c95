"""A console in this process over stores in memory, and browsers that behave as browsers do."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import unescape
from types import TracebackType
from typing import Self

import httpx
import pyotp
from argon2 import Parameters, Type

from holdfast.adapters.hashing.argon import Argon2
from holdfast.adapters.memory.identity import MemoryIdentity
from holdfast.adapters.vault.aes import AesVault
from holdfast.estate.communication import Console
from holdfast.identity.desk import IdentityDesk
from holdfast.identity.model import EVERYTHING, Actor, Role, Terms
from holdfast.interfaces.console.app import create_console
from holdfast.interfaces.console.login_pages import Gateway
from holdfast.interfaces.console.shell import ConsolePage
from holdfast.kernel.clock import ManualClock

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
QUICK = Parameters(
    type=Type.ID, version=19, salt_len=16, hash_len=16, time_cost=1, memory_cost=8, parallelism=1
)
PASSWORD = "four words that fit"
ROOT = Actor("root", EVERYTHING)
ORIGIN = "http://127.0.0.1:8082"


@dataclass
class Scene:
    """Everything behind the console; `settings` may be replaced at any time, as a reload does."""

    settings: Console = field(default_factory=Console)
    pages: tuple[ConsolePage, ...] = ()
    gateway: Gateway | None = None
    customers: Mapping[str, str] = field(default_factory=lambda: {"acme": "Acme"})

    def __post_init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.store = MemoryIdentity()
        self.vault = AesVault(b"k" * 32)
        self.hashing = Argon2(QUICK)
        self.identity = IdentityDesk(self.store, self.vault, self.hashing, self.clock, self.terms)
        self.app = create_console(
            self.identity,
            self.store,
            self.vault,
            self.clock,
            settings=lambda: self.settings,
            gateway=lambda: self.gateway,
            customers=lambda: self.customers,
            pages=self.pages,
        )
        self.secrets: dict[str, pyotp.TOTP] = {}

    def terms(self) -> Terms:
        declared = self.settings
        return Terms(declared.idle, declared.longest, declared.second_factor == "required")

    async def add(self, name: str, role: Role = Role.ADMIN, *, customer: str | None = None) -> None:
        await self.identity.accounts.add(name, role, ROOT, customer=customer, password=PASSWORD)

    def browser(self, origin: str = ORIGIN, address: str = "192.0.2.1") -> "Browser":
        return Browser(self, origin, address)

    async def logged_in(self, name: str = "anna", role: Role = Role.ADMIN, **more: str) -> "Browser":
        """A browser in which a fresh account has logged in, second factor and all."""
        await self.add(name, role, **more)
        browser = self.browser()
        await browser.login(name)
        return browser

    def code(self, name: str) -> str:
        """What the phone of that account shows now."""
        return self.secrets[name].at(self.clock.now())

    @property
    def events(self) -> list[str]:
        return [entry.event for entry in self.store.journal]


class Browser:
    """Keeps cookies, says where it comes from, and fills in forms as they are on the page."""

    def __init__(self, scene: Scene, origin: str, address: str) -> None:
        self.scene = scene
        self.origin = origin
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(scene.app, client=(address, 40_000), raise_app_exceptions=False),
            base_url=origin,
        )
        self.page: httpx.Response

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()

    async def get(self, path: str, *, follow: bool = True) -> httpx.Response:
        self.page = await self.http.get(path, follow_redirects=follow)
        return self.page

    async def post(
        self, path: str, fields: Mapping[str, object] | None = None, *, follow: bool = True, **headers: str
    ) -> httpx.Response:
        """As a form on a page of that origin sends it, with no token but what is in `fields`."""
        said = {"origin": self.origin, "sec-fetch-site": "same-origin"}
        said |= {name.replace("_", "-"): text for name, text in headers.items()}
        self.page = await self.http.post(path, data=dict(fields or {}), headers=said, follow_redirects=follow)
        return self.page

    async def submit(self, action: str = "", *, follow: bool = True, **fields: object) -> httpx.Response:
        """Send the form of the page that is shown, with its hidden fields and what is typed into it."""
        path, hidden = self.form(action)
        return await self.post(path, {**hidden, **fields}, follow=follow)

    def form(self, action: str = "") -> tuple[str, dict[str, str]]:
        """Where a form of this page goes, and its hidden fields. Without `action` the first in the page."""
        main = self.page.text.partition("<main")[2]
        for found in re.finditer(r"<form method=\"post\"([^>]*)>(.*?)</form>", main, re.DOTALL):
            to = re.search(r'action="([^"]*)"', found[1])
            path = unescape(to[1]) if to else str(self.page.url.raw_path, "ascii")
            if action in {"", path}:
                hidden = re.findall(r'<input type="hidden" name="(\w+)"[^>]*value="([^"]*)"', found[2])
                return path, {name: unescape(text) for name, text in hidden}
        raise AssertionError(f"no form for {action!r} on this page: {main[:500]}")

    def form_to(self, ending: str) -> str:
        """Where the first form goes whose action ends so."""
        main = self.page.text.partition("<main")[2]
        actions: list[str] = re.findall(r'<form method="post" action="([^"]*)"', main)
        return next(unescape(each) for each in actions if each.endswith(ending))

    @property
    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="(\w+)"', self.page.text)
        assert found is not None, self.page.text[:300]
        return found[1]

    @property
    def path(self) -> str:
        return self.page.url.path

    def cookie(self, kind: str = "session") -> str:
        return next((each.value or "" for each in self.http.cookies.jar if each.name.endswith(kind)), "")

    async def login(self, name: str, password: str = PASSWORD) -> None:
        """Log in all the way, setting a second factor up where that is asked for."""
        await self.get("/login")
        await self.submit("/login", name=name, password=password)
        if self.path == "/account/second-factor":
            await self.enrol(name)
        elif self.path == "/login/code":
            # A code works once.
            self.scene.clock.advance(30)
            await self.submit(code=self.scene.code(name))
        assert self.page.status_code == 200, self.page.text

    async def enrol(self, name: str) -> None:
        found = re.search(r'class="key-text">([A-Z2-7 ]+)<', self.page.text)
        assert found is not None, self.page.text
        self.scene.secrets[name] = pyotp.TOTP(found[1].replace(" ", ""))
        await self.submit("/account/second-factor", code=self.scene.code(name))
