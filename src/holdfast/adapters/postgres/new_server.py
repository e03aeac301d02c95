"""A new and empty server in a folder, to load dumps into: confined, private, and stopped behind it."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from holdfast.adapters.postgres.errors import DatabaseError
from holdfast.adapters.postgres.logical import Client
from holdfast.adapters.postgres.restored import launching, server
from holdfast.adapters.postgres.server.binaries import Binaries
from holdfast.adapters.postgres.server.confinement import find_confinement
from holdfast.adapters.postgres.server.initialise import environment
from holdfast.backup.errors import NotFit, RestoreFailed
from holdfast.backup.logical.logical import Loading

SUPERUSER = "postgres"
PATIENCE = timedelta(minutes=5)
UNFINISHED = ".unfinished"


def new_servers(binaries: Binaries) -> Callable[[Path], AbstractContextManager[Loading]]:
    """What makes servers of these programs."""

    @contextmanager
    def made(folder: Path) -> Iterator[Loading]:
        folder = folder.absolute()
        # Under another name until all is loaded: half of a database is never found where it was to be.
        work = folder.with_name(folder.name + UNFINISHED)
        _clear(work)
        try:
            _initialise(work, binaries)
            running = server.start(work, binaries, recovery=None, is_ours=True)
            try:
                params = {name: str(text) for name, text in conninfo_to_dict(running.conninfo).items()}
                yield Client(params, binaries)
            finally:
                running.stop()
            launching.hand_over(work, binaries, None, in_place=False)
            _move(work, folder)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise

    return made


def _clear(work: Path) -> None:
    """Let go of what a killed one left. Its server may run on: then it is not touched."""
    if launching.in_use(work):
        raise NotFit(
            f"a server runs on {work}", hint="another restore goes on, or was killed: stop that server"
        )
    shutil.rmtree(work, ignore_errors=True)


def _move(work: Path, folder: Path) -> None:
    try:
        # Over a folder that is there it goes only when that is empty.
        work.rename(folder)
        descriptor = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise NotFit(
            f"{folder} cannot be made: {error.strerror}", hint="is something in it by now?"
        ) from error
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _initialise(folder: Path, binaries: Binaries) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        confinement = find_confinement(binaries, folder)
    except DatabaseError as error:
        raise NotFit(str(error), hint=error.hint) from error
    os.chown(folder, confinement.uid, confinement.gid)
    # Whoever starts it later lets in nobody by it but the account that it runs as.
    command = [
        *confinement.prefix,
        binaries.initdb,
        f"--pgdata={folder}",
        f"--username={SUPERUSER}",
        "--auth-local=peer",
        "--auth-host=reject",
        "--encoding=UTF8",
        "--locale=C",
        "--data-checksums",
        "--no-instructions",
    ]
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment(),
            timeout=PATIENCE.total_seconds(),
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RestoreFailed(f"initdb does not run: {error}") from error
    if ended.returncode != 0:
        said = ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"]
        raise RestoreFailed(f"initdb: {said[-1]}")
