"""Connections, pools and the operator's own server."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from holdfast.adapters.postgres.connect import borrowed, connect, connection_parameters, open_pool
from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.errors import (
    DatabaseAway,
    DatabaseBusy,
    DatabaseError,
    DatabaseRefused,
    DatabaseUnsuitable,
)
from holdfast.adapters.postgres.server.external import ExternalPostgres

if TYPE_CHECKING:
    from conftest import Database, Make


async def test_a_connection_says_who_it_is_and_has_its_roles_limits(database: Database) -> None:
    async with connect(database.conninfo(Role.SITE), "site") as connection:
        cursor = await connection.execute(
            "SELECT current_user, current_setting('application_name'), current_setting('statement_timeout'),"
            " current_setting('search_path'), current_setting('timezone')"
        )
        assert await cursor.fetchone() == ("holdfast_site", "holdfast site", "10s", "holdfast", "UTC")
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
    assert connection.closed


def test_what_an_operators_url_says_wins_and_its_options_stay() -> None:
    given = Conninfo(Role.SITE, {"connect_timeout": "3", "options": "-c work_mem=8MB"}, password="secret")
    parameters = connection_parameters(given, "site")
    assert parameters["connect_timeout"] == "3"
    assert parameters["options"].startswith("-c work_mem=8MB -c search_path=holdfast")
    assert parameters["password"] == "secret"
    assert "secret" not in repr(given)


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("SELECT pg_sleep(600)", DatabaseBusy),
        ("SELECT pg_terminate_backend(pg_backend_pid())", DatabaseAway),
        ("SELECT * FROM pg_authid", DatabaseRefused),
        ("SELECT nonsense", DatabaseError),
    ],
)
async def test_trouble_comes_in_our_words(
    database: Database, statement: str, kind: type[DatabaseError]
) -> None:
    with pytest.raises(DatabaseError) as trouble:
        async with connect(
            database.conninfo(Role.CONTROLLER), "test", statement_timeout=timedelta(seconds=1)
        ) as connection:
            await connection.execute(statement.encode())
    assert type(trouble.value) is kind
    assert isinstance(trouble.value.__cause__, psycopg.Error)
    assert "\n" not in str(trouble.value)


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"host": "/nowhere"}, DatabaseAway),
        ({"user": "nobody_such"}, DatabaseRefused),
        ({"dbname": "nothing_such"}, DatabaseRefused),
    ],
)
async def test_no_connection_in_our_words(
    database: Database, changed: dict[str, str], kind: type[DatabaseError]
) -> None:
    with pytest.raises(kind):
        async with connect(database.conninfo().with_settings(**changed), "test"):
            pass


async def test_a_pool_opens_without_the_database_and_says_that_it_is_away(tmp_path: Path) -> None:
    nowhere = Conninfo(Role.SITE, {"host": str(tmp_path), "port": "5432", "user": "x", "dbname": "x"})
    async with open_pool(nowhere, "test", wait=timedelta(milliseconds=200)) as pool:
        with pytest.raises(DatabaseAway):
            async with borrowed(pool):
                pass


async def test_a_pool_outlives_a_restart_of_the_server(make: Make) -> None:
    server = make()
    await server.start()
    async with open_pool(server.conninfo(Role.SITE), "test", min_size=2, wait=timedelta(seconds=60)) as pool:
        await pool.wait()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await server.start()
        async with borrowed(pool) as connection:
            cursor = await connection.execute("SELECT current_user")
            assert await cursor.fetchone() == ("holdfast_site",)
    await server.stop()


# The operator's own server. The session's server plays it; what changes roles has one to itself.


async def who_is(external: ExternalPostgres, role: Role) -> object:
    async with connect(external.conninfo(role), "test") as connection:
        row = await (await connection.execute("SELECT current_user")).fetchone()
    assert row is not None
    return row[0]


async def test_one_login_takes_on_each_role(database: Database) -> None:
    external = ExternalPostgres(database.conninfo().dsn)
    await external.start()
    assert [await who_is(external, role) for role in Role] == [
        "holdfast",
        "holdfast_controller",
        "holdfast_site",
        "holdfast_console",
        "holdfast_sender",
        "holdfast_backup",
        "holdfast_ledger",
        "holdfast_recovery",
    ]
    await external.stop()
    assert await who_is(external, Role.OWNER) == "holdfast"


async def test_a_login_without_rights_over_roles_serves_as_it_is(database: Database) -> None:
    login = sql.Identifier(f"plain_{database.name}")
    with database.connect() as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'p'").format(login))
        connection.execute(
            sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(sql.Identifier(database.name), login)
        )
    url = Conninfo(
        Role.OWNER, {**database.conninfo().settings, "user": f"plain_{database.name}"}, password="p"
    ).dsn
    external = ExternalPostgres(url)
    await external.start()
    assert {await who_is(external, role) for role in Role} == {f"plain_{database.name}"}
    with database.connect() as connection:
        connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(login))


async def test_missing_roles_are_made_by_a_login_that_may(make: Make) -> None:
    server = make()
    await server.start()
    with psycopg.connect(server.conninfo(Role.OWNER).dsn, autocommit=True) as connection:
        connection.execute("DROP ROLE holdfast_site; DROP ROLE holdfast_controller")
        connection.execute("CREATE ROLE operator LOGIN CREATEROLE PASSWORD 'p'")
    url = Conninfo(Role.OWNER, {**server.conninfo(Role.OWNER).settings, "user": "operator"}, password="p").dsn
    replicas = [ExternalPostgres(url) for _ in range(3)]
    await asyncio.gather(*(replica.start() for replica in replicas))
    for replica in replicas:
        assert await who_is(replica, Role.SITE) == "holdfast_site"
    await server.stop()


async def test_a_database_that_is_not_utf8_is_refused(database: Database) -> None:
    odd = f"{database.name}_latin"
    with database.connect() as connection:
        connection.execute(
            f"CREATE DATABASE {odd} ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
        )
    with pytest.raises(DatabaseUnsuitable, match="encoded in LATIN1"):
        await ExternalPostgres(database.conninfo().with_settings(dbname=odd).dsn).start()
    with database.connect() as connection:
        connection.execute(f"DROP DATABASE {odd}")


def test_a_url_that_is_none_is_refused_without_repeating_it() -> None:
    with pytest.raises(DatabaseUnsuitable) as refused:
        ExternalPostgres("postgresql://user:s3cret%zz@host/db")
    assert "s3cret" not in f"{refused.value} {refused.value.hint}"
    assert refused.value.__suppress_context__
