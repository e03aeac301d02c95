"""What every log of evidence promises, in memory and on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import psycopg.errors as pg
import pytest
from psycopg.types.json import Jsonb
from tests.recorded import BEGAN, ORIGIN, SIGNER, a_remark, a_run, an_evidence

from holdfast.adapters.memory.evidence import MemoryEvidence, MemoryTold
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.recovery.evidence import PostgresEvidence, PostgresTold
from holdfast.adapters.signing.ed25519 import verifies
from holdfast.bootstrap.recovery.sealing import check_log, seal_with
from holdfast.kernel.errors import HoldfastError
from holdfast.recovery.errors import EvidenceRefused
from holdfast.recovery.evidence import canonical, entry_of
from holdfast.recovery.evidence_ports import EvidenceLog, Grown, ToldOnce, Why, leaf_hash
from holdfast.recovery.model import Run, RunState

if TYPE_CHECKING:
    from conftest import Database

SEAL = seal_with(SIGNER)


@dataclass
class EvidenceLogs:
    """The log as two processes have it, and a way to have runs there."""

    log: EvidenceLog
    beside: EvidenceLog
    put_run: Callable[[Run], None]


@pytest.fixture(params=["memory", "postgres"])
def kept_in(request: pytest.FixtureRequest) -> "Database | None":
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def logs(kept_in: "Database | None") -> AsyncIterator[EvidenceLogs]:
    if kept_in is None:
        runs = list[Run]()
        memory = MemoryEvidence(lambda: datetime.now(UTC), lambda: runs)
        yield EvidenceLogs(memory, memory, runs.append)
        return

    def put_run(run: Run) -> None:
        with kept_in.connect() as connection:
            connection.execute(
                "INSERT INTO recovery.run (id, subject, playbook, moves_traffic, state, run)"
                " VALUES (%s, %s, %s, false, %s, %s)",
                (run.id, run.subject, run.playbook.name, run.state.value, Jsonb(msgspec.to_builtins(run))),
            )

    async with AsyncExitStack() as stack:
        conninfo = kept_in.conninfo(Role.RECOVERY)
        pools = [await stack.enter_async_context(open_pool(conninfo, "evidence")) for _ in range(2)]
        yield EvidenceLogs(PostgresEvidence(pools[0]), PostgresEvidence(pools[1]), put_run)


async def test_what_is_kept_is_read_back_in_order(logs: EvidenceLogs) -> None:
    first, second = an_evidence("r1"), an_evidence("r2")

    one = await logs.log.append(first, SEAL)
    two = await logs.log.append(second, SEAL)
    three = await logs.log.append(a_remark(first.id), SEAL)

    assert [each.leaf for each in (one, two, three)] == [0, 1, 2]
    assert entry_of(one.content) == first
    assert await logs.beside.entries() == [one, two, three]
    assert await logs.beside.entries(first=1, most=1) == [two]
    assert await logs.beside.get(second.id) == two
    assert await logs.beside.get("nothing") is None
    assert await logs.beside.about(first.id) == [three]
    assert await logs.beside.about(second.id) == []
    assert one.at.tzinfo is not None


async def test_every_checkpoint_is_over_the_leaves_up_to_its_own(logs: EvidenceLogs) -> None:
    for number in range(5):
        await logs.log.append(an_evidence(f"r{number}"), SEAL)

    found = check_log(await logs.log.entries(), ORIGIN, [SIGNER.key], verifies)

    assert (found.problems, found.size, found.signed) == ([], 5, 5)


async def test_the_same_recorded_twice_is_one_and_stays_as_it_was(logs: EvidenceLogs) -> None:
    one = await logs.log.append(an_evidence("r1"), SEAL)
    later = msgspec.structs.replace(an_evidence("r1"), recorded_at=BEGAN + timedelta(days=1))

    again = await logs.beside.append(later, SEAL)

    assert again == one
    assert len(await logs.log.entries()) == 1


async def test_two_that_record_at_once_neither_fork_nor_leave_a_gap(logs: EvidenceLogs) -> None:
    entries = [an_evidence(f"r{number % 7}") for number in range(20)]
    where = [logs.log, logs.beside]

    await asyncio.gather(*(where[at % 2].append(each, SEAL) for at, each in enumerate(entries)))

    found = check_log(await logs.log.entries(), ORIGIN, [SIGNER.key], verifies)
    assert (found.problems, found.size) == ([], 7)


async def test_when_it_cannot_be_signed_nothing_is_kept(logs: EvidenceLogs) -> None:
    def no_key(hashes: bytes) -> str:
        raise EvidenceRefused("the key is away")

    with pytest.raises(EvidenceRefused):
        await logs.log.append(an_evidence("r1"), no_key)

    assert await logs.log.entries() == []
    assert (await logs.log.append(an_evidence("r1"), SEAL)).leaf == 0


async def test_the_newest_of_a_subject_and_a_scenario(logs: EvidenceLogs) -> None:
    print_ = await logs.log.append(an_evidence("r1"), SEAL)
    other = await logs.log.append(an_evidence("r2", subject="scan"), SEAL)
    outage = await logs.log.append(an_evidence("r3", name="drill-region-outage"), SEAL)
    await logs.log.append(a_remark(print_.id), SEAL)

    assert await logs.log.newest(10) == [outage, other, print_]
    assert await logs.log.newest(1) == [outage]
    assert await logs.log.newest(10, subject="print") == [outage, print_]
    assert await logs.log.newest(10, subject="print", scenario="restore") == [print_]
    assert await logs.log.newest(10, before=outage.leaf) == [other, print_]
    assert await logs.log.newest(1, before=outage.leaf, subject="print") == [print_]
    assert await logs.log.newest(10, before=0) == []
    assert await logs.log.newest(10, scenario="corruption") == []


async def test_when_something_was_drilled_last_only_what_passed_counts(logs: EvidenceLogs) -> None:
    day = timedelta(days=1)
    await logs.log.append(an_evidence("r1"), SEAL)
    await logs.log.append(an_evidence("r2", at=BEGAN + day), SEAL)
    await logs.log.append(an_evidence("r3", at=BEGAN + 2 * day, state=RunState.CANCELLED), SEAL)
    await logs.log.append(an_evidence("r4", at=BEGAN + 3 * day, found={"rto_s": "86400"}), SEAL)

    assert await logs.log.last_drilled("print", "restore") == BEGAN + day + timedelta(seconds=20)
    assert await logs.log.last_drilled("print", "corruption") is None
    assert await logs.log.last_drilled("scan", "restore") is None


async def test_runs_that_are_over_and_have_no_evidence(logs: EvidenceLogs) -> None:
    for number, state in enumerate([*RunState]):
        logs.put_run(a_run(f"r{number}-{state.name}", state=state))
    over = [f"r{at}-{state.name}" for at, state in enumerate(RunState) if state.is_over]

    assert await logs.log.unrecorded(10) == over
    assert await logs.log.unrecorded(1) == over[:1]
    await logs.log.append(an_evidence(over[0]), SEAL)
    assert await logs.beside.unrecorded(10) == over[1:]


async def test_how_far_the_log_has_come_and_is_cosigned(logs: EvidenceLogs) -> None:
    assert await logs.log.grown() == Grown()
    first = await logs.log.append(an_evidence("r1"), SEAL)
    grown = await logs.beside.grown()
    assert (grown.size, grown.note, grown.unseen, grown.unseen_since) == (1, first.note, 1, first.at)
    assert (grown.cosigned, grown.waiting) == (None, None)

    second = await logs.log.append(an_evidence("r2"), SEAL)
    await logs.log.keep_cosigned(1, "cosigned once")
    await logs.beside.keep_cosigned(1, "cosigned twice")
    grown = await logs.beside.grown()
    assert grown.cosigned is not None
    assert (grown.cosigned.size, grown.cosigned.note) == (1, "cosigned once")
    assert (grown.size, grown.note, grown.unseen, grown.unseen_since) == (2, second.note, 1, second.at)

    await logs.log.keep_cosigned(2, "all of it")
    grown = await logs.beside.grown()
    assert (grown.unseen, grown.unseen_since) == (0, None)
    assert [(each.size, each.note) for each in await logs.beside.cosigned()] == [
        (1, "cosigned once"),
        (2, "all of it"),
    ]
    assert await logs.beside.hashes() == leaf_hash(first.content) + leaf_hash(second.content)


async def test_why_cosigning_waits_is_told_until_it_goes_on(logs: EvidenceLogs) -> None:
    await logs.log.append(an_evidence("r1"), SEAL)

    await logs.log.keep_waiting(Why.AWAY, "no answer")
    before = (await logs.beside.grown()).waiting
    await logs.beside.keep_waiting(Why.AWAY, "no answer, in other words")
    assert (await logs.log.grown()).waiting == before
    assert before is not None
    assert (before.why, before.text) == (Why.AWAY, "no answer")

    await logs.beside.keep_waiting(Why.FORK, "another log")
    other = (await logs.log.grown()).waiting
    assert other is not None
    assert (other.why, other.text) == (Why.FORK, "another log")
    assert other.since >= before.since

    await logs.beside.keep_cosigned(1, "all of it")
    assert (await logs.log.grown()).waiting is None


async def test_what_was_cosigned_is_journalled_and_stays(migrated_database: "Database") -> None:
    async with open_pool(migrated_database.conninfo(Role.RECOVERY), "evidence") as pool:
        log = PostgresEvidence(pool)
        await log.append(an_evidence("r1"), SEAL)
        for _ in range(2):
            await log.keep_waiting(Why.AWAY, "no answer")
        for _ in range(2):
            await log.keep_cosigned(1, "all of it")
        with pytest.raises(HoldfastError):
            await log.keep_cosigned(2, "of what is not there")
    with migrated_database.connect() as owner:
        told = owner.execute("SELECT event, facts FROM holdfast.journal ORDER BY id").fetchall()
        for statement in (
            "UPDATE recovery.evidence_cosigned SET note = ''",
            "DELETE FROM recovery.evidence_cosigned",
            "TRUNCATE recovery.evidence_cosigned",
        ):
            with pytest.raises(pg.RestrictViolation):
                owner.execute(statement)
    assert [event for event, _ in told] == [
        "evidence.recorded",
        "evidence.cosigning_waits",
        "evidence.cosigned",
        "evidence.cosigning_goes_on",
    ]
    assert told[1][1] == {"reason": "witness_away", "text": "no answer"}
    for role in (Role.CONSOLE, Role.CONTROLLER, Role.SITE, Role.BACKUP):
        with migrated_database.connect(role) as other, pytest.raises(pg.InsufficientPrivilege):
            other.execute("INSERT INTO recovery.evidence_cosigned (leaf, note) VALUES (0, '')")


async def test_the_database_lets_nobody_change_or_leave_out_a_leaf(migrated_database: "Database") -> None:
    async with open_pool(migrated_database.conninfo(Role.RECOVERY), "evidence") as pool:
        kept = await PostgresEvidence(pool).append(an_evidence("r1"), SEAL)
    with migrated_database.connect() as owner:
        for statement in (
            "UPDATE recovery.evidence SET note = ''",
            "DELETE FROM recovery.evidence",
            "TRUNCATE recovery.evidence CASCADE",
        ):
            with pytest.raises(pg.RestrictViolation):
                owner.execute(statement)
    row = "INSERT INTO recovery.evidence (leaf, id, run, subject, scenario, drill, passed, content, note)"
    with migrated_database.connect(Role.RECOVERY) as recovery:
        with pytest.raises(pg.CheckViolation, match="not the next one"):
            recovery.execute(f"{row} VALUES (7, 'x', 'r7', 's', 's', true, true, '', '')")
        with pytest.raises(pg.InsufficientPrivilege):
            recovery.execute("UPDATE recovery.evidence SET note = ''")
        told = recovery.execute("SELECT hash, content FROM recovery.evidence").fetchall()
    for role in (Role.CONSOLE, Role.CONTROLLER, Role.SITE, Role.BACKUP):
        with migrated_database.connect(role) as other, pytest.raises(pg.InsufficientPrivilege):
            other.execute(f"{row} VALUES (1, 'x', 'r7', 's', 's', true, true, '', '')")
    assert [(bytes(hash_), bytes(content)) for hash_, content in told] == [
        (leaf_hash(kept.content), canonical(an_evidence("r1")))
    ]


async def test_a_public_page_sees_figures_and_nobodys_name(migrated_database: "Database") -> None:
    async with open_pool(migrated_database.conninfo(Role.RECOVERY), "evidence") as pool:
        await PostgresEvidence(pool).append(an_evidence("r1"), SEAL)
    with migrated_database.connect(Role.SITE) as site:
        with pytest.raises(pg.InsufficientPrivilege):
            site.execute("SELECT content FROM recovery.evidence")
        [row] = site.execute(
            "SELECT subject, scenario, passed, data_bytes, rpo_measured_ms, rto_contract_ms, rpo_target_ms"
            " FROM recovery.drilled"
        ).fetchall()
    assert row == ("print", "restore", True, 1_048_576, 1_250, 1_800_000, 5_000)


async def test_what_was_told_once_is_told_no_more_by_anybody(kept_in: "Database | None") -> None:
    async with AsyncExitStack() as stack:
        if kept_in is None:
            one: ToldOnce = MemoryTold()
            other: ToldOnce = one
        else:
            conninfo = kept_in.conninfo(Role.RECOVERY)
            one, other = [
                PostgresTold(await stack.enter_async_context(open_pool(conninfo, "telling")))
                for _ in range(2)
            ]
        firsts = await asyncio.gather(
            *(each.first("a", "recovery.drill_failed", {}) for each in [one, other] * 4)
        )

        assert sum(firsts) == 1
        assert not await other.first("a", "recovery.drill_failed", {})
        assert await other.first("b", "recovery.drill_failed", {"evidence": "b"})
    if kept_in is not None:
        with kept_in.connect() as connection:
            rows = connection.execute(
                "SELECT facts FROM holdfast.journal WHERE event = 'recovery.drill_failed' ORDER BY id"
            ).fetchall()
        assert [facts for (facts,) in rows] == [{}, {"evidence": "b"}]
