"""BASE_BACKUP as a stream of events, one pass, whatever the size of the database.

Source: PostgreSQL "Streaming Replication Protocol", BASE_BACKUP; `src/backend/backup/basebackup_copy.c`.
From PostgreSQL 15 on everything comes in one COPY, whose messages begin with a letter:

    'n' name 0 location 0    a tar stream begins
    'm'                      the manifest begins
    'd' bytes                of what has begun
    'p' done:8               how many bytes were sent of it all

PostgreSQL 14 knows no options in parentheses, and sends a COPY of its own for each archive, in the order of
the table of tablespaces, and one for the manifest. Its archives lack the two blocks of zeros at the end; they
are added here, so that what is stored looks the same for all versions.
"""

from collections.abc import Generator, Iterator, Sequence

from psycopg import pq

from holdfast.adapters.postgres.replication.connection import Connection, rows_of
from holdfast.backup.errors import IncrementRefused, SourceAway, SourceRefused, WalGone
from holdfast.backup.lsn import Lsn, Timeline, parse_lsn
from holdfast.backup.ports import ArchiveBegins, BackupBegins, BackupEnds, BackupEvent, ManifestBegins

SILENCE_S = 900.0
"""A server that reads, or writes its checkpoint, may say nothing for so long."""
OLDEST_VERSION = 140_000
ONE_COPY_SINCE = 150_000
INCREMENTS_SINCE = 170_000
_ARCHIVE, _MANIFEST, _BYTES, _SENT = b"nmdp"
_TAR_ENDS = bytes(1024)


def base_backup(
    connection: Connection, *, label: str, parent_manifest: bytes | None, fast_checkpoint: bool
) -> Generator[BackupEvent]:
    """The events of one backup. Raises IncrementRefused, before the first one, when no increment can be."""
    if connection.server_version < OLDEST_VERSION:
        raise SourceRefused(
            f"the server is PostgreSQL {connection.server_version // 10_000}: its backups are not understood",
            hint="engine: pgbackrest, or logical, serves there; or upgrade it to 14 or later",
        )
    incremental = parent_manifest is not None
    if parent_manifest is not None:
        _upload(connection, parent_manifest)
    command = _command(connection, label, fast_checkpoint=fast_checkpoint, incremental=incremental)
    begins, archives = _begun(connection, command, incremental=incremental)
    yield begins
    if connection.server_version < ONE_COPY_SINCE:
        yield from _copies(connection, archives)
    else:
        yield from _copy(connection)
    yield _ended(connection)


def _command(connection: Connection, label: str, *, fast_checkpoint: bool, incremental: bool) -> str:
    # WAL is kept by us as it is written: nothing to wait for.
    if connection.server_version < ONE_COPY_SINCE:
        fast = "FAST " if fast_checkpoint else ""
        return (
            f"BASE_BACKUP LABEL {_quoted(label)} PROGRESS {fast}NOWAIT "
            "MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'"
        )
    options = [
        f"LABEL {_quoted(label)}",
        "PROGRESS",
        f"CHECKPOINT '{'fast' if fast_checkpoint else 'spread'}'",
        "WAIT false",
        "MANIFEST 'yes'",
        "MANIFEST_CHECKSUMS 'CRC32C'",
    ]
    return f"BASE_BACKUP ({', '.join([*options, 'INCREMENTAL'] if incremental else options)})"


def _copy(connection: Connection) -> Iterator[BackupEvent]:
    """All of it, as one COPY."""
    for message in connection.copied(SILENCE_S):
        kind = message[0]
        if kind == _BYTES:
            yield message[1:]
        elif kind == _ARCHIVE:
            name, location = bytes(message[1:]).split(b"\0")[:2]
            yield ArchiveBegins(_text(name), _text(location))
        elif kind == _MANIFEST:
            yield ManifestBegins()
        elif kind != _SENT:
            raise SourceRefused(f"the server sent a message of kind {kind}, which is not known")


def _copies(connection: Connection, archives: Sequence[ArchiveBegins]) -> Iterator[BackupEvent]:
    """The first COPY has begun; each other begins here."""
    for number, archive in enumerate(archives):
        if number:
            _next_copy(connection)
        yield archive
        yield from connection.copied(SILENCE_S)
        yield _TAR_ENDS
    _next_copy(connection)
    yield ManifestBegins()
    yield from connection.copied(SILENCE_S)


def _next_copy(connection: Connection) -> None:
    result = connection.result(SILENCE_S)
    if result is None or result.status != pq.ExecStatus.COPY_OUT:
        raise SourceAway("the server did not go on with its backup")


def _upload(connection: Connection, manifest: bytes) -> None:
    if connection.server_version < INCREMENTS_SINCE:
        version = connection.server_version // 10_000
        raise IncrementRefused(f"PostgreSQL {version} takes no incremental backups; 17 and later do")
    try:
        connection.send("UPLOAD_MANIFEST")
        connection.result()
        connection.copy_in(manifest)
        while connection.result(SILENCE_S) is not None:
            pass
    except SourceRefused as error:
        raise IncrementRefused(str(error), hint=error.hint) from error


def _begun(
    connection: Connection, command: str, *, incremental: bool
) -> tuple[BackupBegins, Sequence[ArchiveBegins]]:
    """How it begins, and the archives that come, in their order."""
    try:
        connection.send(command)
        start, tablespaces = connection.result(SILENCE_S), connection.result(SILENCE_S)
        copy = connection.result(SILENCE_S)
    except (SourceRefused, WalGone) as error:
        if incremental:
            raise IncrementRefused(str(error), hint=error.hint) from error
        raise
    if start is None or tablespaces is None or copy is None or copy.status != pq.ExecStatus.COPY_OUT:
        raise SourceAway("the server did not begin its backup")
    lsn, timeline = _place(rows_of(start))
    rows = rows_of(tablespaces)
    sizes = [int(size) * 1024 for _, _, size in rows if size is not None]
    places = {
        int(oid): _text(location) for oid, location, _ in rows if oid is not None and location is not None
    }
    begins = BackupBegins(lsn, timeline, places, sum(sizes) if len(sizes) == len(rows) else None)
    archives = [
        ArchiveBegins("base.tar" if oid is None else f"{_text(oid)}.tar", _text(location or b""))
        for oid, location, _ in rows
    ]
    return begins, archives


def _ended(connection: Connection) -> BackupEnds:
    """What comes behind the copy. A server that found damaged pages says so only here."""
    stop = None
    while (result := connection.result(SILENCE_S)) is not None:
        if result.status == pq.ExecStatus.TUPLES_OK:
            stop = result
    if stop is None:
        raise SourceAway("the server did not say where its backup ends")
    return BackupEnds(*_place(rows_of(stop)))


def _place(rows: list[tuple[bytes | None, ...]]) -> tuple[Lsn, Timeline]:
    (lsn, timeline), *_ = rows
    return parse_lsn(_text(lsn or b"")), Timeline(int(timeline or 0))


def _text(value: bytes) -> str:
    return value.decode(errors="surrogateescape")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
