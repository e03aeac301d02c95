"""What communication needs from outside. Adapters provide it; the fakes obey the same contract tests."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from holdfast.communication.model import Audience, Incident, Letter, Maintenance, Notice
from holdfast.communication.series import Series
from holdfast.kernel.journal import JournalEntry
from holdfast.kernel.windows import Window


class IncidentStore(Protocol):
    """Where incidents are kept."""

    async def incident(self, incident_id: str) -> Incident | None:
        """The incident with all that was said, drafts and merged ones included; None when there is none."""
        ...

    async def incidents(
        self,
        *,
        since: datetime | None = None,
        limit: int = 200,
        public_only: bool = True,
        after: tuple[datetime, str] | None = None,
    ) -> Sequence[Incident]:
        """Newest beginning first: the open ones, and those that ended after `since` (None: all).

        `after` is the beginning and the id of the last one of the page before: only what follows it.
        """
        ...

    async def record(
        self,
        incident: Incident,
        notices: Sequence[Notice],
        entry: JournalEntry,
        *,
        merged: Incident | None = None,
    ) -> Incident:
        """Store the new value, queue what subscribers are told and the journal's entry, in one transaction.

        `incident.version` is that of the value it was made from (0: it is new). Raises ChangedMeanwhile when
        another was stored since. Returns it as stored, with the database's times and its new version; the
        notices are queued with it like that. `merged` is one that lives on in it, stored with it.
        """
        ...


class MaintenanceStore(Protocol):
    """Where maintenance is kept; what it takes out of counted time changes in the same transaction."""

    async def now(self) -> datetime:
        """The clock that announces: the store's own. Nobody who plans or begins work has another one."""
        ...

    async def maintenance(self, maintenance_id: str) -> Maintenance | None: ...

    async def maintenances(self, window: Window) -> Sequence[Maintenance]:
        """What is planned, was done or was cancelled in `window`, by start.

        One that is under way, or should have begun or ended, is always in a window that holds the present.
        """
        ...

    async def unfinished(self) -> Sequence[Maintenance]:
        """All that is neither completed nor cancelled, by start."""
        ...

    async def record(
        self, maintenance: Maintenance, notices: Sequence[Notice], entry: JournalEntry
    ) -> Maintenance:
        """As `IncidentStore.record`. Time that is added now counts as announced now.

        Two that are planned for the same place in a series are one: the later is refused as ChangedMeanwhile.
        """
        ...

    async def one_series(self, series_id: str) -> Series | None: ...

    async def all_series(self) -> Sequence[Series]:
        """Every recurring plan, those that ended too, oldest first."""
        ...

    async def occurrences(self, series_id: str, since: datetime) -> Sequence[Maintenance]:
        """What a series made that is not over, or has its place in the series after `since`; by start."""
        ...

    async def record_series(self, series: Series, entry: JournalEntry) -> Series:
        """Store the new value, with its own version as `record` has it. Tells nobody."""
        ...


class AudienceStore(Protocol):
    """Who would be told of a notice. Tells nobody."""

    async def audience(self, notice: Notice) -> Audience: ...


class Announcer(Protocol):
    """Queues a notice that no incident or maintenance goes with: a degradation."""

    async def announce(self, notice: Notice) -> int:
        """Queue it for all whom it concerns, once for its event, subject and time; returns how many."""
        ...

    async def degradations(self) -> Sequence[Notice]:
        """The newest notice of a degradation, begun or ended, of each component that ever had one."""
        ...


class Letterbox(Protocol):
    """Queues letters. They leave by the sender, as everything else does."""

    async def post(self, letter: Letter, key: str) -> bool:
        """Queue it; False when one was posted under this key (a UUID) before."""
        ...
