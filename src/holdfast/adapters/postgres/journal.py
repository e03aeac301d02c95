"""The journal on PostgreSQL. Its table refuses to change what was written."""

from psycopg.types.json import Jsonb

from holdfast.adapters.postgres.connect import connect
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.kernel.journal import JournalEntry

_APPEND = "INSERT INTO holdfast.journal (at, actor, event, facts) VALUES (%s, %s, %s, %s)"


class PostgresJournal:
    """Journal over a connection per entry: entries are rare, and none may wait for another."""

    def __init__(self, conninfo: Conninfo) -> None:
        self._conninfo = conninfo

    async def append(self, entry: JournalEntry) -> None:
        async with connect(self._conninfo, "journal") as connection:
            await connection.execute(_APPEND, (entry.at, entry.actor, entry.event, Jsonb(dict(entry.facts))))
