"""Which reports are to be mailed: of the last month, from their day on, once the month is frozen. Pure.

A report that could not go out on its day, because nothing ran or the month was not frozen yet, is due until
the next month's takes its place. Each recipient gets a letter of its own under a key that follows from what
it is about: however often it is posted, and by whomever, it goes out once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

from holdfast.communication.model import Attachment, Letter
from holdfast.estate.communication import ScheduledReport
from holdfast.estate.model import Agreement, Estate
from holdfast.kernel.windows import Window, month_window

_NAMES = uuid5(NAMESPACE_URL, "urn:holdfast:scheduled-report")


@dataclass(frozen=True, slots=True)
class DueReport:
    """A report to be mailed: `first` is the first day of its month, in the agreement's time zone."""

    key: str
    report: ScheduledReport
    first: date
    window: Window

    @property
    def month(self) -> str:
        return f"{self.first:%Y-%m}"

    def letter_key(self, recipient: str) -> str:
        """The key (a UUID) under which this recipient's letter is posted."""
        return str(uuid5(_NAMES, f"{self.key}/{self.report.agreement}/{self.month}/{recipient.lower()}"))


def due_reports(estate: Estate, now: datetime) -> list[DueReport]:
    """What is due at `now`. Nothing of an agreement with a rolling window: no month of it ever closes."""
    found = []
    for key, report in estate.communication.reports.items():
        agreement = estate.agreements.get(report.agreement)
        if agreement is not None and agreement.window == "calendar_month":
            found.append(_newest(key, report, agreement, now))
    return found


def _newest(key: str, report: ScheduledReport, agreement: Agreement, now: datetime) -> DueReport:
    """The newest month whose day has come: of the month before that day's."""
    zone = ZoneInfo(agreement.time_zone)
    today = now.astimezone(zone).date()
    posted_in = today.replace(day=1)
    if today.day < report.day:
        posted_in = (posted_in - timedelta(days=1)).replace(day=1)
    first = (posted_in - timedelta(days=1)).replace(day=1)
    return DueReport(key, report, first, month_window(first.year, first.month, zone))


def letters_of(
    due: DueReport, words: Mapping[str, str], attachments: Sequence[Attachment]
) -> list[tuple[str, Letter]]:
    """The letters with their keys. `words` holds the finished subject, text and html."""
    return [
        (
            due.letter_key(recipient),
            Letter(recipient, words["subject"], words["text"], words["html"], tuple(attachments)),
        )
        for recipient in dict.fromkeys(due.report.to)
    ]
