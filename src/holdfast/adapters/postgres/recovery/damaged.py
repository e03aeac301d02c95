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
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from holdfast.adapters.postgres.recovery.damaged_tables import (
    SQL,
    Connection,
    compared,
    gone,
    made_again,
    parts_of,
    put_back,
    staged,
)
from holdfast.adapters.postgres.restored.rows_in_place import asleep, see_that_it_stands_alone
from holdfast.recovery.errors import ComesLate, StepFailed
from holdfast.recovery.ports import Fence
from holdfast.recovery.salvage import Compared, Way, order_of, way_for

_SPOKEN = (
    "default_transaction_read_only=off",
    "datestyle=ISO",
    "intervalstyle=postgres",
    "extra_float_digits=3",
    "statement_timeout=0",
    "idle_in_transaction_session_timeout=0",
    "lock_timeout=60000",
    "search_path=pg_catalog",
)
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
        self._prepare()
        with self._session() as session:
            with session.transaction():
                _pass(session, fence)
                before = _read_only(session)
                if self._done(session, run, "freeze") is None:
                    _note(session, run, "freeze", {"before": before})
                _set_read_only(session, "on")
            for (pid,) in session.execute(SQL["sessions"]).fetchall():
                try:
                    session.execute(SQL["end_session"], {"pid": pid})
                except psycopg.errors.InsufficientPrivilege:
                    continue  # another's: it is counted by `writers`

    def writers(self) -> int:
        """Sessions of others that were there before it became read-only, or that came since."""
        with self._session() as session:
            return len(session.execute(SQL["sessions"]).fetchall())

    def thaw(self, run: str, fence: Fence) -> None:
        """Set it to what it was set to before."""
        with self._session() as session, session.transaction():
            _pass(session, fence)
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

    def compare(self, wanted: Wanted) -> list[Compared]:
        """Each table beside its good copy, of one moment in production."""
        with self._session() as now, _copy(wanted.copy) as then, now.transaction():
            now.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            return [_beside(now, then, each, wanted.bad) for each in wanted.tables]

    # --- changing

    def kept(self, run: str) -> Mapping[str, Any] | None:
        """What was kept for those who look into it; None when nothing was yet."""
        with self._session() as session:
            return self._done(session, run, "keep")

    def keep(self, run: str, tables: Sequence[str], fence: Fence) -> None:
        """A copy of each table as it is now, in the schema `holdfast_recovery`."""
        self._prepare()
        with self._session() as session, session.transaction():
            _pass(session, fence)
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
        self._prepare()
        with self._session() as now, _copy(wanted.copy) as then:
            try:
                with now.transaction():
                    _pass(now, fence)
                    if self._done(now, run, "salvage") is not None:
                        return
                    told = {each: _put(now, then, each, wanted) for each in _ordered(now, wanted.tables)}
                    _note(now, run, "salvage", told)
            except psycopg.Error as error:
                first = (error.diag.message_primary or str(error)).splitlines()[0]
                raise StepFailed(f"nothing was changed: {first}") from error

    def announce(self, fence: Fence) -> None:
        """Say that the whole database is about to change places. Raises ComesLate."""
        self._prepare()
        with self._session() as session, session.transaction():
            _pass(session, fence)

    def swapped(
        self, run: str, told: Mapping[str, Any], frozen: Mapping[str, Any] | None, fence: Fence
    ) -> None:
        """Note in the one that is there now that it came to be so by this run, and that it only reads too."""
        self._prepare()
        with self._session() as session, session.transaction():
            _pass(session, fence)
            for step, noted in (("salvage", told), ("freeze", frozen)):
                session.execute(SQL["forget"], {"run_id": run, "step": step})
                if noted is not None:
                    _note(session, run, step, noted)

    # --- connections

    def _prepare(self) -> None:
        with self._session() as session, session.transaction():
            session.execute(SQL["one_at_a_time"])
            if session.execute(SQL["prepared"]).fetchone() != (True,):
                session.execute(SQL["prepare"])

    def _done(self, session: Connection, run: str, step: str) -> Mapping[str, Any] | None:
        if session.execute(SQL["prepared"]).fetchone() != (True,):
            return None
        row = session.execute(SQL["done"], {"run_id": run, "step": step}).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def _session(self) -> Iterator[Connection]:
        with _connected(self._params) as session:
            yield session


