"""Finding, reading, exporting and tracing, on the stores in memory and on PostgreSQL."""

import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from holdfast.adapters.memory.ledger.finding import MemoryAccessTrail, MemoryFindings
from holdfast.adapters.memory.ledger.following import MemoryFollowing
from holdfast.adapters.memory.ledger.logs import MemoryLogs, MemoryPublished
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.errors import DatabaseError
from holdfast.adapters.postgres.ledger.finding import PostgresFindings, rooms_in
from holdfast.adapters.postgres.ledger.following import PostgresFollowing
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.postgres.ledger.published import PostgresPublished
from holdfast.adapters.signing.ed25519 import Ed25519Signer, verifies
from holdfast.kernel.clock import SystemClock
from holdfast.ledger.append.sequences import numbered
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.canonical import entry_of, leaf_of
from holdfast.ledger.errors import NotThere, Overtaken, Unsuitable
from holdfast.ledger.find.access import Act, Caller, Reading, Way
from holdfast.ledger.find.finding import BLOCK, LINES, Dimension, Filter, Mention, What, indexed, lines_of
from holdfast.ledger.find.indexing import Compared, FindingFold, compared
from holdfast.ledger.find.jobs import Job, JobsDesk, Room, Rooms
from holdfast.ledger.find.searching import Findings
from holdfast.ledger.find.tracing import Tracer
from holdfast.ledger.following import Follower, Following
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.model import Correction, Kind, Prepared, Record, Status
from holdfast.ledger.ports import LogStore, Published

if TYPE_CHECKING:
    from conftest import Database

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ANN = Caller("ann", Way.CONSOLE)
SEED = bytes(32)


@dataclass
class House:
    """A ledger with everything that finding needs."""

    store: LogStore
    index: Findings
    following: Following
    published: Published
    rooms: Rooms
    database: "Database | None"
    owner: Findings | None = None

    def __post_init__(self) -> None:
        self.line = Sequencer(
            self.store,
            ZstdSegments(),
            origin_of=lambda tenant: f"ledger.example/{tenant}",
            signer_for=lambda origin: Ed25519Signer(origin, SEED),
        )
        self.seqs = itertools.count()
        self.desk = JobsDesk(self.rooms)
        self.tracer = Tracer(self.rooms, verifies, lambda origin: Ed25519Signer(origin, SEED).key)

    async def post(self, *records: Record) -> list[int]:
        leaves = [leaf_of(each) for each in records]
        columns = zip(*((each.source, each.epoch, each.seq) for each in records), strict=True)
        prepared = Prepared(records[0].tenant, leaves, leaf_hashes(leaves), numbered(*map(list, columns)))
        return (await self.line.append([prepared])).placed[0].leaves

    def record(self, **told: object) -> Record:
        seq = next(self.seqs)
        usual: dict[str, object] = {
            "epoch": 1,
            "job": f"job-{seq}",
            "kind": Kind.PRINT,
            "occurred_at": NOON + timedelta(seconds=seq),
            "seq": seq,
            "source": "prints",
            "status": Status.COMPLETED,
            "tenant": "acme",
        }
        return Record(**{**usual, **told})  # type: ignore[arg-type]

    async def follow(self, most_leaves: int = 50_000) -> None:
        follower = Follower(self.following, [FindingFold(self.store, self.index)], most_leaves=most_leaves)
        while True:
            followed = await follower.round()
            assert followed.behind == ()
            if not followed.more:
                return

    async def all_of(self, wanted: Filter, tenant: str = "acme", limit: int = 100) -> list[Job]:
        found, below = list[Job](), None
        while True:
            page = await self.desk.page(ANN, tenant, wanted, limit=limit, below=below)
            found += page.jobs
            below = page.next
            if below is None:
                return found


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def house(database: "Database | None") -> AsyncIterator[House]:
    packs = ZstdSegments()
    if database is None:
        store, published, trail = MemoryLogs(packs), MemoryPublished(), MemoryAccessTrail(SystemClock())
        following = MemoryFollowing(store)
        index = MemoryFindings(store, following)
        room = Room(store, index, trail, published)
        yield House(store, index, following, published, lambda _: room, None)
        return
    async with (
        open_pool(database.conninfo(Role.LEDGER), "test") as pool,
        open_pool(database.conninfo(Role.CONSOLE), "test") as reading,
        open_pool(database.conninfo(), "test") as owning,
    ):
        yield House(
            PostgresLogs(pool, packs),
            PostgresFindings(pool),
            PostgresFollowing(pool, packs),
            PostgresPublished(pool),
            rooms_in(reading, packs),
            database,
            PostgresFindings(owning),
        )


