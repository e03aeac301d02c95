"""The console's form that has damaged data put back: who may send it, and what becomes of it."""

import json
import re
from dataclasses import replace

import httpx
import pytest
from desks import ADMIN, NOW, PASSWORD, PlainHashing

from holdfast.adapters.memory.identity import MemoryIdentity
from holdfast.adapters.vault.aes import AesVault
from holdfast.bootstrap.recovery.playbooks import read_shelf
from holdfast.estate.communication import Console
from holdfast.estate.model import Site
from holdfast.identity.desk import IdentityDesk
from holdfast.identity.model import Role, Terms
from holdfast.identity.sessions import csrf_of
from holdfast.interfaces.console.app import create_console
from holdfast.interfaces.console.recover_pages import ADDRESS, RecoverPages
from holdfast.interfaces.console.recovery_pages import RecoveryPages
from holdfast.kernel.clock import ManualClock
from rehearsed import Rehearsed

SITE = "http://127.0.0.1:8082"
WELL = "SELECT count(*) = 0\nFROM orders WHERE total < 0 -- <b>"


class DamagedConsole:
    """Over a database `shop` whose owner is declared; `other` has none."""

    def __init__(self) -> None:
        self.rehearsed = Rehearsed()
        packaged = read_shelf(None)["corruption"]
        assert packaged.playbook is not None
        self.rehearsed.playbooks["corruption"] = packaged.playbook
        self.databases = {"shop": "Shop & Sons"}
        desk = replace(self.rehearsed.desk, recoverable=lambda: self.databases)
        self._identity = IdentityDesk(
            MemoryIdentity(),
            AesVault(bytes(32)),
            PlainHashing(),
            ManualClock(NOW),
            lambda: Terms(second_factor_required=False),
        )
        self.app = create_console(
            self._identity,
            MemoryIdentity(),
            AesVault(bytes(32)),
            ManualClock(NOW),
            settings=lambda: Console(listen="127.0.0.1:8082"),
            site=lambda: Site(url="https://status.example.com"),
            pages=[*RecoveryPages(desk).pages(), *RecoverPages(desk).pages()],
        )

    async def login(self, name: str, role: Role) -> httpx.AsyncClient:
        await self._identity.accounts.add(name, role, ADMIN)
        await self._identity.accounts.set_password(name, PASSWORD, ADMIN)
        browser = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=SITE)
        browser.cookies.set("hf_session", (await self._identity.login(name, PASSWORD, "127.0.0.1")).cookie)
        browser.headers["origin"] = SITE
        return browser


@pytest.fixture
def console() -> DamagedConsole:
    return DamagedConsole()


def filled(browser: httpx.AsyncClient, **fields: str) -> dict[str, str]:
    """As a browser sends it."""
    csrf = csrf_of(browser.cookies["hf_session"])
    return {"csrf": csrf, "database": "shop", "check": WELL, "way": "rows", "freeze": "on", **fields}


async def test_sent_twice_it_is_begun_once_with_what_was_asked_for(console: DamagedConsole) -> None:
    olga = await console.login("olga", Role.OPERATOR)
    shown = (await olga.get(ADDRESS, params={"for": "shop"})).text
    assert '<option value="shop" selected>Shop &amp; Sons</option>' in shown
    (key,) = re.findall(r'name="key" value="([0-9a-f]{32})"', shown)
    answers = [await olga.post(ADDRESS, data=filled(olga, key=key, tables=" orders ")) for _ in range(2)]
    (run,) = await console.rehearsed.runs.newest(9)
    assert {(each.status_code, each.headers["location"]) for each in answers} == {
        (303, f"/recovery/runs/{run.id}")
    }
    assert (run.playbook.name, run.subject, run.started_by) == ("corruption", "shop", "olga")
    assert json.loads(run.given["check"]) == WELL
    assert {name: run.given[name] for name in ("tables", "freeze", "way", "again")} == {
        "tables": "orders",
        "freeze": "yes",
        "way": "rows",
        "again": "yes",
    }


async def test_what_is_wrong_is_said_and_nothing_that_was_written_is_lost(console: DamagedConsole) -> None:
    olga = await console.login("olga", Role.OPERATOR)
    for fields, why in (
        ({"check": " "}, "It holds no check"),
        ({"tables": "a.b.c", "since": "<i>"}, "A search has a beginning and an end"),
        ({"way": ""}, "Nothing is put back by"),
        ({"database": "other"}, "who owns the tables"),
    ):
        answer = await olga.post(ADDRESS, data=filled(olga, key="k", **fields))
        assert answer.status_code == 422, fields
        assert why in answer.text, fields
        assert 'value="k"' in answer.text
        assert "<i>" not in answer.text
    answer = await olga.post(ADDRESS, data=filled(olga, tables="a.b.c"))
    assert "FROM orders WHERE total &lt; 0 -- &lt;b&gt;</textarea>" in answer.text
    assert 'value="a.b.c"' in answer.text
    assert await console.rehearsed.runs.newest(9) == []


@pytest.mark.parametrize(
    ("role", "status"),
    [
        (Role.VIEWER, 403),
        (Role.COMMUNICATOR, 403),
        (Role.OPERATOR, 303),
        (Role.COMMANDER, 303),
        (Role.ADMIN, 303),
    ],
)
async def test_roles_say_who_begins_it(console: DamagedConsole, role: Role, status: int) -> None:
    somebody = await console.login("sam", role)
    offered = f'href="{ADDRESS}"' in (await somebody.get("/recovery")).text
    assert offered == (status == 303)
    assert (await somebody.get(ADDRESS)).status_code == (200 if status == 303 else 403)
    assert (await somebody.post(ADDRESS, data=filled(somebody))).status_code == status
    assert len(await console.rehearsed.runs.newest(9)) == (status == 303)


async def test_what_comes_from_elsewhere_is_refused(console: DamagedConsole) -> None:
    olga = await console.login("olga", Role.OPERATOR)
    assert (await olga.post(ADDRESS, data={**filled(olga), "csrf": "x"})).status_code == 403
    olga.headers["origin"] = "https://evil.example.com"
    assert (await olga.post(ADDRESS, data=filled(olga))).status_code == 403
    assert await console.rehearsed.runs.newest(9) == []


async def test_without_a_declared_owner_it_says_what_to_declare(console: DamagedConsole) -> None:
    console.databases.clear()
    olga = await console.login("olga", Role.OPERATOR)
    shown = await olga.get(ADDRESS)
    assert "recovery.databases" in shown.text
    assert "<textarea" not in shown.text
    assert ADDRESS not in (await olga.get("/recovery")).text
