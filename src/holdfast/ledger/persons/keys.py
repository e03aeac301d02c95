"""The keys of persons, in several stores, each whole, all of them apart from the database and its backups.

A key is 32 random bytes, made when a person is first told of. A person is **erased** when their keys are
destroyed in every store; what stays of them there is a mark that they were, and since when. The mark wins
over any key: a store that was away, or was put back from an old copy, is erased again as soon as it is
compared with another one (`reconciled`).

A person may have several keys: two processes that first heard of them in two places at once have made one
each. All of them are tried, all of them are destroyed.
"""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from holdfast.ledger.errors import KeysAway

KEY_BYTES = 32
PATIENCE_S = 10.0
"""A store that has not answered by then is away: a folder on a network may hang for ever."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Held:
    """What is held of one person. With `erased_at` (UTC) there are no keys, and never will be."""

    keys: tuple[bytes, ...] = field(default=(), repr=False)
    erased_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Census:
    """How many a store holds. `damaged`: slots that cannot be read."""

    persons: int
    erased: int
    damaged: int


class KeyStore(Protocol):
    """One store. A person is known to it by an id that tells nothing (`person_id`).

    Every method raises KeysAway when the store cannot be reached, and then nothing is known to be done.
    """

    @property
    def name(self) -> str: ...

    async def held(self, ids: Sequence[bytes]) -> Mapping[bytes, Held]:
        """Of those that are known to it."""
        ...

    async def keep(self, keys: Sequence[tuple[bytes, bytes]]) -> None:
        """(id, key) each; durable when it returns. The key of an erased person is not kept, nor one twice."""
        ...

    async def destroy(self, erased: Mapping[bytes, datetime]) -> None:
        """The keys of these ids are gone for ever when it returns, also those that it would be given later.

        Whom it does not know is marked as well. A mark that is there keeps its time.
        """
        ...

    async def everything(self) -> Mapping[bytes, Held]: ...

    async def census(self) -> Census: ...


@dataclass(frozen=True, slots=True)
class Destroyed:
    """In which stores the keys of a person are gone, and why not in others. Done when in all."""

    gone_from: tuple[str, ...]
    away: Mapping[str, str]

    @property
    def done(self) -> bool:
        return not self.away


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What stores lacked beside each other and have now, and which could not be compared."""

    copied: int
    erased: int
    away: Mapping[str, str]


class KeyRing:
    """All stores together."""

    def __init__(self, stores: Sequence[KeyStore]) -> None:
        """In the order in which they are asked; at least one."""
        if not stores:
            raise ValueError("persons' keys need a place")
        self.stores = tuple(stores)

    async def keys(self, tenant: str, pseudonyms: Sequence[str], *, make: bool) -> Mapping[str, Held]:
        """Of each pseudonym what the stores hold together. With `make` whoever is new gets a key.

        A store that is away lacks the new key until it is compared with the others. Raises KeysAway when
        none answers.
        """
        ids = {pseudonym: person_id(tenant, pseudonym) for pseudonym in pseudonyms}
        answers, away = await self._asked([store.held(list(ids.values())) for store in self.stores])
        if not answers:
            raise _all_away(away)
        found = {
            pseudonym: merged([each[id_] for each in answers.values() if id_ in each])
            for pseudonym, id_ in ids.items()
        }
        new = {pseudonym: fresh_key() for pseudonym, held in found.items() if make and held == Held()}
        if new:
            given = [(ids[pseudonym], key) for pseudonym, key in new.items()]
            kept, away = await self._asked([store.keep(given) for store in self.stores])
            if not kept:
                raise _all_away(away)
        return found | {pseudonym: Held((key,)) for pseudonym, key in new.items()}

    async def destroy(self, tenant: str, pseudonym: str, at: datetime) -> Destroyed:
        """In every store that can be reached. Again and again, until it is done: it may be repeated."""
        id_ = person_id(tenant, pseudonym)
        gone, away = await self._asked([store.destroy({id_: at}) for store in self.stores])
        return Destroyed(tuple(gone), {name: str(error) for name, error in away.items()})

    async def reconciled(self) -> Reconciled:
        """Gives every store what it lacks beside the others: erasures first, then keys."""
        found, away = await self._asked([store.everything() for store in self.stores])
        together = {
            id_: merged([each[id_] for each in found.values() if id_ in each])
            for id_ in {id_ for each in found.values() for id_ in each}
        }
        copied = erased = 0
        for store in self.stores:
            mine = found.get(store.name)
            if mine is None:
                continue
            try:
                marks = {
                    id_: held.erased_at
                    for id_, held in together.items()
                    if held.erased_at and mine.get(id_, Held()).erased_at is None
                }
                if marks:
                    await store.destroy(marks)
                    erased += len(marks)
                keys = [
                    (id_, key)
                    for id_, held in together.items()
                    for key in held.keys
                    if key not in mine.get(id_, Held()).keys
                ]
                if keys:
                    await store.keep(keys)
                    copied += len(keys)
            except KeysAway as error:
                away[store.name] = error
        return Reconciled(copied, erased, {name: str(error) for name, error in away.items()})

    async def _asked(self, asked: Sequence[Awaitable[T]]) -> tuple[dict[str, T], dict[str, KeysAway]]:
        """All stores at once: by name what each answered, or why it did not."""
        limited = [asyncio.wait_for(each, PATIENCE_S) for each in asked]
        answers = await asyncio.gather(*limited, return_exceptions=True)
        found, away = dict[str, T](), dict[str, KeysAway]()
        for store, answer in zip(self.stores, answers, strict=True):
            if isinstance(answer, KeysAway):
                away[store.name] = answer
            elif isinstance(answer, TimeoutError):
                away[store.name] = KeysAway(f"the store of persons' keys {store.name} does not answer")
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found[store.name] = answer
        return found, away


def merged(held: Sequence[Held]) -> Held:
    """What several stores hold of one person comes to: erased in one of them is erased."""
    if erased := [each.erased_at for each in held if each.erased_at]:
        return Held((), min(erased))
    return Held(tuple(dict.fromkeys(key for each in held for key in each.keys)))


def person_id(tenant: str, pseudonym: str) -> bytes:
    """32 bytes by which key stores know a person."""
    return hashlib.sha256(f"{tenant}\0{pseudonym}".encode()).digest()


def fresh_key() -> bytes:
    return os.urandom(KEY_BYTES)


def _all_away(away: Mapping[str, KeysAway]) -> KeysAway:
    first = next(iter(away.values()))
    return KeysAway(f"no store of persons' keys answers: {first}", hint=first.hint)
