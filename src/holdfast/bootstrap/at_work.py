"""How a command does its work: in an event loop of its own, on the database of a running Holdfast."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import uvloop

from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.vault.aes import AesVault
from holdfast.availability.inventory import Inventory
from holdfast.bootstrap.database import is_embedded, server_for
from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.vault import vault_for
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.errors import HoldfastError

T = TypeVar("T")


class UsageError(HoldfastError):
    """The command's arguments ask for something that is not there."""


def vault_of(place: Place, inventory: Inventory) -> AesVault:
    return vault_for(inventory.estate, place.config.absolute(), place.data_dir)


def run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def with_database(place: Place, role: Role, work: Callable[[Pool, Inventory], Awaitable[T]]) -> T:
    """Work on the database of a running Holdfast. An embedded one is not started for this."""
    estate = read_estate(place.config)
    server = server_for(estate, place.config, place.data_dir)
    if is_embedded(server) and getattr(server, "pid", None) is None:
        raise UsageError(f"no Holdfast is running in {place.data_dir}", hint="start it first: holdfast up")
    await server.start()
    conninfo = server.conninfo(role)
    found = await PostgresRegistry(conninfo).in_force()
    if found is None:
        raise UsageError("no estate has been applied yet", hint="start it first: holdfast up")
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(conninfo, "command line", max_size=2))
        return await work(pool, Inventory(*found))
