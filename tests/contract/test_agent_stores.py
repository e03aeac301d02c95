"""What every store of agents and of beats promises, run over the one in memory and the one on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from holdfast.adapters.memory.agents import MemoryAgents, MemoryBeats
from holdfast.adapters.memory.availability import MemoryAvailability
from holdfast.adapters.postgres.agents import PostgresAgents, PostgresBeats
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.reading import PostgresReadingStore
from holdfast.availability.ingest import Delivery, Ingest, Loss, Losses, NotKnownYet, Taken
from holdfast.availability.model import Interval, Outcome, Result, State, Timings, Transition
from holdfast.availability.ports import Batch, ReadingStore
from holdfast.availability.vantage import Beats, sha256_of
from holdfast.availability.verdicts import Rules
from holdfast.kernel.clock import ManualClock, SystemClock
from holdfast.kernel.windows import Window

if TYPE_CHECKING:
    from conftest import Database

SECOND = timedelta(seconds=1)
TOKYO, OSLO = sha256_of("hfa_tokyo"), sha256_of("hfa_oslo")
TOKYOS, OSLOS, LOCALS = 11, 12, 10
COMPONENT = 1
PROBES = {LOCALS: "page", TOKYOS: "page@tokyo", OSLOS: "page@oslo"}
RULES = dict.fromkeys((TOKYOS, OSLOS), Rules(2, 2, 10 * SECOND, 10 * SECOND))
LOSS_ID = UUID("6f1ed002-ab55-4bb1-a0c9-6a76d9ad4b5b")


class Stores:
    """The stores of one test, as a vantage point and an operator see them."""

    def __init__(self, agents: "MemoryAgents | PostgresAgents", reading: ReadingStore, now: datetime) -> None:
        self.agents = agents
        self.reading = reading
        self.now = now
        self.ingest = Ingest(agents, ManualClock(now), lambda: RULES)

    async def deliver(
        self, *results: Result, token: bytes = TOKYO, losses: Losses | None = None
    ) -> Taken | None:
        return await self.ingest.accept(token, Delivery(results, losses))

    async def line(self, ago_s: int = 600) -> list[tuple[State, float]]:
        """The component's states over the last `ago_s` seconds, with their lengths in seconds."""
        window = Window(self.now - ago_s * SECOND, self.now)
        found = await self.reading.intervals([COMPONENT], window, self.now)
        line: list[Interval] = list(found.get(COMPONENT, ()))
        return [(each.state, round(each.duration.total_seconds(), 3)) for each in line]

    def result(self, ago_s: float, outcome: Outcome = Outcome.GOOD, probe: int = TOKYOS) -> Result:
        reason = "" if outcome is Outcome.GOOD else "refused"
        return Result(probe, self.now - ago_s * SECOND, outcome, Timings(1500, connect_us=20), reason)

    async def forget(self, probe: int, database: "Database | None") -> None:
        """As when an estate without the probe is applied."""
        if database is None:
            assert isinstance(self.agents, MemoryAgents)
            self.agents.removed.add(probe)
        else:
            with database.connect() as connection:
                connection.execute(
                    "UPDATE estate.probe SET removed_at = clock_timestamp() WHERE id = %s", (probe,)
                )


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    if request.param == "memory":
        return None
    fresh: Database = request.getfixturevalue("migrated_database")
    with fresh.connect() as connection:
        connection.execute(
            "INSERT INTO estate.component (id, cluster_key, key, name) OVERRIDING SYSTEM VALUE"
            " VALUES (%s, 'eu', 'web', 'Web')",
            (COMPONENT,),
        )
        for probe, key in PROBES.items():
            connection.execute(
                "INSERT INTO estate.probe (id, component_id, key) OVERRIDING SYSTEM VALUE"
                " VALUES (%s, %s, %s)",
                (probe, COMPONENT, key),
            )
    return fresh


