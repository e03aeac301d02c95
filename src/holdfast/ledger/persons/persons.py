"""Persons: entries have pseudonyms only, and what is known of a person stands beside the log, sealed.

    login ──HMAC under the ledger's pseudonym key──▶ pseudonym            the entry's `user`
    login, name, mail ──sealed under the person's own key──▶ row ──SHA-256──▶ the entry's `person`

A row is never changed: another name is another row. The keys are kept apart from the database and from its
backups (person_keys.py). With a person's key destroyed, entries, rows and proofs stay what they were, and
nobody reads whom they are about, whatever copy of the database they have.

Who holds the pseudonym key and guesses a login can still tell that login's pseudonym: a pseudonym hides names
from those who read the ledger, not from who runs it.
"""

import hashlib
import unicodedata
from base64 import b32encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec
from msgspec import UNSET, Struct, UnsetType

from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.vault import Vault
from holdfast.ledger.errors import LogDamaged
from holdfast.ledger.model import Word
from holdfast.ledger.persons.keys import Held, KeyRing, fresh_key

_PSEUDONYM_BYTES = 16
_PADDED_TO = 128
"""A sealed text's length tells how long a name is only in steps of so many bytes."""

_ENCODER = msgspec.json.Encoder(order="deterministic")


class Person(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A person as a source tells of them. The login says who it is, the rest is for people to read."""

    login: Word
    mail: Word | UnsetType = UNSET
    name: Word | UnsetType = UNSET


_PERSON = msgspec.json.Decoder(Person)


class Sealed(NamedTuple):
    """What an entry has of a person: the pseudonym, and the SHA-256 of the sealed row (64 digits)."""

    user: str
    digest: str


class RowKey(NamedTuple):
    """What makes a row the same one, within its tenant: the person, and a keyed hash of what was told."""

    pseudonym: str
    told: bytes


@dataclass(frozen=True, slots=True)
class PersonRow:
    """What is kept of a person in the database."""

    tenant: str
    key: RowKey
    sealed: bytes

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.sealed).digest()


class PersonRows(Protocol):
    """The rows. Nothing in them is ever changed."""

    async def digests(self, tenant: str, keys: Sequence[RowKey]) -> Mapping[RowKey, bytes]:
        """The SHA-256 of those that are there."""
        ...

    async def keep(self, rows: Sequence[PersonRow]) -> None:
        """Durable. One that is there under the same key stays as it is."""
        ...

    async def of(self, tenant: str, pseudonym: str) -> Sequence[PersonRow]:
        """A person's, oldest first."""
        ...


class Pseudonyms:
    """Gives the same person the same pseudonym, for ever, and another one for each tenant."""

    def __init__(self, vault: Vault) -> None:
        """`vault`: over the ledger's pseudonym key."""
        self._vault = vault

    def of(self, tenant: str, login: str) -> str:
        """`p-` and 26 characters. Upper and lower case, and blanks around a login, make no difference."""
        found = self._vault.fingerprint(folded(login), f"ledger pseudonym {tenant}")
        return "p-" + b32encode(found[:_PSEUDONYM_BYTES]).decode().rstrip("=").lower()

    def row_key(self, tenant: str, person: Person) -> RowKey:
        told = self._vault.fingerprint(_text_of(person), f"ledger person {tenant}")
        return RowKey(self.of(tenant, person.login), told)


@dataclass(frozen=True, slots=True)
class Shown:
    """What is known of a pseudonym. `persons` is what was told of them, oldest first, as far as it opens."""

    tenant: str
    pseudonym: str
    rows: int
    persons: tuple[Person, ...]
    erased_at: datetime | None
    """When their keys were destroyed, by the first key store that tells it."""


class PersonBook:
    """Seals what sources tell of persons, and opens it for who may read it."""

    def __init__(
        self,
        pseudonyms: Pseudonyms,
        rows: PersonRows,
        ring: KeyRing,
        *,
        vault_of: Callable[[bytes], Vault],
    ) -> None:
        """`vault_of` a person's key."""
        self.pseudonyms = pseudonyms
        self._rows = rows
        self._ring = ring
        self._vault_of = vault_of

    async def sealed(self, tenant: str, persons: Sequence[Person]) -> Mapping[Person, Sealed]:
        """What entries are to have of them. The rows are durable when it returns.

        The same told again finds the same row: a repeated record becomes the same bytes. What is told of an
        erased person is sealed under a key that nobody keeps: they stay erased, and records stay the same.
        Raises KeysAway when no key store answers.
        """
        asked = {person: self.pseudonyms.row_key(tenant, person) for person in persons}
        found = dict(await self._rows.digests(tenant, list(asked.values())))
        if missing := {person: key for person, key in asked.items() if key not in found}:
            users = sorted({key.pseudonym for key in missing.values()})
            held = await self._ring.keys(tenant, users, make=True)
            fresh = [self._row(tenant, key, person, held[key.pseudonym]) for person, key in missing.items()]
            await self._rows.keep(fresh)
            # Somebody else may have told the same at the same time: then theirs is the row.
            found |= await self._rows.digests(tenant, list(missing.values()))
        return {person: Sealed(key.pseudonym, found[key].hex()) for person, key in asked.items()}

    async def shown(self, tenant: str, pseudonym: str) -> Shown:
        """Opens all that is known of a pseudonym. Raises KeysAway; LogDamaged when a row cannot be read."""
        rows = await self._rows.of(tenant, pseudonym)
        held = (await self._ring.keys(tenant, [pseudonym], make=False))[pseudonym]
        persons = [self._opened(row, held) for row in rows]
        told = tuple(person for person in persons if person is not None)
        return Shown(tenant, pseudonym, len(rows), told, held.erased_at)

    def _row(self, tenant: str, key: RowKey, person: Person, held: Held) -> PersonRow:
        text = _text_of(person)
        text += " " * (-len(text.encode()) % _PADDED_TO)
        vault = self._vault_of(held.keys[0] if held.keys else fresh_key())
        return PersonRow(tenant, key, vault.seal(text, _purpose(tenant, key.pseudonym)))

    def _opened(self, row: PersonRow, held: Held) -> Person | None:
        """None when none of the keys opens it: it was told after they were erased, or its key is lost."""
        for key in held.keys:
            try:
                text = self._vault_of(key).open(row.sealed, _purpose(row.tenant, row.key.pseudonym))
            except HoldfastError:  # that of another one of the person's keys
                continue
            try:
                return _PERSON.decode(text)
            except msgspec.MsgspecError as error:
                raise LogDamaged(f"what is kept of {row.key.pseudonym} cannot be read: {error}") from error
        return None


def folded(login: str) -> str:
    """A login as it is compared: directories and print servers write the same one in several ways."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", login.strip()).casefold())


def _text_of(person: Person) -> str:
    return _ENCODER.encode(person).decode()


def _purpose(tenant: str, pseudonym: str) -> str:
    return f"ledger person {tenant} {pseudonym}"
