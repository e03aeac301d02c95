"""What a logical backup is: dumps of databases, each of one snapshot, in pg_dump's own format. Pure.

For databases that allow no physical replication. It restores to its snapshots and to no moment between them;
it takes long where a database is large; and it can be loaded into another major version.

Its record is a `Backup` as the native engine's, in a folder of its own: each archive is a dump in pg_dump's
custom format (`NAME.dump`), or the roles and tablespaces as SQL (`globals.sql`). In the place of PostgreSQL's
manifest stand its contents.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from holdfast.backup.engines import Finding, Kept
from holdfast.backup.errors import Damaged, NotRecoverable
from holdfast.backup.lsn import Lsn
from holdfast.backup.model import Backup, Target, TargetKind
from holdfast.estate.backup import Keep

GLOBALS = "globals.sql"
DUMP = ".dump"
TEMPLATES = ("postgres", "template1")
"""Databases that every new server has already."""
LONGEST_CONTENTS = 64 * 1024 * 1024
_OLDEST_SERVER = 90200
_PER_MAJOR = 10000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A database as one moment saw it. Everything that was committed before `at` is in it."""

    name: str
    oid: int
    encoding: str
    at: datetime
    lsn: Lsn
    extensions: Mapping[str, str]
    """Their versions."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a logical backup holds, in the order of its archives behind the globals."""

    program_major: int
    """Of the pg_dump that wrote it: an older pg_restore cannot read it."""
    snapshots: tuple[Snapshot, ...]


