"""Counts in a verification what the region's log tells of deletes: on from where the last one came to."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.backup.lsn import Lsn, format_lsn
from holdfast.backup.model import Holdings, RestorePlan
from holdfast.backup.recoverable.lines import line_of
from holdfast.backup.restore.fetching import Fetcher
from holdfast.backup.restore.unpacking import WAL
from holdfast.backup.verify.verification import Verification
from holdfast.backup.verify.wal_counts import MOST_AT_ONCE, WalCounts, begun_at, counted_on
from holdfast.backup.verify.wal_log import Here, StoredLog
from holdfast.backup.wal.wal_folder import WalFolder

WORTH_TELLING = 1 << 20
"""Bytes that are not counted yet: less is the end of what is there, which may be within a record."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted, and a remark when the log was not counted to its end."""

    counts: tuple[WalCounts, ...]
    remark: str = ""


def counted(
    holdings: Holdings,
    plan: RestorePlan,
    copy: Path,
    fetcher: Fetcher,
    earlier: Sequence[Verification],
    advance: Callable[[int], None],
    most: int = MOST_AT_ONCE,
) -> Counted:
    """Count on up to the end of `plan`, whose WAL lies in `copy`; what is before that is fetched.

    `earlier` are the records of verifications before. `advance` is told of bytes. Raises Damaged, KeyMissing,
    RegionAway, RegionRefused.
    """
    line = line_of(plan.timeline, plan.histories)
    size = plan.backup.segment_bytes
    backups = [
        each for each in holdings.backups if each.system_id == plan.backup.system_id and line.holds(each)
    ]
    if not plan.wal:
        return Counted(())
    start, end = min(each.start_lsn for each in plan.wal), max(each.end_lsn for each in plan.wal)
    # Behind a switch it was counted up to the end of the segment, of which less may be stored.
    told = Lsn(-(-end // size) * size)
    begun = begun_at([counts for each in earlier for counts in each.wal], line, backups, told)
    if begun is None:
        return Counted(())
    stored = StoredLog(line, holdings.wal, fetcher, Here(WalFolder(copy / WAL, size), start, end))

    def log(start: Lsn, end: Lsn) -> Iterator[bytes]:
        for part in stored(start, end):
            yield part
            advance(len(part))

    counts = counted_on(begun, line, backups, end, log, size, most)
    return Counted(counts, _remark(counts[-1].until, end))


def _remark(until: Lsn, end: Lsn) -> str:
    if end - until < WORTH_TELLING:
        return ""
    return f"deletes are counted up to {format_lsn(until)}, and not yet up to {format_lsn(end)}"
