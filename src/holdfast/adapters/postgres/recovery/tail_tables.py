"""Which tables files are, as a server of the same cluster knows them. The statements: `tail_tables.sql`.

The server that took over has had every table of the lost one up to where their histories part, in a file of
the same number, unless it wrote the table anew since.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import psycopg

from holdfast.adapters.postgres.connect import connect
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.errors import DatabaseError
from holdfast.adapters.postgres.queries import Queries

SQL = Queries.beside(__file__)
BESIDE = " (long values)"
"""Behind the name of a table whose values these are: the file holds those that are too long for a row."""
WITHIN_S = 20.0
SHARED = 0


async def table_names(login: Conninfo, databases: frozenset[int]) -> Mapping[tuple[int, int], str]:
    """By (database, file): `schema.table`, with the database before it where there are several.

    Of what `login` may not connect to, the database's name and the file's number. Raises nothing: what nobody
    can tell is absent.
    """
    found = dict[tuple[int, int], str]()
    with suppress(DatabaseError, TimeoutError, psycopg.Error):
        async with asyncio.timeout(WITHIN_S):
            async with connect(login, "tables") as connection:
                rows = await (await connection.execute(SQL["databases"])).fetchall()
            known = {oid: str(name) for oid, name in rows if oid in databases}
            several = len(known) > 1
            for oid, name in known.items():
                for (database, number), table in (await _tables(login, oid, name)).items():
                    prefix = f"{name}: " if several and database != SHARED else ""
                    found[database, number] = prefix + table
    return found


async def _tables(login: Conninfo, oid: int, name: str) -> Mapping[tuple[int, int], str]:
    try:
        async with connect(login.with_settings(dbname=name), "tables") as connection:
            rows = await (await connection.execute(SQL["tables"], {"beside": BESIDE})).fetchall()
    except DatabaseError:
        return {}
    return {(SHARED if shared else oid, number): str(table) for number, table, shared in rows}
