"""Keeps one database: receives its WAL, and does for its copies what is due.

Each duty is a job of its own: what takes hours holds up nothing else, and what fails ends nothing else. What
was cut off, by whatever, is done again from what the regions tell.

    take            a backup when it is due, at once after a gap
    verify          the newest point and an older one of each region
    copy REGION     what the region lacks for long, from another that has it
    keep REGION     locks, every five minutes; what expired and what was never finished, every hour
    scrub           a tenth of all objects, every day
    report          what can be restored, for pages and metrics
    push            WAL that the server handed over, where it does

What would harm each other is kept apart: nothing expires while a verification reads it; a backup whose
increment is being taken stays. Of heavy work only so much goes on in one process: see `Turns`.
"""

import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from holdfast.backup.copies.copying import Lacking
from holdfast.backup.copies.scrubbing import Scrubber
from holdfast.backup.errors import SpoolTaken
from holdfast.backup.ports import Region
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.recoverable.marks import spread
from holdfast.backup.retention.expiry import let_go, what_expires
from holdfast.backup.retention.locking import Locker
from holdfast.backup.retention.pruning import prune
from holdfast.backup.take.scheduling import SOONEST, Due
from holdfast.backup.take.sweeping import sweep
from holdfast.backup.wal.filling import Fill, Filling
from holdfast.backup.wal.spool import Spool
from holdfast.bootstrap.backup.catching_up import CatchingUp, GoOn
from holdfast.bootstrap.backup.jobs import Job, Jobs, Tell
from holdfast.bootstrap.backup.keeping import Duties, Receiving
from holdfast.bootstrap.backup.memory import give_back
from holdfast.bootstrap.backup.sight import Sight
from holdfast.bootstrap.backup.turns import Heavy, Stillness, Turns
from holdfast.kernel.clock import Clock

ROUND_EVERY_S = 30.0
AGAIN_S = 5.0
TAKEN_AFTER = 12
"""Attempts at a spool that another process holds, before it is told: our own last life may be ending."""
LOOK_AT_SPOOL_EVERY_S = 1.0
LOCK_EVERY_S, TIDY_EVERY_S, SCRUB_EVERY_S, PRUNE_EVERY_S = 300.0, 3600.0, 86_400.0, 86_400.0
STILL_AGAIN_S, NOT_KNOWN_AGAIN_S = 60.0, 300.0
LONGEST_STILL_S = 86_400.0
"""Expiry waits for a verification, and no longer than this."""
SCRUBBED_SHARE = 0.1
"""Of all objects, each day: so every object is read within ten days, others each day."""
GAP_FOUND = "wal_gap_found"


