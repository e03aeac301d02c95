"""The database's own cluster, in memory and as PostgreSQL under Patroni with its witness, in the lab."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import pytest
from tests.two_regions import TwoRegions, until

from holdfast.adapters.memory.region import MemoryCluster
from holdfast.adapters.memory.two_regions import World
from holdfast.kernel.clock import SystemClock
from holdfast.lab.regions.layout import REGIONS
from holdfast.lab.regions.settings import FAST
from holdfast.recovery.errors import ComesLate, StepFailed
from holdfast.recovery.moving import leader_in
from holdfast.recovery.outage import Seen
from holdfast.recovery.ports import Fence
from holdfast.recovery.region_ports import WITNESS, Cluster, Lock, database_seen, lock_in, waits_for

pytestmark = pytest.mark.timeout(900)
CLOCK = SystemClock()
EPOCHS = iter(range(1, 10**6))
"""Each test's runs come behind those of the test before: the real cluster is the same one."""


class Pair(Protocol):
    """A cluster of two regions and a witness that can be harmed."""

    cluster: Cluster

    async def lose(self, region: str) -> None: ...

    async def heal(self, region: str) -> None:
        """It runs again, on the leader's history."""
        ...

    async def lose_witness(self) -> None: ...

    async def heal_witness(self) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self.world = World(CLOCK.now, CLOCK.monotonic, ttl=2.0, loop=0.2)
        self.cluster: Cluster = MemoryCluster(self.world)

    async def lose(self, region: str) -> None:
        self.world.lost.add(region)
        self.world.step()

    async def heal(self, region: str) -> None:
        self.world.heal(region)

    async def lose_witness(self) -> None:
        self.world.witness_alive = False

    async def heal_witness(self) -> None:
        self.world.witness_alive = True


class UnderPatroni:
    def __init__(self, regions: TwoRegions) -> None:
        self.regions = regions
        self.cluster: Cluster = regions.cluster()

    async def lose(self, region: str) -> None:
        await self.regions.lab.break_(f"region-{region}")

    async def heal(self, region: str) -> None:
        await self.regions.lab.heal(f"region-{region}")
        await self.regions.paired(rebuild=True)

    async def lose_witness(self) -> None:
        await self.regions.lab.break_("witness")

    async def heal_witness(self) -> None:
        await self.regions.lab.heal("witness")


