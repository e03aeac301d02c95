"""Persons, their keys and erasures in memory, for tests and simulation. Everything ends with the process."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.ledger.errors import KeysAway
from holdfast.ledger.persons.erasure import Erasure
from holdfast.ledger.persons.keys import Census, Held
from holdfast.ledger.persons.leaving import Candidates
from holdfast.ledger.persons.persons import PersonRow, RowKey


class MemoryKeys:
    """KeyStore over a dictionary. `away`: it does not answer."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.away = False
        self._held: dict[bytes, Held] = {}

    async def held(self, ids: Sequence[bytes]) -> Mapping[bytes, Held]:
        self._answers()
        return {id_: self._held[id_] for id_ in ids if id_ in self._held}

    async def keep(self, keys: Sequence[tuple[bytes, bytes]]) -> None:
        self._answers()
        for id_, key in keys:
            there = self._held.get(id_, Held())
            if there.erased_at is None and key not in there.keys:
                self._held[id_] = Held((*there.keys, key))

    async def destroy(self, erased: Mapping[bytes, datetime]) -> None:
        self._answers()
        for id_, at in erased.items():
            self._held[id_] = Held((), self._held.get(id_, Held()).erased_at or at)

    async def everything(self) -> Mapping[bytes, Held]:
        self._answers()
        return dict(self._held)

    async def census(self) -> Census:
        self._answers()
        erased = sum(1 for each in self._held.values() if each.erased_at)
        return Census(len(self._held) - erased, erased, 0)

    def _answers(self) -> None:
        if self.away:
            raise KeysAway(f"the store of persons' keys {self.name} does not answer")


class MemoryPersons:
    """PersonRows over a dictionary."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._rows: dict[tuple[str, RowKey], PersonRow] = {}
        self._told_at: dict[tuple[str, RowKey], datetime] = {}
        self.leaving: dict[tuple[str, str], datetime] = {}
        """By tenant and pseudonym, since when."""

    async def digests(self, tenant: str, keys: Sequence[RowKey]) -> Mapping[RowKey, bytes]:
        for key in keys:
            self.leaving.pop((tenant, key.pseudonym), None)
        return {key: self._rows[tenant, key].digest for key in keys if (tenant, key) in self._rows}

    async def keep(self, rows: Sequence[PersonRow]) -> None:
        for row in rows:
            self._rows.setdefault((row.tenant, row.key), row)
            self._told_at.setdefault((row.tenant, row.key), self._clock.now())

    async def of(self, tenant: str, pseudonym: str) -> Sequence[PersonRow]:
        return [row for row in self._rows.values() if (row.tenant, row.key.pseudonym) == (tenant, pseudonym)]

    def last_told(self, tenant: str) -> Mapping[str, datetime]:
        """When each of its persons was last told of something new."""
        found = dict[str, datetime]()
        for (whose, key), at in sorted(self._told_at.items(), key=lambda each: each[1]):
            if whose == tenant:
                found[key.pseudonym] = at
        return found

    def drop(self, tenant: str, pseudonym: str) -> None:
        for kept in [each for each in self._rows if (each[0], each[1].pseudonym) == (tenant, pseudonym)]:
            del self._rows[kept], self._told_at[kept]


class MemoryLeavings:
    """Leavings over these persons. `pruned` by tenant: the log, its size, from when on entries are kept."""

    def __init__(self, persons: MemoryPersons, clock: Clock) -> None:
        self.journal: list[tuple[str, Mapping[str, object]]] = []
        self.held: dict[str, str] = {}
        self.pruned: dict[str, tuple[int, int, datetime]] = {}
        self._persons = persons
        self._clock = clock

    async def candidates(self) -> Sequence[Candidates]:
        found = list[Candidates]()
        for tenant, (log_id, size, kept_from) in sorted(self.pruned.items()):
            told = self._persons.last_told(tenant)
            persons = tuple(sorted(person for person, at in told.items() if at < kept_from))
            if persons and tenant not in self.held:
                found.append(Candidates(tenant, log_id, size, persons))
        return found

    async def leave(self, tenant: str, pseudonyms: Sequence[str]) -> None:
        leaving = self._persons.leaving
        for whose, person in [*leaving]:
            if whose == tenant and person not in pseudonyms:
                del leaving[whose, person]
        for person in pseudonyms:
            leaving.setdefault((tenant, person), self._clock.now())

    async def forget(self, tenant: str, pseudonyms: Sequence[str], *, actor: str) -> int:
        leaving, told = self._persons.leaving, self._persons.last_told(tenant)
        due = [
            person
            for person in pseudonyms
            if tenant in self.pruned
            and tenant not in self.held
            and person in told
            and told[person] < self.pruned[tenant][2]
            and self._clock.now() - leaving.get((tenant, person), self._clock.now()) >= timedelta(days=1)
        ]
        for person in due:
            del leaving[tenant, person]
            self._persons.drop(tenant, person)
        if due:
            facts = {"tenant": tenant, "persons": len(due), "actor": actor}
            self.journal.append(("ledger.persons_forgotten", facts))
        return len(due)


class MemoryErasures:
    """Erasures over a dictionary. `held` are the tenants on which a legal hold stands."""

    def __init__(self) -> None:
        self.journal: list[tuple[str, Mapping[str, object]]] = []
        self.held: dict[str, str] = {}
        self._erasures: dict[tuple[str, str], Erasure] = {}

    async def ask(self, erasure: Erasure) -> Erasure:
        found = self._erasures.setdefault((erasure.tenant, erasure.pseudonym), erasure)
        if found is erasure:
            self.journal.append(("ledger.erasure_asked", {"pseudonym": erasure.pseudonym}))
        return found

    async def done(self, tenant: str, pseudonym: str, at: datetime, stores: Sequence[str]) -> None:
        found = self._erasures[tenant, pseudonym]
        if found.done_at is None:
            self._erasures[tenant, pseudonym] = replace(found, done_at=at)
            self.journal.append(("ledger.person_erased", {"pseudonym": pseudonym, "stores": list(stores)}))

    async def of(self, tenant: str, pseudonym: str) -> Erasure | None:
        return self._erasures.get((tenant, pseudonym))

    async def open(self) -> Sequence[Erasure]:
        return [each for each in self._erasures.values() if each.done_at is None]

    async def all(self) -> Sequence[Erasure]:
        return list(self._erasures.values())

    async def hold_on(self, tenant: str) -> str | None:
        return self.held.get(tenant)
