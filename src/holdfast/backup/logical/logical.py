"""The logical tier as an engine: dumps of every database, streamed into the same regions as all else.

The order is what makes it safe: dumps, contents and index first, and the record last, as for the native
engine. A dump that ends in the middle leaves objects that nobody lists as a backup.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from holdfast.backup import layout
from holdfast.backup.engines import Depth, Finding, Kept
from holdfast.backup.errors import (
    AlreadyThere,
    BackupError,
    Damaged,
    NotFit,
    NotRecoverable,
    RegionError,
    SourceRefused,
)
from holdfast.backup.index import encoded_index
from holdfast.backup.logical.dumps import (
    DUMP,
    GLOBALS,
    LONGEST_CONTENTS,
    TEMPLATES,
    Contents,
    Server,
    Snapshot,
    decoded_contents,
    dump_findings,
    dump_for,
    encoded_contents,
    kept_dumps,
    load_findings,
)
from holdfast.backup.logical.held import logical_backups, sweep_dumps
from holdfast.backup.lsn import FIRST_TIMELINE
from holdfast.backup.model import Archive, Backup, BackupKind, Member, RecoveryWindow, StoredObject, Target
from holdfast.backup.ports import Packer, Progress, Region
from holdfast.backup.records import encoded
from holdfast.backup.recoverable.holdings import raw_object
from holdfast.backup.take.cutting import ChunkedStream, Cutter
from holdfast.backup.take.fanout import FanOut
from holdfast.backup.take.sweeping import LEFT_ALONE
from holdfast.backup.take.taking import (
    LONGEST_LABEL,
    TAKEN_CHUNK_BYTES,
    TRAVELLING_BYTES,
    Silent,
    Taken,
)
from holdfast.kernel.clock import Clock

_TOLD_EVERY = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Dump:
    """A dump that is being made: its bytes end when it is complete, and raise when it is not."""

    snapshot: Snapshot
    pieces: Iterator[bytes]


class DumpSource(Protocol):
    """A server that can be dumped. Raises SourceAway, SourceRefused, NotFit."""

    @property
    def program_major(self) -> int:
        """Of its pg_dump."""
        ...

    def look(self) -> Server:
        """Its version, and its databases that can be connected to."""
        ...

    def globals(self) -> AbstractContextManager[Iterator[bytes]]:
        """Roles and tablespaces as SQL, without passwords."""
        ...

    def dump(self, database: str) -> AbstractContextManager[Dump]:
        """One database through one snapshot, in pg_dump's custom format, not compressed."""
        ...


class Loading(Protocol):
    """A server that is loaded into. Raises SourceAway, SourceRefused, RestoreFailed."""

    @property
    def program_major(self) -> int:
        """Of its pg_restore."""
        ...

    def look(self) -> Server: ...

    def apply_globals(self, sql: bytes) -> None:
        """Make the roles that are not there yet."""
        ...

    def load(self, database: str, pieces: Iterator[bytes], *, create: bool) -> None:
        """Load a dump, in one go; `create` makes its database with the settings that it had."""
        ...


class NewServers(Protocol):
    """Makes a new server in a folder, which runs inside the block and is stopped behind it. Raises NotFit."""

    def __call__(self, folder: Path, /) -> AbstractContextManager[Loading]: ...


