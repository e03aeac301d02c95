"""What can go wrong with the database.

DatabaseError
├── DatabaseAway          no connection now; it may come back by itself          transient
├── DatabaseBusy          a lock, a deadlock or a time-out ended the statement   transient
├── DatabaseRefused       the login, its password or its rights do not suffice   needs the operator
├── DatabaseUnsuitable    wrong version, directory or programs                   needs the operator
├── DatabaseTaken         somebody else uses the data directory                  needs the operator
├── DatabaseNotStarting   the server ended while starting; carries its log       needs the operator
├── DatabaseFull          no space, memory or connection left                    needs the operator
└── MigrationError        the schema cannot be brought to this program's version
    ├── MigrationsWrong   the files themselves: numbering, names, a failing statement
    ├── MigrationChanged  a file differs from the one that was applied
    └── DatabaseNewer     a newer Holdfast migrated this database                needs the operator
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as pg

from holdfast.kernel.errors import HoldfastError, Remedy


class DatabaseError(HoldfastError):
    pass


class DatabaseAway(DatabaseError):  # noqa: N818  the operator's word; the tree's root says Error
    remedy = Remedy.TRANSIENT


class DatabaseBusy(DatabaseError):  # noqa: N818
    remedy = Remedy.TRANSIENT


class DatabaseRefused(DatabaseError):  # noqa: N818
    remedy = Remedy.NEEDS_OPERATOR


class DatabaseUnsuitable(DatabaseError):  # noqa: N818
    remedy = Remedy.NEEDS_OPERATOR


class DatabaseTaken(DatabaseError):  # noqa: N818
    remedy = Remedy.NEEDS_OPERATOR


class DatabaseFull(DatabaseError):  # noqa: N818
    remedy = Remedy.NEEDS_OPERATOR


class DatabaseNotStarting(DatabaseError):  # noqa: N818
    """`log` holds the last lines that the server wrote."""

    remedy = Remedy.NEEDS_OPERATOR

    def __init__(self, message: str, *, log: str = "", hint: str = "") -> None:
        super().__init__(f"{message}\n{log}".rstrip(), hint=hint)
        self.log = log


class MigrationError(DatabaseError):
    pass


class MigrationsWrong(MigrationError):  # noqa: N818
    pass


class MigrationChanged(MigrationError):  # noqa: N818
    remedy = Remedy.NEEDS_OPERATOR


class DatabaseNewer(MigrationError):  # noqa: N818
    remedy = Remedy.NEEDS_OPERATOR


# Refusals while connecting arrive without an SQLSTATE (libpq keeps only the text), so the text decides there.
# An external server in another language falls through to DatabaseAway, which is retried: no worse than that.
_REFUSED_TEXTS = (
    "password authentication failed",
    "no password supplied",
    "authentication method",
    "no pg_hba.conf entry",
    "permission denied for database",
    "is not permitted to log in",
)
_UNKNOWN_TEXTS = ('role "', 'database "')

_BUSY = (
    pg.QueryCanceled,
    pg.LockNotAvailable,
    pg.DeadlockDetected,
    pg.SerializationFailure,
    pg.IdleInTransactionSessionTimeout,
)
_REFUSED = (pg.InsufficientPrivilege, pg.InvalidPassword, pg.InvalidAuthorizationSpecification)
_FULL = (pg.DiskFull, pg.OutOfMemory, pg.ConfigurationLimitExceeded)


def translated(error: psycopg.Error) -> DatabaseError:
    """The same trouble in our words. The message is the server's first line, without any statement text."""
    text = (error.diag.message_primary or str(error)).strip()
    line = text.splitlines()[0] if text else type(error).__name__
    if isinstance(error, _BUSY):
        return DatabaseBusy(f"the database could not finish in time: {line}")
    if isinstance(error, _REFUSED) or any(part in text for part in _REFUSED_TEXTS) or _is_unknown(text):
        return DatabaseRefused(
            f"the database refused: {line}", hint="check the login's name, its password and its rights"
        )
    if isinstance(error, _FULL):
        return DatabaseFull(
            f"the database has no room left: {line}", hint="make room on the database's machine"
        )
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return DatabaseAway(
            f"the database is away: {line}", hint="is it running, and can it be reached from here?"
        )
    return DatabaseError(f"the database reported: {line}")


def _is_unknown(text: str) -> bool:
    return "FATAL" in text and "does not exist" in text and any(part in text for part in _UNKNOWN_TEXTS)


@contextmanager
def database_errors() -> Iterator[None]:
    """Inside this block whatever the driver raises comes out as a DatabaseError."""
    try:
        yield
    except psycopg.Error as error:
        raise translated(error) from error
