"""A register and a set, used all the time, while links are cut, leaders are frozen, and clocks jump.

Whatever happens: what was acknowledged is there, nobody reads what is no longer true, and of two who change
the same value from the same one, one does. HOLDFAST_CHAOS_ROUNDS rounds of all faults; one without it.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from tests.histories import Kind, Operation, SetJudged, judge_set, linearizable
from tests.two_regions import TwoRegions

from holdfast.adapters.patroni.rest import Away, ask
from holdfast.lab import Damage
from holdfast.lab.regions import layout as at
from holdfast.lab.regions.layout import REGIONS
from holdfast.lab.regions.settings import FAST

ROUNDS = int(os.environ.get("HOLDFAST_CHAOS_ROUNDS", "1"))
CLIENTS = 4
PATIENCE = timedelta(seconds=3)
LONGER_THAN_THE_LOCK_S = 26.0


class Clients:
    """Users of both edges. Each does one thing after the other and notes what it was told, and when."""

    def __init__(self, lab: TwoRegions) -> None:
        self._lab = lab
        self._ended = asyncio.Event()
        self._numbers = iter(range(10**9))
        self.register: list[Operation] = []
        self.asked: set[str] = set()
        self.acknowledged: set[str] = set()

    async def work(self, edge: str, chance: random.Random) -> None:
        known: str | None = None
        while not self._ended.is_set():
            what = chance.choice((self._read, self._write, self._swap, self._add))
            known = await what(edge, known)
            await asyncio.sleep(0.05)

    def end(self) -> None:
        self._ended.set()

    async def _send(
        self, method: str, edge: str, path: str, body: dict[str, object] | None
    ) -> tuple[int, object]:
        try:
            url = self._lab.url(edge, at.EDGE, path)
            answer = await ask(method, url, PATIENCE, body=body)
        except Away:
            return 0, None
        return answer.status, answer.content.get("value")

    async def _read(self, edge: str, known: str | None) -> str | None:
        began = time.monotonic()
        status, value = await self._send("GET", edge, "/register", None)
        if status != 200:
            return known
        assert value is None or isinstance(value, str)
        self.register.append(Operation(Kind.READ, value, began, time.monotonic()))
        return value

    async def _write(self, edge: str, known: str | None) -> str | None:
        value, began = f"v{next(self._numbers)}", time.monotonic()
        status, _ = await self._send("PUT", edge, "/register", {"value": value})
        self._note(Kind.WRITE, value, began, status)
        return known

    async def _swap(self, edge: str, known: str | None) -> str | None:
        value, began = f"v{next(self._numbers)}", time.monotonic()
        status, _ = await self._send("PUT", edge, "/register", {"value": value, "was": known})
        if status == 409:
            self.register.append(Operation(Kind.REFUSED_SWAP, value, began, time.monotonic(), known))
        else:
            self._note(Kind.SWAP, value, began, status, known)
        return known

    async def _add(self, edge: str, known: str | None) -> str | None:
        member = f"m{next(self._numbers)}"
        self.asked.add(member)
        status, _ = await self._send("POST", edge, "/set", {"member": member})
        if status == 201:
            self.acknowledged.add(member)
        return known

    def _note(self, kind: Kind, value: str, began: float, status: int, was: str | None = None) -> None:
        """Anything but a yes leaves open whether it happened."""
        if status == 200:
            self.register.append(Operation(kind, value, began, time.monotonic(), was))
        else:
            self.register.append(Operation(kind, value, began, was=was))


@asynccontextmanager
async def at_work(lab: TwoRegions, seed: int) -> AsyncIterator[Clients]:
    clients = Clients(lab)
    chance = random.Random(seed)
    tasks = [
        asyncio.create_task(clients.work(REGIONS[number % 2], random.Random(chance.random())))
        for number in range(CLIENTS)
    ]
    try:
        yield clients
    finally:
        clients.end()
        await asyncio.gather(*tasks)


Fault = Callable[[TwoRegions, str], Awaitable[None]]


async def cut_off_leader(lab: TwoRegions, leader: str) -> None:
    """The leader loses the quorum; the other takes over when the lock has expired."""
    await lab.lab.break_(f"{leader}-link")
    await asyncio.sleep(LONGER_THAN_THE_LOCK_S)
    await lab.lab.heal(f"{leader}-link")


async def frozen_leader(lab: TwoRegions, leader: str) -> None:
    """Stopped for longer than its lock lasts, it wakes as a leader who is none any more."""
    await lab.lab.break_(f"{leader}-node", Damage.HANG)
    await asyncio.sleep(LONGER_THAN_THE_LOCK_S)
    await lab.lab.heal(f"{leader}-node")


async def one_way(lab: TwoRegions, leader: str) -> None:
    """Between the regions one direction is lost, while a database is killed under its Patroni."""
    await lab.lab.break_("link", Damage.ONE_WAY)
    await asyncio.sleep(6)
    await lab.lab.break_(f"{leader}-database")
    await asyncio.sleep(6)
    await lab.lab.heal("link")


async def jumping_clocks(lab: TwoRegions, leader: str) -> None:
    """Ahead at the voter who judges, behind at the leader: locks expire early, or late."""
    await lab.lab.break_("w-clock", Damage.FORWARD)
    await asyncio.sleep(5)
    await lab.lab.break_(f"{leader}-clock", Damage.BACK)
    await asyncio.sleep(5)
    await lab.lab.heal("w-clock")
    await lab.lab.heal(f"{leader}-clock")


async def no_witness(lab: TwoRegions, leader: str) -> None:
    """Without the witness, the leader's database is killed: the two regions have the quorum."""
    await lab.lab.break_("witness")
    await asyncio.sleep(2)
    await lab.lab.break_(f"{leader}-database")
    await asyncio.sleep(6)
    await lab.lab.heal("witness")


THAT_MOVE_THE_LEADER = (cut_off_leader, frozen_leader)
FAULTS: tuple[Fault, ...] = (cut_off_leader, frozen_leader, one_way, jumping_clocks, no_witness)


@pytest.mark.timeout(600 + ROUNDS * 900)
async def test_one_true_story_explains_what_all_clients_saw(tmp_path: Path) -> None:
    lab = TwoRegions(tmp_path / "regions", namespaces=True, pace=FAST)
    try:
        await lab.lab.up()
        for number in range(ROUNDS):
            for fault in FAULTS:
                await one_round(lab, fault, seed=number)
    finally:
        await lab.again().down()
    assert lab.processes() == {}


async def one_round(lab: TwoRegions, fault: Fault, seed: int) -> None:
    leader = await lab.paired(rebuild=True)
    first = (await lab.answered(leader, "/register"))["value"]
    before = await lab.members(leader)
    async with at_work(lab, seed) as clients:
        await asyncio.sleep(2)
        await fault(lab, leader)
        now = await lab.paired(rebuild=True)
        await asyncio.sleep(2)
    if fault in THAT_MOVE_THE_LEADER:
        assert now != leader, fault.__name__
    there = await lab.members(now)
    assert judge_set(clients.asked | before, clients.acknowledged | before, there) == SetJudged(
        frozenset(), frozenset()
    ), fault.__name__
    assert first is None or isinstance(first, str)
    assert linearizable(clients.register, first), f"{fault.__name__}: {clients.register}"
    assert len(clients.acknowledged) >= 10, fault.__name__
    assert sum(each.kind is Kind.READ for each in clients.register) >= 10, fault.__name__