class LogicalTier:
    """An `Engine` by dumps. One backup at a time."""

    def __init__(
        self,
        database: str,
        source: DumpSource,
        regions: Sequence[Region],
        packer: Packer,
        clock: Clock,
        new_server: NewServers,
        progress: Progress | None = None,
        *,
        chunk_bytes: int = TAKEN_CHUNK_BYTES,
    ) -> None:
        self._database = database
        self._source = source
        self._regions = tuple(regions)
        self._packer = packer
        self._clock = clock
        self._new_server = new_server
        self._progress = progress or Silent()
        self._chunk_bytes = chunk_bytes

    @property
    def database(self) -> str:
        return self._database

    def take(self, kind: Depth, *, label: str = "") -> Kept:  # noqa: ARG002  the port has it
        """Always a full one: a dump knows no increments."""
        taken = self.taken(label)
        return kept_dumps(taken.backup, taken.complete[0])

    def taken(self, label: str = "") -> Taken:
        """Take one, and tell which regions have it. Raises as `take`."""
        if len(label) > LONGEST_LABEL or not label.isprintable():
            raise SourceRefused(f"a label has at most {LONGEST_LABEL} characters, all of them printable")
        server = self._source.look()
        for finding in dump_findings(server, self._source.program_major):
            raise NotFit(finding.text, hint=finding.hint)
        id_ = layout.backup_id(server.at)
        workers = 2 if len(self._regions) <= 2 else 1
        travelling = max(TRAVELLING_BYTES, self._chunk_bytes * (len(self._regions) + 1))
        with (
            FanOut(self._regions, self._clock, limit_bytes=travelling, workers=workers) as fan,
            Cutter(self._packer, fan, self._chunk_bytes) as cutter,
        ):
            backup = self._dumped(id_, label, server, cutter)
            fan.settle()
            fan.each(lambda region: _finish(region, backup))
            fan.settle()
            return Taken(backup, fan.complete, fan.behind)

    def backups(self) -> Sequence[Kept]:
        """Those of every region that answers. Raises RegionError when none does."""
        return [kept_dumps(backup, region.name) for region, backup in self._held()]

    def windows(self) -> Sequence[RecoveryWindow]:
        """None: there is nothing between two dumps."""
        return ()

    def restore(self, target: Target, folder: Path) -> Kept:
        """As the port says: a new server in `folder`, with everything loaded, and stopped."""
        if folder.exists() and any(folder.iterdir()):
            raise NotFit(f"{folder} is not empty", hint="choose an empty folder, or one that does not exist")
        region, backup = self._chosen(target)
        contents = self._contents(region, backup)
        with self._new_server(folder) as loading:
            self._load(region, backup, contents, loading)
        return kept_dumps(backup, region.name)

    def load(self, target: Target, into: Loading) -> Kept:
        """Load everything into a server that runs: its databases must not be there yet."""
        region, backup = self._chosen(target)
        contents = self._contents(region, backup)
        there = into.look().databases
        taken = [
            each.name for each in contents.snapshots if each.name in there and each.name not in TEMPLATES
        ]
        if taken:
            raise NotFit(f"there is a database {', '.join(taken)} already", hint="rename it, or drop it")
        self._load(region, backup, contents, into)
        return kept_dumps(backup, region.name)

    def check(self) -> Sequence[Finding]:
        try:
            found = list(dump_findings(self._source.look(), self._source.program_major))
        except BackupError as error:
            found = [Finding(str(error), error.hint)]
        for region in self._regions:
            try:
                next(iter(region.listed(layout.logical_prefix(self._database))), None)
            except RegionError as error:
                found.append(Finding(str(error), error.hint))
        return found

    def sweep(self, *, left_alone: timedelta = LEFT_ALONE) -> int:
        """Clear away what has no record and was not written to for so long; how many objects that was."""
        swept = [sweep_dumps(each, self._database, self._clock, left_alone) for each in self._regions]
        return sum(len(each.keys) for one in swept for each in one.leftovers)

    def _dumped(self, id_: str, label: str, server: Server, cutter: Cutter) -> Backup:
        began = self._clock.monotonic()
        streams = _Streams(self._database, id_, cutter, self._progress)
        self._progress.begin("dumping", None)
        with self._source.globals() as pieces:
            streams.add(GLOBALS, 0, pieces)
        snapshots = []
        for name in server.databases:
            self._progress.note(f"dumping {name}")
            with self._source.dump(name) as dump:
                streams.add(f"{dump.snapshot.oid}{DUMP}", dump.snapshot.oid, dump.pieces)
                snapshots.append(dump.snapshot)
        if not snapshots:
            raise SourceRefused("there is no database to dump", hint="may the login connect to any?")
        contents = Contents(self._source.program_major, tuple(snapshots))
        return Backup(
            id=id_,
            database=self._database,
            kind=BackupKind.FULL,
            parent="",
            label=label,
            system_id=server.system_id,
            server_version=server.version,
            timeline=FIRST_TIMELINE,
            start_lsn=min(each.lsn for each in snapshots),
            stop_lsn=max(each.lsn for each in snapshots),
            started_at=min(each.at for each in snapshots),
            finished_at=server.at + timedelta(seconds=self._clock.monotonic() - began),
            archives=tuple(streams.archives),
            manifest=streams.part("contents", encoded_contents(contents)),
            index=streams.part("index", encoded_index(streams.members)),
            chunk_bytes=self._chunk_bytes,
        )

    def _held(self) -> list[tuple[Region, Backup]]:
        found: list[tuple[Region, Backup]] = []
        errors = []
        for region in self._regions:
            try:
                found += [(region, each) for each in logical_backups(region, self._database)]
            except RegionError as error:
                errors.append(error)
        if len(errors) == len(self._regions) and errors:
            raise errors[0]
        return sorted(found, key=lambda each: (each[1].id, each[0].name))

    def _chosen(self, target: Target) -> tuple[Region, Backup]:
        held = self._held()
        chosen = dump_for([backup for _, backup in held], target)
        return next((region, backup) for region, backup in held if backup.id == chosen.id)

    def _contents(self, region: Region, backup: Backup) -> Contents:
        if backup.manifest.raw_bytes > LONGEST_CONTENTS:
            raise Damaged(f"{backup.manifest.key}: {backup.manifest.raw_bytes} bytes are no list of contents")
        return decoded_contents(raw_object(region, backup.manifest, self._packer), backup.manifest.key)

    def _load(self, region: Region, backup: Backup, contents: Contents, into: Loading) -> None:
        server = into.look()
        for finding in load_findings(contents, backup.server_version, into.program_major, server):
            raise NotFit(finding.text, hint=finding.hint)
        archives = {each.oid: each for each in backup.archives}
        if 0 in archives:
            into.apply_globals(b"".join(self._pieces(region, archives[0])))
        for each in contents.snapshots:
            archive = archives.get(each.oid)
            if archive is None:
                raise NotRecoverable(f"{backup.id} does not hold the database {each.name}")
            self._progress.begin(f"loading {each.name}", archive.raw_bytes)
            create = each.name not in server.databases
            into.load(each.name, self._pieces(region, archive), create=create)

    def _pieces(self, region: Region, archive: Archive) -> Iterator[bytes]:
        for chunk in archive.chunks:
            raw = self._raw(region, chunk)
            self._progress.advance(len(raw))
            yield raw

    def _raw(self, region: Region, chunk: StoredObject) -> bytes:
        """From the region, or from another one where this one's is gone or harmed."""
        others = [each for each in self._regions if each.name != region.name]
        try:
            return raw_object(region, chunk, self._packer)
        except BackupError:
            for each in others:
                with suppress(BackupError):
                    return raw_object(each, chunk, self._packer)
            raise


