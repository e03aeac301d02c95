"""The estate in force, as processes other than the controller follow it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import structlog

from holdfast.adapters.postgres.changes import PostgresChanges
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.availability.inventory import Inventory
from holdfast.bootstrap.signals import Signals
from holdfast.estate.model import Estate
from holdfast.estate.ports import Registered
from holdfast.kernel.errors import HoldfastError, Remedy

log = structlog.get_logger()


class InventoryUnknown(HoldfastError):  # noqa: N818  a state of affairs more than an error
    """No estate was applied yet, or the database has been away since this process began."""

    remedy = Remedy.TRANSIENT


class _Copy(msgspec.Struct):
    """A process's own copy of the estate in force, for a start while the database is away."""

    estate: dict[str, object]
    components: list[tuple[str, str, int]]
    checks: list[tuple[str, str, str, int]]
    revision: int
    hidden: list[int] = []


_COPY = msgspec.json.Decoder(_Copy)


def stored_inventory(path: Path) -> Inventory | None:
    """The estate in force as a process wrote it down; None when there is none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        copy = _COPY.decode(path.read_bytes())
        return Inventory(
            Estate.model_validate(copy.estate),
            Registered(
                {(cluster, key): each for cluster, key, each in copy.components},
                {(cluster, component, key): each for cluster, component, key, each in copy.checks},
                copy.revision,
                frozenset(copy.hidden),
            ),
        )
    return None


class FollowedEstate:
    """The estate in force as the database has it, followed through its changes, with a copy on disk.

    `fallback` is the file's, for settings while nothing is known of what is in force.
    """

    def __init__(self, registry: PostgresRegistry, copy: Path, fallback: Estate) -> None:
        self._registry = registry
        self._copy = copy
        self._fallback = fallback
        self._inventory: Inventory | None = None
        known = stored_inventory(copy)
        if known is not None:
            self.put(known)

    def __call__(self) -> Inventory:
        """Raises InventoryUnknown."""
        if self._inventory is None:
            raise InventoryUnknown("no estate is known yet", hint="it appears once a controller applied one")
        return self._inventory

    @property
    def estate(self) -> Estate:
        """For settings: the one in force, or else the file's."""
        return self._fallback if self._inventory is None else self._inventory.estate

    async def refresh(self) -> None:
        """Read the estate in force; keeps the old one while the database is away."""
        try:
            found = await self._registry.in_force()
        except HoldfastError as error:
            log.warning("estate_not_read", error=str(error))
            return
        if found is not None:
            self.put(Inventory(*found))
            self._write_copy(*found)

    async def changes(self, listen: PostgresChanges) -> AsyncIterator[str]:
        """What changes in the database; the estate is read anew before anybody hears that it changed."""
        async for what in listen():
            if what in ("estate", "reconnected"):
                await self.refresh()
            yield what

    async def reread_on_signal(self, signals: Signals, then: Callable[[], None] = lambda: None) -> None:
        """A SIGHUP tells of a changed secret, for which the estate file stays as it is. Until cancelled."""
        while True:
            await signals.reload.wait()
            signals.reload.clear()
            await self.refresh()
            then()

    async def follow(self, listen: PostgresChanges, signals: Signals) -> None:
        """Both of these, for who wants to hear of nothing. Until cancelled."""
        rereading = asyncio.create_task(self.reread_on_signal(signals))
        try:
            async for _ in self.changes(listen):
                pass
        finally:
            rereading.cancel()

    async def watch(
        self,
        listen: PostgresChanges,
        signals: Signals,
        concerns: Callable[[Estate], object],
        changed: asyncio.Event,
    ) -> None:
        """Set `changed` when `concerns` finds something else in the estate in force, and on a SIGHUP: of a
        changed secret. Until cancelled.
        """
        rereading = asyncio.create_task(self.reread_on_signal(signals, changed.set))
        try:
            known = concerns(self.estate)
            async for _ in self.changes(listen):
                if (now := concerns(self.estate)) != known:
                    known = now
                    changed.set()
        finally:
            rereading.cancel()

    def put(self, inventory: Inventory) -> None:
        """From now on this one counts."""
        self._inventory = inventory

    def _write_copy(self, estate: Estate, registered: Registered) -> None:
        copy = _Copy(
            estate.model_dump(mode="json"),
            [(*identity, each) for identity, each in registered.components.items()],
            [(*identity, each) for identity, each in registered.checks.items()],
            registered.revision,
            sorted(registered.hidden),
        )
        fresh = self._copy.with_suffix(".new")
        with contextlib.suppress(OSError):  # a full disk must not take a process down: the copy is a comfort
            self._copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.write_bytes(msgspec.json.encode(copy))
            fresh.replace(self._copy)
