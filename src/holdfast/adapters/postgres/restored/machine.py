"""This machine, as a verification needs it: PostgreSQL's programs, and what a killed run has left behind."""

import signal
import time
from collections.abc import Mapping
from pathlib import Path

from holdfast.adapters.postgres.errors import DatabaseError
from holdfast.adapters.postgres.page_checksums import PageChecksums
from holdfast.adapters.postgres.restored.programs import Programs
from holdfast.adapters.postgres.server import process
from holdfast.adapters.postgres.server.confinement import find_confinement
from holdfast.backup.errors import NotFit, RestoreFailed
from holdfast.backup.verify.verification import PagesChecked
from holdfast.backup.verify.verifying import WalSpan

STOP_PATIENCE_S = 120.0
_PAUSE_S = 0.02


class LocalMachine:
    """The programs in `bin_dir`, or the packaged ones. Raises NotFit when there are none that run."""

    def __init__(self, bin_dir: Path | None = None, *, settings: Mapping[str, str] | None = None) -> None:
        self._programs = Programs(bin_dir, settings=settings, is_ours=True)

    @property
    def postgres(self) -> Programs:
        return self._programs

    def pages(self, data: Path, replayed: WalSpan | None) -> PagesChecked:
        binaries = self._programs.binaries
        try:
            confinement = find_confinement(binaries, data)
        except DatabaseError as error:
            raise NotFit(str(error), hint=error.hint) from error
        return PageChecksums(binaries, confinement).checked(data, replayed)

    def end_leftover(self, data: Path) -> None:
        """As its operator would, by a fast shutdown: what it replayed is kept."""
        for how in (signal.SIGINT, signal.SIGQUIT):
            running = process.read_pid_file(data / "postmaster.pid")
            if running is None or not process.serves(running.pid, data):
                return
            process.send(running.pid, data, how)
            deadline = time.monotonic() + STOP_PATIENCE_S
            while time.monotonic() < deadline:
                process.reap(running.pid)
                if not process.processes_of(data):
                    return
                time.sleep(_PAUSE_S)
        raise RestoreFailed(f"a server that was left on {data} does not end", hint="end it by hand")
