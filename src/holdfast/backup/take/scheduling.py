"""Whether a backup is due, and which kind. Pure.

A full one every `full_every`, an increment every `incremental_every`; sooner when the newest point would not
be restored within the shortest RTO of the agreements, and at once when nothing since a gap, a promotion or
a new cluster can be restored.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.backup.model import Backup, BackupKind, Holdings
from holdfast.backup.recoverable.chain import Reach, chain_of, needed_from, reaches_of, whole_chains
from holdfast.backup.recoverable.lines import lines_of
from holdfast.backup.recoverable.pace import Pace, expected_restore
from holdfast.estate.backup import Schedule
from holdfast.estate.model import Agreement

INCREMENTS_SINCE = 170000
"""The `server_version_num` from which a server can send increments."""
SHARE_OF_RTO = 0.8
"""What of an RTO a restore may take: the rest is for noticing, deciding and switching over."""
SOONEST = timedelta(minutes=5)
"""After the last one finished, none is begun for its own sake: a schedule that no machine keeps up with."""


@dataclass(frozen=True, slots=True)
class Due:
    """A backup is to be taken now, and why. `parent` is the backup that an increment is taken of."""

    kind: BackupKind
    why: str
    parent: Backup | None = None


def shortest_rto(agreements: Iterable[Agreement], cluster: str) -> timedelta | None:
    """The shortest that agreements on a cluster promise; None when none does."""
    promised = [
        each.rto
        for each in agreements
        if each.rto is not None
        and any(pattern.split("/", 1)[0] in ("*", cluster) for pattern in each.components)
    ]
    return min(promised, default=None)


def due(
    held: Holdings,
    schedule: Schedule,
    now: datetime,
    *,
    increments: bool = True,
    system_id: int | None = None,
    rto: timedelta | None = None,
    pace: Pace | None = None,
    wanted: str = "",
) -> Due | None:
    """What is to be taken now, or None when nothing is. `increments`: the server can send them.

    `system_id` is that of the cluster that runs now, when it is known. `wanted`: why one is wanted at once,
    however new the last one is. Who receives WAL knows of a gap before any region tells of it.
    """
    chains = whole_chains(held)
    whole = [each for each in held.backups if each.id in chains]
    if not whole:
        return Due(BackupKind.FULL, "there is no backup that could be restored")
    newest = max(whole, key=lambda each: (each.timeline, each.stop_lsn, each.id))
    chain = chain_of(held.backups, newest.id)
    if system_id not in (None, newest.system_id):
        return Due(BackupKind.FULL, f"it is another cluster than {newest.id} is of")
    increments = increments and newest.server_version >= INCREMENTS_SINCE
    increment = Due(BackupKind.INCREMENTAL, "", newest) if increments else Due(BackupKind.FULL, "")
    if newest.started_at > now + SOONEST:
        # The clock was set back. Counted from the future nothing would ever be due.
        return Due(increment.kind, f"{newest.id} is from the future", increment.parent)
    if wanted:
        return Due(increment.kind, wanted, increment.parent)
    if now - newest.finished_at < SOONEST:
        return None
    if why := _cut_off(held, newest):
        return Due(increment.kind, why, increment.parent)
    if now - chain[0].started_at >= schedule.full_every:
        return Due(BackupKind.FULL, f"the last full one began {chain[0].started_at:%Y-%m-%d %H:%M}Z")
    if now - newest.started_at >= schedule.incremental_every:
        if chain[0].started_at > now:
            # A full one would never be due, and the chain would grow until nobody can restore it.
            return Due(BackupKind.FULL, f"{chain[0].id} is from the future")
        return Due(
            increment.kind, f"the last one began {newest.started_at:%Y-%m-%d %H:%M}Z", increment.parent
        )
    return _for_the_rto(held, chain, increment, rto, pace)


def _cut_off(held: Holdings, newest: Backup) -> str:
    """Why what is written now could not be restored from the newest backup; empty when it could."""
    if not held.wal:
        return ""
    reaches = reaches_of(held)
    timeline = max(each.segment.timeline for each in held.wal)
    line = lines_of([timeline], held.histories)[timeline]
    ends = [within[1] for each in held.wal if (within := line.within(each)) is not None]
    if newest.timeline < timeline or not line.holds(newest):
        return f"timeline {timeline} began behind {newest.id}"
    inside = any(_carries(reach, newest) and reach.run.end >= max(ends) for reach in reaches)
    if inside or max(ends) <= newest.stop_lsn:
        return ""
    return f"WAL is missing behind {newest.id}"


def _carries(reach: Reach, newest: Backup) -> bool:
    return any(each.id == newest.id for each in reach.backups)


def _for_the_rto(
    held: Holdings, chain: Sequence[Backup], increment: Due, rto: timedelta | None, pace: Pace | None
) -> Due | None:
    """A backup that brings the restore back inside the RTO, when one can."""
    if rto is None:
        return None
    behind = sum(each.stored_bytes for each in held.wal if each.start_lsn >= needed_from(chain[-1]))
    allowed = rto * SHARE_OF_RTO
    expected = expected_restore(chain, behind, pace)
    if expected is None or expected <= allowed:
        return None
    why = f"a restore would take {expected.total_seconds():.0f} s of the {rto.total_seconds():.0f} s promised"
    without_wal = expected_restore(chain, 0, pace)
    if increment.kind is BackupKind.INCREMENTAL and without_wal is not None and without_wal <= allowed:
        return Due(BackupKind.INCREMENTAL, why, increment.parent)
    alone = expected_restore(chain[:1], 0, pace)
    if len(chain) > 1 and alone is not None and alone < expected:
        return Due(BackupKind.FULL, why)
    # A full restore alone takes longer than what was promised. Only less WAL helps, where there is some.
    helps = without_wal is not None and expected - without_wal > SOONEST
    return Due(increment.kind, why, increment.parent) if helps else None
