"""Sessions on a damaged database, and on its good copy, that nobody has to wait for without an end.

A process that is stopped while it changes something keeps its locks, and with them everybody who would go on
in its place. So the server ends a transaction in which nobody says anything, and who comes with a later fence
ends the sessions of earlier ones: whoever wakes then has no session any more, and is turned away by the next.
That leaves rows that are sent: a server that waits for the next one is not idle. So no rows are sent in a
transaction that holds anything of production's (see `damaged_tables.staged`).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from holdfast.adapters.postgres.queries import Queries
from holdfast.kernel.ids import id_from
from holdfast.recovery.errors import ComesLate, StepFailed
from holdfast.recovery.ports import Fence

Connection = psycopg.Connection[Any]
SQL = Queries.beside(f"{__file__.removesuffix('_sessions.py')}.py")
STANDS_STILL_MS = 5_000
"""For how long nothing may be said in a transaction: a part of a lease."""
_SPOKEN = (
    "default_transaction_read_only=off",
    "datestyle=ISO",
    "intervalstyle=postgres",
    "extra_float_digits=3",
    "statement_timeout=0",
    f"idle_in_transaction_session_timeout={STANDS_STILL_MS}",
    "lock_timeout=60000",
    "search_path=pg_catalog",
)
_NAME = "holdfast recovery"


@contextmanager
def connected(params: Mapping[str, Any], fence: Fence | None = None) -> Iterator[Connection]:
    """A session; with `fence` it is the only one of that run from here on, but for later ones.

    Raises StepFailed for whatever the server says, in the words that it says it with.
    """
    options = f"{params.get('options') or ''} {' '.join(f'-c {each}' for each in _SPOKEN)}".strip()
    ours = {"options": options, "client_encoding": "utf8", "application_name": _name_of(fence)}
    try:
        session = psycopg.connect(**{"connect_timeout": 10, **params, **ours}, autocommit=True)
    except psycopg.Error as error:
        raise StepFailed(f"the database cannot be reached: {str(error).strip().splitlines()[0]}") from error
    try:
        session.execute(SQL["on_disk"])
        if fence is not None:
            told = {"like": f"^{_name_of_run(fence)} ([0-9]{{1,18}}) ([0-9]{{1,18}})$"}
            session.execute(SQL["end_earlier"], {**told, "epoch": fence.epoch, "turn": fence.turn})
        yield session
    except psycopg.Error as error:
        first = (error.diag.message_primary or str(error)).strip().splitlines()[0]
        raise StepFailed(f"the database says: {first}") from error
    finally:
        session.close()


@contextmanager
def acting(session: Connection, fence: Fence) -> Iterator[None]:
    """A transaction behind the fence: others of the run wait until it ends. Raises ComesLate."""
    with session.transaction():
        # By run: the epochs of two runs have nothing to do with each other.
        scope = f"data {fence.run_id}"
        told = {"scope": scope, "run_id": fence.run_id, "epoch": fence.epoch, "turn": fence.turn}
        if session.execute(SQL["pass"], told).fetchone() is None:
            raise ComesLate(f"the database has heard of a later attempt than epoch {fence.epoch}")
        yield


@contextmanager
def copy_at(conninfo: str) -> Iterator[Connection]:
    """A session on the good copy. Raises StepFailed."""
    with connected(conninfo_to_dict(conninfo)) as session:
        yield session


def with_database(conninfo: str, dbname: str) -> str:
    """The same server's database of that name."""
    return make_conninfo(conninfo, dbname=dbname)


def promote(conninfo: str) -> None:
    """Have a copy leave recovery. Raises StepFailed."""
    with copy_at(conninfo) as session:
        if session.execute("SELECT pg_is_in_recovery()").fetchone() == (False,):
            return
        if session.execute("SELECT pg_promote(true, 120)").fetchone() != (True,):
            raise StepFailed("the good copy does not leave recovery")


def replayed(conninfo: str) -> str | None:
    """How far a copy has replayed the log, an LSN; None for one that left recovery. Raises StepFailed."""
    with copy_at(conninfo) as session:
        row = session.execute("SELECT pg_last_wal_replay_lsn()::text WHERE pg_is_in_recovery()").fetchone()
        return None if row is None else row[0]


def answers(conninfo: str) -> bool:
    """Whether a server is there, and has that database."""
    try:
        with psycopg.connect(conninfo, connect_timeout=10) as session:
            return session.execute("SELECT 1").fetchone() == (1,)
    except psycopg.Error:
        return False


def _name_of(fence: Fence | None) -> str:
    return _NAME if fence is None else f"{_name_of_run(fence)} {fence.epoch} {fence.turn}"


def _name_of_run(fence: Fence) -> str:
    # A name of 63 bytes is cut, and runs may have long ones.
    return f"{_NAME} {id_from(fence.run_id)}"
