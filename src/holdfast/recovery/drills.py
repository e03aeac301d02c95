"""Drills: which is due, which is picked on a game day, and how long each proves anything. Pure.

A drill is a run like any other, of a playbook called `drill-SCENARIO`. What is scheduled begins at most once
in each stretch of its `every`, whoever asks: the run's id follows from the drill and the stretch.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from holdfast.estate.drills import Drill
from holdfast.kernel.ids import id_from
from holdfast.recovery.errors import Refused
from holdfast.recovery.gathering import DRILL

SHORTEST_EVERY = timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a declared drill stands. Times by the clock of the evidence."""

    key: str
    drill: Drill
    tried_at: datetime | None
    """When it, or the real thing, was tried last, whatever came of it."""
    passed_at: datetime | None
    """When it passed last."""
    due_at: datetime | None
    """When it begins next by itself; None: never."""
    now: datetime

    @property
    def valid_until(self) -> datetime | None:
        """None for one that never passed."""
        return None if self.passed_at is None else self.passed_at + self.drill.valid_for

    @property
    def is_expired(self) -> bool:
        """It proves nothing now: it never passed, or that is too long ago."""
        return self.valid_until is None or self.valid_until <= self.now

    @property
    def is_due(self) -> bool:
        return self.due_at is not None and self.due_at <= self.now


def standing_of(
    key: str, drill: Drill, tried_at: datetime | None, passed_at: datetime | None, now: datetime
) -> Standing:
    """A drill that was never tried is due at once."""
    due_at = None
    if drill.every is not None:
        due_at = now if tried_at is None else tried_at + drill.every
    return Standing(key, drill, tried_at, passed_at, due_at, now)


_BY_WHERE = {("region-outage", "production"): "switchover", ("corruption", "lab"): "corruption-lab"}


def playbook_of(scenario: str, where: str = "") -> str:
    """The playbook of a scenario's drills.

    Nobody breaks the real thing: there a region is left by a plan, and no data is damaged but the lab's.
    """
    return f"{DRILL}{_BY_WHERE.get((scenario, where), scenario)}"


def given_to_drill(drill: Drill, seed: int) -> Mapping[str, str]:
    """What its run is started with."""
    return {"on": drill.where, "region": drill.region or "", "seed": str(seed)}


def scheduled_run_id(key: str, every: timedelta, now: datetime) -> str:
    """The same for everybody who starts the drill in this stretch of its time, and another in the next."""
    stretch = (now - _EPOCH) // max(every, SHORTEST_EVERY)
    return id_from("scheduled drill", key, str(every.total_seconds()), str(stretch))


def scheduled_seed(key: str, now: datetime) -> int:
    """Another one each day, and known afterwards."""
    return int(id_from("seed", key, now.date().isoformat()), 36) % 2**48


def picked(drills: Mapping[str, Drill], seed: int) -> str:
    """The drill of a game day: each that may be picked as likely as any other. Raises Refused for none.

    The same seed picks the same one, as long as the same drills are declared.
    """
    candidates = sorted(key for key, each in drills.items() if each.game_day)
    if not candidates:
        raise Refused(
            "no drill may be picked on a game day", hint="declare one in recovery.drills with game_day: true"
        )
    return random.Random(seed).choice(candidates)  # noqa: S311  chosen so that it can be chosen again


def due_now(standings: Sequence[Standing]) -> Sequence[Standing]:
    """The longest due first."""
    return sorted((each for each in standings if each.is_due), key=lambda each: (each.due_at, each.key))
