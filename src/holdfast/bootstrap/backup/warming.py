"""What a restore begins with instead of the backups: a clone of the copy that was verified."""

from collections.abc import Callable
from pathlib import Path

from holdfast.backup.errors import NotFit
from holdfast.backup.model import RestorePlan
from holdfast.backup.ports import Region
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.restore.journal import this_boot
from holdfast.backup.verify.warm import Roll, WarmBase, footing
from holdfast.bootstrap.backup.verifying import COPIES
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.clock import Clock


def seeded(
    place: Place, region: Region, plan: RestorePlan, to: Path, clock: Clock, note: Callable[[str], None]
) -> RestorePlan | None:
    """Clone the warm copy of that region into `to`, such that a restore of the returned plan resumes there.

    None, with a note that says why, when none serves: then `to` is untouched. Raises NotFit when
    `to` is not empty.
    """
    base = WarmBase(place.data_dir.absolute() / COPIES / plan.database / f"warm-{region.name}")
    try:
        with base.held():
            state = base.state()
            if state is not None and not state.is_clean:
                note("the warm copy was not shut down: laying out from the backups")
                return None
            way = footing(state, holdings_of(region, plan.database, clock), plan, this_boot())
            if not isinstance(way, Roll):
                note(f"no warm copy serves: {way.why}")
                return None
            note("cloning the warm copy")
            base.seed(way.plan, to)
            return base.lacking(way.plan)
    except NotFit as error:
        if to.exists() and any(to.iterdir()):
            raise
        note(f"no warm copy serves: {error}")
        return None
