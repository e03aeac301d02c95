"""The status site's process. It reads only, with a login that can do nothing else."""

import asyncio
import gc
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from holdfast.adapters.postgres.backup import PostgresBackupStatus
from holdfast.adapters.postgres.changes import PostgresChanges
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.incidents import PostgresIncidents
from holdfast.adapters.postgres.maintenance import PostgresMaintenances
from holdfast.adapters.postgres.metrics import PostgresMetrics
from holdfast.adapters.postgres.months import PostgresMonths
from holdfast.adapters.postgres.reading import PostgresReadingStore
from holdfast.adapters.postgres.recovery.evidence import PostgresDrilled
from holdfast.adapters.postgres.subscriptions import PostgresSubscriptions
from holdfast.availability.inventory import Inventory
from holdfast.availability.reading import Reader
from holdfast.backup.recoverable.promises import ClusterPromise, public_promises
from holdfast.bootstrap.estates import page_links, report_links
from holdfast.bootstrap.following import FollowedEstate
from holdfast.bootstrap.publishing import Publishing
from holdfast.bootstrap.reports import report_desk
from holdfast.bootstrap.serving import serve_until_stopped
from holdfast.bootstrap.signals import Signals
from holdfast.bootstrap.vault import vault_for
from holdfast.communication.directory import Directory
from holdfast.communication.model import Channel
from holdfast.communication.news import NewsReader
from holdfast.communication.subscribing import SubscriptionDesk
from holdfast.estate.model import Estate, Site
from holdfast.interfaces.site.app import create_site
from holdfast.interfaces.site.continuity import Drills, Promises
from holdfast.interfaces.site.form_pages import Subscribing
from holdfast.interfaces.site.readership import Readership, readership_of
from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.errors import HoldfastError
from holdfast.recovery.continuity import ClusterDrills, is_anything_public, public_drills

RETRY_EVERY_S = 1.0
MOST_DRILLED = 1000
"""Of the newest: enough for many subjects, and for the worst of many tries."""
CALM_COLLECTOR = (10_000, 20, 50)
"""A snapshot of a large estate is half a million objects that live until the next one. Looking through them
as often as Python does by itself takes as long as making them."""

log = structlog.get_logger()


class SiteInventory(FollowedEstate):
    """The estate in force, with the secrets of its links and who may know of what."""

    def __init__(self, registry: PostgresRegistry, copy: Path, fallback: Estate, config: Path) -> None:
        self._config = config
        self._links: Mapping[str, str] = {}
        self._page_links: Mapping[str, str] = {}
        self._readership = Readership(Directory({}, {}))
        super().__init__(registry, copy, fallback)

    def settings(self) -> Site:
        return self.estate.site

    def report_links(self) -> Mapping[str, str]:
        """The secret of each agreement that has a report link, by the agreement's key."""
        return self._links

    def page_links(self) -> Mapping[str, str]:
        """The secret of each customer that has a private page, by the customer's key."""
        return self._page_links

    def readership(self) -> Readership:
        """Who may know of what; nobody of anything while no estate is known."""
        return self._readership

    def put(self, inventory: Inventory) -> None:
        super().put(inventory)
        self._links = report_links(inventory.estate, self._config)
        self._page_links = page_links(inventory.estate, self._config)
        self._readership = readership_of(inventory.estate, inventory.registered)


async def run_site(
    estate: Estate,
    config: Path,
    data_dir: Path,
    conninfo: Conninfo,
    signals: Signals,
    *,
    clock: Clock | None = None,
) -> None:
    """Serve until `signals.stop`. `config` is absolute; `clock` is the machine's unless another is given."""
    clock = clock or SystemClock()
    gc.set_threshold(*CALM_COLLECTOR)
    registry = PostgresRegistry(conninfo)
    inventory = SiteInventory(registry, data_dir / "site" / "estate.json", estate, config)
    await inventory.refresh()
    listen = PostgresChanges(conninfo)

    async with open_pool(conninfo, "site", max_size=6) as pool:
        reader = Reader(
            PostgresReadingStore(pool), clock, inventory, PostgresMonths(pool), PostgresMetrics(pool)
        )
        publishing = Publishing(config, clock, inventory.settings)
        app = create_site(
            reader,
            settings=inventory.settings,
            clock=clock,
            copies=publishing.ages,
            news=NewsReader(PostgresIncidents(pool), PostgresMaintenances(pool), clock),
            reports=report_desk(pool, clock, inventory),
            readership=inventory.readership,
            changes=lambda: inventory.changes(listen),
            snapshot_file=data_dir / "site" / "snapshot.json",
            report_links=inventory.report_links,
            page_links=inventory.page_links,
            logo_folder=config.parent,
            subscribing=subscribing_on(pool, estate, config, data_dir, inventory),
            promises=promises_on(pool, clock, inventory),
            drills=drills_on(pool, clock, inventory),
        )
        beside = [
            asyncio.create_task(inventory.reread_on_signal(signals)),
            asyncio.create_task(publishing.run(app)),
        ]
        try:
            await serve_until_stopped(app, estate.site.listen, signals)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)


def promises_on(pool: Pool, clock: Clock, inventory: SiteInventory) -> Promises:
    """What the continuity page shows, of the estate in force then."""
    status = PostgresBackupStatus(pool)

    async def promises() -> Sequence[ClusterPromise]:
        estate = inventory.estate
        if not any(each.public for each in estate.databases.values()):
            return ()
        return public_promises(estate, await status.statuses(), clock.now())

    return promises


def drills_on(pool: Pool, clock: Clock, inventory: SiteInventory) -> Drills:
    """What the continuity page shows of drills, of the estate in force then."""
    evidence = PostgresDrilled(pool)

    async def drills() -> Sequence[ClusterDrills]:
        estate = inventory.estate
        if not is_anything_public(estate):
            return ()
        return public_drills(estate, await evidence.drilled(MOST_DRILLED), clock.now())

    return drills


def subscribing_on(
    pool: Pool, estate: Estate, config: Path, data_dir: Path, inventory: SiteInventory
) -> Subscribing | None:
    """What the pages for subscribers work with; None when the key for their addresses cannot be had.

    The site then shows everything else: it is needed most when something is wrong.
    """
    try:
        vault = vault_for(estate, config, data_dir)
    except (HoldfastError, OSError) as error:
        log.error("subscriptions_not_offered", error=str(error))  # noqa: TRY400  a person's to put right
        return None
    store = PostgresSubscriptions(pool)
    desk = SubscriptionDesk(
        store,
        vault,
        private_targets=lambda: inventory.estate.communication.subscriptions.private_targets,
    )
    return Subscribing(desk, vault, lambda: channels_of(inventory.estate))


def channels_of(estate: Estate) -> Sequence[Channel]:
    """Those that visitors are offered: mail only where there is a way to send it."""
    channels = [Channel(each) for each in estate.communication.subscriptions.channels]
    return [each for each in channels if each is not Channel.MAIL or estate.mail is not None]
