"""What every store of importers' numbers promises, and what an importer makes of it with a log."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from holdfast.adapters.memory.ledger.imports import MemoryImports
from holdfast.adapters.memory.ledger.logs import MemoryLogs
from holdfast.adapters.memory.ledger.sources import MemorySources
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.imports import PostgresImports
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.postgres.ledger.sources import PostgresSources
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.kernel.clock import SystemClock
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.canonical import entry_of
from holdfast.ledger.errors import NotFlushed, NotThere, Unsuitable
from holdfast.ledger.intake.cups import PageLog
from holdfast.ledger.intake.drafts import Draft, Reads
from holdfast.ledger.intake.files import Lines, Mark, marker, shown_of
from holdfast.ledger.intake.importing import EPOCH, Importer, Imports, Outcome
from holdfast.ledger.intake.ndjson import NumberlessRecords
from holdfast.ledger.intake.reading import Sender
from holdfast.ledger.model import Conflict, Reach, Record, Refusal
from holdfast.ledger.persons.persons import Person, Sealed
from holdfast.ledger.ports import LogStore
from holdfast.ledger.sources import SourceKind, Sources

if TYPE_CHECKING:
    from conftest import Database

ADA = "command line (ada)"
KEY = b"k" * 32
ME = Sender("acme", "cups")


@dataclass
class Stores:
    sources: Sources
    imports: Imports
    logs: LogStore


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def stores(database: "Database | None") -> AsyncIterator[Stores]:
    async with _opened(database) as stores:
        await stores.sources.add_tenant("acme", "Acme", "UTC", None, actor=ADA)
        await stores.sources.add_source("acme", "cups", SourceKind.IMPORTER, "CUPS", actor=ADA)
        await stores.sources.add_source("acme", "prints", SourceKind.CLIENT, "Prints", actor=ADA)
        yield stores


@asynccontextmanager
async def _opened(database: "Database | None") -> AsyncIterator[Stores]:
    if database is None:
        sources = MemorySources(SystemClock())
        yield Stores(sources, MemoryImports(sources), MemoryLogs(ZstdSegments()))
        return
    async with open_pool(database.conninfo(Role.LEDGER), "test") as pool:
        yield Stores(PostgresSources(pool), PostgresImports(pool), PostgresLogs(pool, ZstdSegments()))


def mark(n: int, occurrence: int = 0) -> Mark:
    return Mark(n.to_bytes(16, "big"), occurrence)


async def both(log_id: int, leaves: Sequence[int], lsn: int) -> Reach:
    assert log_id
    assert leaves
    assert lsn
    return Reach.TWO_REGIONS


async def seals(persons: Sequence[Person]) -> Mapping[Person, Sealed]:
    return {person: Sealed(f"p-{person.login}", "ab" * 32) for person in persons}


async def importer(stores: Stores, passed: Callable[..., object] = both, **given: object) -> Importer:
    found = await stores.imports.importer(*ME, shown_of(KEY))
    sequencer = Sequencer(
        stores.logs,
        ZstdSegments(),
        origin_of=lambda tenant: f"ledger.example/{tenant}",
        signer_for=lambda origin: Ed25519Signer(origin, bytes(32)),
    )
    return Importer(
        ME, found, stores.imports, stores.logs, sequencer, passed=passed, **{"seals": seals} | given
    )  # type: ignore[arg-type]


def page_log(*jobs: tuple[int, int], user: str = "ada") -> list[Draft]:
    """(number of the job, impressions)."""
    written = "".join(
        f"P1 {user} {job} [20/May/2026:10:00:00 +0000] total {sides} - pc7 report - one-sided\n"
        for job, sides in jobs
    )
    return read(written.encode(), PageLog())


def read(content: bytes, log: Reads) -> list[Draft]:
    found = list[Draft]()
    for line in Lines(io.BytesIO(content), marker(KEY)).read(10**6):
        assert not isinstance(line, Refusal)
        found += [each for each in log.read(line) if isinstance(each, Draft)]
    return found + list(log.settled(datetime(2027, 1, 1, tzinfo=UTC)))


async def in_log(stores: Stores) -> list[Record | Conflict]:
    head = await stores.logs.head("acme")
    if head is None:
        return []
    return [entry_of(leaf) for leaf in await stores.logs.entries(head.log_id, 0, head.edge.size)]


async def told(stores: Stores) -> list[tuple[int, str, int]]:
    """(number, job, impressions) of the log's entries, by number: none twice."""
    found = [entry for entry in await in_log(stores) if isinstance(entry, Record)]
    seqs = [entry.seq for entry in found]
    assert len(set(seqs)) == len(seqs)
    assert {entry.epoch for entry in found} <= {EPOCH}
    return sorted((entry.seq, entry.job, int(entry.mono_impressions or 0)) for entry in found)


