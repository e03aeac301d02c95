"""Rounds of alerting: look, decide, route, record. And delivery: claim, send, mark.

A round can be missed, cut short or repeated: what it decides depends only on what is stored and on the time,
and is stored as a whole. Deliveries are sent at least once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from functools import partial

from holdfast.availability.alerting.burn import Pair, Watch, pairs_for
from holdfast.availability.alerting.decisions import Action, Change, decide
from holdfast.availability.alerting.looking import Scope, burning, down, not_looked, spent, terms_of
from holdfast.availability.alerting.model import (
    Alert,
    Board,
    Delivery,
    Kind,
    Message,
    Outcome,
    Reading,
    Round,
)
from holdfast.availability.alerting.ports import AlertStore, Notifier, Outbox
from holdfast.availability.alerting.routing import telling
from holdfast.availability.alerting.wording import message_of
from holdfast.availability.inventory import Inventory
from holdfast.availability.model import Interval, Maintenance
from holdfast.availability.ports import ReadingStore
from holdfast.availability.reading import agreement_window
from holdfast.availability.sla import statement
from holdfast.estate.model import Alerts
from holdfast.estate.scope import components_of
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.windows import Window

BUDGETS_EVERY = 60.0
"""Seconds between two looks at whole agreement windows: those need more reading, and change slowly."""
FIRST_RETRY = timedelta(seconds=5)
LONGEST_RETRY = timedelta(minutes=10)
GIVE_UP_AFTER = timedelta(hours=24)
MARK_AGAIN_S = 1.0
AT_ONCE = 32
"""So many messages are on their way at once: at most one for each channel."""

Tell = Callable[[str, Mapping[str, object]], None]


@dataclass(frozen=True, slots=True)
class _Agreement:
    scope: Scope
    pairs: Sequence[Pair]
    window: Window


class AlertRounds:
    """Decides what is open and who is to be told. `inventory` is asked anew with each round."""

    def __init__(
        self,
        reading: ReadingStore,
        store: AlertStore,
        clock: Clock,
        inventory: Callable[[], Inventory],
        *,
        on_event: Tell,
    ) -> None:
        self._reading = reading
        self._store = store
        self._clock = clock
        self._inventory = inventory
        self._on_event = on_event
        self._watched_from: dict[int, datetime] = {}
        self._budgets_due = clock.monotonic()

    async def run_once(self) -> Sequence[Action]:
        """One round; returns what it changed. Raises what its stores raise, and then has changed nothing."""
        inventory = self._inventory()
        now = self._clock.now()
        board = await self._store.board()
        readings = await self._look(inventory, now)
        declared = inventory.estate.alerts
        actions = decide(readings, board.alerts, board.silences, now, declared.resolve_after)
        decided = _round_of(board, actions, declared, inventory.estate.site.url, now)
        if decided.is_empty:
            return ()
        if not await self._store.record(board.version, decided):
            self._on_event("alert_round_overtaken", {"version": board.version})
            return ()
        for action in actions:
            self._tell(action)
        return actions

    def _tell(self, action: Action) -> None:
        if action.change is not Change.SEEN:
            facts = {"alert": action.alert.key, "severity": action.alert.severity.label}
            muted = {"muted_by": action.alert.muted_by} if action.alert.muted_by else {}
            event = f"alert_{action.change.value}"
            self._on_event(event, {**facts, "summary": action.alert.summary, **muted})

    # --- looking

    async def _look(self, inventory: Inventory, now: datetime) -> list[Reading]:
        agreements = _agreements(inventory, now)
        if not agreements:
            return []
        with_budgets = self._clock.monotonic() >= self._budgets_due
        ids = sorted({component for each in agreements for component in each.scope.components})
        longest = max(pair.long for each in agreements for pair in each.pairs)
        window = Window(now - longest, now)
        lines = await self._timelines(_with_dependencies(inventory, ids), window, now)
        # New ones from now on: the past before a component was watched is nobody's blindness.
        self._watched_from = {component: self._watched_from.get(component, now) for component in ids}
        maintenance = await self._reading.maintenance(window)
        scopes = [each.scope for each in agreements]
        under_way = await self._under_way(now)
        found = list(down(scopes, lines, under_way, now, inventory.explanations(lines)))
        limit = Fraction(inventory.estate.alerts.unknown_limit) / 100
        for each in agreements:
            mine = {component: lines[component] for component in each.scope.components}
            watch = Watch(mine, maintenance, terms_of(each.scope), self._watched_from)
            found += burning(each.scope, watch, each.pairs, now, limit)
            found.append(
                await self._budget(each, now) if with_budgets else not_looked(Kind.BUDGET, each.scope)
            )
            await asyncio.sleep(0)  # many agreements must not hold up a check that is due
        if with_budgets:
            self._budgets_due = self._clock.monotonic() + BUDGETS_EVERY
        return found

    async def _budget(self, agreement: _Agreement, now: datetime) -> Reading:
        scope, window = agreement.scope, agreement.window
        lines = await self._timelines(list(scope.components), window, now)
        maintenance = await self._reading.maintenance(window)
        return spent(scope, statement(lines, maintenance, terms_of(scope), window, now))

    async def _timelines(
        self, ids: Sequence[int], window: Window, now: datetime
    ) -> Mapping[int, Sequence[Interval]]:
        """An entry for every component. Sample history wakes nobody up: it is left out."""
        lines = await self._reading.intervals(ids, window, now)
        return {each: [i for i in lines.get(each, ()) if not i.sample] for each in ids}

    async def _under_way(self, now: datetime) -> Sequence[Maintenance]:
        # An empty window overlaps nothing: look at the microsecond that begins now.
        return await self._reading.maintenance(Window(now, now + timedelta(microseconds=1)))


def _with_dependencies(inventory: Inventory, ids: Collection[int]) -> list[int]:
    """These components, and those whose trouble may explain theirs."""
    wanted = set(ids)
    pairs = [pair for pair, component in inventory.registered.components.items() if component in wanted]
    return inventory.with_dependencies(pairs)


def _agreements(inventory: Inventory, now: datetime) -> list[_Agreement]:
    found = []
    for key, agreement in inventory.estate.agreements.items():
        pairs = components_of(agreement, inventory.estate)
        names = {inventory.component_id(*pair): "/".join(pair) for pair in pairs}
        window = agreement_window(agreement, now)
        found.append(_Agreement(Scope(key, agreement, names), pairs_for(window.duration), window))
    return found


def _round_of(
    board: Board, actions: Sequence[Action], declared: Alerts, link: str | None, now: datetime
) -> Round:
    changed = {action.alert.id: action.alert for action in actions}
    alerts: dict[str, Alert] = {alert.id: alert for alert in board.alerts} | changed
    due = telling(board, alerts.values(), declared, now)
    return Round(
        list(changed.values()),
        due.told,
        due.forget,
        [(notice, message_of(notice, link=link)) for notice in due.notices],
    )


class Deliveries:
    """Sends what is queued. Any number of processes may do so at once."""

    def __init__(
        self, outbox: Outbox, notifier: Notifier, clock: Clock, *, lease: timedelta, on_event: Tell
    ) -> None:
        """`lease` is longer than the longest that the notifier takes."""
        self._outbox = outbox
        self._notifier = notifier
        self._clock = clock
        self._lease = lease
        self._on_event = on_event
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def start_due(self) -> int:
        """Begin every delivery that is due, one for each channel, without waiting; returns how many."""
        room = AT_ONCE - len(self._under_way)
        if room <= 0:
            return 0
        claimed = await self._outbox.claim(room, self._lease, list(self._under_way))
        for delivery in claimed:
            task = asyncio.create_task(self._deliver(delivery))
            self._under_way[delivery.channel] = task
            task.add_done_callback(partial(self._ended, delivery.channel))
        return len(claimed)

    async def settled(self) -> None:
        """Return once nothing is on its way."""
        while self._under_way:
            await asyncio.gather(*self._under_way.values(), return_exceptions=True)
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Give up what is on its way: it is sent again when its lease ends. Leaves nothing running."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, channel: str, task: asyncio.Task[None]) -> None:
        self._under_way.pop(channel, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # Not marked, so that it is sent again when the lease ends. Only the error's type: its text may
            # come from anywhere.
            self._on_event("alert_delivery_broke", {"channel": channel, "error": type(error).__name__})

    async def _deliver(self, delivery: Delivery) -> None:
        outcome = await self._notifier.send(delivery.channel, delivery.message)
        facts: dict[str, object] = {
            "channel": delivery.channel,
            "notice": delivery.message.key,
            "attempt": delivery.attempt,
        }
        if outcome.ok:
            await self._marked(lambda: self._outbox.sent(delivery))
            self._on_event("alert_delivered", facts)
            return
        age = self._clock.now() - delivery.queued_at
        pause = None if outcome.lasting else again_in(delivery.attempt, age)
        await self._marked(lambda: self._outbox.failed(delivery, outcome.detail, pause))
        event = "alert_given_up" if pause is None else "alert_not_delivered"
        self._on_event(event, {**facts, "error": outcome.detail})

    async def _marked(self, mark: Callable[[], Awaitable[None]]) -> None:
        """Mark it as soon as the database can be reached. After the lease it would be sent again anyway."""
        async with asyncio.timeout(self._lease.total_seconds()):
            while True:
                try:
                    return await mark()
                except HoldfastError:
                    await asyncio.sleep(MARK_AGAIN_S)


def again_in(attempt: int, age: timedelta) -> timedelta | None:
    """When to try again after the `attempt`th failure of a message that old: twice as long each time.

    None once it is too old to be worth reading.
    """
    if age >= GIVE_UP_AFTER:
        return None
    return min(FIRST_RETRY * (1 << min(attempt - 1, 20)), LONGEST_RETRY)


async def try_channels(notifier: Notifier, messages: Mapping[str, Message]) -> Mapping[str, Outcome]:
    """Send a message to each channel at once, past the queue; returns what each came to."""
    outcomes = await asyncio.gather(*(notifier.send(*each) for each in messages.items()))
    return dict(zip(messages, outcomes, strict=True))
