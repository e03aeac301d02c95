"""What clients saw of a register and of a set, and whether one true story explains it. Pure.

A register's history is linearizable (Herlihy and Wing, 1990) when each operation can be given one moment
between its beginning and its end such that, done one after the other in that order, all had the results they
had. The search is Wing's and Gong's, with Lowe's memory of configurations that were tried (2017).

An operation without an answer may have happened at any moment after it began, or never.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf


class Kind(Enum):
    READ = "read"
    WRITE = "write"
    SWAP = "swap"
    REFUSED_SWAP = "refused swap"


CHANGES = frozenset({Kind.WRITE, Kind.SWAP})


@dataclass(frozen=True, slots=True)
class Operation:
    """On a register. `value`: what was read or written. `ended` is inf without an answer."""

    kind: Kind
    value: str | None
    began: float
    ended: float = inf
    was: str | None = None
    """Of a swap: the value that was expected."""

    def applied(self, state: str | None) -> tuple[bool, str | None]:
        """Whether it can happen in that state with the result it had, and the state afterwards."""
        if self.kind is Kind.WRITE:
            return True, self.value
        if self.kind is Kind.READ:
            return state == self.value, state
        if self.kind is Kind.SWAP:
            return state == self.was, self.value
        return state != self.was, state


def linearizable(history: Iterable[Operation], first: str | None = None) -> bool:
    """Whether the history of one register that began as `first` is. No value is written twice."""
    operations = _that_matter(history)
    must = sum(1 << i for i, operation in enumerate(operations) if operation.ended < inf)
    stack: list[tuple[int, str | None]] = [(0, first)]
    tried = set(stack)
    while stack:
        done, state = stack.pop()
        if done & must == must:
            return True
        for i in _next(operations, done):
            possible, after = operations[i].applied(state)
            configuration = (done | 1 << i, after)
            if possible and configuration not in tried:
                tried.add(configuration)
                stack.append(configuration)
    return False


def _that_matter(history: Iterable[Operation]) -> list[Operation]:
    """In order of their beginning. Left out is who got no answer, and of whose change nothing was seen.

    Such a change may still be why a swap was refused that ended after it began: that one tells nothing then.
    """
    every = list(history)
    seen = {each.value for each in every if each.kind is Kind.READ and each.ended < inf}
    while more := {
        each.was
        for each in every
        if each.kind is Kind.SWAP and (each.ended < inf or each.value in seen) and each.was not in seen
    }:
        seen |= more
    unseen = [each for each in every if each.ended == inf and each.value not in seen]
    earliest = min((each.began for each in unseen if each.kind in CHANGES), default=inf)
    kept = [
        each
        for each in every
        if (each.ended < inf and not (each.kind is Kind.REFUSED_SWAP and each.ended > earliest))
        or (each.kind in CHANGES and each.value in seen)
    ]
    return sorted(kept, key=lambda each: each.began)


def _next(operations: Sequence[Operation], done: int) -> list[int]:
    """What may be next: whatever began before the first of the others ended."""
    found: list[int] = []
    earliest_end = inf
    for i, operation in enumerate(operations):
        if done >> i & 1:
            continue
        if operation.began > earliest_end:
            break
        found.append(i)
        earliest_end = min(earliest_end, operation.ended)
    return [i for i in found if operations[i].began <= earliest_end]


@dataclass(frozen=True, slots=True)
class SetJudged:
    """`lost`: acknowledged and not there. `made_up`: there, and never asked for."""

    lost: frozenset[str]
    made_up: frozenset[str]


def judge_set(asked: Iterable[str], acknowledged: Iterable[str], there: Iterable[str]) -> SetJudged:
    """What is wrong with a set at the end. Members of `asked` without an answer may be there or not."""
    members = frozenset(there)
    return SetJudged(frozenset(acknowledged) - members, members - frozenset(asked))
