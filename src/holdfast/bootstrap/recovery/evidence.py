"""What `holdfast evidence` does."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.recovery.evidence import PostgresEvidence
from holdfast.adapters.postgres.recovery.runs import PostgresRuns
from holdfast.adapters.signing.ed25519 import verifies
from holdfast.availability.inventory import Inventory
from holdfast.bootstrap.actors import command_line
from holdfast.bootstrap.at_work import run, with_database
from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.recovery.evidence_keys import evidence_keys, evidence_signer
from holdfast.bootstrap.recovery.recording import Recorder
from holdfast.bootstrap.recovery.sealing import (
    MOST_FILE_BYTES,
    check_log,
    checkpoint_in,
    continues,
    exported,
    seal_with,
    shown_by,
)
from holdfast.bootstrap.recovery.terms import origin_of_evidence
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place
from holdfast.interfaces.cli.recovery.evidence import EvidenceShown, LogVerified
from holdfast.ledger.errors import ProofRefused
from holdfast.ledger.log.notes import VerifierKey
from holdfast.recovery.errors import EvidenceRefused, NotThere
from holdfast.recovery.evidence import Evidence, Remark, entry_of
from holdfast.recovery.evidence_ports import EvidenceLog, Kept

T = TypeVar("T")


class LocalEvidence:
    """EvidenceCommands on this machine."""

    def newest(
        self, place: Place, most: int, *, subject: str | None, scenario: str | None
    ) -> Sequence[EvidenceShown]:
        async def read(log: EvidenceLog, _: Estate) -> Sequence[EvidenceShown]:
            return [_shown(each) for each in await log.newest(most, subject=subject, scenario=scenario)]

        return run(_with_log(place, read))

    def get(self, place: Place, which: str) -> EvidenceShown:
        async def read(log: EvidenceLog, _: Estate) -> EvidenceShown:
            return await shown_whole(log, which)

        return run(_with_log(place, read))

    def verify(self, place: Place, keys: Sequence[str], continued: Path | None) -> LogVerified:
        async def read(log: EvidenceLog, estate: Estate) -> LogVerified:
            kept = await log.entries()
            trusted = _parsed(keys) or evidence_keys(estate, place.config, place.data_dir)
            origin = origin_of_evidence(estate)
            found = await asyncio.to_thread(check_log, kept, origin, trusted, verifies)
            problems = list(found.problems)
            if continued is not None:
                try:
                    continues(kept, checkpoint_in(_content(continued)))
                except EvidenceRefused as error:
                    problems.append(f"{continued}: {error}")
            return LogVerified(origin, len(kept), found.size, problems, found.checkpoint)

        return run(_with_log(place, read))

    def verify_file(self, place: Place, file: Path, keys: Sequence[str]) -> LogVerified:
        trusted = _parsed(keys)
        if not trusted:
            trusted = evidence_keys(read_estate(place.config), place.config, place.data_dir)
        shown = shown_by(_content(file), trusted, verifies)
        return LogVerified(shown.log, len(shown.entries), shown.size, [], shown.checkpoint)

    def exported(self, place: Place, which: Sequence[str], *, pdf: bool) -> bytes:
        async def read(log: EvidenceLog, estate: Estate) -> bytes:
            if pdf:
                from holdfast.interfaces.reports.evidence_as_pdf import evidence_as_pdf  # noqa: PLC0415

                shown = await shown_whole(log, which[0])
                kept = await log.entries()
                return await evidence_as_pdf(
                    shown.evidence, shown.leaf, shown.remarks, kept[-1].note, datetime.now(UTC)
                )
            kept = await log.entries()
            chosen = [await _found(log, each) for each in which]
            for each in list(chosen):
                chosen += await log.about(each.id)
            key = evidence_signer(estate, place.config, place.data_dir).key.text
            return exported(kept, chosen if which else kept, origin_of_evidence(estate), key)

        return run(_with_log(place, read))

    def key(self, place: Place) -> str:
        return evidence_signer(read_estate(place.config), place.config, place.data_dir).key.text

    def remark(self, place: Place, which: str, text: str) -> EvidenceShown:
        if not text.strip():
            raise EvidenceRefused("a remark says something")

        async def do(pool: Pool, inventory: Inventory) -> EvidenceShown:
            estate = inventory.estate
            log = PostgresEvidence(pool)
            recorder = Recorder(
                log,
                PostgresRuns(pool),
                estate,
                lambda: seal_with(evidence_signer(estate, place.config, place.data_dir)),
            )
            about = (await _found(log, which)).id
            await recorder.remark(about, command_line(), text.strip(), datetime.now(UTC))
            return await shown_whole(log, about)

        return run(with_database(place, Role.RECOVERY, do))


async def shown_whole(log: EvidenceLog, which: str) -> EvidenceShown:
    """An evidence and the remarks on it. Raises NotThere."""
    kept = await _found(log, which)
    remarks = [(each.leaf, entry_of(each.content)) for each in await log.about(kept.id)]
    told = [(leaf, entry) for leaf, entry in remarks if isinstance(entry, Remark)]
    return EvidenceShown(kept.leaf, _evidence(kept), told)


async def _found(log: EvidenceLog, which: str) -> Kept:
    kept = await log.get(which)
    if kept is None or not isinstance(entry_of(kept.content), Evidence):
        raise NotThere(f"there is no evidence {which!r}", hint="holdfast evidence list shows them")
    return kept


def _shown(kept: Kept) -> EvidenceShown:
    return EvidenceShown(kept.leaf, _evidence(kept))


def _evidence(kept: Kept) -> Evidence:
    entry = entry_of(kept.content)
    if not isinstance(entry, Evidence):
        raise EvidenceRefused(f"leaf {kept.leaf} is no evidence")
    return entry


def _parsed(keys: Sequence[str]) -> list[VerifierKey]:
    try:
        return [VerifierKey.parsed(each) for each in keys]
    except ProofRefused as error:
        raise EvidenceRefused(f"--key: {error}", hint=error.hint) from error


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as source:
            return source.read(MOST_FILE_BYTES + 1)
    except OSError as error:
        raise EvidenceRefused(f"{file} cannot be read: {error.strerror}") from error


async def _with_log(place: Place, work: Callable[[EvidenceLog, Estate], Awaitable[T]]) -> T:
    async def do(pool: Pool, inventory: Inventory) -> T:
        return await work(PostgresEvidence(pool), inventory.estate)

    return await with_database(place, Role.RECOVERY, do)
