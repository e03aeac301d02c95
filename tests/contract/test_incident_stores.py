"""What every incident store promises, run over the one in memory and the one on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import pytest

from holdfast.adapters.memory.announcements import MemoryAnnouncements
from holdfast.adapters.memory.incidents import MemoryIncidents
from holdfast.adapters.postgres.announcements import PostgresAnnouncements, notice_from
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.errors import DatabaseError
from holdfast.adapters.postgres.incidents import PostgresIncidents
from holdfast.communication.directory import Directory
from holdfast.communication.errors import ChangedMeanwhile
from holdfast.communication.incident_desk import IncidentDesk, NewIncident, NewUpdate
from holdfast.communication.model import (
    Audience,
    Channel,
    ComponentChange,
    ComponentState,
    Event,
    Impact,
    Incident,
    Notice,
    Phase,
    Place,
    Scope,
    Standing,
    Subscription,
    Topic,
)
from holdfast.communication.ports import Announcer, AudienceStore, IncidentStore
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.journal import JournalEntry

if TYPE_CHECKING:
    from conftest import Database

NOW = datetime.now(UTC).replace(microsecond=123456)
MINUTE = timedelta(minutes=1)
API, WEB, SECRET = 1, 2, 3
PLACES = {
    API: Place("eu", "EU", "api", "API"),
    WEB: Place("eu", "EU", "web", "Website"),
    SECRET: Place("acme", "Acme", "api", "API"),
}
DIRECTORY = Directory(PLACES, {SECRET: frozenset({"acme"})})
DOWN = {API: ComponentState.MAJOR_OUTAGE}
# Who subscribed: to everything, to one component, to another cluster as that customer, and one who paused.
SUBSCRIBED = [
    (Channel.MAIL, Scope(), Standing.ACTIVE, None),
    (Channel.MAIL, Scope(component_ids=frozenset({API})), Standing.ACTIVE, None),
    (Channel.WEBHOOK, Scope(frozenset({Topic.MAINTENANCE})), Standing.ACTIVE, None),
    (Channel.SLACK, Scope(cluster_keys=frozenset({"acme"})), Standing.ACTIVE, "acme"),
    (Channel.TEAMS, Scope(), Standing.PAUSED, None),
]


class Announcements(AudienceStore, Announcer, Protocol):
    """Both of them: they share their storage."""


@dataclass
class Stored:
    """A store, another one over the same storage, who is told, and what was told and journalled so far."""

    store: IncidentStore
    another: IncidentStore
    announcements: Announcements
    told: Callable[[], Sequence[Notice]]
    journal: Callable[[], Sequence[str]]
    clock: ManualClock

    @property
    def desk(self) -> IncidentDesk:
        return IncidentDesk(self.store, self.announcements, self.clock, lambda: DIRECTORY)

    async def declare(self, title: str = "API down", **given: Any) -> Incident:
        new = NewIncident(title, Impact.MAJOR, Phase.INVESTIGATING, "We *look*.", DOWN)
        return await self.desk.declare(replace(new, **given), "ada")


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def stored(database: "Database | None") -> AsyncIterator[Stored]:
    clock = ManualClock(NOW)
    if database is None:
        people = [
            Subscription(str(n), channel, "en", scope, standing, NOW, customer)
            for n, (channel, scope, standing, customer) in enumerate(SUBSCRIBED)
        ]
        told = MemoryAnnouncements(lambda: people)
        memory = MemoryIncidents(clock, told)
        yield Stored(
            memory,
            memory,
            told,
            lambda: [each.notice for each in told.announced],
            lambda: [each.event for each in memory.journal],
            clock,
        )
        return
    prepare(database)
    async with AsyncExitStack() as stack:
        pools = [
            await stack.enter_async_context(open_pool(database.conninfo(role), role.value))
            for role in (Role.CONSOLE, Role.CONTROLLER)
        ]
        one, another = map(PostgresIncidents, pools)
        announcements = PostgresAnnouncements(pools[0])
        yield Stored(one, another, announcements, lambda: told_in(database), lambda: noted(database), clock)


def prepare(database: "Database") -> None:
    """The components that incidents are about, and who subscribed."""
    with database.connect() as connection:
        for number, place in PLACES.items():
            connection.execute(
                "INSERT INTO estate.component (id, cluster_key, key, name) OVERRIDING SYSTEM VALUE "
                "VALUES (%s, %s, %s, %s)",
                (number, place.cluster_key, place.key, place.name),
            )
        for n, (channel, scope, standing, customer) in enumerate(SUBSCRIBED):
            connection.execute(
                "INSERT INTO communication.subscription (channel, address, address_hash, language, topics, "
                "component_ids, cluster_keys, customer, standing, asked) "
                "VALUES (%s, %s, %s, 'en', %s, %s, %s, %s, %s, '{}')",
                (
                    channel.value,
                    b"sealed",
                    n.to_bytes(32, "big"),
                    [each.value for each in scope.topics],
                    list(scope.component_ids),
                    list(scope.cluster_keys),
                    customer,
                    standing.value,
                ),
            )


def told_in(database: "Database") -> list[Notice]:
    with database.connect() as connection:
        rows = connection.execute("SELECT notice::text FROM communication.announcement ORDER BY at, told_at")
        return [notice_from(text) for (text,) in rows.fetchall()]


def noted(database: "Database") -> list[str]:
    with database.connect() as connection:
        return [event for (event,) in connection.execute("SELECT event FROM holdfast.journal ORDER BY id")]


# --- recording


async def test_what_is_declared_is_there_with_the_stores_times(stored: Stored) -> None:
    declared = await stored.declare(began_at=NOW - 5 * MINUTE)
    assert declared == await stored.another.incident(declared.id)
    assert (declared.version, declared.declared_by, declared.phase) == (1, "ada", Phase.INVESTIGATING)
    assert declared.began_at == NOW - 5 * MINUTE
    assert declared.declared_at is not None
    assert declared.published_at is not None
    assert declared.affected == DOWN
    (first,) = declared.updates
    assert (first.body, first.at, first.author, first.affected) == ("We *look*.", NOW, "ada", DOWN)
    assert first.recorded_at is not None
    assert await stored.store.incident("nobodyhasit1") is None


async def test_a_whole_life_comes_back_as_it_was_made(stored: Stored) -> None:
    declared = await stored.declare(draft=True)
    assert declared.published_at is None
    published = await stored.desk.publish(declared.id, "ben")
    stored.clock.advance(60)
    both = {API: ComponentState.OPERATIONAL, WEB: ComponentState.DEGRADED}
    await stored.desk.post(declared.id, NewUpdate(Phase.MONITORING, "A fix is out.", both), "ben")
    stored.clock.advance(60)
    only = {WEB: ComponentState.DEGRADED}
    await stored.desk.post(declared.id, NewUpdate(Phase.MONITORING, "The API is well.", only), "ben")
    stored.clock.advance(60)
    await stored.desk.post(declared.id, NewUpdate(Phase.RESOLVED, "All is well."), "cleo")
    changed = await stored.desk.change(
        declared.id, title="API and website", impact=Impact.CRITICAL, began_at=NOW - MINUTE, actor="cleo"
    )
    known = await stored.another.incident(declared.id)
    assert known == changed
    assert known is not None
    assert (known.version, known.phase, known.resolved_at) == (6, Phase.RESOLVED, NOW + 3 * MINUTE)
    assert known.published_at == published.published_at
    assert known.affected == {WEB: ComponentState.OPERATIONAL}
    assert [each.affected for each in known.updates] == [DOWN, both, only, known.affected]
    assert [(each.field, each.before, each.after, each.actor) for each in known.changes] == [
        ("title", "API down", "API and website", "cleo"),
        ("impact", "major", "critical", "cleo"),
        ("began_at", NOW.isoformat(), (NOW - MINUTE).isoformat(), "cleo"),
    ]
    assert [each.event for each in stored.told()] == [
        Event.INCIDENT_DECLARED,
        Event.INCIDENT_UPDATED,
        Event.INCIDENT_UPDATED,
        Event.INCIDENT_RESOLVED,
    ]
    assert stored.journal() == [
        "incident.drafted",
        "incident.declared",
        "incident.updated",
        "incident.updated",
        "incident.resolved",
        "incident.changed",
    ]


async def test_edits_leave_every_text_and_time_that_there_was(stored: Stored) -> None:
    declared = await stored.declare(began_at=NOW - 9 * MINUTE)
    (update,) = declared.updates
    desk = stored.desk
    await desk.edit(declared.id, update.id, body="We search.", shown_at=None, actor="ben")
    await desk.edit(declared.id, update.id, body="We search.", shown_at=NOW - MINUTE, actor="cleo")
    final = await desk.edit(declared.id, update.id, body="We found it.", shown_at=None, actor="ben")
    assert final == await stored.another.incident(declared.id)
    (edited,) = final.updates
    assert (edited.body, edited.at, edited.recorded_at) == ("We found it.", NOW - MINUTE, update.recorded_at)
    assert [(each.body, each.shown_at, each.actor) for each in edited.revisions] == [
        ("We *look*.", NOW, "ben"),
        ("We search.", NOW, "cleo"),
        ("We search.", NOW - MINUTE, "ben"),
    ]
    times = [each.at for each in edited.revisions]
    assert times == sorted(times)
    assert [each.event for each in stored.told()] == [Event.INCIDENT_DECLARED]


async def test_of_two_who_record_at_once_one_is_told_to_look_again(stored: Stored) -> None:
    declared = await stored.declare()
    entry = JournalEntry(NOW, "x", "incident.changed", {})
    made = [replace(declared, title=title) for title in ("one", "two", "three", "four")]
    results = await asyncio.gather(
        *((stored.store, stored.another)[n % 2].record(each, [], entry) for n, each in enumerate(made)),
        return_exceptions=True,
    )
    kept = [each for each in results if isinstance(each, Incident)]
    assert len(kept) == 1
    assert [type(each) for each in results if not isinstance(each, Incident)] == [ChangedMeanwhile] * 3
    assert await stored.store.incident(declared.id) == kept[0]
    assert len(stored.journal()) == 2


async def test_an_id_is_given_once(stored: Stored) -> None:
    one = await stored.desk.declare(
        NewIncident("One", Impact.MINOR, Phase.INVESTIGATING, "x", DOWN), "rule r", incident_id="a" * 12
    )
    again = await stored.desk.declare(
        NewIncident("Again", Impact.MINOR, Phase.INVESTIGATING, "y", DOWN), "rule r", incident_id="a" * 12
    )
    assert again == one
    with pytest.raises(ChangedMeanwhile):
        await stored.desk.declare(
            NewIncident("Mine", Impact.MINOR, Phase.INVESTIGATING, "z", DOWN), "ada", incident_id="a" * 12
        )
    assert len(stored.told()) == len(stored.journal()) == 1


async def test_many_updates_at_once_are_all_kept(stored: Stored) -> None:
    declared = await stored.declare()
    desks = [
        IncidentDesk(store, stored.announcements, stored.clock, lambda: DIRECTORY)
        for store in (stored.store, stored.another)
    ]
    await asyncio.gather(
        *(desks[n].post(declared.id, NewUpdate(Phase.IDENTIFIED, f"said by {n}"), "ada") for n in range(2))
    )
    known = await stored.store.incident(declared.id)
    assert known is not None
    assert sorted(each.body for each in known.updates[1:]) == ["said by 0", "said by 1"]
    assert len(stored.told()) == 3


# --- reading


async def test_the_newest_come_first_and_drafts_and_merged_ones_are_no_news(stored: Stored) -> None:
    old = await stored.declare("old", began_at=NOW - 90 * MINUTE, at=NOW - 80 * MINUTE, phase=Phase.RESOLVED)
    draft = await stored.declare("draft", draft=True, began_at=NOW - 3 * MINUTE)
    one = await stored.declare("one", began_at=NOW - 2 * MINUTE)
    two = await stored.declare("two", began_at=NOW - MINUTE)
    await stored.desk.merge(two.id, one.id, "ada")

    async def ids(**given: Any) -> list[str]:
        return [each.id for each in await stored.another.incidents(**given)]

    assert await ids() == [one.id, old.id]
    assert await ids(public_only=False) == [*(each.id for each in (two, one)), draft.id, old.id]
    assert await ids(public_only=False, limit=1) == [two.id]
    assert await ids(since=NOW - 85 * MINUTE) == [one.id, old.id]
    assert await ids(since=NOW - 80 * MINUTE) == [one.id]


async def test_pages_follow_each_other_without_gap_or_repetition(stored: Stored) -> None:
    for number in range(5):
        await stored.declare(f"incident {number}", began_at=NOW - (number // 2) * MINUTE)
    whole = await stored.another.incidents()
    paged: list[str] = []
    after = None
    while page := await stored.another.incidents(limit=2, after=after):
        paged += [each.id for each in page]
        after = page[-1].began_at, page[-1].id
    assert paged == [each.id for each in whole]
    assert len(paged) == 5


async def test_readers_never_see_what_a_draft_once_said(stored: Stored) -> None:
    draft = await stored.declare("Ben broke it", draft=True)
    desk = stored.desk
    await desk.edit(draft.id, draft.updates[0].id, body="A fault.", shown_at=None, actor="ada")
    await desk.change(draft.id, title="API down", actor="ada")
    stored.clock.advance(1)
    await desk.publish(draft.id, "ada")
    stored.clock.advance(1)
    await desk.change(draft.id, title="The API is down", actor="ada")
    (seen,) = await stored.another.incidents()
    assert seen.updates[0].revisions == ()
    assert [each.before for each in seen.changes] == ["API down"]
    (told,) = stored.told()
    assert "Ben" not in repr(told)
    # Who works on it sees all of it.
    assert len((await desk.incident(draft.id)).changes) == 2


# --- telling


async def test_subscribers_are_counted_and_told_alike(stored: Stored) -> None:
    desk = stored.desk
    new = NewIncident("API down", Impact.MAJOR, Phase.INVESTIGATING, "x", DOWN)
    preview = await desk.preview(new, "ada")
    assert preview.audience == Audience({Channel.MAIL: 2})
    assert preview.notice.places == {API: PLACES[API]}
    web = await desk.preview(replace(new, affected={WEB: ComponentState.DEGRADED}), "ada")
    assert web.audience == Audience({Channel.MAIL: 1})
    secret = await desk.preview(replace(new, affected={SECRET: ComponentState.DEGRADED}), "ada")
    assert (secret.notice.audience, secret.audience) == (("acme",), Audience({Channel.SLACK: 1}))
    assert (await desk.preview(replace(new, draft=True), "ada")).audience == Audience()
    assert stored.told() == []
    assert list(await stored.store.incidents(public_only=False)) == []
    declared = await desk.declare(new, "ada")
    (told,) = stored.told()
    assert told.incident is not None
    assert (told.event, told.incident.id) == (Event.INCIDENT_DECLARED, declared.id)
    assert told.incident.updates == declared.updates
    assert await stored.announcements.announce(told) == 0


async def test_those_who_knew_of_a_merged_incident_are_told_once(stored: Stored) -> None:
    one = await stored.declare("one", began_at=NOW - 2 * MINUTE)
    other = await stored.declare(
        "o*th*er", began_at=NOW - 4 * MINUTE, affected={WEB: ComponentState.DEGRADED}, impact=Impact.CRITICAL
    )
    preview = await stored.desk.preview_merge(other.id, one.id, "ada")
    assert preview.audience == Audience({Channel.MAIL: 2})
    merged = await stored.desk.merge(other.id, one.id, "ada")
    gone = await stored.store.incident(other.id)
    assert gone is not None
    assert (gone.merged_into, gone.is_public, gone.version) == (one.id, False, 2)
    assert merged == await stored.store.incident(one.id)
    assert merged.affected == DOWN | {WEB: ComponentState.DEGRADED}
    assert (merged.impact, merged.began_at) == (Impact.CRITICAL, NOW - 4 * MINUTE)
    assert [each.event for each in stored.told()][2:] == [Event.INCIDENT_UPDATED]
    assert stored.told()[-1].places.keys() == {API, WEB}
    assert stored.journal()[-1] == "incident.merged"


async def test_two_that_are_merged_crosswise_never_both_vanish(stored: Stored) -> None:
    one, two = await stored.declare("one"), await stored.declare("two")
    desks = [
        IncidentDesk(store, stored.announcements, stored.clock, lambda: DIRECTORY)
        for store in (stored.store, stored.another)
    ]
    await asyncio.gather(
        desks[0].merge(one.id, two.id, "ada"), desks[1].merge(two.id, one.id, "ben"), return_exceptions=True
    )
    left = await stored.store.incidents()
    assert len(left) == 1


async def test_a_degradation_is_told_once_and_remembered(stored: Stored) -> None:
    change = ComponentChange(API, ComponentState.OPERATIONAL, ComponentState.DEGRADED, "slow")
    began = Notice(Event.DEGRADATION_BEGAN, NOW, {API: PLACES[API]}, component=change)
    ended = replace(began, event=Event.DEGRADATION_ENDED, at=NOW + MINUTE)
    assert list(await stored.announcements.degradations()) == []
    assert await stored.announcements.announce(began) == 2
    assert await stored.announcements.announce(began) == 0
    await stored.declare()
    assert list(await stored.announcements.degradations()) == [began]
    assert await stored.announcements.announce(ended) == 2
    assert list(await stored.announcements.degradations()) == [ended]


# --- PostgreSQL alone


async def test_what_fails_midway_leaves_nothing(migrated_database: "Database") -> None:
    prepare(migrated_database)
    async with open_pool(migrated_database.conninfo(Role.CONSOLE), "one") as pool:
        store = PostgresIncidents(pool)
        desk = IncidentDesk(store, PostgresAnnouncements(pool), ManualClock(NOW), lambda: DIRECTORY)
        with migrated_database.connect() as owner:
            owner.execute("REVOKE INSERT ON holdfast.journal FROM holdfast_console")
        new = NewIncident("API down", Impact.MAJOR, Phase.INVESTIGATING, "x", DOWN)
        with pytest.raises(DatabaseError, match="journal"):
            await desk.declare(new, "ada")
        assert list(await store.incidents(public_only=False)) == []
        assert told_in(migrated_database) == []


async def test_a_change_is_announced_at_commit(migrated_database: "Database") -> None:
    prepare(migrated_database)
    with migrated_database.connect(Role.SITE) as listener:
        listener.execute("LISTEN holdfast_changed")
        async with open_pool(migrated_database.conninfo(Role.CONTROLLER), "one") as pool:
            desk = IncidentDesk(
                PostgresIncidents(pool), PostgresAnnouncements(pool), ManualClock(NOW), lambda: DIRECTORY
            )
            await desk.declare(NewIncident("x", Impact.MAJOR, Phase.INVESTIGATING, "x", DOWN), "ada")
        payloads = [each.payload for each in listener.notifies(timeout=60, stop_after=1)]
    assert payloads == ["incident"]


async def test_the_site_reads_and_writes_nothing(migrated_database: "Database") -> None:
    prepare(migrated_database)
    async with (
        open_pool(migrated_database.conninfo(Role.CONSOLE), "console") as writing,
        open_pool(migrated_database.conninfo(Role.SITE), "site") as reading,
    ):
        stores = [PostgresIncidents(writing), PostgresIncidents(reading)]
        desks = [
            IncidentDesk(each, PostgresAnnouncements(writing), ManualClock(NOW), lambda: DIRECTORY)
            for each in stores
        ]
        new = NewIncident("x", Impact.MAJOR, Phase.INVESTIGATING, "x", DOWN)
        declared = await desks[0].declare(new, "ada")
        assert await stores[1].incident(declared.id) == declared
        assert list(await stores[1].incidents()) == [declared]
        with pytest.raises(DatabaseError, match="permission denied"):
            await desks[1].declare(new, "visitor")
        with pytest.raises(DatabaseError, match="permission denied"):
            await desks[1].change(declared.id, title="defaced", actor="visitor")


@pytest.mark.parametrize("role", [Role.CONSOLE, Role.CONTROLLER, Role.OWNER])
def test_nobody_rewrites_what_was_said(migrated_database: "Database", role: Role) -> None:
    with migrated_database.connect(role) as connection:
        for table in ("incident_update", "incident_revision", "incident_change"):
            with pytest.raises(psycopg.Error):
                connection.execute(f"DELETE FROM communication.{table}".encode())
            with pytest.raises(psycopg.Error):
                connection.execute(f"TRUNCATE communication.{table} CASCADE".encode())


@pytest.mark.parametrize("role", [Role.CONSOLE, Role.CONTROLLER])
def test_who_declares_reads_no_address(migrated_database: "Database", role: Role) -> None:
    with (
        migrated_database.connect(role) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT address FROM communication.subscription")
