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
from holdfast.bootstrap.ledger.witnesses import witness_at
from holdfast.bootstrap.recovery.cosigning import standing_of_witness
from holdfast.bootstrap.recovery.evidence_keys import evidence_keys, evidence_signer
from holdfast.bootstrap.recovery.recording import Recorder
from holdfast.bootstrap.recovery.sealing import (
    MOST_FILE_BYTES,
    check_log,
    checkpoint_in,
    checkpoint_over,
    continues,
    exported,
    file_continues,
    seal_with,
    shown_by,
)
from holdfast.bootstrap.recovery.terms import keeping_of, origin_of_evidence
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place
from holdfast.interfaces.cli.recovery.evidence import NO_WITNESS, LogVerified
from holdfast.interfaces.evidence_desk import Whole
from holdfast.ledger.errors import ProofRefused, WitnessAway, WitnessRefused
from holdfast.ledger.log.notes import COSIGNATURE_V1, VerifierKey
from holdfast.recovery.errors import EvidenceRefused, NotThere
from holdfast.recovery.evidence import Evidence, Remark, entry_of
from holdfast.recovery.evidence_ports import EvidenceLog, Grown, Kept

T = TypeVar("T")
MOST_TOLD = 10


class LocalEvidence:
    """EvidenceCommands on this machine."""

    def newest(
        self, place: Place, most: int, *, subject: str | None, scenario: str | None
    ) -> tuple[Sequence[Whole], Grown]:
        async def read(log: EvidenceLog, _: Estate) -> tuple[Sequence[Whole], Grown]:
            found = await log.newest(most, subject=subject, scenario=scenario)
            return [_shown(each) for each in found], await log.grown()

        return run(_with_log(place, read))

    def get(self, place: Place, which: str) -> Whole:
        async def read(log: EvidenceLog, _: Estate) -> Whole:
            return await shown_whole(log, which)

        return run(_with_log(place, read))

    def verify(self, place: Place, keys: Sequence[str], continued: Path | None) -> LogVerified:
        async def read(log: EvidenceLog, estate: Estate) -> LogVerified:
            # The other way round there might be cosigned what is not read yet.
            seen, kept = await log.cosigned(), await log.entries()
            trusted = _parsed(keys) or evidence_keys(estate, place.config, place.data_dir)
            origin = origin_of_evidence(estate)
            found = await asyncio.to_thread(check_log, kept, origin, trusted, verifies, seen)
            problems = list(found.problems)
            if continued is not None:
                try:
                    continues(kept, checkpoint_in(_content(continued)))
                except EvidenceRefused as error:
                    problems.append(f"{continued}: {error}")
            witness, differs = await _asked(estate, place, kept, seen[-1].size if seen else 0)
            problems += [f"the witness: {differs}"] if differs else []
            waiting = (await log.grown()).waiting
            return LogVerified(
                origin,
                len(kept),
                found.size,
                problems,
                found.checkpoint,
                found.cosigned,
                found.witnesses,
                witness,
                waiting.text if waiting is not None else "",
            )

        return run(_with_log(place, read))

    def verify_file(
        self, place: Place, file: Path, keys: Sequence[str], continued: Path | None
    ) -> LogVerified:
        trusted = _parsed(keys)
        if not trusted:
            trusted = evidence_keys(read_estate(place.config), place.config, place.data_dir)
        shown = shown_by(_content(file), trusted, verifies)
        problems = list[str]()
        if continued is not None:
            try:
                file_continues(shown, checkpoint_in(_content(continued)))
            except EvidenceRefused as error:
                problems.append(f"{continued}: {error}")
        if keys and shown.unseen and any(each.kind == COSIGNATURE_V1 for each in trusted):
            leaves = ", ".join(f"{leaf:,}" for leaf in shown.unseen[:MOST_TOLD])
            more = f" and {len(shown.unseen) - MOST_TOLD:,} more" if len(shown.unseen) > MOST_TOLD else ""
            problems.append(f"no witness whose key was given has cosigned leaf {leaves}{more}")
        return LogVerified(
            shown.log,
            len(shown.entries),
            shown.size,
            problems,
            shown.checkpoint,
            shown.cosigned,
            shown.witnesses,
        )

    def exported(self, place: Place, which: Sequence[str], *, pdf: bool) -> bytes:
        async def read(log: EvidenceLog, estate: Estate) -> bytes:
            grown, kept = await log.grown(), await log.entries()
            if pdf:
                from holdfast.interfaces.reports.evidence_as_pdf import evidence_as_pdf  # noqa: PLC0415

                shown = await shown_whole(log, which[0])
                note = checkpoint_for(shown.leaf, grown)
                return await evidence_as_pdf(
                    shown.evidence, shown.leaf, shown.remarks, note, datetime.now(UTC)
                )
            chosen = [await _found(log, each) for each in which]
            for each in list(chosen):
                chosen += await log.about(each.id)
            key = evidence_signer(estate, place.config, place.data_dir).key.text
            return exported(kept, chosen if which else kept, origin_of_evidence(estate), key, grown.cosigned)

        return run(_with_log(place, read))

    def key(self, place: Place) -> str:
        return evidence_signer(read_estate(place.config), place.config, place.data_dir).key.text

    def remark(self, place: Place, which: str, text: str) -> Whole:
        if not text.strip():
            raise EvidenceRefused("a remark says something")

        async def do(pool: Pool, inventory: Inventory) -> Whole:
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


def checkpoint_for(leaf: int, grown: Grown) -> str:
    """The one that tells most of an entry: a cosigned one, when the entry is in it."""
    seen = grown.cosigned
    return seen.note if seen is not None and leaf < seen.size else grown.note


async def _asked(estate: Estate, place: Place, kept: Sequence[Kept], seen: int) -> tuple[str, str]:
    """What the witness said, in words, and how it differs, if it does."""
    declared = keeping_of(estate).witness
    if declared is None:
        return NO_WITNESS, ""
    try:
        empty = None
        if not kept:
            signer = evidence_signer(estate, place.config, place.data_dir)
            empty = checkpoint_over(b"", signer.key.name).signed(signer).text
        async with witness_at(declared, place.config) as witness:
            if witness is None:
                return NO_WITNESS, ""
            differs = await standing_of_witness(witness, kept, seen, empty)
    except (WitnessAway, WitnessRefused) as error:
        return f"was not asked: {error}", ""
    return ("differs", differs) if differs else ("agrees", "")


async def shown_whole(log: EvidenceLog, which: str) -> Whole:
    """An evidence and the remarks on it. Raises NotThere."""
    kept = await _found(log, which)
    remarks = [(each.leaf, entry_of(each.content)) for each in await log.about(kept.id)]
    told = [(leaf, entry) for leaf, entry in remarks if isinstance(entry, Remark)]
    return Whole(kept.leaf, _evidence(kept), told)


async def _found(log: EvidenceLog, which: str) -> Kept:
    kept = await log.get(which)
    if kept is None or not isinstance(entry_of(kept.content), Evidence):
        raise NotThere(f"there is no evidence {which!r}", hint="holdfast evidence list shows them")
    return kept


def _shown(kept: Kept) -> Whole:
    return Whole(kept.leaf, _evidence(kept))


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
