"""The console's page of the ledger's completeness."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from desks import ADMIN, PASSWORD, PlainHashing

from holdfast.adapters.memory.identity import MemoryIdentity
from holdfast.adapters.memory.ledger.completeness import (
    MemoryCompleteness,
    MemoryCompletenessFold,
    MemoryMetersFold,
)
from holdfast.adapters.memory.ledger.following import MemoryFollowing
from holdfast.adapters.memory.ledger.logs import MemoryLogs
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.adapters.vault.aes import AesVault
from holdfast.estate.model import Site
from holdfast.identity.desk import IdentityDesk
from holdfast.identity.model import Role, Terms
from holdfast.interfaces.console.app import create_console
from holdfast.interfaces.console.ledger_completeness_pages import MOST_ROWS, CompletenessPages
from holdfast.kernel.clock import ManualClock
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.canonical import leaf_of
from holdfast.ledger.completeness.judging import ClaimMade, Judge
from holdfast.ledger.completeness.meters import Counter, Reading
from holdfast.ledger.following import Follower
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.model import Kind, Prepared, Record, Status

ADDRESS = "http://127.0.0.1:8082"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Consoled:
    """The console over a ledger in memory."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOON + timedelta(days=3))
        packs = ZstdSegments()
        logs = MemoryLogs(packs)
        following = MemoryFollowing(logs, received_at=NOON)
        self.store = MemoryCompleteness(logs, following, NOON)
        self.follower = Follower(
            following, [MemoryCompletenessFold(self.store), MemoryMetersFold(self.store)]
        )
        self.sequencer = Sequencer(
            logs,
            packs,
            origin_of=lambda tenant: f"ledger.example/{tenant}",
            signer_for=lambda origin: Ed25519Signer(origin, bytes(32)),
        )
        self.judge: Judge | None = Judge(self.store, self.clock, gap_after=timedelta(days=1))
        self.identity = IdentityDesk(
            MemoryIdentity(),
            AesVault(bytes(32)),
            PlainHashing(),
            self.clock,
            lambda: Terms(second_factor_required=False),
        )
        self.app = create_console(
            self.identity,
            MemoryIdentity(),
            AesVault(bytes(32)),
            self.clock,
            site=lambda: Site(url="https://status.example.com"),
            customers=lambda: {"acme": "Acme"},
            pages=CompletenessPages(lambda: self.judge).pages(),
        )

    async def append(self, *records: Record) -> None:
        leaves = [leaf_of(each) for each in records]
        sources, epochs, seqs = map(
            list, zip(*((each.source, each.epoch, each.seq) for each in records), strict=True)
        )
        await self.sequencer.append([Prepared("acme", leaves, leaf_hashes(leaves), sources, epochs, seqs)])
        await self.follower.round()

    @asynccontextmanager
    async def browser(self, customer: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        await self.identity.accounts.add("anna", Role.VIEWER, ADMIN, customer=customer)
        await self.identity.accounts.set_password("anna", PASSWORD, ADMIN)
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as browser:
            opened = await self.identity.login("anna", PASSWORD, "127.0.0.1")
            browser.cookies.set("hf_session", opened.cookie)
            yield browser


@pytest.fixture
def consoled() -> Consoled:
    return Consoled()


def record(source: str, seq: int, at: datetime = NOON, **more: object) -> Record:
    fields = {"epoch": 1, "job": f"{source}-{seq}", "kind": Kind.PRINT, "status": Status.COMPLETED}
    return Record(**{**fields, "occurred_at": at, "seq": seq, "source": source, "tenant": "acme", **more})  # type: ignore[arg-type]


async def test_everything_that_is_amiss_stands_on_the_page(consoled: Consoled) -> None:
    await consoled.append(
        record("<mfp>", 1, device="d", sheets={"A4": 2}),
        record("<mfp>", 9),
        record("spooler", 1, datetime(1970, 1, 1, tzinfo=UTC)),
    )
    await consoled.append(record("<mfp>", 1, job="another"))
    await consoled.store.claim("acme", "spooler", [ClaimMade(1, 4)])
    hour = timedelta(hours=1)
    readings = [Reading("d", Counter.SHEETS, NOON - hour, 5), Reading("d", Counter.SHEETS, NOON + hour, 9)]
    await consoled.store.read_meters("acme", "<mfp>", readings)
    assert consoled.judge is not None
    await consoled.judge.look()
    async with consoled.browser() as browser:
        answer = await browser.get("/ledger/completeness")
    assert answer.status_code == 200
    text = answer.text
    assert "<mfp>" not in text
    gaps = text.split("What has not come</h3>")[1].split("<h3>")[0]
    assert "<td>2\N{EN DASH}8</td><td>7</td>" in gaps
    assert "<td>2\N{EN DASH}4</td><td>3</td>" in gaps
    assert gaps.count("overdue") == 2
    assert gaps.count("claimed") == 1
    assert "What came again with other content" in text
    assert "<td>4</td><td>2</td><td>2</td>" in text  # counted, recorded, difference
    assert "behind" in text.split("Clocks that are off</h3>")[1]
    assert text.count('role="alert"') == 5  # gaps of two sources, a conflict, a meter and a clock


async def test_a_long_list_is_cut_and_says_so(consoled: Consoled) -> None:
    await consoled.append(*(record("a", n * 2) for n in range(1, MOST_ROWS + 12)))
    async with consoled.browser() as browser:
        text = (await browser.get("/ledger/completeness")).text
    assert text.count('<th scope="row">a</th>') == MOST_ROWS
    assert f"These are the {MOST_ROWS} oldest of {MOST_ROWS + 11}." in text


async def test_where_nothing_is_amiss_or_declared(consoled: Consoled) -> None:
    async with consoled.browser() as browser:
        assert "No record was ever taken in." in (await browser.get("/ledger/completeness")).text
        await consoled.append(record("a", 1))
        text = (await browser.get("/ledger/completeness")).text
        assert "Nothing is missing." in text
        consoled.judge = None
        assert "No ledger is declared." in (await browser.get("/ledger/completeness")).text


async def test_a_customers_account_sees_none_of_it(consoled: Consoled) -> None:
    await consoled.append(record("a", 9))
    async with consoled.browser("acme") as browser:
        answer = await browser.get("/ledger/completeness")
        assert (answer.status_code, answer.headers["location"]) == (303, "/customer")
