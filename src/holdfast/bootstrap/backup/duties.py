"""A keeper's duties, as the estate declares them: with stores, servers and Holdfast's own database."""

import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from holdfast.adapters.postgres.backup import PostgresBackupStatus
from holdfast.adapters.postgres.connect import Pool
from holdfast.backup import layout
from holdfast.backup.errors import Damaged, RegionError
from holdfast.backup.model import BackupKind, Holdings
from holdfast.backup.ports import Region
from holdfast.backup.records import decoded
from holdfast.backup.recoverable.chain import windows_of
from holdfast.backup.recoverable.pace import pace_of
from holdfast.backup.recoverable.points import RegionPoints, points_of
from holdfast.backup.retention.keeping import declared_keep, widest
from holdfast.backup.take.scheduling import Due, due, shortest_rto
from holdfast.backup.verify.turn import is_due
from holdfast.backup.verify.verification import Verification, verifications_in
from holdfast.backup.wal.receiving import Receiver
from holdfast.backup.wal.spool import Spool
from holdfast.bootstrap.backup.keeping import Heard
from holdfast.bootstrap.backup.opening import regions_of
from holdfast.bootstrap.backup.recoverable import in_force
from holdfast.bootstrap.backup.taking import LocalBackups
from holdfast.bootstrap.backup.verifying import LocalVerifications
from holdfast.bootstrap.backup.wal import pusher_for, receiver_for, spool_for
from holdfast.estate.backup import Keep
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.backup import BackupRequest
from holdfast.interfaces.cli.ports import Place, Progress
from holdfast.interfaces.cli.verifying import VerifyRequest
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.journal import JournalEntry

KEPT_FOR = timedelta(minutes=5)
"""How long an answer of what is in force is good for."""

T = TypeVar("T")


class Process(Protocol):
    """The process that the keepers are in."""

    def tell(self, event: str, facts: Mapping[str, object]) -> None: ...

    def tell_entry(self, entry: JournalEntry) -> None: ...

    def ask(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it on the process's loop. Raises what it raises, and TimeoutError."""
        ...


class EstateDuties:
    """`Duties` of one database of the native engine."""

    def __init__(
        self, process: Process, estate: Estate, database: str, place: Place, pool: Pool, clock: Clock
    ) -> None:
        self._process = process
        self._estate = estate
        self._database = database
        self._declared = estate.databases[database]
        self._place = place
        self._pool = pool
        self._clock = clock
        self._keeps: tuple[datetime, Mapping[str, Keep]] | None = None
        self._verified: dict[str, Verification | None] = {}

    def receiver(self, heard: Heard) -> tuple[Spool, Receiver] | None:
        if self._declared.mode == "archive":
            return None

        def told(name: str, facts: Mapping[str, object]) -> None:
            self._process.tell(f"backup.{name}", {"database": self._database, **facts})
            heard(name)

        spool = spool_for(self._estate, self._place, self._database)
        try:
            receiver = receiver_for(self._estate, self._place, self._database, spool, self._clock, told)
        except BaseException:
            spool.close()
            raise
        return spool, receiver

    def bring_pushed(self) -> None:
        if self._declared.mode == "archive":
            pusher_for(self._estate, self._place, self._database).drain()

    def due(self, held: Sequence[Holdings], wanted: str) -> Due | None:
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
            wanted=wanted,
        )

    def take(self, due: Due, go_on: Callable[[], None]) -> str:
        request = BackupRequest(self._database, full=due.kind is BackupKind.FULL)
        outcome = LocalBackups(self._clock, self._process.tell_entry).now(
            self._place, request, _report_to(go_on)
        )
        return outcome.backup.id if outcome.backup else ""

    def points(self, region: Region) -> RegionPoints:
        return points_of(region, self._database, self._clock)

    def report(self, points: RegionPoints) -> None:
        with contextlib.suppress(TimeoutError):
            self._process.ask(PostgresBackupStatus(self._pool).report(points))

    def keep(self, region: str) -> Keep | None:
        now = self._clock.now()
        known = self._keeps
        if known is None or not timedelta() <= now - known[0] < KEPT_FOR:
            try:
                keeps = self._process.ask(in_force(self._pool, self._estate, self._database))
            except (HoldfastError, TimeoutError):
                return None
            known = self._keeps = (now, keeps)
        return known[1].get(region)

    def known_keep(self, region: str) -> Keep:
        keep = self.keep(region)
        if keep is not None:
            return keep
        declared = declared_keep(self._estate, self._database, region)
        # What was in force a while ago may be wider, until two people have approved what is declared.
        last = self._keeps[1].get(region) if self._keeps is not None else None
        return declared if last is None else widest(declared, last)

    def unverified(self, held: Sequence[Holdings]) -> Sequence[str]:
        """Those that have something to restore and were not verified within `verification.every`."""
        every, now = self._declared.verification.every, self._clock.now()
        answer = {each.region for each in held}
        records = self._records(
            [each for each in self._regions() if each.name in answer], layout.backup_id(now - every, "aaaaaa")
        )
        # Nothing was ever taken: that is told by what is missing, not by a restore that fails.
        return [each.region for each in held if is_due(records, each.region, every, now) and windows_of(each)]

    def verify(self, region: str, go_on: Callable[[], None]) -> None:
        LocalVerifications(self._process.tell_entry, self._clock).verify(
            self._place, VerifyRequest(self._database, region=region), _report_to(go_on)
        )

    def _records(self, regions: Sequence[Region], since: str) -> Sequence[Verification]:
        """What was verified since, as any of the regions tells; each record is read once."""
        prefix = layout.verifications_prefix(self._database)
        there: dict[str, Verification | None] = {}
        for region in regions:
            with contextlib.suppress(RegionError):
                for each in region.listed(prefix, f"{prefix}{since}"):
                    if each.key.endswith(".json") and each.key not in there:
                        there[each.key] = self._verified.get(each.key) or _record(region, each.key)
        self._verified = there
        return [each for each in there.values() if each is not None]

    def _regions(self) -> list[Region]:
        return regions_of(self._estate, self._database, self._place.config, self._place.data_dir)


def _record(region: Region, key: str) -> Verification | None:
    try:
        return decoded(region.get(key), Verification, key)
    except (Damaged, FileNotFoundError):
        return None


def _report_to(go_on: Callable[[], None]) -> Callable[[Progress], None]:
    """Nobody wants to know how it goes; but it is asked whether to go on."""

    def report(progress: Progress) -> None:
        del progress
        go_on()

    return report