@pytest.fixture
async def stores(database: "Database | None") -> AsyncIterator[Stores]:
    now = datetime.now(UTC)
    async with AsyncExitStack() as stack:
        if database is None:
            shared = MemoryAvailability(
                dict.fromkeys(PROBES, COMPONENT),
                ManualClock(now),
                check_of=dict.fromkeys(PROBES, "page"),
            )
            made = Stores(
                MemoryAgents(shared, ManualClock(now), {TOKYOS: "tokyo", OSLOS: "oslo"}), shared, now
            )
        else:
            pool = await stack.enter_async_context(open_pool(database.conninfo(Role.CONTROLLER), "agents"))
            site = await stack.enter_async_context(open_pool(database.conninfo(Role.SITE), "site"))
            made = Stores(PostgresAgents(pool), PostgresReadingStore(site), now)
        await made.agents.add("tokyo", TOKYO, "test")
        await made.agents.add("oslo", OSLO, "test")
        yield made


# --- logins


async def test_a_token_belongs_to_its_vantage_point(stores: Stores) -> None:
    assert await stores.agents.holder_of(TOKYO, "198.51.100.7") == "tokyo"
    assert await stores.agents.holder_of(OSLO, "198.51.100.8") == "oslo"
    assert await stores.agents.holder_of(sha256_of("hfa_other"), "") is None

    oslo, tokyo = await stores.agents.logins()
    assert (oslo.key, tokyo.key) == ("oslo", "tokyo")
    assert tokyo.last_address == "198.51.100.7"
    assert tokyo.last_seen_at is not None
    assert tokyo.revoked_at is None


async def test_a_revoked_token_is_worth_nothing(stores: Stores) -> None:
    assert await stores.agents.revoke("tokyo", "test")

    assert await stores.agents.holder_of(TOKYO, "") is None
    assert await stores.deliver(stores.result(10)) is None
    assert await stores.line() == []
    assert await stores.agents.holder_of(OSLO, "") == "oslo"
    assert not await stores.agents.revoke("tokyo", "test")
    assert not await stores.agents.revoke("nowhere", "test")


async def test_adding_again_replaces_the_token(stores: Stores) -> None:
    await stores.agents.revoke("tokyo", "test")
    fresh = sha256_of("hfa_fresh")

    await stores.agents.add("tokyo", fresh, "test")

    assert await stores.agents.holder_of(TOKYO, "") is None
    assert await stores.agents.holder_of(fresh, "") == "tokyo"


# --- deliveries


async def test_a_delivery_is_stored_once(stores: Stores) -> None:
    results = [stores.result(ago) for ago in (30, 20, 10)]

    first = await stores.deliver(*results)
    again = await stores.deliver(*results)

    assert first is not None
    assert again is not None
    assert (first.stored, first.absorbed, first.refused) == (3, 0, ())
    assert (again.stored, again.absorbed, again.refused) == (0, 3, ())
    kept = await stores.reading.results([TOKYOS], 10)
    assert [each.at for each in kept] == [each.at for each in reversed(results)]
    assert kept[0].timings == Timings(1500, connect_us=20)
    assert await stores.line() == [(State.OPERATIONAL, 30.0)]


async def test_the_same_delivery_twice_at_once_is_stored_once(stores: Stores) -> None:
    """Its answer took too long, and the agent came back through another controller."""
    results = [stores.result(ago, Outcome.FAILED) for ago in (50, 40, 30, 20, 10)]

    both = await asyncio.gather(*(stores.deliver(*results) for _ in range(4)))

    assert sorted((taken.stored, taken.absorbed) for taken in both if taken) == [(0, 5)] * 3 + [(5, 0)]
    assert await stores.line() == [(State.MAJOR_OUTAGE, 50.0)]


