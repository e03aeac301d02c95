"""The engine of a database, as the estate names it: native, pgBackRest or logical."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from holdfast.adapters.pgbackrest.command import Command
from holdfast.adapters.pgbackrest.engine import PgBackRest
from holdfast.adapters.postgres.logical import Client, programs
from holdfast.adapters.postgres.new_server import new_servers
from holdfast.backup.engines import Depth, Engine, Kept
from holdfast.backup.errors import NotFit, NotRecoverable, SourceRefused
from holdfast.backup.logical.logical import LogicalTier
from holdfast.backup.ports import Progress, Region
from holdfast.backup.restore.targets import target_named
from holdfast.backup.take.taking import Silent
from holdfast.bootstrap.backup.native import NativeEngine
from holdfast.bootstrap.backup.opening import packer_for, regions_of
from holdfast.bootstrap.backup.sources import params_for, source_for
from holdfast.bootstrap.estates import read_estate
from holdfast.estate.backup import Database
from holdfast.estate.model import Estate
from holdfast.estate.suggest import did_you_mean
from holdfast.interfaces.cli.backup import BackupOutcome, BackupRequest, BackupShown, BackupsListed
from holdfast.interfaces.cli.restoring import RestoreOutcome, RestoreRequest
from holdfast.kernel.clock import Clock, SystemClock


def engine_for(
    estate: Estate,
    key: str,
    config: Path,
    clock: Clock | None = None,
    progress: Progress | None = None,
    data_dir: Path | None = None,
) -> Engine:
    """The engine of a declared database. Talks to nobody yet. Raises SourceRefused, NotFit, SecretError."""
    database = estate.databases.get(key)
    if database is None:
        hint = did_you_mean(key, estate.databases) or "see `databases` in the estate file"
        raise SourceRefused(f"no database is called {key!r}", hint=hint)
    clock, progress = clock or SystemClock(), progress or Silent()
    if database.engine == "pgbackrest":
        return pgbackrest_for(database, key)
    regions = regions_of(estate, key, config, data_dir)
    if database.engine == "logical":
        return dumps_for(estate, key, config, regions, clock, progress)
    packer, source = packer_for(estate, config), source_for(database, config)
    return NativeEngine(key, source, regions, packer, bin_dir_of(database), clock, progress)


def bin_dir_of(database: Database) -> Path | None:
    """Where PostgreSQL's programs for a database are; None for the packaged ones."""
    declared = database.verification.bin_dir
    return None if declared is None else Path(declared)


def pgbackrest_for(database: Database, key: str) -> PgBackRest:
    """pgbackrest, for the stanza that a database names."""
    return PgBackRest(key, Command(database.stanza or key))


def dumps_for(
    estate: Estate,
    key: str,
    config: Path,
    regions: Sequence[Region],
    clock: Clock,
    progress: Progress | None = None,
) -> LogicalTier:
    """The logical tier over these regions. Raises NotFit, KeyMissing, SecretError."""
    database = estate.databases[key]
    client = Client(params_for(database.connection, config), programs(bin_dir_of(database)))
    new = new_servers(client.binaries)
    return LogicalTier(key, client, regions, packer_for(estate, config), clock, new, progress)


def other_engine(config: Path, key: str, clock: Clock, progress: Progress) -> Engine | None:
    """The engine of a database that is not the native one's; None for one that is, or is not declared."""
    estate = read_estate(config)
    database = estate.databases.get(key)
    if database is None or database.engine == "native":
        return None
    return engine_for(estate, key, config, clock, progress)


def restored_by(engine: Engine, request: RestoreRequest) -> RestoreOutcome:
    """What `holdfast restore` does with an engine other than the native one."""
    native = {
        "--keep-running": request.keep_running,
        "--promote": request.promote,
        "--resume": request.resume,
        "--delta": request.delta,
        "--tablespace": request.tablespaces,
        "--table and --database": request.part,
        "--warm": request.warm,
    }
    asked = [name for name, value in native.items() if value]
    if asked:
        hint = "restore all of it into an empty folder, and start that"
        raise NotFit(f"only the native engine knows {', '.join(asked)}", hint=hint)
    target = target_named(request.at, timeline=request.timeline, inclusive=not request.exclusive)
    folder = request.to.absolute()
    if request.dry_run:
        listed = engine.backups()
        needed = max((each.raw_bytes for each in listed), default=0)
        problems = tuple(each.text for each in engine.check()) or (() if listed else ("there is no backup",))
        return RestoreOutcome(request.database, "", str(folder), "", (), 0, needed, True, problems)
    kept = engine.restore(target, folder)
    chain = (*kept.depends_on, kept.id)
    note = "it recovers when it is started" if kept.timeline is not None else ""
    notes = (note,) if note else ()
    return RestoreOutcome(
        request.database, kept.region, str(folder), kept.id, chain, 0, kept.raw_bytes, False, notes=notes
    )


def taken_by(engine: Engine, request: BackupRequest, clock: Clock) -> BackupOutcome:
    """What `holdfast backup now` does with an engine other than the native one."""
    depth = Depth.FULL if request.full else Depth.INCREMENTAL
    if request.dry_run:
        for finding in engine.check():
            raise SourceRefused(finding.text, hint=finding.hint)
        return BackupOutcome(depth.value, "", "the engine decides", None, {}, (), timedelta())
    began = clock.monotonic()
    behind = {}
    if isinstance(engine, LogicalTier):
        taken = engine.taken(request.label)
        behind = dict(taken.behind)
        id_ = taken.backup.id
    else:
        id_ = engine.take(depth, label=request.label).id
    shown = next((each for each in listed_by(engine).backups if each.id == id_), None)
    if shown is None:
        raise NotRecoverable(f"{id_} was taken, and is not there", hint="does somebody delete there?")
    took = timedelta(seconds=clock.monotonic() - began)
    return BackupOutcome(shown.kind, shown.parent, "the engine decided", shown, behind, (), took)


def listed_by(engine: Engine, region: str | None = None) -> BackupsListed:
    """What `holdfast backup list` shows of an engine other than the native one."""
    by_id: dict[str, list[Kept]] = {}
    for each in engine.backups():
        if region in (None, each.region):
            by_id.setdefault(each.id, []).append(each)
    return BackupsListed([_shown(by_id[id_]) for id_ in sorted(by_id)], {}, ())


def _shown(same: Sequence[Kept]) -> BackupShown:
    first = same[0]
    return BackupShown(
        first.id,
        first.kind.value,
        first.label,
        first.depends_on[-1] if first.depends_on else "",
        first.started_at,
        first.finished_at,
        first.raw_bytes,
        first.stored_bytes or 0,
        first.server_version,
        first.timeline or 0,
        tuple(each.region for each in same if not each.trouble),
        {each.region: each.trouble for each in same if each.trouble},
    )
