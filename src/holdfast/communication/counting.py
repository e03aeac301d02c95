"""What of a maintenance leaves the counted time of agreements: claims, each as old as its announcement.

A claim is a stretch of time of some components that readers were told of at one moment. What is announced
later is a claim of its own, so that an agreement which asks for notice can judge each by itself.

Rules (property tests hold `recount` to them):
1. Claims only shrink. Time that was given back and is wanted again is a new claim, announced then.
2. Together they cover exactly the time that the maintenance takes, but for what was over when it was said.
3. No moment of a component is claimed twice.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from holdfast.communication.model import Maintenance, Stage
from holdfast.kernel.windows import Window, merged


@dataclass(frozen=True, slots=True)
class Claim:
    """Time of these components, as far as it is still claimed. `id` is the store's."""

    id: int
    window: Window
    component_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Recount:
    """What becomes of the claims. `added` are new ones, announced now; the rest is given back."""

    dropped: frozenset[int] = frozenset()
    cut: Mapping[int, Window] = field(default_factory=dict)
    withdrawn: Mapping[int, frozenset[int]] = field(default_factory=dict)
    added: Sequence[tuple[Window, frozenset[int]]] = ()


def taken(maintenance: Maintenance) -> Window | None:
    """The time that it takes: as planned, from where it really began until where it really ended, if earlier.

    None for one that did not take place. Time after the planned end is never taken without an extension.
    """
    if maintenance.stage is Stage.CANCELLED:
        return None
    start = maintenance.began_at or maintenance.window.start
    end = maintenance.window.end
    if maintenance.ended_at is not None:
        end = min(end, maintenance.ended_at)
    return Window(start, end) if start < end else None


def awaits_start(maintenance: Maintenance) -> bool:
    """Whether nothing of it counts before somebody begins it."""
    return maintenance.stage is Stage.SCHEDULED and not maintenance.starts_by_clock


def settled(maintenance: Maintenance, before: Maintenance | None, now: datetime) -> Maintenance:
    """With what has just happened no later than `now`, by the clock that announces claims."""
    began_at, ended_at = maintenance.began_at, maintenance.ended_at
    if began_at is not None and (before is None or before.began_at is None):
        # Begun by hand is begun now: by another clock the time would be claimed before it was announced.
        began_at = began_at if began_at == maintenance.window.start else now
    if ended_at is not None and (before is None or before.ended_at != ended_at):
        ended_at = min(ended_at, now)
        ended_at = ended_at if began_at is None else max(ended_at, began_at)
    return replace(maintenance, began_at=began_at, ended_at=ended_at)


def recount(
    claims: Iterable[Claim], target: Window | None, component_ids: Collection[int], now: datetime
) -> Recount:
    """How these claims come to claim `target` of these components, and nothing else."""
    dropped: set[int] = set()
    cut: dict[int, Window] = {}
    withdrawn: dict[int, frozenset[int]] = {}
    held: dict[int, list[Window]] = {each: [] for each in component_ids}
    for claim in claims:
        left = None if target is None else claim.window.clipped_to(target)
        staying = claim.component_ids.intersection(component_ids)
        if left is None or not staying:
            dropped.add(claim.id)
            continue
        if left != claim.window:
            cut[claim.id] = left
        if staying != claim.component_ids:
            withdrawn[claim.id] = claim.component_ids - staying
        for component in staying:
            held[component].append(left)
    return Recount(frozenset(dropped), cut, withdrawn, () if target is None else _added(held, target, now))


def _added(
    held: Mapping[int, Sequence[Window]], target: Window, now: datetime
) -> tuple[tuple[Window, frozenset[int]], ...]:
    """What of `target` is not held yet. What is over cannot be announced any more."""
    missing: dict[Window, set[int]] = defaultdict(set)
    for component, windows in held.items():
        for gap in _gaps(windows, target):
            if gap.end > now:
                missing[gap].add(component)
    return tuple((window, frozenset(missing[window])) for window in sorted(missing))


def _gaps(windows: Iterable[Window], target: Window) -> list[Window]:
    gaps: list[Window] = []
    start = target.start
    for window in merged(windows):
        if start < window.start:
            gaps.append(Window(start, window.start))
        start = window.end
    if start < target.end:
        gaps.append(Window(start, target.end))
    return gaps
