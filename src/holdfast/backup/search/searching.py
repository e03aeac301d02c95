"""Finds the last good point: the commit at which a check was true, and the next one, at which it was not.

Two warm standbys replay the same log, released commit by commit. The leader is asked in even steps; the
follower stays at the last step where the answer was still the same. When the answer changes, the follower
goes through that step commit by commit. Both only ever go forward, so that the log is replayed once by each.
"""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Protocol

from holdfast.backup.errors import NotFit
from holdfast.backup.lsn import Lsn, format_lsn
from holdfast.backup.ports import Progress
from holdfast.backup.recoverable.lines import ENDLESS
from holdfast.backup.search.commits import Commit
from holdfast.backup.search.statements import Relations, TableChange, Watch, kind_of, relevant, rows_of

STEPS = 200
TRIES, TRIED_FOR_S = 20, 1.0
"""So often, or for so long, the check is tried to know how long it takes."""
MOVING_ON_S = 0.002
"""What it takes to replay one commit and see it, beside the check."""
ASKING = "asking"
"""The phase of which progress is told in commits."""


class Verdict(StrEnum):
    """What a check said. It is good when it returned exactly one row with one value, true."""

    GOOD = "good"
    BAD = "bad"
    ERROR = "error"
    """It could not be run: a table is not there, or it took too long."""
    BLOCKED = "blocked"
    """A transaction that had not ended held a table alone: nobody could have asked then."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict, and what was said: an error's text, or what came instead of true."""

    verdict: Verdict
    text: str = ""

    @property
    def is_good(self) -> bool:
        return self.verdict is Verdict.GOOD


@dataclass(frozen=True, slots=True)
class Question:
    """The check: SQL that returns one row with one value, true, while all is well; and in which database."""

    sql: str
    dbname: str
    timeout_s: float = 60.0


class Standby(Protocol):
    """A warm copy that replays what is released to it, and nothing more. Raises RestoreFailed."""

    def release(self, lsn: Lsn) -> None:
        """Let it replay everything before `lsn`, and do not wait."""
        ...

    def reach(self, lsn: Lsn) -> None:
        """Release, and wait until it is replayed."""
        ...

    def check(self) -> Answer:
        """Run the check where it stands."""
        ...

    def reads(self) -> frozenset[int] | None:
        """Oids of the relations that the last check read; None when it could not be run."""
        ...

    def watch(self, oids: frozenset[int] | None) -> Watch:
        """Which files those relations are in now, with their partitions and TOAST tables."""
        ...

    def relations(self) -> Relations: ...

    def named(self, tables: Sequence[str]) -> frozenset[int]:
        """Oids of the relations of these names. Raises NotFit for a name that there is none of."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """A commit for people: what the log and the catalog tell of it."""

    commit: Commit
    kind: str
    tables: tuple[TableChange, ...]
    answer: Answer
    """What the check said once it had committed."""


@dataclass(frozen=True, slots=True)
class Flip:
    """The answer changed with the commit `after`. `before` is None when that is where the search began.

    `unasked` commits lie between the two, at which the check was blocked.
    """

    before: Found | None
    after: Found
    was: Answer
    unasked: int = 0

    @property
    def to_worse(self) -> bool:
        return self.was.is_good and not self.after.answer.is_good


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search found. `flips` are all that were found, in their order.

    Two that lie between the same two steps, and undo each other, are not seen: among `passed_over`.
    """

    began: Lsn
    first: Answer
    """Where the search began."""
    last: Answer
    """Where it ended."""
    flips: tuple[Flip, ...]
    candidates: int
    """Commits that could change the answer."""
    asked: int
    """How often the check ran."""
    passed_over: int = 0
    """Candidates that nobody asked at: between two steps with the same answer, or while it was blocked."""

    @property
    def turn(self) -> Flip | None:
        """The newest change from good to not good: the last good commit and the first bad one."""
        return next((each for each in reversed(self.flips) if each.to_worse), None)


