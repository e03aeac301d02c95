"""The console over a ledger in memory, with its page of completeness."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
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
from holdfast.estate.communication import Console
from holdfast.estate.model import Site
from holdfast.identity.desk import IdentityDesk
from holdfast.identity.model import Role, Terms
from holdfast.interfaces.console.app import create_console
from holdfast.interfaces.console.ledger_completeness_pages import CompletenessPages
from holdfast.interfaces.console.shell import ConsolePage
from holdfast.kernel.clock import ManualClock
from holdfast.ledger.append.sequences import numbered
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

    def __init__(self, listen: str = "127.0.0.1:8082", more: Sequence[ConsolePage] = ()) -> None:
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
            settings=lambda: Console(listen=listen),
            pages=[*more, *CompletenessPages(lambda: self.judge).pages()],
        )

    async def append(self, *records: Record) -> None:
        leaves = [leaf_of(each) for each in records]
        sources, epochs, seqs = map(
            list, zip(*((each.source, each.epoch, each.seq) for each in records), strict=True)
        )
        stretches = numbered(sources, epochs, seqs)
        await self.sequencer.append([Prepared("acme", leaves, leaf_hashes(leaves), stretches)])
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


def record(source: str, seq: int, at: datetime = NOON, **more: object) -> Record:
    fields = {"epoch": 1, "job": f"{source}-{seq}", "kind": Kind.PRINT, "status": Status.COMPLETED}
    return Record(**{**fields, "occurred_at": at, "seq": seq, "source": source, "tenant": "acme", **more})  # type: ignore[arg-type]


async def everything_amiss(consoled: Consoled) -> None:
    """Gaps of two sources, a conflict, a counter that differs, a clock that is off: all of them concerns."""
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
