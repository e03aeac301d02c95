"""A database that backs itself up as it was told to: for tests of what is done with a backup."""

import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from holdfast.backup.errors import IncrementRefused
from holdfast.backup.lsn import Lsn, Timeline
from holdfast.backup.ports import (
    ArchiveBegins,
    BackupBegins,
    BackupEnds,
    BackupEvent,
    ManifestBegins,
    SourceIdentity,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MANIFEST = b'{ "PostgreSQL-Backup-Manifest-Version": 2 }\n'


def tar_stream(files: Mapping[str, bytes]) -> bytes:
    """A tar stream as PostgreSQL sends it."""
    target = io.BytesIO()
    for name, content in files.items():
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), 0o600
        target.write(entry.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512))
    return target.getvalue() + bytes(1024)


@dataclass
class ScriptedSource:
    """`archives` are (name, location, stream). `fails` is raised before the event with that number."""

    archives: Sequence[tuple[str, str, bytes]] = (("base.tar", "", tar_stream({"PG_VERSION": b"18\n"})),)
    identity: SourceIdentity = field(
        default_factory=lambda: SourceIdentity(
            7, Timeline(1), Lsn(0x5000000), 180_004, 16 * 1024 * 1024, NOON
        )
    )
    estimated_bytes: int | None = None
    refuses_increments: bool = False
    fails: tuple[int, Exception] | None = None
    drops_end: bool = False
    piece: int = 32 * 1024
    asked: list[bytes | None] = field(default_factory=list)

    def identify(self) -> SourceIdentity:
        return self.identity

    @contextmanager
    def base_backup(
        self, *, label: str, parent_manifest: bytes | None = None, fast_checkpoint: bool = True
    ) -> Iterator[Iterator[BackupEvent]]:
        assert label.startswith("holdfast ")
        assert fast_checkpoint
        self.asked.append(parent_manifest)
        yield self._events(parent_manifest)

    def _events(self, parent_manifest: bytes | None) -> Iterator[BackupEvent]:
        if parent_manifest is not None and self.refuses_increments:
            raise IncrementRefused("WAL summaries are required on timeline 1")
        for number, event in enumerate(self._script()):
            if self.fails is not None and self.fails[0] == number:
                raise self.fails[1]
            yield event

    def _script(self) -> Iterator[BackupEvent]:
        begin = self.identity.flushed
        size = sum(len(each[2]) for each in self.archives)
        yield BackupBegins(begin, self.identity.timeline, {}, self.estimated_bytes or size)
        for name, location, stream in self.archives:
            yield ArchiveBegins(name, location)
            for start in range(0, len(stream), self.piece):
                yield memoryview(stream)[start : start + self.piece]
        yield ManifestBegins()
        yield memoryview(MANIFEST)
        if not self.drops_end:
            yield BackupEnds(Lsn(begin + 0x100), self.identity.timeline)