class Keeper:
    """Keeps one database until it is stopped. `turns` is shared by all the keepers of a process."""

    def __init__(
        self,
        database: str,
        regions: Sequence[Region],
        duties: Duties,
        clock: Clock,
        tell: Tell,
        turns: Turns | None = None,
    ) -> None:
        self._database = database
        self._regions = tuple(regions)
        self._duties = duties
        self._clock = clock
        self._tell = tell
        self._turns = turns or Turns()
        self._jobs = Jobs(database, tell)
        self._sight = Sight(database, self._regions, clock, self._jobs)
        self._stillness = Stillness(clock.monotonic, LONGEST_STILL_S)
        self._marks = threading.Lock()
        """Held while regions are told of each other's marks, and while old ones go: else these came back."""
        self._lockers = {each.name: Locker(each) for each in self._regions}
        self._catching_up = {
            each.name: CatchingUp(database, each, self._regions, tell, self._jobs.go_on)
            for each in self._regions
        }
        self._received: tuple[Spool, Receiving] | None = None
        self._filling = Filling()
        self._gaps = 0
        self._woken_at: float | None = None
        self._answered_at: float | None = None
        self._built_upon: frozenset[str] = frozenset()
        self._thread = threading.Thread(target=self._run, name=f"keeper of {database}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, patience_s: float = 10.0) -> None:
        """End, within that time. What cannot be given up so quickly ends with the process.

        A backup that is being taken is left unfinished, and swept one day.
        """
        self._jobs.stop(patience_s / 2)
        self._thread.join(patience_s / 2)

    # --- receiving

    def _run(self) -> None:
        attempts = 0
        while not self._jobs.stopping.is_set():
            try:
                received = self._duties.receiver(self._heard)
            except SpoolTaken as error:
                # Another process keeps this database. Should it end, this one takes over.
                attempts += 1
                if attempts >= TAKEN_AFTER:
                    self._jobs.failed("receive", error)
                self._jobs.stopping.wait(AGAIN_S)
                continue
            except Exception as error:  # noqa: BLE001  a keeper that ends keeps nothing
                self._jobs.failed("receive", error)
                self._jobs.start(self._all_jobs())
                self._jobs.stopping.wait(ROUND_EVERY_S)
                continue
            try:
                self._keep(received)
            except Exception as error:  # noqa: BLE001  the same
                self._jobs.failed("receive", error)
                self._jobs.stopping.wait(AGAIN_S)

    def _keep(self, received: tuple[Spool, Receiving] | None) -> None:
        if received is None:
            self._jobs.start(self._all_jobs())
            self._jobs.well("receive")
            self._jobs.stopping.wait()
            return
        spool, receiver = received
        with spool:
            receiver.start()
            self._received = received
            self._jobs.well("receive")
            try:
                self._jobs.start(self._all_jobs())
                while not self._jobs.stopping.wait(LOOK_AT_SPOOL_EVERY_S):
                    self._jobs.step("spool", partial(self._look_at, spool, receiver))
            finally:
                self._received = None
                receiver.stop()

    def _look_at(self, spool: Spool, receiver: Receiving) -> None:
        """Warn before the spool is full: by its limit, or because its disk is."""
        state = receiver.state()
        room = min(max(state.spool_limit - state.spool_bytes, 0), shutil.disk_usage(spool.folder).free)
        fill = Fill(state.spool_bytes, room)
        said = self._filling.look(fill, self._clock.monotonic(), is_full=state.spool_is_full)
        if said is None:
            return
        facts = {"database": self._database, "bytes": fill.there, "room_bytes": fill.room}
        left = self._filling.full_in_s(fill)
        full_in = {} if left is None else {"full_in_s": round(left)}
        self._tell(f"backup.{said}", {**facts, "percent": round(fill.share * 100), **full_in})

    def _heard(self, event: str) -> None:
        """The receiver told something: a gap is answered at once, but not each of many."""
        if event != GAP_FOUND:
            return
        self._gaps += 1
        now = self._clock.monotonic()
        if self._woken_at is None or now - self._woken_at >= SOONEST.total_seconds():
            self._woken_at = now
            self._jobs.wake("take")

    # --- the jobs

    def _all_jobs(self) -> Iterator[Job]:
        yield Job("report", self._report, ROUND_EVERY_S, again_s=ROUND_EVERY_S)
        yield Job("push", self._duties.bring_pushed, ROUND_EVERY_S, again_s=ROUND_EVERY_S)
        yield Job("take", self._take, ROUND_EVERY_S, again_s=300.0)
        yield Job("verify", self._verify, ROUND_EVERY_S)
        yield Job("scrub", self._scrub, SCRUB_EVERY_S)
        for region in self._regions:
            name = region.name
            yield Job(f"copy {name}", partial(self._catch_up, self._catching_up[name]), ROUND_EVERY_S)
            yield Job(f"lock {name}", partial(self._lock, name), LOCK_EVERY_S)
            yield Job(f"tidy {name}", partial(self._tidy, region), TIDY_EVERY_S)
        yield Job("prune", self._prune, PRUNE_EVERY_S)

    def _report(self) -> None:
        for points in self._sight.of_each("report", self._duties.points).values():
            self._duties.report(points)

    def _take(self) -> None:
        wanted = self._wanted()
        if self._duties.due(self._sight.held(), wanted) is None:
            return
        with self._turns.taken(Heavy.TAKE, self._database, self._jobs.go_on) as waited:
            if waited:
                # Hours ago it was due.
                self._sight.changed()
            wanted, gaps = self._wanted(), self._gaps
            due = self._duties.due(self._sight.held(), wanted)
            if due is None:
                return
            with self._building_upon(due):
                taken = self._duties.take(due, self._jobs.go_on)
        if self._received is not None and gaps == self._gaps:
            # One that was found meanwhile is behind the place where this backup begins.
            self._received[1].backup_taken()
        if wanted:
            self._answered_at = self._clock.monotonic()
        facts = {"database": self._database, "kind": due.kind.value, "why": due.why, "backup": taken}
        self._tell("backup.taken", facts)

    def _wanted(self) -> str:
        """Why a backup is wanted at once, if none was taken for such a reason just now."""
        wanted = self._received[1].state().backup_wanted if self._received is not None else ""
        answered = self._answered_at
        if answered is not None and self._clock.monotonic() - answered < SOONEST.total_seconds():
            return ""
        return wanted

    @contextmanager
    def _building_upon(self, due: Due) -> Iterator[None]:
        """What an increment is being taken of stays until that is there."""
        self._built_upon = frozenset() if due.parent is None else frozenset([due.parent.id])
        try:
            yield
        finally:
            self._built_upon = frozenset()
            self._sight.changed()

    def _verify(self) -> None:
        for region in self._duties.unverified(self._sight.held()):
            with self._turns.taken(Heavy.VERIFY, self._database, self._jobs.go_on) as waited:
                if waited and region not in self._duties.unverified(self._sight.held()):
                    continue
                with self._stillness.kept(self._jobs.go_on):
                    self._duties.verify(region, self._jobs.go_on)

    def _catch_up(self, catching_up: CatchingUp) -> None:
        """A region that lacks for long what another has gets it from there."""
        name, received = catching_up.target.name, self._received
        if received is not None and any(
            each.region == name and each.left_behind is not None for each in received[1].state().regions
        ):
            catching_up.left_behind()
            # Seen before it was left behind, it would seem to lack nothing.
            self._sight.changed()
        held = self._sight.held()
        waits = frozenset() if received is None else {each.segment for each in received[0].segments()}
        wanted, caught_up = catching_up.wanted(
            held,
            self._duties.known_keep(name),
            self._clock.now(),
            self._clock.monotonic(),
            lambda segment: segment in waits,
        )
        if caught_up and received is not None:
            received[1].caught_up(name)
        if wanted:
            self._copy(catching_up, wanted)

    def _copy(self, catching_up: CatchingUp, wanted: Sequence[Lacking]) -> None:
        subject = f"{self._database} to {catching_up.target.name}"
        with self._turns.taken(Heavy.COPY, subject, self._jobs.go_on):
            try:
                for plan in wanted:
                    # What one source has damaged, or does not give, another may have.
                    what = f"copy {plan.source} to {plan.target}"
                    _, copied = self._jobs.step(what, partial(catching_up.copied, plan))
                    if copied is not None and copied.complete:
                        break
            finally:
                self._sight.changed()
                give_back()

    def _lock(self, name: str) -> None:
        """Nobody deletes what the window still needs, where the region has locks."""
        for held in self._sight.held():
            if held.region == name:
                self._lockers[name].lock(held, self._duties.known_keep(name), self._clock.now())

    def _tidy(self, region: Region) -> float | None:
        """Let go of what expired in a region, and of what never became a backup."""
        now = self._clock.now()
        sweep(region, self._database, self._clock, dry_run=False)
        keep = self._duties.keep(region.name)
        if keep is None:
            return NOT_KNOWN_AGAIN_S
        with self._stillness.broken() as may:
            if not may:
                return STILL_AGAIN_S
            # A region that was away when a suspicion was raised must know of it before anything goes.
            answer = {each.region for each in self._sight.held()}
            with self._marks:
                spread([each for each in self._regions if each.name in answer], self._database)
            # Looked at anew: while a backup was taken, for hours, a suspicion may have been raised.
            held = holdings_of(region, self._database, self._clock)
            expiry = what_expires(region, held, keep, now, self._built_upon)
            gone = let_go(region, self._database, expiry, now)
        if gone.objects:
            self._sight.changed()
            facts = {"database": self._database, "region": region.name, "backups": gone.backups}
            self._tell("backup.expired", {**facts, "objects": gone.objects})
        return None

    def _prune(self) -> float | None:
        """Let go of what is kept beside backups, and is old."""
        with self._marks:
            pruned = prune(self._regions, self._database, self._clock)
        if any(pruned.objects.values()):
            self._tell("backup.pruned", {"database": self._database, "objects": pruned.objects})
        return TIDY_EVERY_S if pruned.failed else None

    def _scrub(self) -> float | None:
        went_well = [
            self._jobs.step(f"scrub {region.name}", partial(self._scrub_one, region))[0]
            for region in self._regions
        ]
        return None if all(went_well) else TIDY_EVERY_S

    def _scrub_one(self, region: Region) -> None:
        others = [each for each in self._regions if each is not region]
        turn = self._clock.now().toordinal()
        with self._turns.taken(Heavy.SCRUB, self._database, self._jobs.go_on):
            scrubber = Scrubber(region, others, self._clock, GoOn(self._jobs.go_on))
            try:
                scrubbed = scrubber.scrub(self._database, share=SCRUBBED_SHARE, turn=turn, heal=True)
            finally:
                give_back()
        for harm in scrubbed.harmed:
            facts: Mapping[str, object] = {
                "database": self._database,
                "region": region.name,
                "key": harm.key,
                "harm": harm.harm.value,
                "healed_from": harm.healed_from,
                "why_not": harm.why_not,
            }
            self._tell("backup.harm_found", facts)
