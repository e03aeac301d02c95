"""Whether the notice suffices: for which agreements announced work leaves counted time. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.estate.model import Estate
from holdfast.estate.ports import ComponentIdentity
from holdfast.estate.scope import components_of

MARGIN = timedelta(days=3)
AHEAD = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class LeadTime:
    """An agreement that work concerns: the notice that it asks for, and the notice that it gets."""

    agreement: str
    name: str
    customer: str
    asked: timedelta
    given: timedelta

    @property
    def suffices(self) -> bool:
        return self.given >= self.asked


def lead_times(
    estate: Estate, components: Collection[ComponentIdentity], starts_at: datetime, announced_at: datetime
) -> list[LeadTime]:
    """Every agreement that covers one of these components, in the file's order."""
    return [
        LeadTime(key, agreement.name, agreement.customer, agreement.notice, starts_at - announced_at)
        for key, agreement in estate.agreements.items()
        if set(components).intersection(components_of(agreement, estate))
    ]


def planned_ahead(estate: Estate) -> timedelta:
    """How far ahead recurring work is planned: so early that the notice suffices for every agreement."""
    longest = max((each.notice for each in estate.agreements.values()), default=timedelta())
    return max(AHEAD, longest + MARGIN)
