"""Rounds of what the estate's rules ask for: look at what is measured, decide by rules.py, and do it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from holdfast.communication.errors import ChangedMeanwhile, CommunicationError
from holdfast.communication.incident_desk import IncidentDesk
from holdfast.communication.incidents import spoken_of
from holdfast.communication.model import Event, Incident, Notice
from holdfast.communication.ports import Announcer
from holdfast.communication.rules import (
    TROUBLE,
    Declare,
    Measured,
    Post,
    RuleBook,
    decide,
    degradations,
)
from holdfast.kernel.clock import Clock

MOST_INCIDENTS = 1000

Note = Callable[[str, Mapping[str, object]], None]


class Measurements(Protocol):
    """What was measured lately."""

    async def measured(self, also: Collection[int], now: datetime) -> Mapping[int, Measured]:
        """What is known of every component in trouble, and of those in `also`, in trouble or not.

        Far enough back that the trouble that goes on is there from its beginning.
        """
        ...


class Watch:
    """One round after another, each from what is stored: whoever does the next one needs no memory of it.

    Raises what its stores raise. What one rule cannot do keeps no other from being done.
    """

    def __init__(
        self,
        measurements: Measurements,
        desk: IncidentDesk,
        announcer: Announcer,
        clock: Clock,
        in_force: Callable[[], tuple[RuleBook, timedelta]],
        *,
        on_event: Note,
    ) -> None:
        """`in_force` gives the rules, and how long a degradation must last before subscribers are told."""
        self._measurements = measurements
        self._desk = desk
        self._announcer = announcer
        self._clock = clock
        self._in_force = in_force
        self._on_event = on_event
        self._refused: dict[str, str] = {}

    async def run_once(self) -> None:
        book, degraded_after = self._in_force()
        now = self._clock.now()
        told = await self._announcer.degradations()
        incidents = await self._incidents(now)
        measured = await self._measurements.measured(_to_look_at(incidents, told), now)
        runs = [run for each in measured.values() if (run := each.run(TROUBLE, now)) is not None]
        if runs:
            # What was resolved while the trouble went on tells whether somebody dealt with it.
            incidents = await self._incidents(min(each.start for each in runs))
        actions = decide(book, measured, incidents, now)
        for action in actions:
            await self._act(action)
        if actions:
            incidents = await self._incidents(now)
        for notice in degradations(measured, incidents, told, degraded_after, book.directory, now):
            reached = await self._announcer.announce(notice)
            place = next(iter(notice.places.values()))
            self._on_event(
                notice.event.value.replace(".", "_"),
                {
                    "component": f"{place.cluster_key}/{place.key}",
                    "since": notice.at.isoformat(),
                    "told": reached,
                },
            )

    async def _incidents(self, since: datetime) -> Sequence[Incident]:
        return await self._desk.incidents(since=since, limit=MOST_INCIDENTS)

    async def _act(self, action: Declare | Post) -> None:
        try:
            if isinstance(action, Declare):
                incident = await self._desk.declare(action.new, action.actor, incident_id=action.incident_id)
            else:
                incident = await self._desk.post(action.incident_id, action.new, action.actor)
        except ChangedMeanwhile:
            return  # somebody works on it: the next round looks at what they made of it
        except CommunicationError as error:
            if self._refused.get(action.incident_id) != str(error):
                self._refused[action.incident_id] = str(error)
                facts = {"rule": action.actor, "incident": action.incident_id, "error": str(error)}
                self._on_event("rule_refused", facts)
            return
        self._refused.pop(action.incident_id, None)
        facts = {"rule": incident.rule, "incident": incident.id, "phase": incident.phase.value}
        self._on_event("rule_declared" if isinstance(action, Declare) else "rule_posted", facts)


def _to_look_at(incidents: Sequence[Incident], told: Sequence[Notice]) -> frozenset[int]:
    """Components whose recovery matters: of open incidents of rules, and of degradations that were told."""
    begun = (each.component for each in told if each.event is Event.DEGRADATION_BEGAN)
    return frozenset(each.component_id for each in begun if each is not None).union(
        *(spoken_of(each) for each in incidents if each.rule and each.is_open)
    )
