"""Takes one database out of a restored copy, and loads it into a server in use: beside, or in place."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from holdfast.adapters.postgres.server.initialise import environment
from holdfast.backup.errors import NotFit, RestoreFailed
from holdfast.kernel.errors import HoldfastError

LONGEST_NAME = 63
_END_EVERY_S = 0.05
# Of that one and no other, whatever is called so by now: who comes late ends nobody's session.
_END = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datid = %s"
# While the names change nobody can connect: not for longer than this, when who changes them stands still.
_NOT_FOR_LONG = "SET idle_in_transaction_session_timeout = '5s'"

_LIKE = """
    SELECT pg_catalog.pg_encoding_to_char(encoding), datcollate, datctype,
        pg_catalog.to_jsonb(d) ->> 'datlocprovider',
        coalesce(pg_catalog.to_jsonb(d) ->> 'datlocale', pg_catalog.to_jsonb(d) ->> 'daticulocale')
    FROM pg_catalog.pg_database d WHERE datname = %s
"""
_PROPERTIES = """
    SELECT d.oid, r.rolname, t.spcname, d.datconnlimit, d.datacl IS NOT NULL FROM pg_catalog.pg_database d
    JOIN pg_catalog.pg_roles r ON r.oid = d.datdba JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace
    WHERE d.datname = %s
"""
_RIGHTS = """
    SELECT privilege_type, r.rolname, is_grantable FROM pg_catalog.pg_database d,
    pg_catalog.aclexplode(d.datacl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee WHERE d.oid = %s
"""
_SETTINGS = """
    SELECT r.rolname, pg_catalog.split_part(c, '=', 1), pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1)
    FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole,
    pg_catalog.unnest(s.setconfig) c WHERE s.setdatabase = %s
"""
_RIGHT_NAMES = frozenset({"CREATE", "CONNECT", "TEMPORARY"})

Connection = psycopg.Connection[Any]
Last = Callable[[Connection, str], None]
"""Called when the names are changed, but not for others yet, with what the one that was there is called now.
What it raises leaves everything as it was."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """What the database that was there is called now (empty when there was none), and what was left out."""

    kept_as: str
    left_out: tuple[str, ...] = ()


def copy_database(copy: str, database: str, bin_dir: Path, target: Mapping[str, str], name: str) -> None:
    """Load a whole database of the copy into a new one of that name, by pg_dump and pg_restore.

    Everything in it belongs to who loads it. Raises NotFit, RestoreFailed.
    """
    _created(copy, database, target, name, None)
    _loaded(copy, database, bin_dir, target, name, with_owners=False)


def replace_database(
    copy: str,
    database: str,
    bin_dir: Path,
    target: Mapping[str, str],
    at: datetime,
    last: Last = lambda _session, _kept: None,
) -> Replaced:
    """Load a database of the copy under a name of its own, and then let it take that of the one there.

    That one is kept, under another name, as it was. The two change their names in one transaction: whoever
    connects gets the one or the other. Owners and rights in it are those of the copy; owner, rights,
    settings and tablespace of the database itself are those of the one that was there. Sessions in that are
    ended. `at` names what is left over. Raises NotFit, RestoreFailed: nothing has changed its name then.
    """
    stamp = at.strftime("%Y%m%dt%H%M%Sz")
    loading, kept = _dated(database, "restoring", stamp), _dated(database, "before", stamp)
    with _connected(target, beside=database) as into:
        there = into.execute(_PROPERTIES, [database]).fetchone()
    _created(copy, database, target, loading, there[2] if there else None)
    try:
        _loaded(copy, database, bin_dir, target, loading, with_owners=True)
    except BaseException:
        _let_go(target, loading)
        raise
    hint = f"what was loaded is in {loading}: drop it, or give it its name by hand"
    try:
        with _connected(target, beside=database) as into:
            lost = _alike(into, there, loading) if there else []
        _swapped(target, database, loading, (kept, there[0]) if there else None, last)
    except HoldfastError:
        _let_go(target, loading)
        raise
    except psycopg.Error as error:
        raise RestoreFailed(f"{database} is as it was: {_first(error)}", hint=hint) from error
    return Replaced(kept if there else "", tuple(lost))


def _let_go(target: Mapping[str, str], loading: str) -> None:
    """Drop what was loaded: it is ours, and half of one is nobody's."""
    with suppress(psycopg.Error), _connected(target, beside=loading) as into:
        into.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(loading)))


