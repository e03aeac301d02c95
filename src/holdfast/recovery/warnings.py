"""What drills have shown that a person must act upon, before it is needed. Pure.

a drill did not pass                       once for each
what a drill proved has expired            once for each time that it passed
a restore will take longer than agreed on  once a week, while it is so
the witness does not cosign evidence       once for each time: at once, or after an hour when it is away
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.recovery.drills import Standing
from holdfast.recovery.evidence import Evidence, Holds, Outcome
from holdfast.recovery.evidence_ports import Grown, Why
from holdfast.recovery.forecast import Forecast

NEW_FOR = timedelta(days=2)
"""What ended longer ago is told of no more: a process may be new, and the log long."""
MOST_TEXT = 500
AWAY_FOR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Warned:
    """Something to be told once. `key` is the same for the same thing, whoever tells it."""

    key: str
    event: str
    """As the journal names it."""
    text: str
    """In one line."""
    facts: Mapping[str, object]
    look: str
    """The command that shows more."""


def warned_of(
    evidence: Sequence[Evidence],
    standings: Sequence[Standing],
    forecasts: Mapping[str, Forecast],
    now: datetime,
) -> Iterator[Warned]:
    """`forecasts` by database."""
    for it in evidence:
        if it.drill and not it.passed and now - it.recorded_at < NEW_FOR:
            yield _failed(it)
    for standing in standings:
        if standing.valid_until is not None and standing.is_expired:
            yield _expired(standing)
    for database, forecast in forecasts.items():
        if forecast.breaks_at is not None:
            yield _too_long(database, forecast, now)


def not_cosigned(grown: Grown, now: datetime) -> Warned | None:
    """That no witness vouches for the newest entries: where it refuses, or is away for long."""
    waiting = grown.waiting
    if waiting is None or not grown.unseen:
        return None
    if waiting.why is Why.AWAY and now - waiting.since < AWAY_FOR:
        return None
    text = {
        Why.AWAY: "the witness of the log of evidence is away",
        Why.FORK: "the log of evidence is not the one that its witness has seen",
    }
    return Warned(
        f"cosigning/{waiting.why.value}/{waiting.since.isoformat()}",
        "evidence.not_cosigned",
        text.get(waiting.why, "the witness does not cosign the log of evidence"),
        {
            "reason": waiting.why.value,
            "why": waiting.text[:MOST_TEXT],
            "since": waiting.since.isoformat(),
            "entries": grown.unseen,
        },
        "holdfast evidence verify",
    )


def _failed(it: Evidence) -> Warned:
    return Warned(
        f"failed/{it.id}",
        "recovery.drill_failed",
        f"a drill of {it.scenario} of {it.subject} did not pass",
        {"evidence": it.id, "subject": it.subject, "scenario": it.scenario, "why": _why(it)},
        f"holdfast evidence show {it.id}",
    )


def _why(it: Evidence) -> str:
    if it.outcome is Outcome.CANCELLED:
        return it.why[:MOST_TEXT]
    found = [f"{each.name}: {each.detail}" for each in it.invariants if each.holds is Holds.FAILS]
    for name, measure in (("RPO", it.rpo), ("RTO", it.rto)):
        if measure.is_met is False:
            found.append(f"{name} of {(measure.measured_ms or 0) / 1000:g} s is beyond what was agreed on")
    return "; ".join(found)[:MOST_TEXT]


def _expired(standing: Standing) -> Warned:
    passed_at = standing.passed_at.isoformat() if standing.passed_at else ""
    return Warned(
        f"expired/{standing.key}/{passed_at}",
        "recovery.drill_expired",
        f"the drill {standing.key} proves nothing any more",
        {
            "drill": standing.key,
            "subject": standing.drill.subject,
            "scenario": standing.drill.scenario,
            "passed_at": passed_at,
        },
        "holdfast drill list",
    )


def _too_long(database: str, forecast: Forecast, now: datetime) -> Warned:
    year, week, _ = now.isocalendar()
    return Warned(
        f"too-long/{database}/{year}-{week}",
        "recovery.restore_will_take_too_long",
        f"a restore of {database} will take longer than was agreed on",
        {
            "database": database,
            "breaks_at": forecast.breaks_at.isoformat() if forecast.breaks_at else "",
            "limit_s": forecast.limit.total_seconds() if forecast.limit is not None else None,
            "restore_now_s": _rounded(forecast.now_s),
            "restore_in_90_days_s": _rounded(forecast.then_s),
            "samples": forecast.samples,
        },
        "holdfast drill list",
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
