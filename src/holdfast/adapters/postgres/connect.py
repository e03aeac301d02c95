"""Opens connections and pools the one way that Holdfast does, and names trouble in Holdfast's words."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool

from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.errors import database_errors

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Pool = AsyncConnectionPool[Connection]

# A statement that runs longer is a fault: it would hold locks or a visitor. Migrations set their own limits.
STATEMENT_TIMEOUT: Mapping[Role, timedelta] = {
    Role.OWNER: timedelta(0),
    Role.CONTROLLER: timedelta(seconds=60),
    Role.SITE: timedelta(seconds=10),
    Role.CONSOLE: timedelta(seconds=30),
    Role.SENDER: timedelta(seconds=60),
    Role.BACKUP: timedelta(seconds=60),
    Role.LEDGER: timedelta(seconds=60),
    Role.RECOVERY: timedelta(seconds=20),
}
IDLE_IN_TRANSACTION = timedelta(seconds=60)
SEARCH_PATH = "holdfast"

# A peer that vanished is noticed within 60 s, also in the middle of a statement (tcp_user_timeout, in ms).
_LIVENESS = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


def connection_parameters(
    conninfo: Conninfo, application: str, *, statement_timeout: timedelta | None = None
) -> dict[str, Any]:
    """Keyword arguments for the driver: the login, who we are, and the limits of its role.

    Parameters that the conninfo already carries (an operator's URL) win over ours; session settings are added
    to its `options`.
    """
    limit = STATEMENT_TIMEOUT[conninfo.role] if statement_timeout is None else statement_timeout
    session = {
        "search_path": SEARCH_PATH,
        "statement_timeout": _millis(limit),
        "idle_in_transaction_session_timeout": _millis(IDLE_IN_TRANSACTION),
        "timezone": "UTC",
    }
    if conninfo.assume is not None:
        session["role"] = conninfo.assume
    options = " ".join(f"-c {name}={_option(value)}" for name, value in session.items())
    given = conninfo.parameters
    return {
        "application_name": f"holdfast {application}",
        **_LIVENESS,
        **given,
        "options": f"{given.get('options', '')} {options}".strip(),
    }


@asynccontextmanager
async def connect(
    conninfo: Conninfo,
    application: str,
    *,
    autocommit: bool = True,
    statement_timeout: timedelta | None = None,
) -> AsyncIterator[Connection]:
    """One connection, closed at the end. Driver errors inside the block come out as DatabaseErrors."""
    parameters = connection_parameters(conninfo, application, statement_timeout=statement_timeout)
    with database_errors():
        connection = await psycopg.AsyncConnection.connect(autocommit=autocommit, **parameters)
        try:
            yield connection
        finally:
            await connection.close()


@asynccontextmanager
async def open_pool(
    conninfo: Conninfo,
    application: str,
    *,
    min_size: int = 1,
    max_size: int = 4,
    wait: timedelta = timedelta(seconds=10),
) -> AsyncIterator[Pool]:
    """A pool of connections in autocommit mode that outlives restarts of the server.

    It opens without waiting for the database, so that a role can start while the database is away. Taking a
    connection waits at most `wait`, then raises DatabaseAway (inside `borrowed`). Broken connections are
    replaced before they are handed out.
    """
    pool: Pool = AsyncConnectionPool(
        kwargs={"autocommit": True, **connection_parameters(conninfo, application)},
        min_size=min_size,
        max_size=max_size,
        timeout=wait.total_seconds(),
        # The default gives a lost server up after five minutes and then sleeps until asked; a minute's
        # back-off is long enough for a status page.
        reconnect_timeout=60.0,
        check=AsyncConnectionPool.check_connection,
        name=f"holdfast-{application}",
        open=False,
    )
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def borrowed(pool: Pool) -> AsyncIterator[Connection]:
    """A connection out of `pool` for the length of the block; driver errors come out as DatabaseErrors."""
    with database_errors():
        async with pool.connection() as connection:
            yield connection


def _millis(duration: timedelta) -> str:
    return str(round(duration / timedelta(milliseconds=1)))


def _option(value: str) -> str:
    """Escaped as libpq's `options` wants it: a backslash before blanks and backslashes."""
    return re.sub(r"([\\\s])", r"\\\1", value)
