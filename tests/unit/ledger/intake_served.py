"""The ledger's address over memory stores, for tests of what it answers."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from holdfast.adapters.memory.ledger.logs import MemoryLogs, MemoryPublished, MemorySecondRegion
from holdfast.adapters.memory.ledger.regions import MemoryOneRegion
from holdfast.adapters.memory.ledger.sources import MemorySources
from holdfast.adapters.packing.bodies import unpacked
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.interfaces.ledger.app import create_ledger_app
from holdfast.interfaces.ledger.callers import Callers
from holdfast.interfaces.ledger.services import Services
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.append.acknowledging import Gate, WhenAway
from holdfast.ledger.append.sequences import Before
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.intake.reading import MOST_BODY_BYTES, Read, Sender, read
from holdfast.ledger.intake.taking import Posted, Taking
from holdfast.ledger.sources import SourceKind, fresh_token, sha256_of

NDJSON = "application/x-ndjson"


class Here:
    """`Preparing` in this process."""

    async def prepared(self, posted: Posted, sender: Sender, before: Before | None) -> Read:
        return read(unpacked(posted.body, posted.coding, MOST_BODY_BYTES), posted.form, sender, before=before)


class Served:
    """One ledger with tenants acme (sources spooler, mfp) and other (source spooler)."""

    def __init__(self, policy: WhenAway = WhenAway.STALL) -> None:
        self.clock = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
        self.told = list[tuple[str, Mapping[str, object]]]()
        self.troubles = list[HoldfastError]()
        self.sources = MemorySources(self.clock)
        self.store = MemoryLogs(ZstdSegments())
        self.published = MemoryPublished()
        self.second = MemorySecondRegion()
        self.marks = MemoryOneRegion(self.clock)
        self.gate = Gate(self.second, policy, 0.01, lambda *told: self.told.append(told))
        self.sequencer = Sequencer(
            self.store,
            ZstdSegments(),
            origin_of=lambda tenant: f"ledger.example/{tenant}",
            signer_for=lambda origin: Ed25519Signer(origin, bytes(32)),
        )
        self.taking = Taking(Here(), self.sequencer, self.gate, self.marks, self.published, patience_s=10.0)
        services = Services(
            clock=self.clock,
            callers=Callers(self.sources, self.clock),
            intake=self.taking,
            logs=self.store,
            published=self.published,
            origin_of=lambda tenant: f"ledger.example/{tenant}",
            key_of=lambda origin: Ed25519Signer(origin, bytes(32)).key,
            on_trouble=self.troubles.append,
        )
        self.app = create_ledger_app(services)
        self.tokens = dict[tuple[str, str], str]()

    async def begin(self) -> "Served":
        for tenant, sources in {"acme": ("spooler", "mfp"), "other": ("spooler",)}.items():
            await self.sources.add_tenant(tenant, tenant, "UTC", None, actor="test")
            for source in sources:
                await self.sources.add_source(tenant, source, SourceKind.CLIENT, source, actor="test")
                token = self.tokens[tenant, source] = fresh_token()
                await self.sources.add_token(tenant, source, "", sha256_of(token), actor="test")
        token = self.tokens["acme", ""] = fresh_token()
        await self.sources.add_token("acme", None, "auditor", sha256_of(token), actor="test")
        return self

    async def post(
        self,
        body: bytes,
        *,
        who: tuple[str, str] = ("acme", "spooler"),
        kind: str = NDJSON,
        **headers: str,
    ) -> httpx.Response:
        sent = {
            "authorization": f"Bearer {self.tokens.get(who, 'none')}",
            "content-type": kind,
            **{name.replace("_", "-"): text for name, text in headers.items()},
        }
        return await self.call("POST", "/v1/records", content=body, headers=sent)

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://ledger") as client:
            return await client.request(method, path, **more)


def line(seq: int, *, source: str = "spooler", tenant: str = "acme", **more: object) -> bytes:
    """A record as a source posts it."""
    return json.dumps(
        {
            "tenant": tenant,
            "source": source,
            "epoch": 1,
            "seq": seq,
            "job": f"{source}-{seq}",
            "kind": "print",
            "status": "completed",
            "occurred_at": "2026-11-22T12:00:00Z",
            **more,
        }
    ).encode()


def lines(*seqs: int, **more: str) -> bytes:
    return b"\n".join(line(seq, **more) for seq in seqs)
