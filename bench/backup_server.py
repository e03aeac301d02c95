"""The database that backups are measured on: tables that compress partly, in a private folder."""

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg

from holdfast.adapters.postgres.server.binaries import Binaries, find_binaries
from holdfast.adapters.postgres.server.confinement import find_confinement
from holdfast.adapters.postgres.server.initialise import environment
from holdfast.adapters.postgres.server.settings import quoted

USER = "postgres"
PORT = 5432
READY_WITHIN_S = 120.0
_BYTES_PER_ROW = 1024
"""Of both tables together, with their indexes."""
_TABLES = """
CREATE TABLE accounts (id bigint PRIMARY KEY, branch int, balance bigint, filler char(400));
CREATE TABLE papers (id bigint PRIMARY KEY, text text);
ALTER TABLE papers ALTER COLUMN text SET STORAGE PLAIN;
"""
_ACCOUNTS = """
INSERT INTO accounts
SELECT id, id % 97, 0, 'a customer of branch ' || id % 97 FROM generate_series({0}, {1}) id
"""
_PAPERS = """
INSERT INTO papers SELECT id,
  (SELECT string_agg(md5(id::text || n::text), '') FROM generate_series(1, 13) n)
FROM generate_series({0}, {1}) id
"""


class Server:
    """A server in `folder`. It archives WAL into `archive`, a folder of links for whoever wants them."""

    def __init__(self, folder: Path, bin_dir: Path | None, archive_command: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.binaries: Binaries = find_binaries(bin_dir)
        self.rows = 0
        self._archive_command = archive_command
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(mode=0o700, parents=True)
        self._confinement = find_confinement(self.binaries, folder)

    @property
    def params(self) -> dict[str, str]:
        """For libpq: the socket's folder is private, so nobody is asked for a password."""
        return {"host": str(self.folder), "port": str(PORT), "user": USER, "dbname": "postgres"}

    def start(self) -> None:
        command = [*self._confinement.prefix, self.binaries.initdb, f"--pgdata={self.data}"]
        os.chown(self.folder, self._confinement.uid, self._confinement.gid)
        command += [f"--username={USER}", "--auth=trust", "--encoding=UTF8", "--locale=C", "--data-checksums"]
        subprocess.run(command, check=True, env=environment(), stdout=subprocess.DEVNULL)
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.writelines(f"{name} = {quoted(text)}\n" for name, text in self._settings().items())
        with (self.folder / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*self._confinement.prefix, self.binaries.postgres, "-D", str(self.data)],
                env={**os.environ, **environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                self.sql("SELECT 1")
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log_text = (self.folder / "server.log").read_text(errors="replace")
                    raise SystemExit(f"the database does not start:\n{log_text[-2000:]}") from None
                time.sleep(0.1)
            else:
                return

    def fill(self, size_mb: int) -> None:
        """Make about so many MiB of tables and indexes."""
        self.sql(_TABLES)
        self.rows = size_mb * 1024 * 1024 // _BYTES_PER_ROW
        with ThreadPoolExecutor() as both:
            list(both.map(self._fill, (_ACCOUNTS, _PAPERS)))
        self.sql("VACUUM ANALYZE")
        self.settle()

    def _fill(self, statement: str) -> None:
        step = 100_000
        for first in range(1, self.rows + 1, step):
            self.sql(statement.format(first, min(first + step - 1, self.rows)))

    def archive_by(self, command: str) -> None:
        """From now on."""
        self.sql(f"ALTER SYSTEM SET archive_command = {quoted(command)}")
        self.sql("SELECT pg_reload_conf()")

    def change_clustered(self, share: float, number: int) -> None:
        """Change a share of the rows that lie side by side: another stretch for each number."""
        count = int(self.rows * share)
        first = 1 + number * count % max(1, self.rows - count)
        for table, change in (("accounts", "balance = balance + 1"), ("papers", "text = upper(text)")):
            self.sql(f"UPDATE {table} SET {change} WHERE id BETWEEN {first} AND {first + count - 1}")
        self.settle()

    def change_scattered(self, share: float, number: int) -> None:
        """Change a share of the rows, evenly over the whole table: others for each number."""
        every = round(1 / share)
        self.sql(f"UPDATE accounts SET balance = balance + 1 WHERE id % {every} = {number % every}")
        self.settle()

    def settle(self) -> None:
        """Write everything down, so that nobody's turn pays for it."""
        self.sql("CHECKPOINT")
        os.sync()

    def lsn(self) -> str:
        return str(self.sql("SELECT pg_current_wal_flush_lsn()::text")[0][0])

    def archived(self) -> None:
        """Switch to another segment, and wait until all before it are archived."""
        name = self.sql("SELECT pg_walfile_name(pg_switch_wal())")[0][0]
        deadline = time.monotonic() + READY_WITHIN_S
        while str(self.sql("SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver")[0][0]) < name:
            if time.monotonic() > deadline:
                log_text = (self.folder / "server.log").read_text(errors="replace")
                raise SystemExit(f"WAL is not archived:\n{log_text[-2000:]}")
            time.sleep(0.05)

    def size_mb(self) -> float:
        return float(self.sql("SELECT sum(pg_database_size(oid)) / 1e6 FROM pg_database")[0][0])

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(**self.params, autocommit=True) as connection:  # type: ignore[arg-type]
            cursor = connection.execute(text.encode())
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _settings(self) -> dict[str, str]:
        incremental = {"summarize_wal": "on"} if self.binaries.major >= 17 else {}
        return {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "port": str(PORT),
            "shared_buffers": "128MB",
            "max_wal_size": "4GB",
            "checkpoint_timeout": "1h",
            "wal_level": "replica",
            "max_wal_senders": "10",
            "archive_mode": "on",
            "archive_command": self._archive_command,
            "autovacuum": "off",
            "jit": "off",
            "max_parallel_workers_per_gather": "0",
            **incremental,
        }
