"""Letting go of persons with the last of their entries.

What is known of a person is a row beside the log, and serves to read their entries. Once retention has taken
all of those, the row goes too. Two rounds, a day apart, so that a record that is on its way finds its row:

    no entry is kept, all was told long ago -> leaving -> a day later still none -> forgotten

Who is told of again in between is taken out of those who leave before their row is read (persons.sql).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Candidates:
    """Persons of a tenant all of whose rows are older than any entry that is kept has to be."""

    tenant: str
    log_id: int
    size: int
    """Of the log, now."""
    pseudonyms: tuple[str, ...]


class Leavings(Protocol):
    """Where it is kept who leaves."""

    async def candidates(self) -> Sequence[Candidates]:
        """Of tenants of whom entries were pruned and on whom no legal hold stands."""
        ...

    async def leave(self, tenant: str, pseudonyms: Sequence[str]) -> None:
        """These leave, from now on if they did not before; nobody else of that tenant does."""
        ...

    async def forget(self, tenant: str, pseudonyms: Sequence[str], *, actor: str) -> int:
        """What is known of those who have been leaving for a day goes for good, with a line in the journal.

        How many persons that were. None while a legal hold stands.
        """
        ...


HasEntries = Callable[[Candidates, str], Awaitable[bool]]
"""Whether an entry of that person is kept."""


async def let_go(leavings: Leavings, has_entries: HasEntries, *, actor: str) -> int:
    """One round. How many persons were forgotten. May be repeated, and be done by two at once."""
    forgotten = 0
    for each in await leavings.candidates():
        left = [person for person in each.pseudonyms if not await has_entries(each, person)]
        await leavings.leave(each.tenant, left)
        if left:
            forgotten += await leavings.forget(each.tenant, left, actor=actor)
    return forgotten
