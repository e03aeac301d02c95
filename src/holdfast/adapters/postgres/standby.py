"""What the standby in the second region has on its disk, as the primary knows it.

The primary is asked every few milliseconds while somebody waits, once for all who do. Whoever waits is told
by a look that began after they came: nothing is remembered. Only standbys count that follow now:

- none of that name: nothing is there, however far it was before it was lost;
- one that came back behind: as far as it is now;
- several of that name: as far as the one that has least, for one of them is not the one that is meant.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed, connect
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.errors import DatabaseRefused
from holdfast.kernel.errors import HoldfastError

SHORTEST_PAUSE_S = 0.002
LONGEST_PAUSE_S = 0.05
_FOLLOWERS = """
SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
       count(*)::integer,
       coalesce(min(pg_wal_lsn_diff(flush_lsn, '0/0')), 0)::bigint,
       coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn)), 0)::bigint,
       coalesce(bool_or(sync_state IN ('sync', 'quorum')), false)
  FROM pg_stat_replication
 WHERE application_name = %s AND state IN ('catchup', 'streaming')
"""
_LOOK = "SELECT permitted, followers, flushed FROM ledger.standby(%s)"


@dataclass(frozen=True, slots=True)
class Standing:
    """What the primary knows: how many follow under the name, and what the last of them has flushed."""

    followers: int
    flushed: int
    """0 for none."""
    behind: int = 0
    """So many bytes of the WAL the last of them has not flushed."""
    is_waited_for: bool = False
    """Whether commits wait for one of them (`synchronous_standby_names`)."""


async def followers_of(conninfo: Conninfo, name: str) -> Standing:
    """One look over a connection of its own, on a database that may not have Holdfast's tables yet.

    Raises DatabaseAway, and DatabaseRefused when the login may not see who follows.
    """
    async with connect(conninfo, "check") as connection:
        row = await (await connection.execute(_FOLLOWERS, [name])).fetchone()
    permitted, *found = row or (False,)
    if not permitted:
        raise _blind()
    return Standing(*found)


def _blind() -> DatabaseRefused:
    return DatabaseRefused(
        "the owner of Holdfast's tables may not see which standbys follow",
        hint="as a superuser of the database: GRANT pg_read_all_stats TO that login",
    )


@dataclass(eq=False, slots=True)
class _Waiting:
    lsn: int
    done: "asyncio.Future[bool]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class PostgresStandby:
    """SecondRegion by the primary's `pg_stat_replication`."""

    def __init__(self, pool: Pool, name: str) -> None:
        """`name`: the application_name that the standby connects with."""
        self._pool = pool
        self._name = name
        self._waiting: set[_Waiting] = set()
        self._looking: asyncio.Task[None] | None = None

    async def flushed(self, lsn: int, within_s: float) -> bool:
        """Raises what keeps the primary from being asked: DatabaseAway, DatabaseRefused."""
        if within_s <= 0:
            return (await self.standing()).flushed >= lsn
        mine = _Waiting(lsn)
        self._waiting.add(mine)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            async with asyncio.timeout(within_s):
                return await mine.done
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(mine)

    async def standing(self) -> Standing:
        """One look. Raises DatabaseRefused when the login may not see who follows."""
        async with borrowed(self._pool) as connection:
            return await self._standing(connection)

    async def aclose(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking

    async def _look(self) -> None:
        """While anybody waits, over one connection. What goes wrong is told to everybody who waits then."""
        while self._waiting:
            try:
                async with borrowed(self._pool) as connection:
                    await self._look_over(connection)
            except HoldfastError as error:
                for each in list(self._waiting):
                    if not each.done.done():
                        each.done.set_exception(error)
                    self._waiting.discard(each)

    async def _look_over(self, connection: Connection) -> None:
        """Pauses grow with how long nothing moved, and are short again when it does."""
        pause, before = SHORTEST_PAUSE_S, -1
        while self._waiting:
            asked = list(self._waiting)
            flushed = (await self._standing(connection)).flushed
            for each in asked:
                if each.lsn <= flushed:
                    if not each.done.done():
                        each.done.set_result(True)
                    self._waiting.discard(each)
            pause = SHORTEST_PAUSE_S if flushed != before else min(pause * 1.5, LONGEST_PAUSE_S)
            before = flushed
            await asyncio.sleep(pause)

    async def _standing(self, connection: Connection) -> Standing:
        row = await (await connection.execute(_LOOK, [self._name])).fetchone()
        permitted, followers, flushed = row or (False, 0, None)
        if not permitted:
            raise _blind()
        return Standing(followers, flushed or 0)
