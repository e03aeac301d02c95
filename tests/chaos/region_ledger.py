"""A ledger in the two-region lab: `holdfast serve ledger` in the region that leads, over the lab's
PostgreSQL, which its other region follows; `holdfast ledger witness` in a third place, and sources that post
over HTTP.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, Self

import httpx
import psycopg
from psycopg.conninfo import conninfo_to_dict
from tests.chaos.ledger_process_serving import ProcessServing
from tests.chaos.ledger_serving import ORIGIN, TENANT
from tests.ledger_process import SEED, ledger_process, source_token, verifier_key
from tests.ledger_witness import WitnessProcess

from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.postgres.migrate import migrate
from holdfast.adapters.postgres.server.external import ExternalPostgres
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.ledger.log.checkpoint import Checkpoint
from holdfast.ledger.log.notes import VerifierKey

DATABASE = "holdfast_ledger"
OTHER = {"a": "b", "b": "a"}


class RegionLedger:
    """One ledger, wherever it is served. `superuser`: how the lab's PostgreSQL is reached where it leads."""

    def __init__(self, folder: Path, superuser: str, *, waits: bool = True) -> None:
        """`waits`: an entry is acknowledged once the other region has flushed it; else at once."""
        folder.mkdir(parents=True)
        words = {name: str(text) for name, text in conninfo_to_dict(superuser).items()}
        self._password = words.pop("password")
        self._words = {**words, "dbname": DATABASE}
        self._folder = folder
        self._waits = waits
        self._witness = WitnessProcess(folder / "witness", verifier_key())
        self._tokens = dict[str, str]()
        self._numbers = count(1)

    def __enter__(self) -> Self:
        self._witness.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._witness.end(signal.SIGKILL)

    @property
    def conninfo(self) -> Conninfo:
        return Conninfo(Role.OWNER, self._words, self._password)

    async def prepare(self, sources: list[str]) -> None:
        """Make the database and its tables, and let these sources post."""
        first = self.conninfo.with_settings(dbname="postgres").dsn
        async with await psycopg.AsyncConnection.connect(first, autocommit=True) as connection:
            await connection.execute(f"CREATE DATABASE {DATABASE} ENCODING 'UTF8' TEMPLATE template0")
        await ExternalPostgres(self.conninfo.dsn).start()  # makes the roles
        await migrate(self.conninfo)
        with psycopg.connect(self.conninfo.dsn, autocommit=True) as connection:
            self._tokens = {source: source_token(connection, TENANT, source) for source in sources}

    @asynccontextmanager
    async def serving(self, region: str) -> AsyncIterator[ProcessServing]:
        """What serves it in the region that leads, until it is killed, at the latest behind this."""
        more: dict[str, Any] = {"witness": self._witness.declared}
        if self._waits:
            more["second_region"] = {
                "standby": OTHER[region],
                "mode": "flushed",
                "when_away": "stall",
                "within": "2s",
            }
        folder = self._folder / f"{region}-{next(self._numbers)}"
        process = ledger_process(folder, self.conninfo.dsn, more, wait=False)
        async with AsyncExitStack() as stack:
            running = await asyncio.to_thread(process.__enter__)
            stack.push_async_callback(asyncio.to_thread, process.__exit__, None, None, None)
            await asyncio.to_thread(running.start)
            pool = await stack.enter_async_context(open_pool(self.conninfo, "chaos", max_size=2))
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=running.url, timeout=5.0))
            serving = ProcessServing(running, pool, client, self._tokens)
            serving.reach = "two regions" if self._waits else "one region"
            yield serving

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[tuple[PostgresLogs, VerifierKey]]:
        """Its store, wherever the database leads, and whether it is served or not."""
        async with open_pool(self.conninfo, "chaos", max_size=1) as pool:
            yield PostgresLogs(pool, ZstdSegments()), Ed25519Signer(ORIGIN, SEED).key

    async def entries_from(self, first: int) -> dict[int, bytes]:
        """By leaf, all there is from there on."""
        async with self.reading() as (store, _):
            head = await store.head(TENANT)
            if head is None or head.edge.size <= first:
                return {}
            found = await store.entries(head.log_id, first, head.edge.size - first)
            return dict(enumerate(found, first))

    def newest(self) -> Checkpoint | None:
        """What the witness has cosigned last."""
        path = self._witness.state / f"{sha256(ORIGIN.encode()).hexdigest()}.checkpoint"
        return Checkpoint.parsed(path.read_text(encoding="utf-8")) if path.exists() else None
