"""Looks at a copy that runs: the operator's invariants, newest rows, row counts, structures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from holdfast.backup.ports import Copy
from holdfast.backup.restore.needs import Needs
from holdfast.backup.verify import counting, invariants, structures
from holdfast.backup.verify.counting import Counted
from holdfast.backup.verify.invariants import Checked, Newest, Outcome
from holdfast.backup.verify.needs import needs_of
from holdfast.backup.verify.verification import PagesChecked, Problem, Standing, Subject
from holdfast.kernel.clock import Clock

MOST_TOLD = 10


@dataclass(frozen=True, slots=True)
class Wanted:
    """What must be true of a copy, in `database` of it. Times limit each check, and all counting."""

    database: str = "postgres"
    checks: Mapping[str, str] = field(default_factory=dict)
    newest: Mapping[str, str] = field(default_factory=dict)
    check_timeout_s: float = 120.0
    count_budget_s: float = 60.0
    structure_budget_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Looked:
    """What a copy said."""

    checks: Sequence[Checked] = ()
    newest: Sequence[Newest] = ()
    counted: Counted = field(default_factory=lambda: Counted((), (), (), None))
    built: structures.Structures = field(default_factory=structures.Structures)
    needs: Needs | None = None
    """What it needs of PostgreSQL's programs; None when it did not tell."""

    @property
    def remarks(self) -> tuple[str, ...]:
        return (f"amcheck: {self.built.why_not}",) if self.built.why_not else ()


def look(copy: Copy, wanted: Wanted, reached: datetime | None, clock: Clock) -> Looked:
    """Ask a copy everything. One question that fails does not keep the others from being asked."""
    checked = invariants.checked(
        copy, wanted.database, wanted.checks, wanted.check_timeout_s, clock.monotonic
    )
    newest = invariants.newest_rows(
        copy, wanted.database, wanted.newest, reached, wanted.check_timeout_s, clock.monotonic
    )
    counted = counting.counted(copy, wanted.database, wanted.count_budget_s, clock.monotonic)
    built = structures.checked(copy, wanted.database, wanted.structure_budget_s, clock.monotonic)
    needs = needs_of(copy, wanted.database, clock.monotonic)
    return Looked(checked, newest, counted, built, needs)


def problems_in(looked: Looked, pages: PagesChecked) -> Iterator[Problem]:
    """What is wrong with a copy, each named. Pure."""
    for subject, results in ((Subject.INVARIANT, looked.checks), (Subject.NEWEST, looked.newest)):
        for each in results:
            if each.outcome is not Outcome.HOLDS:
                yield _of_outcome(subject, each.key, each.outcome, each.text)
    for name, why in looked.counted.trouble[:MOST_TOLD]:
        yield Problem(Subject.TABLE, f"{name} cannot be read: {why}", Standing.FAILED)
    for text in looked.built.wrong[:MOST_TOLD]:
        yield Problem(Subject.STRUCTURE, text, Standing.FAILED)
    if pages.bad_count:
        named = ", ".join(pages.bad[:MOST_TOLD])
        yield Problem(
            Subject.PAGES,
            f"the checksums of {pages.bad_count} pages do not fit: {named}",
            Standing.FAILED,
            "restore a point from before the damage; holdfast find-good finds it",
        )


def _of_outcome(subject: Subject, key: str, outcome: Outcome, text: str) -> Problem:
    what = f"check {key}" if subject is Subject.INVARIANT else f"newest row of {key}"
    if outcome is Outcome.FALSE:
        return Problem(subject, f"{what}: {text}", Standing.FAILED)
    if outcome is Outcome.TIMEOUT:
        return Problem(subject, f"{what}: {text}", Standing.UNPROVEN, "make it quicker: it runs every day")
    return Problem(subject, f"{what} failed: {text}", Standing.UNPROVEN, "does its SQL run on the database?")