def wanted(**values: Sequence[str] | str) -> Filter:
    return Filter.of(
        wanted={Dimension(name): [each] if isinstance(each, str) else each for name, each in values.items()}
    )


async def filled(house: House, blocks: float = 3.3) -> list[Record]:
    """Growths of all sizes; leaf n holds record n."""
    count = int(blocks * BLOCK)
    records = [
        house.record(
            user=f"user-{n % 500}",
            device=f"device-{n // 1000}",
            kind=Kind.FAX if n == 5000 else Kind.PRINT,
            cost_centre=f"cc-{n // 4000}",
        )
        for n in range(count)
    ]
    at, sizes = 0, itertools.cycle([1, 700, 5000, 37])
    while at < count:
        size = next(sizes)
        assert (await house.post(*records[at : at + size]))[0] == at
        at += size
    return records


@pytest.mark.parametrize("folded", ["all", "in small portions", "nothing"])
async def test_every_job_is_found_with_and_without_the_index(house: House, folded: str) -> None:
    records = await filled(house)
    if folded != "nothing":
        await house.follow(50_000 if folded == "all" else 900)
    for filter_, leaves in (
        (wanted(user="user-7"), range(7, len(records), 500)),
        (wanted(kind="fax"), [5000]),
        (wanted(device=["device-0", "device-9"], user="user-3"), [3, 503, 9003, 9503]),
        (wanted(job="job-13000"), [13000]),
        (wanted(job="nobody"), []),
        (Filter.of(NOON + timedelta(seconds=8190), NOON + timedelta(seconds=8195)), range(8190, 8195)),
        (wanted(cost_centre="cc-3"), range(12000, len(records))),
    ):
        found = await house.all_of(filter_)
        assert [job.leaf for job in found] == sorted(leaves, reverse=True)
        assert [job.entry for job in found] == [records[leaf] for leaf in sorted(leaves, reverse=True)]


async def test_the_index_is_the_same_however_it_was_folded(house: House) -> None:
    await filled(house)
    await house.follow(700)
    lines = range(LINES)
    seen = await house.index.log_of("acme")
    assert seen is not None
    rows = await house.index.looks(seen.log_id, 0, 9, lines)
    assert sorted(row.block for row in rows) == [0, 1, 2]
    for row in rows:
        leaves = await house.store.entries(seen.log_id, row.block * BLOCK, BLOCK)
        anew = indexed([entry_of(leaf) for leaf in leaves])
        assert (row.occurred_from, row.occurred_to) == anew[:2]
        assert row.lines == lines_of(anew.terms, lines)


async def test_two_folds_at_once_and_one_that_died_leave_each_entry_indexed_once(house: House) -> None:
    await filled(house, 1.2)
    [log] = await house.following.logs()
    growths = await house.following.growths(log.id, 0, 50_000)
    fold = FindingFold(house.store, house.index)

    class Dying(FindingFold):
        """Everything is decided, and the process is gone before it is written."""

    dying = Dying(house.store, _Broken(house.index))  # type: ignore[arg-type]
    with pytest.raises(ConnectionError):
        await dying.fold(log, growths)
    assert await house.index.position(log.id) == 0
    await fold.fold(log, growths)
    with pytest.raises(Overtaken):
        await fold.fold(log, growths)
    assert await house.index.position(log.id) == log.size
    assert len(await house.index.looks(log.id, 0, 9, [])) == 1


class _Broken:
    def __init__(self, index: Findings) -> None:
        self._index = index

    def __getattr__(self, name: str) -> object:
        return getattr(self._index, name)

    async def keep(self, *_: object) -> None:
        raise ConnectionError


async def test_a_page_stays_the_same_page_while_the_log_grows(house: House) -> None:
    await house.post(*(house.record(user="ann") for _ in range(25)))
    first = await house.desk.page(ANN, "acme", wanted(user="ann"), limit=10)
    assert [job.leaf for job in first.jobs] == list(range(24, 14, -1))
    await house.post(*(house.record(user="ann") for _ in range(25)))
    second = await house.desk.page(ANN, "acme", wanted(user="ann"), limit=10, below=first.next)
    assert [job.leaf for job in second.jobs] == list(range(14, 4, -1))
    third = await house.desk.page(ANN, "acme", wanted(user="ann"), limit=10, below=second.next)
    assert ([job.leaf for job in third.jobs], third.next) == (list(range(4, -1, -1)), None)


