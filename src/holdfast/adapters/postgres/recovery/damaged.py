"""A database whose data was damaged, as the owner of its tables: read-only, compared, kept, put back.

What is done there is noted in the database itself, in the same transaction (schema `holdfast_recovery`): a
step that is repeated finds that it was done, and who comes late is turned away by the fence.

Blocking; each method opens and closes its connections.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from holdfast.adapters.postgres.recovery.damaged_sessions import SQL, Connection, acting, connected, copy_at
from holdfast.adapters.postgres.recovery.damaged_tables import (
    Staged,
    Table,
    compared,
    made_again,
    parts_of,
    put_back,
    staged,
)
from holdfast.adapters.postgres.restored.rows_in_place import asleep, see_that_it_stands_alone
from holdfast.recovery.errors import ComesLate, StepFailed
from holdfast.recovery.ports import Fence
from holdfast.recovery.salvage import Compared, Way, order_of, way_for

CHECK_WITHIN_MS = 600_000
LONGEST_NAME = 63


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be put back, and from where. `bad`: the transactions that did the damage."""

    copy: str
    """How the good copy of this database is reached."""
    tables: Sequence[str]
    bad: Sequence[int] = ()
    replace: bool = False
    again: bool = True


@dataclass(frozen=True, slots=True)
class Announced:
    """A database that is about to change places, as it was when that was said behind the fence."""

    oid: int
    read_only: str | None

    def see_that_it_is_the_same(self, session: Connection, name: str) -> None:
        """The one of that name, in a transaction that holds it. Raises ComesLate: another was quicker."""
        if session.execute(SQL["database"], {"name": name}).fetchone() != (self.oid, self.read_only):
            raise ComesLate("the database has changed since this attempt began: it is left as it is")


class DamagedDatabase:
    """One database in production. `params` are libpq's, with the password: they are shown to nobody."""

    def __init__(self, params: Mapping[str, str]) -> None:
        self._params = params

    # --- read-only

    def frozen(self, run: str) -> Mapping[str, Any] | None:
        """What freezing told, while it lasts."""
        with self._session() as session:
            told = self._done(session, run, "freeze")
            return told if told is not None and _read_only(session) == "on" else None

    def freeze(self, run: str, fence: Fence) -> None:
        """New transactions only read, and sessions that are there end. One that asks to write still may."""
        with self._behind(fence) as session:
            with acting(session, fence):
                before = _read_only(session)
                if self._done(session, run, "freeze") is None:
                    _note(session, run, "freeze", {"before": before})
                _set_read_only(session, "on")
            for pid, began in session.execute(SQL["sessions"]).fetchall():
                try:
                    session.execute(SQL["end_session"], {"pid": pid, "began": began})
                except psycopg.errors.InsufficientPrivilege:
                    continue  # another's: it is counted by `writers`

    def writers(self) -> int:
        """Sessions of others that were there before it became read-only, or that came since."""
        with self._session() as session:
            return len(session.execute(SQL["sessions"]).fetchall())

    def thaw(self, run: str, fence: Fence) -> None:
        """Set it to what it was set to before."""
        with self._behind(fence) as session, acting(session, fence):
            told = self._done(session, run, "freeze")
            if told is None:
                return
            _set_read_only(session, told.get("before"))
            session.execute(SQL["forget"], {"run_id": run, "step": "freeze"})

    # --- looking

    def ask(self, check: str) -> bool | None:
        """What a check says: None when it fails, or says nothing."""
        with self._session() as session, session.transaction():
            session.execute("SET TRANSACTION READ ONLY")
            session.execute(f"SET LOCAL statement_timeout = {CHECK_WITHIN_MS}")
            session.execute('SET LOCAL search_path = "$user", public')
            try:
                # Binary: by a protocol that knows one statement at a time, so that nothing hides behind it.
                row = session.execute(check.encode(), binary=True).fetchone()
            except psycopg.Error:
                return None
            return None if row is None or not isinstance(row[0], bool) else row[0]

    def written(self) -> tuple[str | None, int]:
        """How far its log is written (an LSN; None for a standby), and how many bytes the database has."""
        with self._session() as session:
            row = session.execute(SQL["written"]).fetchone()
            return row or (None, 0)

    def compare(self, wanted: Wanted) -> list[Compared]:
        """Each table beside its good copy, of one moment in production."""
        with self._session() as now:
            tables = _staged(now, wanted)
            with now.transaction():
                now.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                return [compared(now, each, wanted.bad) for each in tables]

    # --- changing

    def kept(self, run: str) -> Mapping[str, Any] | None:
        """What was kept for those who look into it; None when nothing was yet."""
        with self._session() as session:
            return self._done(session, run, "keep")

    def keep(self, run: str, tables: Sequence[str], fence: Fence) -> None:
        """A copy of each table as it is now, in the schema `holdfast_recovery`."""
        with self._behind(fence) as session, acting(session, fence):
            if self._done(session, run, "keep") is not None:
                return
            names = dict[str, str]()
            for number, each in enumerate(tables, start=1):
                whole = sql.Identifier(*parts_of(each))
                if session.execute("SELECT to_regclass(%s)", [whole.as_string(session)]).fetchone() == (
                    None,
                ):
                    continue
                name = f"{run}_{number}_{parts_of(each)[1]}".encode()[:LONGEST_NAME].decode(errors="ignore")
                place = sql.Identifier("holdfast_recovery", name)
                session.execute(sql.SQL("CREATE TABLE {} AS TABLE {}").format(place, whole))
                names[each] = f"holdfast_recovery.{name}"
            _note(session, run, "keep", names)

    def salvaged(self, run: str) -> Mapping[str, Any] | None:
        """What was put back, by table; None when it was not yet."""
        with self._session() as session:
            return self._done(session, run, "salvage")

    def salvage(self, run: str, wanted: Wanted, fence: Fence) -> None:
        """Put the tables back, all of them or none. Raises StepFailed, ComesLate."""
        with self._behind(fence) as now:
            tables = {each.name: each for each in _staged(now, wanted)}
            try:
                with acting(now, fence):
                    if self._done(now, run, "salvage") is not None:
                        return
                    told = {each: _put(now, tables[each], wanted) for each in _ordered(now, wanted.tables)}
                    _note(now, run, "salvage", told)
            except psycopg.Error as error:
                first = (error.diag.message_primary or str(error)).splitlines()[0]
                raise StepFailed(f"nothing was changed: {first}") from error

    def announce(self, fence: Fence) -> Announced:
        """Say that the whole database is about to change places. Raises ComesLate."""
        with self._behind(fence) as session, acting(session, fence):
            return _itself(session)

    def swapped(
        self, run: str, told: Mapping[str, Any], frozen: Mapping[str, Any] | None, fence: Fence
    ) -> None:
        """Note in the one that is there now that it came to be so by this run, and that it only reads too."""
        with self._behind(fence) as session, acting(session, fence):
            for step, noted in (("salvage", told), ("freeze", frozen)):
                session.execute(SQL["forget"], {"run_id": run, "step": step})
                if noted is not None:
                    _note(session, run, step, noted)

    # --- connections

    @contextmanager
    def _behind(self, fence: Fence) -> Iterator[Connection]:
        """A session to act in, on a database that knows fences; those of earlier attempts have ended."""
        with connected(self._params, fence) as session:
            with session.transaction():
                session.execute(SQL["one_at_a_time"])
                if session.execute(SQL["prepared"]).fetchone() != (True,):
                    session.execute(SQL["prepare"])
            yield session

    def _done(self, session: Connection, run: str, step: str) -> Mapping[str, Any] | None:
        if session.execute(SQL["prepared"]).fetchone() != (True,):
            return None
        row = session.execute(SQL["done"], {"run_id": run, "step": step}).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def _session(self) -> Iterator[Connection]:
        with connected(self._params) as session:
            yield session


