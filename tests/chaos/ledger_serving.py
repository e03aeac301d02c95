"""What serves a ledger in the chaos rounds: it begins anew with each primary and dies with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol, Self

from tests.ledger_process import SEED
from tests.protected import OWNER_PASSWORD, Protected
from tests.standby import STANDBY

from holdfast.adapters.memory.ledger.logs import MemorySecondRegion
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.errors import DatabaseError
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.postgres.ledger.published import PostgresPublished
from holdfast.adapters.postgres.migrate import migrate
from holdfast.adapters.postgres.standby import PostgresStandby
from holdfast.adapters.signing.ed25519 import Ed25519Signer, verifies
from holdfast.adapters.witness.folder import FolderWitness
from holdfast.kernel.clock import SystemClock
from holdfast.ledger.append.acknowledging import Gate, WhenAway
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.errors import Fork, LedgerError, NotFlushed, WitnessAway
from holdfast.ledger.intake.reading import Form, Sender, read
from holdfast.ledger.log.checkpoint import Checkpoint
from holdfast.ledger.log.notes import COSIGNATURE_V1, Signature, VerifierKey
from holdfast.ledger.log.witness import Addition, Refused
from holdfast.ledger.publish.publishing import Publisher

TENANT, ORIGIN = "acme", "ledger.example/acme"
WITHIN_S = 2.0
_LOG = Ed25519Signer(ORIGIN, SEED)
_WITNESS = Ed25519Signer("witness.example", b"w" * 32, COSIGNATURE_V1)


class Away(Exception):  # noqa: N818
    """Whoever serves does not answer."""


@dataclass(frozen=True, slots=True)
class Told:
    """The answer to a request: the leaf of each record, and how many were there already."""

    leaves: list[int]
    repeated: int


class Served(Protocol):
    """What serves at one primary, until it is killed."""

    store: PostgresLogs
    log_key: VerifierKey

    def end(self) -> None:
        """It is killed."""
        ...

    async def post(self, source: str, records: list[bytes]) -> Told:
        """Raises Away when there is no acknowledgement."""
        ...

    async def publish(self) -> tuple[str, str]:
        """A checkpoint that anybody may see now, and why there never can be another one, if so."""
        ...

    async def handed_out(self, size: int) -> tuple[str, str]:
        """The same, once it holds so many leaves."""
        ...

    async def entries_from(self, first: int) -> dict[int, bytes]:
        """By leaf, all there is from there on."""
        ...


class Place(Protocol):
    """The third place, which outlives every primary: the witness."""

    load_s: float
    """For so long a primary is under load, at most."""

    async def prepare(self, server: Protected, sources: list[str]) -> None:
        """Make the ledger's tables, and let these sources post."""
        ...

    def serving(
        self, server: Protected, gates_answers: bool, gates_checkpoints: bool
    ) -> AbstractAsyncContextManager[Served]:
        """What serves at this server. Others may do so at the same time elsewhere, as after a failover."""
        ...

    def newest(self, origin: str) -> Checkpoint | None:
        """What the witness has cosigned last."""
        ...


class Third:
    """With a witness in this process, for what serves in this process."""

    load_s = 0.5

    def __init__(self, folder: Path) -> None:
        self.witness = FolderWitness(folder, _WITNESS, {ORIGIN: _LOG.key}, verifies, SystemClock())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.witness.close()

    async def prepare(self, server: Protected, sources: list[str]) -> None:
        del sources
        await migrate(conninfo(server))

    @asynccontextmanager
    async def serving(
        self, server: Protected, gates_answers: bool, gates_checkpoints: bool
    ) -> AsyncIterator["Serving"]:
        async with open_pool(conninfo(server), "chaos", max_size=8, wait=timedelta(seconds=2)) as pool:
            yield Serving(pool, self, gates_answers, gates_checkpoints)

    def newest(self, origin: str) -> Checkpoint | None:
        return self.witness.newest(origin)

    async def cosign(self, addition: Addition) -> Signature | int:
        answer = await asyncio.to_thread(self.witness.add, addition)
        if not isinstance(answer, Refused):
            return answer
        if answer.size is None:
            raise Fork(f"the witness refuses: {answer.reason}")
        return answer.size


class Serving:
    """Takes requests, acknowledges them, hands out checkpoints: until it ends."""

    def __init__(self, pool: Pool, third: Third, gates_answers: bool, gates_checkpoints: bool) -> None:
        packs = ZstdSegments()
        self.store = PostgresLogs(pool, packs)
        self.log_key: VerifierKey = _LOG.key
        second = PostgresStandby(pool, STANDBY)
        self._line = Sequencer(self.store, packs, origin_of=lambda _: ORIGIN, signer_for=lambda _: _LOG)
        self._gate = Gate(second, WhenAway.STALL, WITHIN_S, lambda *_: None) if gates_answers else None
        self._publisher = Publisher(
            self.store,
            PostgresPublished(pool),
            second if gates_checkpoints else MemorySecondRegion(),
            third,
            witness_key=_WITNESS.key,
            verifies=verifies,
            flushed_within_s=WITHIN_S,
        )
        self._ended = asyncio.Event()

    def end(self) -> None:
        self._ended.set()

    async def post(self, source: str, records: list[bytes]) -> Told:
        found = read(b"\n".join(records), Form.NDJSON, Sender(TENANT, source))
        assert not found.refused
        try:
            appended = await self._line.append([found.prepared])
            if self._gate:
                await self._gate.passed(appended.lsn)
        except (DatabaseError, NotFlushed) as error:
            raise Away from error
        if self._ended.is_set():
            raise Away
        placed = appended.placed[0]
        assert not placed.conflicts
        by_line = dict(zip(found.lines, placed.leaves, strict=True))
        return Told([by_line[line] for line in range(1, len(records) + 1)], len(placed.repeated))

    async def publish(self) -> tuple[str, str]:
        head = await self._head()
        if head is None:
            return "", ""
        try:
            handed = await self._publisher.publish(head, self.log_key)
        except (DatabaseError, NotFlushed, WitnessAway):
            return "", ""
        except Fork as error:
            return "", str(error)
        return (handed.text if handed else ""), ""

    async def handed_out(self, size: int) -> tuple[str, str]:
        del size
        return await self.publish()

    async def entries_from(self, first: int) -> dict[int, bytes]:
        head = await self.store.head(TENANT)
        if head is None or head.edge.size <= first:
            return {}
        found = await self.store.entries(head.log_id, first, head.edge.size - first)
        return dict(enumerate(found, first))

    async def _head(self) -> int | None:
        try:
            head = await self.store.head(TENANT)
        except (DatabaseError, LedgerError):
            return None
        return head.log_id if head else None


def conninfo(server: Protected) -> Conninfo:
    params = {name: value for name, value in server.owner_params.items() if name != "password"}
    return Conninfo(Role.OWNER, params, OWNER_PASSWORD)
