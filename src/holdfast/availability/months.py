"""Keeping the months: freezing those that have closed, correcting those that were mended, verifying all."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from holdfast.availability.freezing import (
    MENDABLE,
    Account,
    FrozenMonth,
    Promise,
    account,
    due_months,
    in_force,
    is_settled,
    month_name,
)
from holdfast.availability.inventory import Inventory
from holdfast.availability.ports import MonthStore, ReadingStore
from holdfast.availability.sla import FORMULA
from holdfast.estate.scope import components_of
from holdfast.kernel.clock import Clock
from holdfast.kernel.windows import Window


@dataclass(frozen=True, slots=True)
class Verified:
    """A frozen row beside what the stored intervals come to now.

    A row that was corrected is judged by its correction: `corrected` is True, and it may differ.
    """

    row: FrozenMonth
    recomputed: Account
    corrected: bool

    @property
    def matches(self) -> bool:
        """Whether both the hash and, by the same formula, the figures are those of the stored intervals."""
        now = self.recomputed.month
        same_figures = now.formula != self.row.formula or now.figures == self.row.figures
        return now.intervals_sha256 == self.row.intervals_sha256 and same_figures

    @property
    def is_sound(self) -> bool:
        return self.matches or self.corrected


class MonthKeeper:
    """Freezes months and corrects them. Repeating it changes nothing, and two may do it at once.

    Raises what its stores raise; what was done until then stays, and the next round does the rest.
    """

    def __init__(
        self,
        store: ReadingStore,
        months: MonthStore,
        clock: Clock,
        inventory: Callable[[], Inventory],
        *,
        on_event: Callable[[str, Mapping[str, object]], None] = lambda *_: None,
    ) -> None:
        self._store = store
        self._months = months
        self._clock = clock
        self._inventory = inventory
        self._tell = on_event
        self._up_to_date: set[tuple[str, str]] = set()

    async def freeze_due(self) -> Sequence[FrozenMonth]:
        """Freeze every month of every agreement that has closed and is not frozen yet; returns what it froze.

        A month before anything was recorded about the agreement's components is none.
        """
        inventory, now = self._inventory(), self._clock.now()
        done: list[FrozenMonth] = []
        for key, agreement in inventory.estate.agreements.items():
            newest = due_months(agreement, now - MENDABLE, now)[-1:]
            names = {(key, month_name(window, agreement.time_zone)) for window in newest}
            if names <= self._up_to_date:
                continue
            promise = promised(inventory, key)
            since = await self._months.known_since(promise.components.values())
            if since is None:
                continue
            frozen = {row.month for row in await self._months.months(key)}
            for window in due_months(agreement, since, now):
                if month_name(window, agreement.time_zone) not in frozen:
                    done += await self._append(promise, window, now)
            self._up_to_date |= names
        return done

    async def mend(self) -> Sequence[FrozenMonth]:
        """Correct every month of the last MENDABLE days whose intervals are no longer the same."""
        now = self._clock.now()
        rows = await self._months.months(ended_after=now - MENDABLE)
        done: list[FrozenMonth] = []
        for row in in_force(rows).values():
            # While the clock is set back to before its end, there is nothing to compare it with.
            if row.formula == FORMULA and is_settled(row.window, now):
                done += await self._append(row.promise, row.window, now, corrects=row)
        return done

    async def _append(
        self, promise: Promise, window: Window, now: datetime, corrects: FrozenMonth | None = None
    ) -> list[FrozenMonth]:
        row = (await accounted(self._store, promise, window, now, corrects)).month
        if corrects is not None and corrects.intervals_sha256 == row.intervals_sha256:
            return []
        if not await self._months.append(row):
            return []
        facts: dict[str, object] = {
            "agreement": row.agreement,
            "month": row.month,
            "availability_percent": row.figures["total"]["availability_percent"],
            "intervals_sha256": row.intervals_sha256,
        }
        if corrects is not None:
            facts["corrects"] = corrects.id
        self._tell("month_frozen" if corrects is None else "month_corrected", facts)
        return [row]


async def verified(
    store: ReadingStore, months: MonthStore, now: datetime, agreement: str | None = None
) -> list[Verified]:
    """Every frozen row beside what the stored intervals come to at `now`, oldest first."""
    rows = await months.months(agreement)
    newest = in_force(rows)
    found: list[Verified] = []
    for row in rows:
        recomputed = await accounted(store, row.promise, row.window, now)
        found.append(Verified(row, recomputed, newest[row.agreement, row.month] is not row))
    return found


async def accounted(
    store: ReadingStore,
    promise: Promise,
    window: Window,
    now: datetime,
    corrects: FrozenMonth | None = None,
) -> Account:
    """One reading of a closed month, with the figures and the hash that both follow from it."""
    ids = list(promise.components.values())
    timelines = await store.intervals(ids, window, now)
    maintenance = await store.maintenance(window, ids)
    return await asyncio.to_thread(account, promise, window, timelines, maintenance, corrects)


def promised(inventory: Inventory, key: str) -> Promise:
    """What the agreement promises as the estate in force has it."""
    agreement = inventory.estate.agreements[key]
    components = {
        "/".join(each): inventory.component_id(*each) for each in components_of(agreement, inventory.estate)
    }
    return Promise.of(key, agreement, components)
