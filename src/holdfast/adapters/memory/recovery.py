"""Runs in memory, for tests and simulation. Everything ends with the process."""

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec.structs import replace

from holdfast.recovery.errors import Fenced, NotThere, Refused
from holdfast.recovery.model import Playbook, Run
from holdfast.recovery.ports import NEWEST_KEPT, SHORTEST_KEEP, Held, Note, Transition
from holdfast.recovery.transitions import lease_lost

CLOCK_SLACK = timedelta(seconds=5)


@dataclass
class _Row:
    run: Run
    number: int
    epoch: int = 0
    owner: str = ""
    leased_until: datetime | None = None
    leased_for: timedelta = timedelta()

    def is_free(self, now: datetime) -> bool:
        """Also when its lease was given before the clock went back."""
        if self.leased_until is None:
            return True
        return self.leased_until <= now or self.leased_until - self.leased_for > now + CLOCK_SLACK


@dataclass
class MemoryRuns:
    """RunStore by the clock that it is given."""

    now: Callable[[], datetime]
    notes: list[tuple[int, Note]] = field(default_factory=list)
    """With the epoch of the run's row when each was written."""
    heard: int = 0
    last_epoch: int = 0
    """Of all runs. No real time is in it: there is no database to be restored from a backup."""
    has_evidence: Callable[[str], bool] = lambda _: True
    numbers: int = 0
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
        self.numbers += 1
        self._rows[run.id] = _Row(started, self.numbers)
        self.notes.append((0, note))
        await self._tell()
        return started

    async def claim(self, replica: str, lease: timedelta) -> Held | None:
        now = self.now()
        for row in self._rows.values():
            if not row.is_free(now) or not row.run.state.is_active:
                continue
            lost_by, lost = row.owner, row.leased_until is not None
            if lost:
                row.run = lease_lost(row.run)
                row.leased_until, row.owner = None, ""
                if not row.run.state.is_active:
                    self._note(row, "run.parked", lost_by)
                    await self._tell()
                    continue
            self.last_epoch += 1
            row.epoch = self.last_epoch
            row.owner, row.leased_until, row.leased_for = replica, now + lease, lease
            if lost:
                self._note(row, "run.taken_over", lost_by)
                await self._tell()
            return Held(row.run, row.epoch, now)
        return None

    async def free_in(self) -> timedelta | None:
        ends = [
            row.leased_until - self.now()
            for row in self._rows.values()
            if row.leased_until is not None and row.run.state.is_active
        ]
        return max(min(ends), timedelta()) if ends else None

    async def renew(self, run_id: str, epoch: int, lease: timedelta) -> None:
        row = self._rows.get(run_id)
        if row is None or row.epoch != epoch or row.leased_until is None:
            raise Fenced(f"run {run_id} is no longer held in epoch {epoch}")
        row.leased_until, row.leased_for = self.now() + lease, lease

    async def release(self, run_id: str, epoch: int) -> None:
        row = self._rows.get(run_id)
        if row is not None and row.epoch == epoch:
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

    async def newest(
        self, most: int, before: str | None = None, *, over: bool | None = None
    ) -> Sequence[Run]:
        known = self._rows.get(before) if before is not None else None
        limit = -1 if before is not None and known is None else None if known is None else known.number
        rows = [
            row
            for row in self._rows.values()
            if (limit is None or row.number < limit) and over in {None, row.run.state.is_over}
        ]
        return [each.run for each in heapq.nlargest(most, rows, key=lambda row: row.number)]

    async def prune(self, keep: timedelta, most: int) -> int:
        limit, going = self.now() - max(keep, SHORTEST_KEEP), list[str]()
        placed = Counter[tuple[str, str]]()
        for run in await self.newest(len(self._rows)):
            what = (run.playbook.name, run.subject)
            placed[what] += 1
            if (
                placed[what] > NEWEST_KEPT
                and run.state.is_over
                and (run.ended_at or run.started_at) < limit
                and self.has_evidence(run.id)
            ):
                going.append(run.id)
        going = going[::-1][:most]
        for each in going:
            del self._rows[each]
        if going:
            self.notes.append((0, Note("recovery", "run.pruned", {"runs": len(going), "last": going[-1]})))
        return len(going)

    async def unfinished(self) -> Sequence[Run]:
        return [run for run in await self.newest(len(self._rows)) if not run.state.is_over]

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

    def _note(self, row: _Row, event: str, lost_by: str) -> None:
        facts = {"run": row.run.id, "epoch": row.epoch, "lost_by": lost_by}
        self.notes.append((row.epoch, Note("recovery", event, facts)))

    async def _tell(self) -> None:
        self.heard += 1
        async with self._changed:
            self._changed.notify_all()


@dataclass
class MemoryPlaybooks:
    """PlaybookBook by the clock that it is given."""

    now: Callable[[], datetime]
    _known: dict[str, list[tuple[Playbook, datetime]]] = field(default_factory=dict)

    async def revised(self, playbook: Playbook) -> Playbook:
        known = self._known.setdefault(playbook.name, [])
        revised = replace(playbook, revision=len(known) or 1)
        if not known or known[-1][0] != revised:
            revised = replace(playbook, revision=len(known) + 1)
            known.append((revised, self.now()))
        return revised

    async def revisions(self, name: str) -> Sequence[tuple[Playbook, datetime]]:
        return list(reversed(self._known.get(name, [])))
