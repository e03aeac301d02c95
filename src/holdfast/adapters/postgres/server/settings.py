"""The embedded server's settings and its rules of access, as text. Pure."""

from collections.abc import Mapping
from pathlib import Path

from holdfast.adapters.postgres.server.layout import LOG_FILE_SIZE_MB, Layout

EXTRA_TEXT = (
    "# Yours: PostgreSQL settings written here win over Holdfast's, from the server's next start on.\n"
)
LOOPBACK = "127.0.0.1"

# Only the two ways in that exist, and a password for both: whoever else is on the machine is a stranger.
ACCESS_RULES = f"""\
# Written by Holdfast at each start.
local  all          all                      scram-sha-256
host   all          all    {LOOPBACK}/32     scram-sha-256
local  replication  all                      scram-sha-256
host   replication  all    {LOOPBACK}/32     scram-sha-256
"""


def server_settings(
    layout: Layout, socket_folder: Path, port: int, *, loopback: bool, overrides: Mapping[str, str]
) -> str:
    """The settings file. What initdb found out comes first, the operator's `extra.conf` near the end."""
    ours = {
        "listen_addresses": LOOPBACK if loopback else "",
        "port": str(port),
        "unix_socket_directories": f'"{socket_folder}"',
        "unix_socket_permissions": "0700",
        "hba_file": str(layout.access),
        "password_encryption": "scram-sha-256",
        "max_connections": "60",
        "shared_buffers": "64MB",
        "max_wal_size": "1GB",
        "wal_level": "replica",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "logging_collector": "on",
        "log_directory": str(layout.log),
        "log_filename": "postgresql-%Y%m%d-%H%M%S.log",
        "log_file_mode": "0600",
        "log_rotation_age": "1d",
        "log_rotation_size": f"{LOG_FILE_SIZE_MB}MB",
        "log_checkpoints": "off",
        "log_line_prefix": "%m [%p] %q%u@%d %a ",
        "cluster_name": "holdfast",
    }
    lines = [
        "# Written by Holdfast at each start. Put your own settings into extra.conf beside this file.",
        "include 'data/postgresql.conf'",
        *(f"{name} = {quoted(value)}" for name, value in ours.items()),
        f"include '{layout.extra.name}'",
        *(f"{name} = {quoted(value)}" for name, value in overrides.items()),
    ]
    return "\n".join(lines) + "\n"


def quoted(value: str) -> str:
    """As PostgreSQL's settings files want it: quotes doubled, backslashes too."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
