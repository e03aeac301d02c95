"""Checks shared out over controllers that come and go."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monitored import Scene, until, watched

from holdfast.adapters.memory.availability import MemoryLease, MemoryMembership, MemoryMonitorStore
from holdfast.availability.monitor import Monitor
from holdfast.availability.sharing import SHARES, SharedMonitor, share_of, wanted_shares

CHECKS = range(1, 25)


@given(st.sets(st.text("0123456789", min_size=1, max_size=5), min_size=1, max_size=9))
def test_shares_are_disjoint_complete_and_even(members: set[str]) -> None:
    wanted = [wanted_shares(sorted(members), me) for me in members]
    assert Counter(share for each in wanted for share in each) == dict.fromkeys(range(SHARES), 1)
    assert max(map(len, wanted)) - min(map(len, wanted)) <= 1


def test_who_does_not_see_itself_counts_all_the_same() -> None:
    assert wanted_shares(["1"], "2") | wanted_shares(["1", "2"], "1") == set(range(SHARES))


class Shared:
    """Controllers in one process, over one memory store with a lease per share."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.leases = {share: MemoryLease() for share in range(SHARES)}
        self.members: list[str] = []
        self.memberships: dict[str, MemoryMembership] = {}
        self.running_twice: list[int] = []

    def controller(self, name: str) -> SharedMonitor:
        self.memberships[name] = MemoryMembership(self.members, name)
        return SharedMonitor(self.memberships[name], self._monitor_for, self._note, look_every=0.001)

    def _monitor_for(self, share: int) -> Monitor:
        store = MemoryMonitorStore(self.scene.shared, self.leases[share])
        return Monitor(
            self.scene.probe,
            store,
            self.scene.clock,
            on_event=self._note,
            flush_every=0.001,
            retry_every=0.001,
            keeps_house=False,
        )

    def _note(self, event: str, facts: Mapping[str, object]) -> None:
        self.scene.events.append((event, facts))

    def held(self, controller: SharedMonitor) -> set[int]:
        return {share for share, monitor in controller._monitors.items() if monitor.leading}

    @asynccontextmanager
    async def running(self, *controllers: SharedMonitor) -> AsyncIterator[list[asyncio.Task[None]]]:
        for controller in controllers:
            controller.watch([watched(check) for check in CHECKS])
        tasks = [asyncio.create_task(controller.run()) for controller in controllers]
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def shared() -> Shared:
    return Shared()


def everything_held(shared: Shared, *controllers: SharedMonitor) -> bool:
    """Every share has one monitor that leads, and no controller has more than its part."""
    each = [shared.held(controller) for controller in controllers]
    held = Counter(share for shares in each for share in shares)
    return held == dict.fromkeys(range(SHARES), 1) and {len(shares) for shares in each} == {
        SHARES // len(controllers)
    }


async def test_one_controller_has_every_share(shared: Shared) -> None:
    only = shared.controller("1")
    async with shared.running(only):
        await until(lambda: everything_held(shared, only))
        assert only.leading
    assert all(lease.holder is None for lease in shared.leases.values())
    assert shared.members == []


async def test_three_controllers_share_and_the_last_one_has_all(shared: Shared) -> None:
    first, second, third = (shared.controller(name) for name in "123")
    async with shared.running(first, second, third) as tasks:
        await until(lambda: everything_held(shared, first, second, third))
        assert [each.leading for each in (first, second, third)].count(True) == 1
        for gone in tasks[:2]:
            gone.cancel()
        await until(lambda: everything_held(shared, third))
        assert third.leading


async def test_every_check_runs_at_one_place(shared: Shared) -> None:
    first, second = shared.controller("1"), shared.controller("2")
    async with shared.running(first, second):
        await until(lambda: everything_held(shared, first, second))
        for controller in (first, second):
            for share, monitor in controller._monitors.items():
                assert {share_of(check) for check in monitor._watched or ()} == {share}
        for _ in range(30):
            shared.scene.clock.advance(1)
            for controller in (first, second):
                for monitor in controller._monitors.values():
                    monitor._rounds._changed.set()
            for _ in range(12):
                await asyncio.sleep(0)
    attempts = shared.scene.probe.attempts
    assert set(attempts) == set(CHECKS)
    # 30 seconds, every 10: the early first run and three on rhythm at most.
    assert all(2 <= count <= 4 for count in attempts.values()), attempts


async def test_while_nobody_can_be_seen_everybody_keeps_what_they_have(shared: Shared) -> None:
    first, second = shared.controller("1"), shared.controller("2")
    async with shared.running(first, second) as tasks:
        await until(lambda: everything_held(shared, first, second))
        before = shared.held(first)
        shared.memberships["1"].away = True
        tasks[1].cancel()
        await until(tasks[1].done)
        await asyncio.sleep(0.02)
        assert shared.held(first) == before
        shared.memberships["1"].away = False
        await until(lambda: everything_held(shared, first))
