"""The sender's process: what waits in the outbox leaves from here, and nothing else does."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import structlog

from holdfast.adapters.notify.accepted import AcceptedFile, accepted_file
from holdfast.adapters.notify.postman import noted_by_the_last
from holdfast.adapters.postgres.changes import CHANGED, OUTBOX, PostgresChanges
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.deliveries import PostgresDeliveries
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.bootstrap.couriers import composer_of, couriers_of
from holdfast.bootstrap.signals import Signals
from holdfast.bootstrap.vault import vault_for
from holdfast.communication.delivering import Holder
from holdfast.communication.sending import Office, Sender
from holdfast.estate.model import Estate
from holdfast.kernel.clock import SystemClock
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.vault import Vault

RETRY_EVERY_S = 1.0
KEEP_HOUSE_EVERY_S = 3600.0
MOST_DESKS = 16
"""Senders on one data directory. More than one runs there only where somebody starts more."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Desk:
    """What one sender has to itself for as long as it lives: its name, and what was noted as accepted.

    `posted` are the notes of its postman, who may outlive it for a moment.
    """

    name: str
    accepted: AcceptedFile
    posted: Path


async def run_sender(
    estate: Estate, config: Path, data_dir: Path, conninfo: Conninfo, signals: Signals
) -> None:
    """Send until `signals.stop`. The database and every receiver may be away at any time.

    `estate` serves until the one in force is known.
    """
    vault = vault_for(estate, config, data_dir)
    with own_desk(data_dir / "sender") as desk:
        log.info("sender_started", desk=desk.name)
        async with open_pool(conninfo, "sender", max_size=4) as pool:
            process = SenderProcess(estate, config, conninfo, pool, desk, vault)
            working = asyncio.create_task(process.run(signals))
            stopping = asyncio.create_task(signals.stop.wait())
            try:
                await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (working, stopping):
                    task.cancel()
                ended = await asyncio.gather(working, stopping, return_exceptions=True)
            for each in ended:
                if isinstance(each, Exception):
                    raise each


class SenderProcess:
    """Sends as the estate in force says, and begins anew when that changes."""

    def __init__(
        self, estate: Estate, config: Path, conninfo: Conninfo, pool: Pool, desk: Desk, vault: Vault
    ) -> None:
        self._estate = estate
        self._config = config
        self._conninfo = conninfo
        self._pool = pool
        self._desk = desk
        self._vault = vault
        self._store = PostgresDeliveries(pool)
        self._changed = asyncio.Event()
        self._sender: Sender | None = None

    async def run(self, signals: Signals) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._reread(signals))
            group.create_task(self._keep_house())
            group.create_task(self._send())

    async def _send(self) -> None:
        while True:
            self._changed.clear()
            async with self._sending() as sender:
                self._sender = sender
                sending = asyncio.create_task(sender.run())
                changing = asyncio.create_task(self._changed.wait())
                try:
                    await asyncio.wait({sending, changing}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    self._sender = None
                    changing.cancel()
                    sending.cancel()
                    ended = await asyncio.gather(sending, changing, return_exceptions=True)
                for each in ended:
                    if isinstance(each, Exception):
                        raise each

    @contextlib.asynccontextmanager
    async def _sending(self) -> AsyncIterator[Sender]:
        clock, desk = SystemClock(), self._desk
        composer = composer_of(self._estate)
        # A postman whose sender was killed is waited for: then it is known what it has handed over.
        await noted_by_the_last(desk.posted, into=desk.accepted)
        async with couriers_of(
            self._estate, self._config, self._pool, self._vault, clock, desk.posted
        ) as ways:
            log.info("sender_ready", channels=[each.value for each in ways])
            yield Sender(
                Office(
                    self._store,
                    composer,
                    self._vault,
                    clock,
                    Holder(desk.name, str(uuid4())),
                    desk.accepted,
                    _tell,
                ),
                ways,
            )

    async def _listen(self) -> None:
        async for what in PostgresChanges(self._conninfo, (CHANGED, OUTBOX))():
            if what in {OUTBOX, "reconnected"} and self._sender is not None:
                self._sender.wake()
            if what in {"estate", "reconnected"}:
                await self._refresh()

    async def _refresh(self) -> None:
        try:
            found = await PostgresRegistry(self._conninfo).in_force()
        except HoldfastError as error:
            log.warning("estate_not_read", error=str(error))
            return
        if found is not None and _concerns(found[0]) != _concerns(self._estate):
            self._estate = found[0]
            self._changed.set()

    async def _reread(self, signals: Signals) -> None:
        """A SIGHUP tells of a changed secret, for which the estate file stays as it is."""
        while True:
            await signals.reload.wait()
            signals.reload.clear()
            await self._refresh()
            self._changed.set()

    async def _keep_house(self) -> None:
        while True:
            try:
                await self._store.keep_house()
            except HoldfastError as error:
                log.warning("house_not_kept", error=str(error))
                await asyncio.sleep(RETRY_EVERY_S * 60)
                continue
            await asyncio.sleep(KEEP_HOUSE_EVERY_S)


def _concerns(estate: Estate) -> Sequence[object]:
    """What of an estate the sender goes by."""
    return estate.mail, estate.site, estate.communication.subscriptions


@contextlib.contextmanager
def own_desk(folder: Path) -> Iterator[Desk]:
    """The first desk in `folder` that nobody sits at. Its last holder is dead, and may be followed.

    The name holds the host's, so that a copied data directory does not make two senders one.
    """
    for number in range(MOST_DESKS):
        place = folder / str(number)
        with contextlib.ExitStack() as stack:
            try:
                accepted = stack.enter_context(accepted_file(place / "accepted"))
            except BlockingIOError:
                continue
            name = f"{_kept_name(place / 'name')}@{socket.gethostname()}"
            yield Desk(name, accepted, place / "posted")
            return
    raise HoldfastError(f"{MOST_DESKS} senders run in {folder} already", hint="stop some of them")


def _kept_name(path: Path) -> str:
    """Made once, under the desk's lock."""
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.write_text(str(uuid4()), encoding="ascii")
        fresh.replace(path)
    return path.read_text(encoding="ascii")


def _tell(event: str, facts: Mapping[str, object]) -> None:
    log.info(event, **facts)
