"""The revisions of playbooks on PostgreSQL. The statements stand in `playbooks.sql`."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

import msgspec
from msgspec.structs import replace
from psycopg.types.json import Jsonb

from holdfast.adapters.postgres.connect import Pool, borrowed
from holdfast.adapters.postgres.queries import Queries
from holdfast.adapters.postgres.recovery.changing import changing
from holdfast.recovery.model import Playbook

_PLAYBOOK = msgspec.json.Decoder(Playbook)

SQL = Queries.beside(__file__)


class PostgresPlaybooks:
    """PlaybookBook over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def revised(self, playbook: Playbook) -> Playbook:
        digest = hashlib.sha256(_bare(playbook)).digest()
        async with changing(self._pool) as connection:
            await connection.execute(SQL.in_turn, {"name": playbook.name})
            row = await (await connection.execute(SQL.newest, {"name": playbook.name})).fetchone()
            known, sha256 = row or (0, None)
            if sha256 == digest:
                return replace(playbook, revision=known)
            revised = replace(playbook, revision=known + 1)
            await connection.execute(
                SQL.add,
                {
                    "name": playbook.name,
                    "revision": revised.revision,
                    "sha256": digest,
                    "playbook": msgspec.json.encode(revised).decode(),
                },
            )
            facts = {"playbook": playbook.name, "revision": revised.revision}
            await connection.execute(SQL.journal, {"facts": Jsonb(facts)})
            return revised

    async def revisions(self, name: str) -> Sequence[tuple[Playbook, datetime]]:
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(SQL["all"], {"name": name})).fetchall()
        found = list[tuple[Playbook, datetime]]()
        for text, since in rows:
            with suppress(msgspec.MsgspecError):  # another version of Holdfast wrote it
                found.append((_PLAYBOOK.decode(text), since))
        return found


def _bare(playbook: Playbook) -> bytes:
    """Without its number, and what stands in mappings in one order: as a file that says the same."""
    return msgspec.json.encode(replace(playbook, revision=1), order="deterministic")