@pytest.mark.parametrize("follows", [(), (0,), (1,), (0, 1, 2)])
async def test_corrections_and_conflicts_stand_beside_what_they_are_about(
    house: House, follows: tuple[int, ...]
) -> None:
    async def step(number: int) -> None:
        if number in follows:
            await house.follow()

    original = house.record(user="ann", sheets={"A4": 30})
    [first] = await house.post(original)
    await step(0)
    correction = Correction(actor="ops", leaf=first, reason="counted twice")
    [second] = await house.post(house.record(user="bob", sheets={"A4": 3}, corrects=correction))
    [void] = await house.post(house.record(user="eve", corrects=correction))
    await step(1)
    [conflict] = await house.post(replace_record(original, user="mallory"))
    await step(2)

    shown = {job.leaf: job for job in await house.all_of(Filter())}
    assert set(shown) == {first, second, void}
    assert (shown[first].corrected_by, shown[first].conflicts, shown[first].counts) == (
        second,
        (conflict,),
        False,
    )
    assert (shown[second].original, shown[second].counts) == (original, True)
    assert (shown[void].void, shown[void].counts) == (True, False)
    assert [job.leaf for job in await house.all_of(wanted(what="conflict"))] == [conflict]
    assert [job.leaf for job in await house.all_of(wanted(user="mallory"))] == []

    # Whoever is in any of it is shown all of it.
    for about in (wanted(user="ann"), wanted(user="mallory"), second):
        trace = await house.tracer.trace(ANN, "acme", about)
        assert [each.job.leaf for each in trace.entries] == [first, second, void, conflict]
        assert all(each.proven and each.proven.holds for each in trace.entries)
        assert trace.broken == []


def replace_record(record: Record, **told: object) -> Record:
    import msgspec  # noqa: PLC0415

    return msgspec.structs.replace(record, **told)


async def test_an_export_has_all_of_it_and_nothing_that_came_later(house: House) -> None:
    records = await filled(house, 1.5)
    exported = list[int]()
    async for jobs in await house.desk.export(ANN, "acme", Filter()):
        if not exported:
            await house.post(house.record())
        exported += [job.leaf for job in jobs]
    assert exported == list(range(len(records)))[::-1]
    [line] = await house.desk.accesses("acme")
    assert (line.reading.act, line.reading.rows) == (Act.EXPORT, len(records))


async def test_an_export_that_was_broken_off_is_in_the_trail_without_a_count(house: House) -> None:
    await filled(house, 1.5)
    export = await house.desk.export(ANN, "acme", Filter())
    await anext(export)
    await export.aclose()
    [line] = await house.desk.accesses("acme")
    assert (line.reading.act, line.reading.rows, line.reading.caller) == (Act.EXPORT, None, ANN)


async def test_nothing_is_handed_out_that_the_trail_does_not_know_of(house: House) -> None:
    await house.post(house.record(user="ann"))

    class Full:
        """A trail that cannot be written."""

        def __getattr__(self, name: str) -> object:
            return getattr(house.rooms("acme").trail, name)

        async def begin(self, reading: Reading) -> int:
            raise ConnectionError(reading.tenant)

    def rooms(tenant: str) -> Room:
        return replace(house.rooms(tenant), trail=Full())  # type: ignore[arg-type]

    desk, tracer = JobsDesk(rooms), Tracer(rooms, verifies, lambda _: None)
    with pytest.raises(ConnectionError):
        await desk.page(ANN, "acme", Filter(), limit=10)
    with pytest.raises(ConnectionError):
        await desk.export(ANN, "acme", Filter())
    with pytest.raises(ConnectionError):
        await tracer.trace(ANN, "acme", 0)


async def test_a_trace_tells_who_was_handed_the_entry_and_nobody_else(house: House) -> None:
    await house.post(*(house.record(user=f"user-{n % 10}") for n in range(50)))
    one, two, three = (Caller(name, Way.API) for name in ("one", "two", "three"))
    await house.desk.page(one, "acme", wanted(user="user-7"), limit=2)  # leaves 47 and 37
    await house.desk.page(two, "acme", wanted(user="user-8"), limit=50)
    async for _ in await house.desk.export(three, "acme", wanted(user=["user-6", "user-7"])):
        pass

    async def saw(leaf: int) -> list[str]:
        trace = await house.tracer.trace(Caller("auditor", Way.CLI), "acme", leaf, proofs=False)
        return [
            each.reading.caller.who for each, _ in trace.seen.accesses if each.reading.caller.who != "auditor"
        ]

    assert await saw(47) == ["three", "one"]
    assert await saw(37) == ["three", "one"]
    assert await saw(27) == ["three"]
    assert await saw(48) == ["two"]
    assert await saw(0) == []
    again = await house.tracer.trace(ANN, "acme", 0)
    assert [(each.reading.caller.who, each.reading.act) for each, _ in again.seen.accesses] == [
        ("auditor", Act.TRACE)
    ]


