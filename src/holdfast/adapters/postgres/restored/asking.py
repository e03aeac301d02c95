"""Asks PostgreSQL's programs about themselves."""

import subprocess
from pathlib import Path

from holdfast.adapters.postgres.server.binaries import Binaries
from holdfast.adapters.postgres.server.initialise import environment
from holdfast.backup.errors import RestoreFailed

CHECK_TIMEOUT_S = 60.0


def library_folder(binaries: Binaries) -> Path | None:
    """Where these programs look for extensions' libraries; None when they do not tell."""
    try:
        ended = run([str(binaries.folder / "pg_config"), "--pkglibdir"])
    except RestoreFailed:
        return None
    return Path(ended.stdout.strip()) if ended.returncode == 0 and ended.stdout.strip() else None


def has_library(binaries: Binaries, name: str) -> bool:
    if name.startswith("/"):
        return Path(name).exists() or Path(f"{name}.so").exists()
    folder = library_folder(binaries)
    return folder is None or (folder / f"{name.removeprefix('$libdir/')}.so").exists()


def run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment(),
            timeout=CHECK_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RestoreFailed(f"{command[0]} does not run: {error}") from error