# --- numbers


async def test_numbers_are_given_once_in_order_and_without_gaps(stores: Stores) -> None:
    found = await stores.imports.importer(*ME, b"s" * 16)
    assert await stores.imports.numbers(found, [mark(1)]) == [None]
    assert list(await stores.imports.numbered(found, [mark(7), mark(3), mark(7, 1)])) == [1, 2, 3]
    assert list(await stores.imports.numbered(found, [mark(9), mark(7), mark(1), mark(9)])) == [4, 1, 5, 4]
    assert list(await stores.imports.numbers(found, [mark(3), mark(2), mark(9)])) == [2, None, 4]
    assert list(await stores.imports.numbered(found, [])) == []
    assert await stores.imports.importer(*ME, b"s" * 16) == found


async def test_two_sources_have_numbers_of_their_own(stores: Stores) -> None:
    await stores.sources.add_source("acme", "other", SourceKind.IMPORTER, "x", actor=ADA)
    one = await stores.imports.importer("acme", "cups", b"s" * 16)
    two = await stores.imports.importer("acme", "other", b"s" * 16)
    assert one != two
    assert list(await stores.imports.numbered(one, [mark(1), mark(2)])) == [1, 2]
    assert list(await stores.imports.numbered(two, [mark(2), mark(1)])) == [1, 2]


async def test_two_give_numbers_to_the_same_lines_at_once(stores: Stores) -> None:
    found = await stores.imports.importer(*ME, b"s" * 16)
    marks = [mark(n) for n in range(50)]
    given = await asyncio.gather(
        *(stores.imports.numbered(found, marks[::step]) for step in (1, -1, 1, -1)),
    )
    assert list(given[0]) == list(given[1])[::-1] == list(given[2]) == list(given[3])[::-1]
    assert sorted(given[0]) == list(range(1, 51))


async def test_only_an_importer_in_force_has_numbers_and_under_one_key(stores: Stores) -> None:
    for tenant, source in (("acme", "nothing"), ("nobody", "cups"), ("acme", "prints")):
        with pytest.raises(NotThere):
            await stores.imports.importer(tenant, source, b"s" * 16)
    await stores.imports.importer(*ME, b"s" * 16)
    with pytest.raises(Unsuitable, match="another pseudonym key"):
        await stores.imports.importer(*ME, b"t" * 16)
    await stores.sources.revoke_source(*ME, actor=ADA)
    with pytest.raises(NotThere):
        await stores.imports.importer(*ME, b"s" * 16)


# --- the importer


async def test_a_file_that_is_read_again_changes_nothing(stores: Stores) -> None:
    jobs = [(n, 1 + n % 5) for n in range(1, 601)]
    first = await (await importer(stores)).take(page_log(*jobs))
    assert (len(first.taken), first.size, first.reach) == (600, 600, Reach.TWO_REGIONS)
    assert first.taken[0] == (1, 0)
    again = await (await importer(stores)).take(page_log(*jobs))
    assert (again.repeated, again.taken, again.otherwise) == (600, [], [])
    assert again.reach is Reach.TWO_REGIONS
    more = await (await importer(stores)).take(page_log(*jobs[300:], (601, 9)))
    assert (more.repeated, len(more.taken)) == (300, 1)
    assert await told(stores) == [(n, f"P1-{n}", sides) for n, (_, sides) in enumerate([*jobs, (601, 9)], 1)]


