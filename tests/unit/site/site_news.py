"""Incidents and maintenance for the site's tests, and a source that tells them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from site_estates import NOW, AwayError

from holdfast.communication.directory import Directory
from holdfast.communication.model import (
    Change,
    ComponentState,
    Impact,
    Incident,
    Maintenance,
    Phase,
    Place,
    Revision,
    Stage,
    Update,
)
from holdfast.communication.news import BACK, News
from holdfast.interfaces.site.readership import Holder, Readership
from holdfast.kernel.windows import Window

MINUTE = timedelta(minutes=1)
MAJOR = ComponentState.MAJOR_OUTAGE


def update(
    number: int, step: str, body: str, at: datetime, affected: Mapping[int, ComponentState] | None = None
) -> Update:
    return Update(f"update{number:06}", at, step, body, "jo", affected or {}, at + timedelta(seconds=2))


def incident(
    key: str = "abcdefghijkl",
    title: str = "Login fails",
    *,
    began_at: datetime = NOW - 30 * MINUTE,
    impact: Impact = Impact.MAJOR,
    affected: Mapping[int, ComponentState] | None = None,
    body: str = "We **look** into it.",
    phase: Phase = Phase.INVESTIGATING,
) -> Incident:
    """Told at its beginning, and 10 minutes later again unless it is still being investigated."""
    affected = {2: MAJOR} if affected is None else affected
    first = update(1, "investigating", body, began_at, affected)
    then = [] if phase is Phase.INVESTIGATING else [update(2, phase.value, "More.", began_at + 10 * MINUTE)]
    over = phase.is_over
    return Incident(
        key,
        title,
        impact,
        phase,
        began_at,
        affected,
        (first, *then),
        declared_by="jo",
        declared_at=began_at,
        published_at=began_at,
        resolved_at=began_at + 10 * MINUTE if over else None,
        version=1 + len(then),
    )


def edited(told: Incident) -> Incident:
    """Its first update was edited, and its impact was changed."""
    first, *others = told.updates
    before = Revision("We have **no** idea.", first.at - MINUTE, first.at + 5 * MINUTE, "jo")
    trail = Change(first.at + 6 * MINUTE, "jo@example.test", "impact", "minor", "major")
    return replace(told, updates=(replace(first, revisions=(before,)), *others), changes=(trail,))


def maintenance(
    key: str = "mmmmmmmmmmmm",
    title: str = "Database upgrade",
    *,
    stage: Stage = Stage.SCHEDULED,
    start: datetime = NOW + timedelta(days=3),
    component_ids: Sequence[int] = (1, 2),
    body: str = "A new *version*.",
) -> Maintenance:
    window = Window(start, start + timedelta(hours=2))
    return Maintenance(
        key,
        title,
        body,
        window,
        stage,
        frozenset(component_ids),
        (),
        announced_at=start - timedelta(days=4),
        announced_by="jo",
        began_at=None if stage in {Stage.SCHEDULED, Stage.CANCELLED} else start,
        ended_at=window.end if stage is Stage.COMPLETED else None,
        version=1,
    )


class FakeNews:
    """Tells what the test puts into it; `away` fails every read. Drafts are left to who reads the stores."""

    def __init__(self, incidents: Sequence[Incident] = (), works: Sequence[Maintenance] = ()) -> None:
        self.incidents = list(incidents)
        self.works = list(works)
        self.merged: dict[str, str] = {}
        self.since = NOW - BACK
        self.away = False
        self.calls: list[str] = []

    def _read(self, what: str) -> None:
        self.calls.append(what)
        if self.away:
            raise AwayError("the database does not answer", hint="wait")

    async def news(self) -> News:
        self._read("news")
        kept = [each for each in self.incidents if each.is_open or each.began_at >= self.since]
        return News(NOW, kept, list(self.works), self.since)

    async def incident(self, incident_id: str) -> Incident | None:
        self._read(f"incident {incident_id}")
        wanted = self.merged.get(incident_id, incident_id)
        return next((each for each in self.incidents if each.id == wanted), None)

    async def maintenance(self, maintenance_id: str) -> Maintenance | None:
        self._read(f"maintenance {maintenance_id}")
        return next((each for each in self.works if each.id == maintenance_id), None)

    async def month(self, window: Window) -> News:
        self._read(f"month {window.start:%Y-%m-%d}")
        return News(NOW, list(self.incidents), list(self.works)).within(window)


def readership(
    names: Mapping[int, tuple[str, str]],
    private: Mapping[int, Sequence[str]],
    holders: Mapping[str, Sequence[int]] | None = None,
) -> Readership:
    """`names`: cluster and component key by id. `private`: who may know of them. `holders`: who has what."""
    places = {each: Place(cluster, cluster.upper(), key, key) for each, (cluster, key) in names.items()}
    return Readership(
        Directory(places, {each: frozenset(who) for each, who in private.items()}),
        {
            key: Holder(key, f"{key.title()} <GmbH>", frozenset(ids), {"premium": "Premium & more"})
            for key, ids in (holders or {}).items()
        },
    )
