"""The journal: what happened and who did it, appended and never changed. It is the audit trail."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One thing that happened. `event` is a constant, dotted and in the past tense: `estate.applied`."""

    at: datetime
    actor: str
    event: str
    facts: Mapping[str, object] = field(default_factory=dict)


class Journal(Protocol):
    """Where entries are kept."""

    async def append(self, entry: JournalEntry) -> None:
        """Durably append `entry`."""
        ...
