"""Brings the embedded server's login roles and Holdfast's database into being. Safe to repeat."""

from collections.abc import Mapping

from psycopg import sql

from holdfast.adapters.postgres.connect import Connection
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.server.passwords import matches

DATABASE = "holdfast"


async def ensure_roles(owner: Connection, passwords: Mapping[Role, str]) -> None:
    """Create the roles that are missing, and give those a new password whose file was replaced.

    The server gets SCRAM verifiers made here: a password itself never travels nor reaches a log.
    """
    cursor = await owner.execute("SELECT rolname, rolpassword FROM pg_catalog.pg_authid WHERE rolcanlogin")
    present: dict[str, str | None] = dict(await cursor.fetchall())
    # A statement that fails is logged with its text, here with the verifier in it.
    await owner.execute("SET log_min_error_statement = panic")
    for role, password in passwords.items():
        if role.value in present and matches(present[role.value], password):
            continue
        verb = "ALTER" if role.value in present else "CREATE"
        verifier = owner.pgconn.encrypt_password(password.encode(), role.value.encode(), b"scram-sha-256")
        await owner.execute(
            sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
                sql.SQL(verb), sql.Identifier(role.value), sql.Literal(verifier.decode())
            )
        )


async def ensure_database(owner: Connection) -> None:
    """Create Holdfast's database unless it is there."""
    cursor = await owner.execute("SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s", [DATABASE])
    if await cursor.fetchone() is None:
        await owner.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(
                sql.Identifier(DATABASE), sql.Identifier(Role.OWNER.value)
            )
        )
