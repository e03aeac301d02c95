"""The backup's process: a keeper for each database of the estate in force.

Holdfast's own database may be away for days: WAL is received, backups are taken and copies verified all the
same. Only what was approved is not known then, and so nothing expires.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import structlog

from holdfast.adapters.notify.channels import AppriseNotifier
from holdfast.adapters.postgres.backup import PostgresBackupStatus
from holdfast.adapters.postgres.changes import PostgresChanges
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.journal import PostgresJournal
from holdfast.backup.model import BackupKind, Holdings
from holdfast.backup.ports import Region
from holdfast.backup.recoverable.pace import pace_of
from holdfast.backup.recoverable.points import RegionPoints, points_of
from holdfast.backup.take.scheduling import Due, due, shortest_rto
from holdfast.backup.verify.verification import verifications_in
from holdfast.backup.wal.receiving import Receiver
from holdfast.backup.wal.spool import Spool
from holdfast.bootstrap.alerting import url_of
from holdfast.bootstrap.backup.alarms import Alarms
from holdfast.bootstrap.backup.keeper import Keeper
from holdfast.bootstrap.backup.opening import regions_of
from holdfast.bootstrap.backup.recoverable import in_force
from holdfast.bootstrap.backup.taking import LocalBackups
from holdfast.bootstrap.backup.verifying import LocalVerifications
from holdfast.bootstrap.backup.wal import pusher_for, receiver_for, spool_for
from holdfast.bootstrap.following import FollowedEstate
from holdfast.bootstrap.signals import Signals
from holdfast.estate.backup import Keep
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.backup import BackupRequest
from holdfast.interfaces.cli.ports import Place, Progress
from holdfast.interfaces.cli.verifying import VerifyRequest
from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.journal import JournalEntry

ASKED_WITHIN_S = 15.0
"""A keeper does not wait longer for Holdfast's own database."""
KEPT_FOR = timedelta(minutes=5)
"""How long an answer of what is in force is good for."""
LOOKED_AT = 10
"""Verifications of each region, to know when the last one was."""
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
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        while True:
            self._changed.clear()
            async with self._keeping(self._followed.estate):
                await self._changed.wait()

    async def follow(self, changes: PostgresChanges, signals: Signals) -> None:
        """Begin anew when the estate in force has other databases, or on a SIGHUP: of a changed secret."""
        rereading = asyncio.create_task(self._reread(signals))
        try:
            known = _concerns(self._followed.estate)
            async for _ in self._followed.changes(changes):
                if (concerns := _concerns(self._followed.estate)) != known:
                    known = concerns
                    self._changed.set()
        finally:
            rereading.cancel()

    async def _reread(self, signals: Signals) -> None:
        while True:
            await signals.reload.wait()
            signals.reload.clear()
            await self._followed.refresh()
            self._changed.set()

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
        self._alarms = Alarms(estate, AppriseNotifier(partial(url_of, estate, self._place.config)))
        alarming = asyncio.create_task(self._alarms.run())
        keepers = []
        for key, database in estate.databases.items():
            if database.engine != "native":
                continue
            try:
                regions = regions_of(estate, key, self._place.config)
            except HoldfastError as error:
                self.tell("backup.not_kept", {"database": key, "error": str(error), "hint": error.hint})
                continue
            duties = EstateDuties(self, estate, key, self._place, self._pool, self._clock)
            keepers.append(Keeper(key, regions, duties, self._clock, self.tell))
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
            self._alarms.hear(entry, self._clock.monotonic())
        with contextlib.suppress(asyncio.QueueFull):
            self._entries.put_nowait(entry)

    def ask(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it on the process's loop, from a keeper's thread. Raises what it raises, and TimeoutError."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, ASKED_WITHIN_S), self._loop).result()


class EstateDuties:
    """A keeper's `Duties`, as the estate declares them."""

    def __init__(
        self, process: BackupProcess, estate: Estate, database: str, place: Place, pool: Pool, clock: Clock
    ) -> None:
        self._process = process
        self._estate = estate
        self._database = database
        self._declared = estate.databases[database]
        self._place = place
        self._pool = pool
        self._clock = clock
        self._keeps: tuple[datetime, Mapping[str, Keep]] | None = None

    def receiver(self) -> tuple[Spool, Receiver] | None:
        if self._declared.mode == "archive":
            return None
        spool = spool_for(self._estate, self._place, self._database)
        try:
            told = self._process.tell
            receiver = receiver_for(
                self._estate,
                self._place,
                self._database,
                spool,
                self._clock,
                lambda name, facts: told(f"backup.{name}", {"database": self._database, **facts}),
            )
        except BaseException:
            spool.close()
            raise
        return spool, receiver

    def bring_pushed(self) -> None:
        if self._declared.mode == "archive":
            pusher_for(self._estate, self._place, self._database).drain()

    def due(self, held: Sequence[Holdings]) -> Due | None:
        """As the region that holds most sees it: one that lacks something gets it from there."""
        if not held:
            return None
        best = max(held, key=lambda each: (len(each.backups), each.region))
        regions = {each.name: each for each in self._regions()}
        return due(
            best,
            self._declared.schedule,
            self._clock.now(),
            rto=shortest_rto(self._estate.agreements.values(), self._declared.cluster),
            pace=pace_of(verifications_in(regions[best.region], self._database)),
        )

    def take(self, due: Due) -> str:
        request = BackupRequest(self._database, full=due.kind is BackupKind.FULL)
        outcome = LocalBackups(self._clock).now(self._place, request, _quiet)
        return outcome.backup.id if outcome.backup else ""

    def points(self, region: Region) -> RegionPoints:
        return points_of(region, self._database, self._clock)

    def report(self, points: RegionPoints) -> None:
        with contextlib.suppress(TimeoutError):
            self._process.ask(PostgresBackupStatus(self._pool).report(points))

    def keep(self, region: str) -> Keep | None:
        now = self._clock.now()
        if self._keeps is None or not timedelta() <= now - self._keeps[0] < KEPT_FOR:
            try:
                keeps = self._process.ask(in_force(self._pool, self._estate, self._database))
            except (HoldfastError, TimeoutError):
                return None
            self._keeps = (now, keeps)
        return self._keeps[1].get(region)

    def verify_due(self) -> None:
        """The newest point and an older one, once in `verification.every`, in the region whose turn it is."""
        regions = self._regions()
        now = self._clock.now()
        # Those from the future are of a clock that was wrong, or forged: with them it would never be time.
        newest = [
            each.started_at
            for region in regions
            for each in verifications_in(region, self._database, newest=LOOKED_AT)
            if each.started_at <= now
        ]
        if newest and now - max(newest) < self._declared.verification.every:
            return
        if not newest and not any(self.points(region).windows for region in regions):
            return  # nothing was ever taken: that is told by what is missing, not by a restore that fails
        LocalVerifications(self._process.tell_entry, self._clock).verify(
            self._place, VerifyRequest(self._database), _quiet
        )

    def _regions(self) -> list[Region]:
        return regions_of(self._estate, self._database, self._place.config)


def _concerns(estate: Estate) -> Sequence[object]:
    """What of an estate the keepers go by."""
    return estate.databases, estate.backup, estate.agreements


def _quiet(progress: Progress) -> None:
    del progress
