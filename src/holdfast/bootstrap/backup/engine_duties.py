"""What is done for a database of another engine, whichever it is: reports, verifications, what is overdue.

Dumps and pgbackrest's backups add what is their own: `holdfast.bootstrap.backup.engine_kinds`.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from holdfast.adapters.postgres.server.process import FileLock
from holdfast.backup.copies.scrubbing import Scrubber
from holdfast.backup.engine_schedule import overdue_since
from holdfast.backup.errors import BackupError, RegionError
from holdfast.backup.ports import Progress, Region
from holdfast.backup.recoverable.points import RegionPoints
from holdfast.backup.retention.pruning import prune
from holdfast.backup.verify.engine_verifying import EngineVerifier
from holdfast.backup.verify.turn import AGAIN_AFTER, is_due
from holdfast.backup.verify.verified_points import NEWEST, Point, older, seed_of
from holdfast.backup.verify.watching import Told
from holdfast.bootstrap.backup.catching_up import GoOn
from holdfast.bootstrap.backup.engine_standing import standing_of, verifications_of, windows_in
from holdfast.bootstrap.backup.jobs import Job, Tell
from holdfast.bootstrap.backup.memory import give_back
from holdfast.bootstrap.backup.opening import regions_of
from holdfast.bootstrap.backup.turns import Heavy, Turns
from holdfast.bootstrap.backup.wanted import wanted_of
from holdfast.estate.backup import Database, Keep
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.clock import Clock

SCRUB_EVERY_S = 86400.0
SCRUBBED_SHARE = 0.1
"""Of all objects, each day, as of native backups."""
LOOKED_AT = 20
"""Verifications of each region, to know when the last one was."""
LOOK_EVERY_S = 60.0


class Desk(Protocol):
    """Where a keeper reports, and asks for how long copies are kept."""

    def report(self, points: RegionPoints) -> None: ...

    def keep(self, region: str) -> Keep | None:
        """None when nobody knows just now: then nothing expires."""
        ...


class EngineDuties(ABC):
    """The jobs for one database. `go_on` is asked now and then by long work, and raises to give it up."""

    def __init__(
        self,
        estate: Estate,
        key: str,
        place: Place,
        clock: Clock,
        desk: Desk,
        tell: Tell,
        told: Told,
        *,
        turns: Turns | None = None,
        go_on: Callable[[], None] = lambda: None,
    ) -> None:
        self._estate = estate
        self._key = key
        self._declared: Database = estate.databases[key]
        self._place = place
        self._clock = clock
        self._desk = desk
        self._tell = tell
        self._told = told
        self._turns = turns or Turns()
        self._go_on = go_on
        self._still = threading.Lock()
        self._began_at = clock.now()
        self._reporting = threading.Lock()
        self._tried: dict[str, float] = {}
        self._overdue: set[str] = set()
        self._failing: dict[str, str] = {}

    @abstractmethod
    def jobs(self) -> Sequence[Job]:
        """What is done, each by itself and again and again."""

    @abstractmethod
    def verifier(self, region: str, progress: Progress | None = None) -> EngineVerifier:
        """Of the copies in one region."""

    @property
    def regions(self) -> list[Region]:
        return regions_of(self._estate, self._key, self._place.config, self._place.data_dir)

    def report(self) -> None:
        """To where pages and metrics look; what is overdue is told."""
        with self._reporting:
            standing = standing_of(self._estate, self._key, self._place, self._clock)
            # First: it is told also while Holdfast's own database takes no report.
            for points in standing:
                self._say_if_overdue(points)
            for points in standing:
                self._desk.report(points)

    def scrub(self) -> None:
        """Prove a share of what is stored in our regions, and heal it from another one."""
        regions = self.regions
        turn = self._clock.now().toordinal()
        for region in regions:
            others = [each for each in regions if each is not region]
            scrubber = Scrubber(region, others, self._clock, GoOn(self._go_on))
            try:
                with self._turns.taken(Heavy.SCRUB, self._key, self._go_on):
                    scrubbed = scrubber.scrub(self._key, share=SCRUBBED_SHARE, turn=turn, heal=True)
            except RegionError as error:
                self._away(region.name, error)
                continue
            finally:
                give_back()
            for harm in scrubbed.harmed:
                facts = {"database": self._key, "region": region.name, "key": harm.key}
                healed = {"harm": harm.harm.value, "healed_from": harm.healed_from, "why_not": harm.why_not}
                self._tell("backup.harm_found", {**facts, **healed})

    def prune(self) -> None:
        """Let go of old records of verifications, and of marks that were lifted long ago."""
        pruned = prune(self.regions, self._key, self._clock)
        if any(pruned.objects.values()):
            self._tell("backup.pruned", {"database": self._key, "objects": dict(pruned.objects)})

    def verify_due(self) -> None:
        """In each region the newest point and an older one, once in `verification.every`."""
        known = verifications_of(self.regions, self._key, newest=LOOKED_AT)
        for region in self._declared.copies:
            if not is_due(known, region, self._declared.verification.every, self._clock.now()):
                continue
            tried = self._tried.get(region)
            if tried is not None and self._clock.monotonic() - tried < AGAIN_AFTER.total_seconds():
                continue  # nobody took its record
            # What is being verified does not expire meanwhile.
            with self._turns.taken(Heavy.VERIFY, self._key, self._go_on), self._still:
                for point in self.points_to_verify(region):
                    self._go_on()
                    self._tried[region] = self._clock.monotonic()
                    try:
                        self.verifier(region).verify(point, wanted_of(self._declared))
                    finally:
                        give_back()
                    self.report()

    def points_to_verify(self, region: str, seed: int | None = None) -> Iterator[Point]:
        """The newest, and a random older one; none where nothing was ever taken."""
        store = next(each for each in self.regions if each.name == region)
        try:
            windows = windows_in(self._estate, self._key, store, self._clock)
        except BackupError:
            # The newest point's record says so, and why.
            yield NEWEST
            return
        if not windows:
            return
        yield NEWEST
        seed = seed_of(self._key, self._clock.now().date()) if seed is None else seed
        older_one = older(windows, seed)
        # Of one backup alone the older point is the newest again.
        if older_one is not None and len({id_ for each in windows for id_ in each.backups}) > 1:
            yield older_one

    @contextmanager
    def alone(self, what: str) -> Iterator[bool]:
        """Whether nobody else does that for this database on this machine, until the block ends."""
        folder = self._place.data_dir.absolute() / "backup"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(folder / f"{self._key}-{what}.lock")
        try:
            yield lock.try_acquire()
        finally:
            lock.close()

    @property
    def copies(self) -> Path:
        """This database's own folder, for copies."""
        return self._place.data_dir.absolute() / "copies" / self._key

    def _away(self, region: str, error: BackupError) -> None:
        """A region that does not do it keeps the others from nothing. Told once, until it does again."""
        if self._failing.get(region) == str(error):
            return
        self._failing[region] = str(error)
        facts = {"database": self._key, "region": region, "error": str(error), "hint": error.hint}
        self._tell("backup.region_failed", facts)

    def _well(self, region: str) -> None:
        if self._failing.pop(region, None) is not None:
            self._tell("backup.region_well_again", {"database": self._key, "region": region})

    def _say_if_overdue(self, points: RegionPoints) -> None:
        """Told when it begins and when it is over. What nobody knows is neither."""
        if points.error:
            return
        newest = points.last_backup_at
        # Where there never was one it is waited for from when we began to.
        since = overdue_since(newest or self._began_at, self._declared.schedule, self._clock.now())
        facts = {"database": self._key, "region": points.region}
        if since is None:
            if points.region in self._overdue:
                self._overdue.discard(points.region)
                self._tell("backup.taken_again", facts)
        elif points.region not in self._overdue:
            self._overdue.add(points.region)
            told = newest.isoformat() if newest else "never"
            self._tell("backup.overdue", {**facts, "since": since.isoformat(), "newest": told})
