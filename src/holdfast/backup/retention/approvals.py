"""Cutting retention takes two people and a delay: whoever holds one login cannot let the copies expire.

Widening takes effect at once. A narrower Keep in the estate opens a change; when two people approved it and
`DELAY` has passed since the second one did, it takes effect. Until then what was kept is kept. It is
withdrawn when the estate asks for it no longer, or for something else. A region that is new, or has a new
name, begins with the widest Keep of the database's others. Pure, but for the desk at the end.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import reduce
from typing import Protocol

from holdfast.backup.errors import BackupError
from holdfast.backup.retention.keeping import keep_document, keep_of, narrows, widest
from holdfast.estate.backup import Keep
from holdfast.kernel.errors import Remedy
from holdfast.kernel.people import person_of

PEOPLE = 2
DELAY = timedelta(hours=24)


class NotApproved(BackupError):  # noqa: N818  a state of affairs more than an error
    """There is nothing to approve, or not by this person."""

    remedy = Remedy.NEEDS_OPERATOR


@dataclass(frozen=True, slots=True)
class Approval:
    """A person approved at a moment, by the database's clock."""

    who: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """A narrower Keep that the estate asks for."""

    id: int
    to: Keep
    asked_at: datetime
    approvals: tuple[Approval, ...] = ()

    @property
    def effective_at(self) -> datetime | None:
        """When it takes effect; None while people are missing."""
        first: dict[str, datetime] = {}
        for each in sorted(self.approvals, key=lambda each: each.at):
            first.setdefault(person_of(each.who), each.at)
        if len(first) < PEOPLE:
            return None
        return sorted(first.values())[PEOPLE - 1] + DELAY


@dataclass(frozen=True, slots=True)
class InForce:
    """What is kept of a database in a region, with the change that is open; `now` is the database's clock."""

    database: str
    region: str
    keep: Keep | None
    """None when nothing was ever kept there."""
    now: datetime
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """What is to be written: the Keep in force from now on, and what becomes of changes."""

    keep: Keep
    done: int | None = None
    """The change that takes effect."""
    withdrawn: int | None = None
    asked: Keep | None = None
    """A change to open."""


def settled(known: InForce, declared: Keep, elsewhere: Sequence[Keep] = ()) -> Settled:
    """What follows from what the estate declares now. Applied again it comes to the same.

    `elsewhere` is what was in force in the database's other regions before this one was declared: it begins
    with the widest of them, for it may be one of them under another name.
    """
    change = known.change
    # As it is stored: what differs by less than that is the same.
    declared = keep_of(keep_document(declared))
    if known.keep is None:
        begins = reduce(widest, elsewhere, declared)
        asked = declared if begins != declared else None
        return Settled(begins, withdrawn=change.id if change else None, asked=asked)
    if not narrows(declared, known.keep):
        return Settled(declared, withdrawn=change.id if change else None)
    if change is not None and change.to == declared:
        effective_at = change.effective_at
        if effective_at is not None and known.now >= effective_at:
            return Settled(declared, done=change.id)
        return Settled(widest(known.keep, declared))
    return Settled(widest(known.keep, declared), withdrawn=change.id if change else None, asked=declared)


def refusal(known: InForce, who: str) -> str:
    """Why this person's approval would change nothing; empty when it counts."""
    if known.change is None:
        return f"nothing is asked for {known.database} in {known.region}: the estate narrows nothing"
    if any(person_of(each.who) == person_of(who) for each in known.change.approvals):
        return f"{person_of(who)} approved it already: it takes another person"
    return ""


def settling(before: InForce, decided: Settled) -> Iterator[tuple[str, dict[str, object]]]:
    """The events and facts that the journal keeps of what was decided."""
    facts: dict[str, object] = {"database": before.database, "region": before.region}
    if decided.withdrawn is not None:
        yield "backup.retention_change_withdrawn", {**facts, "change": decided.withdrawn}
    if decided.asked is not None:
        yield "backup.retention_change_asked", {**facts, "to": keep_document(decided.asked)}
    if before.keep is None or keep_document(before.keep) != keep_document(decided.keep):
        event = "backup.retention_cut" if decided.done is not None else "backup.retention_widened"
        yield event, {**facts, "keep": keep_document(decided.keep), "change": decided.done}


def approving(known: InForce) -> tuple[str, dict[str, object]]:
    """The event and the facts that the journal keeps of an approval. `known` is as it is behind it."""
    change = known.change
    return "backup.retention_approved", {
        "database": known.database,
        "region": known.region,
        "change": change.id if change else None,
        "to": keep_document(change.to) if change else None,
        "people": [each.who for each in change.approvals] if change else [],
    }


class KeepingStore(Protocol):
    """Where Keeps in force and their changes are. Its clock is the database's; each step is journalled."""

    async def in_force(self, database: str) -> Sequence[InForce]:
        """What is known of a database's regions, sorted by region."""
        ...

    async def settle(
        self, database: str, region: str, decide: Callable[[InForce], Settled]
    ) -> tuple[InForce, Settled]:
        """Write what is decided on what is known, as one step that nobody comes between.

        Returns what is known then, and what was decided.
        """
        ...

    async def approve(
        self, database: str, region: str, change: int, who: str, refused: Callable[[InForce], str]
    ) -> InForce:
        """Add a person's approval to that change, as one step.

        Raises NotApproved when it is refused, or open no more.
        """
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """What is in force in a region and what the estate declares, for people."""

    region: str
    in_force: Keep | None
    declared: Keep | None
    """None when the estate keeps no copy there any more."""
    change: Change | None = None
    people: int = field(default=PEOPLE)


class RetentionDesk:
    """What is in force and what is declared, and the two people between them."""

    def __init__(self, store: KeepingStore) -> None:
        self._store = store

    async def keeps(self, database: str, declared: Mapping[str, Keep]) -> Mapping[str, Keep]:
        """By region, the Keep to expire by, after the estate's were taken into account. Ask it each time."""
        elsewhere = [each.keep for each in await self._store.in_force(database) if each.keep is not None]
        return {
            region: await self.in_force(database, region, keep, elsewhere)
            for region, keep in declared.items()
        }

    async def in_force(
        self, database: str, region: str, declared: Keep, elsewhere: Sequence[Keep] = ()
    ) -> Keep:
        """The same of one region; see `settled`."""
        known, _ = await self._store.settle(
            database, region, lambda before: settled(before, declared, elsewhere)
        )
        return known.keep or declared

    async def standing(self, database: str, declared: dict[str, Keep]) -> Sequence[Standing]:
        """Both for each region. Settles first, so that a narrower Keep is a change that can be approved."""
        await self.keeps(database, declared)
        known = {each.region: each for each in await self._store.in_force(database)}
        return [
            Standing(region, known[region].keep, declared.get(region), known[region].change)
            for region in sorted(known)
        ]

    async def approve(self, database: str, region: str, who: str, *, shown: int | None = None) -> InForce:
        """Approve what is asked for. `shown` is the change that the person saw: another is refused.

        Raises NotApproved.
        """
        known = next((each for each in await self._store.in_force(database) if each.region == region), None)
        if known is None or known.change is None:
            raise NotApproved(
                f"nothing is asked for {database} in {region}",
                hint="a change is asked for by narrowing `keep` in the estate file",
            )
        change = known.change.id if shown is None else shown
        return await self._store.approve(database, region, change, who, lambda known: refusal(known, who))
