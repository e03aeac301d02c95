"""An estate with alerts, in memory, whose checks a test fails and heals by hand."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from holdfast.adapters.memory.alerting import MemoryAlerts
from holdfast.adapters.memory.availability import MemoryAvailability
from holdfast.adapters.memory.notify import MemoryNotifier
from holdfast.availability.alerting.decisions import Action
from holdfast.availability.alerting.model import Message
from holdfast.availability.alerting.service import AlertRounds, Deliveries
from holdfast.availability.inventory import Inventory
from holdfast.availability.model import State, Transition
from holdfast.availability.ports import Batch
from holdfast.availability.verdicts import CheckState
from holdfast.estate.loader import parse_estate
from holdfast.estate.model import Estate
from holdfast.estate.ports import Registered
from holdfast.kernel.clock import ManualClock

T0 = datetime(2026, 11, 10, 12, tzinfo=UTC)
ROUND = timedelta(seconds=15)
EXAMPLE = """\
site: {url: https://status.example.com}
regions:
  west: {name: West}
clusters:
  eu:
    name: Europe
    region: west
    components:
      web: {name: Website, checks: {page: {url: https://example.com/}}}
      api: {name: API, checks: {page: {url: https://example.com/}}}
      free: {name: Not in any agreement, checks: {page: {url: https://example.com/}}}
  us:
    name: USA
    region: west
    components:
      api: {name: API, checks: {page: {url: https://example.com/}}}
customers:
  acme: {name: Acme}
agreements:
  gold: {customer: acme, name: Gold, components: [eu/web, eu/api], objective: 99.9, window: 30d, notice: 1h}
  us: {customer: acme, name: America, components: [us/api], objective: 99.9, window: 30d}
alerts:
  channels:
    ops: {url: env:OPS}
    desk: {url: env:DESK}
  routes:
    - match: {severities: [page]}
      channels: [ops]
    - channels: [desk]
      group_by: []
"""


def parsed(text: str) -> Estate:
    return parse_estate(text.encode(), Path("holdfast.yaml"), lambda _kind, _text: None)


class Operated:
    """The estate with everything around it. The clock moves only when a test moves it."""

    def __init__(self, text: str = EXAMPLE, *, heard_for: timedelta = timedelta(days=40)) -> None:
        self.clock = ManualClock(T0 - heard_for)
        self.put(text)
        self.checks = {identity[:2]: number for identity, number in self.inventory.registered.checks.items()}
        components = {check: check for check in self.checks.values()}
        self.availability = MemoryAvailability(components, self.clock)
        self.alerts = MemoryAlerts(self.clock)
        self.notifier = MemoryNotifier()
        self.events: list[tuple[str, Mapping[str, object]]] = []
        self.rounds = self.another_controller()
        self.deliveries = Deliveries(
            self.alerts, self.notifier, self.clock, lease=timedelta(minutes=2), on_event=self._note
        )

    def put(self, text: str) -> None:
        """Apply an estate; components keep the ids that their names had."""
        estate = parsed(text)
        known = getattr(self, "inventory", None)
        identities = [(cluster, key) for cluster, each in estate.clusters.items() for key in each.components]
        before = {} if known is None else known.registered.components
        ids = {each: before.get(each, 100 + number) for number, each in enumerate(identities)}
        checks = {(*each, "page"): number for each, number in ids.items()}
        self.inventory = Inventory(estate, Registered(ids, checks, 1))

    def another_controller(self) -> AlertRounds:
        return AlertRounds(
            self.availability, self.alerts, self.clock, lambda: self.inventory, on_event=self._note
        )

    async def heard(self) -> "Operated":
        """Every check has been good since the clock's moment; then it is T0."""
        for name in self.checks:
            await self.becomes("/".join(name), State.OPERATIONAL)
        self.clock.jump_to(T0)
        return self

    async def becomes(self, name: str, state: State, reason: str = "", *, sample: bool = False) -> None:
        """From now on the component is in that state."""
        cluster, _, key = name.partition("/")
        check, now = self.checks[cluster, key], self.clock.now()
        until = now + timedelta(days=400)
        known = CheckState(check, state, now, now, until, until, reason)
        await self.availability.record(Batch([], [Transition(check, now, state, reason, sample)], [known]))

    async def round(self, after: timedelta = ROUND) -> Sequence[Action]:
        self.clock.advance(after.total_seconds())
        return await self.rounds.run_once()

    async def rounds_for(self, length: timedelta) -> list[str]:
        """Rounds every 15 s; what they changed, as `opened down:eu/api`."""
        changes: list[str] = []
        for _ in range(length // ROUND):
            changes += self.named(await self.round())
        return changes

    @staticmethod
    def named(actions: Sequence[Action]) -> list[str]:
        return [
            f"{action.change.value} {action.alert.key}" for action in actions if action.change.value != "seen"
        ]

    async def delivered(self) -> Mapping[str, list[Message]]:
        """Send all that is due; what each channel has got since the last time."""
        while await self.deliveries.start_due():
            await self.deliveries.settled()
        got = {channel: list(messages) for channel, messages in self.notifier.received.items() if messages}
        self.notifier.received.clear()
        return got

    def _note(self, event: str, facts: Mapping[str, object]) -> None:
        self.events.append((event, facts))
