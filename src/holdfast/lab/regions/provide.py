"""The last step of a new pair of nodes: a leader, the service's database, and a synchronous standby."""

import asyncio
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta

import psycopg

from holdfast.adapters.patroni.rest import Away, Login, ask
from holdfast.lab.database import provide_database, told
from holdfast.lab.errors import PartFailedError
from holdfast.lab.model import Damage, Part, PartStatus
from holdfast.lab.place import Place
from holdfast.lab.regions import layout as at
from holdfast.lab.regions import settings
from holdfast.lab.regions.layout import REGIONS, WITNESS, Layout
from holdfast.lab.regions.parts import asked
from holdfast.lab.regions.settings import Pace

LEADER_WITHIN_S = 60.0
STANDBY_WITHIN_S = 20.0
ANSWER_WITHIN = timedelta(seconds=5)


class ProvidedPart:
    """Region B's node. Started, the cluster has a leader that can be written to, and the database is there.

    It does not wait for a second node that cannot follow: a lab that was healed may have one.
    """

    def __init__(self, node: Part, layout: Layout, place: Place, pace: Pace) -> None:
        self._node = node
        self._pace = pace
        self._layout = layout
        self._place = place

    @property
    def name(self) -> str:
        return self._node.name

    async def start(self) -> None:
        await self._node.start()
        await self._provide()

    async def heal(self) -> None:
        await self._node.start()

    async def stop(self) -> None:
        await self._node.stop()

    async def break_(self, how: Damage) -> None:
        await self._node.break_(how)

    async def status(self) -> PartStatus:
        return await self._node.status()

    async def _provide(self) -> None:
        hosts = {self._layout.outer(region): self._layout.port(at.POSTGRES) for region in REGIONS}
        login = self._place.secret(at.DATABASE)
        for name, user, password in (
            (f"{at.DATABASE}.conninfo", at.DATABASE, login),
            ("superuser.conninfo", settings.SUPERUSER, self._place.secret("regions-superuser")),
        ):
            words = settings.conninfo(hosts, at.DATABASE, user, password)
            self._place.write_secret(name, psycopg.conninfo.make_conninfo(**words) + "\n")
        owner = settings.conninfo(
            hosts, "postgres", settings.SUPERUSER, self._place.secret("regions-superuser")
        )
        with told("PostgreSQL"):
            connection = await self._connected(psycopg.conninfo.make_conninfo(**owner))
            async with connection:
                await provide_database(connection, at.DATABASE, login)
        await self._set_pace()
        await self._until_synchronous()

    async def _connected(self, dsn: str) -> psycopg.AsyncConnection[tuple[object, ...]]:
        deadline = time.monotonic() + LEADER_WITHIN_S
        while True:
            try:
                return await psycopg.AsyncConnection.connect(dsn, autocommit=True)
            except psycopg.OperationalError as error:
                if time.monotonic() >= deadline:
                    raise PartFailedError(
                        f"no region's PostgreSQL can be written to after {LEADER_WITHIN_S:.0f} s",
                        hint="the nodes' logs say why: log/a-node.log and log/b-node.log",
                    ) from error
            await asyncio.sleep(0.2)

    async def _set_pace(self) -> None:
        """Patroni's pace is in its store: what the settings files say counts for a new cluster only."""
        url = f"http://{self._layout.outer('b')}:{self._layout.port(at.PATRONI)}/config"
        login = Login(settings.REST_USER, self._place.secret("regions-rest"))
        wanted = asdict(self._pace)
        with suppress(Away):
            known = (await ask("GET", url, ANSWER_WITHIN)).content
            if any(known.get(key) != value for key, value in wanted.items()):
                await ask("PATCH", url, ANSWER_WITHIN, body=wanted, login=login)

    async def _until_synchronous(self) -> None:
        """Return when nothing is acknowledged any more that one region has alone; after a while anyway."""
        deadline = time.monotonic() + STANDBY_WITHIN_S
        where = self._layout.outer(WITNESS), self._layout.port(at.PATRONI)
        while time.monotonic() < deadline:
            sync = (await asked(*where, "/view")).get("sync")
            if isinstance(sync, dict) and sync.get("standby"):
                return
            await asyncio.sleep(0.2)