def with_database(conninfo: str, dbname: str) -> str:
    """The same server's database of that name."""
    return make_conninfo(conninfo, dbname=dbname)


def promote(conninfo: str) -> None:
    """Have a copy leave recovery. Raises StepFailed."""
    with _connected(conninfo_to_dict(conninfo)) as session:
        if session.execute("SELECT pg_is_in_recovery()").fetchone() == (False,):
            return
        if session.execute("SELECT pg_promote(true, 120)").fetchone() != (True,):
            raise StepFailed("the good copy does not leave recovery")


def answers(conninfo: str) -> bool:
    """Whether a server is there, and has that database."""
    try:
        with psycopg.connect(conninfo, connect_timeout=10) as session:
            return session.execute("SELECT 1").fetchone() == (1,)
    except psycopg.Error:
        return False


@contextmanager
def _copy(conninfo: str) -> Iterator[Connection]:
    with _connected(conninfo_to_dict(conninfo)) as session:
        yield session


@contextmanager
def _connected(params: Mapping[str, Any]) -> Iterator[Connection]:
    options = f"{params.get('options') or ''} {' '.join(f'-c {each}' for each in _SPOKEN)}".strip()
    ours = {"options": options, "client_encoding": "utf8", "application_name": "holdfast recovery"}
    try:
        session = psycopg.connect(**{**params, **ours}, autocommit=True, connect_timeout=10)
    except psycopg.Error as error:
        raise StepFailed(f"the database cannot be reached: {str(error).strip().splitlines()[0]}") from error
    try:
        yield session
    except psycopg.Error as error:
        first = (error.diag.message_primary or str(error)).strip().splitlines()[0]
        raise StepFailed(f"the database says: {first}") from error
    finally:
        session.close()


def _beside(now: Connection, then: Connection, name: str, bad: Sequence[int]) -> Compared:
    table = staged(now, then, name)
    try:
        return compared(now, table, name, bad, then)
    finally:
        if table is not None:
            gone(now)


def _put(now: Connection, then: Connection, name: str, wanted: Wanted) -> Mapping[str, Any]:
    """Judged anew, behind a lock: what was compared before may be otherwise by now."""
    table = staged(now, then, name)
    if table is None:
        rows, left_out = made_again(now, then, name)
        return {"way": Way.CREATE.value, "rows": rows, "left_out": list(left_out)}
    now.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(table.whole))
    found = compared(now, table, name, wanted.bad, then)
    way = way_for(found, replace=wanted.replace)
    schema, plain = parts_of(name)
    if way is Way.REPLACE and (not table.key or not wanted.again):
        see_that_it_stands_alone(now, schema, plain)
    with asleep(now, schema, plain):
        rows = put_back(now, table, way, wanted.bad, again=wanted.again)
    gone(now)
    return {"way": way.value, "rows": rows, "later": found.later, "new": found.new}


def _ordered(now: Connection, tables: Sequence[str]) -> list[str]:
    refers = dict[str, list[str]]()
    for table, other in now.execute(SQL["refers"]).fetchall():
        refers.setdefault(table, []).append(other)
    return order_of(tables, refers)


def _pass(session: Connection, fence: Fence) -> None:
    # By run: the epochs of two runs have nothing to do with each other.
    scope = f"data {fence.run_id}"
    told = {"scope": scope, "run_id": fence.run_id, "epoch": fence.epoch, "turn": fence.turn}
    if session.execute(SQL["pass"], told).fetchone() is None:
        raise ComesLate(f"the database has heard of a later attempt than epoch {fence.epoch}")


def _note(session: Connection, run: str, step: str, told: Mapping[str, Any]) -> None:
    session.execute(SQL["note"], {"run_id": run, "step": step, "told": json.dumps(told)})


def _read_only(session: Connection) -> str | None:
    row = session.execute(SQL["read_only"]).fetchone()
    return None if row is None else row[0]


def _set_read_only(session: Connection, value: str | None) -> None:
    name = sql.Identifier(str(session.info.dbname))
    if value is None:
        session.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name))
    else:
        statement = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
        session.execute(statement.format(name, sql.Literal(value)))