_CONTENTS = msgspec.json.Decoder(Contents)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is dumped, or loaded into. Versions as `server_version_num`."""

    version: int
    system_id: int
    """0 where it does not tell."""
    at: datetime
    databases: tuple[str, ...]
    available_extensions: Collection[str] = ()

    @property
    def major(self) -> int:
        return self.version // _PER_MAJOR


def encoded_contents(contents: Contents) -> bytes:
    return msgspec.json.encode(contents, order="deterministic")


def decoded_contents(content: bytes, key: str) -> Contents:
    """Raises Damaged."""
    try:
        return _CONTENTS.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged(f"{key}: {error}") from error


def dump_findings(server: Server, program_major: int) -> list[Finding]:
    """Why a server cannot be dumped with a pg_dump of this version; empty when it can."""
    if server.version < _OLDEST_SERVER:
        return [
            Finding(f"pg_dump {program_major} knows no PostgreSQL {server.version}", "upgrade the server")
        ]
    if program_major < server.major:
        return [
            Finding(
                f"pg_dump {program_major} cannot dump PostgreSQL {server.major}: it must not be older",
                f"name the programs of PostgreSQL {server.major} in verification.bin_dir",
            )
        ]
    return []


def load_findings(contents: Contents, source_version: int, program_major: int, into: Server) -> list[Finding]:
    """Why a backup cannot be loaded there; empty when it can.

    A dump is read by programs that are not older than those that wrote it, and loaded into a server that is
    not older than they are: they set what an older one does not know.
    """
    found = []
    if program_major < contents.program_major:
        found.append(
            Finding(
                f"pg_restore {program_major} cannot read what pg_dump {contents.program_major} wrote",
                f"use the programs of PostgreSQL {contents.program_major} or later",
            )
        )
    if into.major < source_version // _PER_MAJOR:
        text = f"it was PostgreSQL {source_version // _PER_MAJOR}, and would be loaded into {into.major}"
        found.append(Finding(text, "load it into the same version or a later one"))
    elif into.major < program_major:
        found.append(
            Finding(
                f"pg_restore {program_major} sets what PostgreSQL {into.major} does not know",
                f"use the programs of PostgreSQL {into.major}",
            )
        )
    missing = {
        name
        for each in contents.snapshots
        for name in each.extensions
        if name not in into.available_extensions
    }
    if missing:
        text = f"extensions are not installed there: {', '.join(sorted(missing))}"
        found.append(Finding(text, "install them, with the server's own version"))
    return found


def kept_dumps(backup: Backup, region: str) -> Kept:
    """A logical backup in the words of the port."""
    return Kept(
        id=backup.id,
        database=backup.database,
        kind=backup.kind,
        depends_on=(),
        label=backup.label,
        region=region,
        server_version=backup.server_version,
        timeline=None,
        start_lsn=backup.start_lsn,
        stop_lsn=backup.stop_lsn,
        started_at=backup.started_at,
        finished_at=backup.finished_at,
        raw_bytes=backup.raw_bytes,
        stored_bytes=backup.stored_bytes,
    )


def dump_for(backups: Sequence[Backup], target: Target) -> Backup:
    """The backup that is this target. Raises NotRecoverable: there is nothing between two snapshots."""
    newest_first = sorted(backups, key=lambda each: each.id, reverse=True)
    if not newest_first:
        raise NotRecoverable("there is no logical backup", hint="take one: holdfast backup now")
    match target.kind:
        case TargetKind.LATEST:
            return newest_first[0]
        case TargetKind.LABEL:
            found = [each for each in newest_first if target.label in (each.id, each.label)]
            if found:
                return found[0]
            raise NotRecoverable(f"no logical backup is called {target.label!r}", hint="holdfast backup list")
        case TargetKind.TIME if target.time is not None:
            before = [each for each in newest_first if each.started_at <= target.time]
            nearest = f"the newest one before it is {before[0].id}" if before else "none is older"
            raise NotRecoverable(
                f"a logical backup restores to its own moment only; {nearest}", hint="name it: --at ID"
            )
        case _:
            raise NotRecoverable(
                f"a logical backup knows no {target.kind.value} to restore to", hint="name one: --at ID"
            )


def expiring_dumps(
    backups: Iterable[Backup],
    keep: Keep,
    now: datetime,
    *,
    incomplete: Collection[str] = (),
    locked: Collection[str] = (),
    suspect_since: datetime | None = None,
) -> tuple[Backup, ...]:
    """Those that nothing keeps any more, oldest first: by the rules of native backups, where they apply.

    Kept are all of the window with the one before it, the newest of each of the last days, weeks and months
    that have one, the newest `minimum`, what is `locked`, and all from before a suspicion. The window ends
    with the newest dump: a clock that runs ahead lets nothing expire. One that says that it is from later
    stays, and counts for nothing; so does one of a kept place that is `incomplete`: it may be healed.
    """
    newest_first = sorted(backups, key=lambda each: (each.finished_at, each.id), reverse=True)
    told = [each for each in newest_first if each.finished_at <= now]
    whole = [each for each in told if each.id not in incomplete]
    if not whole:
        return ()
    edge = min(now, whole[0].finished_at) - keep.window
    kept = {each.id for each in whole[: keep.minimum]}
    kept |= {each.id for each in newest_first if each.finished_at >= edge or each.id in locked}
    kept |= {each.id for each in [one for one in whole if one.finished_at < edge][:1]}
    kept |= _newest_of_periods(whole, keep) | _newest_of_periods(told, keep)
    if suspect_since is not None:
        kept |= {each.id for each in newest_first if each.started_at < suspect_since}
    return tuple(each for each in reversed(newest_first) if each.id not in kept)


def _newest_of_periods(newest_first: Sequence[Backup], keep: Keep) -> set[str]:
    """The ids of the newest of each period, for so many periods that have one. Days in UTC, ISO weeks."""
    periods: tuple[tuple[int, Callable[[datetime], object]], ...] = (
        (keep.daily, lambda at: at.date()),
        (keep.weekly, lambda at: at.isocalendar()[:2]),
        (keep.monthly, lambda at: (at.year, at.month)),
    )
    found: set[str] = set()
    for count, period_of in periods:
        newest_of: dict[object, str] = {}
        for each in newest_first:
            newest_of.setdefault(period_of(each.finished_at), each.id)
        found |= set(list(newest_of.values())[:count])
    return found
