"""Recovery's process: works on runs, and keeps its duties. Several may do so at once, on any machine.

Holdfast's own database may be away at any time. A run that is under way stands still then, and when that
lasts longer than a lease whoever finds the database first goes on with it.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

import structlog

from holdfast.adapters.postgres.changes import PostgresChanges
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.recovery.news import Heard, heard_on
from holdfast.adapters.postgres.recovery.runs import PostgresRuns
from holdfast.bootstrap.following import FollowedEstate
from holdfast.bootstrap.recovery.actions import actions_for
from holdfast.bootstrap.recovery.duties import DUTIES
from holdfast.bootstrap.recovery.figures import recovery_app
from holdfast.bootstrap.recovery.people import recovery_for_people
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.bootstrap.recovery.working import Working, kept
from holdfast.bootstrap.serving import bound, serve_until_stopped
from holdfast.bootstrap.signals import Signals
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.clock import Clock, SystemClock
from holdfast.recovery.engine import Engine
from holdfast.recovery.ports import Action

CONNECTIONS = 6
"""Of each of the two pools."""
LISTEN_AGAIN_IN_S = 5.0

log = structlog.get_logger()


async def run_recovery(estate: Estate, place: Place, conninfo: Conninfo, signals: Signals) -> None:
    """Work on runs until `signals.stop`. `place` is absolute.

    `estate` serves until the one in force is known.
    """
    followed = FollowedEstate(
        PostgresRegistry(conninfo), place.data_dir / "recovery" / "estate.json", fallback=estate
    )
    await followed.refresh()
    async with (
        open_pool(conninfo, "recovery", max_size=CONNECTIONS) as own,
        open_pool(conninfo, "recovery work", max_size=CONNECTIONS) as pool,
        heard_on(conninfo) as heard,
    ):
        process = RecoveryProcess(place, conninfo, own, pool, heard, followed, SystemClock())
        tasks = [
            asyncio.create_task(process.work(signals.stop)),
            asyncio.create_task(process.keep_duties()),
            asyncio.create_task(process.answer()),
            asyncio.create_task(process.follow(PostgresChanges(conninfo), signals)),
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


class RecoveryProcess:
    """One replica's. Actions are those of the estate in force when a step begins."""

    def __init__(
        self,
        place: Place,
        conninfo: Conninfo,
        own: Pool,
        pool: Pool,
        heard: Heard,
        followed: FollowedEstate,
        clock: Clock,
    ) -> None:
        # Whatever actions and duties do with their connections, leases are renewed over others.
        self._place = place
        self._conninfo = conninfo
        self._pool = pool
        self._heard = heard
        self._followed = followed
        self._clock = clock
        self._runs = PostgresRuns(pool, heard)
        self._actions = dict[str, Action]()
        self._changed = asyncio.Event()
        self._engine = Engine(PostgresRuns(own, heard), self._actions, clock, replica=replica_name())
        self._renew_actions()

    async def work(self, stop: asyncio.Event) -> None:
        """Until `stop`; then its runs are free for others."""
        log.info("recovery_ready", actions=len(self._actions))
        await self._engine.work_until(stop)

    async def keep_duties(self) -> None:
        """Begin them anew whenever the estate in force has another recovery. Until cancelled."""
        while True:
            self._changed.clear()
            self._renew_actions()
            async with self._duties():
                await self._changed.wait()

    async def follow(self, changes: PostgresChanges, signals: Signals) -> None:
        """The estate in force, and a SIGHUP: of a changed secret. Until cancelled."""
        await self._followed.watch(changes, signals, _concerns, self._changed)

    async def answer(self) -> None:
        """/health, /health/ready and /metrics, where the estate says so. Until cancelled.

        An address that is taken keeps no run waiting: it is tried again.
        """
        app = recovery_app(self._pool, self._engine, self._clock)
        told = ""
        while True:
            listen = _listen_of(self._followed.estate)
            if listen is None:
                await asyncio.sleep(LISTEN_AGAIN_IN_S)
                continue
            try:
                listening = bound(listen)
            except OSError as error:
                if told != str(error):
                    told = str(error)
                    log.warning("recovery_not_listening", listen=listen, error=told)
                await asyncio.sleep(LISTEN_AGAIN_IN_S)
                continue
            told = ""
            ended = Signals()
            with contextlib.closing(listening):
                log.info("recovery_listening", listen=listen)
                serving = asyncio.create_task(serve_until_stopped(app, listen, ended, listening=listening))
                try:
                    while _listen_of(self._followed.estate) == listen and not serving.done():  # noqa: ASYNC110
                        await asyncio.sleep(LISTEN_AGAIN_IN_S)
                finally:
                    ended.stop.set()
                    await asyncio.gather(serving, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def _duties(self) -> AsyncIterator[None]:
        estate = self._followed.estate
        recovery = recovery_for_people(self._pool, lambda: estate, self._place, self._heard)
        working = Working(
            estate, self._place, self._conninfo, self._pool, self._heard, self._runs, recovery, self._clock
        )
        duties = [asyncio.create_task(kept(name, duty, working), name=name) for name, duty in DUTIES.items()]
        try:
            yield
        finally:
            for each in duties:
                each.cancel()
            await asyncio.gather(*duties, return_exceptions=True)

    def _renew_actions(self) -> None:
        """In place: steps that are under way end as they began."""
        around = Surroundings(
            self._followed.estate, self._place, self._conninfo, self._pool, self._runs, self._clock
        )
        made = actions_for(around, _troubled)
        self._actions.clear()
        self._actions.update(made)


def _troubled(subject: str, error: Exception) -> None:
    """Steps that name one of its actions fail and say so; runs about other things go on."""
    log.error("actions_not_made", subject=subject, error=f"{type(error).__name__}: {error}")


def replica_name() -> str:
    """Of this process, like no other's: for people who look for who had a run."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid4().hex[:8]}"


def _listen_of(estate: Estate) -> str | None:
    listen: str | None = getattr(getattr(estate, "recovery", None), "listen", None)
    return listen


def _concerns(estate: Estate) -> Sequence[object]:
    """What of an estate the process goes by."""
    return (
        getattr(estate, "recovery", None),
        estate.clusters,
        estate.databases,
        estate.backup,
        estate.agreements,
        estate.ledger,
    )
