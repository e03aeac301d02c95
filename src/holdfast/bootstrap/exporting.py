"""`holdfast site export`: a copy of the site, from the database or, while that is away, from the snapshot."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.incidents import PostgresIncidents
from holdfast.adapters.postgres.maintenance import PostgresMaintenances
from holdfast.adapters.postgres.metrics import PostgresMetrics
from holdfast.adapters.postgres.months import PostgresMonths
from holdfast.adapters.postgres.reading import PostgresReadingStore
from holdfast.availability.inventory import Inventory
from holdfast.availability.reading import Reader
from holdfast.bootstrap.database import is_embedded, server_for
from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.following import stored_inventory
from holdfast.bootstrap.publishing import NothingToCopy, export
from holdfast.bootstrap.reports import report_desk
from holdfast.communication.news import NewsReader
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place, Progress, Report
from holdfast.interfaces.site.app import StatusSite, create_site
from holdfast.interfaces.site.readership import readership_of
from holdfast.interfaces.staticsite.exporting import Exported
from holdfast.interfaces.staticsite.folder import CopyFolder
from holdfast.kernel.clock import SystemClock
from holdfast.kernel.errors import HoldfastError, Remedy

DATABASE_WITHIN_S = 10.0


class NoDatabase(HoldfastError):  # noqa: N818  a state of affairs more than an error
    """This copy is made without one."""

    remedy = Remedy.TRANSIENT


async def export_site(place: Place, folder: Path, months: int, report: Report) -> Exported:
    """Write a copy of the whole public site. Raises what the estate, the folder and the disk refuse with."""
    estate, clock = read_estate(place.config), SystemClock()
    CopyFolder(folder).try_out()
    found = await _found(estate, place, report)
    if found is not None:
        conninfo, inventory = found
        async with _live_site(conninfo, inventory, place) as site:
            return await export(site, folder, clock, months, report)
    inventory = _remembered(place)
    return await export(_remembering_site(inventory, place), folder, clock, months, report)


async def _found(estate: Estate, place: Place, report: Report) -> tuple[Conninfo, Inventory] | None:
    """The database and what is in force there; None where it does not answer. It is not started for this."""
    server = server_for(estate, place.config, place.data_dir)
    if is_embedded(server) and getattr(server, "pid", None) is None:
        report(Progress("no database runs here: copying what the site's snapshot has"))
        return None
    try:
        async with asyncio.timeout(DATABASE_WITHIN_S):
            await server.start()
            conninfo = server.conninfo(Role.SITE)
            found = await PostgresRegistry(conninfo).in_force()
    except (HoldfastError, OSError, TimeoutError) as error:
        report(Progress(f"the database is away ({error}): copying what the site's snapshot has"))
        return None
    return None if found is None else (conninfo, Inventory(*found))


def _remembered(place: Place) -> Inventory:
    inventory = stored_inventory(place.data_dir / "site" / "estate.json")
    if inventory is None:
        raise NothingToCopy(
            f"no database answers, and no site ever ran in {place.data_dir}",
            hint="start Holdfast, or name the data folder of a site that ran: --data-dir",
        )
    return inventory


@asynccontextmanager
async def _live_site(conninfo: Conninfo, inventory: Inventory, place: Place) -> AsyncIterator[StatusSite]:
    clock = SystemClock()
    async with open_pool(conninfo, "command line", max_size=4) as pool:
        reader = Reader(
            PostgresReadingStore(pool), clock, lambda: inventory, PostgresMonths(pool), PostgresMetrics(pool)
        )
        yield create_site(
            reader,
            settings=lambda: inventory.estate.site,
            clock=clock,
            news=NewsReader(PostgresIncidents(pool), PostgresMaintenances(pool), clock),
            reports=report_desk(pool, clock, lambda: inventory),
            readership=lambda: readership_of(inventory.estate, inventory.registered),
            logo_folder=place.config.absolute().parent,
        )


def _remembering_site(inventory: Inventory, place: Place) -> StatusSite:
    return create_site(
        _NoReader(),
        settings=lambda: inventory.estate.site,
        clock=SystemClock(),
        readership=lambda: readership_of(inventory.estate, inventory.registered),
        snapshot_file=place.data_dir / "site" / "snapshot.json",
        logo_folder=place.config.absolute().parent,
    )


class _NoReader:
    """A StatusReader whose database is away."""

    async def _away(self, *_: object, **__: object) -> NoReturn:
        raise NoDatabase("this copy is made without a database")

    overview = component = month = agreement = _away
