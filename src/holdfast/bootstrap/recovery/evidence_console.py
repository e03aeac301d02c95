"""The console's pages of evidence, over Holdfast's own database."""

from collections.abc import Callable, Sequence

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.recovery.evidence import PostgresEvidence
from holdfast.bootstrap.recovery.evidence import shown_whole
from holdfast.bootstrap.recovery.sealing import exported
from holdfast.bootstrap.recovery.terms import origin_of_evidence
from holdfast.estate.model import Estate
from holdfast.interfaces.console.evidence_pages import EvidencePages, Whole
from holdfast.interfaces.reports.evidence_as_pdf import evidence_as_pdf
from holdfast.kernel.clock import Clock
from holdfast.recovery.evidence import Evidence, entry_of
from holdfast.recovery.evidence_ports import EvidenceLog


def evidence_pages(pool: Pool, clock: Clock, estate: Callable[[], Estate]) -> EvidencePages:
    """Of the estate in force then. The key that signs is not read: the console only shows."""
    return pages_over(PostgresEvidence(pool), clock, estate)


def pages_over(log: EvidenceLog, clock: Clock, estate: Callable[[], Estate]) -> EvidencePages:
    """Over any log."""

    async def newest(most: int) -> Sequence[tuple[int, Evidence]]:
        entries = [(each.leaf, entry_of(each.content)) for each in await log.newest(most)]
        return [(leaf, entry) for leaf, entry in entries if isinstance(entry, Evidence)]

    async def whole(which: str) -> Whole:
        shown = await shown_whole(log, which)
        return shown.leaf, shown.evidence, shown.remarks

    async def file(which: str, type_: str) -> bytes:
        shown = await shown_whole(log, which)
        kept = await log.entries()
        if type_ == "pdf":
            return await evidence_as_pdf(
                shown.evidence, shown.leaf, shown.remarks, kept[-1].note, clock.now()
            )
        chosen = [kept[shown.leaf], *(kept[leaf] for leaf, _ in shown.remarks)]
        # The verifier key comes from the operator by another way: holdfast evidence key.
        return exported(kept, chosen, origin_of_evidence(estate()), "")

    return EvidencePages(newest, whole, file)
