"""A new and empty server in a folder, to load dumps into: confined, private, and stopped behind it."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from holdfast.adapters.postgres.errors import DatabaseError
from holdfast.adapters.postgres.logical import Client
from holdfast.adapters.postgres.restored import server
from holdfast.adapters.postgres.server.binaries import Binaries
from holdfast.adapters.postgres.server.confinement import find_confinement
from holdfast.adapters.postgres.server.initialise import environment
from holdfast.backup.errors import NotFit, RestoreFailed
from holdfast.backup.logical import Loading

SUPERUSER = "postgres"
PATIENCE = timedelta(minutes=5)


def new_servers(binaries: Binaries) -> Callable[[Path], AbstractContextManager[Loading]]:
    """What makes servers of these programs."""

    @contextmanager
    def made(folder: Path) -> Iterator[Loading]:
        folder = folder.absolute()
        _initialise(folder, binaries)
        running = server.start(folder, binaries, recovery=None)
        try:
            params = {name: str(text) for name, text in conninfo_to_dict(running.conninfo).items()}
            yield Client(params, binaries)
        finally:
            running.stop()
        server.hand_over(folder, binaries, None, in_place=False)

    return made


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
