"""The console's page of backups, the approvals on it, and what a monitoring system reads."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import httpx
import pytest
from desks import ADMIN, PASSWORD, PlainHashing
from tests.held import at, backup, holdings, wal

from holdfast.adapters.memory.backup import MemoryBackupStatus, MemoryKeeping
from holdfast.adapters.memory.identity import MemoryIdentity
from holdfast.adapters.vault.aes import AesVault
from holdfast.backup.model import Suspicion
from holdfast.backup.recoverable.points import RegionPoints, known_of
from holdfast.backup.recoverable.standing import Reported
from holdfast.backup.retention.approvals import RetentionDesk
from holdfast.estate.backup import Keep
from holdfast.estate.model import Site
from holdfast.identity.desk import IdentityDesk
from holdfast.identity.model import Right, Role, Terms
from holdfast.identity.sessions import csrf_of
from holdfast.interfaces.console.app import create_console
from holdfast.interfaces.console.backup_pages import BackupPages
from holdfast.interfaces.console.metrics import create_metrics, exposition
from holdfast.kernel.clock import ManualClock

ADDRESS = "http://127.0.0.1:8082"
WIDE, NARROW = Keep(window=timedelta(days=14)), Keep(window=timedelta(days=2))


@dataclass
class Consoled:
    """The console, who may log in there, and what stands behind the page."""

    clock: ManualClock
    identity: IdentityDesk
    statuses: MemoryBackupStatus
    desk: RetentionDesk
    app: object

    @asynccontextmanager
    async def browser(self, name: str, role: Role) -> AsyncIterator[httpx.AsyncClient]:
        await self.identity.accounts.add(name, role, ADMIN)
        await self.identity.accounts.set_password(name, PASSWORD, ADMIN)
        transport = httpx.ASGITransport(self.app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as browser:
            opened = await self.identity.login(name, PASSWORD, "127.0.0.1")
            browser.cookies.set("hf_session", opened.cookie)
            browser.headers["origin"] = ADDRESS
            yield browser


@pytest.fixture
def consoled() -> Consoled:
    clock = ManualClock(at(100))
    keeping, statuses = MemoryKeeping(clock), MemoryBackupStatus(clock)
    desk = RetentionDesk(keeping)
    identity = IdentityDesk(
        MemoryIdentity(),
        AesVault(bytes(32)),
        PlainHashing(),
        clock,
        lambda: Terms(second_factor_required=False),
    )
    pages = BackupPages(
        statuses.statuses,
        lambda: {"shop": "The shop <b>", "idle": "Idle"},
        keeping.in_force,
        lambda database, region, who, change: desk.approve(database, region, who, shown=change),
    )
    app = create_console(
        identity,
        MemoryIdentity(),
        AesVault(bytes(32)),
        clock,
        site=lambda: Site(url="https://status.example.com"),
        pages=pages.pages(),
        metrics=create_metrics(statuses.statuses, identity, clock),
    )
    return Consoled(clock, identity, statuses, desk, app)


def known(region: str = "eu") -> RegionPoints:
    """Two windows with a gap between them, a suspicion, and nothing verified."""
    mark = Suspicion("x", at(95), at(96), "rows of orders fell by half")
    return known_of(
        holdings([backup(10), backup(60)], [*wal(10, 40), *wal(60, 99)], suspects=[mark], region=region), []
    )


async def test_regions_are_drawn_with_their_gaps_and_what_is_wrong(consoled: Consoled) -> None:
    await consoled.statuses.report(known())
    await consoled.statuses.report(replace(RegionPoints("shop", "usa", at(100)), error="nobody answers"))
    async with consoled.browser("anna", Role.VIEWER) as browser:
        text = (await browser.get("/backups")).text
    assert "The shop &lt;b&gt;" in text
    assert text.count("<svg viewBox") == 2
    eu, usa = text.split("<strong>usa</strong>")
    # Two windows, the second cut where the suspicion begins; two backups; and the line itself.
    assert eu.split("<svg viewBox")[1].count("<rect") == 3 + 2 + 1
    assert "rows of orders fell by half" in eu
    assert "Never verified" in eu
    assert "nobody answers" in usa
    assert "RPO now: unknown" in usa
    assert "Nothing is known of it yet." in usa, "the other database was never reported"


async def test_a_region_that_nobody_reports_any_more_is_said_to_be_silent(consoled: Consoled) -> None:
    await consoled.statuses.report(known())
    consoled.clock.advance(3600)
    async with consoled.browser("anna", Role.VIEWER) as browser:
        assert "not reported since" in (await browser.get("/backups")).text


async def test_two_accounts_approve_and_one_of_them_twice_is_refused(consoled: Consoled) -> None:
    await consoled.desk.in_force("shop", "eu", WIDE)
    await consoled.desk.in_force("shop", "eu", NARROW)

    async def approve(browser: httpx.AsyncClient, change: str = "1") -> str:
        fields = {"csrf": csrf_of(browser.cookies["hf_session"]), "change": change}
        answer = await browser.post("/backups/shop/eu/approve", data=fields)
        return (await browser.get(answer.headers["location"])).text if answer.status_code == 303 else ""

    async with consoled.browser("ada", Role.COMMANDER) as ada:
        assert "Approve keeping less" in (await ada.get("/backups")).text
        assert "not open" in await approve(ada, "7")
        assert "not open" in await approve(ada, "x")
        assert "You approved it." in await approve(ada)
        assert "another person" in await approve(ada)
    async with consoled.browser("grace", Role.COMMANDER) as grace:
        assert "in effect from" in await approve(grace)
    async with consoled.browser("eve", Role.OPERATOR) as eve:
        fields = {"csrf": csrf_of(eve.cookies["hf_session"]), "change": "1"}
        assert (await eve.post("/backups/shop/eu/approve", data=fields)).status_code == 403
    consoled.clock.advance(25 * 3600)
    assert await consoled.desk.in_force("shop", "eu", NARROW) == NARROW


async def test_metrics_need_a_token(consoled: Consoled) -> None:
    transport = httpx.ASGITransport(consoled.app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as caller:
        assert (await caller.get("/metrics")).status_code == 401
        wrong = {"authorization": "Bearer hf_nobody"}
        assert (await caller.get("/metrics", headers=wrong)).status_code == 401
        await consoled.statuses.report(known())
        for right, status in ((Right.READ, 200), (Right.INCIDENTS, 403)):
            _, secret = await consoled.identity.tokens.create(right.name, [right], ADMIN)
            answer = await caller.get("/metrics", headers={"authorization": f"Bearer {secret}"})
            assert answer.status_code == status
            assert ("holdfast_backup_rpo_seconds{" in answer.text) == (right is Right.READ)
        for _ in range(30):
            answer = await caller.get("/metrics", headers=wrong)
        assert answer.status_code == 429, "guessing is not for free"


def test_what_nobody_knows_is_absent_and_never_nothing_lost() -> None:
    away = Reported(RegionPoints("shop", "usa", at(100), "nobody answers"), at(100), at(100))
    text = "\n".join(exposition([Reported(known(), at(99.5), at(100)), away]))
    eu, usa = 'database="shop",region="eu"', 'database="shop",region="usa"'
    assert f"holdfast_backup_rpo_seconds{{{eu}}} 3660.0" in text
    assert f"holdfast_backup_rpo_seconds{{{usa}}}" not in text
    assert f"holdfast_backup_region_answers{{{usa}}} 0" in text
    assert f"holdfast_backup_report_age_seconds{{{eu}}} 1800.0" in text
    assert f"holdfast_backup_windows{{{eu}}} 2" in text
    assert f"holdfast_backup_suspects{{{eu}}} 1" in text
    assert f"holdfast_backup_suspects{{{usa}}}" not in text
    assert "holdfast_backup_expected_restore_seconds{" not in text
    assert "holdfast_backup_verified{" not in text
    assert list(exposition([])) == []
