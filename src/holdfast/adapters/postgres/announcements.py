"""What subscribers are told, on PostgreSQL. The statements stand in `announcements.sql`."""

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.queries import Queries
from holdfast.communication.model import Audience, Channel, Notice
from holdfast.kernel.journal import JournalEntry

SQL = Queries.beside(__file__)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Notice).decode


class PostgresAnnouncements:
    """AudienceStore and Announcer over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def audience(self, notice: Notice) -> Audience:
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(SQL.audience, _concerned(notice))).fetchall()
        return Audience({Channel(channel): count for channel, count in rows})

    async def announce(self, notice: Notice) -> int:
        async with borrowed(self._pool) as connection:
            return await announce(connection, notice)

    async def degradations(self) -> Sequence[Notice]:
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(SQL.degradations)).fetchall()
        return [notice_from(text) for (text,) in rows]


async def announce(connection: Connection, notice: Notice) -> int:
    """Queue it for all whom it concerns, inside the transaction that is open; returns how many they are."""
    parameters = _concerned(notice) | {
        "event": notice.event.value,
        "subject": notice.subject_id,
        "at": notice.at,
        "notice": text_of(notice),
    }
    ((reached,),) = await (await connection.execute(SQL.announce, parameters)).fetchall()
    return int(reached)


async def journal(connection: Connection, entry: JournalEntry) -> None:
    """Append to the journal inside the transaction that is open."""
    await connection.execute(
        SQL.journal,
        {"at": entry.at, "actor": entry.actor, "event": entry.event, "facts": Jsonb(dict(entry.facts))},
    )


def text_of(notice: Notice) -> str:
    """The notice as it is stored."""
    return _encode(notice).decode()


def notice_from(text: str | bytes) -> Notice:
    """What `text_of` made, as it was."""
    return _decode(text)


def _concerned(notice: Notice) -> dict[str, Any]:
    return {
        "topic": notice.topic.value,
        "components": sorted(notice.places),
        "clusters": sorted({place.cluster_key for place in notice.places.values()}),
        "customers": None if notice.audience is None else list(notice.audience),
    }
