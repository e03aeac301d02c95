"""Runs in memory, for tests and simulation. Everything ends with the process."""

import asyncio
import heapq
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec.structs import replace

from holdfast.recovery.errors import Fenced, NotThere, Refused
from holdfast.recovery.model import Run
from holdfast.recovery.ports import Held, Note, Transition
from holdfast.recovery.transitions import lease_lost


@dataclass
class _Row:
    run: Run
    number: int
    epoch: int = 0
    owner: str = ""
    leased_until: datetime | None = None


@dataclass
class MemoryRuns:
    """RunStore by the clock that it is given."""

    now: Callable[[], datetime]
    notes: list[tuple[int, Note]] = field(default_factory=list)
    """With the epoch of the run's row when each was written."""
    heard: int = 0
    _rows: dict[str, _Row] = field(default_factory=dict)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def start(self, run: Run, note: Note) -> Run:
        if run.playbook.moves_traffic:
            for row in self._rows.values():
                other = row.run
                if other.playbook.moves_traffic and other.subject == run.subject and not other.state.is_over:
                    raise Refused(f"run {other.id} moves the traffic of {run.subject!r} already")
        if run.id in self._rows:
            raise Refused(f"run {run.id} is there already")
        started = replace(run, started_at=self.now())
        self._rows[run.id] = _Row(started, len(self._rows))
        self.notes.append((0, note))
        await self._tell()
        return started

    async def claim(self, replica: str, lease: timedelta) -> Held | None:
        now = self.now()
        for row in self._rows.values():
            free = row.leased_until is None or row.leased_until <= now
            if not free or not row.run.state.is_active:
                continue
            if row.leased_until is not None:
                row.run = lease_lost(row.run)
                row.leased_until, row.owner = None, ""
                if not row.run.state.is_active:
                    await self._tell()
                    continue
            row.epoch += 1
            row.owner, row.leased_until = replica, now + lease
            return Held(row.run, row.epoch, now)
        return None

    async def renew(self, run_id: str, epoch: int, lease: timedelta) -> None:
        row = self._row(run_id, epoch)
        row.leased_until = self.now() + lease

    async def release(self, run_id: str, epoch: int) -> None:
        row = self._rows[run_id]
        if row.epoch == epoch:
            row.leased_until, row.owner = None, ""
            await self._tell()

    async def change(self, run_id: str, transition: Transition, note: Note, epoch: int | None = None) -> Held:
        row, now = self._row(run_id, epoch), self.now()
        changed = transition(row.run, now)
        if changed != row.run:
            row.run = changed
            self.notes.append((row.epoch, note))
            await self._tell()
        return Held(row.run, row.epoch, now)

    async def get(self, run_id: str) -> Held:
        row = self._row(run_id, None)
        return Held(row.run, row.epoch, self.now())

    async def newest(self, most: int) -> Sequence[Run]:
        return [each.run for each in heapq.nlargest(most, self._rows.values(), key=lambda row: row.number)]

    async def woken(self, since: int, within_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s), self._changed:
                await self._changed.wait_for(lambda: self.heard > since)

    def _row(self, run_id: str, epoch: int | None) -> _Row:
        row = self._rows.get(run_id)
        if row is None:
            raise NotThere(f"there is no run {run_id}")
        if epoch is not None and row.epoch != epoch:
            raise Fenced(f"run {run_id} is in epoch {row.epoch}, not {epoch}")
        return row

    async def _tell(self) -> None:
        self.heard += 1
        async with self._changed:
            self._changed.notify_all()
