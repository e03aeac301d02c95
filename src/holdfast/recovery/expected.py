"""How long a run still takes, by how long its steps took before. Pure.

What waits for people has no time: a gate is counted, not guessed. A step that never ran is unknown, never 0:
then the remainder is "at least".
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from holdfast.recovery.model import Did, Gate, Pause, Record, Run, RunState, Step, Together

MOST_EARLIER = 20
"""Of each step, the newest: what it took a year ago says little."""
BY_HAND = "done by hand"


@dataclass(frozen=True, slots=True)
class Took:
    """What a step took before, when it went well: the attempt that ended well."""

    median: timedelta
    longest: timedelta
    runs: int


@dataclass(frozen=True, slots=True)
class Remainder:
    """What a run still takes, without its gates. `unknown`: steps that never ran before."""

    takes: timedelta
    gates: int = 0
    unknown: Sequence[str] = ()
    over: Sequence[str] = ()
    """Steps under way that have taken longer than they ever did."""

    @property
    def is_known(self) -> bool:
        return not self.unknown


def took_before(run: Run, earlier: Iterable[Run]) -> Mapping[str, Took]:
    """By step, from earlier runs of this playbook, the newest first: those on the same subject, if any."""
    same, others = defaultdict[str, list[timedelta]](list), defaultdict[str, list[timedelta]](list)
    actions = {step.name: step.action for step in run.playbook.steps()}
    for each in earlier:
        if each.id == run.id or each.playbook.name != run.playbook.name:
            continue
        into = same if each.subject == run.subject else others
        for step in each.playbook.steps():
            # One that does something else by now is another step under its name.
            if actions.get(step.name) != step.action:
                continue
            took = _took(each.records.get(step.name))
            if took is not None and len(into[step.name]) < MOST_EARLIER:
                into[step.name].append(took)
    return {name: _summed(same[name] or others[name]) for name in actions if same[name] or others[name]}


def _took(record: Record | None) -> timedelta | None:
    if record is None or record.ended is None or record.told.startswith(BY_HAND):
        return None
    # One that was undone later had been done; its times are those of the undoing.
    return max(record.ended - record.began, timedelta()) if record.did is Did.DONE else None


def _summed(lengths: Sequence[timedelta]) -> Took:
    seconds = median(each.total_seconds() for each in lengths)
    return Took(timedelta(seconds=seconds), max(lengths), len(lengths))


def remainder(run: Run, now: datetime, before: Mapping[str, Took]) -> Remainder | None:
    """What the way forward still takes at `now`; None when the run does not go forward."""
    if run.state is not RunState.RUNNING:
        return None
    takes, gates, unknown, over = timedelta(), 0, list[str](), list[str]()
    for stage in run.playbook.stages:
        if isinstance(stage, Gate):
            gates += run.did(stage.name) is not Did.DONE
        elif isinstance(stage, Pause):
            takes += _of_pause(stage, run.records.get(stage.name), now)
        else:
            steps = [stage] if isinstance(stage, Step) else stage.steps
            at_once = stage.at_once if isinstance(stage, Together) else 1
            left = list[timedelta]()
            for step in steps:
                if run.did(step.name) is Did.DONE:
                    continue
                if step.name not in before:
                    unknown.append(step.name)
                    continue
                usual, elapsed = before[step.name], _elapsed(run.records.get(step.name), now)
                left.append(max(usual.median - elapsed, timedelta()))
                if elapsed > usual.longest:
                    over.append(step.name)
            takes += _side_by_side(left, at_once)
    return Remainder(takes, gates, tuple(unknown), tuple(over))


def _of_pause(pause: Pause, record: Record | None, now: datetime) -> timedelta:
    if record is None:
        return pause.lasts
    return timedelta() if record.did is Did.DONE else max(record.began + pause.lasts - now, timedelta())


def _elapsed(record: Record | None, now: datetime) -> timedelta:
    if record is None or record.did is not Did.RUNNING:
        return timedelta()
    return max(now - record.began, timedelta())


def _side_by_side(lengths: Sequence[timedelta], at_once: int) -> timedelta:
    """How long all of them take, so many at a time, in their order."""
    busy = [timedelta()] * min(at_once, len(lengths))
    for length in lengths:
        heapq.heapreplace(busy, busy[0] + length)
    return max(busy, default=timedelta())
