"""Warm standbys that are asked one check again and again, each replaying exactly what is released to it."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import pq

from holdfast.adapters.postgres.errors import DatabaseError
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.adapters.postgres.replication.walsender import PORT, Upstream, Walsender
from holdfast.adapters.postgres.restored import launching, server
from holdfast.adapters.postgres.restored.machine import LocalMachine
from holdfast.adapters.postgres.restored.programs import Programs
from holdfast.adapters.postgres.server.binaries import Binaries
from holdfast.adapters.postgres.server.confinement import find_confinement
from holdfast.backup.errors import NotFit, RestoreFailed
from holdfast.backup.lsn import Lsn, format_lsn, parse_lsn
from holdfast.backup.model import RestorePlan
from holdfast.backup.restore.recovery import RecoverySettings
from holdfast.backup.search.searching import Answer, Question, Verdict
from holdfast.backup.search.statements import Relation, Relations, Watch
from holdfast.backup.wal.wal_folder import WalFolder

LOCK_TIMEOUT_MS = 200
"""Only recovery holds what a check can wait for, and it lets go only when more is released."""
STALLED_S = 120.0
PAUSE_S = 0.0001
_LOCK_NOT_AVAILABLE = b"55P03"
_BOOLEAN = 16
_CONFLICTS = (b"40001", b"40P01", b"57P01", b"57P04")


class ProbingQueries(Queries):
    reads: Query
    files: Query
    catalogs: Query
    relations: Query
    named: Query


SQL = ProbingQueries.beside(__file__)


class WarmStandby:
    """A standby with its own walsender. `sees_reads`: each check notes what it read, which costs a little."""

    def __init__(
        self, copy: server.RestoredServer, sender: Walsender, question: Question, *, sees_reads: bool
    ) -> None:
        self._copy = copy
        self._sender = sender
        self._question = question
        self._sees_reads = sees_reads
        self._reads: frozenset[int] | None = None
        self._connection: psycopg.Connection[Any] | None = None
        # A comment at the check's end must not swallow what follows.
        self._check = question.sql.strip().encode() + b"\n"

    def release(self, lsn: Lsn) -> None:
        self._sender.release(lsn)

    def reach(self, lsn: Lsn) -> None:
        self._sender.release(lsn)
        asked = f"SELECT pg_catalog.pg_last_wal_replay_lsn() >= '{format_lsn(lsn)}'".encode()
        seen, since = Lsn(0), time.monotonic()
        looks = 0
        while self._value(asked) != b"t":
            time.sleep(PAUSE_S)
            looks += 1
            if looks % 1000 == 0:
                told = self._value(b"SELECT pg_catalog.pg_last_wal_replay_lsn()")
                now = parse_lsn((told or b"0/0").decode())
                if now > seen:
                    seen, since = now, time.monotonic()
                elif self._widened():
                    since = time.monotonic()
                elif time.monotonic() - since > STALLED_S:
                    raise RestoreFailed(
                        f"the standby stays at {format_lsn(seen)} and does not come to {format_lsn(lsn)}"
                        + (f": {self._sender.trouble}" if self._sender.trouble else ""),
                        hint=f"its log is in {self._copy.folder / launching.OURS / 'server.log'}",
                    )

    def _widened(self) -> bool:
        """Whether it was started again, because the log asks for larger settings than it had."""
        if not self._copy.widened():
            return False
        self._forget()
        return True

    def check(self) -> Answer:
        for _ in range(2):
            try:
                result = self._asked()
            except psycopg.OperationalError as error:
                if "does not exist" in str(error):
                    return Answer(Verdict.ERROR, _first_line(str(error)))
                self._forget()
                continue
            if result.error_field(pq.DiagnosticField.SQLSTATE) in _CONFLICTS:
                self._forget()
                continue
            return _answer(result)
        return Answer(Verdict.ERROR, "the standby ended the check")

    def reads(self) -> frozenset[int] | None:
        return self._reads

    def watch(self, oids: frozenset[int] | None) -> Watch:
        try:
            numbers = None if oids is None else self._numbers(SQL.files, oids=sorted(oids))
            catalogs = self._numbers(SQL.catalogs)
            (database,) = self._rows(
                "SELECT oid::bigint FROM pg_catalog.pg_database WHERE datname = current_database()"
            )[0]
        except psycopg.Error as error:
            raise RestoreFailed(f"the standby's catalog cannot be read: {_first_line(str(error))}") from error
        return Watch(int(database), numbers, catalogs)

    def relations(self) -> Relations:
        try:
            rows = self._rows(SQL.relations)
        except psycopg.Error as error:
            raise RestoreFailed(f"the standby's catalog cannot be read: {_first_line(str(error))}") from error
        return {row[0]: Relation(*row) for row in rows}

    def named(self, tables: Sequence[str]) -> frozenset[int]:
        """The relations of these names. Raises NotFit for a name that there is none of."""
        found = {name: self._rows(SQL.named, name=name)[0][0] for name in tables}
        if missing := [name for name, oid in found.items() if oid is None]:
            raise NotFit(
                f"there is no table {missing[0]} in database {self._question.dbname}",
                hint="name it as SCHEMA.TABLE, as it was called where the search begins",
            )
        return frozenset(int(oid) for oid in found.values())

    def close(self) -> None:
        self._forget()
        self._copy.stop()

    def _asked(self) -> pq.abc.PGresult:
        connection = self._connected().pgconn
        if not self._sees_reads:
            return connection.exec_(self._check)
        try:
            result = connection.exec_(b"BEGIN READ ONLY;" + self._check)
            told = connection.exec_(SQL.reads.encode())
            if told.status == pq.ExecStatus.TUPLES_OK:
                listed = told.get_value(0, 0) or b""
                self._reads = frozenset(int(each) for each in listed.split(b",") if each)
            else:
                self._reads = None
        finally:
            connection.exec_(b"ROLLBACK")
        return result

    def _value(self, sql: bytes) -> bytes | None:
        for _ in range(3):
            try:
                result = self._connected(anywhere=True).pgconn.exec_(sql)
            except psycopg.OperationalError as error:
                self._forget()
                last = _first_line(str(error))
                continue
            if result.status == pq.ExecStatus.TUPLES_OK:
                return result.get_value(0, 0)
            last = _first_line(result.error_message.decode(errors="replace"))
            self._forget()
        raise RestoreFailed(f"the standby does not answer: {last}")

    def _rows(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        return self._connected().execute(query.encode(), values or None).fetchall()

    def _numbers(self, query: str, **values: object) -> frozenset[int]:
        return frozenset(int(row[0]) for row in self._rows(query, **values))

    def _connected(self, *, anywhere: bool = False) -> psycopg.Connection[Any]:
        """To the check's database; or, where that is not there, to another that tells how far it is."""
        if self._connection is not None and not self._connection.broken:
            if anywhere or self._connection.info.dbname == self._question.dbname:
                return self._connection
            self._forget()
        try:
            self._connection = self._connect(self._question.dbname)
        except psycopg.OperationalError:
            if not anywhere:
                raise
            self._connection = self._connect("template1")
        return self._connection

    def _connect(self, dbname: str) -> psycopg.Connection[Any]:
        limit = round(self._question.timeout_s * 1000)
        return psycopg.connect(
            self._copy.conninfo,
            dbname=dbname,
            autocommit=True,
            application_name="holdfast find-good",
            client_encoding="utf8",
            options=f"-c timezone=UTC -c datestyle=ISO -c statement_timeout={limit}"
            f" -c lock_timeout={LOCK_TIMEOUT_MS} -c jit=off",
        )

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextmanager
def warm_standby(
    folder: Path,
    wal: WalFolder,
    upstream: Upstream,
    binaries: Binaries,
    question: Question,
    *,
    released: Lsn,
    sees_reads: bool,
) -> Iterator[WarmStandby]:
    """Start a standby on a data directory that was laid out, and stop it at the end.

    It has replayed at most what is before `released`, which must be far enough for it to be consistent.
    Raises NotFit, RestoreFailed.
    """
    # A path of its own, since a socket's has 107 bytes, and the folder may lie deep.
    place = Path(tempfile.mkdtemp(prefix="holdfast-wal-"))
    try:
        _let_in(place, folder, binaries)
        with Walsender(place, wal, upstream) as sender:
            (place / f".s.PGSQL.{PORT}").chmod(0o666)
            sender.release(released)
            copy = server.start(
                folder,
                binaries,
                recovery=RecoverySettings(timeline=str(upstream.timeline), restore_command=""),
                settings=_settings(sender),
                is_ours=True,
            )
            standby = WarmStandby(copy, sender, question, sees_reads=sees_reads)
            try:
                yield standby
            finally:
                standby.close()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _let_in(place: Path, folder: Path, binaries: Binaries) -> None:
    """The standby's account may enter the folder of the walsender's socket, and nobody else."""
    try:
        confinement = find_confinement(binaries, folder.parent)
    except DatabaseError as error:
        raise NotFit(str(error), hint=error.hint) from error
    os.chown(place, confinement.uid, confinement.gid)


