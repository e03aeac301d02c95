"""The chaos rounds with the real processes: `holdfast serve ledger` in each region, `holdfast ledger witness`
in a third place, and sources that post over HTTP.
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
from tests.chaos.ledger_serving import ORIGIN, TENANT, Away, Told, conninfo
from tests.ledger_process import NDJSON, SEED, LedgerProcess, ledger_process, source_token, verifier_key
from tests.ledger_witness import WitnessProcess
from tests.protected import Protected
from tests.standby import STANDBY

from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.postgres.migrate import migrate
from holdfast.adapters.postgres.server.external import ExternalPostgres
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.ledger.log.checkpoint import Checkpoint
from holdfast.ledger.log.notes import Note

HANDED_OUT_WITHIN_S = 60.0
_LOG = Ed25519Signer(ORIGIN, SEED)


class ProcessThird:
    """With a witness in a process of its own."""

    load_s = 1.5
    """Time for a checkpoint or two."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._witness = WitnessProcess(folder / "witness", verifier_key())
        self._tokens = dict[str, str]()
        self._numbers = count(1)

    def __enter__(self) -> Self:
        self._witness.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._witness.end(signal.SIGKILL)

    async def prepare(self, server: Protected, sources: list[str]) -> None:
        await ExternalPostgres(conninfo(server).dsn).start()  # makes the roles
        await migrate(conninfo(server))
        with server.connect() as connection:
            self._tokens = {source: source_token(connection, TENANT, source) for source in sources}

    @asynccontextmanager
    async def serving(
        self, server: Protected, gates_answers: bool, gates_checkpoints: bool
    ) -> AsyncIterator["ProcessServing"]:
        assert gates_answers
        assert gates_checkpoints
        second = {"standby": STANDBY, "mode": "flushed", "when_away": "stall", "within": "2s"}
        more: dict[str, Any] = {"second_region": second, "witness": self._witness.declared}
        process = ledger_process(
            self._folder / f"region-{next(self._numbers)}", conninfo(server).dsn, more, wait=False
        )
        async with AsyncExitStack() as stack:
            running = await asyncio.to_thread(process.__enter__)
            stack.push_async_callback(asyncio.to_thread, process.__exit__, None, None, None)
            await asyncio.to_thread(running.start)
            pool = await stack.enter_async_context(open_pool(conninfo(server), "chaos"))
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=running.url, timeout=5.0))
            yield ProcessServing(running, pool, client, self._tokens)

    def newest(self, origin: str) -> Checkpoint | None:
        path = self._witness.state / f"{sha256(origin.encode()).hexdigest()}.checkpoint"
        return Checkpoint.parsed(path.read_text(encoding="utf-8")) if path.exists() else None


class ProcessServing:
    """One `holdfast serve ledger`."""

    reach = "two regions"
    """Where each record is that it acknowledges."""

    def __init__(
        self, process: LedgerProcess, pool: Pool, client: httpx.AsyncClient, tokens: dict[str, str]
    ) -> None:
        self.store = PostgresLogs(pool, ZstdSegments())
        self.log_key = _LOG.key
        self._process = process
        self._client = client
        self._tokens = tokens

    def end(self) -> None:
        self._process.kill()

    async def post(self, source: str, records: list[bytes]) -> Told:
        headers = {"authorization": f"Bearer {self._tokens[source]}", "content-type": NDJSON}
        try:
            answer = await self._client.post("/v1/records", content=b"\n".join(records), headers=headers)
        except httpx.TransportError as error:
            raise Away from error
        if answer.status_code != httpx.codes.OK:
            raise Away(answer.text)
        told = answer.json()
        assert (told["reach"], told["conflicts"], told["refused"]) == (self.reach, [], []), told
        leaves = {
            line: each["leaf"] + line - each["first"]
            for each in (*told["taken"], *told["repeated"])
            for line in range(each["first"], each["last"] + 1)
        }
        repeated = sum(each["last"] - each["first"] + 1 for each in told["repeated"])
        return Told([leaves[line] for line in range(1, len(records) + 1)], repeated)

    async def publish(self) -> tuple[str, str]:
        try:
            answer = await self._client.get(f"/v1/logs/{TENANT}/checkpoint")
        except httpx.TransportError:
            return "", ""
        return (answer.text if answer.status_code == httpx.codes.OK else ""), ""

    async def handed_out(self, size: int) -> tuple[str, str]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + HANDED_OUT_WITHIN_S
        while loop.time() < deadline:
            text, _ = await self.publish()
            if text and Checkpoint.parsed(Note.parsed(text).body).size >= size:
                return text, ""
            await asyncio.sleep(0.05)
        return "", f"no checkpoint of {size:,} leaves is handed out: {self._process.started.said}"  # type: ignore[union-attr]

    async def entries_from(self, first: int) -> dict[int, bytes]:
        head = await self.store.head(TENANT)
        if head is None or head.edge.size <= first:
            return {}
        return dict(enumerate(await self.store.entries(head.log_id, first, head.edge.size - first), first))
