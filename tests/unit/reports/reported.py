"""An estate with a past, in memory: a public cluster, a private one, agreements, an incident, maintenance."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from holdfast.adapters.memory.availability import MemoryAvailability
from holdfast.adapters.memory.months import MemoryMonths
from holdfast.availability.inventory import Inventory
from holdfast.availability.model import Maintenance, Outcome, Result, State, Timings, Transition
from holdfast.availability.months import MonthKeeper
from holdfast.availability.ports import Batch
from holdfast.availability.reading import Reader
from holdfast.availability.reviewing import Reviewer
from holdfast.communication.directory import Directory, directory_of
from holdfast.communication.model import ComponentState, Impact, Incident, Phase
from holdfast.communication.ports import IncidentStore
from holdfast.estate.checks import HttpCheck
from holdfast.estate.model import Agreement, Cluster, Component, CreditTier, Customer, Estate, Region, Site
from holdfast.estate.ports import Registered
from holdfast.interfaces.reports.desk import ReportDesk
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.windows import Window, month_window

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 22, 13, 3, 20, tzinfo=UTC)
OCTOBER = month_window(2026, 10, BERLIN)
NOVEMBER = month_window(2026, 11, BERLIN)
SINCE = datetime(2026, 8, 20, tzinfo=UTC)
WEBSITE, API, VAULT = 1, 2, 3
CHECKS = {10: WEBSITE, 20: API, 30: VAULT}
DOWN_AT = datetime(2026, 10, 14, 9, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


def component(name: str, *depends_on: str) -> Component:
    return Component(name=name, depends_on=depends_on, checks={"http": HttpCheck(url="http://target/")})


ESTATE = Estate(
    site=Site(title="Printcloud", time_zone="Europe/Berlin"),
    regions={"fra": Region(name="Frankfurt")},
    clusters={
        "eu": Cluster(
            name="EU",
            region="fra",
            components={"website": component("Website", "vip/vault"), "api": component("=API(1)")},
        ),
        "vip": Cluster(name="Secret", region="fra", private=True, components={"vault": component("Vault")}),
    },
    customers={"nordwind": Customer(name="Nordwind Drück <AG>"), "other": Customer(name="Other")},
    agreements={
        "premium": Agreement(
            customer="nordwind",
            name="Premium",
            components=("eu/*", "vip/*"),
            objective=Decimal("99.9"),
            time_zone="Europe/Berlin",
            credits=(CreditTier(below=Decimal("99.9"), credit=Decimal(10)),),
        ),
        "rolling": Agreement(
            customer="other",
            name="Rolling",
            components=("eu/api",),
            objective=Decimal("99.5"),
            window=timedelta(days=30),
        ),
    },
)
REGISTERED = Registered(
    {("eu", "website"): WEBSITE, ("eu", "api"): API, ("vip", "vault"): VAULT},
    {("eu", "website", "http"): 10, ("eu", "api", "http"): 20, ("vip", "vault", "http"): 30},
    1,
)
INVENTORY = Inventory(ESTATE, REGISTERED)


def incident(number: int, title: str, *affected: int, began_at: datetime = DOWN_AT) -> Incident:
    return Incident(
        f"inc{number:09}",
        title,
        Impact.MAJOR,
        Phase.RESOLVED,
        began_at,
        dict.fromkeys(affected, ComponentState.MAJOR_OUTAGE),
        declared_at=began_at,
        published_at=began_at,
        resolved_at=began_at + 3 * HOUR,
        version=1,
    )


class FixedIncidents:
    """An IncidentStore that only reads, over a list."""

    def __init__(self, *incidents: Incident) -> None:
        self.incidents_told = list(incidents)

    async def incident(self, incident_id: str) -> Incident | None:
        return next((each for each in self.incidents_told if each.id == incident_id), None)

    async def incidents(
        self, *, since: datetime | None = None, limit: int = 200, public_only: bool = True
    ) -> list[Incident]:
        return [
            each
            for each in self.incidents_told
            if (each.is_public or not public_only)
            and not (since and each.resolved_at and each.resolved_at <= since)
        ][:limit]


class Past:
    """The stores with their content, and what reads them."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.store = MemoryAvailability(CHECKS, self.clock)
        self.months = MemoryMonths(self.clock, dict.fromkeys((WEBSITE, API, VAULT), SINCE))
        self.incidents = FixedIncidents(incident(1, "+Printing stands still", WEBSITE))
        self.inventory = INVENTORY
        announced = datetime(2026, 10, 20, tzinfo=UTC)
        soon = Window(announced + HOUR, announced + 2 * HOUR)
        self.planned = [
            Maintenance(1, soon, announced, frozenset({VAULT}), "Vault"),
            Maintenance(2, _hours(24, 20), announced, frozenset({WEBSITE, API}), "Database upgrade"),
        ]

    async def fill(self) -> None:
        states = {
            10: [
                (SINCE, State.OPERATIONAL),
                (DOWN_AT, State.MAJOR_OUTAGE),
                (DOWN_AT + 2 * HOUR, State.OPERATIONAL),
            ],
            20: [
                (SINCE, State.OPERATIONAL),
                (DOWN_AT + 48 * HOUR, State.PARTIAL_OUTAGE),
                (DOWN_AT + 49 * HOUR, State.OPERATIONAL),
                (DOWN_AT + 60 * HOUR, State.UNKNOWN),
                (DOWN_AT + 62 * HOUR, State.OPERATIONAL),
            ],
            30: [
                (SINCE, State.OPERATIONAL),
                (DOWN_AT - timedelta(minutes=1), State.MAJOR_OUTAGE),
                (DOWN_AT + HOUR, State.OPERATIONAL),
            ],
        }
        await self.store.record(
            Batch(
                transitions=[
                    Transition(check, at, state, "" if state is State.OPERATIONAL else "=connection refused")
                    for check, line in states.items()
                    for at, state in line
                ],
                results=[
                    Result(
                        check, SINCE + timedelta(hours=6 * turn), Outcome.GOOD, Timings(20_000 + 100 * turn)
                    )
                    for check in CHECKS
                    for turn in range(4 * 90)
                ],
            )
        )
        await self.store.roll_up(NOW)
        self.store.lay_over(lambda: self.planned)

    async def freeze(self) -> None:
        await MonthKeeper(self.store, self.months, self.clock, lambda: self.inventory).freeze_due()

    @property
    def reader(self) -> Reader:
        return Reader(self.store, self.clock, lambda: self.inventory, self.months)

    @property
    def reviewer(self) -> Reviewer:
        return Reviewer(self.store, self.months, self.clock, lambda: self.inventory)

    @property
    def directory(self) -> Directory:
        return directory_of(self.inventory.estate, self.inventory.registered)

    def desk(self, *, insider: bool = False) -> ReportDesk:
        return ReportDesk(self.reviewer, _reads_only(self.incidents), lambda: self.directory, insider=insider)


def _reads_only(store: FixedIncidents) -> IncidentStore:
    return store  # type: ignore[return-value]


def _hours(day: int, hour: int) -> Window:
    start = datetime(2026, 10, day, hour, tzinfo=UTC)
    return Window(start, start + 2 * HOUR)


def renamed(past: Past, **sites: object) -> None:
    """The same estate with other settings of its site."""
    estate = past.inventory.estate
    past.inventory = replace(past.inventory, estate=estate.model_copy(update={"site": Site(**sites)}))  # type: ignore[arg-type]