async def test_late_results_mend_what_was_unknown_and_touch_nothing_else(stores: Stores) -> None:
    await stores.deliver(stores.result(300), stores.result(290))
    await stores.deliver(stores.result(300, probe=OSLOS), token=OSLO)
    before = await stores.reading.check_states([OSLOS])
    line = await stores.line()
    assert line[-1][0] is State.UNKNOWN

    late = [stores.result(ago) for ago in range(280, 0, -10)]
    taken = await stores.deliver(*late)

    assert taken is not None
    assert taken.changed
    assert taken.batch.transitions == []
    mended = await stores.line()
    assert mended == [(State.OPERATIONAL, 300.0)]
    assert await stores.reading.check_states([OSLOS]) == before


async def test_what_is_not_its_own_is_refused_and_the_rest_is_stored(
    stores: Stores, database: "Database | None"
) -> None:
    await stores.forget(OSLOS, database)

    taken = await stores.deliver(
        stores.result(10), stores.result(10, probe=LOCALS), stores.result(10, probe=OSLOS)
    )
    departed = await stores.deliver(stores.result(10, probe=OSLOS), token=OSLO)

    assert taken is not None
    assert taken.stored == 1
    assert [(each.index, each.check_id) for each in taken.refused] == [(1, LOCALS), (2, OSLOS)]
    assert {each.reason for each in taken.refused} == {"not a probe of this vantage point"}
    assert departed is not None
    assert [each.reason for each in departed.refused] == ["no longer in the estate"]
    assert await stores.reading.check_states([LOCALS, OSLOS]) == {}


async def test_a_probe_that_is_not_known_here_yet_stores_nothing(stores: Stores) -> None:
    unknowing = Ingest(stores.agents, ManualClock(stores.now), dict)

    with pytest.raises(NotKnownYet):
        await unknowing.accept(TOKYO, Delivery([stores.result(10)]))

    assert await stores.reading.check_states() == {}


async def test_what_lies_in_an_imported_past_is_absorbed(stores: Stores, database: "Database | None") -> None:
    imported = stores.now - 100 * SECOND
    if database is None:
        past = Transition(TOKYOS, imported, State.DEGRADED, "imported")
        assert isinstance(stores.reading, MemoryAvailability)
        await stores.reading.record(Batch((), [past]))
    else:
        with database.connect() as connection:
            connection.execute(
                "INSERT INTO availability.transition (check_id, at, state, reason)"
                " VALUES (%s, %s, 1, 'imported')",
                (TOKYOS, imported),
            )

    taken = await stores.deliver(stores.result(150), stores.result(100), stores.result(90))

    assert taken is not None
    assert (taken.stored, taken.absorbed) == (1, 2)
    line = await stores.line()
    assert line[0][0] is State.DEGRADED


async def test_results_of_many_days_find_their_place(stores: Stores) -> None:
    days = [stores.result(86_400 * day) for day in range(29, 0, -1)]

    taken = await stores.deliver(*days)

    assert taken is not None
    assert taken.stored == len(days)
    assert len(await stores.reading.results([TOKYOS], 100)) == len(days)


async def test_a_probe_that_left_the_estate_is_retired_once(
    stores: Stores, database: "Database | None"
) -> None:
    await stores.deliver(stores.result(20), stores.result(10))
    await stores.deliver(stores.result(10, probe=OSLOS), token=OSLO)
    await stores.forget(TOKYOS, database)

    assert await stores.ingest.retire_departed() == 1
    assert await stores.ingest.retire_departed() == 0

    states = await stores.reading.check_states()
    assert states[TOKYOS].state is State.RETIRED
    assert states[OSLOS].state is State.OPERATIONAL


