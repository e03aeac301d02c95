"""Loads the part of a restored copy that was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.adapters.postgres.restored.extracting import copy_table
from holdfast.adapters.postgres.restored.extracting_databases import copy_database, replace_database
from holdfast.adapters.postgres.restored.programs import Programs
from holdfast.interfaces.cli.ports import Progress, Report
from holdfast.interfaces.cli.restoring import PartRequest
from holdfast.kernel.clock import Clock


@dataclass(frozen=True, slots=True)
class PartLoaded:
    """What was loaded, as a sentence, and what of it was left out."""

    text: str
    notes: tuple[str, ...] = ()


def load(
    copy: str,
    programs: Programs,
    part: PartRequest,
    into: Mapping[str, str],
    clock: Clock,
    report: Report,
    *,
    is_alone: bool,
) -> PartLoaded:
    """Load it, and say so. `copy`: how the restored one is reached. Raises NotFit, RestoreFailed."""
    report(Progress(f"loading {part.table or part.database}"))
    if part.table is not None:
        database = part.database or into.get("dbname", "postgres")
        loaded = copy_table(copy, database, part.table, into, part.name, is_alone=is_alone)
        where = f"as {part.name}" if part.name else "in place of what was there"
        told = f"{loaded.rows} rows of {part.table} are loaded {where}"
        return PartLoaded(told, _left_out(part.table, loaded.left_out))
    database, bin_dir = part.database or "", programs.binaries.folder
    if part.name is not None:
        copy_database(copy, database, bin_dir, into, part.name)
        return PartLoaded(f"database {database} is loaded as {part.name}")
    replaced = replace_database(copy, database, bin_dir, into, clock.now())
    if not replaced.kept_as:
        return PartLoaded(f"database {database} is loaded: there was none of that name")
    was = f"the one that was there is {replaced.kept_as} now, until you drop it"
    return PartLoaded(
        f"database {database} is loaded in its place; {was}", _left_out(database, replaced.left_out)
    )


def _left_out(what: str, left_out: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"left out of {what}: {each}" for each in left_out)
