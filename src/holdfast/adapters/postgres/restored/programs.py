"""PostgreSQL's programs on this machine, as a restore needs them."""

from collections.abc import Mapping
from pathlib import Path

from holdfast.adapters.postgres.errors import DatabaseError
from holdfast.adapters.postgres.restored import launching, server
from holdfast.adapters.postgres.restored.asking import configure_flags
from holdfast.adapters.postgres.restored.server import RestoredServer
from holdfast.adapters.postgres.server.binaries import find_binaries
from holdfast.backup.errors import NotFit
from holdfast.backup.restore.preflight import Build
from holdfast.backup.restore.recovery import RecoverySettings

_ICU_BY_DEFAULT = 16


class Programs:
    """Those in `bin_dir`, or the packaged ones. Raises NotFit when there are none that run.

    `settings` are given to each server that is started, and win over ours.
    """

    def __init__(self, bin_dir: Path | None = None, *, settings: Mapping[str, str] | None = None) -> None:
        try:
            self.binaries = find_binaries(bin_dir)
        except DatabaseError as error:
            raise NotFit(str(error), hint=error.hint) from error
        self._settings = dict(settings or {})
        self._build: Build | None = None

    @property
    def build(self) -> Build:
        if self._build is None:
            told = configure_flags(self.binaries)
            self._build = Build(self.binaries.folder, self.binaries.major, lacking(told, self.binaries.major))
        return self._build

    def in_use(self, folder: Path) -> bool:
        return launching.in_use(folder)

    def start(self, folder: Path, recovery: RecoverySettings | None) -> RestoredServer:
        return server.start(folder, self.binaries, recovery=recovery, settings=self._settings)

    def hand_over(self, folder: Path, recovery: RecoverySettings | None, *, in_place: bool) -> None:
        launching.hand_over(folder, self.binaries, recovery, in_place=in_place)


def lacking(configure: str, major: int) -> frozenset[str]:
    """What a build lacks, from what `pg_config --configure` prints; nothing when that is empty."""
    if not configure.strip():
        return frozenset()
    has_icu = "--with-icu" in configure or (major >= _ICU_BY_DEFAULT and "--without-icu" not in configure)
    # Built with meson it prints -Dicu=enabled and the like.
    return frozenset(
        name
        for name, has in (
            ("icu", has_icu),
            ("lz4", "--with-lz4" in configure or "-Dlz4=enabled" in configure),
            ("zstd", "--with-zstd" in configure or "-Dzstd=enabled" in configure),
        )
        if not has
    )
