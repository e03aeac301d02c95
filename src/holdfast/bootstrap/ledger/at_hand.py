"""How a command works on the ledger of a running Holdfast."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.availability.inventory import Inventory
from holdfast.bootstrap.at_work import UsageError
from holdfast.bootstrap.database import is_embedded, server_for
from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.ledger.opening import Ledger, opened_ledger
from holdfast.interfaces.cli.ports import Place
from holdfast.ledger.errors import KeyRefused, NotThere, ProofRefused
from holdfast.ledger.log.notes import VerifierKey

T = TypeVar("T")


async def with_ledger(
    place: Place,
    work: Callable[[Ledger, Conninfo], Awaitable[T]],
    *,
    signing: bool = False,
    most_connections: int = 4,
) -> T:
    """Work on the ledger that the estate in force declares; the file, in a database that has none yet.

    An embedded server is not started for this. Raises NoLedger, UsageError, DatabaseError.
    """
    estate = read_estate(place.config)
    server = server_for(estate, place.config, place.data_dir)
    if is_embedded(server) and getattr(server, "pid", None) is None:
        raise UsageError(f"no Holdfast is running in {place.data_dir}", hint="start it first: holdfast up")
    await server.start()
    conninfo = server.conninfo(Role.LEDGER)
    in_force = await PostgresRegistry(conninfo).in_force()
    async with opened_ledger(
        Inventory(*in_force).estate if in_force else estate,
        place,
        conninfo,
        signing=signing,
        application="command line",
        most_connections=most_connections,
    ) as ledger:
        return await work(ledger, conninfo)


def key_from(text: str) -> VerifierKey:
    """A verifier key as it was given: itself, or the file that it is in. Raises KeyRefused."""
    try:
        return VerifierKey.parsed(text)
    except ProofRefused as refused:
        try:
            return VerifierKey.parsed(Path(text).read_text(encoding="utf-8"))
        except (OSError, ValueError, ProofRefused):
            raise KeyRefused(
                f"{text[:60]!r} is neither a verifier key nor a file that holds one",
                hint="a verifier key reads name+id+key; holdfast ledger key show prints it",
            ) from refused


def no_log(tenant: str) -> NotThere:
    name = f"the tenant {tenant!r} has" if tenant else "there is"
    return NotThere(f"{name} no log yet", hint="holdfast ledger tenant list shows who is known")
