"""How much was deleted, dropped and emptied in a stretch of the write-ahead log. Pure.

The log knows files: a table that is dropped takes those of its indexes along, and one that is emptied, or
written anew, gets new ones. So they are counted as files.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.backup.lsn import DEFAULT_SEGMENT_BYTES, Lsn
from holdfast.backup.search.commits import CommitReader

MOST_READ = 1 << 30
"""Bytes. A longer stretch takes too long to look at every day: then nothing is known of it."""
_FIRST_USER_FILE = 16384


@dataclass(frozen=True, slots=True)
class WalCounts:
    """Of the transactions that committed behind `since`, up to the place that was reached."""

    since: Lsn
    commits: int = 0
    deletes: int = 0
    """Rows."""
    drops: int = 0
    """Files that went without another coming: DROP."""
    truncates: int = 0
    """Files that were replaced: TRUNCATE, CLUSTER, VACUUM FULL, REINDEX."""

    @property
    def figures(self) -> dict[str, float]:
        """As `holdfast.backup.verify.damage` names them."""
        return {
            "deletes": float(self.deletes),
            "drops": float(self.drops),
            "truncates": float(self.truncates),
        }


def counts_of(parts: Iterable[bytes], since: Lsn, segment_bytes: int = DEFAULT_SEGMENT_BYTES) -> WalCounts:
    """Count what the log's bytes from `since` on tell, one part behind the other."""
    reader = CommitReader(since, segment_bytes)
    commits = deletes = drops = truncates = 0
    for part in parts:
        for commit in reader.read(part):
            commits += 1
            deletes += sum(each.deleted for each in commit.changes if each.locator.number >= _FIRST_USER_FILE)
            replaced = min(len(commit.made), len(commit.dropped))
            truncates += replaced
            drops += len(commit.dropped) - replaced
    return WalCounts(since, commits, deletes, drops, truncates)
