"""The status site's process. It reads only, with a login that can do nothing else."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import msgspec
import structlog
import uvicorn

from holdfast.adapters.postgres.availability import PostgresReadingStore
from holdfast.adapters.postgres.changes import PostgresChanges
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.metrics import PostgresMetrics
from holdfast.adapters.postgres.months import PostgresMonths
from holdfast.availability.reading import Inventory, Reader
from holdfast.bootstrap.estates import report_links
from holdfast.bootstrap.signals import Signals
from holdfast.estate.model import Estate, Site
from holdfast.estate.ports import Registered
from holdfast.interfaces.site.app import create_site
from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.errors import HoldfastError, Remedy

RETRY_EVERY_S = 1.0
CALM_COLLECTOR = (10_000, 20, 50)
"""A snapshot of a large estate is half a million objects that live until the next one. Looking through them
as often as Python does by itself takes as long as making them."""

log = structlog.get_logger()


class InventoryUnknown(HoldfastError):  # noqa: N818  a state of affairs more than an error
    """No estate was applied yet, or the database has been away since this site began."""

    remedy = Remedy.TRANSIENT


class _Copy(msgspec.Struct):
    """The site's own copy of the estate in force, for a start while the database is away."""

    estate: dict[str, object]
    components: list[tuple[str, str, int]]
    checks: list[tuple[str, str, str, int]]
    revision: int


class SiteInventory:
    """The estate in force as the database has it, followed through its changes, with a copy on disk."""

    def __init__(self, registry: PostgresRegistry, copy: Path, fallback: Site, config: Path) -> None:
        self._registry = registry
        self._copy = copy
        self._fallback = fallback
        self._config = config
        self._links: Mapping[str, str] = {}
        self._inventory: Inventory | None = None
        self._put(self._read_copy())

    def __call__(self) -> Inventory:
        if self._inventory is None:
            raise InventoryUnknown("no estate is known yet", hint="it appears once a controller applied one")
        return self._inventory

    def settings(self) -> Site:
        return self._fallback if self._inventory is None else self._inventory.estate.site

    def report_links(self) -> Mapping[str, str]:
        """The secret of each agreement that has a report link, by the agreement's key."""
        return self._links

    async def refresh(self) -> None:
        """Read the estate in force; keeps the old one while the database is away."""
        try:
            found = await self._registry.in_force()
        except HoldfastError as error:
            log.warning("estate_not_read", error=str(error))
            return
        if found is not None:
            self._put(Inventory(*found))
            self._write_copy(*found)

    def _put(self, inventory: Inventory | None) -> None:
        self._inventory = inventory
        if inventory is not None:
            self._links = report_links(inventory.estate, self._config)

    def _read_copy(self) -> Inventory | None:
        with contextlib.suppress(OSError, ValueError):
            copy = msgspec.json.decode(self._copy.read_bytes(), type=_Copy)
            return Inventory(
                Estate.model_validate(copy.estate),
                Registered(
                    {(cluster, key): each for cluster, key, each in copy.components},
                    {(cluster, component, key): each for cluster, component, key, each in copy.checks},
                    copy.revision,
                ),
            )
        return None

    def _write_copy(self, estate: Estate, registered: Registered) -> None:
        copy = _Copy(
            estate.model_dump(mode="json"),
            [(*identity, each) for identity, each in registered.components.items()],
            [(*identity, each) for identity, each in registered.checks.items()],
            registered.revision,
        )
        fresh = self._copy.with_suffix(".new")
        with contextlib.suppress(OSError):  # a full disk must not take the site down: the copy is a comfort
            self._copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.write_bytes(msgspec.json.encode(copy))
            fresh.replace(self._copy)


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
    inventory = SiteInventory(registry, data_dir / "site" / "estate.json", estate.site, config)
    await inventory.refresh()
    listen = PostgresChanges(conninfo)

    async def changes() -> AsyncIterator[object]:
        """The estate is read anew before the site hears that it changed."""
        async for what in listen():
            if what in ("estate", "reconnected"):
                await inventory.refresh()
            yield what

    async with open_pool(conninfo, "site", max_size=6) as pool:
        reader = Reader(
            PostgresReadingStore(pool), clock, inventory, PostgresMonths(pool), PostgresMetrics(pool)
        )
        app = create_site(
            reader,
            settings=inventory.settings,
            clock=clock,
            changes=changes,
            snapshot_file=data_dir / "site" / "snapshot.json",
            report_links=inventory.report_links,
            logo_folder=config.parent,
        )
        server = _Server(_configured(app, estate.site.listen))
        following = [
            asyncio.create_task(_stop(server, signals)),
            asyncio.create_task(_reread_secrets(inventory, signals)),
        ]
        try:
            await server.serve()
        finally:
            for task in following:
                task.cancel()


def _configured(app: object, listen: str) -> uvicorn.Config:
    host, _, port = listen.rpartition(":")
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=host.strip("[]"),
        port=int(port),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=2,
        limit_concurrency=2000,
        h11_max_incomplete_event_size=16_384,
    )


class _Server(uvicorn.Server):
    """Leaves the signals to the role, which has more to do with them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _reread_secrets(inventory: SiteInventory, signals: Signals) -> None:
    """A SIGHUP tells of a changed secret, for which the estate file stays as it is."""
    while True:
        await signals.reload.wait()
        signals.reload.clear()
        await inventory.refresh()


async def _stop(server: uvicorn.Server, signals: Signals) -> None:
    await signals.stop.wait()
    server.should_exit = True
