"""What somebody must look into: overdue gaps, conflicts, meters that differ, clocks that are off. Pure.

A **concern** stands for everything of one kind about one source or device of a tenant. It begins when it is
found, and is over when there is nothing of the kind any more, because it came right or was settled. Each
beginning and end is told once: to the journal, and to the operators.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from holdfast.ledger.completeness.meters import Stretch, Verdict
from holdfast.ledger.completeness.missing import ClockMarked, Missing

MOST_NAMED = 5
"""So many gaps, leaves or counters are named in a concern; all are in the lists."""

STILL_AFTER = timedelta(minutes=15)
"""A fold that stands still for so long needs somebody: reports and lists are not up to date."""


class ConcernKind(StrEnum):
    """Each is the event in the journal that tells its beginning, after `ledger.`."""

    GAP = "gap_overdue"
    CONFLICT = "conflict_found"
    METER = "meter_differs"
    CLOCK = "clock_off"
    FOLLOWER = "follower_behind"


ENDS: Mapping[ConcernKind, str] = {
    ConcernKind.GAP: "gap_closed",
    ConcernKind.CONFLICT: "conflict_settled",
    ConcernKind.METER: "meter_agrees",
    ConcernKind.CLOCK: "clock_right",
    ConcernKind.FOLLOWER: "follower_caught_up",
}
"""The event that tells its end."""


@dataclass(frozen=True, slots=True)
class Concern:
    """`subject` is a source, a device (of meters), or the fold that stands still. `since` is the oldest of
    what it stands for (UTC).
    """

    tenant: str
    kind: ConcernKind
    subject: str
    since: datetime
    facts: Mapping[str, object] = field(default_factory=dict, compare=False)
    """What a person wants to know first. It may change while the concern stands."""
    found_at: datetime | None = field(default=None, compare=False)

    @property
    def key(self) -> tuple[str, ConcernKind, str]:
        """What makes another one the same."""
        return self.tenant, self.kind, self.subject

    @property
    def begun(self) -> str:
        return f"ledger.{self.kind}"

    @property
    def ended(self) -> str:
        return f"ledger.{ENDS[self.kind]}"


@dataclass(frozen=True, slots=True)
class Clash:
    """A conflict entry, the leaf `leaf`: other bytes came at `at` under a key that was taken."""

    source: str
    epoch: int
    seq: int
    leaf: int
    at: datetime
    settled: bool = False


@dataclass(frozen=True, slots=True)
class StandsStill:
    """A fold that has not moved since, although entries are there that it has not folded."""

    fold: str
    since: datetime
    entries: int


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of one tenant at a moment."""

    tenant: str
    missing: Sequence[Missing] = ()
    clashes: Sequence[Clash] = ()
    stretches: Sequence[Stretch] = ()
    clocks: Sequence[ClockMarked] = ()
    still: Sequence[StandsStill] = ()


def overdue(missing: Iterable[Missing], now: datetime, gap_after: timedelta) -> list[Missing]:
    """What has not come for so long that it is not just late."""
    return [each for each in missing if now - each.since >= gap_after]


def amiss(stretches: Iterable[Stretch], now: datetime, gap_after: timedelta) -> list[Stretch]:
    """Stretches that differ, and that late entries had the time to put right."""
    return [each for each in stretches if each.verdict is Verdict.DIFFERS and now - each.until >= gap_after]


def concerns(found: Found, now: datetime, gap_after: timedelta) -> list[Concern]:
    """What of it somebody must look into."""
    return [
        *(
            Concern(found.tenant, ConcernKind.FOLLOWER, each.fold, each.since, {"entries": each.entries})
            for each in found.still
            if now - each.since >= STILL_AFTER
        ),
        *_gaps(found, overdue(found.missing, now, gap_after)),
        *_conflicts(found),
        *_meters(found, amiss(found.stretches, now, gap_after)),
        *(
            Concern(
                found.tenant,
                ConcernKind.CLOCK,
                each.source,
                each.since,
                {"device": each.device, "entries": each.marked, "off_s": int(each.off.total_seconds())},
            )
            for each in _worst(found.clocks)
        ),
    ]


def changed(present: Iterable[Concern], standing: Iterable[Concern]) -> tuple[list[Concern], list[Concern]]:
    """What begins and what is over."""
    now, before = {each.key: each for each in present}, {each.key: each for each in standing}
    begun = [each for key, each in now.items() if key not in before]
    over = [each for key, each in before.items() if key not in now]
    return begun, over


def _gaps(found: Found, late: Sequence[Missing]) -> Iterable[Concern]:
    by_source = defaultdict[str, list[Missing]](list)
    for each in late:
        by_source[each.source].append(each)
    for source, gaps in by_source.items():
        named = [f"{each.epoch}:{each.first}-{each.last}" for each in gaps[:MOST_NAMED]]
        facts = {"missing": sum(each.count for each in gaps), "gaps": len(gaps), "numbers": named}
        yield Concern(found.tenant, ConcernKind.GAP, source, min(each.since for each in gaps), facts)


def _conflicts(found: Found) -> Iterable[Concern]:
    by_source = defaultdict[str, list[Clash]](list)
    for each in found.clashes:
        if not each.settled:
            by_source[each.source].append(each)
    for source, clashes in by_source.items():
        facts = {"conflicts": len(clashes), "leaves": [each.leaf for each in clashes[-MOST_NAMED:]]}
        yield Concern(found.tenant, ConcernKind.CONFLICT, source, min(each.at for each in clashes), facts)


def _meters(found: Found, stretches: Sequence[Stretch]) -> Iterable[Concern]:
    by_device = defaultdict[str, list[Stretch]](list)
    for each in stretches:
        by_device[each.device].append(each)
    for device, amiss_ in by_device.items():
        worst = sorted(amiss_, key=lambda each: -abs(each.difference))[:MOST_NAMED]
        facts = {
            "stretches": len(amiss_),
            "differences": [f"{each.counter} {each.difference:+d} (read by {each.source})" for each in worst],
        }
        yield Concern(found.tenant, ConcernKind.METER, device, min(each.since for each in amiss_), facts)


def _worst(clocks: Iterable[ClockMarked]) -> Iterable[ClockMarked]:
    """Of each source whose clock is off, the device that is off the most."""
    worst = dict[str, ClockMarked]()
    for each in clocks:
        if each.is_off and (each.source not in worst or abs(each.off) > abs(worst[each.source].off)):
            worst[each.source] = each
    return worst.values()
