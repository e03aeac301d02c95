"""Importing other tools' set-ups and histories, and exporting objectives: reads, converts, writes."""

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile

from holdfast.adapters.imports import upptime as repository
from holdfast.adapters.imports.kuma import KumaDatabase
from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.history import PastTakenError, import_history
from holdfast.adapters.postgres.migrate import migrate
from holdfast.bootstrap.database import server_for
from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.supervisor import sole_supervisor
from holdfast.estate.model import Estate
from holdfast.estate.ports import CheckIdentity
from holdfast.estate.source import MAX_BYTES
from holdfast.interchange.draft import Imported
from holdfast.interchange.errors import InterchangeError, SourceError
from holdfast.interchange.gatus import import_gatus
from holdfast.interchange.history import Timeline
from holdfast.interchange.kuma import every_of, import_kuma, pause_of
from holdfast.interchange.kuma_history import beats, kuma_timeline
from holdfast.interchange.kuma_rows import Row, whole_of
from holdfast.interchange.openslo import import_openslo
from holdfast.interchange.openslo_export import export_openslo
from holdfast.interchange.report import Kind, Remark
from holdfast.interchange.upptime import import_upptime
from holdfast.interchange.upptime_history import SiteHistories, records
from holdfast.interfaces.cli.ports import (
    Exported,
    ImportOutcome,
    ImportRequest,
    PastImported,
    Place,
    Progress,
    Report,
)

ACTOR = "import"
WITH_HISTORY = ("uptime-kuma", "upptime")


@dataclass(frozen=True, slots=True)
class Past:
    """The past of one check: the check's name in the estate, and how its timeline is made under an id."""

    identity: CheckIdentity
    timeline: Callable[[int], Timeline]


@dataclass(frozen=True, slots=True)
class _Read:
    """A source that was read: the estate, and the pasts for when they are wanted."""

    imported: Imported
    pasts: Callable[[], Iterator[Past]] | None = None
    remarks: Callable[[], list[Remark]] = list


def import_set_up(request: ImportRequest, data_dir: Path, report: Report) -> ImportOutcome:
    """Read, convert and, unless it is a dry run, write. Raises HoldfastError for what a user can mend."""
    now = datetime.now(UTC)
    keeping = request.to is not None and request.to.exists() and not request.force
    if keeping and not request.dry_run and not request.history:
        hint = "add --force to replace it"
        if request.source in WITH_HISTORY:
            hint += ", or --history to import the past of its checks"
        raise InterchangeError(f"{request.to} is there already", hint=hint)
    with ExitStack() as stack:
        read = _READERS[request.source](request, now, stack, report)
        imported = read.imported
        to = None if request.dry_run else request.to
        if to is not None and not keeping:
            write_file(to, imported.text, replace=request.force)
        pasts: tuple[PastImported, ...] = ()
        if request.history and read.pasts is None:
            raise InterchangeError(f"{request.source} keeps no history that could be imported")
        if request.history and to is not None and read.pasts is not None:
            place = Place(to, data_dir)
            pasts = tuple(asyncio.run(_import_pasts(place, read.pasts, report)))
        return ImportOutcome(
            text=imported.text,
            estate=imported.estate,
            written=None if keeping else to,
            remarks=(*imported.remarks, *read.remarks()),
            pasts=pasts,
        )


def export_agreements(config: Path) -> Exported:
    """The agreements of the estate at `config` as OpenSLO."""
    exported = export_openslo(read_estate(config), config.name, datetime.now(UTC))
    return Exported(exported.text, exported.slos, exported.remarks)


def write_file(path: Path, text: str, *, replace: bool) -> None:
    """Write it whole or not at all; a file that is there is replaced only when asked for."""
    try:
        if not replace:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            return
        with NamedTemporaryFile("w", encoding="utf-8", dir=path.absolute().parent, delete=False) as draft:
            draft.write(text)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        Path(draft.name).chmod(mode)
        os.replace(draft.name, path)  # noqa: PTH105  the name is what there is
    except FileExistsError as error:
        raise InterchangeError(f"{path} is there already", hint="add --force to replace it") from error
    except OSError as error:
        raise InterchangeError(f"{path} cannot be written: {error.strerror}") from error


