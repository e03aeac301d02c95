"""Makes a new data directory: whole or not at all."""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from datetime import timedelta
from pathlib import Path

from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.errors import DatabaseNotStarting
from holdfast.adapters.postgres.server.binaries import Binaries
from holdfast.adapters.postgres.server.confinement import Confinement
from holdfast.adapters.postgres.server.layout import UNFINISHED, Layout
from holdfast.adapters.postgres.server.process import FileLock

BUILTIN_LOCALES_SINCE = 17
PATIENCE = timedelta(minutes=5)


async def initialise(
    layout: Layout, binaries: Binaries, confinement: Confinement, password: str, start_lock: FileLock
) -> None:
    """Run initdb in a folder beside `data` and rename the result: a killed one leaves no half directory.

    initdb holds the start lock with us: should we be killed, the next start waits until it has ended.
    """
    await asyncio.to_thread(layout.remove_unfinished)
    folder = await asyncio.to_thread(_scratch, layout, confinement, password)
    try:
        command = [*confinement.prefix, *initdb_command(binaries, folder)]
        status, output = await _run(command, start_lock)
        if status != 0:
            raise DatabaseNotStarting(
                f"initdb failed with status {status}",
                log="\n".join(output.splitlines()[-12:]),
                hint="the lines above are initdb's own",
            )
        await asyncio.to_thread(_install, folder / "data", layout.data)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def initdb_command(binaries: Binaries, folder: Path) -> list[str]:
    """Checksums, UTF-8, and an order of text that no upgrade of the operating system can change."""
    locale = ["--locale=C"]
    if binaries.major >= BUILTIN_LOCALES_SINCE:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return [
        binaries.initdb,
        f"--pgdata={folder / 'data'}",
        f"--username={Role.OWNER.value}",
        f"--pwfile={folder / 'password'}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--data-checksums",
        "--no-instructions",
        *locale,
    ]


def environment() -> dict[str, str]:
    """All that PostgreSQL's programs get to see of our environment."""
    known = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
    if "LD_LIBRARY_PATH" in os.environ:
        known["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return known


def _scratch(layout: Layout, confinement: Confinement, password: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=layout.directory))
    file = folder / "password"
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(password + "\n")
    for path in (file, folder):
        os.chown(path, confinement.uid, confinement.gid)
    return folder


async def _run(command: list[str], start_lock: FileLock) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment(),
        start_new_session=True,
        pass_fds=(start_lock.fileno(),),
    )
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            output, _ = await process.communicate()
    except TimeoutError as error:
        raise DatabaseNotStarting(
            f"initdb was not done after {PATIENCE}", hint="is the disk very slow?"
        ) from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()
    return process.returncode or 0, output.decode(errors="replace")


def _install(made: Path, data: Path) -> None:
    made.rename(data)
    # initdb has synced what is in it; the rename is durable once the folder above is.
    descriptor = os.open(data.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
