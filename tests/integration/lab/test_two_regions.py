"""The two-region lab, in one piece and in pieces: what users and operators see of it."""

import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dns.asyncquery
import dns.message
import dns.rdatatype
import psycopg
import pytest
from tests.two_regions import TwoRegions, until

from holdfast.adapters.patroni.rest import ask
from holdfast.adapters.postgres.server.process import processes_of as servers_of
from holdfast.lab import Damage, PartState, processes
from holdfast.lab.errors import UnsupportedError, WrongDamageError
from holdfast.lab.regions import layout as at
from holdfast.lab.regions import shim
from holdfast.lab.regions.faults import JUMP_S
from holdfast.lab.regions.layout import REGIONS
from holdfast.recovery.errors import ComesLate, StepFailed
from holdfast.recovery.ports import Fence

pytestmark = pytest.mark.timeout(900)  # a busy machine starts a region in minutes


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoRegions]:
    """Started once: each test leaves it whole, and whichever region leads may lead."""
    found = TwoRegions(tmp_path_factory.mktemp("holdfast") / "regions")
    try:
        asyncio.run(found.lab.up())
        yield found
    finally:
        asyncio.run(found.again().down())
        assert found.processes() == {}


def other(region: str) -> str:
    return next(each for each in REGIONS if each != region)


async def test_it_is_small_and_everything_runs(regions: TwoRegions) -> None:
    assert {status.state for status in await regions.lab.status()} == {PartState.RUNNING}
    assert regions.memory_bytes() < 1_500_000_000
    assert await regions.paired() == "a"
    before = await regions.lab.status()
    assert await regions.again().up() == before, "up again touches nothing that runs"


async def test_both_edges_serve_the_same_service(regions: TwoRegions) -> None:
    for edge in REGIONS:
        assert await regions.add(f"via-{edge}", edge)
    for edge in REGIONS:
        assert {"via-a", "via-b"} <= await regions.members(edge)


async def test_nothing_secret_stands_on_a_command_line_or_is_readable(regions: TwoRegions) -> None:
    folder = regions.directory / "secrets"
    secrets = [
        file.read_text().strip()
        for file in folder.iterdir()
        if not file.name.endswith((".json", ".yaml", ".conninfo"))
    ]
    assert len(secrets) >= 7
    lines = " ".join(regions.processes().values())
    assert "patroni" in lines or "clocked" in lines
    assert not [secret for secret in secrets if secret in lines]
    assert regions.mode_of_everything() == []
    assert all(file.stat().st_mode & 0o077 == 0 for file in folder.iterdir())


async def test_the_name_is_answered_over_udp_and_tcp(regions: TwoRegions) -> None:
    host, port = regions.lab.layout.outer("w"), regions.lab.layout.port(at.DNS)
    question = dns.message.make_query(at.NAME, "A")
    for by in (dns.asyncquery.udp, dns.asyncquery.tcp):
        answer = await by(question, host, timeout=60, port=port)
        assert [rdata.to_text() for rdata in answer.answer[0]] == ["127.0.1.1"]


async def test_a_killed_database_is_started_again_by_patroni(regions: TwoRegions) -> None:
    leader = await regions.paired()
    before = servers_of(regions.lab.layout.data(leader))
    await regions.lab.break_("database")
    assert await regions.lab.heal("database")

    async def back() -> bool:
        return await regions.add("after-the-database")

    await until(back, "writes again")
    assert not set(before) & set(servers_of(regions.lab.layout.data(leader)))
    await regions.paired()


async def test_a_replica_that_dies_is_started_again(regions: TwoRegions) -> None:
    async def two_are_ready() -> bool:
        told = await regions.get("a", "/replicas", at.SUPERVISOR)
        return told.content.get("ready") == [1, 2]

    await until(two_are_ready, "two replicas")
    victim = next(
        process
        for process, marks in processes.find_by_environment("HOLDFAST_LAB", str(regions.directory.resolve()))
        if marks.get("HOLDFAST_LAB_PART") == "a-replica-1"
    )
    os.kill(victim.pid, 9)

    async def another() -> bool:
        found = processes.find_by_environment("HOLDFAST_LAB", str(regions.directory.resolve()))
        fresh = [p for p, marks in found if marks.get("HOLDFAST_LAB_PART") == "a-replica-1"]
        return bool(fresh and fresh[0] != victim) and await two_are_ready()

    await until(another, "a new replica")


async def test_replicas_are_scaled_and_late_orders_refused(regions: TwoRegions) -> None:
    assert (await regions.replicas("b", 3, [5, 2])).status == 200
    for late in ([5, 1], [4, 9]):
        refused = await regions.replicas("b", 1, late)
        assert (refused.status, refused.content["fence"]) == (409, [5, 2])
    assert (await regions.replicas("b", 99, [5, 3])).status == 400

    async def three() -> bool:
        return (await regions.get("b", "/replicas", at.SUPERVISOR)).content.get("ready") == [1, 2, 3]

    await until(three, "three replicas")
    assert (await regions.replicas("b", 2, [5, 3])).status == 200

    async def two() -> bool:
        return (await regions.get("b", "/replicas", at.SUPERVISOR)).content.get("running") == [1, 2]

    await until(two, "two replicas")


