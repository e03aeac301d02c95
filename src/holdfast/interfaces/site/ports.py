"""What the site needs from outside: somebody to read from, and a word when something changed."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol

from holdfast.availability.views import AgreementReport, ComponentReport, MonthHistory, Overview
from holdfast.communication.model import Incident, Maintenance
from holdfast.communication.news import News
from holdfast.kernel.windows import Window


class StatusReader(Protocol):
    """Reads what the site shows. Raises HoldfastError with remedy TRANSIENT while the database is away."""

    async def overview(self, *, days: int) -> Overview:
        """All clusters and their components, each with its last `days` local days."""
        ...

    async def component(self, cluster_key: str, key: str, window: Window) -> ComponentReport | None:
        """One component over `window`; None when there is no such component."""
        ...

    async def month(self, year: int, month: int, cluster_key: str | None = None) -> MonthHistory:
        """A calendar month in the site's time zone, of all clusters or of one."""
        ...

    async def agreement(self, key: str, moment: datetime) -> AgreementReport | None:
        """The agreement's window that contains `moment`; None when there is no such agreement."""
        ...


class NewsSource(Protocol):
    """Reads what is told (`communication.news.NewsReader`). Raises as StatusReader does."""

    async def news(self) -> News:
        """The last 90 days, and all that is open or planned."""
        ...

    async def incident(self, incident_id: str) -> Incident | None:
        """The public incident of that id, or the one that it was merged into."""
        ...

    async def maintenance(self, maintenance_id: str) -> Maintenance | None: ...

    async def month(self, window: Window) -> News:
        """What was going on in that window."""
        ...


class NoNews:
    """Nothing was ever told."""

    async def news(self) -> News:
        return News()

    async def incident(self, incident_id: str) -> Incident | None:  # noqa: ARG002
        return None

    async def maintenance(self, maintenance_id: str) -> Maintenance | None:  # noqa: ARG002
        return None

    async def month(self, window: Window) -> News:  # noqa: ARG002
        return News()


class Changes(Protocol):
    """Subscribes to changes: yields once for each "something changed". What it yields is not looked at."""

    def __call__(self) -> AsyncIterator[object]: ...


async def no_changes() -> AsyncIterator[object]:
    """Never says a word: the site then lives on its own rhythm alone."""
    nothing: tuple[object, ...] = ()
    for each in nothing:
        yield each
