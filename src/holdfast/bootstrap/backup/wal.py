"""What `holdfast wal receive` and `holdfast wal push` do, and how a receiver is made of the estate."""

import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from holdfast.backup.errors import NotFit
from holdfast.backup.lsn import format_lsn
from holdfast.backup.model import Mode
from holdfast.backup.wal.health import Events
from holdfast.backup.wal.pushing import Pusher
from holdfast.backup.wal.receiving import Receiver
from holdfast.backup.wal.reception import ReceiverSettings, slot_name
from holdfast.backup.wal.spool import Spool
from holdfast.bootstrap.backup.opening import packer_for, regions_of
from holdfast.bootstrap.backup.sources import source_for
from holdfast.bootstrap.backup.taking import declared
from holdfast.bootstrap.estates import read_estate
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place
from holdfast.interfaces.cli.wal import Receiving, RegionShown, WalPushed
from holdfast.kernel.clock import Clock, SystemClock

log = structlog.get_logger()
TOLD_EVERY_S = 5.0
SWITCH_S = 0.0005
"""How long a thread may go on while another waits to run. Commits wait for several threads, one by one, and
with Python's own 5 ms they would wait for a backup that is taken beside them more than for anything else."""


class LocalWal:
    """WAL, on this machine, without a running Holdfast."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def receive(self, place: Place, database: str, told: Callable[[Receiving], None]) -> None:
        """Receive until SIGTERM or SIGINT. Raises SpoolTaken when another process does."""
        estate = read_estate(place.config)
        stopping = threading.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda *_: stopping.set())
        with spool_for(estate, place, database) as spool:
            receiver = receiver_for(estate, place, database, spool, self._clock, _log)
            receiver.start()
            try:
                while not stopping.wait(TOLD_EVERY_S):
                    told(_shown(database, receiver))
            finally:
                receiver.stop()
                told(_shown(database, receiver))

    def push(self, place: Place, database: str, path: Path) -> WalPushed:
        estate = read_estate(place.config)
        pusher = pusher_for(estate, place, database)
        try:
            pushed = pusher.push(path)
        except OSError as error:
            raise NotFit(f"{path} cannot be read: {error.strerror}") from error
        return WalPushed(pushed.name, pushed.stored, dict(pushed.waiting or {}), pushed.nothing_to_keep)


def spool_folder(place: Place, database: str) -> Path:
    return place.data_dir / "backup" / database / "wal"


def spool_for(estate: Estate, place: Place, database: str) -> Spool:
    """The spool of a database; close it. Raises SpoolTaken."""
    return Spool(spool_folder(place, database), estate.backup.spool_limit << 20)


def pusher_for(estate: Estate, place: Place, database: str) -> Pusher:
    """Who takes what the server hands over. Raises HoldfastError for what is not declared."""
    declared(estate, database)
    return Pusher(
        database,
        regions_of(estate, database, place.config, place.data_dir),
        packer_for(estate, place.config),
        spool_folder(place, database).with_name("pushed"),
        estate.backup.spool_limit << 20,
    )


def receiver_for(
    estate: Estate, place: Place, database: str, spool: Spool, clock: Clock, on_event: Events
) -> Receiver:
    """A receiver as the estate declares it, not started. Raises HoldfastError for what is not declared."""
    wanted = declared(estate, database)
    if wanted.mode == "archive" or wanted.engine != "native":
        how = "its archive_command" if wanted.mode == "archive" else wanted.engine
        raise NotFit(f"the WAL of {database} comes by {how}", hint="mode: stream or sync receives it")
    sys.setswitchinterval(SWITCH_S)
    settings = ReceiverSettings(
        slot=slot_name(database),
        application_name="holdfast" if wanted.mode == "sync" else "holdfast wal",
        mode=Mode(wanted.mode),
        sync_regions=wanted.sync.regions,
        stall_limit_s=wanted.sync.stall_limit.total_seconds(),
        heartbeat_s=wanted.heartbeat.total_seconds(),
    )
    return Receiver(
        database,
        source_for(wanted, place.config),
        spool,
        regions_of(estate, database, place.config, place.data_dir),
        packer_for(estate, place.config),
        clock,
        settings,
        on_event=on_event,
    )


def _log(name: str, facts: object) -> None:
    log.info(name, **(facts if isinstance(facts, dict) else {}))


def _shown(database: str, receiver: Receiver) -> Receiving:
    state = receiver.state()
    regions = [
        RegionShown(
            each.region,
            format_lsn(each.has[1]) if each.has else None,
            each.lag_bytes,
            each.answers,
            each.error,
        )
        for each in state.regions
    ]
    return Receiving(
        database,
        state.connected,
        state.error,
        state.timeline,
        format_lsn(state.received) if state.received is not None else None,
        format_lsn(state.acknowledged),
        state.spool_bytes,
        state.spool_is_full,
        state.sync,
        state.backup_wanted,
        regions,
    )
