"""What rules get to see of what is stored: far enough back, and with the work that was really done."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from holdfast.adapters.memory.availability import MemoryAvailability
from holdfast.adapters.memory.maintenance import MemoryMaintenances
from holdfast.availability.conditions import validate
from holdfast.availability.inventory import Inventory
from holdfast.availability.model import State, Transition
from holdfast.availability.ports import Batch
from holdfast.availability.verdicts import CheckState
from holdfast.bootstrap.communication import LOOK_BACK, StoredMeasurements
from holdfast.communication.model import ComponentState, Maintenance, Stage
from holdfast.communication.rules import TROUBLE
from holdfast.estate.loader import parse_estate
from holdfast.estate.ports import Registered
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.journal import JournalEntry
from holdfast.kernel.windows import Window

NOW = datetime(2026, 11, 22, 14, 3, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
WEB, API = 1, 2
ESTATE = parse_estate(
    b"""
regions: {west: {name: West}}
clusters:
  eu:
    name: Europe
    region: west
    components:
      web: {name: Website, checks: {page: {url: 'https://example.com/'}}}
      api: {name: API, checks: {page: {url: 'https://example.com/'}}}
""",
    Path("holdfast.yaml"),
    validate,
)
INVENTORY = Inventory(
    ESTATE,
    Registered(
        {("eu", "web"): WEB, ("eu", "api"): API},
        {("eu", "web", "page"): 10 * WEB, ("eu", "api", "page"): 10 * API},
        1,
    ),
)


class Recorded:
    """Availability and maintenance as they are stored."""

    def __init__(self) -> None:
        clock = ManualClock(NOW)
        self.availability = MemoryAvailability({10 * WEB: WEB, 10 * API: API}, clock)
        self.maintenance = MemoryMaintenances(clock)
        self.stored = StoredMeasurements(self.availability, self.maintenance, lambda: INVENTORY)

    async def was(self, component: int, *states: tuple[timedelta, State]) -> None:
        """The component's check was so since then."""
        check = 10 * component
        transitions = [Transition(check, NOW - ago, state, state.label) for ago, state in states]
        ago, state = states[-1]
        known = CheckState(check, state, NOW - ago, NOW, NOW + HOUR, NOW + HOUR)
        await self.availability.record(Batch((), transitions, [known]))

    async def worked(self, stage: Stage, began: timedelta | None, ended: timedelta | None) -> None:
        """Work on the website that was planned from two hours ago for one hour."""
        plan = Maintenance(
            "a" * 12,
            "Work",
            "",
            Window(NOW - 2 * HOUR, NOW - HOUR),
            stage,
            frozenset({WEB}),
            began_at=None if began is None else NOW - began,
            ended_at=None if ended is None else NOW - ended,
        )
        await self.maintenance.record(plan, [], JournalEntry(NOW, "ada", "maintenance.planned"))


async def test_only_what_is_in_trouble_is_read_and_what_is_asked_for() -> None:
    recorded = Recorded()
    await recorded.was(WEB, (9 * HOUR, State.OPERATIONAL))
    await recorded.was(API, (9 * HOUR, State.OPERATIONAL), (HOUR, State.PARTIAL_OUTAGE))
    found = await recorded.stored.measured((), NOW)
    assert found.keys() == {API}
    run = found[API].run(TROUBLE, NOW)
    assert run is not None
    assert (run.start, run.state, run.reason) == (
        NOW - HOUR,
        ComponentState.PARTIAL_OUTAGE,
        "partial_outage",
    )
    assert (await recorded.stored.measured({WEB, 99}, NOW)).keys() == {WEB, API}


async def test_trouble_is_there_from_its_beginning_however_long_it_lasts() -> None:
    recorded = Recorded()
    await recorded.was(
        API, (50 * DAY, State.OPERATIONAL), (40 * DAY, State.DEGRADED), (9 * DAY, State.MAJOR_OUTAGE)
    )
    await recorded.was(WEB, (40 * DAY, State.OPERATIONAL), (HOUR, State.DEGRADED))
    found = await recorded.stored.measured((), NOW)
    run = found[API].run(TROUBLE, NOW)
    assert run is not None
    assert (run.start, run.state) == (NOW - 40 * DAY, ComponentState.MAJOR_OUTAGE)
    # Nobody reads months of what was well yesterday.
    assert found[WEB].stretches[0].start == NOW - LOOK_BACK


async def test_work_counts_from_its_real_beginning_to_its_real_end() -> None:
    for stage, began, ended, expected in (
        (Stage.SCHEDULED, None, None, NOW - 3 * HOUR),
        (Stage.CANCELLED, None, None, NOW - 3 * HOUR),
        # It takes longer than was planned: there is no trouble as long as it does.
        (Stage.IN_PROGRESS, 2 * HOUR, None, None),
        (Stage.VERIFYING, 2 * HOUR, None, None),
        (Stage.COMPLETED, 2 * HOUR, HOUR / 2, NOW - HOUR / 2),
        (Stage.COMPLETED, 2 * HOUR, HOUR * 1.5, NOW - HOUR * 1.5),
    ):
        recorded = Recorded()
        await recorded.was(WEB, (9 * HOUR, State.OPERATIONAL), (3 * HOUR, State.MAJOR_OUTAGE))
        await recorded.worked(stage, began, ended)
        found = (await recorded.stored.measured((), NOW))[WEB].trouble(TROUBLE, NOW)
        assert (None if found is None else found.start) == expected, stage


async def test_what_fell_silent_is_unknown_and_no_trouble() -> None:
    recorded = Recorded()
    await recorded.was(API, (9 * HOUR, State.OPERATIONAL), (3 * HOUR, State.MAJOR_OUTAGE))
    (state,) = (await recorded.availability.check_states()).values()
    silent = replace(state, known_until=NOW - HOUR, silent_after=NOW - HOUR)
    await recorded.availability.record(Batch((), (), [silent]))
    found = (await recorded.stored.measured((), NOW))[API]
    assert found.run(TROUBLE, NOW) is None
    assert found.stretches[-1].state is ComponentState.UNKNOWN