async def test_the_original_beside_a_correction_was_read_too(house: House) -> None:
    [first] = await house.post(house.record(user="ann"))
    await house.post(house.record(user="bob", corrects=Correction(actor="x", leaf=first, reason="y")))
    await house.desk.page(ANN, "acme", wanted(user="bob"), limit=10)
    trace = await house.tracer.trace(Caller("auditor", Way.CLI), "acme", first)
    assert [leaves for _, leaves in trace.seen.accesses] == [(0, 1)]


async def test_a_proof_is_of_the_published_checkpoint_where_there_is_one(house: House) -> None:
    await house.post(*(house.record() for _ in range(300)))
    seen = await house.index.log_of("acme")
    assert seen is not None
    grown = await house.store.grown_to(seen.log_id, 1)
    assert grown is not None
    await house.published.publish(seen.log_id, 300, grown[2])
    await house.post(house.record())
    trace = await house.tracer.trace(ANN, "acme", Filter.of(NOON + timedelta(seconds=299)))
    assert [
        (each.job.leaf, each.proven and (each.proven.published, each.proven.size)) for each in trace.entries
    ] == [
        (299, (True, 300)),
        (300, (False, 301)),
    ]
    assert all(
        each.proven and each.proven.proof.startswith("c2sp.org/tlog-proof@v1\n") for each in trace.entries
    )


async def test_what_is_not_there_is_said(house: House) -> None:
    with pytest.raises(NotThere):
        await house.desk.page(ANN, "nobody", Filter(), limit=10)
    await house.post(house.record())
    with pytest.raises(NotThere):
        await house.tracer.trace(ANN, "acme", 1)
    with pytest.raises(Unsuitable):
        await house.desk.page(ANN, "acme", Filter(), limit=0)
    with pytest.raises(NotThere):
        await house.desk.page(ANN, "", Filter(), limit=10)


async def test_a_correction_of_what_is_not_there_is_void_and_breaks_nothing(house: House) -> None:
    correction = Correction(actor="x", leaf=2**53 - 1, reason="y")
    await house.post(house.record(corrects=correction))
    await house.follow()
    await house.post(house.record(corrects=correction))
    assert [job.void for job in await house.all_of(Filter())] == [True, True]
    trace = await house.tracer.trace(ANN, "acme", 0)
    assert {each.job.leaf for each in trace.entries} >= {0}


async def test_the_index_is_compared_with_the_log_and_folded_anew(house: House) -> None:
    await filled(house, 2.2)
    correction = Correction(actor="x", leaf=3, reason="y")
    await house.post(house.record(corrects=correction), house.record(corrects=correction))
    await house.follow(3000)
    seen = await house.index.log_of("acme")
    assert seen is not None
    assert await compared(house.store, house.index, seen) == Compared(seen.size, seen.size, [])
    owner = house.owner or house.index
    before = await house.index.looks(seen.log_id, 0, 9, range(LINES))
    await owner.forget(seen.log_id)
    assert await house.index.position(seen.log_id) == 0
    assert [job.leaf for job in await house.all_of(wanted(kind="fax"))] == [5000]
    # Somebody keeps rows that do not follow from the log.
    [log] = await house.following.logs()
    growths = await house.following.growths(log.id, 0, 50_000)
    wrong = indexed([house.record()])
    await house.index.keep(log.id, growths, {1: wrong}, [Mention(9, 8, What.CORRECTION)])
    told = (await compared(house.store, house.index, seen)).differences
    assert told == [
        "leaves 0 to 4,095: there is no row of the index",
        "leaf 8 and what it says of leaf 9",
        "leaves 4,096 to 8,191: the index has a different row",
        f"leaf {seen.size - 2:,} and what it says of leaf 3",
        f"leaf {seen.size - 1:,} and what it says of leaf 3",
    ]
    await owner.forget(seen.log_id)
    await house.follow()
    assert await house.index.looks(seen.log_id, 0, 9, range(LINES)) == before
    assert (await compared(house.store, house.index, seen)).differences == []


# --- only PostgreSQL


def own(house: House) -> "Database":
    assert house.database is not None
    return house.database


only_postgres = pytest.mark.parametrize("database", ["postgres"], indirect=True)