async def test_a_lost_region_costs_no_acknowledged_write(regions: TwoRegions) -> None:
    """Everything in the leading region is killed; the witness lets go of its lock; the other takes over."""
    lost = await regions.paired()
    kept = other(lost)
    acknowledged, number = set(), 0
    for edge in REGIONS:
        await regions.route(edge, lost)
    for number in range(20):
        if await regions.add(f"before-{number}", lost):
            acknowledged.add(f"before-{number}")
    assert len(acknowledged) == 20
    statuses = await regions.lab.break_(f"region-{lost}")
    assert {status.state for status in statuses} == {PartState.BROKEN}
    assert servers_of(regions.lab.layout.data(lost)) == []
    assert not (regions.lab.layout.folder(lost) / "objects").exists()
    cluster = regions.cluster()
    told = await cluster.told()
    assert lost not in told
    lock = told["witness"].lock
    assert lock is not None
    assert lock.region == lost
    await cluster.release(lock, Fence("run", 7, 1))
    with pytest.raises(ComesLate):
        await cluster.release(lock, Fence("late", 6, 9))
    await regions.route(kept, kept)

    async def writes() -> bool:
        return await regions.add("after", kept)

    await until(writes, "writes in the other region")
    assert acknowledged | {"after"} <= await regions.members(kept)
    await until(cluster.parted, "where the timelines parted")
    assert all(lsn > 0 for lsn in (await cluster.parted()).values())

    await regions.lab.heal(f"region-{lost}")
    assert await regions.paired() == kept, "nothing goes back by itself"
    assert (regions.lab.layout.folder(lost) / "objects").is_dir()


async def test_a_planned_switchover_is_fenced_and_named(regions: TwoRegions) -> None:
    leader = await regions.paired()
    cluster = regions.cluster()
    lock = (await cluster.told())["witness"].lock
    assert lock is not None
    with pytest.raises(StepFailed, match="does not switch over"):
        await cluster.switch_over(type(lock)("nobody", None), other(leader), Fence("run", 8, 1))
    with pytest.raises(ComesLate):
        await cluster.switch_over(lock, other(leader), Fence("late", 7, 1))
    await cluster.switch_over(lock, other(leader), Fence("run", 8, 2))
    await cluster.switch_over(lock, other(leader), Fence("run", 8, 3))  # once more does nothing
    assert await regions.paired() == other(leader)


async def test_a_lost_disk_comes_back_as_a_copy(regions: TwoRegions) -> None:
    leader = await regions.paired()
    standby = other(leader)
    assert await regions.add("before-the-disk", leader)
    await regions.lab.break_(f"{standby}-disk")
    assert not regions.lab.layout.data(standby).exists()
    assert f"{standby}-disk" in [status.name for status in await regions.lab.status()]
    await regions.lab.heal("disk")
    assert await regions.paired() == leader
    assert f"{standby}-disk" not in [status.name for status in await regions.lab.status()]
    assert regions.lab.layout.data(standby).is_dir()


async def test_up_heals_whatever_is_broken(regions: TwoRegions) -> None:
    """Several things at once, one of which needs another: a disk is healed when the witness is back."""
    leader = await regions.paired()
    await regions.lab.break_(f"{other(leader)}-disk")
    await regions.lab.break_("w-clock", Damage.FORWARD)
    await regions.lab.break_("witness")
    await regions.lab.break_("a-edge", Damage.HANG)
    await regions.lab.break_("dns", Damage.STOP)
    broken = {status.name for status in await regions.lab.status() if status.state is not PartState.RUNNING}
    assert broken == {f"{other(leader)}-disk", f"{other(leader)}-node", "w-clock", "witness", "a-edge", "dns"}
    assert {status.state for status in await regions.again().up()} == {PartState.RUNNING}
    assert await regions.paired() == leader


async def test_a_frozen_region_answers_nobody_and_wakes(regions: TwoRegions) -> None:
    standby = other(await regions.paired())
    statuses = await regions.lab.break_(f"{standby}-node", Damage.HANG)
    assert [status.state for status in statuses] == [PartState.HANGING]
    assert standby not in await regions.cluster().told()
    await regions.lab.heal("node")
    await until(lambda: _told(regions, standby), "its node answers")
    await regions.paired()


async def _told(regions: TwoRegions, region: str) -> bool:
    return region in await regions.cluster().told()


