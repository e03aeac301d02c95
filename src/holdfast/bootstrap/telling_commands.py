"""Commands that tell people: incidents, maintenance, and who is subscribed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.availability.inventory import Inventory
from holdfast.bootstrap.at_work import run, vault_of, with_database
from holdfast.bootstrap.later import Later
from holdfast.interfaces.cli.declaring import IncidentOutcome, IncidentRequest
from holdfast.interfaces.cli.planning import MaintenanceRequest, SeriesOutcome, SeriesRequest
from holdfast.interfaces.cli.planning import Outcome as MaintenanceOutcome
from holdfast.interfaces.cli.ports import Place
from holdfast.interfaces.cli.subscribing import Subscriber, SubscriberCounts

if TYPE_CHECKING:
    from holdfast.bootstrap import incidents, maintenance, subscribers
else:
    incidents = Later("holdfast.bootstrap.incidents")
    maintenance = Later("holdfast.bootstrap.maintenance")
    subscribers = Later("holdfast.bootstrap.subscribers")


class TellingCommands:
    """The part of the commands that concerns what people are told."""

    def incident(self, place: Place, request: IncidentRequest) -> IncidentOutcome:
        async def do(pool: Pool, inventory: Inventory) -> IncidentOutcome:
            return await incidents.IncidentCommands(pool, inventory).do(request)

        return run(with_database(place, Role.CONSOLE, do))

    def incident_list(self, place: Place, *, over: bool) -> Sequence[IncidentOutcome]:
        async def read(pool: Pool, inventory: Inventory) -> Sequence[IncidentOutcome]:
            return await incidents.IncidentCommands(pool, inventory).listed(over=over)

        return run(with_database(place, Role.CONSOLE, read))

    def incident_show(self, place: Place, incident_id: str) -> IncidentOutcome:
        async def read(pool: Pool, inventory: Inventory) -> IncidentOutcome:
            return await incidents.IncidentCommands(pool, inventory).show(incident_id)

        return run(with_database(place, Role.CONSOLE, read))

    def maintenance(self, place: Place, request: MaintenanceRequest) -> MaintenanceOutcome:
        async def do(pool: Pool, inventory: Inventory) -> MaintenanceOutcome:
            return await maintenance.MaintenanceCommands(pool, inventory).do(request)

        maintenance.check_times(request)
        return run(with_database(place, Role.CONTROLLER, do))

    def maintenance_list(self, place: Place, *, finished: bool) -> Sequence[MaintenanceOutcome]:
        async def read(pool: Pool, inventory: Inventory) -> Sequence[MaintenanceOutcome]:
            return await maintenance.MaintenanceCommands(pool, inventory).listed(finished=finished)

        return run(with_database(place, Role.SITE, read))

    def maintenance_show(self, place: Place, maintenance_id: str) -> MaintenanceOutcome:
        async def read(pool: Pool, inventory: Inventory) -> MaintenanceOutcome:
            return await maintenance.MaintenanceCommands(pool, inventory).show(maintenance_id)

        return run(with_database(place, Role.SITE, read))

    def series(self, place: Place, request: SeriesRequest) -> SeriesOutcome:
        async def do(pool: Pool, inventory: Inventory) -> SeriesOutcome:
            return await maintenance.MaintenanceCommands(pool, inventory).do_series(request)

        return run(with_database(place, Role.CONTROLLER, do))

    def series_list(self, place: Place) -> Sequence[SeriesOutcome]:
        async def read(pool: Pool, inventory: Inventory) -> Sequence[SeriesOutcome]:
            return await maintenance.MaintenanceCommands(pool, inventory).series()

        return run(with_database(place, Role.SITE, read))

    def series_show(self, place: Place, series_id: str) -> SeriesOutcome:
        async def read(pool: Pool, inventory: Inventory) -> SeriesOutcome:
            return await maintenance.MaintenanceCommands(pool, inventory).one_series(series_id)

        return run(with_database(place, Role.SITE, read))

    def subscriber_list(self, place: Place, limit: int) -> Sequence[Subscriber]:
        async def read(pool: Pool, inventory: Inventory) -> Sequence[Subscriber]:
            return await subscribers.SubscriberCommands(pool, vault_of(place, inventory)).listed(limit)

        return run(with_database(place, Role.SENDER, read))

    def subscriber_stats(self, place: Place) -> SubscriberCounts:
        async def read(pool: Pool, inventory: Inventory) -> SubscriberCounts:
            return await subscribers.SubscriberCommands(pool, vault_of(place, inventory)).counted()

        return run(with_database(place, Role.SENDER, read))

    def subscriber_remove(self, place: Place, which: str) -> int:
        async def remove(pool: Pool, inventory: Inventory) -> int:
            return await subscribers.SubscriberCommands(pool, vault_of(place, inventory)).remove(which)

        return run(with_database(place, Role.SENDER, remove))
