"""How much was deleted, dropped and emptied in the write-ahead log, between one backup and the next. Pure.

The log knows files: a table that is dropped takes those of its indexes along, and one that is emptied, or
written anew, gets new ones. So they are counted as files.

Counting goes on where it ended the last time: each verification keeps what it has counted, how far that was,
and which transactions had not ended there. So any amount is counted, over as many verifications as it takes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from holdfast.backup.lsn import DEFAULT_SEGMENT_BYTES, Lsn, Timeline
from holdfast.backup.model import Backup
from holdfast.backup.recoverable.lines import Line
from holdfast.backup.verify.tallying import Open, Tally
from holdfast.backup.wal.wal_pages import Pages

MOST_AT_ONCE = 64 << 30
"""Bytes that one verification counts; the next goes on behind them."""
MOST_OPEN_KEPT = 200
"""Transactions that are kept from one verification to the next: those that did most."""

Log = Callable[[Lsn, Lsn], Iterator[bytes]]
"""The bytes of a line of timelines between two places, in parts, as far as they are there."""


@dataclass(frozen=True, slots=True)
class WalCounts:
    """Of the transactions that committed in [since, until) of the log; `until` lies on `timeline`.

    It ended where `backup` began, at `at` by the server's clock. Without a backup it has not ended: more is
    to be counted from `until` on.
    """

    since: Lsn
    until: Lsn
    timeline: Timeline
    backup: str = ""
    at: datetime | None = None
    commits: int = 0
    deletes: int = 0
    """Rows."""
    drops: int = 0
    """Files that went without another coming: DROP."""
    truncates: int = 0
    """Files that were replaced: TRUNCATE, CLUSTER, VACUUM FULL, REINDEX."""
    still_open: tuple[Open, ...] = ()
    """Of the one that has not ended."""

    @property
    def figures(self) -> dict[str, float]:
        """As `holdfast.backup.verify.damage` names them."""
        return {
            "deletes": float(self.deletes),
            "drops": float(self.drops),
            "truncates": float(self.truncates),
        }


def begun_at(
    earlier: Iterable[WalCounts], line: Line, backups: Sequence[Backup], end: Lsn
) -> WalCounts | None:
    """Where counting goes on: where it ended last on this line, else at the newest backup's beginning.

    `earlier` are the counts of verifications before, the newest last; those that end behind `end`, where the
    log does, are another region's, or forged. None where there is no backup.
    """
    for counts in reversed(tuple(earlier)):
        stretch = line.stretch_of(counts.timeline)
        if stretch is None or not stretch.start <= counts.until <= min(stretch.end, end):
            continue
        if counts.backup:
            return WalCounts(counts.until, counts.until, counts.timeline)
        return counts
    newest = max(backups, key=lambda each: each.start_lsn, default=None)
    return None if newest is None else WalCounts(newest.start_lsn, newest.start_lsn, newest.timeline)


def counted_on(
    begun: WalCounts,
    line: Line,
    backups: Sequence[Backup],
    end: Lsn,
    log: Log,
    segment_bytes: int = DEFAULT_SEGMENT_BYTES,
    most: int = MOST_AT_ONCE,
) -> tuple[WalCounts, ...]:
    """Count on from `begun` up to `end`: a result for each backup that began on the way, and the rest last.

    Where the log is not whole, what is behind the next backup's beginning is counted, and nothing is said
    of the stretch with the hole. Reads at most `most` bytes, and remembers as much as transactions are open.
    """
    found: list[WalCounts] = []
    pages = Pages(segment_bytes)
    stop = Lsn(min(end, begun.until + most))
    for backup in _ahead(line, backups, begun, stop):
        ended = _counted(begun, line, backup.start_lsn, log, segment_bytes)
        # A record that ends with its page is followed by one that begins behind the next page's header.
        if pages.position(ended.until) >= pages.position(backup.start_lsn):
            found.append(replace(ended, backup=backup.id, at=backup.started_at, still_open=()))
            begun = WalCounts(
                backup.start_lsn, backup.start_lsn, backup.timeline, still_open=ended.still_open
            )
        else:
            begun = WalCounts(backup.start_lsn, backup.start_lsn, backup.timeline)
    return (*found, _counted(begun, line, stop, log, segment_bytes))


def _ahead(line: Line, backups: Sequence[Backup], begun: WalCounts, end: Lsn) -> list[Backup]:
    """The backups of a line that began in between, each place once; not the one that `begun` began with."""
    ahead = {
        each.start_lsn: each
        for each in backups
        if begun.since < each.start_lsn and begun.until <= each.start_lsn <= end and line.holds(each)
    }
    return [ahead[place] for place in sorted(ahead)]


def _counted(begun: WalCounts, line: Line, end: Lsn, log: Log, segment_bytes: int) -> WalCounts:
    """What `begun` comes to when it is counted on up to `end`, or as far as the log is whole."""
    if begun.until >= end:
        return begun
    tally = Tally(begun.until, segment_bytes, begun.still_open)
    for part in log(begun.until, end):
        tally.count(part)
        if tally.problem:
            break
    until, told = max(begun.until, tally.reached), tally.tallied
    return replace(
        begun,
        until=until,
        timeline=_timeline_at(line, until, begun.timeline),
        commits=begun.commits + told.commits,
        deletes=begun.deletes + told.deletes,
        drops=begun.drops + told.drops,
        truncates=begun.truncates + told.truncates,
        still_open=tally.still_open(MOST_OPEN_KEPT),
    )


def _timeline_at(line: Line, place: Lsn, otherwise: Timeline) -> Timeline:
    return next((each.timeline for each in line.stretches if each.start <= place <= each.end), otherwise)
