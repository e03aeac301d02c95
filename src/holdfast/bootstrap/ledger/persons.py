"""What `holdfast ledger person` does, and what the ledger's process seals persons with."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.journal import PostgresJournal
from holdfast.adapters.postgres.ledger.persons import PostgresErasures, PostgresPersons
from holdfast.adapters.postgres.ledger.sources import PostgresSources
from holdfast.adapters.vault.aes import AesVault
from holdfast.adapters.vault.person_keys import FolderKeys
from holdfast.bootstrap.actors import command_line
from holdfast.bootstrap.at_work import run
from holdfast.bootstrap.estates import secret_of
from holdfast.bootstrap.ledger.at_hand import with_ledger
from holdfast.bootstrap.ledger.opening import Ledger
from holdfast.bootstrap.ledger.sources import tenant_of
from holdfast.estate.ledger import Ledger as DeclaredLedger
from holdfast.interfaces.cli.ledger.persons import (
    ErasureOutcome,
    PersonShown,
    StoreShown,
    StoresOutcome,
    Whom,
)
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.journal import JournalEntry
from holdfast.ledger.errors import KeysAway, NotThere, PersonsNotKept
from holdfast.ledger.persons.erasure import Eraser, Erasure
from holdfast.ledger.persons.keys import KeyRing
from holdfast.ledger.persons.persons import PersonBook, Pseudonyms, Shown

T = TypeVar("T")


def stores_of(declared: DeclaredLedger, place: Place, *, make: bool = False) -> list[FolderKeys]:
    """The stores of persons' keys, each in its folder. Only one that nobody declared is made by itself: in a
    declared folder an empty store would hide that the right one is not mounted.
    """
    if not declared.person_keys:
        return [FolderKeys(place.data_dir / "ledger" / "person-keys", make=True)]
    beside = place.config.absolute().parent
    return [FolderKeys(beside / folder, make=make) for folder in dict.fromkeys(declared.person_keys)]


def ring_of(declared: DeclaredLedger, place: Place) -> KeyRing:
    return KeyRing(stores_of(declared, place))


def book_of(ledger: Ledger, place: Place) -> PersonBook | None:
    """None where the estate has no `ledger.pseudonym_key`: nothing of persons is taken in then."""
    key = ledger.declared.pseudonym_key
    if key is None:
        return None
    return PersonBook(
        Pseudonyms(AesVault.from_text(secret_of(place.config, key))),
        PostgresPersons(ledger.pool),
        ring_of(ledger.declared, place),
        vault_of=AesVault,
    )


class LocalPersons:
    """PersonCommands on the database of a running Holdfast."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def show(self, place: Place, whom: Whom) -> PersonShown:
        async def work(ledger: Ledger, conninfo: Conninfo) -> PersonShown:
            book, user = await _found(ledger, place, whom)
            facts = {"tenant": whom.tenant, "user": user}
            entry = JournalEntry(self._clock.now(), command_line(), "ledger.person_shown", facts)
            await PostgresJournal(conninfo).append(entry)
            return await _shown(ledger, await book.shown(whom.tenant, user), with_told=True)

        return self._with(place, work)

    def preview(self, place: Place, whom: Whom) -> PersonShown:
        async def work(ledger: Ledger, conninfo: Conninfo) -> PersonShown:
            del conninfo
            book, user = await _found(ledger, place, whom)
            await self._eraser(ledger, place).refuse_on_hold(whom.tenant)
            return await _shown(ledger, await book.shown(whom.tenant, user), with_told=False)

        return self._with(place, work)

    def erase(self, place: Place, whom: Whom, reason: str) -> ErasureOutcome:
        async def work(ledger: Ledger, conninfo: Conninfo) -> ErasureOutcome:
            del conninfo
            _, user = await _found(ledger, place, whom)
            eraser = self._eraser(ledger, place)
            erased = await eraser.erase(whom.tenant, user, actor=command_line(), reason=reason)
            return ErasureOutcome(
                whom.tenant,
                user,
                erased.erasure.asked_at,
                erased.erasure.done_at,
                erased.destroyed.gone_from,
                dict(erased.destroyed.away),
            )

        return self._with(place, work)

    def erasures(self, place: Place) -> Sequence[Erasure]:
        async def work(ledger: Ledger, conninfo: Conninfo) -> Sequence[Erasure]:
            del conninfo
            return await PostgresErasures(ledger.pool).all()

        return self._with(place, work)

    def stores(self, place: Place, *, make: bool) -> StoresOutcome:
        async def work(ledger: Ledger, conninfo: Conninfo) -> StoresOutcome:
            del conninfo
            stores = stores_of(ledger.declared, place, make=make)
            reconciled = await KeyRing(stores).reconciled()
            return StoresOutcome(
                [await _store(store) for store in stores], reconciled.copied, reconciled.erased
            )

        return self._with(place, work)

    def _eraser(self, ledger: Ledger, place: Place) -> Eraser:
        return Eraser(PostgresErasures(ledger.pool), ring_of(ledger.declared, place), self._clock)

    def _with(self, place: Place, work: Callable[[Ledger, Conninfo], Awaitable[T]]) -> T:
        return run(with_ledger(place, work))


async def _found(ledger: Ledger, place: Place, whom: Whom) -> tuple[PersonBook, str]:
    """Whom it is about, by pseudonym. Raises NotThere for somebody of whom nothing was ever told."""
    await tenant_of(PostgresSources(ledger.pool), whom.tenant)
    book = book_of(ledger, place)
    if book is None:
        raise PersonsNotKept(
            "the ledger keeps nothing of persons: the estate has no `ledger.pseudonym_key`",
            hint="see docs/ledger.md, Persons",
        )
    user = whom.user or book.pseudonyms.of(whom.tenant, whom.login or "")
    if not await PostgresPersons(ledger.pool).of(whom.tenant, user):
        raise NotThere(
            f"nothing was ever told of {whom.user or repr(whom.login)} in the tenant {whom.tenant!r}",
            hint="a login is written as sources write it; a pseudonym begins with p-",
        )
    return book, user


async def _shown(ledger: Ledger, shown: Shown, *, with_told: bool) -> PersonShown:
    erasure = await PostgresErasures(ledger.pool).of(shown.tenant, shown.pseudonym)
    names = ("login", "name", "mail")
    told = [
        {name: getattr(person, name) for name in names if getattr(person, name)} for person in shown.persons
    ]
    return PersonShown(
        shown.tenant,
        shown.pseudonym,
        shown.rows,
        told if with_told else [],
        erasure.asked_at if erasure else None,
        shown.erased_at,
        erasure.done_at if erasure else None,
    )


async def _store(store: FolderKeys) -> StoreShown:
    try:
        census = await store.census()
    except KeysAway as error:
        return StoreShown(store.name, away=f"{error}; {error.hint}" if error.hint else str(error))
    return StoreShown(store.name, census.persons, census.erased, census.damaged)
