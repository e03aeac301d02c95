"""How a database's WAL is to be received, and how receiving it stands."""

from dataclasses import dataclass
from datetime import datetime

from holdfast.backup.lsn import Lsn, Timeline
from holdfast.backup.model import Mode
from holdfast.backup.wal.uploading import PARTIAL_EVERY_S, RegionState

BATCH_BYTES = 4 * 1024 * 1024
"""Received before it is flushed, when there is more at once."""
FLUSH_EVERY_S = 0.2
"""The spool, when commits wait for regions and not for it."""
NONE_YET, NOTHING = Timeline(0), Lsn(0)


def slot_name(database: str) -> str:
    """The replication slot of a database in the estate."""
    return f"holdfast_{database.replace('-', '_')}"[:63]


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """How a database's WAL is received. `sync_regions` and `stall_limit_s` count in sync mode."""

    slot: str
    application_name: str = "holdfast"
    mode: Mode = Mode.STREAM
    sync_regions: int = 1
    stall_limit_s: float = 10.0
    heartbeat_s: float = 10.0
    partial_every_s: float = PARTIAL_EVERY_S


@dataclass(frozen=True, slots=True)
class ReceiverState:
    """How a receiver stands, at one moment."""

    connected: bool
    error: str
    timeline: Timeline | None
    received: Lsn | None
    flushed: Lsn | None
    acknowledged: Lsn
    server_end: Lsn
    heard_at: datetime | None
    """The server's clock at its last message."""
    spool_bytes: int
    spool_limit: int
    spool_is_full: bool
    sync: str
    """off, on, or let go: commits do not wait for the regions just now."""
    backup_wanted: str
    """Why an incremental is due now; empty when it is not."""
    regions: tuple[RegionState, ...]


@dataclass(slots=True)
class Seen:
    """What the receiving thread has seen last."""

    connected: bool = False
    error: str = ""
    timeline: Timeline = NONE_YET
    server_end: Lsn = NOTHING
    heard_at: datetime | None = None
    heard: float = 0.0
    data_at: float = 0.0
    full: bool = False
    gone: str = ""
    backup_wanted: str = ""
    failures: int = 0
    said: str = ""
