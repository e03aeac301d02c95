"""What the console and the API need of recovery."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from holdfast.identity.errors import NotAllowed
from holdfast.identity.model import NEEDS, Actor, Right
from holdfast.recovery.model import Playbook, Run
from holdfast.recovery.runbook import Facts, hands_for
from holdfast.recovery.service import Recovery
from holdfast.recovery.shelf import Shelf
from holdfast.recovery.views import RunView, view_of

EARLIER_RUNS = 200
"""So many of the newest are looked at, for how long steps took."""
EARLIER_FOR_S = 10.0


class EarlierRuns:
    """The newest runs, read anew now and then: pages ask each second, and only how long steps took before."""

    def __init__(self) -> None:
        self._runs: Sequence[Run] = ()
        self._read_at = -EARLIER_FOR_S

    async def of(self, recovery: Recovery) -> Sequence[Run]:
        now = time.monotonic()
        if now - self._read_at >= EARLIER_FOR_S:
            self._runs, self._read_at = await recovery.newest(EARLIER_RUNS), now
        return self._runs


@dataclass(frozen=True, slots=True)
class RecoveryDesk:
    """Runs and playbooks. `shelf` and `subjects` (names by key) are asked anew each time.

    `check_start` raises what keeps a playbook from being started on a subject; `runbook` writes a playbook
    for people, filled in for a subject, with the `facts` that are known of it.
    """

    recovery: Recovery
    shelf: Callable[[], Shelf]
    subjects: Callable[[], Mapping[str, str]]
    check_start: Callable[[Playbook, str], None]
    runbook: Callable[[str, str], str]
    facts: Callable[[str], Facts] = Facts
    recoverable: Callable[[], Mapping[str, str]] = dict
    """Databases whose data can be put back, names by key."""
    earlier: EarlierRuns = field(default_factory=EarlierRuns)

    async def view(self, run_id: str) -> RunView:
        """A run as it stands. Raises NotThere."""
        held = await self.recovery.get(run_id)
        view = view_of(held.run, held.now, await self.earlier.of(self.recovery))
        return replace(view, by_hand=hands_for(held.run, self.facts(held.run.subject)))

    async def newest(
        self, most: int, before: str | None = None, *, over: bool | None = None
    ) -> list[RunView]:
        """The newest first: those that began before that run; all, or those that are over, or are not."""
        newest = await self.recovery.newest(most, before, over=over)
        if not newest:
            return []
        now, earlier = (await self.recovery.get(newest[0].id)).now, await self.earlier.of(self.recovery)
        return [view_of(each, now, earlier) for each in newest]


def right_for(playbook: Playbook) -> Right:
    """What it takes to start, cancel and resume it: to operate, or to command where traffic moves.

    A gate is approved by the roles that it names, and by nobody else: that is the run's own rule.
    """
    return Right.COMMAND if playbook.moves_traffic else Right.OPERATE


def may_work_with(actor: Actor, playbook: Playbook) -> bool:
    """Whether somebody may start, cancel and resume its runs, before the playbook says more."""
    return actor.may(right_for(playbook))


def check_may_work(actor: Actor, playbook: Playbook) -> None:
    """Raises NotAllowed."""
    if not may_work_with(actor, playbook):
        raise NotAllowed(f"this needs the role {NEEDS[right_for(playbook)].label}")
