"""A protected PostgreSQL, reached by a login that has REPLICATION and nothing else."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime

from holdfast.adapters.postgres.replication.base_backup import base_backup
from holdfast.adapters.postgres.replication.connection import Connection
from holdfast.adapters.postgres.replication.wal_stream import open_stream
from holdfast.backup.errors import SourceAway, SourceRefused
from holdfast.backup.lsn import Lsn, Timeline, parse_lsn
from holdfast.backup.model import TimelineHistory
from holdfast.backup.ports import BackupEvent, Slot, SourceIdentity, WalStream
from holdfast.backup.recoverable.lines import ancestors_of

_SLOTS_TOLD_SINCE = 150_000
_SLOT_NAME = re.compile(r"[a-z0-9_]{1,63}")
_SIZE = re.compile(r"(\d+)\s*(B|kB|MB|GB)")
_UNITS = {"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


class PostgresSource:
    """The port `Source`. `params` are libpq's: host, port, user, password, dbname, sslmode, sslrootcert."""

    def __init__(self, params: Mapping[str, str]) -> None:
        self._params = dict(params)

    def __repr__(self) -> str:
        return f"PostgresSource({self._params.get('host', '')}:{self._params.get('port', '')})"

    def identify(self) -> SourceIdentity:
        """Who the server is. Where SQL is not allowed, its clock stays unknown."""
        try:
            with Connection(self._params, database=True) as connection:
                ((now, *_), *_) = connection.ask(
                    "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
                )
                return _identity(connection, now)
        except SourceRefused:
            with Connection(self._params) as connection:
                return _identity(connection, None)

    @contextmanager
    def base_backup(
        self, *, label: str, parent_manifest: bytes | None = None, fast_checkpoint: bool = True
    ) -> Iterator[Iterator[BackupEvent]]:
        with Connection(self._params, application_name="holdfast backup") as connection:
            events = base_backup(
                connection, label=label, parent_manifest=parent_manifest, fast_checkpoint=fast_checkpoint
            )
            try:
                yield events
            finally:
                events.close()

    def stream(
        self, start: Lsn, timeline: Timeline, *, slot: str | None, application_name: str
    ) -> AbstractContextManager[WalStream]:
        return _closing(
            lambda: open_stream(self._params, start, timeline, slot=slot, application_name=application_name)
        )

    def timeline_history(self, timeline: Timeline) -> str:
        with Connection(self._params) as connection:
            ((_, content), *_) = connection.ask(f"TIMELINE_HISTORY {int(timeline)}")
            return (content or b"").decode(errors="replace")

    def slot(self, name: str) -> Slot | None:
        with self._connected() as connection:
            return _slot(connection, name)

    def make_slot(self, name: str) -> Slot:
        with self._connected() as connection:
            if (there := _slot(connection, name)) is not None:
                return there
            try:
                connection.ask(f'CREATE_REPLICATION_SLOT "{name}" PHYSICAL RESERVE_WAL')
            except SourceRefused:
                # Perhaps somebody else was quicker: then it is there.
                if (there := _slot(connection, name)) is not None:
                    return there
                raise
            made = _slot(connection, name)
        if made is None:
            raise SourceAway(f"slot {name} vanished as soon as it was made")
        return made

    def drop_slot(self, name: str) -> None:
        """One that is gone already is no error. Raises SourceRefused while it is in use."""
        with self._connected() as connection:
            if _slot(connection, name) is None:
                return
            try:
                connection.ask(f'DROP_REPLICATION_SLOT "{name}"')
            except SourceRefused:
                if _slot(connection, name) is not None:
                    raise

    def _connected(self) -> Connection:
        """Where slots can be asked for: PostgreSQL 14 tells of them by SQL alone."""
        connection = Connection(self._params)
        if connection.server_version >= _SLOTS_TOLD_SINCE:
            return connection
        connection.close()
        return Connection(self._params, database=True)

    def beat(self) -> None:
        with Connection(self._params, application_name="holdfast heartbeat", database=True) as connection:
            connection.ask("SELECT pg_catalog.pg_logical_emit_message(true, 'holdfast', ''::text)")


def _identity(connection: Connection, now: bytes | None) -> SourceIdentity:
    ((system_id, timeline, flushed, *_), *_) = connection.ask("IDENTIFY_SYSTEM")
    ((segment, *_), *_) = connection.ask("SHOW wal_segment_size")
    return SourceIdentity(
        int(system_id or 0),
        Timeline(int(timeline or 0)),
        parse_lsn((flushed or b"").decode()),
        connection.server_version,
        _bytes_of((segment or b"").decode()),
        None if now is None else datetime.fromtimestamp(int(now) / 1_000_000, UTC),
    )


def _slot(connection: Connection, name: str) -> Slot | None:
    if not _SLOT_NAME.fullmatch(name):
        raise SourceRefused(f"{name!r} cannot be a slot's name", hint="lower-case letters, digits and _")
    if connection.server_version < _SLOTS_TOLD_SINCE:
        return _slot_by_sql(connection, name)
    ((kind, restart, timeline, *_), *_) = connection.ask(f'READ_REPLICATION_SLOT "{name}"')
    if kind is None:
        return None
    return Slot(
        name,
        None if restart is None else parse_lsn(restart.decode()),
        None if timeline is None else Timeline(int(timeline)),
    )


def _slot_by_sql(connection: Connection, name: str) -> Slot | None:
    """As READ_REPLICATION_SLOT: the timeline is that of the server's own history at the slot's place."""
    found = connection.ask(
        f"SELECT restart_lsn FROM pg_catalog.pg_replication_slots WHERE slot_name = '{name}'"  # noqa: S608  it has letters, digits and _ alone
    )
    if not found:
        return None
    if (place := found[0][0]) is None:
        return Slot(name, None, None)
    restart = parse_lsn(place.decode())
    ((_, current, *_), *_) = connection.ask("IDENTIFY_SYSTEM")
    timeline = Timeline(int(current or 0))
    if timeline > 1:
        ((_, content), *_) = connection.ask(f"TIMELINE_HISTORY {timeline}")
        text = (content or b"").decode(errors="replace")
        try:
            ancestors = ancestors_of(TimelineHistory(timeline, text))
        except ValueError as error:
            raise SourceRefused(str(error), hint="the server's pg_wal holds a damaged history") from error
        timeline = next((each for each, left in ancestors if restart < left), timeline)
    return Slot(name, restart, timeline)


def _bytes_of(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise SourceRefused(f"the server tells {text!r} as the size of its segments")
    return int(match[1]) * _UNITS[match[2]]


@contextmanager
def _closing(opened: Callable[[], WalStream]) -> Iterator[WalStream]:
    stream = opened()
    try:
        yield stream
    finally:
        with suppress(SourceAway):
            stream.close()
