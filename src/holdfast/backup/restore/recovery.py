"""How a restored server recovers: up to where, and what it must never do. Pure.

It stays in recovery when it has reached its target, or the end of what is stored: it is a standby that
follows nobody. So it never begins a timeline of its own before somebody wants it to.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC

from holdfast.backup.lsn import format_lsn
from holdfast.backup.model import RestorePlan, Target, TargetKind

FOREVER_OFF: Mapping[str, str] = {
    "archive_mode": "off",
    "archive_command": "",
    "archive_library": "",
    "archive_cleanup_command": "",
    "recovery_end_command": "",
    "primary_conninfo": "",
    "primary_slot_name": "",
    "synchronous_standby_names": "",
}
"""A copy archives nothing, follows nobody, waits for nobody, and runs no command of the protected server."""

FETCHES_NOTHING = "false"
"""As `restore_command`: all WAL lies in pg_wal already, so none is copied a second time."""


@dataclass(frozen=True, slots=True)
class RecoverySettings:
    """Where recovery pauses. `target` holds PostgreSQL's own `recovery_target_*` settings."""

    target: Mapping[str, str] = field(default_factory=dict)
    timeline: str = "latest"
    restore_command: str = FETCHES_NOTHING


def recovery_of(plan: RestorePlan) -> RecoverySettings:
    """The settings for a plan."""
    return RecoverySettings(target_settings(plan.target), str(plan.timeline))


def target_settings(target: Target) -> dict[str, str]:
    """PostgreSQL's settings for a target; none for the end of what is stored."""
    named = {
        TargetKind.TIME: "recovery_target_time",
        TargetKind.LSN: "recovery_target_lsn",
        TargetKind.XID: "recovery_target_xid",
    }
    if target.kind is TargetKind.LATEST:
        return {}
    if target.kind is TargetKind.LABEL:
        return {"recovery_target": "immediate"}
    inclusive = "on" if target.inclusive else "off"
    return {named[target.kind]: _value(target), "recovery_target_inclusive": inclusive}


def _value(target: Target) -> str:
    # By its kind: one that aims at a transaction may tell a time as well, so that the backup is found.
    if target.kind is TargetKind.TIME and target.time is not None:
        return target.time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
    if target.kind is TargetKind.LSN and target.lsn is not None:
        return format_lsn(target.lsn)
    return str(target.xid)
