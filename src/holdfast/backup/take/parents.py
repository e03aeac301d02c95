"""Which backup the next one is an increment of. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.backup.lsn import format_lsn
from holdfast.backup.model import Backup, Holdings
from holdfast.backup.ports import SourceIdentity
from holdfast.backup.recoverable.chain import whole_chains

INCREMENTS_SINCE = 170_000


@dataclass(frozen=True, slots=True)
class Choice:
    """An increment of `parent`, which `region` holds whole; or a full one, and `why`."""

    parent: Backup | None
    region: str = ""
    why: str = ""


def parent_for(held: Sequence[Holdings], identity: SourceIdentity) -> Choice:
    """The newest backup that some region holds with its whole chain, if the server can build on it."""
    if identity.server_version < INCREMENTS_SINCE:
        return Choice(None, why=_too_old(identity))
    whole = [(chain[-1], each.region) for each in held for chain in whole_chains(each).values()]
    if not whole:
        return Choice(None, why="there is no backup yet to build on")
    fitting = [(backup, region) for backup, region in whole if not unfit(backup, identity)]
    if not fitting:
        newest, _ = max(whole, key=lambda each: each[0].id)
        return Choice(None, why=unfit(newest, identity))
    backup, region = max(fitting, key=lambda each: (each[0].timeline, each[0].start_lsn, each[0].id))
    return Choice(backup, region)


def unfit(parent: Backup, identity: SourceIdentity) -> str:
    """Why there can be no increment of that backup on this server; empty when there can."""
    if identity.server_version < INCREMENTS_SINCE:
        return _too_old(identity)
    if parent.system_id != identity.system_id:
        return f"{parent.id} is of another cluster (system identifier {parent.system_id})"
    if parent.server_version // 10_000 != identity.server_version // 10_000:
        return f"{parent.id} is of PostgreSQL {parent.server_version // 10_000}"
    # One of an earlier timeline may do: the server knows its own history, and refuses what is not in it.
    if parent.timeline > identity.timeline:
        return f"{parent.id} is of timeline {parent.timeline}, and the server is on {identity.timeline} now"
    if parent.start_lsn > identity.flushed:
        return f"{parent.id} began at {format_lsn(parent.start_lsn)}, and the server was set back behind it"
    return ""


def _too_old(identity: SourceIdentity) -> str:
    return f"PostgreSQL {identity.server_version // 10_000} has no incremental backups; 17 and later have"