async def test_what_was_given_up_is_kept_and_counts_that_grew_replace_the_old(
    stores: Stores, database: "Database | None"
) -> None:
    def losses(good: int) -> Losses:
        ago = stores.now - 100 * SECOND
        foreign = Loss(LOCALS, ago, ago, failed=7)
        return Losses(LOSS_ID, [Loss(TOKYOS, ago, ago + good * SECOND, good=good, failed=2), foreign])

    for good in (5, 5, 8):
        taken = await stores.deliver(losses=losses(good))
        assert taken is not None
        assert taken.stored == 0

    if database is None:
        assert isinstance(stores.agents, MemoryAgents)
        assert [(key, loss.good) for (*_, key), loss in stores.agents.losses.items()] == [(TOKYOS, 8)]
        return
    with database.connect() as connection:
        rows = connection.execute("SELECT check_id, good, failed FROM availability.agent_loss").fetchall()
        assert rows == [(TOKYOS, 8, 2)]
        told = connection.execute(
            "SELECT (facts->>'results')::int FROM holdfast.journal WHERE event = 'agent.results_summarised'"
            " ORDER BY id"
        ).fetchall()
        assert told == [(7,), (10,)]


# --- beats


@dataclass
class Hearing:
    beats: Beats
    clock: "ManualClock | SystemClock"


BEAT, OTHER = sha256_of("beat-beat-beat-beat"), sha256_of("other-other-other")


@pytest.fixture
async def hearing(database: "Database | None") -> AsyncIterator[Hearing]:
    if database is None:
        clock = ManualClock(datetime.now(UTC))
        yield Hearing(MemoryBeats(clock), clock)
        return
    async with open_pool(database.conninfo(Role.CONTROLLER), "beats") as pool:
        yield Hearing(PostgresBeats(pool), SystemClock())


async def test_a_beat_is_kept_for_a_token_that_is_listened_for(hearing: Hearing) -> None:
    beats = hearing.beats
    assert not await beats.beat(BEAT, failed=False, message="")
    await beats.keep_ear_open()
    await beats.listen_for([BEAT])
    quiet = await beats.pulse(BEAT)
    assert quiet is not None
    assert quiet.newest is None
    assert quiet.listening is not None

    assert await beats.beat(BEAT, failed=True, message="no paper\nleft")
    assert not await beats.beat(OTHER, failed=False, message="")

    pulse = await beats.pulse(BEAT)
    assert pulse is not None
    assert pulse.newest is not None
    assert (pulse.newest.failed, pulse.newest.message) == (True, "no paper?left")
    assert timedelta() <= pulse.newest.age < timedelta(minutes=5)
    assert await beats.pulse(OTHER) is None


async def test_a_token_that_left_and_came_back_begins_anew(hearing: Hearing) -> None:
    beats = hearing.beats
    await beats.keep_ear_open()
    await beats.listen_for([BEAT, OTHER])
    await beats.beat(BEAT, failed=False, message="")
    await beats.listen_for([BEAT, OTHER])
    kept = await beats.pulse(BEAT)
    assert kept is not None
    assert kept.newest is not None

    await beats.listen_for([OTHER])
    assert await beats.pulse(BEAT) is None
    assert not await beats.beat(BEAT, failed=False, message="")
    await beats.listen_for([BEAT, OTHER])

    fresh = await beats.pulse(BEAT)
    assert fresh is not None
    assert fresh.newest is None


async def test_while_nobody_listens_nothing_is_known(hearing: Hearing, database: "Database | None") -> None:
    beats = hearing.beats
    await beats.listen_for([BEAT])
    before = await beats.pulse(BEAT)
    assert before is None or before.listening is None
    await beats.keep_ear_open()
    if database is None:
        assert isinstance(hearing.clock, ManualClock)
        hearing.clock.advance(3600)
    else:
        with database.connect() as connection:
            connection.execute(
                "UPDATE availability.ear SET open_since = open_since - interval '1 hour',"
                " open_until = open_until - interval '1 hour'"
            )

    closed = await beats.pulse(BEAT)
    await beats.keep_ear_open()
    opened = await beats.pulse(BEAT)

    assert closed is not None
    assert closed.listening is None
    assert opened is not None
    assert opened.listening is not None
    assert opened.listening < timedelta(minutes=5)