async def test_losing_the_witness_alone_changes_nothing_for_users(regions: TwoRegions) -> None:
    leader = await regions.paired()
    await regions.lab.break_("witness")
    for number in range(10):
        assert await regions.add(f"without-a-witness-{number}", leader)
    with pytest.raises(StepFailed):
        await regions.cluster().release((await regions.cluster().told())[leader].lock, Fence("r", 9, 1))  # type: ignore[arg-type]
    await regions.lab.heal("witness")
    assert await regions.paired() == leader


async def test_the_clock_of_a_voter_jumps_and_comes_back(regions: TwoRegions) -> None:
    await regions.paired()
    before = (await regions.view())["leader"]
    assert isinstance(before, dict)
    await regions.lab.break_("w-clock", Damage.BACK)

    async def is_behind() -> bool:
        leader = (await regions.view())["leader"]
        return isinstance(leader, dict) and leader["expires_in_s"] > 200

    await until(is_behind, "the witness's clock is five minutes behind")
    assert await regions.add("while-the-clock-was-wrong")
    await regions.lab.heal("w-clock")

    async def is_right() -> bool:
        leader = (await regions.view())["leader"]
        return isinstance(leader, dict) and leader["expires_in_s"] < 60

    await until(is_right, "the witness's clock is right")
    await regions.paired()


async def test_the_clock_of_a_region_is_wrong_for_all_that_runs_there(regions: TwoRegions) -> None:
    leader = await regions.paired()
    await regions.route(leader, leader)
    # Without a compiler the lab sets the voters' clock alone.
    wrong = 0 if shim.built(regions.directory) is None else -JUMP_S
    connection = await regions.superuser()
    try:
        await regions.lab.break_(f"{leader}-clock", Damage.BACK)

        async def database() -> bool:
            [[told]] = await (await connection.execute("SELECT clock_timestamp()")).fetchall()
            assert isinstance(told, datetime)
            return abs((told - datetime.now(UTC)).total_seconds() - wrong) < 60

        async def service() -> bool:
            url = regions.url(leader, at.EDGE, "/jobs")
            body = {"owner": "ada", "title": "by a wrong clock"}
            answer = await ask("POST", url, timedelta(seconds=5), body=body)
            if answer.status != 201:
                return False
            submitted = datetime.fromisoformat(str(answer.content["submitted_at"]))
            return abs((submitted - datetime.now(UTC)).total_seconds() - wrong) < 60

        await until(database, "PostgreSQL's clock is wrong")
        await until(service, "the clock of the service's replicas is wrong")
    finally:
        await connection.close()
    assert await regions.add("while-a-region-was-wrong", leader)
    await regions.lab.heal(f"{leader}-clock")
    healed = await regions.paired()

    async def writes() -> bool:
        return await regions.add("after-a-region-was-wrong", healed)

    await until(writes, "writes, with the clock right again")
    both = {"while-a-region-was-wrong", "after-a-region-was-wrong"}
    assert both <= await regions.members(healed)


async def test_links_cannot_be_cut_in_a_lab_without_links(regions: TwoRegions) -> None:
    with pytest.raises(UnsupportedError, match="no links to cut"):
        await regions.lab.break_("link")
    with pytest.raises(WrongDamageError):
        await regions.lab.break_("disk", Damage.CUT)
    assert {status.state for status in await regions.lab.status()} == {PartState.RUNNING}


async def test_data_is_damaged_as_it_happens(regions: TwoRegions) -> None:
    """Last of all: nothing here puts the jobs right again."""
    leader = await regions.paired()
    async with await regions.superuser() as connection:
        await connection.execute(
            "insert into job (id, owner, title, pages, via, submitted_at) "
            "select gen_random_uuid(), 'ada', 'Invoice', 3, 'test', now() from generate_series(1, 2000)"
        )
    await regions.lab.break_("data")
    async with await regions.superuser() as connection:
        rows = await (await connection.execute("select distinct owner, pages from job")).fetchall()
    assert rows == [("nobody", 1)]
    await regions.lab.break_("data", Damage.FLIP)
    await regions.lab.break_(
        "database"
    )  # what is in memory is still right: only a fresh look at the file tells

    async def damage_shows() -> bool:
        try:
            async with await regions.superuser() as connection:
                await connection.execute("select count(*) from job")
        except psycopg.OperationalError:
            return False  # not back yet
        except psycopg.errors.DataCorrupted:
            return True
        return False

    await until(damage_shows, "the checksums tell")
    await regions.lab.break_("data", Damage.DROP)
    await regions.lab.heal("data")
    assert "data" not in [status.name for status in await regions.lab.status()]
    assert await regions.paired() in {leader, other(leader)}


def test_to_look_at_a_lab_builds_none(tmp_path: Path) -> None:
    looked_at = TwoRegions(tmp_path / "regions").lab
    assert {"region-a", "a-node", "disk", "link", "witness", "clock", "data", "database", "node"} <= set(
        looked_at.names
    )
    assert not (tmp_path / "regions").exists()
