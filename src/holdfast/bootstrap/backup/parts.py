"""One table or one database alone: only its files are fetched, and what they turn out to need."""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from holdfast.adapters.postgres.restored.choosing import (
    HOLLOW_SETTINGS,
    chosen_for,
    database_of,
    incomplete,
    needed_by,
)
from holdfast.adapters.postgres.restored.extracting import table_named
from holdfast.adapters.postgres.restored.launching import log_of
from holdfast.adapters.postgres.restored.programs import Programs
from holdfast.backup.errors import RestoreFailed
from holdfast.backup.model import RestorePlan
from holdfast.backup.ports import Copy, Packer, Progress, Region
from holdfast.backup.restore.chosen import NotAlone, Relation, Share, Sought, sign_in
from holdfast.backup.restore.preflight import Way
from holdfast.backup.restore.restoring import Restored, Restorer
from holdfast.interfaces.cli.restoring import RestoreRequest
from holdfast.kernel.clock import Clock

MOST_ROUNDS = 3
"""Each fetches what the one before was found to need. Then all is fetched."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What a restorer is made of."""

    regions: Sequence[Region]
    """The one that is restored from first."""
    packer: Packer
    programs: Programs
    clock: Clock
    progress: Progress

    def restorer(self, programs: Programs | None = None) -> Restorer:
        first, *others = self.regions
        return Restorer(
            first, self.packer, programs or self.programs, self.clock, self.progress, others=others
        )

    def hollow(self) -> Restorer:
        """One whose servers run where most files are full of zeros."""
        return self.restorer(self.programs.with_settings(HOLLOW_SETTINGS))


def sought_by(request: RestoreRequest, into: Mapping[str, str]) -> Sought | None:
    """What alone is to be fetched; None when all is. `into`: where it will be loaded."""
    part = request.part
    wants_all = (
        request.whole
        or request.promote
        or request.keep_running
        or request.delta
        or request.warm
        or request.tablespaces
    )
    if part is None or wants_all:
        return None
    if part.table is None:
        return Sought(part.database or "")
    return Sought(part.database or into.get("dbname", "postgres"), *table_named(part.table))


def share_of(sources: Sources, plan: RestorePlan, sought: Sought) -> Share | None:
    """What to fetch of a plan's files; None, after a note, when it has to be all."""
    restorer = sources.restorer()
    sources.progress.note("looking where its files are")
    try:
        with tempfile.TemporaryDirectory(prefix="holdfast-catalogs-") as folder:
            bring = partial(restorer.peek, plan, Path(folder))
            chosen = chosen_for(sought, plan.backup.server_version // 10000, Path(folder), bring)
        return restorer.share(plan, chosen)
    except NotAlone as error:
        sources.progress.note(f"all files are fetched: {error}")
        return None


def restored_alone(
    sources: Sources, plan: RestorePlan, folder: Path, way: Way, sought: Sought
) -> tuple[Restored, Share | None]:
    """Restore with the files of `way.share`, and again with those that were found to be needed beside.

    The copy runs; the share tells which files are in it, None that all are.
    """
    restorer = sources.hollow()
    share = way.share
    reason = "what is needed beside it was never whole"
    for _ in range(MOST_ROUNDS):
        if share is None:
            break
        try:
            restored = restorer.restore(plan, folder, replace(way, share=share))
        except RestoreFailed as error:
            reason = str(error).splitlines()[0]
            break
        try:
            missing = _missing(restored.copy, share, sought, folder)
        except (NotAlone, RestoreFailed) as error:
            restored.copy.stop()
            reason = str(error)
            break
        except BaseException:
            restored.copy.stop()
            raise
        if not missing:
            return restored, share
        restored.copy.stop()
        sources.progress.note(
            f"all is laid out again: it needs relations that were left out ({len(missing)})"
        )
        share = restorer.share(plan, share.chosen.widened(missing))
        way = replace(way, resume=False, delta=True)
    sources.progress.note(f"all files are fetched: {reason}")
    again = replace(way, resume=False, delta=True, share=None)
    return sources.restorer().restore(plan, folder, again), None


def _missing(copy: Copy, share: Share, sought: Sought, folder: Path) -> frozenset[Relation]:
    """What the backup has of what is needed, and was not fetched. Raises NotAlone, RestoreFailed."""
    chosen = share.chosen
    database = database_of(copy, sought.database)
    if database is None:
        return frozenset()
    if database not in chosen.catalogs or not _is_signed(folder, database):
        # Perhaps out of another one's files.
        raise NotAlone(f"the database {sought.database} was made after the backup began")
    needed = needed_by(copy, sought)
    missing = needed & share.left_out
    if not missing:
        is_needed: Callable[[Relation], bool] = lambda each: each in needed or chosen.takes_relation(each)  # noqa: E731
        if place := incomplete(log_of(folder), is_needed):
            raise NotAlone(f"WAL changes pages of {place} that no backup has")
    return missing


def _is_signed(folder: Path, database: int) -> bool:
    """Whether a database is still the one whose files were laid out."""
    places = ["base", *(str(each.relative_to(folder)) for each in folder.glob("pg_tblspc/*/*"))]
    return any((folder / sign_in(f"{each}/{database}")).is_file() for each in places)


def cleared(folder: Path) -> None:
    """Remove a folder that holds some of a server's files: nobody must take it for a copy."""
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()
    with suppress(OSError):
        # Where it may not be removed it is empty.
        folder.rmdir()
