"""A region that lacks for long what another has gets it from there; that it has all of it again is told."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from holdfast.backup.copies.behind import Behind
from holdfast.backup.copies.copying import Copied, Copier, Lacking, lacking
from holdfast.backup.lsn import Segment
from holdfast.backup.model import Holdings
from holdfast.backup.ports import Region
from holdfast.bootstrap.backup.jobs import Tell
from holdfast.estate.backup import Keep

Waiting = Callable[[Segment], bool]
"""Whether a segment's WAL waits in the spool, from where it is brought to each region anyway."""


class GoOn:
    """Progress that nobody wants to know, of work that is given up when `go_on` raises."""

    def __init__(self, go_on: Callable[[], None]) -> None:
        self._go_on = go_on

    def begin(self, phase: str, total_bytes: int | None) -> None:
        del phase, total_bytes
        self._go_on()

    def advance(self, count: int) -> None:
        del count
        self._go_on()

    def note(self, text: str) -> None:
        del text
        self._go_on()


class CatchingUp:
    """Looks after one region of one database, `target`. One thread at a time."""

    def __init__(
        self, database: str, target: Region, regions: Sequence[Region], tell: Tell, go_on: Callable[[], None]
    ) -> None:
        self.target = target
        self._database = database
        self._others = {each.name: each for each in regions if each is not target}
        self._tell = tell
        self._progress = GoOn(go_on)
        self._behind = Behind()
        self._is_behind = False

    def wanted(
        self, held: Sequence[Holdings], keep: Keep, now: datetime, monotonic: float, waiting: Waiting
    ) -> tuple[Sequence[Lacking], bool]:
        """What is to be copied now, the most first; and whether the region has caught up just now.

        `held`: of each region that answers. One that does not answer is not judged.
        """
        own = next((each for each in held if each.region == self.target.name), None)
        if own is None:
            return (), False
        plans = [lacking(each, own, keep, now) for each in held if each is not own]
        wanted = self._behind.look(plans, monotonic)
        return wanted, self._look_after_wal(plans, monotonic, waiting)

    def left_behind(self) -> None:
        """Whoever receives has told that the region lacks WAL which is in the spool no more."""
        self._is_behind = True

    def copied(self, plan: Lacking) -> Copied:
        """Copy, and tell it. Raises RegionAway, RegionRefused."""
        copier = Copier(self._others[plan.source], self.target, self._progress)
        copied = copier.copy(plan)
        facts = {"database": self._database, "from": plan.source, "to": plan.target}
        counts = {"backups": len(copied.backups), "objects": len(copied.objects)}
        failed = {"damaged": len(copied.damaged), "failed": len(copied.failed)}
        self._tell("backup.copied", {**facts, **counts, **failed})
        return copied

    def _look_after_wal(self, plans: Sequence[Lacking], monotonic: float, waiting: Waiting) -> bool:
        """Tell once that the region lacks WAL which only other regions have; whether that is over."""
        beyond = {each.key: each for plan in plans for each in plan.wal if not waiting(each.segment)}
        if not plans:
            return False  # no other region answers: nobody knows
        facts: Mapping[str, object] = {"database": self._database, "region": self.target.name}
        if not self._is_behind:
            known = plans[0].restorable and any(
                self._behind.is_overdue(each, monotonic) for each in beyond.values()
            )
            if known:
                self._is_behind = True
                first = min(each.segment for each in beyond.values())
                lacks = sum(each.stored_bytes for each in beyond.values())
                self._tell("backup.region_left_behind", {**facts, "segment": first.name, "bytes": lacks})
            return False
        if beyond:
            return False
        self._is_behind = False
        self._tell("backup.region_caught_up", facts)
        return True
