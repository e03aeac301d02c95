"""From what one look says, and what is open, to what changes. Pure.

The invariants, held by property tests:

- The same readings again at the same time change nothing.
- A reading that fires never ends an alert, and one that is not known changes nothing.
- An alert ends when its subject has not fired for `resolve_after`, or is no longer looked at (it has left the
  estate). So a subject that comes and goes faster than that is one alert, not many.
- The severity rises at once, and falls only after `resolve_after` without a reading that is worth a page.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from holdfast.availability.alerting.model import Alert, Reading, Severity, Silence


class Change(Enum):
    """What became of an alert in one round."""

    OPENED = "opened"
    ESCALATED = "escalated"
    EASED = "eased"
    """Less urgent than before. Nobody is told; a new escalation is."""
    SEEN = "seen"
    """Still open; only times and texts moved on."""
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Action:
    """One alert as it is from now on, and what that changed. `alert.muted_by` says why nobody is told."""

    change: Change
    alert: Alert


def decide(
    looked: Iterable[Reading],
    alerts: Iterable[Alert],
    silences: Sequence[Silence],
    now: datetime,
    resolve_after: timedelta,
) -> list[Action]:
    """What changes as of `now`. `looked` has a reading for every subject of the estate, each once.

    `alerts` may hold ended ones; only open ones matter. Alerts that stay exactly as they are get no action.
    """
    by_key = {reading.key: reading for reading in looked}
    open_alerts = {alert.key: alert for alert in alerts if alert.is_open}
    actions = [
        action
        for alert in open_alerts.values()
        if (action := _continued(alert, by_key.get(alert.key), silences, now, resolve_after)) is not None
    ]
    actions += [
        Action(Change.OPENED, _opened(reading, reading.firing, silences, now))
        for key, reading in by_key.items()
        if key not in open_alerts and reading.firing is not None
    ]
    return actions


def _opened(reading: Reading, severity: Severity, silences: Sequence[Silence], now: datetime) -> Alert:
    return Alert(
        reading.kind,
        reading.subject,
        severity,
        opened_at=now,
        changed_at=now,
        fired_at=now,
        paged_at=now if severity is Severity.PAGE else None,
        summary=reading.summary,
        agreements=reading.agreements,
        components=reading.components,
        muted_by=_muted_by(reading, silences, now),
        facts=reading.facts,
    )


def _continued(
    alert: Alert,
    reading: Reading | None,
    silences: Sequence[Silence],
    now: datetime,
    resolve_after: timedelta,
) -> Action | None:
    if reading is None:
        gone = replace(alert, resolved_at=now, summary=f"{alert.subject} is no longer in the estate")
        return Action(Change.RESOLVED, gone)
    if reading.firing is None:
        return _quiet(alert, reading, silences, now, resolve_after)
    return _firing(alert, reading, reading.firing, silences, now, resolve_after)


def _quiet(
    alert: Alert,
    reading: Reading,
    silences: Sequence[Silence],
    now: datetime,
    resolve_after: timedelta,
) -> Action | None:
    """Nothing is wrong just now, or nothing can be said."""
    if reading.known and now - alert.fired_at >= resolve_after:
        return Action(Change.RESOLVED, replace(alert, resolved_at=now))
    muted = replace(alert, muted_by=_muted_by(reading, silences, now))
    return None if muted == alert else Action(Change.SEEN, muted)


def _firing(
    alert: Alert,
    reading: Reading,
    firing: Severity,
    silences: Sequence[Silence],
    now: datetime,
    resolve_after: timedelta,
) -> Action | None:
    paged_at = now if firing is Severity.PAGE else alert.paged_at
    paging = paged_at is not None and (firing is Severity.PAGE or now - paged_at < resolve_after)
    severity = Severity.PAGE if paging else firing
    seen = replace(
        alert,
        severity=severity,
        changed_at=now if severity > alert.severity else alert.changed_at,
        fired_at=max(now, alert.fired_at),
        paged_at=paged_at,
        summary=reading.summary,
        agreements=reading.agreements,
        components=reading.components,
        muted_by=_muted_by(reading, silences, now),
        facts=reading.facts,
    )
    if seen == alert:
        return None
    if severity > alert.severity:
        return Action(Change.ESCALATED, seen)
    return Action(Change.EASED if severity < alert.severity else Change.SEEN, seen)


def _muted_by(reading: Reading, silences: Sequence[Silence], now: datetime) -> str:
    """What keeps operators from being told, or an empty text."""
    if reading.muted_by:
        return reading.muted_by
    silence = next((each for each in silences if each.mutes(reading.kind, reading.subject, now)), None)
    return "" if silence is None else f"silence {silence.id}: {silence.reason}"