def _settings(sender: Walsender) -> dict[str, str]:
    return {
        "primary_conninfo": sender.conninfo,
        "wal_retrieve_retry_interval": "20ms",
        "wal_receiver_timeout": "0",
        "wal_receiver_status_interval": "10s",
        "hot_standby_feedback": "off",
        # A check never waits while something is replayed: nothing is, until more is released.
        "max_standby_streaming_delay": "-1",
        "max_standby_archive_delay": "-1",
        # Nobody keeps it: a crash of the machine ends the search.
        "fsync": "off",
        "synchronous_commit": "off",
        "log_min_messages": "warning",
    }


def _answer(result: pq.abc.PGresult) -> Answer:
    if result.status != pq.ExecStatus.TUPLES_OK:
        text = _first_line(result.error_message.decode(errors="replace")) or "it returned nothing"
        blocked = result.error_field(pq.DiagnosticField.SQLSTATE) == _LOCK_NOT_AVAILABLE
        return Answer(Verdict.BLOCKED if blocked else Verdict.ERROR, text)
    if (result.ntuples, result.nfields) != (1, 1):
        told = f"it returned {result.ntuples} rows of {result.nfields} columns, and not one value"
        return Answer(Verdict.ERROR, told)
    if result.ftype(0) != _BOOLEAN:
        return Answer(Verdict.ERROR, "it returned a value that is neither true nor false")
    value = result.get_value(0, 0)
    if value == b"t":
        return Answer(Verdict.GOOD)
    return Answer(
        Verdict.BAD, "it returned " + ("NULL" if value is None else value[:80].decode(errors="replace"))
    )


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0].removeprefix("ERROR:").strip()


class LocalStandbys:
    """Warm standbys on this machine, by the programs in `bin_dir` or the packaged ones. Raises NotFit."""

    def __init__(self, bin_dir: Path | None = None) -> None:
        self._programs = Programs(bin_dir)

    @property
    def postgres(self) -> Programs:
        return self._programs

    @contextmanager
    def started(
        self,
        folder: Path,
        wal: WalFolder,
        plan: RestorePlan,
        question: Question,
        *,
        released: Lsn,
        sees_reads: bool,
    ) -> Iterator[WarmStandby]:
        backup = plan.backup
        upstream = Upstream(
            backup.system_id,
            backup.server_version,
            plan.timeline,
            {each.timeline: each.text for each in plan.histories},
        )
        with warm_standby(
            folder, wal, upstream, self._programs.binaries, question, released=released, sees_reads=sees_reads
        ) as standby:
            yield standby

    def end_leftover(self, folder: Path) -> None:
        LocalMachine(self._programs.binaries.folder).end_leftover(folder)
