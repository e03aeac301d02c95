"""The operator's own PostgreSQL, named by `postgres.url`."""

from contextlib import suppress

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from holdfast.adapters.postgres.connect import Connection, connect
from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.errors import DatabaseUnsuitable
from holdfast.adapters.postgres.server.binaries import OLDEST_MAJOR

_SERVED = tuple(role for role in Role if role is not Role.OWNER)


class ExternalPostgres:
    """A server that the operator runs, reached directly and not through a pooler of transactions.

    One login serves all roles. It takes on the lesser ones after logging in, so that the grants hold here
    too; a login that may neither make nor take on roles serves as it is.
    """

    def __init__(self, url: str) -> None:
        try:
            parameters = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # No cause: it quotes what the driver could not read, perhaps the password.
            raise DatabaseUnsuitable(
                "postgres.url is no connection string",
                hint="write postgresql://USER:PASSWORD@HOST:5432/DATABASE; percent-encode special characters",
            ) from None
        self._password = None if (given := parameters.pop("password", None)) is None else str(given)
        self._assumes = dict.fromkeys(Role, False)
        self._settings = {name: str(value) for name, value in parameters.items() if value is not None}

    def conninfo(self, role: Role) -> Conninfo:
        """How `role` connects."""
        assume = role.value if self._assumes[role] else None
        return Conninfo(role, self._settings, password=self._password, assume=assume)

    async def start(self) -> None:
        """Connect, see that the server serves our purpose, and make the roles that are missing."""
        async with connect(self.conninfo(Role.OWNER), "start") as connection:
            await _check(connection)
            for role in _SERVED:
                self._assumes[role] = await _may_assume(connection, role)

    async def look(self) -> str:
        """Connect and see that the server serves our purpose; makes nothing. Returns its version in words."""
        async with connect(self.conninfo(Role.OWNER), "check") as connection:
            await _check(connection)
            return f"PostgreSQL {connection.info.parameter_status('server_version')}"

    async def stop(self) -> None:
        """Leaves the server alone."""


async def _check(connection: Connection) -> None:
    major = connection.info.server_version // 10_000
    if major < OLDEST_MAJOR:
        raise DatabaseUnsuitable(
            f"the server is PostgreSQL {major}; Holdfast needs {OLDEST_MAJOR} or later",
            hint="upgrade it, or use another",
        )
    row = await (
        await connection.execute("SELECT pg_is_in_recovery(), current_setting('server_encoding')")
    ).fetchone()
    standby, encoding = row or (False, "UTF8")
    if standby:
        raise DatabaseUnsuitable("the server is a standby", hint="let postgres.url name the primary")
    if encoding != "UTF8":
        raise DatabaseUnsuitable(
            f"the database is encoded in {encoding}, not UTF8",
            hint="create it with ENCODING 'UTF8' TEMPLATE template0",
        )


async def _may_assume(connection: Connection, role: Role) -> bool:
    """Make the role if it is missing, and say whether our login may take it on."""
    name = sql.Identifier(role.value)
    with suppress(psycopg.errors.InsufficientPrivilege):
        cursor = await connection.execute(
            "SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", [role.value]
        )
        if await cursor.fetchone() is None:
            # Another replica may make it at the same moment.
            with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                await connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(name))
        if not await _is_member(connection, role):
            await connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(name))
    return await _is_member(connection, role)


async def _is_member(connection: Connection, role: Role) -> bool:
    """Whether SET ROLE will succeed. From PostgreSQL 16 on a membership may lack that right."""
    right = "SET" if connection.info.server_version >= 160_000 else "MEMBER"
    cursor = await connection.execute(
        "SELECT pg_has_role(current_user, oid, %s) FROM pg_catalog.pg_roles WHERE rolname = %s",
        [right, role.value],
    )
    row = await cursor.fetchone()
    return row is not None and bool(row[0])