async def test_the_first_file_of_a_log_may_say_the_same_twice(stores: Stores) -> None:
    taking = await importer(stores)
    for _ in range(3):
        outcome = await taking.take(page_log((1, 1), (2, 2)))
    assert (outcome.repeated, outcome.taken, outcome.reach) == (2, [], Reach.TWO_REGIONS)


async def test_the_login_is_in_no_leaf(stores: Stores) -> None:
    await (await importer(stores)).take(page_log((1, 1), user="lovelace"))
    await (await importer(stores, seals=None)).take(page_log((2, 1), user="lovelace"))
    one, two = await in_log(stores)
    assert isinstance(one, Record)
    assert isinstance(two, Record)
    assert (one.user, one.person) == ("p-lovelace", "ab" * 32)
    assert not two.user
    assert not two.person


async def test_who_dies_before_appending_leaves_numbers_that_are_found_again(stores: Stores) -> None:
    drafts = page_log(*((n, 2) for n in range(1, 21)))
    found = await stores.imports.importer(*ME, shown_of(KEY))
    await stores.imports.numbered(found, [draft.mark for draft in drafts[:10]])  # and then it was killed
    later = await (await importer(stores)).take(page_log((99, 3)))
    assert len(later.taken) == 1
    outcome = await (await importer(stores)).take(drafts)
    assert (len(outcome.taken), outcome.repeated) == (20, 0)
    assert [seq for seq, *_ in await told(stores)] == list(range(1, 22))


async def test_who_dies_after_appending_repeats_nothing(stores: Stores) -> None:
    async def away(log_id: int, leaves: Sequence[int], lsn: int) -> Reach:
        asked.append(list(leaves))
        raise NotFlushed(f"nobody has flushed {lsn} of {log_id}")

    asked = list[list[int]]()
    drafts = page_log((1, 1), (2, 2))
    for _ in range(2):  # and what is there already is not acknowledged either
        with pytest.raises(NotFlushed):
            await (await importer(stores, away)).take(drafts)
    assert asked == [[0, 1], [0, 1]]
    assert (await (await importer(stores)).take(drafts)).repeated == 2
    assert len(await told(stores)) == 2


async def test_two_read_the_same_file_at_once(stores: Stores) -> None:
    await (await importer(stores)).take(page_log((999, 1)))
    drafts = page_log(*((n, 2) for n in range(1, 201)))
    readers = [await importer(stores) for _ in range(4)]

    async def by(reader: Importer) -> list[Outcome]:
        return [await reader.take(drafts[at : at + 50]) for at in range(0, 200, 50)]

    outcomes = [each for found in await asyncio.gather(*map(by, readers)) for each in found]
    assert not [conflict for each in outcomes for conflict in each.conflicts]
    assert sum(len(each.taken) for each in outcomes) == 200
    assert sum(each.repeated for each in outcomes) == 600
    assert [seq for seq, *_ in await told(stores)] == list(range(1, 202))


async def test_a_line_that_is_read_otherwise_is_told_and_makes_no_conflict(stores: Stores) -> None:
    await (await importer(stores)).take(page_log(*((n, 2) for n in range(1, 301))))
    same_lines = [
        Draft(draft.line, draft.mark, {**draft.told, "mono_impressions": 7}, draft.person)
        for draft in page_log(*((n, 2) for n in range(1, 301)))
        if draft.line in {5, 300}
    ]
    outcome = await (await importer(stores)).take(same_lines)
    assert [(refusal.line, "leaf 4" in refusal.reason) for refusal in outcome.otherwise] == [
        (5, True),
        (300, False),
    ]
    assert (outcome.repeated, outcome.taken, outcome.conflicts) == (0, [], [])
    assert len(await in_log(stores)) == 300