class _Streams:
    """Archives as they grow, and the index of them."""

    def __init__(self, database: str, id_: str, cutter: Cutter, progress: Progress) -> None:
        self.archives: list[Archive] = []
        self.members: list[Member] = []
        self._database = database
        self._id = id_
        self._cutter = cutter
        self._progress = progress

    def add(self, name: str, oid: int, pieces: Iterator[bytes]) -> None:
        number, ending = len(self.archives), layout.ending(self._cutter.sealed_with)

        def key_of(chunk: int, sha256: str) -> str:
            return layout.logical_key(self._database, self._id, f"a{number}/{chunk:06d}-{sha256}{ending}")

        stream, told = ChunkedStream(self._cutter, key_of), 0
        for piece in pieces:
            stream.write(piece)
            told += len(piece)
            if told >= _TOLD_EVERY:
                self._progress.advance(told)
                told = 0
        self._progress.advance(told)
        stored = stream.finish()
        self.archives.append(Archive(name, oid, "", stream.size, stored))
        self.members.append(Member(name, number, 0, stream.size, 0o600))

    def part(self, name: str, content: bytes) -> StoredObject:
        ending = layout.ending(self._cutter.sealed_with)
        return self._cutter.pack(
            content,
            lambda sha256: layout.logical_key(self._database, self._id, f"{name}-{sha256}{ending}"),
        )


def _finish(region: Region, backup: Backup) -> None:
    prefix = layout.logical_key(backup.database, backup.id)
    there = {each.key: each.size for each in region.listed(prefix)}
    missing = [each.key for each in backup.objects if there.get(each.key) != each.stored_bytes]
    if missing:
        raise Damaged(
            f"region {region.name} took {len(missing)} objects and does not have them, such as {missing[0]}",
            hint="does somebody delete there, or is its disk failing?",
        )
    try:
        region.put(prefix + layout.RECORD, encoded(backup))
    except AlreadyThere:
        # The letters of the id are ours alone: an earlier attempt succeeded, and its answer was lost.
        return
