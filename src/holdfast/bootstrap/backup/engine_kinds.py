"""What is done for dumps, and what for pgbackrest's backups."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from holdfast.adapters.pgbackrest.engine import PgBackRest
from holdfast.backup.engine_schedule import EngineDue, engine_due
from holdfast.backup.engines import Kept
from holdfast.backup.errors import BackupError, NotFit, RegionError
from holdfast.backup.logical.held import (
    copy_dumps,
    dumps_held,
    expired_dumps,
    lacking_dumps,
    let_dumps_go,
    lock_dumps,
    sweep_dumps,
    whole_dumps,
)
from holdfast.backup.model import Backup, Holdings
from holdfast.backup.ports import Progress, Region
from holdfast.backup.recoverable import marks
from holdfast.backup.recoverable.engine_points import kept_in
from holdfast.backup.retention.keeping import declared_keep
from holdfast.backup.verify.engine_verifying import EngineVerifier
from holdfast.backup.verify.watching import Told, Watch
from holdfast.bootstrap.backup.catching_up import GoOn
from holdfast.bootstrap.backup.engine_copies import DumpCopies, StanzaCopies
from holdfast.bootstrap.backup.engine_duties import (
    LOOK_EVERY_S,
    SCRUB_EVERY_S,
    Desk,
    EngineDuties,
)
from holdfast.bootstrap.backup.engine_keeper import EngineKeeper
from holdfast.bootstrap.backup.engine_standing import prove, repos_of
from holdfast.bootstrap.backup.engines import bin_dir_of, dumps_for, pgbackrest_for
from holdfast.bootstrap.backup.jobs import Job, Jobs, Tell
from holdfast.bootstrap.backup.memory import give_back
from holdfast.bootstrap.backup.turns import Heavy, Turns
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.clock import Clock

TIDY_EVERY_S = 3600.0
LOCK_EVERY_S = 300.0
CHECK_EVERY_S = 3600.0
ASK_EVERY_S = 300.0
"""What there is: every record, or pgbackrest's repositories, are read each time."""
EXPIRE_EVERY_S = 86400.0
LONGEST_PAUSE_S = 3600.0
"""Before what takes long, and failed, is tried again."""

T = TypeVar("T")


