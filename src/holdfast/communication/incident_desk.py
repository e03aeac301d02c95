"""What people, rules and programs do with incidents: decided by incident_steps.py, and kept."""

import re
import secrets
import string
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime

from holdfast.communication import incident_steps as steps
from holdfast.communication.as_read import AsRead
from holdfast.communication.directory import Directory
from holdfast.communication.errors import ChangedMeanwhile, NotPossible, NotThere
from holdfast.communication.incident_steps import Decided, NewIncident, NewUpdate
from holdfast.communication.incidents import notice_of
from holdfast.communication.model import Audience, Event, Impact, Incident, Notice
from holdfast.communication.ports import AudienceStore, IncidentStore
from holdfast.kernel.clock import Clock
from holdfast.kernel.journal import JournalEntry

__all__ = ["IncidentDesk", "NewIncident", "NewUpdate", "Preview", "fresh_id"]

_ID = re.compile(r"[a-z0-9]{12}")
_LETTERS = string.ascii_lowercase + string.digits
_TRIES = 5

Decide = Callable[[Incident, datetime], Decided | None]


def fresh_id() -> str:
    """Twelve letters and digits that nobody had before, and nobody guesses."""
    return "".join(secrets.choice(_LETTERS) for _ in range(12))


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be told, and to whom. Of a draft nobody is told."""

    notice: Notice
    audience: Audience


class IncidentDesk:
    """Each step reads, decides and stores; when somebody else was faster it is decided anew.

    Raises NotThere, NotPossible, and ChangedMeanwhile when others keep being faster. A step that changes
    nothing (the same said twice, a public one published again) stores nothing and tells nobody.
    """

    def __init__(
        self,
        store: IncidentStore,
        audiences: AudienceStore,
        clock: Clock,
        directory: Callable[[], Directory],
        *,
        make_id: Callable[[], str] = fresh_id,
    ) -> None:
        self._store = store
        self._audiences = audiences
        self._clock = clock
        self._directory = directory
        self._make_id = make_id
        self._read: AsRead | None = None

    def as_read(self, incident_id: str, version: int) -> "IncidentDesk":
        """This desk for one who read that version: a step on a newer one raises ChangedMeanwhile."""
        desk = copy(self)
        desk._read = AsRead(incident_id, version)  # noqa: SLF001  it is one of us
        return desk

    async def declare(self, new: NewIncident, actor: str, *, incident_id: str | None = None) -> Incident:
        """Declare it, as a draft or to everybody at once.

        With `incident_id`, made by the caller, the same incident declared twice is declared once.
        """
        if incident_id is not None and not _ID.fullmatch(incident_id):
            raise NotPossible("an incident's id is twelve small letters and digits")
        decided = self._declared(new, incident_id or self._make_id(), actor)
        try:
            return await self._record(decided, actor)
        except ChangedMeanwhile:
            known = None if incident_id is None else await self._store.incident(incident_id)
            if known is None or known.declared_by != actor:
                raise
            return known

    async def publish(self, incident_id: str, actor: str) -> Incident:
        """Make a draft public, and tell of it."""
        return await self._do(incident_id, actor, steps.published)

    async def post(self, incident_id: str, new: NewUpdate, actor: str) -> Incident:
        """Say something more. The phase RESOLVED resolves it, and POSTMORTEM then closes it for good."""
        return await self._do(incident_id, actor, self._posting(new, actor))

    async def edit(
        self, incident_id: str, update_id: str, *, body: str, shown_at: datetime | None, actor: str
    ) -> Incident:
        """Let an update say something else; what it said stays readable."""

        def decide(incident: Incident, now: datetime) -> Decided | None:
            return steps.edited(incident, update_id, body, shown_at, actor, now)

        return await self._do(incident_id, actor, decide)

    async def change(
        self,
        incident_id: str,
        *,
        title: str | None = None,
        impact: Impact | None = None,
        began_at: datetime | None = None,
        actor: str,
    ) -> Incident:
        """Change what is given; what it was stays readable."""

        def decide(incident: Incident, now: datetime) -> Decided | None:
            return steps.changed(incident, title, impact, began_at, actor, now)

        return await self._do(incident_id, actor, decide)

    async def merge(self, incident_id: str, into: str, actor: str) -> Incident:
        """Let it live on in another one, which is returned. Subscribers of both are told once."""
        for left in reversed(range(_TRIES)):
            gone, decided = await self._merged(incident_id, into, actor)
            try:
                return await self._record(decided, actor, gone)
            except ChangedMeanwhile:
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

    async def preview(self, new: NewIncident | tuple[str, NewUpdate], actor: str) -> Preview:
        """What declaring or posting this would tell, and whom. Stores nothing; raises as the step would."""
        if isinstance(new, NewIncident):
            return await self._previewed(self._declared(new, self._make_id(), actor))
        incident = await self.incident(new[0])
        decided = self._posting(new[1], actor)(incident, self._clock.now())
        return await self._previewed(decided or Decided(incident, "", None))

    async def preview_publication(self, incident_id: str) -> Preview:
        """As `preview`, for `publish`."""
        incident = await self.incident(incident_id)
        decided = steps.published(incident, self._clock.now())
        return await self._previewed(decided or Decided(incident, "", None))

    async def preview_merge(self, incident_id: str, into: str, actor: str) -> Preview:
        """As `preview`, for `merge`."""
        return await self._previewed((await self._merged(incident_id, into, actor))[1])

    async def incident(self, incident_id: str) -> Incident:
        """The incident, a draft or merged one too; raises NotThere."""
        found = await self._store.incident(incident_id) if _ID.fullmatch(incident_id) else None
        if found is None:
            raise NotThere(f"there is no incident {incident_id[:40]!r}", hint="see: holdfast incident list")
        if self._read is not None:
            self._read.check(found.id, found.version)
        return found

    async def incidents(
        self,
        *,
        since: datetime | None = None,
        limit: int = 200,
        public_only: bool = False,
        after: tuple[datetime, str] | None = None,
    ) -> Sequence[Incident]:
        """Newest beginning first: the open ones, and those that ended after `since` (None: all).

        `after` is the beginning and the id of the last one of the page before.
        """
        return await self._store.incidents(since=since, limit=limit, public_only=public_only, after=after)

    def _declared(self, new: NewIncident, incident_id: str, actor: str) -> Decided:
        ids = (incident_id, self._make_id())
        return steps.declared(new, self._directory(), ids, actor, self._clock.now())

    def _posting(self, new: NewUpdate, actor: str) -> Decide:
        def decide(incident: Incident, now: datetime) -> Decided | None:
            return steps.posted(incident, new, self._directory(), self._make_id(), actor, now)

        return decide

    async def _merged(self, incident_id: str, into: str, actor: str) -> tuple[Incident, Decided]:
        incident, target = await self.incident(incident_id), await self.incident(into)
        now = self._clock.now()
        return steps.merged(incident, target, self._directory(), self._make_id(), actor, now)

    async def _do(self, incident_id: str, actor: str, decide: Decide) -> Incident:
        for left in reversed(range(_TRIES)):
            incident = await self.incident(incident_id)
            decided = decide(incident, self._clock.now())
            if decided is None:
                return incident
            try:
                return await self._record(decided, actor)
            except ChangedMeanwhile:
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

    async def _record(self, decided: Decided, actor: str, merged: Incident | None = None) -> Incident:
        now = self._clock.now()
        notices = [] if decided.told is None else [self._notice(decided, decided.told, now)]
        facts = {"incident": decided.incident.id, **decided.facts}
        entry = JournalEntry(now, actor, decided.journalled, facts)
        return await self._store.record(decided.incident, notices, entry, merged=merged)

    def _notice(self, decided: Decided, event: Event, now: datetime) -> Notice:
        return notice_of(decided.incident, event, self._directory(), now)

    async def _previewed(self, decided: Decided) -> Preview:
        event = decided.told or Event.INCIDENT_DECLARED
        notice = self._notice(decided, event, self._clock.now())
        if decided.told is None:
            notice = replace(notice, incident=decided.incident)
            return Preview(notice, Audience())
        return Preview(notice, await self._audiences.audience(notice))
