"""What the public may know of drills: what is promised beside what was measured, and whether it still counts.

Only of drills for which the operator said what to show, and of clusters that are not private. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from holdfast.estate.drills import Drill
from holdfast.estate.model import Estate
from holdfast.recovery.evidence import Measure


@dataclass(frozen=True, slots=True)
class Drilled:
    """A drill, or a real recovery, that passed: its figures, and nobody's name."""

    subject: str
    scenario: str
    ended_at: datetime
    data_bytes: int | None
    rpo: Measure
    rto: Measure


class DrilledReading(Protocol):
    """Reads what may be shown."""

    async def drilled(self, most: int) -> Sequence[Drilled]:
        """Those that passed, the newest first."""
        ...


@dataclass(frozen=True, slots=True)
class Figures:
    """Recovery point or recovery time: what is aimed at, agreed on, measured last, and at worst."""

    target: timedelta | None = None
    contract: timedelta | None = None
    measured: timedelta | None = None
    worst: timedelta | None = None
    """Of all that count still."""


@dataclass(frozen=True, slots=True)
class DrillPromise:
    """A drill on the page. What is not shown, and what nobody knows, is None; `shows` tells them apart."""

    scenario: str
    name: str
    """Of the cluster, or of the database of it."""
    shows: frozenset[str]
    rpo: Figures
    rto: Figures
    data_bytes: int | None
    drilled_at: datetime | None
    samples: int
    """Drills that passed and count still."""
    expired: bool
    """It never passed, or that is too long ago."""


@dataclass(frozen=True, slots=True)
class ClusterDrills:
    """The drills of a cluster that are public, as of a moment."""

    cluster: str
    at: datetime
    drills: tuple[DrillPromise, ...]


def public_drills(estate: Estate, drilled: Sequence[Drilled], now: datetime) -> Sequence[ClusterDrills]:
    """What the site shows, in the estate's order. `drilled` as `DrilledReading` tells them."""
    found = dict[str, list[DrillPromise]]()
    for drill in estate.recovery.drills.values() if estate.recovery else ():
        key = estate.databases[drill.subject].cluster if drill.subject in estate.databases else drill.subject
        cluster = estate.clusters.get(key)
        if drill.public and cluster is not None and not cluster.private:
            found.setdefault(cluster.name, []).append(_promise(estate, drill, cluster.name, drilled, now))
    return [ClusterDrills(name, now, tuple(drills)) for name, drills in found.items()]


def is_anything_public(estate: Estate) -> bool:
    """Whether there is anything to read for the page."""
    return estate.recovery is not None and any(each.public for each in estate.recovery.drills.values())


def _promise(
    estate: Estate, drill: Drill, cluster: str, drilled: Sequence[Drilled], now: datetime
) -> DrillPromise:
    mine = [each for each in drilled if (each.subject, each.scenario) == (drill.subject, drill.scenario)]
    valid = [each for each in mine if each.ended_at + drill.valid_for > now]
    last = mine[0] if mine else None
    shows = frozenset[str](drill.public)
    database = estate.databases.get(drill.subject)
    return DrillPromise(
        drill.scenario,
        cluster if database is None else database.name,
        shows,
        _figures(last.rpo if last else None, [each.rpo for each in valid], shows),
        _figures(last.rto if last else None, [each.rto for each in valid], shows),
        last.data_bytes if last and "measured" in shows else None,
        last.ended_at if last and "drilled" in shows else None,
        len(valid),
        not valid,
    )


def _figures(last: Measure | None, valid: Sequence[Measure], shows: frozenset[str]) -> Figures:
    if last is None:
        return Figures()
    known = [each.measured_ms for each in valid if each.measured_ms is not None]
    return Figures(
        _length(last.target_ms) if "target" in shows else None,
        _length(last.contract_ms) if "contract" in shows else None,
        _length(last.measured_ms) if "measured" in shows else None,
        _length(max(known, default=None)) if "measured" in shows else None,
    )


def _length(millis: int | None) -> timedelta | None:
    return None if millis is None else timedelta(milliseconds=millis)
