"""Frozen months in memory, for tests. They end with the process."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from holdfast.availability.freezing import FrozenMonth
from holdfast.kernel.clock import Clock


class MemoryMonths:
    """MonthStore over a list. `known_since` maps components to when they were first heard."""

    def __init__(self, clock: Clock, known_since: Mapping[int, datetime]) -> None:
        self._clock = clock
        self._known_since = known_since
        self._rows: list[FrozenMonth] = []

    async def append(self, month: FrozenMonth) -> bool:
        now = self._clock.now()
        links = {(row.agreement, row.month, row.corrects) for row in self._rows}
        if now < month.window.end or (month.agreement, month.month, month.corrects) in links:
            return False
        self._rows.append(replace(month, id=len(self._rows) + 1, frozen_at=now))
        return True

    async def months(
        self, agreement: str | None = None, *, ended_after: datetime | None = None
    ) -> Sequence[FrozenMonth]:
        return [
            row
            for row in self._rows
            if agreement in (None, row.agreement) and (ended_after is None or row.window.end > ended_after)
        ]

    async def months_of(self, agreement: str, month: str) -> Sequence[FrozenMonth]:
        return [row for row in self._rows if (row.agreement, row.month) == (agreement, month)]

    async def known_since(self, component_ids: Collection[int]) -> datetime | None:
        found = [at for component, at in self._known_since.items() if component in component_ids]
        return min(found, default=None)