async def test_what_is_refused_takes_no_number(stores: Stores) -> None:
    lines = [
        {
            "job": "1",
            "kind": "scan",
            "occurred_at": "2026-05-20T10:00:00Z",
            "status": "completed",
            "scan_pages": 3,
        },
        {"job": "2", "kind": "scan", "occurred_at": "2026-05-20T10:00:00Z", "status": "done"},
        {
            "job": "3",
            "kind": "scan",
            "occurred_at": "2026-05-20T10:00:00Z",
            "status": "completed",
            "scan_pages": -1,
        },
        {"job": "4", "kind": "scan", "occurred_at": "2026-05-20T10:00:00", "status": "completed"},
        {
            "job": "5",
            "kind": "scan",
            "occurred_at": "2026-05-20T10:00:00Z",
            "status": "completed",
            "what": "conflict",
        },
        {
            "job": "6",
            "kind": "fax",
            "occurred_at": "2026-05-20T10:00:00Z",
            "status": "failed",
            "person": {"login": ""},
        },
        {
            "job": "7",
            "kind": "fax",
            "occurred_at": "2026-05-20T10:00:00Z",
            "status": "failed",
            "person": {"login": "a"},
        },
        {
            "job": "8",
            "kind": "fax",
            "occurred_at": "2026-05-20T10:00:00Z",
            "status": "failed",
            "cost_centre": "x\0",
        },
        {
            "job": "9",
            "kind": "fax",
            "occurred_at": "2026-05-20T10:00:00Z",
            "status": "failed",
            "prices": {f"{n}{'x' * 190}": {"amount": 1, "currency": "EUR"} for n in range(40)},
        },
    ]
    drafts = read("".join(json.dumps(line) + "\n" for line in lines).encode(), NumberlessRecords(*ME))
    taking = await importer(stores)
    seen = await taking.looked_at(drafts)
    assert [line for line, _ in seen.taken] == [1, 7]
    assert not await in_log(stores)
    outcome = await taking.take(drafts)
    assert [refusal.line for refusal in outcome.refused] == [2, 3, 4, 5, 6, 8, 9]
    assert [(seq, job) for seq, job, _ in await told(stores)] == [(1, "1"), (2, "7")]


async def test_a_dry_run_writes_nothing_and_tells_the_same(stores: Stores) -> None:
    drafts = page_log((1, 1), (2, 2), (3, 3))
    await (await importer(stores)).take(drafts[:1])
    looked = await (await importer(stores)).looked_at(drafts)
    assert (looked.repeated, [line for line, _ in looked.taken]) == (1, [2, 3])
    assert len(await in_log(stores)) == 1
    assert len((await (await importer(stores)).take(drafts)).taken) == 2


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("[]", "no JSON object"),
        ("{", "truncated"),
        ('{"seq": 4}', "its own seq"),
        ('{"epoch": 4}', "its own epoch"),
        ('{"tenant": "other"}', "of another tenant"),
        ('{"source": "prints"}', "of another source"),
        ('{"user": "p-1", "person": {"login": "ada"}}', "both"),
        ("[" * 20_000 + "]" * 20_000, ""),
        ("[" * 7_000 + "]" * 7_000, "nested too deeply"),
        ('{"job": "\xff', ""),
    ],
)
def test_malformed_ndjson(line: str, why: str) -> None:
    content = io.BytesIO(line.encode("latin-1") + b"\n")
    [found] = Lines(content, marker(KEY)).read(10)
    if not isinstance(found, Refusal):
        [refusal] = NumberlessRecords(*ME).read(found)
        assert isinstance(refusal, Refusal)
        assert why in refusal.reason
