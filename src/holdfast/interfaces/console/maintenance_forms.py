"""The forms of planned work: what a browser sends, as what the desk takes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from holdfast.communication.errors import NotPossible
from holdfast.communication.maintenance_desk import (
    Changes,
    NewMaintenance,
    NewSeries,
    Series,
    SeriesChanges,
)
from holdfast.communication.model import Maintenance
from holdfast.interfaces.console.bodies import Form
from holdfast.interfaces.console.incident_forms import ids_of
from holdfast.interfaces.console.moments import local_text, moment_of
from holdfast.kernel.windows import Window

REMINDERS = {"24h": timedelta(hours=24), "1h": timedelta(hours=1)}
"""What the form offers; others come by the command line or the API."""
USUAL_LENGTH = timedelta(hours=2)
RHYTHMS = {
    "": "once",
    "FREQ=DAILY": "every day",
    "FREQ=WEEKLY": "every week",
    "FREQ=WEEKLY;INTERVAL=2": "every second week",
    "FREQ=MONTHLY": "every month, on this day",
}


@dataclass(frozen=True, slots=True)
class MaintenanceForm:
    """Planned work as it stands in the form. `key` is made with the form: sent twice, it is planned once."""

    key: str
    title: str = ""
    body: str = ""
    components: frozenset[int] = frozenset()
    start: str = ""
    end: str = ""
    starts_by_clock: bool = True
    ends_by_clock: bool = True
    remind: frozenset[str] = frozenset(REMINDERS)
    rhythm: str = ""
    rule: str = ""

    @classmethod
    def begun(cls, key: str, now: datetime, zone: ZoneInfo) -> "MaintenanceForm":
        """In four days, for two hours: most agreements ask for 72 hours of notice."""
        start = (now + timedelta(days=4)).replace(minute=0)
        return cls(key, start=local_text(start, zone), end=local_text(start + USUAL_LENGTH, zone))

    @classmethod
    def of(cls, maintenance: Maintenance, zone: ZoneInfo) -> "MaintenanceForm":
        return cls(
            maintenance.id,
            maintenance.title,
            maintenance.body,
            maintenance.component_ids,
            local_text(maintenance.window.start, zone),
            local_text(maintenance.window.end, zone),
            maintenance.starts_by_clock,
            maintenance.ends_by_clock,
            frozenset(name for name, length in REMINDERS.items() if length in maintenance.remind),
        )

    @classmethod
    def of_series(cls, series: Series, zone: ZoneInfo) -> "MaintenanceForm":
        """With the first time of all, which gives the time of day and the length."""
        plan = series.plan
        offered = plan.rule in RHYTHMS
        return cls(
            series.id,
            plan.title,
            plan.body,
            plan.component_ids,
            local_text(plan.first_at, zone),
            local_text(plan.first_at + plan.lasts, zone),
            plan.starts_by_clock,
            plan.ends_by_clock,
            frozenset(name for name, length in REMINDERS.items() if length in plan.remind),
            plan.rule if offered else "",
            "" if offered else plan.rule,
        )

    @classmethod
    def sent(cls, fields: Form) -> "MaintenanceForm":
        return cls(
            fields.get("key", ""),
            fields.get("title", "").strip(),
            fields.get("body", "").strip(),
            frozenset(ids_of(fields.getlist("component"))),
            fields.get("start", ""),
            fields.get("end", ""),
            "starts_by_clock" in fields,
            "ends_by_clock" in fields,
            frozenset(fields.getlist("remind")) & REMINDERS.keys(),
            fields.get("rhythm", ""),
            fields.get("rule", "").strip(),
        )

    @property
    def repeats(self) -> bool:
        return bool(self.rhythm or self.rule)

    def window(self, zone: ZoneInfo) -> Window:
        """Raises NotPossible for a time that is missing, unreadable or the wrong way round."""
        start, end = moment_of(self.start, zone, "its start"), moment_of(self.end, zone, "its end")
        if start is None or end is None:
            raise NotPossible("it needs a start and an end")
        if end <= start:
            raise NotPossible("it ends after it begins", hint="look at the two times")
        return Window(start, end)

    def new(self, zone: ZoneInfo) -> NewMaintenance:
        return NewMaintenance(
            self.title,
            self.body,
            self.components,
            self.window(zone),
            self.starts_by_clock,
            self.ends_by_clock,
            self._reminders(),
        )

    def series(self, zone: ZoneInfo) -> NewSeries:
        """The same again and again, at the same time of day in `zone`. Raises NotPossible."""
        window = self.window(zone)
        return NewSeries(
            self.title,
            self.body,
            self.components,
            self._rule(),
            zone.key,
            window.start,
            window.duration,
            self.starts_by_clock,
            self.ends_by_clock,
            self._reminders(),
        )

    def changes(self, before: Maintenance, zone: ZoneInfo) -> Changes:
        """What is another than before; reminders that the form does not offer stay as they are."""
        others = tuple(each for each in before.remind if each not in REMINDERS.values())
        return Changes(
            title=self.title,
            body=self.body,
            # To the minute: a start with seconds must not move because somebody corrected the title.
            window=None if self._is_as(before, zone) else self.window(zone),
            component_ids=self.components,
            starts_by_clock=self.starts_by_clock,
            ends_by_clock=self.ends_by_clock,
            remind=(*others, *self._reminders()),
        )

    def series_changes(self, before: Series, zone: ZoneInfo) -> SeriesChanges:
        """What is another than before; as `changes`. Its times stay of the time zone that it has."""
        plan = before.plan
        others = tuple(each for each in plan.remind if each not in REMINDERS.values())
        was = MaintenanceForm.of_series(before, zone)
        moved = None if (self.start, self.end) == (was.start, was.end) else self.window(zone)
        return SeriesChanges(
            title=self.title,
            body=self.body,
            component_ids=self.components,
            rule=self._rule(),
            first_at=None if moved is None else moved.start,
            lasts=None if moved is None else moved.duration,
            starts_by_clock=self.starts_by_clock,
            ends_by_clock=self.ends_by_clock,
            remind=(*others, *self._reminders()),
        )

    def _rule(self) -> str:
        """What was written goes before what was chosen."""
        if self.rule:
            return self.rule
        if not self.rhythm or self.rhythm not in RHYTHMS:
            raise NotPossible(
                "that rhythm is not offered", hint="write a rule, such as FREQ=MONTHLY;BYDAY=1SU"
            )
        return self.rhythm

    def _is_as(self, before: Maintenance, zone: ZoneInfo) -> bool:
        window = before.window
        return (self.start, self.end) == (local_text(window.start, zone), local_text(window.end, zone))

    def _reminders(self) -> tuple[timedelta, ...]:
        return tuple(length for name, length in REMINDERS.items() if name in self.remind)
