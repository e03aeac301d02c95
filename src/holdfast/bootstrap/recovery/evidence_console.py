"""Evidence and drills as the console and the API show them, over Holdfast's own database."""

import asyncio
from collections.abc import Callable, Sequence

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.recovery.evidence import PostgresEvidence
from holdfast.bootstrap.recovery.evidence import checkpoint_for, shown_whole
from holdfast.bootstrap.recovery.forecasting import shown_drills
from holdfast.bootstrap.recovery.sealing import exported
from holdfast.bootstrap.recovery.terms import origin_of_evidence
from holdfast.estate.model import Estate
from holdfast.interfaces.console.evidence_pages import EvidencePages
from holdfast.interfaces.evidence_desk import DrillShown, EvidenceDesk, Whole
from holdfast.interfaces.reports.evidence_as_pdf import evidence_as_pdf
from holdfast.kernel.clock import Clock
from holdfast.recovery.evidence import Evidence, entry_of
from holdfast.recovery.evidence_ports import EvidenceLog, Grown


def evidence_desk(pool: Pool, clock: Clock, estate: Callable[[], Estate]) -> EvidenceDesk:
    """Of the estate in force then. The key that signs is not read: it only shows."""
    return LogDesk(PostgresEvidence(pool), clock, estate)


def pages_over(log: EvidenceLog, clock: Clock, estate: Callable[[], Estate]) -> EvidencePages:
    """Over any log."""
    return EvidencePages(LogDesk(log, clock, estate))


class LogDesk:
    """EvidenceDesk over a log."""

    def __init__(self, log: EvidenceLog, clock: Clock, estate: Callable[[], Estate]) -> None:
        self._log = log
        self._clock = clock
        self._estate = estate

    async def newest(
        self,
        most: int,
        *,
        subject: str | None = None,
        scenario: str | None = None,
        before: int | None = None,
    ) -> Sequence[tuple[int, Evidence]]:
        found = await self._log.newest(most, subject=subject, scenario=scenario, before=before)
        entries = [(each.leaf, entry_of(each.content)) for each in found]
        return [(leaf, entry) for leaf, entry in entries if isinstance(entry, Evidence)]

    async def whole(self, which: str) -> Whole:
        return await shown_whole(self._log, which)

    async def grown(self) -> Grown:
        return await self._log.grown()

    async def exported(self, which: str, type_: str) -> bytes:
        shown, grown = await shown_whole(self._log, which), await self._log.grown()
        if type_ == "pdf":
            note, at = checkpoint_for(shown.leaf, grown), self._clock.now()
            return await evidence_as_pdf(shown.evidence, shown.leaf, shown.remarks, note, at)
        kept = await self._log.entries()
        chosen = [kept[shown.leaf], *(kept[leaf] for leaf, _ in shown.remarks)]
        # The verifier keys come from the operator and the witness by another way: holdfast evidence key.
        return await asyncio.to_thread(exported, kept, chosen, self._origin, "", grown.cosigned)

    async def exported_log(self) -> bytes:
        grown, kept = await self._log.grown(), await self._log.entries()
        return await asyncio.to_thread(exported, kept, kept, self._origin, "", grown.cosigned)

    async def drills(self) -> Sequence[DrillShown]:
        return await shown_drills(self._log, self._estate(), self._clock.now())

    @property
    def _origin(self) -> str:
        return origin_of_evidence(self._estate())
