"""The settings of a restored server, as text and as arguments. Pure.

While Holdfast runs it, what must hold is given as arguments: nothing in a file can change it. For whoever
starts it later it stands at the end of `postgresql.auto.conf`, the file that PostgreSQL reads last.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from holdfast.adapters.postgres.server.settings import quoted
from holdfast.backup.restore.recovery import FOREVER_OFF, RecoverySettings

ACCESS_RULES = """\
# Written by Holdfast. The only way in is the socket, and only its owner can enter the folder that it is in.
local  all  all  trust
"""
AUTO, AUTO_AS_IT_WAS = "postgresql.auto.conf", "postgresql.auto.conf.as-backed-up"
IN_PLACE = "allow_in_place_tablespaces"
_SETTING = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_.]*)\s*(?:=|\s)")
_PLACE = re.compile(r"^[ \t]*data_directory\b", re.MULTILINE | re.IGNORECASE)
_MEMORY = "128MB"
# A standby must have at least as much of these as the server had that wrote the WAL: pg_controldata's names.
_AT_LEAST = {
    "max_connections": "max_connections setting",
    "max_worker_processes": "max_worker_processes setting",
    "max_wal_senders": "max_wal_senders setting",
    "max_prepared_transactions": "max_prepared_xacts setting",
    "max_locks_per_transaction": "max_locks_per_xact setting",
}
_OLDEST_WITH = {"archive_library": 15}


def forever_off(major: int) -> dict[str, str]:
    """What a copy never does, in the settings that this version has."""
    return {name: value for name, value in FOREVER_OFF.items() if _OLDEST_WITH.get(name, 0) <= major}


def at_least(control: str) -> dict[str, str]:
    """From what `pg_controldata` prints: what a standby must have room for."""
    told = dict(line.split(":", 1) for line in control.splitlines() if ":" in line)
    return {name: told[title].strip() for name, title in _AT_LEAST.items() if title in told}


def grown(has: Mapping[str, str], needed: Mapping[str, str]) -> dict[str, str]:
    """Of what a standby must have room for, that which it has less of than it needs now."""
    return {name: value for name, value in needed.items() if int(value) > int(has.get(name, value))}


def private_settings(
    major: int, socket_folder: Path, port: int, ours: Path, control: str, recovery: RecoverySettings
) -> dict[str, str]:
    """What a server gets as arguments while Holdfast runs it. `ours`: the folder with its files."""
    return {
        **forever_off(major),
        **at_least(control),
        **recovery.target,
        "recovery_target_timeline": recovery.timeline,
        "recovery_target_action": "pause",
        "restore_command": recovery.restore_command,
        # How soon it looks again when it has come to the end of what is there.
        "wal_retrieve_retry_interval": "100ms",
        # Set at the protected server, a copy would wait for a moment that is still to come.
        "recovery_min_apply_delay": "0",
        "hot_standby": "on",
        # What was backed up may name the protected server's own, and would win over the folder that is given.
        "data_directory": str(ours.parent),
        "listen_addresses": "",
        "port": str(port),
        "unix_socket_directories": f'"{socket_folder}"',
        "unix_socket_permissions": "0700",
        "hba_file": str(ours / "hba.conf"),
        # Its own name may be that of the protected server, on this machine; and an empty one is an error.
        "external_pid_file": str(ours / "server.pid"),
        "ssl": "off",
        "logging_collector": "off",
        "log_destination": "stderr",
        "shared_buffers": _MEMORY,
        "huge_pages": "off",
        IN_PLACE: "on",
        # The machine that it was set for need not have this one's languages.
        **dict.fromkeys(("lc_messages", "lc_monetary", "lc_numeric", "lc_time"), "C"),
    }


def cleaned(auto: str) -> str:
    """`postgresql.auto.conf` as it was backed up, without what ties a copy to the server's surroundings."""
    unwanted = {*FOREVER_OFF, "restore_command", "recovery_target_action", IN_PLACE}
    kept = [
        line
        for line in auto.splitlines()
        if not (match := _SETTING.match(line))
        or (match[1].lower() not in unwanted and not match[1].lower().startswith("recovery_target"))
    ]
    return "".join(f"{line}\n" for line in kept)


def for_its_operator(
    auto: str,
    major: int,
    recovery: RecoverySettings | None,
    *,
    in_place: bool,
    room: Mapping[str, str] | None = None,
) -> str:
    """`postgresql.auto.conf` for whoever starts the copy next: it ends `recovery`, and takes writes.

    `room`: what the recovery needs more of than is configured.
    """
    ours = forever_off(major)
    if recovery is not None:
        ours |= {
            **recovery.target,
            "recovery_target_timeline": recovery.timeline,
            "recovery_target_action": "promote",
            "restore_command": recovery.restore_command,
            **(room or {}),
        }
    if in_place:
        ours[IN_PLACE] = "on"
    lines = [
        "# Written by Holdfast's restore: a copy archives nothing and follows nobody until you let it.",
        *(f"{name} = {quoted(value)}" for name, value in ours.items()),
    ]
    return cleaned(auto) + "".join(f"{line}\n" for line in lines)


def settings_file(include: bool) -> str:
    """The file that a server reads first: what was backed up, or nothing where that cannot be used here."""
    return "# Written by Holdfast.\n" + ("include_if_exists '../postgresql.conf'\n" if include else "")


def without_its_place(settings: str) -> str:
    """A `postgresql.conf` whose `data_directory` counts no more: it lies in that folder itself."""
    return _PLACE.sub(r"# of the server that was backed up, and not of this copy: \g<0>", settings)
