"""Databases as Uptime Kuma makes them, with what an import looks at."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

# The columns of version 1.23, without those that nothing here reads.
MONITOR = """
CREATE TABLE monitor (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, name VARCHAR(150), active BOOLEAN NOT NULL DEFAULT 1,
  interval INTEGER NOT NULL DEFAULT 20, url TEXT, type VARCHAR(20), weight INTEGER DEFAULT 2000,
  hostname VARCHAR(255), port INTEGER, created_date DATETIME, keyword VARCHAR(255),
  maxretries INTEGER NOT NULL DEFAULT 0, ignore_tls BOOLEAN NOT NULL DEFAULT 0,
  upside_down BOOLEAN NOT NULL DEFAULT 0, maxredirects INTEGER NOT NULL DEFAULT 10,
  accepted_statuscodes_json TEXT NOT NULL DEFAULT '["200-299"]', method TEXT NOT NULL DEFAULT 'GET',
  body TEXT, headers TEXT,
  basic_auth_user TEXT, basic_auth_pass TEXT, auth_method VARCHAR(250), proxy_id INTEGER,
  retry_interval INTEGER NOT NULL DEFAULT 0, timeout DOUBLE NOT NULL DEFAULT 0, parent INTEGER,
  description TEXT
)"""
HEARTBEAT = """
CREATE TABLE heartbeat (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, important BOOLEAN NOT NULL DEFAULT 0,
  monitor_id INTEGER NOT NULL REFERENCES monitor(id), status SMALLINT NOT NULL, msg TEXT,
  time DATETIME NOT NULL, ping INTEGER, duration INTEGER NOT NULL DEFAULT 0
)"""
STATISTICS = """
CREATE TABLE {table} (
  id INTEGER PRIMARY KEY, monitor_id INTEGER NOT NULL, timestamp INTEGER NOT NULL, ping FLOAT NOT NULL,
  up SMALLINT NOT NULL, down SMALLINT NOT NULL
)"""


def make_kuma(
    path: Path,
    monitors: Iterable[dict[str, object]],
    beats: Iterable[tuple[int, str, int, str]] = (),
    hours: Iterable[tuple[int, int, int]] | None = None,
) -> sqlite3.Connection:
    """A database with monitors, beats (monitor, time, status, message) and, for version 2, hourly counts.

    Returns the connection that wrote it, in WAL mode as Uptime Kuma does; close it.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(MONITOR)
    connection.execute(HEARTBEAT)
    connection.execute("CREATE INDEX monitor_time_index ON heartbeat (monitor_id, time)")
    connection.execute("CREATE TABLE notification (id INTEGER PRIMARY KEY, name TEXT)")
    connection.execute("INSERT INTO notification (name) VALUES ('mail')")
    for monitor in monitors:
        names, marks = ", ".join(monitor), ", ".join("?" * len(monitor))
        connection.execute(f"INSERT INTO monitor ({names}) VALUES ({marks})", tuple(monitor.values()))
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO heartbeat (monitor_id, time, status, msg, ping) VALUES (?, ?, ?, ?, 42)", beats
    )
    connection.execute("COMMIT")
    if hours is not None:
        for table in ("stat_hourly", "stat_daily"):
            connection.execute(STATISTICS.format(table=table))
        connection.executemany(
            "INSERT INTO stat_hourly (monitor_id, timestamp, ping, up, down) VALUES (?, ?, 5, ?, 0)", hours
        )
    return connection
