"""The alerting stores in memory, for tests and simulation. Everything ends with the process."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from uuid import uuid4

from holdfast.availability.alerting.model import (
    Alert,
    Board,
    Delivery,
    Round,
    Silence,
    Told,
    Waiting,
)
from holdfast.availability.model import one_line
from holdfast.kernel.clock import Clock


@dataclass(slots=True)
class _Row:
    """A message in the outbox."""

    delivery: Delivery
    due_at: datetime
    leased_until: datetime | None = None
    done_at: datetime | None = None
    sent: bool = False
    last_error: str = ""


class MemoryAlerts:
    """AlertStore, SilenceStore and Outbox over plain dictionaries."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._version = 0
        self._alerts: dict[str, Alert] = {}
        self._told: dict[tuple[str, str], Told] = {}
        self._silences: dict[int, Silence] = {}
        self._outbox: dict[int, _Row] = {}
        self._numbers = count(1)

    async def board(self) -> Board:
        told_of = {each.alert_id for each in self._told.values()}
        alerts = [alert for alert in self._alerts.values() if alert.is_open or alert.id in told_of]
        return Board(
            self._version,
            tuple(sorted(alerts, key=lambda alert: (alert.opened_at, alert.id))),
            tuple(self._told[key] for key in sorted(self._told)),
            tuple(await self.silences()),
            frozenset((row.delivery.channel, row.delivery.group) for row in self._waiting()),
        )

    async def record(self, version: int, decided: Round) -> bool:
        if version != self._version:
            return False
        self._version += 1
        self._alerts |= {alert.id: _as_kept(alert) for alert in decided.alerts}
        self._told |= {(each.channel, each.alert_id): each for each in decided.told}
        for key in decided.untold:
            self._told.pop(key, None)
        now = self._clock.now()
        for notice, message in decided.messages:
            number = next(self._numbers)
            keyed = replace(message, key=str(uuid4()))
            delivery = Delivery(number, notice.channel, notice.group, keyed, now, 0)
            self._outbox[number] = _Row(delivery, now)
        return True

    async def alerts(self, limit: int) -> Sequence[Alert]:
        newest = sorted(self._alerts.values(), key=lambda alert: (alert.opened_at, alert.id), reverse=True)
        return newest[:limit]

    async def prune(self, before: datetime) -> int:
        told_of = {each.alert_id for each in self._told.values()}
        alerts = [
            alert.id
            for alert in self._alerts.values()
            if alert.resolved_at is not None and alert.resolved_at < before and alert.id not in told_of
        ]
        silences = [each.id for each in self._silences.values() if each.ends_at < before]
        rows = [number for number, row in self._outbox.items() if row.done_at and row.done_at < before]
        for alert_id in alerts:
            del self._alerts[alert_id]
        for number in silences:
            del self._silences[number]
        for number in rows:
            del self._outbox[number]
        return len(alerts) + len(silences) + len(rows)

    async def silence(self, pattern: str, lasting: timedelta, reason: str, actor: str) -> Silence:
        now = self._clock.now()
        number = next(self._numbers)
        made = Silence(number, pattern, one_line(reason), one_line(actor), now, now + lasting)
        self._silences[number] = made
        return made

    async def silences(self) -> Sequence[Silence]:
        now = self._clock.now()
        in_force = (each for each in self._silences.values() if each.ends_at > now)
        return sorted(in_force, key=lambda each: (each.ends_at, each.id))

    async def expire(self, silence_id: int, actor: str) -> bool:
        del actor
        found = self._silences.get(silence_id)
        if found is None or found.ends_at <= self._clock.now():
            return False
        self._silences[silence_id] = replace(found, ends_at=self._clock.now())
        return True

    async def claim(self, limit: int, lease: timedelta, busy: Collection[str]) -> Sequence[Delivery]:
        now = self._clock.now()
        oldest: dict[tuple[str, str], _Row] = {}
        for row in self._waiting():
            oldest.setdefault((row.delivery.channel, row.delivery.group), row)
        first: dict[str, _Row] = {}
        for row in sorted(oldest.values(), key=lambda row: (row.due_at, row.delivery.id)):
            free = row.leased_until is None or row.leased_until <= now
            if free and row.due_at <= now and row.delivery.channel not in busy:
                first.setdefault(row.delivery.channel, row)
        claimed = list(first.values())[:limit]
        for row in claimed:
            row.leased_until = now + lease
            row.delivery = replace(row.delivery, attempt=row.delivery.attempt + 1)
        return sorted((row.delivery for row in claimed), key=lambda delivery: delivery.id)

    async def sent(self, delivery: Delivery) -> None:
        row = self._outbox.get(delivery.id)
        if row is not None and not row.sent:
            row.sent, row.done_at, row.leased_until, row.last_error = True, self._clock.now(), None, ""

    async def failed(self, delivery: Delivery, error: str, again_in: timedelta | None) -> None:
        row = self._outbox.get(delivery.id)
        if row is None or row.done_at is not None or row.delivery.attempt != delivery.attempt:
            return
        now = self._clock.now()
        row.leased_until, row.last_error = None, one_line(error)
        row.due_at = now + (again_in or timedelta())
        row.done_at = now if again_in is None else None

    async def waiting(self) -> Sequence[Waiting]:
        rows = self._waiting()
        channels = sorted({row.delivery.channel for row in rows})
        return [_summed(channel, [r for r in rows if r.delivery.channel == channel]) for channel in channels]

    def _waiting(self) -> list[_Row]:
        return [row for row in self._outbox.values() if row.done_at is None]


def _summed(channel: str, rows: Sequence[_Row]) -> Waiting:
    worst = min(rows, key=lambda row: (-row.delivery.attempt, row.delivery.id))
    oldest = min(row.delivery.queued_at for row in rows)
    return Waiting(channel, len(rows), oldest, worst.last_error)


def _as_kept(alert: Alert) -> Alert:
    return replace(alert, summary=one_line(alert.summary), muted_by=one_line(alert.muted_by))
