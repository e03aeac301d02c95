"""A year of made-up history, for looking around. Everything in it is marked as sample and shown as such.

Pure and repeatable: the same check and year always come out the same.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.availability.histogram import Histogram, bucket_of
from holdfast.availability.model import State, Transition
from holdfast.availability.ports import RollUp

_HOUR = timedelta(hours=1)
_TROUBLES = (
    (State.MAJOR_OUTAGE, 5, 18.0, "connection refused"),
    (State.PARTIAL_OUTAGE, 4, 25.0, "status was 503, expected 200-299"),
    (State.DEGRADED, 12, 30.0, "response_time was 1.6s, expected < 1s"),
    (State.UNKNOWN, 2, 20.0, "no result arrived"),
)
"""State, how often a year, the median length in minutes, and the reason that is shown."""


@dataclass(frozen=True, slots=True)
class SampleHistory:
    """What to import for one check."""

    transitions: tuple[Transition, ...]
    hours: tuple[RollUp, ...]


def sample_history(check_id: int, until: datetime, length: timedelta, runs_per_hour: int) -> SampleHistory:
    """History of one check over `length`, ending UNKNOWN just before `until` (aware, UTC)."""
    dice = random.Random(f"holdfast sample {check_id}")  # noqa: S311  a repeatable story, not a secret
    start = until - length
    troubles = _troubles(dice, start, until)
    transitions = [Transition(check_id, start, State.OPERATIONAL, "", sample=True)]
    for begins, ends, state, reason in troubles:
        transitions.append(Transition(check_id, begins, state, reason, sample=True))
        transitions.append(Transition(check_id, ends, State.OPERATIONAL, "", sample=True))
    transitions.append(Transition(check_id, until, State.UNKNOWN, "the sample ends here", sample=True))
    return SampleHistory(tuple(transitions), tuple(_hours(dice, check_id, start, until, runs_per_hour)))


def _troubles(
    dice: random.Random, start: datetime, until: datetime
) -> list[tuple[datetime, datetime, State, str]]:
    """Ordered and at least an hour apart, so that each begins from operational."""
    drawn = []
    for state, often, median, reason in _TROUBLES:
        for _ in range(often):
            begins = start + (until - start) * dice.random()
            minutes = min(600.0, median * math.exp(dice.gauss(0, 0.9)))
            drawn.append((begins, begins + timedelta(minutes=minutes), state, reason))
    kept: list[tuple[datetime, datetime, State, str]] = []
    for each in sorted(drawn, key=lambda trouble: trouble[0]):
        free_from = kept[-1][1] + _HOUR if kept else start + _HOUR
        if each[0] >= free_from and each[1] < until - _HOUR:
            kept.append(each)
    return kept


def _hours(
    dice: random.Random, check_id: int, start: datetime, until: datetime, runs: int
) -> Iterator[RollUp]:
    base_us = dice.uniform(8_000, 60_000)
    at = start.replace(minute=0, second=0, microsecond=0) + _HOUR
    while at + _HOUR <= until:
        busy = 1 + 0.5 * math.sin((at.hour - 9) / 24 * 2 * math.pi)
        middle = bucket_of(round(base_us * busy * math.exp(dice.gauss(0, 0.08))))
        shares = {-4: 0.05, -2: 0.2, 0: 0.4, 3: 0.22, 8: 0.1, 14: 0.025, 22: 0.005}
        counts = {middle + shift: max(1, round(share * runs)) for shift, share in shares.items()}
        latency = Histogram(tuple(counts), tuple(counts.values()))
        yield RollUp(check_id, at, latency.total, 0, 0, latency)
        at += _HOUR
