"""A report: a review of the past, joined with what was said about it, seen by the eyes of one reader."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from zoneinfo import ZoneInfo

from holdfast.availability.review import Planned, Review, Trouble, is_whole_month
from holdfast.availability.views import Cause
from holdfast.communication.directory import Directory
from holdfast.communication.incidents import linked, spoken_of
from holdfast.communication.model import Incident
from holdfast.kernel.windows import MICROSECOND


class Format(StrEnum):
    """How a report is written."""

    HTML = "html"
    PDF = "pdf"
    CSV = "csv"
    JSON = "json"


MEDIA_TYPES: Mapping[Format, str] = {
    Format.HTML: "text/html; charset=utf-8",
    Format.PDF: "application/pdf",
    Format.CSV: "text/csv; charset=utf-8; header=present",
    Format.JSON: "application/json",
}


@dataclass(frozen=True, slots=True)
class Downtime:
    """A stretch of trouble, and the incident that was declared about it; None: none was.

    `is_public`: the incident has a page on the public site.
    """

    trouble: Trouble
    incident: Incident | None
    is_public: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """All that a report says. `downtimes` and `unknown` are in order of time."""

    review: Review
    downtimes: Sequence[Downtime]
    unknown: Sequence[Trouble]

    @property
    def name(self) -> str:
        """What its file is called, without an ending: the subject, and its days as they are counted there."""
        review = self.review
        zone = ZoneInfo(review.time_zone)
        first = review.window.start.astimezone(zone).date()
        last = (review.window.end - MICROSECOND).astimezone(zone).date()
        days = f"{first:%Y-%m}" if is_whole_month(review.window, zone) else f"{first}-{last}"
        return f"{review.subject.value}-{review.key.replace('/', '-')}-{days}"


Knows = Callable[[Collection[int]], bool]
"""Whether the reader may know of something that speaks of all these components."""


def everything(_: Collection[int]) -> bool:
    """An operator's eyes."""
    return True


def eyes_of(directory: Directory, customer: str | None) -> Knows:
    """Those of a customer, or of everybody (None)."""

    def knows(component_ids: Collection[int]) -> bool:
        audience = directory.audience_of(component_ids)
        return audience is None or customer in audience

    return knows


def assembled(
    review: Review,
    incidents: Sequence[Incident],
    ids: Mapping[tuple[str, str], int],
    knows: Knows,
    public: Knows = everything,
) -> Report:
    """The report. `ids` are those in force; `knows` are the reader's eyes, `public` anybody's.

    Incidents that ever spoke of what the reader may not know of are as good as not declared; causes and
    titles of that kind are left out.
    """
    known = [each for each in incidents if knows(spoken_of(each))]
    troubles = [_seen(each, ids, knows) for each in review.troubles]
    downtimes = [_downtime(each, known, public) for each in troubles if each.is_downtime]
    planned = [_planned(each, knows) for each in review.planned]
    return Report(
        replace(review, troubles=troubles, planned=planned),
        downtimes,
        [each for each in troubles if not each.is_downtime],
    )


def _downtime(trouble: Trouble, known: Sequence[Incident], public: Knows) -> Downtime:
    incident = linked(known, trouble.part.id, trouble.event.window)
    return Downtime(trouble, incident, incident is None or public(spoken_of(incident)))


def _seen(trouble: Trouble, ids: Mapping[tuple[str, str], int], knows: Knows) -> Trouble:
    def may(cause: Cause) -> bool:
        component_id = ids.get((cause.cluster_key, cause.key))
        return component_id is not None and knows([component_id])

    causes = tuple(each for each in trouble.event.because_of if may(each))
    return replace(trouble, event=replace(trouble.event, because_of=causes))


def _planned(planned: Planned, knows: Knows) -> Planned:
    if knows(planned.maintenance.component_ids):
        return planned
    return replace(planned, maintenance=replace(planned.maintenance, title=""))
