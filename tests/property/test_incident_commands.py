"""Whatever is done with incidents, in any order: what was said stays, and times keep their order."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters.memory.announcements import MemoryAnnouncements
from holdfast.adapters.memory.incidents import MemoryIncidents
from holdfast.communication.directory import Directory
from holdfast.communication.errors import CommunicationError
from holdfast.communication.incident_desk import IncidentDesk, NewIncident, NewUpdate
from holdfast.communication.model import ComponentState, Event, Impact, Incident, Phase, Place
from holdfast.kernel.clock import ManualClock

NOW = datetime(2026, 11, 22, 14, 3, tzinfo=UTC)
DIRECTORY = Directory(
    {n: Place("eu", "EU", str(n), str(n)) for n in (1, 2)} | {3: Place("acme", "Acme", "x", "X")},
    {3: frozenset({"acme"})},
)
AFFECTED = st.dictionaries(st.sampled_from([1, 2, 3]), st.sampled_from(ComponentState), max_size=2)
WHEN = st.none() | st.integers(-4000, 60).map(lambda seconds: timedelta(seconds=seconds))
PHASES = st.sampled_from(Phase)
BODIES = st.sampled_from(["one", "two", " "])
WHICH = st.integers(0, 3)
COMMANDS = st.one_of(
    st.tuples(st.just("declare"), PHASES, AFFECTED, WHEN, WHEN, st.booleans()),
    st.tuples(st.just("publish"), WHICH),
    st.tuples(st.just("post"), WHICH, PHASES, BODIES, st.none() | AFFECTED, WHEN),
    st.tuples(st.just("edit"), WHICH, WHICH, BODIES, WHEN),
    st.tuples(st.just("change"), WHICH, st.sampled_from(Impact), WHEN),
    st.tuples(st.just("merge"), WHICH, WHICH),
    st.tuples(st.just("wait"), st.integers(-600, 600)),
)


def check_one(incident: Incident, latest: datetime) -> None:
    """The invariants that incident_steps.py states."""
    times = [incident.began_at, *(each.at for each in incident.updates)]
    assert all(one <= other for one, other in pairwise(times))
    assert times[-1] <= latest
    last = incident.updates[-1]
    assert incident.phase.value == last.step
    assert incident.affected == last.affected
    assert (incident.resolved_at is not None) == (incident.phase.is_over or incident.merged_into is not None)
    assert (incident.published_at is None) == incident.draft


def check_growth(before: Incident, after: Incident) -> None:
    """Nothing that was said or changed is gone, nor who said it, nor when."""
    assert after.version == before.version + 1
    assert after.changes[: len(before.changes)] == before.changes
    assert len(after.updates) - len(before.updates) in (0, 1)
    edited = 0
    for old, new in zip(before.updates, after.updates, strict=False):
        assert new.revisions[: len(old.revisions)] == old.revisions
        assert replace(new, body="", at=NOW, revisions=()) == replace(old, body="", at=NOW, revisions=())
        if (new.body, new.at) != (old.body, old.at):
            edited += 1
            assert (new.revisions[-1].body, new.revisions[-1].shown_at) == (old.body, old.at)
        assert len(new.revisions) - len(old.revisions) == ((new.body, new.at) != (old.body, old.at))
    assert edited <= 1
    assert before.draft or not after.draft


class Play:
    """A desk to which commands are given, and what is looked at after each."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.latest = NOW
        self.told = MemoryAnnouncements()
        self.store = MemoryIncidents(self.clock, self.told)
        self.desk = IncidentDesk(self.store, self.told, self.clock, lambda: DIRECTORY)
        self.known: dict[str, Incident] = {}

    def at(self, ago: timedelta | None) -> datetime | None:
        return None if ago is None else self.clock.now() + ago

    def which(self, number: int) -> str:
        return list(self.known)[number % len(self.known)]

    async def do(self, name: str, *given: object) -> None:
        told, journalled = len(self.told.announced), len(self.store.journal)
        try:
            await self._do(name, *given)
        except CommunicationError:
            assert {each: await self.store.incident(each) for each in self.known} == self.known
            assert (len(self.told.announced), len(self.store.journal)) == (told, journalled)
        await self._look(told)

    async def _do(self, name: str, *given: object) -> None:
        desk = self.desk
        match name, given:
            case "declare", (phase, affected, began, at, draft):
                new = NewIncident(
                    "Title",
                    Impact.MINOR,
                    phase,  # type: ignore[arg-type]
                    "first",
                    affected,  # type: ignore[arg-type]
                    self.at(began),  # type: ignore[arg-type]
                    draft=bool(draft),
                    at=self.at(at),  # type: ignore[arg-type]
                )
                made = await desk.declare(new, "ada")
                self.known[made.id] = made
            case "wait", (seconds,):
                self.clock.advance(seconds)  # type: ignore[arg-type]
                self.latest = max(self.latest, self.clock.now())
            case _ if not self.known:
                pass
            case "publish", (n,):
                await desk.publish(self.which(n), "ada")  # type: ignore[arg-type]
            case "post", (n, phase, body, affected, at):
                update = NewUpdate(phase, body, affected, self.at(at))  # type: ignore[arg-type]
                await desk.post(self.which(n), update, "ben")  # type: ignore[arg-type]
            case "edit", (n, m, body, at):
                key = self.which(n)  # type: ignore[arg-type]
                updates = self.known[key].updates
                update_id = updates[m % len(updates)].id  # type: ignore[operator]
                await desk.edit(key, update_id, body=str(body), shown_at=self.at(at), actor="cleo")  # type: ignore[arg-type]
            case "change", (n, impact, began):
                await desk.change(self.which(n), impact=impact, began_at=self.at(began), actor="cleo")  # type: ignore[arg-type]
            case "merge", (n, m):
                await desk.merge(self.which(n), self.which(m), "ada")  # type: ignore[arg-type]

    async def _look(self, told: int) -> None:
        new = [each.notice for each in self.told.announced[told:]]
        assert len(new) <= 1
        for key, before in self.known.items():
            after = await self.store.incident(key)
            assert after is not None
            check_one(after, self.latest)
            if after != before:
                check_growth(before, after)
            if before.is_public and not after.is_public:
                # Whoever read it is told where it lives on.
                assert [each.event for each in new] == [Event.INCIDENT_UPDATED]
                assert new[0].subject_id == after.merged_into
            self.known[key] = after
        for notice in new:
            assert notice.incident is not None
            assert notice.incident.is_public
            private = 3 in notice.places
            assert notice.audience == (("acme",) if private else None)
        public = await self.store.incidents(public_only=True)
        assert {each.id for each in public} == {key for key, each in self.known.items() if each.is_public}


@given(st.lists(COMMANDS, max_size=25))
def test_any_sequence_of_commands_keeps_what_was_said(commands: list[tuple[object, ...]]) -> None:
    async def play() -> None:
        played = Play()
        for name, *given_ in commands:
            await played.do(str(name), *given_)

    asyncio.run(play())