@only_postgres
async def test_tenants_cannot_see_each_other(house: House) -> None:
    database = own(house)
    await filled(house, 1.1)
    await house.post(house.record(tenant="other", user="user-1"))
    await house.follow()
    await house.desk.page(ANN, "acme", Filter(), limit=5)
    acme, other = await house.index.log_of("acme"), await house.index.log_of("other")
    assert acme is not None
    assert other is not None
    assert [job.leaf for job in await house.all_of(wanted(user="user-1"), "other")] == [0]

    room = house.rooms("other")
    # The stores of one tenant's room, asked for the other one's: as a defect in a statement would.
    assert await room.index.log_of("acme") is None
    assert await room.index.looks(acme.log_id, 0, 9, []) == []
    assert await room.index.mentions(acme.log_id, [0, 1]) == []
    assert await room.index.position(acme.log_id) == 0
    assert await room.index.received(acme.log_id, [0]) == {}
    assert await room.store.grown_to(acme.log_id, 1) is None
    assert await room.trail.accesses("acme") == []
    with pytest.raises(DatabaseError):
        await room.trail.begin(Reading("acme", ANN, Act.READ, Filter(), 0, 1))
    tables = ("finding", "mention", "access", "access_ended", "growth", "segment", "run", "log")
    with database.connect(Role.CONSOLE) as connection:
        for table in tables:
            connection.execute("SELECT set_config('holdfast.tenant', '', false)")
            assert connection.execute(f"SELECT count(*) FROM ledger.{table}").fetchone() == (0,)
        connection.execute("SELECT set_config('holdfast.tenant', 'nobody', false)")
        for table in tables:
            assert connection.execute(f"SELECT count(*) FROM ledger.{table}").fetchone() == (0,)


@only_postgres
async def test_the_trail_cannot_be_changed(house: House) -> None:
    database = own(house)
    await house.post(house.record())
    await house.desk.page(ANN, "acme", Filter(), limit=5)
    for role in (Role.OWNER, Role.CONSOLE, Role.LEDGER):
        with database.connect(role) as connection:
            for statement in (
                "UPDATE ledger.access SET who = 'nobody'",
                "DELETE FROM ledger.access",
                "TRUNCATE ledger.access_ended",
                "TRUNCATE ledger.access CASCADE",
            ):
                with pytest.raises(psycopg.Error):
                    connection.execute(statement)  # type: ignore[call-overload]
    assert len(await house.desk.accesses("acme")) == 1


@only_postgres
async def test_what_was_pruned_is_left_out_and_said(house: House) -> None:
    database = own(house)
    records = await filled(house, 2.3)
    [log] = await house.following.logs()
    growths = await house.following.growths(log.id, 0, 1)
    assert growths[0].to_size == 1
    await house.follow()
    with database.connect() as connection:
        connection.execute("DELETE FROM ledger.segment WHERE first < 5739")
        kept = connection.execute("SELECT min(first) FROM ledger.segment").fetchone()
    assert kept is not None
    found = await house.all_of(wanted(user="user-7"))
    assert [job.leaf for job in found] == [n for n in range(7, len(records), 500) if n >= kept[0]][::-1]
    page = await house.desk.page(ANN, "acme", wanted(user="user-7"), limit=1000)
    assert (page.pruned_below, page.next) == (kept[0], None)
    trace = await house.tracer.trace(ANN, "acme", wanted(user="user-7"))
    assert trace.pruned_below == kept[0]
    assert all(each.proven and each.proven.holds for each in trace.entries)


@only_postgres
async def test_entries_that_were_pruned_before_they_were_indexed(house: House) -> None:
    database = own(house)
    await filled(house, 1.5)
    with database.connect() as connection:
        connection.execute("DELETE FROM ledger.segment WHERE first < 701")
    await house.follow()
    last = await house.post(house.record(user="late"))
    assert [job.leaf for job in await house.all_of(wanted(user="late"))] == last


@only_postgres
async def test_a_flipped_bit_shows_in_a_trace(house: House) -> None:
    database = own(house)
    await house.post(*(house.record(user="ann", job=f"job {n}") for n in range(5)))
    seen = await house.index.log_of("acme")
    assert seen is not None
    leaves = list(await house.store.entries(seen.log_id, 0, 5))
    leaves[2] = leaves[2].replace(b"job 2", b"job 3")
    from holdfast.ledger.log.tiles import bundle  # noqa: PLC0415

    with database.connect() as connection:
        connection.execute("UPDATE ledger.segment SET entries = %s", [ZstdSegments().pack(bundle(leaves))])
    trace = await house.tracer.trace(ANN, "acme", wanted(user="ann"))
    # Four of them make a perfect tree, which is hashed out of the entries; the fifth is one of its own.
    assert [each.job.leaf for each in trace.broken] == [0, 1, 2, 3]
    assert What.RECORD is trace.entries[0].job.what