class DumpDuties(EngineDuties):
    """Dumps: taken when due into every region, caught up, locked, let go of by our own retention."""

    def jobs(self) -> Sequence[Job]:
        return [
            Job("report", self.report, ASK_EVERY_S),
            Job("take", self.take_due, LOOK_EVERY_S, again_s=LONGEST_PAUSE_S),
            Job("copy", self.copy, ASK_EVERY_S),
            Job("lock", self.lock, LOCK_EVERY_S),
            Job("tidy", self.tidy, TIDY_EVERY_S),
            Job("scrub", self.scrub, SCRUB_EVERY_S, again_s=LONGEST_PAUSE_S),
            Job("prune", self.prune, SCRUB_EVERY_S, again_s=LONGEST_PAUSE_S),
            Job("verify", self.verify_due, LOOK_EVERY_S),
        ]

    def take_due(self) -> None:
        """Take a dump when none is new enough in any region that answers. Raises BackupErrors."""
        regions = self.regions
        if self._due(regions) is None:
            return
        with self._turns.taken(Heavy.TAKE, self._key, self._go_on), self.alone("taking") as ours:
            # Looked at anew: while it waited for its turn, somebody may have taken it.
            due = self._due(regions) if ours else None
            if due is None:
                return
            progress = GoOn(self._go_on)
            tier = dumps_for(self._estate, self._key, self._place.config, regions, self._clock, progress)
            try:
                taken = tier.taken()
            finally:
                give_back()
        self._tell("backup.taken", _facts(self._key, due, taken.backup.id))
        self.report()
        # What is not as it always was is marked now, and not when it is verified.
        with suppress(BackupError):
            Watch(self._key, regions, self._clock, self._told).look(self._known(regions))
        for region, why in taken.behind.items():
            self._tell("backup.region_failed", {"database": self._key, "region": region, "error": why})

    def copy(self) -> None:
        """A region that lacks a dump that another one has gets it from there."""
        by_name = {each.name: each for each in self.regions}
        held = self._held(list(by_name.values()))
        for target in held:
            for source in held:
                if source is target:
                    continue
                try:
                    self._copied(source, by_name[source.region], by_name[target.region])
                except RegionError as error:
                    self._away(target.region, error)
        if len(held) > 1:
            marks.spread(list(by_name.values()), self._key)

    def lock(self) -> None:
        by_name = {each.name: each for each in self.regions}
        for held in self._held(list(by_name.values())):
            keep = self._desk.keep(held.region)
            if keep is not None:
                lock_dumps(by_name[held.region], held, keep, self._clock.now())

    def tidy(self) -> None:
        """Sweep what never became a dump, and let go of what expired."""
        if not self._still.acquire(blocking=False):
            return  # what is being verified does not expire meanwhile
        try:
            for region in self.regions:
                try:
                    self._tidied(region)
                except RegionError as error:
                    self._away(region.name, error)
        finally:
            self._still.release()

    def verifier(self, region: str, progress: Progress | None = None) -> EngineVerifier:
        regions = self.regions
        own = [each for each in regions if each.name == region]
        tier = dumps_for(self._estate, self._key, self._place.config, own, self._clock)
        return EngineVerifier(
            self._key,
            region,
            DumpCopies(tier, bin_dir_of(self._declared)),
            regions,
            self.copies,
            self._clock,
            self._told,
            progress,
            self._known(regions),
        )

    def _due(self, regions: Sequence[Region]) -> EngineDue | None:
        held = self._held(regions)
        if not held:
            raise NotFit("no region answers: where a dump would go, and when the last one was, is unknown")
        kept = [each for one in held for each in kept_in(one)]
        return engine_due(kept, self._declared.schedule, self._clock.now(), increments=False)

    def _copied(self, held: Holdings, source: Region, target: Region) -> None:
        there = dumps_held(target, self._key, self._clock)
        # What it keeps too much of expires; what is not copied may be lost.
        keep = self._desk.keep(target.name) or declared_keep(self._estate, self._key, target.name)
        plan = lacking_dumps(held, there, keep, self._clock.now())
        if not plan.dumps:
            return
        with self._turns.taken(Heavy.COPY, self._key, self._go_on):
            copied = copy_dumps(source, target, plan, GoOn(self._go_on))
        facts = {"database": self._key, "from": plan.source, "to": plan.target}
        counts = {"backups": len(copied.dumps), "objects": copied.objects}
        failed = {"damaged": len(copied.damaged), "failed": len(copied.failed)}
        self._tell("backup.copied", {**facts, **counts, **failed})

    def _tidied(self, region: Region) -> None:
        now = self._clock.now()
        sweep_dumps(region, self._key, self._clock)
        keep = self._desk.keep(region.name)
        if keep is None:
            return
        going = expired_dumps(region, dumps_held(region, self._key, self._clock), keep, now)
        objects = let_dumps_go(region, going)
        if objects:
            facts = {"database": self._key, "region": region.name, "backups": len(going)}
            self._tell("backup.expired", {**facts, "objects": objects})

    def _known(self, regions: Sequence[Region]) -> list[Backup]:
        """Every dump that any region that answers has whole, oldest first."""
        held = self._held(regions)
        found = {each.id: each for one in held for each in whole_dumps(one)}
        return [found[id_] for id_ in sorted(found)]

    def _held(self, regions: Sequence[Region]) -> list[Holdings]:
        """What each region that answers holds, asked at the same time; one that does not is told."""

        def ask(region: Region) -> Holdings | None:
            try:
                held = dumps_held(region, self._key, self._clock)
            except RegionError as error:
                self._away(region.name, error)
                return None
            self._well(region.name)
            return held

        return [each for each in _asked(regions, ask) if each is not None]


