"""Keeps one database: receives its WAL, and does for its copies what is due.

Each step of a round stands for itself: one that fails is told, and tried again in the next round, and the
others go on. What was cut off, by whatever, is done again from what the regions tell.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Protocol, TypeVar

from holdfast.backup.copies.copying import Copier, Lacking, lacking
from holdfast.backup.copies.scrubbing import Scrubber
from holdfast.backup.errors import SpoolTaken
from holdfast.backup.model import Holdings
from holdfast.backup.ports import Region
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.recoverable.points import RegionPoints
from holdfast.backup.retention.expiry import let_go, what_expires
from holdfast.backup.retention.locking import Locker
from holdfast.backup.take.scheduling import Due
from holdfast.backup.take.sweeping import sweep
from holdfast.backup.take.taking import Silent
from holdfast.backup.wal.receiving import Receiver
from holdfast.backup.wal.spool import Spool
from holdfast.bootstrap.backup.memory import give_back
from holdfast.estate.backup import Keep
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError

ROUND_EVERY_S = 30.0
AGAIN_S = 5.0
LOCK_EVERY = timedelta(minutes=5)
TIDY_EVERY = timedelta(hours=1)
SCRUB_EVERY = timedelta(days=1)
SCRUBBED_SHARE = 0.1
"""Of all objects, each day: so every object is read within ten days, others each day."""
BEHIND_AFTER = timedelta(minutes=2)
"""What a region lacks for so long is copied to it. Before that, it is still on its way there."""

T = TypeVar("T")
Tell = Callable[[str, Mapping[str, object]], None]


class Duties(Protocol):
    """What a keeper has others do, from its own thread. Each may raise HoldfastError."""

    def receiver(self) -> tuple[Spool, Receiver] | None:
        """A receiver that is not started, or None where WAL comes another way. Raises SpoolTaken."""
        ...

    def bring_pushed(self) -> None:
        """WAL that the server handed over, and that waits for a region, is brought there."""
        ...

    def due(self, held: Sequence[Holdings]) -> Due | None: ...

    def take(self, due: Due) -> str:
        """Take the backup that is due; returns its id."""
        ...

    def points(self, region: Region) -> RegionPoints: ...

    def report(self, points: RegionPoints) -> None:
        """Where pages and metrics look."""
        ...

    def keep(self, region: str) -> Keep | None:
        """For how long copies are kept there; None when nobody knows just now: then nothing expires."""
        ...

    def verify_due(self) -> None:
        """Verify, when it is time for it."""
        ...


class Keeper:
    """Keeps one database until it is stopped."""

    def __init__(
        self, database: str, regions: Sequence[Region], duties: Duties, clock: Clock, tell: Tell
    ) -> None:
        self._database = database
        self._regions = tuple(regions)
        self._duties = duties
        self._clock = clock
        self._tell = tell
        self._stopping = threading.Event()
        self._done: dict[str, float] = {}
        self._failing: dict[str, str] = {}
        self._behind_since: dict[str, float] = {}
        self._lockers = {each.name: Locker(each) for each in self._regions}
        self._thread = threading.Thread(target=self._run, name=f"keeper of {database}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, patience_s: float = 10.0) -> None:
        """End between two steps. A backup that is being taken is left unfinished, and swept one day."""
        self._stopping.set()
        self._thread.join(patience_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                received = self._duties.receiver()
            except SpoolTaken as error:
                # Another process keeps this database. Should it end, this one takes over.
                self._failed("receive", error)
                self._stopping.wait(AGAIN_S)
                continue
            except Exception as error:  # noqa: BLE001  a keeper that ends keeps nothing
                self._failed("receive", error)
                received = None
            self._keep(received)

    def _keep(self, received: tuple[Spool, Receiver] | None) -> None:
        if received is None:
            self._rounds(None)
            return
        spool, receiver = received
        with spool:
            receiver.start()
            try:
                self._rounds(receiver)
            finally:
                receiver.stop()

    def _rounds(self, receiver: Receiver | None) -> None:
        while not self._stopping.is_set():
            self._round(receiver)
            self._stopping.wait(ROUND_EVERY_S)
            if receiver is None and "receive" in self._failing:
                return

    def _round(self, receiver: Receiver | None) -> None:
        self._step("report", self._report)
        if receiver is None:
            self._step("push", self._duties.bring_pushed)
        held = self._step("look", self._held) or []
        self._step("take", lambda: self._take_due(held, receiver))
        self._step("copy", lambda: self._catch_up(held))
        if self._is_time("lock", LOCK_EVERY):
            for each in held:
                self._step(f"lock {each.region}", partial(self._lock, each))
        if self._is_time("tidy", TIDY_EVERY):
            for each in held:
                self._step(f"tidy {each.region}", partial(self._tidy, each.region))
        if self._is_time("scrub", SCRUB_EVERY):
            for region in self._regions:
                self._step(f"scrub {region.name}", partial(self._scrub, region))
        self._step("verify", self._duties.verify_due)

    def _step(self, what: str, act: Callable[[], T]) -> T | None:
        if self._stopping.is_set():
            return None
        try:
            result = act()
        except Exception as error:  # noqa: BLE001  whatever it trips over: the others go on
            self._failed(what, error)
            return None
        if self._failing.pop(what, None) is not None:
            self._tell("backup.well_again", {"database": self._database, "step": what})
        return result

    def _failed(self, what: str, error: Exception) -> None:
        """Told once, until it is another failure or it went well."""
        told = str(error) if isinstance(error, HoldfastError | OSError) else repr(error)
        if self._failing.get(what) == told:
            return
        self._failing[what] = told
        facts = {"database": self._database, "step": what, "error": told}
        self._tell("backup.step_failed", {**facts, "hint": getattr(error, "hint", "")})

    def _is_time(self, what: str, every: timedelta) -> bool:
        """By the monotonic clock: one that is set must not make the house untidy."""
        now = self._clock.monotonic()
        if what in self._done and now - self._done[what] < every.total_seconds():
            return False
        self._done[what] = now
        return True

    def _report(self) -> None:
        for points in self._of_each(self._duties.points).values():
            self._duties.report(points)

    def _held(self) -> list[Holdings]:
        return list(self._of_each(lambda each: holdings_of(each, self._database, self._clock)).values())

    def _take_due(self, held: Sequence[Holdings], receiver: Receiver | None) -> None:
        due = self._duties.due(held)
        if due is None:
            return
        taken = self._duties.take(due)
        if receiver is not None:
            receiver.backup_taken()
        facts = {"database": self._database, "kind": due.kind.value, "why": due.why, "backup": taken}
        self._tell("backup.taken", facts)

    def _catch_up(self, held: Sequence[Holdings]) -> None:
        """A region that lacks for long what another has gets it from there."""
        now = self._clock.monotonic()
        for target in held:
            keep = self._duties.keep(target.region)
            plans = [
                lacking(source, target, keep, self._clock.now())
                for source in held
                if source is not target and keep is not None
            ]
            plans = [each for each in plans if each.backups or each.wal or each.histories]
            if not plans:
                self._behind_since.pop(target.region, None)
                continue
            since = self._behind_since.setdefault(target.region, now)
            # One that restores nothing at all has nothing on its way, but for a backup that is being taken.
            if plans[0].restorable and now - since < BEHIND_AFTER.total_seconds():
                continue
            for plan in sorted(plans, key=lambda each: each.stored_bytes, reverse=True):
                # What one source has damaged, or does not give, another may have.
                if self._step(f"copy {plan.source} to {plan.target}", partial(self._copied, plan)):
                    break

    def _copied(self, plan: Lacking) -> bool:
        """Copy; whether all of it was."""
        by_name = {each.name: each for each in self._regions}
        copied = Copier(by_name[plan.source], by_name[plan.target], Silent()).copy(plan)
        facts = {"database": self._database, "from": plan.source, "to": plan.target}
        counts = {"backups": len(copied.backups), "objects": len(copied.objects)}
        failed = {"damaged": len(copied.damaged), "failed": len(copied.failed)}
        self._tell("backup.copied", {**facts, **counts, **failed})
        return copied.complete

    def _lock(self, held: Holdings) -> None:
        """Nobody deletes what the window still needs, where the region has locks."""
        keep = self._duties.keep(held.region)
        if keep is not None:
            self._lockers[held.region].lock(held, keep, self._clock.now())

    def _tidy(self, name: str) -> None:
        """Let go of what expired in a region, and of what never became a backup."""
        region, now = {each.name: each for each in self._regions}[name], self._clock.now()
        sweep(region, self._database, self._clock, dry_run=False)
        keep = self._duties.keep(name)
        if keep is None:
            return
        # Looked at anew: while a backup was taken, for hours, a suspicion may have been raised.
        expiry = what_expires(region, holdings_of(region, self._database, self._clock), keep, now)
        gone = let_go(region, self._database, expiry, now)
        if gone.objects:
            facts = {"database": self._database, "region": name, "backups": gone.backups}
            self._tell("backup.expired", {**facts, "objects": gone.objects})

    def _scrub(self, region: Region) -> None:
        others = [each for each in self._regions if each is not region]
        scrubber = Scrubber(region, others, self._clock, Silent())
        turn = self._clock.now().toordinal()
        try:
            scrubbed = scrubber.scrub(self._database, share=SCRUBBED_SHARE, turn=turn, heal=True)
        finally:
            give_back()
        for harm in scrubbed.harmed:
            facts = {"database": self._database, "region": region.name, "key": harm.key}
            healed = {"harm": harm.harm.value, "healed_from": harm.healed_from, "why_not": harm.why_not}
            self._tell("backup.harm_found", {**facts, **healed})

    def _of_each(self, ask: Callable[[Region], T]) -> Mapping[str, T]:
        """What each region answers, asked at the same time. One that is away has no answer, and is told."""
        answers: dict[str, T] = {}
        with ThreadPoolExecutor(max(len(self._regions), 1), "regions") as threads:
            asked = [(each.name, threads.submit(ask, each)) for each in self._regions]
            for name, answer in asked:
                try:
                    answers[name] = answer.result()
                except Exception as error:  # noqa: BLE001  one region's oddity is not the others'
                    self._failed(f"ask {name}", error)
                else:
                    self._failing.pop(f"ask {name}", None)
        return answers
