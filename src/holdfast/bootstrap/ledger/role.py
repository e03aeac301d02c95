"""The ledger's process: takes records in, and keeps its duties. Several may do so at once, on any machine.

The database may be away at any time: nothing is acknowledged then, and sources post again.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

import structlog

from holdfast.adapters.postgres.changes import PostgresChanges
from holdfast.adapters.postgres.connect import borrowed
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.ledger.finding import PostgresAccessTrail
from holdfast.adapters.postgres.ledger.published import PostgresPublished
from holdfast.adapters.postgres.ledger.regions import PostgresOneRegion
from holdfast.adapters.postgres.ledger.sources import PostgresSources
from holdfast.bootstrap.following import FollowedEstate
from holdfast.bootstrap.ledger.completeness import completeness_of
from holdfast.bootstrap.ledger.duties import DUTIES
from holdfast.bootstrap.ledger.opening import Ledger, declared_in, opened_ledger
from holdfast.bootstrap.ledger.persons import book_of
from holdfast.bootstrap.ledger.preparing import Preparers
from holdfast.bootstrap.ledger.regions import gate_of, second_of
from holdfast.bootstrap.ledger.working import Telling, Told, Working, kept
from holdfast.bootstrap.serving import bound, serve_until_stopped
from holdfast.bootstrap.signals import Signals
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place
from holdfast.interfaces.ledger.app import create_ledger_app
from holdfast.interfaces.ledger.callers import Callers
from holdfast.interfaces.ledger.figures import Figures
from holdfast.interfaces.ledger.services import Services
from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.intake.taking import Taking

CONNECTIONS = 10
BEGIN_AGAIN_IN_S = 2.0
DISK_WITHIN_S = 30.0
"""An answer waits no longer for this database."""

log = structlog.get_logger()


async def run_ledger(estate: Estate, place: Place, conninfo: Conninfo, signals: Signals) -> None:
    """Serve until `signals.stop`. `place` is absolute. Raises NoLedger where `estate` declares none.

    `estate` serves until the one in force is known.
    """
    declared_in(estate)
    folder = place.data_dir / "ledger"
    followed = FollowedEstate(PostgresRegistry(conninfo), folder / "estate.json", fallback=estate)
    await followed.refresh()
    process = LedgerProcess(place, conninfo, followed, SystemClock())
    tasks = [
        asyncio.create_task(process.run(signals)),
        asyncio.create_task(process.follow(PostgresChanges(conninfo), signals)),
        asyncio.create_task(process.tell.write()),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for each in ended:
        if isinstance(each, Exception):
            raise each


class LedgerProcess:
    """Serves what the estate in force declares, and begins anew when that changes."""

    def __init__(self, place: Place, conninfo: Conninfo, followed: FollowedEstate, clock: Clock) -> None:
        self.tell = Telling(conninfo, clock)
        self._place = place
        self._conninfo = conninfo
        self._followed = followed
        self._clock = clock
        self._changed = asyncio.Event()

    async def run(self, signals: Signals) -> None:
        """Until `signals.stop`; what is on its way is answered first."""
        stopping = asyncio.create_task(signals.stop.wait())
        try:
            while not stopping.done():
                self._changed.clear()
                ended = Signals()
                serving = asyncio.create_task(self._serve(self._followed.estate, ended))
                changed = asyncio.create_task(self._changed.wait())
                await asyncio.wait({serving, changed, stopping}, return_when=asyncio.FIRST_COMPLETED)
                ended.stop.set()
                changed.cancel()
                try:
                    await serving
                    self.tell.trouble("not_served", None)
                except HoldfastError as error:
                    self.tell.trouble("not_served", error)
                    changed = asyncio.create_task(self._changed.wait())
                    await asyncio.wait(
                        {stopping, changed}, timeout=BEGIN_AGAIN_IN_S, return_when=asyncio.FIRST_COMPLETED
                    )
                    changed.cancel()
        finally:
            stopping.cancel()

    async def follow(self, changes: PostgresChanges, signals: Signals) -> None:
        """Begin anew when the estate in force has another ledger, or on a SIGHUP: of a changed secret."""
        await self._followed.watch(changes, signals, _concerns, self._changed)

    async def _serve(self, estate: Estate, ended: Signals) -> None:
        """Raises HoldfastError for what an operator can put right: no key, an address that is taken."""
        opening = opened_ledger(
            estate, self._place, self._conninfo, signing=True, most_connections=CONNECTIONS
        )
        async with opening as ledger, self._working(estate, ledger) as (working, services):
            listen = ledger.declared.listen
            try:
                listening = bound(listen)
            except OSError as error:
                raise NotServed(
                    f"the ledger cannot listen on {listen}: {error.strerror}",
                    hint="free the port, or set ledger.listen in the estate file",
                ) from error
            with contextlib.closing(listening):
                self.tell.trouble("not_served", None)
                log.info("ledger_served", listen=listen, name=ledger.declared.name)
                duties = [
                    asyncio.create_task(kept(name, duty, working), name=name) for name, duty in DUTIES.items()
                ]
                try:
                    await serve_until_stopped(create_ledger_app(services), listen, ended, listening=listening)
                finally:
                    await _cancelled(duties)

    @contextlib.asynccontextmanager
    async def _working(self, estate: Estate, ledger: Ledger) -> AsyncIterator[tuple[Working, Services]]:
        pool, figures = ledger.pool, Figures()
        second = second_of(ledger.declared, pool)
        gate = gate_of(ledger, second, self._told_once(self.tell))
        one_region, published = PostgresOneRegion(pool), PostgresPublished(pool)
        working = Working(
            estate, self._place, self._conninfo, ledger, self._clock, self.tell, second, gate, one_region,
            figures,
        )  # fmt: skip
        sequencer = Sequencer(
            ledger.logs, ledger.packs, origin_of=ledger.origin_of, signer_for=ledger.signer_for
        )
        region = ledger.declared.second_region
        waits = region is not None and region.mode == "synchronous"
        preparing = Preparers(book_of(ledger, self._place))
        taking = Taking(
            preparing,
            sequencer,
            gate,
            one_region,
            published,
            patience_s=gate.within_s if waits else DISK_WITHIN_S,
        )
        figures.gauges["holdfast_ledger_second_region_away"] = (
            "1 while the second region does not answer in time.",
            lambda: float(gate.away),
        )
        figures.gauges["holdfast_ledger_waiting_for_second_region"] = (
            "Requests that wait for the second region.",
            lambda: gate.waiting,
        )

        async def trouble() -> str:
            if gate.stalls:
                return "the second region is away"
            try:
                async with borrowed(pool) as connection:
                    await connection.execute("SELECT 1")
            except HoldfastError:
                return "the database is away"
            return ""

        services = Services(
            clock=self._clock,
            callers=Callers(PostgresSources(pool), self._clock),
            intake=taking,
            logs=ledger.logs,
            published=published,
            trail=PostgresAccessTrail(pool),
            origin_of=ledger.origin_of,
            key_of=ledger.key_of,
            on_trouble=lambda error: self.tell.trouble("request_not_answered", error),
            completeness=completeness_of(ledger),
            trouble=trouble,
            figures=figures,
            more_figures=working.more_figures,
        )
        warming = asyncio.create_task(preparing.warm_up())
        try:
            yield working, services
        finally:
            await _cancelled([warming])
            await taking.aclose()
            await gate.aclose()
            if second is not None:
                await second.aclose()
            preparing.close()

    @staticmethod
    def _told_once(tell: Telling) -> Told:
        """What cannot be asked is asked again all the time, and told once."""

        def told(event: str, facts: Mapping[str, object]) -> None:
            if event == "second_region_unknown":
                tell.trouble(event, HoldfastError(str(facts["error"]), hint=str(facts["hint"])))
            else:
                tell(event, facts)

        return told


class NotServed(HoldfastError):  # noqa: N818  a state of affairs more than an error
    """The address is not to be had."""


async def _cancelled(tasks: Sequence["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _concerns(estate: Estate) -> Sequence[object]:
    """What of an estate the process goes by."""
    return estate.ledger, estate.alerts, estate.postgres
