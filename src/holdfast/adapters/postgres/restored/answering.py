"""Waits until a restored server answers, and notices when it never will."""

import signal
import time
from pathlib import Path
from typing import Any

import psycopg

from holdfast.adapters.postgres.restored.pulse import Pulse, beat_of
from holdfast.adapters.postgres.restored.superusers import superusers
from holdfast.adapters.postgres.server import process
from holdfast.backup.errors import RestoreFailed

PORT = 5432
PAUSE_S = 0.02
STALLED_S = 60.0
"""A server that has replayed nothing for so long, and does not answer, never will."""
ENDS_WITHIN_S = 30.0
_STARVES, _MOST_WAITS = "waiting for WAL to become available", 5
"""PostgreSQL 15 and later say so at each look, a tenth of a second apart. Others are seen not to move."""
_NEEDS_MORE = "because of insufficient parameter settings"
_LOG_LINES, _LOG_READ = 12, 200


class NeedsMore(RestoreFailed):
    """It ended because WAL told of settings that are larger than its own. Its control file has them now."""


def answering(folder: Path, place: Path, pid: int, log: Path, stalled_s: float = STALLED_S) -> str:
    """Wait until somebody can log in; who it is. Replaying takes as long as it takes; standing still ends.

    Raises RestoreFailed: the server has ended, or has come to rest before it is consistent. It does not run
    then. NeedsMore among them.
    """
    names: list[str] = []
    pause = PAUSE_S
    pulse = Pulse(stalled_s)
    said = ""
    while True:
        process.reap(pid)
        if not process.lives(pid):
            kind = NeedsMore if _NEEDS_MORE in last_words(log) else RestoreFailed
            raise kind(
                f"the restored server ended while it recovered; its last words were:\n{last_words(log)}",
                hint=f"the whole log is in {log}",
            )
        names = names or superusers(folder) or ["postgres"]
        for name in names:
            try:
                connected(place, name, "template1").close()
            except psycopg.OperationalError as error:
                said = str(error)
                if "does not exist" in said or "not permitted" in said:
                    # Roles changed since the backup: what is on the disk may know better by now.
                    names = [*superusers(folder), "postgres"]
                continue
            return name
        _see_that_it_goes_on(folder, pid, log, pulse, said)
        time.sleep(pause)
        # Each look is a line in its log: in an hour of replaying not too many.
        pause = min(pause * 1.1, 0.5)


def _see_that_it_goes_on(folder: Path, pid: int, log: Path, pulse: Pulse, said: str) -> None:
    # The end of what is there, and not consistent yet: it would wait for ever.
    starved = [each for each in last_words(log, _LOG_READ).splitlines() if _STARVES in each]
    places = {each.rpartition(" at ")[2] for each in starved}
    if len(starved) >= _MOST_WAITS and len(places) == 1:
        _end(folder, pid)
        raise RestoreFailed(
            f"the WAL that is there ends at {places.pop()}, before the copy is consistent",
            hint="choose a later moment, or another backup",
        )
    beat = beat_of(folder)
    if pulse.is_stalled(time.monotonic(), beat):
        _end(folder, pid)
        where = f" ({beat.doing.rpartition('startup ')[2]})" if "startup " in beat.doing else ""
        raise RestoreFailed(
            f"the restored server replays nothing any more{where}, and is not consistent:"
            f" {said.strip().splitlines()[-1] if said.strip() else 'it does not answer'}",
            hint=f"does the WAL end there? choose a later moment, or another backup; its log is {log}",
        )


def _end(folder: Path, pid: int) -> None:
    for how in (signal.SIGQUIT, signal.SIGKILL):
        process.send(pid, folder, how)
        deadline = time.monotonic() + ENDS_WITHIN_S
        while process.serves(pid, folder) and time.monotonic() < deadline:
            process.reap(pid)
            time.sleep(PAUSE_S)


def connected(place: Path, user: str, database: str) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=str(place),
        port=PORT,
        user=user,
        dbname=database,
        connect_timeout=10,
        autocommit=True,
        application_name="holdfast restore",
        client_encoding="utf8",
        options="-c timezone=UTC -c datestyle=ISO",
    )


def last_words(log: Path, count: int = _LOG_LINES) -> str:
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-count:])
