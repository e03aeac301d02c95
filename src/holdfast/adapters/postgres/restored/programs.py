"""PostgreSQL's programs on this machine, as a restore needs them."""

from collections.abc import Mapping
from pathlib import Path

from holdfast.adapters.postgres.errors import DatabaseError
from holdfast.adapters.postgres.restored import launching, server
from holdfast.adapters.postgres.restored.offering import minor_of, offer_of
from holdfast.adapters.postgres.restored.server import RestoredServer
from holdfast.adapters.postgres.server.binaries import find_binaries
from holdfast.backup.errors import NotFit
from holdfast.backup.restore.preflight import Build
from holdfast.backup.restore.recovery import RecoverySettings


class Programs:
    """Those in `bin_dir`, or the packaged ones. Raises NotFit when there are none that run.

    `settings` are given to each server that is started, and win over ours. `is_ours`: each ends when the
    thread that started it has ended, also by a kill of this process.
    """

    def __init__(
        self,
        bin_dir: Path | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        is_ours: bool = False,
    ) -> None:
        try:
            self.binaries = find_binaries(bin_dir)
        except DatabaseError as error:
            raise NotFit(str(error), hint=error.hint) from error
        self._settings = dict(settings or {})
        self._is_ours = is_ours
        self._build: Build | None = None

    @property
    def build(self) -> Build:
        if self._build is None:
            binaries = self.binaries
            self._build = Build(binaries.folder, binaries.major, minor_of(binaries), offer_of(binaries))
        return self._build

    def with_settings(self, settings: Mapping[str, str]) -> "Programs":
        """The same, whose servers are given these settings, too."""
        return Programs(self.binaries.folder, settings={**self._settings, **settings}, is_ours=self._is_ours)

    def in_use(self, folder: Path) -> bool:
        return launching.in_use(folder)

    def start(self, folder: Path, recovery: RecoverySettings | None) -> RestoredServer:
        return server.start(
            folder, self.binaries, recovery=recovery, settings=self._settings, is_ours=self._is_ours
        )

    def hand_over(self, folder: Path, recovery: RecoverySettings | None, *, in_place: bool) -> None:
        launching.hand_over(folder, self.binaries, recovery, in_place=in_place)
