"""Raises suspicions: in every region, with an event, and with longer locks on what is from before."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.backup.layout import backup_id
from holdfast.backup.model import Backup, Suspicion
from holdfast.backup.ports import Region
from holdfast.backup.recoverable import marks
from holdfast.backup.verify import damage
from holdfast.backup.verify.damage import Sample, Verdict
from holdfast.kernel.clock import Clock
from holdfast.kernel.journal import JournalEntry

ACTOR = "verification"

Told = Callable[[JournalEntry], None]


@dataclass(frozen=True, slots=True)
class Raised:
    """A suspicion, and what became of it. `behind` and `unlocked` tell by region why it could not be done."""

    suspicion: Suspicion
    told: tuple[str, ...]
    behind: Mapping[str, str]
    locked: Mapping[str, int] = field(default_factory=dict)
    """Objects that nobody can delete for now, by region; 0 where the store knows no locks."""
    unlocked: Mapping[str, str] = field(default_factory=dict)


class Watch:
    """Looks after the marks of one database. `told` gets an event for each one raised or lifted."""

    def __init__(self, database: str, regions: Sequence[Region], clock: Clock, told: Told) -> None:
        self._database = database
        self._regions = tuple(regions)
        self._clock = clock
        self._told = told

    def look(self, backups: Sequence[Backup]) -> tuple[list[Verdict], Raised | None]:
        """Judge the newest of these backups beside the others. Raises RegionError when no region tells its
        marks.
        """
        samples = damage.samples_of(backups)
        if not samples:
            return [], None
        return self.judge(samples[:-1], samples[-1], backups)

    def judge(
        self, history: Sequence[Sample], newest: Sample, backups: Sequence[Backup]
    ) -> tuple[list[Verdict], Raised | None]:
        """Judge a sample beside its history, and raise a suspicion when it jumped."""
        known = marks.suspicions_of(self._regions, self._database)
        verdicts = damage.judged(history, newest, known)
        suspicion = damage.suspicion_of(verdicts, history, newest, known, self._new_id(), self._clock.now())
        return verdicts, None if suspicion is None else self.mark(suspicion, backups)

    def suspect(self, suspicion: Suspicion, backups: Sequence[Backup]) -> Raised | None:
        """Raise a suspicion unless one stands that reaches as far back."""
        known = marks.suspicions_of(self._regions, self._database)
        if any(each.lifted_at is None and each.since <= suspicion.since for each in known):
            return None
        return self.mark(suspicion, backups)

    def mark(self, suspicion: Suspicion, backups: Sequence[Backup]) -> Raised:
        """Write it everywhere, lock what is from before it, and tell."""
        spread = marks.tell(self._regions, self._database, suspicion)
        until = suspicion.raised_at + marks.LOCKED_FOR
        locked, unlocked = marks.lock_before(self._regions, backups, suspicion, until)
        facts: dict[str, object] = {
            "database": self._database,
            "suspicion": suspicion.id,
            "since": suspicion.since.isoformat(),
            "reason": suspicion.reason,
            "locked": locked,
        }
        if spread.behind or unlocked:
            facts["not_told"] = {**spread.behind, **unlocked}
        self._told(JournalEntry(suspicion.raised_at, ACTOR, "backup.suspicion_raised", facts))
        return Raised(suspicion, spread.told, spread.behind, locked, unlocked)

    def known(self) -> Sequence[Suspicion]:
        """Every suspicion that any region knows of. Raises RegionError when none tells."""
        return marks.suspicions_of(self._regions, self._database)

    def lift(self, mark_id: str, who: str) -> Raised:
        """Take a suspicion back, in a person's name. Raises NoSuchMark."""
        known = marks.suspicions_of(self._regions, self._database)
        lifted = marks.lifted(known, mark_id, who, self._clock.now())
        spread = marks.tell(self._regions, self._database, lifted)
        facts: dict[str, object] = {"database": self._database, "suspicion": mark_id, "by": who}
        self._told(JournalEntry(self._clock.now(), who, "backup.suspicion_lifted", facts))
        return Raised(lifted, spread.told, spread.behind)

    def _new_id(self) -> str:
        return new_id(self._clock)


def new_id(clock: Clock) -> str:
    """An id for a mark or a verification: it sorts by time."""
    return backup_id(clock.now())
