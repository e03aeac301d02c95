"""The ledger's completeness: what has not come, what came twice, what devices counted, whose clock is off."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from holdfast.identity.model import Right
from holdfast.interfaces.console.shell import ConsolePage, page, shell_of
from holdfast.ledger.completeness.concerns import Clash, Concern, ConcernKind
from holdfast.ledger.completeness.judging import Judge, TenantStatus
from holdfast.ledger.completeness.meters import Stretch, Verdict
from holdfast.ledger.completeness.missing import ClockMarked, Missing

MOST_ROWS = 100
"""Of a list on the page; the command line tells all."""

WORDS = {
    ConcernKind.GAP: "numbers are overdue",
    ConcernKind.CONFLICT: "records came again with other content",
    ConcernKind.METER: "the device counted something else",
    ConcernKind.CLOCK: "its clock is off",
    ConcernKind.FOLLOWER: "reports and lists are not up to date",
}


@dataclass(frozen=True, slots=True)
class TenantShown:
    """A tenant, as the page shows it. Lists are cut; the counts beside them are whole."""

    status: TenantStatus
    concerns: Sequence[tuple[Concern, str]]
    gaps: Sequence[tuple[Missing, bool]]
    """With whether it is overdue."""
    clashes: Sequence[Clash]
    stretches: Sequence[Stretch]
    compared: int
    """Stretches that were compared; those that do not agree are listed."""
    clocks: Sequence[ClockMarked]

    @property
    def missing(self) -> int:
        return sum(each.count for each in self.status.missing)

    @property
    def unpublished(self) -> int:
        return self.status.log.size - self.status.log.published

    @property
    def unfolded(self) -> int:
        return self.status.log.size - (self.status.log.folded or 0)


class CompletenessPages:
    """`judge` is None where the estate in force declares no ledger."""

    def __init__(self, judge: Callable[[], Judge | None]) -> None:
        self._judge = judge

    def pages(self) -> Sequence[ConsolePage]:
        return [
            ConsolePage(
                "/ledger/completeness",
                self.listed,
                Right.READ,
                title="Completeness",
                about="Whether every record of the ledger came, once, and as devices counted.",
                listed=lambda: self._judge() is not None,
            )
        ]

    async def listed(self, request: Request) -> Response:
        judge, now = self._judge(), shell_of(request).clock.now()
        tenants = [] if judge is None else [await shown(judge, each, now) for each in await judge.status()]
        return page(
            request,
            "ledger_completeness.html",
            title="Completeness",
            declared=judge is not None,
            tenants=tenants,
            most=MOST_ROWS,
        )


async def shown(judge: Judge, status: TenantStatus, now: datetime) -> TenantShown:
    """Everything that the page tells of a tenant."""
    found = await judge.found(status.log.tenant)
    differing = [each for each in found.stretches if each.verdict is not Verdict.AGREES]
    return TenantShown(
        status,
        [(each, WORDS[each.kind]) for each in status.concerns],
        [(each, now - each.since >= judge.gap_after) for each in status.missing[:MOST_ROWS]],
        [each for each in found.clashes if not each.settled][:MOST_ROWS],
        differing[:MOST_ROWS],
        len(found.stretches),
        [each for each in found.clocks if each.is_off][:MOST_ROWS],
    )
