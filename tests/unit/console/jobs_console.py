"""The console over a ledger in memory, with its pages of jobs."""

import httpx
from desks import ADMIN, NOW, PASSWORD, PlainHashing

from holdfast.adapters.memory.identity import MemoryIdentity
from holdfast.adapters.memory.ledger.finding import MemoryAccessTrail, MemoryFindings
from holdfast.adapters.memory.ledger.following import MemoryFollowing
from holdfast.adapters.memory.ledger.logs import MemoryLogs, MemoryPublished
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.signing.ed25519 import Ed25519Signer, verifies
from holdfast.adapters.vault.aes import AesVault
from holdfast.estate.communication import Console
from holdfast.estate.model import Site
from holdfast.identity.desk import IdentityDesk
from holdfast.identity.model import Role, Terms
from holdfast.interfaces.console.app import create_console
from holdfast.interfaces.console.ledger_jobs_pages import JobsPages
from holdfast.kernel.clock import ManualClock
from holdfast.ledger.append.sequences import numbered
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.canonical import leaf_of
from holdfast.ledger.find.jobs import JobsDesk, Room
from holdfast.ledger.find.tracing import Tracer
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.model import Kind, Prepared, Record, Status
from holdfast.ledger.sources import Tenant

SIGNER = Ed25519Signer("ledger.example/acme", bytes(32))


class JobsConsole:
    """`app` answers at `listen`. There are the tenants acme and idle, and acme's log takes what is posted."""

    def __init__(self, listen: str = "127.0.0.1:8082") -> None:
        self.address = f"http://{listen}"
        self._names = 0
        clock = ManualClock(NOW)
        store = MemoryLogs(ZstdSegments())
        self.trail = MemoryAccessTrail(clock)
        room = Room(store, MemoryFindings(store, MemoryFollowing(store)), self.trail, MemoryPublished())
        self._identity = IdentityDesk(
            MemoryIdentity(),
            AesVault(bytes(32)),
            PlainHashing(),
            clock,
            lambda: Terms(second_factor_required=False),
        )
        self.declared = True
        pages = JobsPages(
            JobsDesk(lambda _: room),
            Tracer(lambda _: room, verifies, lambda _: SIGNER.key),
            self._tenants,
            declared=lambda: self.declared,
        )
        self.app = create_console(
            self._identity,
            MemoryIdentity(),
            AesVault(bytes(32)),
            clock,
            settings=lambda: Console(listen=listen),
            site=lambda: Site(url="https://status.example.com", time_zone="Europe/Berlin"),
            pages=pages.pages(),
        )
        self._line = Sequencer(
            store,
            ZstdSegments(),
            origin_of=lambda tenant: f"ledger.example/{tenant}",
            signer_for=lambda _: SIGNER,
        )

    async def _tenants(self) -> list[Tenant]:
        return [Tenant("acme", "Acme <b>", "UTC", None, NOW), Tenant("idle", "Idle", "UTC", None, NOW)]

    async def session(self, role: Role) -> str:
        """The cookie of somebody of that role: viewer-1, then viewer-2."""
        self._names += 1
        name = f"{role.label}-{self._names}"
        await self._identity.accounts.add(name, role, ADMIN)
        await self._identity.accounts.set_password(name, PASSWORD, ADMIN)
        return (await self._identity.login(name, PASSWORD, "127.0.0.1")).cookie

    async def browser(self, role: Role) -> httpx.AsyncClient:
        browser = self.stranger()
        browser.cookies.set("hf_session", await self.session(role))
        return browser

    def stranger(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=self.address)

    async def post(self, *records: Record) -> None:
        leaves = [leaf_of(each) for each in records]
        columns = zip(*((each.source, each.epoch, each.seq) for each in records), strict=True)
        stretches = numbered(*map(list, columns))
        await self._line.append([Prepared("acme", leaves, leaf_hashes(leaves), stretches)])


def record(seq: int, **told: object) -> Record:
    usual: dict[str, object] = {
        "epoch": 1,
        "job": f"job-{seq}",
        "kind": Kind.PRINT,
        "occurred_at": NOW,
        "seq": seq,
        "source": "prints",
        "status": Status.COMPLETED,
        "tenant": "acme",
    }
    return Record(**{**usual, **told})  # type: ignore[arg-type]
