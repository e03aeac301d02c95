"""A server is met: who it is, what is kept of it, and from where WAL is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from holdfast.backup import layout
from holdfast.backup.errors import BackupError, SourceRefused
from holdfast.backup.lsn import Lsn, Timeline, format_lsn
from holdfast.backup.model import TimelineHistory
from holdfast.backup.ports import Region, Slot, Source, SourceIdentity
from holdfast.backup.recoverable.lines import ancestors_of
from holdfast.backup.wal import wal_gaps
from holdfast.backup.wal.health import Events
from holdfast.backup.wal.spool import Spool
from holdfast.backup.wal.wal_gaps import Decision, Held, Step

OVERLAP_BYTES = 64 * 1024
"""Asked for again at connecting, to see that the server goes on where it was."""


@dataclass(frozen=True, slots=True)
class Met:
    """What was decided, and the place to ask for: at most the decision's, so that a file has no hole."""

    decision: Decision
    slot: Slot
    start: Lsn


class Meeting:
    """Meets a database's server, as often as the connection breaks off."""

    def __init__(
        self,
        database: str,
        source: Source,
        spool: Spool,
        regions: Sequence[Region],
        slot: str,
        on_event: Events,
    ) -> None:
        self._database = database
        self._source = source
        self._spool = spool
        self._regions = regions
        self._slot_name = slot
        self._on_event = on_event

    def meet(self, gone: str) -> Met:
        """Where to go on. `gone`: why what was asked for last is not there any more; empty when it may be.

        The spool is the server's after that, and has the history of its timeline. Raises BackupError, also
        when nothing may be received from this server.
        """
        server = self._source.identify()
        ancestors = self._ancestors(server.timeline)
        held = self._held()
        # Without a slot at first: one that is left on a server that is not ours would fill its disk.
        decision = wal_gaps.decide(server, ancestors, Slot(self._slot_name, None, None), held)
        if decision.step is Step.REFUSE:
            raise SourceRefused(decision.reason, hint=decision.hint)
        slot = self._slot()
        if gone:
            decision = wal_gaps.after_gone(server, ancestors, slot, held, gone)
        else:
            decision = wal_gaps.decide(server, ancestors, slot, held)
        self._spool.adopt(server.system_id, server.segment_bytes)
        self.keep_history(server.timeline)
        self.keep_history(decision.timeline)
        return Met(decision, slot, self._start(decision, server, slot))

    def announce(self, decision: Decision) -> str:
        """Tell where it goes on. Why a backup is wanted at once; empty when it is not."""
        facts = {
            "database": self._database,
            "step": decision.step.value,
            "timeline": decision.timeline,
            "start": format_lsn(decision.start),
        }
        self._on_event("wal_stream_began", facts)
        if decision.abandoned is not None:
            span = [format_lsn(each) for each in decision.abandoned]
            self._on_event("wal_abandoned", {**facts, "from": span[0], "to": span[1]})
        if decision.missing is None:
            return ""
        span = [format_lsn(each) for each in decision.missing]
        self._on_event("wal_gap_found", {**facts, "from": span[0], "to": span[1], "why": decision.reason})
        return decision.reason

    def keep_history(self, timeline: Timeline) -> None:
        """PostgreSQL's own file of a timeline, in the spool; from there it goes into the regions."""
        if timeline > 1 and timeline not in self._spool.histories():
            try:
                self._spool.keep_history(timeline, self._source.timeline_history(timeline))
            except SourceRefused:
                # A server keeps those of timelines that it was on; the newest names all before it.
                return

    def _ancestors(self, timeline: Timeline) -> tuple[tuple[Timeline, Lsn], ...]:
        if timeline == 1:
            return ()
        # Always the server's own: another server that was promoted apart has another one of that number.
        text = self._source.timeline_history(timeline)
        known = self._spool.histories().get(timeline)
        if known is not None and known != text:
            raise SourceRefused(
                f"the server has another history of timeline {timeline} than the one that was followed",
                hint="two servers were promoted apart: the second needs a key of its own in the estate",
            )
        try:
            return ancestors_of(TimelineHistory(timeline, text))
        except ValueError as error:
            raise SourceRefused(str(error), hint="the server's pg_wal holds a damaged history") from error

    def _slot(self) -> Slot:
        """The slot, made anew when it is gone or has lost its WAL."""
        slot = self._source.slot(self._slot_name)
        facts: Mapping[str, object] = {"database": self._database, "slot": self._slot_name}
        if slot is not None and slot.restart is None:
            self._on_event("slot_lost", facts)
            self._source.drop_slot(self._slot_name)
            slot = None
        if slot is None:
            slot = self._source.make_slot(self._slot_name)
            self._on_event("slot_made", facts)
        return slot

    def _held(self) -> Held | None:
        """How far WAL is kept: in the spool, or, when that is empty, in the regions."""
        end, server = self._spool.end, self._spool.server
        system_id = None if server is None else server.system_id
        if end is not None:
            return Held(end[0], end[1], system_id)
        furthest: tuple[Timeline, Lsn] | None = None
        for region in self._regions:
            try:
                for each in region.listed(layout.wal_prefix(self._database)):
                    piece = layout.piece_of(each.key, each.size)
                    if piece is not None:
                        place = (piece.segment.timeline, piece.end_lsn)
                        furthest = place if furthest is None else max(furthest, place)
            except BackupError:
                continue  # its own thread says so; the others tell enough
        return None if furthest is None else Held(furthest[0], furthest[1], system_id)

    def _start(self, decision: Decision, server: SourceIdentity, slot: Slot) -> Lsn:
        """Where to ask for WAL: a file of the spool begins with its segment."""
        if decision.step is not Step.GO_ON:
            return decision.start
        first = decision.start - decision.start % server.segment_bytes
        if self._spool.end is not None:
            # Within the segment only: the one before may be gone from the server.
            return Lsn(max(first, decision.start - OVERLAP_BYTES))
        # The regions told how far they are: the one behind needs what the slot still has.
        if slot.restart is not None and slot.restart < first and slot.timeline == decision.timeline:
            first = slot.restart - slot.restart % server.segment_bytes
        return Lsn(first)
