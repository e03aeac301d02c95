"""Restores apart from everything, for drills: one of each database at a time on a machine.

DATA_DIR/drills/KEY.lock            held while a copy of the database is worked on
DATA_DIR/drills/copies/KEY/...      the copy; whoever comes next clears up behind one that was killed
"""

import asyncio
import contextlib
import fcntl
import os
import random
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from holdfast.adapters.postgres.restored.machine import LocalMachine
from holdfast.backup.errors import BackupError
from holdfast.backup.recoverable.chain import windows_of
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.verify.verification import Standing, Verification
from holdfast.backup.verify.verified_points import NEWEST, Point, Which, older
from holdfast.backup.verify.warm import WarmBase
from holdfast.bootstrap.backup.memory import give_back
from holdfast.bootstrap.backup.opening import regions_of
from holdfast.bootstrap.backup.progress import Reported
from holdfast.bootstrap.backup.taking import declared
from holdfast.bootstrap.backup.verifying import COPIES, LocalVerifications, verifier_for
from holdfast.bootstrap.backup.wanted import wanted_of
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.interfaces.cli.ports import Place, Progress, Report
from holdfast.interfaces.cli.verifying import VerifyRequest
from holdfast.kernel.journal import JournalEntry
from holdfast.recovery.errors import StepFailed

DRILLS = "drills"
"""Below the data directory: apart from the copies that daily verification keeps warm."""
LOOK_EVERY_S = 0.5

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be restored. Without a region it is one at random, by the seed."""

    database: str
    region: str
    seed: int
    older: bool
    """A moment at random, by the seed; else the newest."""


def wish_of(given: Mapping[str, str], *, older_one: bool) -> Wish:
    seed = int(given["seed"]) if given.get("seed", "").isdecimal() else 0
    return Wish(given["subject"], given.get("region", ""), seed, older_one)


async def restored(around: Surroundings, wish: Wish) -> Verification:
    """Restore and question, in a thread. Raises StepFailed where nothing came to be known.

    Cancelled, it returns at once; the thread ends at its next step, and clears up behind itself.
    """
    stop = threading.Event()

    def go_on(_: Progress) -> None:
        if stop.is_set():
            raise _GivenUpError

    work = asyncio.create_task(asyncio.to_thread(_in_turn, around, wish, go_on))
    try:
        record = await asyncio.shield(work)
    except asyncio.CancelledError:
        stop.set()
        work.add_done_callback(lambda done: done.cancelled() or done.exception())
        raise
    if record.standing is Standing.UNPROVEN:
        text = "; ".join(each.text for each in record.problems) or "it could not be tried to the end"
        raise StepFailed(f"nothing is known of the copy in {record.region}: {text}")
    return record


def clear_leftovers(data_dir: Path) -> None:
    """End the servers, and remove the copies, that killed drills have left. What is at work is left alone."""
    copies = data_dir / DRILLS / COPIES
    for folder in copies.iterdir() if copies.is_dir() else ():
        with contextlib.suppress(BlockingIOError), _held(data_dir, folder.name):
            _cleared(folder)


class _GivenUpError(Exception):
    """Nobody waits for it any more."""


def _in_turn(around: Surroundings, wish: Wish, go_on: Report) -> Verification:
    """One at a time: another drill of the same database is waited for."""
    while True:
        try:
            with _held(around.place.data_dir, wish.database):
                return _restored(around, wish, go_on)
        except BlockingIOError:
            go_on(Progress(f"another drill of {wish.database} is under way on this machine"))
            time.sleep(LOOK_EVERY_S)


def _restored(around: Surroundings, wish: Wish, go_on: Report) -> Verification:
    estate, key, place = around.estate, wish.database, around.place
    database = declared(estate, key)
    name = wish.region or random.Random(wish.seed).choice(sorted(database.copies))  # noqa: S311
    if name not in database.copies:
        raise StepFailed(
            f"there is no copy of {key} in {name!r}", hint=f"there are: {', '.join(database.copies)}"
        )
    if database.engine != "native":
        request = VerifyRequest(
            key, newest=not wish.older, older=wish.older, seed=wish.seed, region=name, fresh=True
        )
        [record] = LocalVerifications(_tell, around.clock).verify(place, request, go_on)
        return record
    apart = Place(place.config, place.data_dir / DRILLS)
    folder = apart.data_dir / COPIES / key
    try:
        _cleared(folder)
        regions = regions_of(estate, key, place.config, place.data_dir)
        region = next(each for each in regions if each.name == name)
        point: Point | None = NEWEST
        if wish.older:
            point = older(windows_of(holdings_of(region, key, around.clock)), wish.seed)
        if point is None:
            raise StepFailed(f"{key} in {name}: there is nothing to restore")
        verifier = verifier_for(estate, key, region, regions, apart, _tell, around.clock, Reported(go_on))
        # Not as the newest: what daily verification learns from its own points stays its own.
        return verifier.verify(Point(Which.ASKED, point.target, point.seed), wanted_of(database), fresh=True)
    except BackupError as error:
        raise StepFailed(str(error), hint=error.hint) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        give_back()


def _cleared(folder: Path) -> None:
    """Raises RestoreFailed where a server that was left does not end."""
    for each in folder.iterdir() if folder.is_dir() else ():
        LocalMachine(None).end_leftover(WarmBase(each).copy)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _held(data_dir: Path, key: str) -> Iterator[None]:
    """Raises BlockingIOError while somebody else has it. It ends with the process that has it."""
    folder = data_dir / DRILLS
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / f"{key}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _tell(entry: JournalEntry) -> None:
    log.info(entry.event.replace(".", "_"), **entry.facts)