class Search:
    """One search over a stretch of log that both standbys can replay."""

    def __init__(
        self,
        leader: Standby,
        follower: Standby,
        commits: Callable[[], Iterable[Commit]],
        progress: Progress,
        monotonic: Callable[[], float],
        *,
        steps: int | None = STEPS,
    ) -> None:
        """`commits` reads the log anew each time: from before the beginning up to the end of the stretch.

        `steps` None: each candidate is a step, and nothing is passed over.
        """
        self._leader = leader
        self._follower = follower
        self._commits = commits
        self._progress = progress
        self._monotonic = monotonic
        self._steps = None if steps is None else max(1, steps)
        self._asked = 0
        self._passed_over = 0
        self._flips: list[Flip] = []

    def run(self, began: Lsn, names: Sequence[str] = ()) -> Outcome:
        """Search behind `began`. `names` are the tables that count; by default those that the check reads."""
        self._leader.reach(began)
        self._follower.release(began)
        first = self._ask(self._leader)
        tables = self._leader.named(names) if names else None
        reads = tables if tables is not None else self._leader.reads()
        watch = self._leader.watch(reads)
        candidates = relevant(self._commits(), watch, began)
        counted = len(candidates)
        self._progress.note(f"{counted} commits may change the answer{self._expected(counted)}")
        self._progress.begin(ASKING, counted)
        known: tuple[Commit, Answer] | None = None
        agreed, answer = began, first
        waiting = deque(even_steps(candidates, self._steps))
        while waiting:
            commit = waiting.popleft()
            self._leader.reach(commit.end)
            said = self._ask(self._leader)
            if said.verdict is Verdict.BLOCKED:
                continue
            within = _between(candidates, agreed, commit.end)
            if said.verdict is answer.verdict:
                self._follower.release(commit.end)
                self._passed_over += len(within) - 1
            elif self._closely(agreed, known, answer, within) is not said.verdict:
                raise NotFit(
                    f"the check does not say the same twice at {format_lsn(commit.end)}",
                    hint="let it depend on the data alone, and not on the time of day or on chance",
                )
            self._progress.advance(len(within))
            agreed, known, answer = commit.end, (commit, said), said
            now = self._leader.reads() if tables is None else None
            if reads is not None and now is not None and not now <= reads:
                # The check reads what it did not read before: from here on more commits count.
                reads |= now
                candidates = relevant(self._commits(), self._leader.watch(reads), agreed)
                waiting = deque(even_steps(candidates, self._steps and max(1, len(waiting))))
        # At the last ones nobody could ask.
        self._passed_over += len(_between(candidates, agreed, ENDLESS))
        return Outcome(began, first, answer, tuple(self._flips), counted, self._asked, self._passed_over)

    def _expected(self, count: int) -> str:
        """How long it takes to ask at each of them, by how long the check takes now; else nothing."""
        if self._steps is not None:
            return ""
        # The quickest of some: the first ones find nothing in memory, and others may keep the machine busy.
        took_s, spent_s, tried = math.inf, 0.0, 0
        while tried < TRIES and spent_s < TRIED_FOR_S:
            this_s = self._took_s()
            took_s, spent_s, tried = min(took_s, this_s), spent_s + this_s, tried + 1
        about = timedelta(seconds=max(1, round(count * (took_s + MOVING_ON_S))))
        return f"; it is asked at each, which takes about {about} (h:mm:ss), more if the check slows down"

    def _took_s(self) -> float:
        began = self._monotonic()
        self._ask(self._leader)
        return self._monotonic() - began

    def _closely(
        self, agreed: Lsn, before: tuple[Commit, Answer] | None, answer: Answer, within: Sequence[Commit]
    ) -> Verdict:
        """Commit by commit, from where both still agreed. What was said at the end of it."""
        self._follower.reach(agreed)
        relations = self._follower.relations()
        unasked = 0
        for commit in within:
            self._follower.reach(commit.end)
            said = self._ask(self._follower)
            if said.verdict is Verdict.BLOCKED:
                unasked += 1
                continue
            if said.verdict is not answer.verdict:
                # Names from before come last: of what the commit dropped there is no other.
                relations = {**self._follower.relations(), **relations}
                good = self._found(before[0], before[1], relations) if before else None
                self._flips.append(Flip(good, self._found(commit, said, relations), answer, unasked))
            before, answer, unasked = (commit, said), said, 0
        return answer.verdict

    def _found(self, commit: Commit, answer: Answer, relations: Relations) -> Found:
        database = self._follower.watch(frozenset()).database
        return Found(
            commit, kind_of(commit, database, relations), rows_of(commit, database, relations), answer
        )

    def _ask(self, standby: Standby) -> Answer:
        self._asked += 1
        return standby.check()


def _between(candidates: Sequence[Commit], after: Lsn, until: Lsn) -> Sequence[Commit]:
    """Those that end behind `after`, up to `until`. They are sorted by their end, as the log is."""
    first = bisect_right(candidates, after, key=attrgetter("end"))
    return candidates[first : bisect_right(candidates, until, first, key=attrgetter("end"))]


def even_steps(candidates: Sequence[Commit], steps: int | None) -> list[Commit]:
    """At most so many of the candidates, evenly, and the last one always. None: all of them."""
    count = len(candidates)
    steps = count if steps is None else min(steps, count)
    return [candidates[(number + 1) * count // steps - 1] for number in range(steps)]