def _dated(database: str, what: str, stamp: str) -> str:
    behind = f"_{what}_{stamp}"
    # Bytes count, and a letter is not cut in two.
    room = LONGEST_NAME - len(behind)
    return database.encode()[:room].decode(errors="ignore") + behind


def _connected(target: Mapping[str, str], *, beside: str) -> Connection:
    """A connection to another database of the target server than that one."""
    asked = target.get("dbname", "postgres")
    other = asked if asked != beside else ("postgres" if beside != "postgres" else "template1")
    params = {**target, "dbname": other, "application_name": "holdfast restore"}
    return psycopg.connect(**params, autocommit=True)  # type: ignore[arg-type]


def _created(copy: str, database: str, target: Mapping[str, str], name: str, tablespace: str | None) -> None:
    """Make an empty database, of the copy's encoding and language. Raises NotFit, RestoreFailed."""
    try:
        with psycopg.connect(copy, dbname="template1", application_name="holdfast restore") as source:
            found = source.execute(_LIKE, [database]).fetchone()
        if found is None:
            raise NotFit(f"there was no database {database} at that moment")
        with _connected(target, beside=name) as into:
            into.execute(_creation(name, found, tablespace))
    except psycopg.errors.DuplicateDatabase as error:
        raise NotFit(f"a database {name} is there already", hint="choose another name with --as") from error
    except psycopg.Error as error:
        raise RestoreFailed(f"{name} was not created: {_first(error)}") from error


def _creation(name: str, like: tuple[Any, ...], tablespace: str | None) -> sql.Composed:
    encoding, collate, ctype, provider, locale = like
    words: list[sql.Composable] = [
        sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)),
        sql.SQL("ENCODING {} LC_COLLATE {} LC_CTYPE {}").format(
            *map(sql.Literal, (encoding, collate, ctype))
        ),
    ]
    if provider == "i":
        words.append(sql.SQL("LOCALE_PROVIDER icu ICU_LOCALE {}").format(sql.Literal(locale)))
    elif provider == "b":
        words.append(sql.SQL("LOCALE_PROVIDER builtin BUILTIN_LOCALE {}").format(sql.Literal(locale)))
    elif provider == "c":
        words.append(sql.SQL("LOCALE_PROVIDER libc"))
    if tablespace is not None:
        words.append(sql.SQL("TABLESPACE {}").format(sql.Identifier(tablespace)))
    return sql.SQL(" ").join(words)