class StanzaDuties(EngineDuties):
    """pgbackrest's backups: taken by its own command when due, expired by its own configuration alone."""

    def jobs(self) -> Sequence[Job]:
        return [
            Job("report", self.report, ASK_EVERY_S),
            Job("check", self.check, CHECK_EVERY_S),
            Job("take", self.take_due, LOOK_EVERY_S, again_s=LONGEST_PAUSE_S),
            Job("expire", self.expire, EXPIRE_EVERY_S, again_s=LONGEST_PAUSE_S),
            Job("scrub", self.scrub, SCRUB_EVERY_S, again_s=LONGEST_PAUSE_S),
            Job("prune", self.prune, SCRUB_EVERY_S, again_s=LONGEST_PAUSE_S),
            Job("verify", self.verify_due, LOOK_EVERY_S),
        ]

    def take_due(self) -> None:
        """Take what is due into each repository, one behind the other. Raises BackupErrors."""
        engine = self._engine()
        for region, repo in repos_of(self._declared).items():
            kept: list[Kept] = [each for each in engine.backups() if each.region == repo]
            due = engine_due(kept, self._declared.schedule, self._clock.now(), increments=True)
            if due is None:
                continue
            with self._turns.taken(Heavy.TAKE, self._key, self._go_on), self.alone("taking") as ours:
                if not ours:
                    return
                taken = engine.take(due.depth, repo=repo, expire=False)
            self._tell("backup.taken", {**_facts(self._key, due, taken.id), "region": region})
            self.report()
            self.expire()

    def expire(self) -> None:
        """By its own configuration, never by ours; not at all while a suspicion stands."""
        if any(each.lifted_at is None for each in marks.suspicions_of(self.regions, self._key)):
            return
        self._engine().expire()

    def check(self) -> None:
        """Have it see that what was written until now is archived, and remember that. Raises NotFit."""
        asked_at = self._clock.now()
        for finding in self._engine().check():
            raise NotFit(finding.text, hint=finding.hint)
        prove(self._place, self._key, asked_at)

    def verifier(self, region: str, progress: Progress | None = None) -> EngineVerifier:
        repo = repos_of(self._declared)[region]
        return EngineVerifier(
            self._key,
            region,
            StanzaCopies(self._engine(), repo, bin_dir_of(self._declared)),
            self.regions,
            self.copies,
            self._clock,
            self._told,
            progress,
        )

    def _engine(self) -> PgBackRest:
        return pgbackrest_for(self._declared, self._key)


def _facts(database: str, due: EngineDue, taken: str) -> dict[str, object]:
    return {"database": database, "kind": due.depth.value, "why": due.why, "backup": taken}


def _asked(regions: Sequence[Region], ask: Callable[[Region], T]) -> list[T]:
    with ThreadPoolExecutor(max(len(regions), 1), "regions") as threads:
        return list(threads.map(ask, regions))


def engine_keeper(
    estate: Estate, key: str, place: Place, clock: Clock, desk: Desk, tell: Tell, told: Told, turns: Turns
) -> EngineKeeper:
    """A keeper, not started, of a database that is not the native engine's."""
    jobs = Jobs(key, tell)
    kind = _kind(estate, key)
    duties = kind(estate, key, place, clock, desk, tell, told, turns=turns, go_on=jobs.go_on)
    return EngineKeeper(duties, jobs)


def duties_for(
    estate: Estate, key: str, place: Place, clock: Clock, desk: Desk, tell: Tell, told: Told
) -> EngineDuties:
    """The same without a keeper, for a command."""
    return _kind(estate, key)(estate, key, place, clock, desk, tell, told)


def _kind(estate: Estate, key: str) -> type[DumpDuties] | type[StanzaDuties]:
    return StanzaDuties if estate.databases[key].engine == "pgbackrest" else DumpDuties
