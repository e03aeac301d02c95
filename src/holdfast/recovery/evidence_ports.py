"""What evidence needs from outside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Protocol

from holdfast.recovery.evidence import Evidence, Remark

Seal = Callable[[bytes], str]
"""The hashes of all leaves, 32 bytes each, the new one last -> the signed checkpoint over them, as a note."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry of the log, as it is kept."""

    leaf: int
    """Its place, from 0."""
    id: str
    content: bytes
    """Canonical."""
    note: str
    """The checkpoint of the log with this leaf as its last."""
    at: datetime
    """By the store's clock."""


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A checkpoint of the log that a witness has cosigned: no more than one for each size."""

    size: int
    note: str
    """With the signatures of both."""
    at: datetime


class Why(StrEnum):
    """What keeps the newest entries from being cosigned."""

    AWAY = "witness_away"
    """The witness does not answer: it is asked again."""
    REFUSES = "witness_refuses"
    """It does not know this log, or signs with another key."""
    FORK = "fork"
    """It has seen what this log does not go on from."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why they wait, in words as well, and since when."""

    why: Why
    text: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Grown:
    """How far the log has come, and how far a witness vouches for it."""

    size: int = 0
    note: str = ""
    """The newest checkpoint; empty for a log without entries."""
    cosigned: Cosigned | None = None
    """The newest."""
    unseen_since: datetime | None = None
    """When the oldest entry was kept that is in no cosigned checkpoint; None when there is none."""
    waiting: Waiting | None = None

    @property
    def unseen(self) -> int:
        """Entries that no witness vouches for."""
        return self.size - (self.cosigned.size if self.cosigned else 0)


class EvidenceLog(Protocol):
    """The log. Nothing in it is ever changed, and every leaf has the checkpoint that was signed with it."""

    async def append(self, entry: Evidence | Remark, seal: Seal) -> Kept:
        """Keep an entry behind all others, and tell the journal of it in the same transaction.

        One whose id is there already is returned as it is there: the same recorded twice, also by two at
        once, is one entry. What `seal` raises is raised, and nothing is kept.
        """
        ...

    async def entries(self, first: int = 0, most: int = 1_000_000) -> Sequence[Kept]:
        """In order, from the leaf `first` on."""
        ...

    async def get(self, id: str) -> Kept | None:  # noqa: A002  what it is
        """None when there is none."""
        ...

    async def about(self, id: str) -> Sequence[Kept]:  # noqa: A002
        """The remarks on an evidence, in order."""
        ...

    async def newest(
        self,
        most: int,
        *,
        subject: str | None = None,
        scenario: str | None = None,
        before: int | None = None,
    ) -> Sequence[Kept]:
        """Evidence alone, the newest first; with `before` of leaves below that one."""
        ...

    async def last_drilled(self, subject: str, scenario: str) -> datetime | None:
        """When the last drill, or real recovery, of this ended that passed; None for never."""
        ...

    async def grown(self) -> Grown:
        """As of one moment."""
        ...

    async def hashes(self) -> bytes:
        """Of all leaves, 32 bytes each."""
        ...

    async def cosigned(self) -> Sequence[Cosigned]:
        """All cosigned checkpoints, in order."""
        ...

    async def keep_cosigned(self, size: int, note: str) -> None:
        """Keep what a witness has cosigned; nothing is waited for then. One of that size stays as it is."""
        ...

    async def keep_waiting(self, why: Why, text: str) -> None:
        """Tell why the newest entries are not cosigned, until they are. The same again changes nothing."""
        ...

    async def unrecorded(self, most: int) -> Sequence[str]:
        """Ids of runs that are over and have no evidence yet, the oldest first."""
        ...


def leaf_hash(content: bytes) -> bytes:
    """Of an entry. Source: RFC 6962, section 2.1."""
    return sha256(b"\x00" + content).digest()


def journalled(entry: Evidence | Remark, leaf: int) -> tuple[str, str, Mapping[str, object]]:
    """What the journal keeps of an entry: who, what, and its facts."""
    if isinstance(entry, Remark):
        return entry.who, "evidence.remarked", {"leaf": leaf, "evidence": entry.about, "remark": entry.id}
    return (
        "recovery",
        "evidence.recorded",
        {
            "leaf": leaf,
            "evidence": entry.id,
            "run": entry.run,
            "scenario": entry.scenario,
            "subject": entry.subject,
            "drill": entry.drill,
            "passed": entry.passed,
        },
    )


class ToldOnce(Protocol):
    """What was told to people, so that of several processes one tells it, once."""

    async def first(self, key: str, event: str, facts: Mapping[str, object]) -> bool:
        """Whether nobody has told it yet; then it counts as told, and the journal has it."""
        ...
