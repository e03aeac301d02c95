"""Whether a backup differs from its own history as damage does: encrypted, mass-changed, emptied. Pure.

Each point has figures. One is compared with the same figure of the points before it, in logarithms, by the
median and the median absolute deviation (MAD): one odd day moves neither (Rousseeuw and Croux, 1993). What
grows all the time (size, rows) is compared by its growth. Without enough history nothing is said: a verdict
of a guess would either hide damage or cry wolf.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from statistics import median

from holdfast.backup.model import Backup, BackupKind, Suspicion

FEWEST_BEFORE = 5
"""Points before one, below which nothing is said about it."""
MOST_BEFORE = 60
"""The newest so many are its history."""
FAR = 6.0
"""Deviations from the median that are a jump."""
_MAD_OF_NORMAL = 1.4826
ROWS = "rows:"


class Standing(StrEnum):
    """What a figure says of a point."""

    STEADY = "steady"
    JUMPED = "jumped"
    UNKNOWN = "unknown"
    """There is too little history."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures of one point, at the moment `at` that it was taken (UTC). See `RULES` for their names."""

    at: datetime
    figures: Mapping[str, float]
    point: str = ""
    """The id of the backup, or of the verification, that they are of."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How one figure is judged. `least`: where old and new value are both below it, nothing is damaged.

    `tolerance` is in logarithms, and the smallest deviation that counts as one: a figure that was always the
    same must still be allowed to move by a little. A jump is `FAR` times that at least.
    """

    says: str
    tolerance: float
    grows: bool = False
    least: float = 0.0
    rises: bool = True
    falls: bool = True