def _staged(now: Connection, wanted: Wanted) -> list[Staged]:
    with copy_at(wanted.copy) as then:
        return [staged(now, then, each, number) for number, each in enumerate(wanted.tables, start=1)]


def _put(now: Connection, table: Staged, wanted: Wanted) -> Mapping[str, Any]:
    """Judged anew, behind a lock: what was compared before may be otherwise by now."""
    if not isinstance(table, Table):
        rows, left_out = made_again(now, table)
        return {"way": Way.CREATE.value, "rows": rows, "left_out": list(left_out)}
    now.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(table.whole))
    found = compared(now, table, wanted.bad)
    way = way_for(found, replace=wanted.replace)
    schema, plain = parts_of(table.name)
    if way is Way.REPLACE and (not table.key or not wanted.again):
        see_that_it_stands_alone(now, schema, plain)
    with asleep(now, schema, plain):
        rows = put_back(now, table, way, wanted.bad, again=wanted.again)
    return {"way": way.value, "rows": rows, "later": found.later, "new": found.new}


def _ordered(now: Connection, tables: Sequence[str]) -> list[str]:
    refers = dict[str, list[str]]()
    for table, other in now.execute(SQL["refers"]).fetchall():
        refers.setdefault(table, []).append(other)
    return order_of(tables, refers)


def _note(session: Connection, run: str, step: str, told: Mapping[str, Any]) -> None:
    session.execute(SQL["note"], {"run_id": run, "step": step, "told": json.dumps(told)})


def _read_only(session: Connection) -> str | None:
    return _itself(session).read_only


def _itself(session: Connection) -> Announced:
    row = session.execute(SQL["database"], {"name": session.info.dbname}).fetchone()
    return Announced(*(row or (0, None)))


def _set_read_only(session: Connection, value: str | None) -> None:
    name = sql.Identifier(str(session.info.dbname))
    if value is None:
        session.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name))
    else:
        statement = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
        session.execute(statement.format(name, sql.Literal(value)))
