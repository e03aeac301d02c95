"""Incidents in memory, for tests and simulation. Everything ends with the process."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from holdfast.adapters.memory.announcements import MemoryAnnouncements
from holdfast.communication.errors import ChangedMeanwhile
from holdfast.communication.incidents import as_readers_see, as_told
from holdfast.communication.model import Incident, Notice, Update
from holdfast.kernel.clock import Clock
from holdfast.kernel.journal import JournalEntry
from holdfast.kernel.windows import MICROSECOND


class MemoryIncidents:
    """IncidentStore over a dictionary. `journal` holds what was journalled, oldest first."""

    def __init__(self, clock: Clock, announcements: MemoryAnnouncements | None = None) -> None:
        self._clock = clock
        self._announcements = announcements or MemoryAnnouncements()
        self._incidents: dict[str, Incident] = {}
        self._told_at = datetime.min.replace(tzinfo=UTC)
        self.journal: list[JournalEntry] = []

    async def incident(self, incident_id: str) -> Incident | None:
        return self._incidents.get(incident_id)

    async def incidents(
        self,
        *,
        since: datetime | None = None,
        limit: int = 200,
        public_only: bool = True,
        after: tuple[datetime, str] | None = None,
    ) -> Sequence[Incident]:
        found = [
            each
            for each in self._incidents.values()
            if (since is None or each.resolved_at is None or each.resolved_at > since)
            and (each.is_public or not public_only)
            and (after is None or (-each.began_at.timestamp(), each.id) > (-after[0].timestamp(), after[1]))
        ]
        found.sort(key=lambda each: each.id)
        found.sort(key=lambda each: each.began_at, reverse=True)
        return [as_readers_see(each) if public_only else each for each in found[:limit]]

    async def record(
        self,
        incident: Incident,
        notices: Sequence[Notice],
        entry: JournalEntry,
        *,
        merged: Incident | None = None,
    ) -> Incident:
        written = [incident, *([] if merged is None else [merged])]
        for each in written:
            known = self._incidents.get(each.id)
            if each.version != (0 if known is None else known.version):
                raise ChangedMeanwhile(f"incident {each.id} was changed meanwhile", hint="look at it again")
        for each in written:
            self._incidents[each.id] = self._as_stored(each)
        stored = self._incidents[incident.id]
        for notice in notices:
            about = None if notice.incident is None else as_told(as_readers_see(stored))
            self._announcements.queue(replace(notice, at=self._moment(), incident=about))
        self.journal.append(entry)
        return stored

    def _moment(self) -> datetime:
        """Later than any before, as a database's clock is, also while a test's clock stands still."""
        self._told_at = max(self._clock.now(), self._told_at + MICROSECOND)
        return self._told_at

    def _as_stored(self, incident: Incident) -> Incident:
        """With this store's times where PostgreSQL has its own."""
        now = self._clock.now()
        known = self._incidents.get(incident.id)
        updates = tuple(
            self._update(each, None if known is None or n >= len(known.updates) else known.updates[n], now)
            for n, each in enumerate(incident.updates)
        )
        changes = () if known is None else known.changes
        changes = (*changes, *(replace(each, at=now) for each in incident.changes[len(changes) :]))
        published_at = None if known is None else known.published_at
        return replace(
            incident,
            version=incident.version + 1,
            updates=updates,
            changes=changes,
            declared_at=now if known is None else known.declared_at,
            published_at=None if incident.draft else published_at or now,
        )

    @staticmethod
    def _update(update: Update, known: Update | None, now: datetime) -> Update:
        revisions = () if known is None else known.revisions
        revisions = (*revisions, *(replace(each, at=now) for each in update.revisions[len(revisions) :]))
        return replace(update, revisions=revisions, recorded_at=now if known is None else known.recorded_at)
