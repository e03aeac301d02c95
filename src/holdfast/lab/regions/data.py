"""Damage to data, as it happens: a wrong UPDATE, a DROP, bytes that change behind the server's back."""

import asyncio
import os
from pathlib import Path

import psycopg

from holdfast.lab.database import told
from holdfast.lab.errors import NotRunningError
from holdfast.lab.model import Damage, PartStatus, refuse_unless
from holdfast.lab.regions.faults import Known, primary
from holdfast.lab.regions.layout import Layout

TABLE = "job"
WRONG_UPDATE = "UPDATE job SET owner = 'nobody', pages = 1, title = 'untitled'"
DROP = "DROP TABLE job"
PAGE_BYTES = 8192
FLIPPED_AT = (100, 4000, 8100)
"""Where in a page: in its line pointers, in its middle, and in its last rows."""


class DataFault:
    """The service's jobs on the primary. What was done is undone by recovery, not here: `heal` forgets it."""

    name = "data"
    needs_parts = False
    ways = (Damage.UPDATE, Damage.DROP, Damage.FLIP)

    def __init__(self, layout: Layout, known: Known) -> None:
        self._layout = layout
        self._known = known

    async def break_(self, how: Damage | None) -> None:
        """UPDATE unless said otherwise. FLIP changes every page that the table's file has now."""
        how = how or Damage.UPDATE
        refuse_unless(how, self.ways, self.name)
        dsn = await asyncio.to_thread(self._dsn)
        with told("PostgreSQL"):
            connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
            async with connection:
                if how is Damage.FLIP:
                    await self._flip(connection)
                else:
                    await connection.execute(WRONG_UPDATE if how is Damage.UPDATE else DROP)
        self._known.note(self.name, how)

    async def heal(self) -> None:
        self._known.place.forget(self.name)

    def status(self) -> PartStatus | None:
        return self._known.status(self.name)

    def _dsn(self) -> str:
        try:
            text = self._known.place.secret_file("superuser.conninfo").read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise NotRunningError(
                "there is no data to break", hint="start the lab: holdfast lab up regions"
            ) from error
        return text.strip()

    async def _flip(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        await connection.execute("CHECKPOINT")
        row = await (await connection.execute(f"SELECT pg_relation_filepath('{TABLE}')")).fetchone()
        region = await asyncio.to_thread(primary, self._layout)
        file = self._layout.data(region) / str(row[0] if row else "")
        if await asyncio.to_thread(flip, file) == 0:
            raise NotRunningError("the table of jobs has no page yet", hint="write a job first")


def flip(file: Path) -> int:
    """Invert three bytes of every page; returns how many pages there were."""
    descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        pages = os.fstat(descriptor).st_size // PAGE_BYTES
        for page in range(pages):
            for offset in FLIPPED_AT:
                place = page * PAGE_BYTES + offset
                os.pwrite(descriptor, bytes([os.pread(descriptor, 1, place)[0] ^ 0xFF]), place)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return pages
