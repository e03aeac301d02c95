"""What evidence needs from outside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
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
        self, most: int, *, subject: str | None = None, scenario: str | None = None
    ) -> Sequence[Kept]:
        """Evidence alone, the newest first."""
        ...

    async def last_drilled(self, subject: str, scenario: str) -> datetime | None:
        """When the last drill, or real recovery, of this ended that passed; None for never."""
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
