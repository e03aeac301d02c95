"""Uptime Kuma's SQLite database, opened so that nothing in it or beside it changes."""

import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from holdfast.interchange.errors import SourceError
from holdfast.interchange.history import Count
from holdfast.interchange.kuma import KumaSetUp
from holdfast.interchange.kuma_history import HeartbeatRow

MOST_MONITORS = 10_000
MOST_BYTES_IN_A_CELL = 4 * 1024 * 1024
_LIVE = ("-wal", "-shm", "-journal")
_OTHER_TABLES = (
    *("notification", "proxy", "maintenance", "incident", "status_page", "tag"),
    *("docker_host", "remote_browser", "api_key"),
)
_STATISTICS = (("stat_daily", timedelta(days=1)), ("stat_hourly", timedelta(hours=1)))
_HINT = "is it Uptime Kuma's kuma.db?"


class KumaDatabase:
    """The database at `path`. A context manager; every method raises SourceError for what cannot be read.

    When a `-wal`, `-shm` or `-journal` file lies beside it, somebody may be writing, or what was written last
    is only there: SQLite then reads through those, without changing the database. Otherwise the file is
    opened as immutable, so that SQLite makes no such files itself.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        if not self._path.is_file():
            raise SourceError(f"{self._path}: there is no such file", hint=_HINT)
        try:
            self._connection = self._open()
            self._check()
        except sqlite3.Error as error:
            self._close()
            raise self._unreadable(error) from error
        except SourceError:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def set_up(self) -> KumaSetUp:
        """The monitors and how much there is of everything else."""
        try:
            monitors = list(self._rows(f"SELECT * FROM monitor LIMIT {MOST_MONITORS + 1}"))  # noqa: S608
            others = {table: self._count(table) for table in _OTHER_TABLES if self._has(table)}
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        if len(monitors) > MOST_MONITORS:
            raise SourceError(f"{self._path} has more than {MOST_MONITORS:,} monitors", hint=_HINT)
        return KumaSetUp(monitors, others)

    def heartbeats(self, monitor_id: int) -> Iterator[HeartbeatRow]:
        """The monitor's heartbeats by time, as a stream."""
        statement = (
            "SELECT time, status, CAST(substr(msg, 1, 2000) AS TEXT) AS msg, ping"
            " FROM heartbeat WHERE monitor_id = ? ORDER BY time, id"
        )
        try:
            for row in self._rows(statement, monitor_id):
                yield HeartbeatRow(row["time"], row["status"], row["msg"], row["ping"])
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def counts(self, monitor_id: int) -> list[Count]:
        """How many beats version 2 counted in each hour and day; nothing of version 1."""
        found = []
        try:
            for table, length in _STATISTICS:
                if self._has(table):
                    statement = f"SELECT timestamp, up, down FROM {table} WHERE monitor_id = ? LIMIT 100000"  # noqa: S608
                    found += [_counted(row, length) for row in self._rows(statement, monitor_id)]
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        return [count for count in found if count is not None]

    def _open(self) -> sqlite3.Connection:
        live = any(self._path.with_name(self._path.name + suffix).exists() for suffix in _LIVE)
        mode = "mode=ro" if live else "mode=ro&immutable=1"
        address = f"file:{quote(str(self._path.absolute()))}?{mode}"
        connection = sqlite3.connect(address, uri=True, timeout=10, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        # A hostile file must neither run functions from its schema nor hand out a gigabyte in a cell.
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES_IN_A_CELL)
        for setting in ("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON", "mmap_size = 0"):
            connection.execute(f"PRAGMA {setting}")
        # One snapshot for all that is read, whatever Uptime Kuma writes meanwhile.
        connection.execute("BEGIN")
        return connection

    def _check(self) -> None:
        for table, columns in (("monitor", {"id", "type"}), ("heartbeat", {"monitor_id", "time", "status"})):
            # A view could take for ever.
            if not self._has(table) or not columns <= self._columns(table):
                raise SourceError(f"{self._path} has no table `{table}` of Uptime Kuma", hint=_HINT)

    def _has(self, table: str) -> bool:
        statement = "SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = ?"
        return next(self._rows(statement, table), None) is not None

    def _columns(self, table: str) -> set[str]:
        return {str(row["name"]) for row in self._rows("SELECT name FROM pragma_table_info(?)", table)}

    def _count(self, table: str) -> int:
        row = next(self._rows(f"SELECT count(*) AS rows FROM {table}"))  # noqa: S608  a name of our own
        return int(str(row["rows"]))

    def _rows(self, statement: str, *parameters: object) -> Iterator[Mapping[str, object]]:
        if self._connection is None:
            raise SourceError(f"{self._path} is closed")
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(statement, parameters)
            for row in cursor:
                yield {key: row[key] for key in row.keys()}  # noqa: SIM118  a Row iterates over its values

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _unreadable(self, error: sqlite3.Error) -> SourceError:
        hint = _HINT
        if "unable to open" in str(error) or "readonly" in str(error):
            hint = "copy kuma.db with its kuma.db-wal and kuma.db-shm to a folder of yours, and import that"
        return SourceError(f"{self._path} cannot be read: {re.sub(r'[^ -~]', '?', str(error))}", hint=hint)


def _counted(row: Mapping[str, Any], length: timedelta) -> Count | None:
    try:
        at = datetime.fromtimestamp(int(row["timestamp"]), UTC)
        records = max(0, int(row["up"])) + max(0, int(row["down"]))
        return Count(at, length, min(records, 1_000_000)) if at.year < 9000 else None
    except (TypeError, ValueError, OverflowError, OSError):
        return None
