"""Which number each line of an importer has, in memory, for tests. Everything ends with the process."""

from collections.abc import Sequence

from holdfast.ledger.errors import NotThere, Unsuitable
from holdfast.ledger.intake.files import Mark
from holdfast.ledger.intake.importing import OTHER_KEY_HINT
from holdfast.ledger.sources import SourceKind, Sources


class MemoryImports:
    """Imports over dictionaries, for the sources of `sources`."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._importers: dict[tuple[str, str], tuple[int, bytes]] = {}
        self._numbers: dict[int, dict[Mark, int]] = {}

    async def importer(self, tenant: str, source: str, shown: bytes) -> int:
        found = await self._sources.source(tenant, source)
        if found is None or found.kind is not SourceKind.IMPORTER or found.revoked_at:
            raise NotThere(f"tenant {tenant!r} has no importer {source!r} that is in force")
        importer, former = self._importers.setdefault((tenant, source), (len(self._importers) + 1, shown))
        if former != shown:
            raise Unsuitable(f"{source!r} knows its lines by another pseudonym key", hint=OTHER_KEY_HINT)
        return importer

    async def numbered(self, importer: int, marks: Sequence[Mark]) -> Sequence[int]:
        known = self._numbers.setdefault(importer, {})
        return [known.setdefault(mark, len(known) + 1) for mark in marks]

    async def numbers(self, importer: int, marks: Sequence[Mark]) -> Sequence[int | None]:
        known = self._numbers.get(importer, {})
        return [known.get(mark) for mark in marks]
