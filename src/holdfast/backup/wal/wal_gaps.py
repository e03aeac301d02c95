"""Where receiving goes on when a server is met, and what is missing then. Pure.

    what is kept and what the server says          step
    nothing kept                                   BEGIN at the slot's place
    same timeline, kept up to somewhere before     GO_ON behind it
    same timeline, kept beyond the server's end    REFUSE: rewound, or a standby that lags; asked again later
    an ancestor of the server's timeline,
      kept up to before the switch                 GO_ON on the old one; the server tells when it ends
      kept up to the switch or beyond              BRANCH: the new one, from the switch's segment on
    a timeline that did not lead to the server's   BRANCH, and a new backup: it is another history
    a timeline newer than the server's             REFUSE: an old primary has come back
    another cluster's                              REFUSE
    the server no longer has it (`after_gone`)     GAP: from the slot's place on, and a new backup

What is kept of a timeline that was left stays: it is a history that can be restored by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from holdfast.backup.lsn import Lsn, Timeline, format_lsn
from holdfast.backup.ports import Slot, SourceIdentity


class Step(StrEnum):
    """What to do at connecting."""

    BEGIN = "begin"
    GO_ON = "go on"
    BRANCH = "branch"
    GAP = "gap"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Held:
    """How far WAL is kept, of which timeline and cluster; None: a listing does not tell it."""

    timeline: Timeline
    end: Lsn
    system_id: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Stream `timeline` from `start`. `missing` bytes before it are lost to us; `abandoned` are not in it."""

    step: Step
    timeline: Timeline
    start: Lsn
    reason: str = ""
    hint: str = ""
    missing: tuple[Lsn, Lsn] | None = None
    abandoned: tuple[Lsn, Lsn] | None = None

    @property
    def backup_wanted(self) -> bool:
        """Whether what was taken before cannot be rolled forward over this: an incremental is due now."""
        return self.missing is not None


def decide(
    server: SourceIdentity,
    ancestors: Sequence[tuple[Timeline, Lsn]],
    slot: Slot,
    held: Held | None,
) -> Decision:
    """The step at connecting. `ancestors` of the server's timeline: each, and where it was left."""
    if held is None:
        return _begin(server, ancestors, slot)
    if held.system_id not in (None, server.system_id):
        return _refused(
            held,
            f"the server is the cluster {server.system_id}; what is kept is WAL of {held.system_id}",
            "is the address in the estate that of the right server? A new cluster needs a new key",
        )
    if held.timeline == server.timeline:
        return _same(server, held)
    if held.timeline > server.timeline:
        return _refused(
            held,
            f"the server is on timeline {server.timeline}, and {held.timeline} was followed already",
            "an old primary has come back; let it follow the new one, or change the address in the estate",
        )
    return _older(server, ancestors, held)


def after_gone(
    server: SourceIdentity, ancestors: Sequence[tuple[Timeline, Lsn]], slot: Slot, held: Held | None, why: str
) -> Decision:
    """The server threw away what is needed. `slot` was made anew, or is where its WAL begins now."""
    begin = _begin(server, ancestors, slot)
    if held is None:
        return begin
    missing = (held.end, begin.start) if held.timeline == begin.timeline else (begin.start, begin.start)
    return Decision(
        Step.GAP,
        begin.timeline,
        begin.start,
        why,
        "an incremental backup closes the gap",
        missing=missing if missing[0] < missing[1] else (begin.start, begin.start),
    )


def _begin(server: SourceIdentity, ancestors: Sequence[tuple[Timeline, Lsn]], slot: Slot) -> Decision:
    known = {timeline for timeline, _ in ancestors} | {server.timeline}
    timeline = slot.timeline if slot.timeline in known and slot.timeline is not None else server.timeline
    start = server.flushed if slot.restart is None else slot.restart
    return Decision(Step.BEGIN, timeline, _segment_start(start, server))


def _same(server: SourceIdentity, held: Held) -> Decision:
    if held.end > server.flushed:
        return _refused(
            held,
            f"the server ends at {format_lsn(server.flushed)}, and is kept up to {format_lsn(held.end)}",
            "a standby that lags catches up; a server that was set back to an older state needs a new key",
        )
    return Decision(Step.GO_ON, held.timeline, held.end)


def _older(server: SourceIdentity, ancestors: Sequence[tuple[Timeline, Lsn]], held: Held) -> Decision:
    line = [*ancestors, (server.timeline, Lsn(1 << 64))]
    for (timeline, left), (following, _) in pairwise(line):
        if timeline != held.timeline:
            continue
        if held.end < left:
            return Decision(Step.GO_ON, held.timeline, held.end)
        return Decision(
            Step.BRANCH,
            following,
            _segment_start(left, server),
            f"timeline {following} left timeline {timeline} at {format_lsn(left)}",
            abandoned=(left, held.end) if held.end > left else None,
        )
    left = ancestors[-1][1] if ancestors else server.flushed
    start = _segment_start(left, server)
    return Decision(
        Step.BRANCH,
        server.timeline,
        start,
        f"timeline {server.timeline} does not come from timeline {held.timeline}",
        "an incremental backup begins its chain",
        missing=(start, start),
    )


def _refused(held: Held, reason: str, hint: str) -> Decision:
    return Decision(Step.REFUSE, held.timeline, held.end, reason, hint)


def _segment_start(lsn: Lsn, server: SourceIdentity) -> Lsn:
    return Lsn(lsn - lsn % server.segment_bytes)
