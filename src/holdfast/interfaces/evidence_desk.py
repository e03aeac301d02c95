"""What the console and the API need of evidence and drills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from holdfast.recovery.drills import Standing
    from holdfast.recovery.evidence import Evidence, Remark
    from holdfast.recovery.evidence_ports import Grown
    from holdfast.recovery.forecast import Forecast


@dataclass(frozen=True, slots=True)
class Whole:
    """An evidence, its leaf, and the remarks on it with theirs."""

    leaf: int
    evidence: Evidence
    remarks: Sequence[tuple[int, Remark]] = ()


@dataclass(frozen=True, slots=True)
class DrillShown:
    """A declared drill, and what its measurements say of the time to come."""

    standing: Standing
    forecast: Forecast | None


class EvidenceDesk(Protocol):
    """Reads evidence, of the estate in force at each call. `whole` and `exported` raise NotThere."""

    async def newest(
        self,
        most: int,
        *,
        subject: str | None = None,
        scenario: str | None = None,
        before: int | None = None,
    ) -> Sequence[tuple[int, Evidence]]:
        """With their leaves, the newest first; with `before` of leaves below that one."""
        ...

    async def whole(self, which: str) -> Whole: ...

    async def grown(self) -> Grown:
        """How far the log has come, and how far it is cosigned."""
        ...

    async def exported(self, which: str, type_: str) -> bytes:
        """A file, `pdf` or `json`, of one evidence with its remarks."""
        ...

    async def exported_log(self) -> bytes:
        """A file, JSON, of all there is. Raises EvidenceRefused for a log without entries."""
        ...

    async def drills(self) -> Sequence[DrillShown]:
        """Every declared drill, in the estate's order."""
        ...
