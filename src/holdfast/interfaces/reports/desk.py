"""Makes reports: reads the past and what was said about it."""

from collections.abc import Callable
from typing import Protocol
from zoneinfo import ZoneInfo

from holdfast.availability.review import Review
from holdfast.availability.reviewing import Reviewer
from holdfast.communication.directory import Directory
from holdfast.communication.model import Incident
from holdfast.communication.ports import IncidentStore
from holdfast.interfaces.reports.model import Knows, Report, assembled, everything, eyes_of
from holdfast.kernel.windows import Window

MOST_INCIDENTS = 5000


class ReportSource(Protocol):
    """Where reports come from. Raises HoldfastError: TRANSIENT while the database is away.

    `months_offered` is how many past months the site links to; 0 where there are no reports.
    """

    months_offered: int

    def zone_of(self, agreement: str) -> ZoneInfo | None:
        """The agreement's time zone; None when there is no such agreement."""
        ...

    async def component(self, cluster_key: str, key: str, window: Window) -> Report | None:
        """A public component; None when there is none of that name."""
        ...

    async def cluster(self, cluster_key: str, window: Window) -> Report | None:
        """A public cluster; None when there is none of that name."""
        ...

    async def agreement(self, key: str, window: Window) -> Report | None:
        """An agreement, as its customer may see it; None when there is none of that name."""
        ...


class NoReports:
    """A ReportSource without any."""

    months_offered = 0

    def zone_of(self, agreement: str) -> ZoneInfo | None:
        del agreement
        return None

    async def component(self, cluster_key: str, key: str, window: Window) -> Report | None:
        del cluster_key, key, window
        return None

    async def cluster(self, cluster_key: str, window: Window) -> Report | None:
        del cluster_key, window
        return None

    async def agreement(self, key: str, window: Window) -> Report | None:
        del key, window
        return None


class ReportDesk:
    """A ReportSource over the stores. With `insider` as an operator sees it: private clusters and all."""

    months_offered = 12

    def __init__(
        self,
        reviewer: Reviewer,
        incidents: IncidentStore,
        directory: Callable[[], Directory],
        *,
        insider: bool = False,
    ) -> None:
        self._reviewer = reviewer
        self._incidents = incidents
        self._directory = directory
        self._insider = insider

    def zone_of(self, agreement: str) -> ZoneInfo | None:
        found = self._reviewer.inventory.estate.agreements.get(agreement)
        return ZoneInfo(found.time_zone) if found else None

    async def component(self, cluster_key: str, key: str, window: Window) -> Report | None:
        if not self._may_see(cluster_key):
            return None
        review = await self._reviewer.component(cluster_key, key, window)
        return await self._told(review, self._eyes(None)) if review else None

    async def cluster(self, cluster_key: str, window: Window) -> Report | None:
        if not self._may_see(cluster_key):
            return None
        review = await self._reviewer.cluster(cluster_key, window)
        return await self._told(review, self._eyes(None)) if review else None

    async def agreement(self, key: str, window: Window) -> Report | None:
        review = await self._reviewer.agreement(key, window)
        return await self._told(review, self._eyes(review.customer)) if review else None

    def _may_see(self, cluster_key: str) -> bool:
        cluster = self._reviewer.inventory.estate.clusters.get(cluster_key)
        return cluster is not None and (self._insider or not cluster.private)

    def _eyes(self, customer: str | None) -> Knows:
        return everything if self._insider else eyes_of(self._directory(), customer)

    async def _told(self, review: Review, knows: Knows) -> Report:
        incidents: list[Incident] = []
        if any(each.is_downtime for each in review.troubles):
            found = await self._incidents.incidents(
                since=review.window.start, limit=MOST_INCIDENTS, public_only=True
            )
            incidents = list(found)
        ids = self._reviewer.inventory.registered.components
        return assembled(review, incidents, ids, knows, eyes_of(self._directory(), None))
