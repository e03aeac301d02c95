"""How a database of the estate is reached."""

import ssl
from pathlib import Path

from holdfast.adapters.postgres.replication.source import PostgresSource
from holdfast.bootstrap.estates import secret_of
from holdfast.estate.backup import Database, DatabaseConnection

_SSLMODE = {"off": "disable", "require": "require", "verify-ca": "verify-ca", "verify-full": "verify-full"}


def source_for(database: Database, config: Path) -> PostgresSource:
    """The source of a declared database. Raises SecretError when its password cannot be had."""
    return PostgresSource(params_for(database.connection, config))


def params_for(declared: DatabaseConnection, config: Path) -> dict[str, str]:
    """The parameters for libpq. They hold the password: show them to nobody."""
    by_socket = declared.host.startswith("/")
    params = {
        "host": declared.host,
        "port": str(declared.port),
        "user": declared.user,
        "dbname": declared.dbname,
        "sslmode": "disable" if by_socket else _SSLMODE[declared.tls],
    }
    if declared.tls.startswith("verify") and not by_socket:
        params["sslrootcert"] = _authorities(declared, config)
    if declared.password is not None:
        params["password"] = secret_of(config, declared.password)
    return params


def _authorities(declared: DatabaseConnection, config: Path) -> str:
    if declared.ca_file:
        return str(config.absolute().parent / declared.ca_file)
    # By name: the driver's own TLS library was built elsewhere, and would look elsewhere.
    return ssl.get_default_verify_paths().cafile or "system"
