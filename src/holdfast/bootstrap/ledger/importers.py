"""What there is to take an importer's records in with, for a command."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from holdfast.adapters.postgres.ledger.imports import PostgresImports
from holdfast.adapters.postgres.ledger.regions import PostgresOneRegion
from holdfast.adapters.vault.aes import AesVault
from holdfast.bootstrap.estates import secret_of
from holdfast.bootstrap.ledger.opening import Ledger
from holdfast.bootstrap.ledger.persons import book_of
from holdfast.bootstrap.ledger.regions import gate_of, second_of
from holdfast.interfaces.cli.ports import Place
from holdfast.ledger.append.acknowledging import Gate
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.intake.files import shown_of
from holdfast.ledger.intake.importing import Importer
from holdfast.ledger.intake.reading import Sender
from holdfast.ledger.model import Reach
from holdfast.ledger.persons.persons import PersonBook
from holdfast.ledger.sources import Source, Tenant


@dataclass(frozen=True)
class Importing:
    """An opened ledger, with a sequencer of its own and the gate that its records pass."""

    ledger: Ledger
    sequencer: Sequencer
    gate: Gate
    book: PersonBook | None
    """None: the estate has no `ledger.pseudonym_key`."""
    vault: AesVault | None
    """Over that key."""

    def mark_key(self, tenant: Tenant) -> bytes:
        """What marks are made with. Without a pseudonym key they are plain hashes."""
        return self.vault.fingerprint("marks", f"ledger import {tenant.key}") if self.vault else b""

    async def importer_for(self, tenant: Tenant, source: Source) -> Importer:
        """Raises NotThere for a source that is no importer in force, Unsuitable under another key."""
        imports = PostgresImports(self.ledger.pool)
        return Importer(
            Sender(tenant.key, source.key),
            await imports.importer(tenant.key, source.key, shown_of(self.mark_key(tenant))),
            imports,
            self.ledger.logs,
            self.sequencer,
            passed=self.passed,
            seals=None if self.book is None else partial(self.book.sealed, tenant.key),
        )

    async def passed(self, log_id: int, leaves: Sequence[int], lsn: int) -> Reach:
        """As the serving process does it: what is acknowledged in one region is marked before."""
        reach = await self.gate.passed(lsn)
        if reach is Reach.ONE_REGION and self.gate.second is not None:
            marks = PostgresOneRegion(self.ledger.pool)
            await marks.mark(log_id, min(leaves), max(leaves) + 1, lsn)
        return reach


@asynccontextmanager
async def opened_importing(ledger: Ledger, place: Place) -> AsyncIterator[Importing]:
    async with AsyncExitStack() as stack:
        second = second_of(ledger.declared, ledger.pool)
        if second is not None:
            stack.push_async_callback(second.aclose)
        gate = gate_of(ledger, second, _unheard)
        stack.push_async_callback(gate.aclose)
        key = ledger.declared.pseudonym_key
        yield Importing(
            ledger,
            Sequencer(ledger.logs, ledger.packs, origin_of=ledger.origin_of, signer_for=ledger.signer_for),
            gate,
            book_of(ledger, place),
            None if key is None else AesVault.from_text(secret_of(place.config, key)),
        )


def _unheard(event: str, facts: object) -> None:
    """The serving process tells of the second region; a command says where its own records are."""
