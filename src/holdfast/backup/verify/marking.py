"""What a verification of the newest point makes suspect: beside the verifications and backups before it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from holdfast.backup.errors import BackupError
from holdfast.backup.model import Holdings, Suspicion
from holdfast.backup.verify import damage
from holdfast.backup.verify import verification as records
from holdfast.backup.verify.counting import fallen
from holdfast.backup.verify.damage import Sample, Verdict
from holdfast.backup.verify.verification import Problem, Standing, Subject, Verification
from holdfast.backup.verify.wal_counts import WalCounts
from holdfast.backup.verify.watching import Watch, new_id
from holdfast.kernel.clock import Clock

MAY_BE_LOCAL = (Subject.PAGES, Subject.TABLE, Subject.STRUCTURE)
"""Failures that a bad disk under a warm copy brings about, too."""
MAKES_SUSPECT = (*MAY_BE_LOCAL, Subject.INVARIANT)
"""When the newest point has such a failure, what was written since the last good one may be damaged."""
HINT = "holdfast backup suspect list; when all is as it should be: suspect lift"


def marked(
    watch: Watch, clock: Clock, holdings: Holdings, earlier: Sequence[Verification], record: Verification
) -> Verification:
    """The record with what has fallen or jumped in it; marks are raised. `earlier` is of newest points."""
    reached = [each for each in earlier if each.reached_at is not None]
    try:
        good = records.last_passed(reached)
        remarks = list(record.remarks)
        if good is not None and record.tables:
            remarks += fallen(good.tables, record.tables)
        jumped = list(_jumped(watch, holdings, reached, record))
        jumped += _jumped_in_wal(watch, holdings, earlier, record)
        problems = [*record.problems, *problems_of(jumped)]
        _suspect(watch, clock, holdings, good, problems)
    except BackupError as error:
        return replace(record, remarks=(*record.remarks, f"marks could not be kept: {error}"))
    standing = records.standing_of(problems)
    return replace(record, remarks=tuple(remarks), problems=tuple(problems), standing=standing)


def problems_of(verdicts: Iterable[Verdict]) -> list[Problem]:
    """Each jump once. Pure."""
    texts = [each.text for each in verdicts if each.standing is damage.Standing.JUMPED]
    return [Problem(Subject.DAMAGE, text, Standing.FAILED, HINT) for text in dict.fromkeys(texts)]


def _jumped(
    watch: Watch, holdings: Holdings, before: Sequence[Verification], record: Verification
) -> Iterator[Verdict]:
    """What the figures of the newest backup, and of this copy, say."""
    yield from watch.look(holdings.backups)[0]
    newest = records.sample_of(record)
    if newest is not None and record.tables:
        history = [each for each in map(records.sample_of, before) if each is not None]
        yield from watch.judge(history, newest, holdings.backups)[0]


def _jumped_in_wal(
    watch: Watch, holdings: Holdings, before: Sequence[Verification], record: Verification
) -> Iterator[Verdict]:
    """What was deleted and dropped from backup to backup, and since the newest one.

    What has not ended yet can only become more: it is judged as if it had ended, and is no measure.
    """
    history = [*wal_samples_of(before), *_accepted(watch, before)]
    for counts in record.wal:
        sample = Sample(counts.at or record.started_at, counts.figures, counts.backup or record.id)
        yield from watch.judge(history, sample, holdings.backups)[0]
        if counts.backup:
            history = [each for each in history if each.point != counts.backup]
            history.append(sample)


def wal_samples_of(verifications: Iterable[Verification]) -> list[Sample]:
    """What was counted between one backup and the next, the oldest first. Pure."""
    found = {counts.backup: counts for each in verifications for counts in each.wal if counts.backup}
    samples = [Sample(each.at, each.figures, each.backup) for each in found.values() if each.at is not None]
    return sorted(samples, key=lambda each: (each.at, each.point))


def _accepted(watch: Watch, before: Sequence[Verification]) -> Iterator[Sample]:
    """What had not ended when it was judged, and a person has found right since."""
    lifted = [each for each in watch.known() if each.lifted_at is not None]
    for each in before:
        if any(mark.since < each.started_at <= (mark.lifted_at or mark.since) for mark in lifted):
            yield from (
                Sample(each.started_at, counts.figures, each.id) for counts in each.wal if _is_open(counts)
            )


def _is_open(counts: WalCounts) -> bool:
    return not counts.backup


def _suspect(
    watch: Watch,
    clock: Clock,
    holdings: Holdings,
    good: Verification | None,
    problems: Sequence[Problem],
) -> None:
    """Mark what was written since the last point that passed, when the data itself is wrong."""
    wrong = [each for each in problems if each.subject in MAKES_SUSPECT and each.standing is Standing.FAILED]
    if not wrong:
        return
    since = good.reached_at if good is not None else None
    if since is None:
        since = min((each.started_at for each in holdings.backups), default=clock.now())
    reason = "; ".join(each.text for each in wrong[:3])
    watch.suspect(Suspicion(new_id(clock), since, clock.now(), reason), holdings.backups)