async def _import_pasts(
    place: Place, pasts: Callable[[], Iterator[Past]], report: Report
) -> list[PastImported]:
    """Give each check its past, one after the other, so that only one is in memory at a time."""
    estate = read_estate(place.config)
    place.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with sole_supervisor(place.data_dir):
        server = server_for(estate, place.config, place.data_dir)
        report(Progress("starting the database"))
        await server.start()
        try:
            await migrate(server.conninfo(Role.OWNER))
            registry = PostgresRegistry(server.conninfo(Role.CONTROLLER))
            digest = hashlib.sha256(place.config.read_bytes()).hexdigest()
            registered = await registry.apply(estate, source_sha256=digest, at=datetime.now(UTC), actor=ACTOR)
            outcomes = []
            for past in pasts():
                report(Progress(f"importing the past of {'/'.join(past.identity)}"))
                check_id = registered.checks.get(past.identity)
                outcomes.append(await _import_past(past, check_id, server.conninfo(Role.OWNER)))
            return outcomes
        finally:
            await server.stop()


async def _import_past(past: Past, check_id: int | None, owner: Conninfo) -> PastImported:
    name = "/".join(past.identity)
    if check_id is None:
        return PastImported(name, refused="the estate has no check of that name")
    timeline = past.timeline(check_id)
    tally = timeline.tally
    if not timeline.transitions:
        return PastImported(name, out_of_order=tally.out_of_order, refused="there is no record of it")
    try:
        await import_history(owner, timeline.transitions, timeline.hours)
    except PastTakenError as error:
        return PastImported(name, refused=str(error))
    return PastImported(
        name,
        records=tally.beats,
        transitions=len(timeline.transitions),
        gaps=tally.gaps,
        unknown=tally.unknown,
        out_of_order=tally.out_of_order,
        first=tally.first,
        last=tally.last,
    )


def _read_openslo(request: ImportRequest, now: datetime, stack: ExitStack, report: Report) -> _Read:
    del stack, report
    base: Estate | None = read_estate(request.base) if request.base is not None else None
    files = [(path.name, read_bytes(path)) for path in request.paths]
    return _Read(import_openslo(files, now, base, request.prometheus))


def _read_gatus(request: ImportRequest, now: datetime, stack: ExitStack, report: Report) -> _Read:
    del stack, report
    path = request.paths[0]
    return _Read(import_gatus(read_bytes(path), path.name, now))


def _read_kuma(request: ImportRequest, now: datetime, stack: ExitStack, report: Report) -> _Read:
    report(Progress("reading the database"))
    path = request.paths[0]
    database = stack.enter_context(KumaDatabase(path))
    set_up = database.set_up()
    imported = import_kuma(set_up, path.name, now)
    rows = {str(whole_of(row, "id", 0)): row for row in set_up.monitors}
    unreadable = [0]

    def pasts() -> Iterator[Past]:
        for origin, identity in imported.origins.items():
            yield Past(identity, partial(_kuma_past, database, rows[origin], now, unreadable))

    def remarks() -> list[Remark]:
        if not unreadable[0]:
            return []
        what, why = f"{unreadable[0]} rows", "they have no time or no state that is known"
        return [Remark(Kind.LEFT_OUT, "table heartbeat", what, why, "left out")]

    return _Read(imported, pasts, remarks)


def _kuma_past(
    database: KumaDatabase, row: Row, now: datetime, unreadable: list[int], check_id: int
) -> Timeline:
    number, every = whole_of(row, "id", 0), every_of(row)
    timeline = kuma_timeline(check_id, now, every, database.counts(number))
    for beat in beats(database.heartbeats(number), every, pause_of(row), unreadable):
        timeline.take(beat)
    timeline.finish()
    return timeline


def _read_upptime(request: ImportRequest, now: datetime, stack: ExitStack, report: Report) -> _Read:
    del stack
    folder = request.paths[0]
    config = repository.read_config(folder)
    files = repository.read_addresses(folder)
    imported = import_upptime(config, folder.resolve().name, now, files)
    foreign: list[str] = []

    def pasts() -> Iterator[Past]:
        report(Progress("reading the repository's history"))
        histories = SiteHistories()
        for record in records(repository.read_log(folder)):
            histories.take(record)
        foreign.extend(sorted(histories.slugs - imported.origins.keys()))
        for slug, identity in imported.origins.items():
            yield Past(identity, partial(_upptime_past, histories, slug, now))

    def remarks() -> list[Remark]:
        why = "no site that was imported is called so"
        return [
            Remark(Kind.LEFT_OUT, f"history/{slug}.yml", "its history", why, "left out") for slug in foreign
        ]

    return _Read(imported, pasts, remarks)


def _upptime_past(histories: SiteHistories, slug: str, now: datetime, check_id: int) -> Timeline:
    return histories.timeline(slug, check_id, now)


def read_bytes(path: Path) -> bytes:
    """The file's bytes, at most one more than an importer reads. Raises SourceError."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error


_READERS: Mapping[str, Callable[[ImportRequest, datetime, ExitStack, Report], _Read]] = {
    "openslo": _read_openslo,
    "uptime-kuma": _read_kuma,
    "gatus": _read_gatus,
    "upptime": _read_upptime,
}