RULES: Mapping[str, Rule] = {
    "compression:full": Rule("stored bytes for each byte of a full backup", 0.05),
    "compression:incremental": Rule("stored bytes for each byte of an increment", 0.1),
    "changed": Rule("share of the database that changed", 0.3, least=0.05, falls=False),
    "size": Rule("bytes of the database", 0.04, grows=True, least=1024 * 1024),
    "deletes": Rule("rows deleted", 0.5, least=1000, falls=False),
    "drops": Rule("files of dropped tables", 0.2, least=20, falls=False),
    "truncates": Rule("files of tables emptied or written anew", 0.2, least=20, falls=False),
}
"""Rows of a table are named `rows:DATABASE.SCHEMA.TABLE`."""
ROWS_RULE = Rule("rows", 0.06, grows=True, least=100, rises=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one figure of a point says, beside what is usual. `usual` is None when that is unknown."""

    figure: str
    standing: Standing
    value: float
    usual: float | None = None

    @property
    def text(self) -> str:
        """For people: `rows of app.public.orders: 12 where 48,100 are usual`."""
        rule = rule_of(self.figure)
        name = f"rows of {self.figure.removeprefix(ROWS)}" if _is_rows(self.figure) else rule.says
        if self.usual is None:
            return f"{name}: {_number(self.value)}, too little history to say more"
        return f"{name}: {_number(self.value)} where {_number(self.usual)} is usual"


def rule_of(figure: str) -> Rule:
    """The rule that a figure is judged by; KeyError for a name that is none."""
    return ROWS_RULE if _is_rows(figure) else RULES[figure]


def sample_of(backup: Backup, full_bytes: int | None) -> Sample:
    """A backup's own figures. `full_bytes` is the raw size of the full one in its chain, for an increment."""
    chunks = [chunk for archive in backup.archives for chunk in archive.chunks]
    raw, stored = sum(each.raw_bytes for each in chunks), sum(each.stored_bytes for each in chunks)
    figures: dict[str, float] = {}
    if raw:
        figures[f"compression:{backup.kind.value}"] = stored / raw
    if backup.kind is BackupKind.FULL:
        figures["size"] = float(backup.raw_bytes)
    elif full_bytes:
        figures["changed"] = backup.raw_bytes / full_bytes
    return Sample(backup.finished_at, figures, backup.id)


def samples_of(backups: Sequence[Backup]) -> list[Sample]:
    """The figures of backups, oldest first. An increment whose full one is gone has no changed share."""
    known = {each.id: each for each in backups}

    def full_bytes(backup: Backup) -> int | None:
        seen: set[str] = set()
        at: Backup | None = backup
        while at is not None and at.kind is not BackupKind.FULL and at.id not in seen:
            seen.add(at.id)
            at = known.get(at.parent)
        return at.raw_bytes if at is not None and at.kind is BackupKind.FULL else None

    return [sample_of(each, full_bytes(each)) for each in sorted(backups, key=lambda each: each.finished_at)]


def judged(history: Sequence[Sample], newest: Sample, suspicions: Iterable[Suspicion] = ()) -> list[Verdict]:
    """What each figure of `newest` says beside the points before it, sorted by the figure's name.

    Points under a suspicion that stands are no measure of what is usual. Those under one that a person has
    lifted are accepted: being like one of them is no jump.
    """
    marks = tuple(suspicions)
    before = sorted((each for each in history if each.at < newest.at), key=lambda each: each.at)
    measure = [each for each in before if not any(_stands_over(mark, each.at) for mark in marks)]
    accepted = [each for each in before if any(_lifted_over(mark, each.at) for mark in marks)]
    figures = _with_gone_tables(measure, newest.figures)
    return [_verdict(name, figures[name], measure, accepted, newest.at) for name in sorted(figures)]


def suspicion_of(
    verdicts: Iterable[Verdict],
    history: Sequence[Sample],
    newest: Sample,
    suspicions: Iterable[Suspicion],
    mark_id: str,
    now: datetime,
) -> Suspicion | None:
    """The mark that jumps make: from the last unsuspicious point on, for damage began somewhere behind it.

    None without a jump, and while a mark stands that already covers this point.
    """
    jumps = [each for each in verdicts if each.standing is Standing.JUMPED]
    marks = tuple(suspicions)
    if not jumps or any(_stands_over(mark, newest.at) for mark in marks):
        return None
    good = [each.at for each in history if each.at < newest.at]
    reason = "; ".join(each.text for each in jumps[:5])
    more = f"; and {len(jumps) - 5} more" if len(jumps) > 5 else ""
    return Suspicion(mark_id, max(good, default=newest.at), now, reason + more)


def is_suspect(moment: datetime, suspicions: Iterable[Suspicion]) -> bool:
    """Whether a suspicion stands over that moment. The moment it begins at is the last one that is not."""
    return any(_stands_over(each, moment) for each in suspicions)


def _stands_over(mark: Suspicion, moment: datetime) -> bool:
    return mark.lifted_at is None and mark.since < moment


def _lifted_over(mark: Suspicion, moment: datetime) -> bool:
    return mark.lifted_at is not None and mark.since < moment <= mark.lifted_at


def _with_gone_tables(before: Sequence[Sample], figures: Mapping[str, float]) -> dict[str, float]:
    """A table that the newest count of rows had, and this one has not, has no rows now."""
    here = dict(figures)
    if any(_is_rows(name) for name in figures):
        counted = next((each for each in reversed(before) if any(map(_is_rows, each.figures))), None)
        for name in counted.figures if counted else ():
            if _is_rows(name):
                here.setdefault(name, 0.0)
    return here


def _verdict(
    name: str, value: float, measure: Sequence[Sample], accepted: Sequence[Sample], at: datetime
) -> Verdict:
    rule = rule_of(name)
    past = [(each.at, each.figures[name]) for each in measure if name in each.figures][-MOST_BEFORE:]
    if len(past) < FEWEST_BEFORE:
        return Verdict(name, Standing.UNKNOWN, value)
    far, usual = _growth(rule, past, value, at) if rule.grows else _level(rule, past, value)
    small = max(value, usual) < rule.least
    wrong_way = (value > usual and not rule.rises) or (value < usual and not rule.falls)
    jumped = far > FAR and not small and not wrong_way
    if jumped and any(_alike(rule, value, each.figures[name]) for each in accepted if name in each.figures):
        jumped = False
    return Verdict(name, Standing.JUMPED if jumped else Standing.STEADY, value, usual)


def _level(rule: Rule, past: Sequence[tuple[datetime, float]], value: float) -> tuple[float, float]:
    """How far a value lies from the median of those before it, and that median."""
    levels = [_log(rule, each) for _, each in past]
    middle, deviation = _robust(levels, rule.tolerance)
    return abs(_log(rule, value) - middle) / deviation, median(each for _, each in past)


def _growth(
    rule: Rule, past: Sequence[tuple[datetime, float]], value: float, at: datetime
) -> tuple[float, float]:
    """How far a step lies from the median step before it, and what the value would have been by that one."""
    gaps = [(later - sooner) / timedelta(seconds=1) for (sooner, _), (later, _) in pairwise(past)]
    usual_gap = max(median(gaps), 1.0)
    steps = [
        (_log(rule, new) - _log(rule, old)) / max(gap / usual_gap, 1.0)
        for ((_, old), (_, new)), gap in zip(pairwise(past), gaps, strict=True)
    ]
    middle, deviation = _robust(steps, rule.tolerance)
    last_at, last = past[-1]
    # After a pause of a week a daily growth is seven steps: more may have happened, in proportion.
    stretch = max((at - last_at) / timedelta(seconds=1) / usual_gap, 1.0)
    step = _log(rule, value) - _log(rule, last)
    usual = math.exp(_log(rule, last) + middle * stretch) - _shift(rule)
    return abs(step - middle * stretch) / (deviation * stretch), max(usual, 0.0)


def _robust(values: Sequence[float], tolerance: float) -> tuple[float, float]:
    middle = median(values)
    spread = _MAD_OF_NORMAL * median(abs(each - middle) for each in values)
    return middle, max(spread, tolerance)


def _alike(rule: Rule, one: float, other: float) -> bool:
    return abs(_log(rule, one) - _log(rule, other)) <= FAR * rule.tolerance


def _log(rule: Rule, value: float) -> float:
    return math.log(max(value, 0.0) + _shift(rule))


def _shift(rule: Rule) -> float:
    """Counts may be 0; shares are small, and a 1 added to them would drown what they say."""
    return 1.0 if rule.least >= 1 else 1e-6


def _is_rows(name: str) -> bool:
    return name.startswith(ROWS)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