def _loaded(
    copy: str, database: str, bin_dir: Path, target: Mapping[str, str], name: str, *, with_owners: bool
) -> None:
    dump = [str(bin_dir / "pg_dump"), "-Fc", "-Z0", "-d", make_conninfo(copy, dbname=database)]
    load = [str(bin_dir / "pg_restore"), "--exit-on-error", *([] if with_owners else ["--no-owner"]), "-d"]
    load.append(make_conninfo(**{**target, "dbname": name}))
    # What libpq reads from its surroundings, such as PGPASSWORD, is the operator's for the target alone.
    ours = {**environment(), **{key: value for key, value in os.environ.items() if key.startswith("PG")}}
    with (
        subprocess.Popen(dump, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as dumping,
        subprocess.Popen(load, stdin=dumping.stdout, stderr=subprocess.PIPE, env=ours) as loading,
    ):
        if dumping.stdout is not None:
            # Ours would keep the pipe open when the one who reads has ended.
            dumping.stdout.close()
        _, said = loading.communicate()
        complained = dumping.stderr.read() if dumping.stderr else b""
        dumping.wait()
    if loading.returncode or dumping.returncode:
        text = (complained or said).decode(errors="replace").strip().splitlines()
        raise RestoreFailed(
            f"{database} was not loaded whole into {name}: {text[0] if text else 'no reason was given'}",
            hint=f"drop {name} before the next attempt" if not with_owners else "are its roles there?",
        )


def _alike(into: Connection, there: tuple[Any, ...], name: str) -> list[str]:
    """Give the new one what the database that is there has beside its content; what it did not get."""
    oid, owner, _, limit, has_rights = there
    database = sql.Identifier(name)
    into.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, sql.Identifier(owner)))
    into.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(database, sql.Literal(limit)))
    if has_rights:
        into.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
        for right, role, can_grant in into.execute(_RIGHTS, [oid]).fetchall():
            if right not in _RIGHT_NAMES:
                continue
            to = sql.SQL("PUBLIC") if role is None else sql.Identifier(role)
            further = sql.SQL(" WITH GRANT OPTION" if can_grant else "")
            grant = sql.SQL(f"GRANT {right} ON DATABASE {{}} TO {{}}")
            into.execute(grant.format(database, to) + further)
    return [
        text
        for role, setting, value in into.execute(_SETTINGS, [oid]).fetchall()
        if (text := _set(into, database, role, setting, value))
    ]


def _set(into: Connection, database: sql.Identifier, role: str | None, setting: str, value: str) -> str:
    """Take over a setting; what was lost, empty when nothing was."""
    whose = sql.SQL("ALTER DATABASE {}").format(database)
    if role is not None:
        whose = sql.SQL("ALTER ROLE {} IN DATABASE {}").format(sql.Identifier(role), database)
    try:
        with into.transaction():
            # Its text is as lists are written; taken from the session it needs no quoting.
            into.execute("SELECT pg_catalog.set_config(%s, %s, true)", [setting, value])
            into.execute(whose + sql.SQL(" SET {} FROM CURRENT").format(_setting(setting)))
    except psycopg.errors.Error as error:
        if into.broken:
            raise
        return f"the setting {setting} ({_first(error)})"
    return ""


def _setting(name: str) -> sql.Composable:
    return sql.SQL(".").join(sql.Identifier(each) for each in name.split("."))


def _swapped(
    target: Mapping[str, str], database: str, loading: str, there: tuple[str, int] | None, last: Last
) -> None:
    """Let the two change names at once, or leave both as they are: also when this process is killed.

    `there`: what the one that is there is called afterwards, and its number.
    """
    with _connected(target, beside=database) as into:
        if there is None:
            _renamed(into, loading, database)
            return
        into.execute(_NOT_FOR_LONG)
        with _without_sessions(target, database, there[1]), into.transaction():
            # It waits some seconds for sessions to end, with a lock that keeps new ones waiting.
            _renamed(into, database, there[0])
            _renamed(into, loading, database)
            last(into, there[0])


@contextmanager
def _without_sessions(target: Mapping[str, str], database: str, number: int) -> Iterator[None]:
    """End its sessions, again and again, for as long as this lasts."""
    done = threading.Event()

    def end() -> None:
        # Where that is not allowed, the renaming says what is in its way.
        with suppress(psycopg.Error), _connected(target, beside=database) as other:
            while not done.wait(_END_EVERY_S):
                other.execute(_END, [number])

    ending = threading.Thread(target=end, name="end-sessions", daemon=True)
    ending.start()
    try:
        yield
    finally:
        done.set()
        ending.join()


def _renamed(into: Connection, was: str, name: str) -> None:
    into.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(was), sql.Identifier(name)))


def _first(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error)).strip().splitlines()[0]
