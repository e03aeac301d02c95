"""A real PostgreSQL for every test that wants one: one server per session, one fresh database per test.

Roles belong to the whole server, and so are shared by all tests.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import pytest

from side_by_side import pytest_xdist_make_scheduler  # noqa: F401  a hook

if TYPE_CHECKING:
    import psycopg
    from tests.protected import Protected

    from holdfast.adapters.postgres.conninfo import Conninfo, Role
    from holdfast.adapters.postgres.server.embedded import EmbeddedPostgres

_NUMBERS = count(1)

# Tables are as wide as the terminal, and what starts the tests may have any, or none.
os.environ["COLUMNS"] = "160"

# A shell that runs the tests in the background has SIGINT ignored, and every process they start would inherit
# that: none would end when it is told to.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Nothing here survives the test run, so nothing needs to reach the disk.
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "32MB"}


@dataclass(frozen=True)
class Database:
    """A database that one test has to itself."""

    server: "EmbeddedPostgres"
    name: str

    def conninfo(self, role: "Role | None" = None) -> "Conninfo":
        """How `role`, by default the owner, connects."""
        from holdfast.adapters.postgres.conninfo import Role  # noqa: PLC0415

        return self.server.conninfo(role or Role.OWNER).with_settings(dbname=self.name)

    def connect(self, role: "Role | None" = None) -> "psycopg.Connection":
        """A plain blocking connection in autocommit mode; close it."""
        import psycopg  # noqa: PLC0415

        return psycopg.connect(autocommit=True, **self.conninfo(role).parameters)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator["EmbeddedPostgres"]:
    """The session's server. Do not stop it, and do not kill it."""
    from holdfast.adapters.postgres.server.embedded import EmbeddedPostgres  # noqa: PLC0415

    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), settings=_FAST)
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture
def database(postgres_server: "EmbeddedPostgres") -> Iterator[Database]:
    """A fresh and empty database."""
    with _created(postgres_server, "template0") as fresh:
        yield fresh


@pytest.fixture(scope="session")
def migrated_template(postgres_server: "EmbeddedPostgres") -> Iterator[Database]:
    """What `migrated_database` is a copy of. Nobody may be connected to it while it is copied."""
    from holdfast.adapters.postgres.migrate import migrate  # noqa: PLC0415

    with _created(postgres_server, "template0") as template:
        asyncio.run(migrate(template.conninfo()))
        yield template


@pytest.fixture
def migrated_database(migrated_template: Database) -> Iterator[Database]:
    """A fresh database with the packaged migrations applied."""
    with _created(migrated_template.server, migrated_template.name) as fresh:
        yield fresh


@pytest.fixture
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Protected"]:
    """A PostgreSQL to protect, the test's own."""
    from tests.protected import Protected  # noqa: PLC0415

    server = Protected(tmp_path_factory.mktemp("protected")).start()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def shared_protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Protected"]:
    """The session's PostgreSQL to protect. Do not stop it, and do not kill it."""
    from tests.protected import Protected  # noqa: PLC0415

    server = Protected(tmp_path_factory.mktemp("shared-protected")).start()
    yield server
    server.remove()


@contextmanager
def _created(server: "EmbeddedPostgres", template: str) -> Iterator[Database]:
    from psycopg import sql  # noqa: PLC0415

    postgres, fresh = Database(server, "postgres"), Database(server, f"test_{next(_NUMBERS)}")
    name = sql.Identifier(fresh.name)
    with postgres.connect() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, sql.Identifier(template)))
    yield fresh
    with postgres.connect() as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