def beside(work: Coroutine[Any, Any, object]) -> None:
    """In a loop of its own: the fixture is wanted while the test's is running."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


@pytest.fixture(scope="module")
def patroni(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoRegions]:
    found = TwoRegions(tmp_path_factory.mktemp("holdfast") / "regions", pace=FAST)
    try:
        beside(found.lab.up())
        yield found
    finally:
        beside(found.again().down())
        assert found.processes() == {}


@pytest.fixture(params=["memory", "patroni"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    if request.param == "patroni":
        yield UnderPatroni(request.getfixturevalue("patroni"))
        return
    made = InMemory()
    living = asyncio.create_task(made.world.live())
    yield made
    living.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await living


async def settled(pair: Pair) -> tuple[str, str, Lock]:
    """Who leads, who follows and is waited for, and the lock as the witness has it now."""
    found = list[tuple[str, str, Lock]]()

    async def look() -> bool:
        told = await pair.cluster.told()
        witness = told.get(WITNESS)
        lock = witness.lock if witness is not None and witness.quorum else None
        if lock is None or lock.region is None or not waits_for(told, other(lock.region)):
            return False
        if leader_in(told, lock.region) is None or other(lock.region) not in told:
            return False
        found.append((lock.region, other(lock.region), lock))
        return True

    await until(look, "a leader whose commits wait for the other region", within_s=180)
    return found[-1]


def other(region: str) -> str:
    return next(each for each in REGIONS if each != region)


def fences() -> Callable[[int], Fence]:
    """Those of one run, by their turn."""
    epoch = next(EPOCHS)
    return lambda turn: Fence(f"run{epoch}", epoch, turn)


async def led_in(pair: Pair, region: str) -> None:
    async def look() -> bool:
        return leader_in(await pair.cluster.told(), region) is not None

    await until(look, f"{region} leads", within_s=120)


async def again_until_done(what: Callable[[], Awaitable[None]]) -> None:
    """As a step of a run does: it is tried again when it fails."""

    async def look() -> bool:
        try:
            await what()
        except ComesLate:
            raise
        except StepFailed:
            return False
        return True

    await until(look, "it is done", within_s=120)


async def test_all_places_tell_of_one_leader_and_one_standby(pair: Pair) -> None:
    leader, standby, lock = await settled(pair)
    told = await pair.cluster.told()
    assert set(told) == {*REGIONS, WITNESS}
    for region in REGIONS:
        own = told[region].own()
        assert own is not None
        assert own.running
        assert own.leads is (region == leader)
        assert own.timeline is not None
        assert own.lsn is not None
    assert lock_in(told) is not None
    assert lock.index is not None
    assert told[WITNESS].quorum is True
    assert set(told[WITNESS].connected.values()) == {Seen.UP}
    seen = database_seen(told, REGIONS)
    assert (seen.leads, seen.of(leader), seen.of(standby)) == (leader, Seen.UP, Seen.UP)


async def test_a_switchover_moves_the_lead_once_and_refuses_others(pair: Pair) -> None:
    leader, standby, lock = await settled(pair)
    fence = fences()
    with pytest.raises(StepFailed):
        await pair.cluster.switch_over(Lock("nobody", None), standby, fence(1))
    await pair.cluster.switch_over(lock, standby, fence(3))
    await led_in(pair, standby)
    await pair.cluster.switch_over(lock, standby, fence(4))  # the same again changes nothing
    with pytest.raises(ComesLate):
        await pair.cluster.switch_over(Lock(standby, standby), leader, fence(2))
    moved, _, _ = await settled(pair)
    assert moved == standby


async def test_a_lock_that_was_renewed_is_not_taken_away(pair: Pair) -> None:
    _, _, lock = await settled(pair)
    assert lock.index is not None
    fence = fences()
    with pytest.raises(StepFailed):
        await pair.cluster.release(Lock(lock.holder, lock.region, lock.index - 1), fence(1))
    with pytest.raises(StepFailed):
        await pair.cluster.release(Lock("nobody", None, lock.index), fence(2))
    assert (await settled(pair))[0] == lock.region


async def test_a_lost_leader_is_relieved_and_comes_back_as_a_standby(pair: Pair) -> None:
    leader, standby, _ = await settled(pair)
    fence = fences()
    await pair.lose(leader)

    async def relieved() -> None:
        lock = (await pair.cluster.told())[WITNESS].lock
        if lock is not None and lock.region == leader:
            await pair.cluster.release(lock, fence(2))

    await again_until_done(relieved)
    await led_in(pair, standby)
    told = await pair.cluster.told()
    assert leader not in told
    assert database_seen(told, REGIONS).of(leader) is Seen.DOWN
    with pytest.raises(ComesLate):  # one fence for all that changes the leader, whatever it is
        await pair.cluster.fail_over(standby, fence(1))
    await pair.cluster.fail_over(standby, fence(2))  # it leads already
    with pytest.raises(StepFailed):
        await pair.cluster.fail_over(leader, fence(3))
    ended = await pair.cluster.parted()
    assert ended
    assert all(timeline >= 1 and lsn >= 0 for timeline, lsn in ended.items())
    await pair.heal(leader)
    now, follows, _ = await settled(pair)
    assert (now, follows) == (standby, leader), "nothing goes back by itself"


async def test_who_leads_is_not_rebuilt_and_who_follows_is(pair: Pair) -> None:
    leader, standby, _ = await settled(pair)
    fence = fences()
    with pytest.raises(StepFailed):
        await pair.cluster.rebuild(leader, fence(1))
    await again_until_done(lambda: pair.cluster.rebuild(standby, fence(3)))
    with pytest.raises(ComesLate):
        await pair.cluster.rebuild(standby, fence(2))
    assert (await settled(pair))[:2] == (leader, standby)


async def test_without_the_witness_nothing_is_taken_away_and_users_notice_nothing(pair: Pair) -> None:
    leader, _, lock = await settled(pair)
    await pair.lose_witness()
    told = await pair.cluster.told()
    assert set(told) == set(REGIONS)
    assert leader_in(told, leader) is not None
    with pytest.raises(StepFailed):
        await pair.cluster.release(lock, fences()(1))
    await pair.heal_witness()
    assert (await settled(pair))[0] == leader
