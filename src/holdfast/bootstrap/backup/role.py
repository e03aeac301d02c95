"""The backup's process: a keeper for each database of the estate in force.

Holdfast's own database may be away for days: WAL is received, backups are taken, locked, copied and verified
all the same. Only what was approved is not known then, and so nothing expires.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import structlog

from holdfast.adapters.notify.channels import AppriseNotifier
from holdfast.adapters.postgres.changes import PostgresChanges
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.journal import PostgresJournal
from holdfast.bootstrap.alerting import url_of
from holdfast.bootstrap.backup.alarms import Alarms
from holdfast.bootstrap.backup.duties import EstateDuties
from holdfast.bootstrap.backup.engine_keeper import EngineKeeper
from holdfast.bootstrap.backup.engine_kinds import engine_keeper
from holdfast.bootstrap.backup.keeper import Keeper
from holdfast.bootstrap.backup.opening import regions_of
from holdfast.bootstrap.backup.turns import Turns
from holdfast.bootstrap.following import FollowedEstate
from holdfast.bootstrap.signals import Signals
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.journal import JournalEntry

ASKED_WITHIN_S = 15.0
"""A keeper does not wait longer for Holdfast's own database."""
ACTOR = "backup"

T = TypeVar("T")
log = structlog.get_logger()


async def run_backup(estate: Estate, place: Place, conninfo: Conninfo, signals: Signals) -> None:
    """Keep every declared database until `signals.stop`. All that is outside may be away at any time.

    `estate` serves until the one in force is known.
    """
    followed = FollowedEstate(
        PostgresRegistry(conninfo), place.data_dir / "backup" / "estate.json", fallback=estate
    )
    async with open_pool(conninfo, "backup", max_size=4) as pool:
        await followed.refresh()
        process = BackupProcess(place, conninfo, pool, followed)
        working = [
            asyncio.create_task(process.run()),
            asyncio.create_task(process.follow(PostgresChanges(conninfo), signals)),
            asyncio.create_task(process.write_journal()),
        ]
        stopping = asyncio.create_task(signals.stop.wait())
        try:
            await asyncio.wait({*working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*working, stopping):
                task.cancel()
            ended = await asyncio.gather(*working, stopping, return_exceptions=True)
        for each in ended:
            if isinstance(each, Exception):
                raise each


class BackupProcess:
    """Runs the keepers that the estate asks for, and begins anew when that changes."""

    def __init__(self, place: Place, conninfo: Conninfo, pool: Pool, followed: FollowedEstate) -> None:
        self._place = place
        self._pool = pool
        self._followed = followed
        self._clock: Clock = SystemClock()
        self._journal = PostgresJournal(conninfo)
        self._entries: asyncio.Queue[JournalEntry] = asyncio.Queue(maxsize=1000)
        self._changed = asyncio.Event()
        self._alarms: Alarms | None = None
        self._turns = Turns()
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        while True:
            self._changed.clear()
            async with self._keeping(self._followed.estate):
                await self._changed.wait()

    async def follow(self, changes: PostgresChanges, signals: Signals) -> None:
        """Begin anew when the estate in force has other databases, or on a SIGHUP: of a changed secret."""
        await self._followed.watch(changes, signals, _concerns, self._changed)

    async def write_journal(self) -> None:
        """Events, in order. What the database does not take now waits; too many are in the log alone."""
        while True:
            entry = await self._entries.get()
            while True:
                try:
                    await self._journal.append(entry)
                except HoldfastError as error:
                    log.warning("journal_not_written", error=str(error))
                    await asyncio.sleep(ASKED_WITHIN_S)
                else:
                    break

    @contextlib.asynccontextmanager
    async def _keeping(self, estate: Estate) -> AsyncIterator[None]:
        notifier = AppriseNotifier(partial(url_of, estate, self._place.config))
        self._alarms = Alarms(estate, notifier, self._clock.monotonic)
        alarming = asyncio.create_task(self._alarms.run())
        keepers: list[Keeper | EngineKeeper] = []
        for key, database in estate.databases.items():
            duties = EstateDuties(self, estate, key, self._place, self._pool, self._clock)
            if database.engine != "native":
                told = self.tell, self.tell_entry, self._turns
                keepers.append(engine_keeper(estate, key, self._place, self._clock, duties, *told))
                continue
            try:
                regions = regions_of(estate, key, self._place.config, self._place.data_dir)
            except HoldfastError as error:
                self.tell("backup.not_kept", {"database": key, "error": str(error), "hint": error.hint})
                continue
            keepers.append(Keeper(key, regions, duties, self._clock, self.tell, self._turns))
        log.info("backup_ready", databases=list(estate.databases))
        try:
            for keeper in keepers:
                keeper.start()
            yield
        finally:
            await asyncio.gather(*(asyncio.to_thread(keeper.stop) for keeper in keepers))
            alarming.cancel()

    def tell(self, event: str, facts: Mapping[str, object]) -> None:
        """Into the log, and the journal. From any thread."""
        self.tell_entry(JournalEntry(self._clock.now(), ACTOR, event, facts))

    def tell_entry(self, entry: JournalEntry) -> None:
        log.info(entry.event.replace(".", "_"), **entry.facts)
        self._loop.call_soon_threadsafe(self._enqueue, entry)

    def _enqueue(self, entry: JournalEntry) -> None:
        if self._alarms is not None:
            self._alarms.hear(entry)
        with contextlib.suppress(asyncio.QueueFull):
            self._entries.put_nowait(entry)

    def ask(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it on the process's loop, from a keeper's thread. Raises what it raises, and TimeoutError."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, ASKED_WITHIN_S), self._loop).result()


def _concerns(estate: Estate) -> Sequence[object]:
    """What of an estate the keepers go by."""
    return estate.databases, estate.backup, estate.agreements
