"""What the operator says must be true of a copy, and how new its newest rows are.

A check is SQL that returns exactly one row whose first column is true. Four things can come of it, and they
are not the same: it holds; it is false (the data is wrong); it failed (the SQL, or the database, is wrong);
it took too long (nothing is known).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from holdfast.backup.ports import Asked, Copy

LONGEST_TEXT = 500
"""Characters of an error that are kept."""
_TRUE, _FALSE = ("t", "true"), ("f", "false")
_TOO_LONG = "canceling statement due to statement timeout"

Monotonic = Callable[[], float]


class Outcome(StrEnum):
    """What came of a check."""

    HOLDS = "holds"
    FALSE = "false"
    FAILED = "failed"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of one of the operator's checks. `text` says why, when it does not hold."""

    key: str
    outcome: Outcome
    text: str
    took_s: float


@dataclass(frozen=True, slots=True)
class Newest:
    """The time of the newest row, by the SQL named `key`, in UTC; None when there is no row, or it failed.

    `age_s` is seconds between that row and the moment that the copy was restored to.
    """

    key: str
    outcome: Outcome
    at: datetime | None
    age_s: float | None
    text: str
    took_s: float


def checked(
    copy: Copy, database: str, checks: Mapping[str, str], timeout_s: float, monotonic: Monotonic
) -> list[Checked]:
    """Every check, each with a time limit of its own. One that fails does not end the others."""
    results = []
    for key, sql in checks.items():
        asked, took_s = _asked(copy, database, sql, timeout_s, monotonic)
        outcome, text = verdict_of(asked, took_s, timeout_s)
        results.append(Checked(key, outcome, text, took_s))
    return results


def verdict_of(asked: Asked, took_s: float, timeout_s: float) -> tuple[Outcome, str]:
    """What an answer says of a check, and why. Pure."""
    if asked.error:
        return _trouble(asked.error, took_s, timeout_s)
    if len(asked.rows) != 1:
        return Outcome.FAILED, f"it returned {len(asked.rows)} rows, and must return exactly one"
    value = asked.rows[0][0] if asked.rows[0] else None
    if value is None:
        # `max(x) > 5` of an emptied table is null: unknown is not true, and the data may be gone.
        return Outcome.FALSE, "it returned null"
    if value.lower() in _TRUE:
        return Outcome.HOLDS, ""
    if value.lower() in _FALSE:
        return Outcome.FALSE, "it returned false"
    return Outcome.FAILED, f"it returned {value[:40]!r}, and must return true or false"


def newest_rows(
    copy: Copy,
    database: str,
    newest: Mapping[str, str],
    reached: datetime | None,
    timeout_s: float,
    monotonic: Monotonic,
) -> list[Newest]:
    """How new the newest rows are, beside `reached`, the moment that the copy was restored to."""
    results = []
    for key, sql in newest.items():
        asked, took_s = _asked(copy, database, as_seconds(sql), timeout_s, monotonic)
        outcome, at, text = moment_of(asked, took_s, timeout_s)
        age_s = None if at is None or reached is None else (reached - at).total_seconds()
        results.append(Newest(key, outcome, at, age_s, text, took_s))
    return results


def as_seconds(sql: str) -> str:
    """The same query, its first column as seconds since 1970: read the same in any DateStyle and zone."""
    bare = sql.strip().rstrip(";").rstrip()
    return f"SELECT extract(epoch FROM q.t::timestamptz)::text FROM (\n{bare}\n) AS q(t)"  # noqa: S608  the operator's own SQL


def moment_of(asked: Asked, took_s: float, timeout_s: float) -> tuple[Outcome, datetime | None, str]:
    """The time that an answer to `as_seconds` names. No row at all is false: there is nothing. Pure."""
    if asked.error:
        outcome, text = _trouble(asked.error, took_s, timeout_s)
        return outcome, None, text
    if len(asked.rows) > 1:
        return Outcome.FAILED, None, f"it returned {len(asked.rows)} rows, and must return one"
    value = asked.rows[0][0] if asked.rows and asked.rows[0] else None
    if value is None:
        return Outcome.FALSE, None, "there is no row"
    try:
        return Outcome.HOLDS, datetime.fromtimestamp(float(value), UTC), ""
    except (ValueError, OverflowError, OSError):
        return Outcome.FAILED, None, f"{value[:40]!r} is no moment"


def _asked(
    copy: Copy, database: str, sql: str, timeout_s: float, monotonic: Monotonic
) -> tuple[Asked, float]:
    begun = monotonic()
    asked = copy.ask(database, sql, timeout_s)
    return asked, monotonic() - begun


def _trouble(error: str, took_s: float, timeout_s: float) -> tuple[Outcome, str]:
    # The copy speaks the language it was set up with: the time that was used up tells it in any.
    if took_s >= timeout_s or _TOO_LONG in error:
        return Outcome.TIMEOUT, f"it took longer than {timeout_s:g} s"
    return Outcome.FAILED, " ".join(error.split())[:LONGEST_TEXT]
