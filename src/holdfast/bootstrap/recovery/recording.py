"""Recording evidence: of every run that is over, once, whoever is quicker: its own last step or this."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from holdfast import __version__
from holdfast.adapters.postgres.recovery.evidence import PostgresEvidence
from holdfast.bootstrap.recovery.evidence_keys import evidence_signer
from holdfast.bootstrap.recovery.sealing import seal_with
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.bootstrap.recovery.terms import terms_of
from holdfast.bootstrap.recovery.working import Working
from holdfast.estate.model import Estate
from holdfast.kernel.errors import HoldfastError
from holdfast.recovery.errors import NotThere
from holdfast.recovery.evidence import Evidence, Remark, clipped, entry_of, remark_id
from holdfast.recovery.evidence_ports import EvidenceLog, Kept, Seal
from holdfast.recovery.gathering import RECORDING, evidence_of, scenario_of
from holdfast.recovery.ports import Action, Fence, Found, RunStore

LOOK_EVERY_S = 5.0
AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Recorder:
    """Records evidence. Two may do so at once: each run has one."""

    log: EvidenceLog
    runs: RunStore
    estate: Estate
    seal: Callable[[], Seal]
    """Reads the key when it is first needed. Raises EvidenceRefused and SecretError."""

    async def record(self, run_id: str) -> Kept:
        """A run's evidence, the one that is there when there is one. Raises NotThere."""
        held = await self.runs.get(run_id)
        terms = terms_of(self.estate, held.run.subject, scenario_of(held.run))
        evidence = evidence_of(held.run, terms, held.now, version=__version__)
        return await self.log.append(evidence, self.seal())

    async def remark(self, about: str, who: str, text: str, at: datetime) -> Kept:
        """Somebody adds to an evidence. The same words by the same person twice are one remark."""
        kept = await self.log.get(about)
        if kept is None or not isinstance(entry_of(kept.content), Evidence):
            raise NotThere(f"there is no evidence {about!r}", hint="holdfast evidence list shows them")
        told = clipped(text)
        remark = Remark(id=remark_id(about, who, told), about=about, who=clipped(who), at=at, text=told)
        return await self.log.append(remark, self.seal())

    async def record_what_is_over(self) -> int:
        """Evidence of runs that ended without: cancelled ones, and those whose playbook says nothing of it.

        One that cannot be recorded does not keep the others back; it is told when those are done.
        """
        found, hindered = await self.log.unrecorded(AT_ONCE), None
        for run_id in found:
            try:
                await self.record(run_id)
            except HoldfastError as error:
                hindered = hindered or error
        if hindered is not None:
            raise hindered
        return len(found)


def recorder_for(around: Surroundings | Working) -> Recorder:
    """One over Holdfast's own database."""

    def seal() -> Seal:
        return seal_with(evidence_signer(around.estate, around.place.config, around.place.data_dir))

    return Recorder(PostgresEvidence(around.pool), around.runs, around.estate, seal)


async def keep_recording(working: Working) -> None:
    """A duty: until cancelled."""
    recorder = recorder_for(working)
    while True:
        if await recorder.record_what_is_over() < AT_ONCE:
            await asyncio.sleep(LOOK_EVERY_S)


@dataclass(frozen=True, slots=True)
class Recording:
    """The last step of a playbook: its evidence is in the log."""

    recorder: Recorder

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        del given
        return None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        del given
        await self.recorder.record(fence.run_id)

    async def verify(self, given: Mapping[str, str]) -> Found:
        del given
        return {}


def evidence_actions(around: Surroundings) -> Mapping[str, Action]:
    """By name."""
    return {RECORDING: Recording(recorder_for(around))}
