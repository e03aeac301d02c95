"""What the ledger's address needs behind it. bootstrap/ledger provides it; tests bring their own."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from holdfast.interfaces.ledger.callers import Callers
from holdfast.interfaces.ledger.figures import Figures
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.completeness.judging import Completeness
from holdfast.ledger.find.access import AccessTrail
from holdfast.ledger.intake.reading import Sender
from holdfast.ledger.intake.taking import Posted
from holdfast.ledger.log.notes import VerifierKey
from holdfast.ledger.model import Acknowledged
from holdfast.ledger.ports import LogStore, Published


class Intake(Protocol):
    """Takes records in (ledger/intake/taking.py)."""

    async def taken(self, posted: Posted, sender: Sender) -> Acknowledged:
        """Durable where `reach` says.

        Raises BatchRefused, NotFlushed, Overloaded, and what the database raises.
        """
        ...


async def _no_trouble() -> str:
    return ""


@dataclass(frozen=True)
class Services:
    """One for each process. A route takes what it needs; what it cannot do without has no default."""

    clock: Clock
    callers: Callers
    intake: Intake
    logs: LogStore
    published: Published
    origin_of: Callable[[str], str]
    key_of: Callable[[str], VerifierKey]
    on_trouble: Callable[[HoldfastError], None]
    """Hears why a request could not be answered."""
    trail: AccessTrail | None = None
    """Where it is written who was handed entries (tiles.py); None: nowhere."""
    completeness: Completeness | None = None
    """Where claims and readings of counters go (claims.py)."""
    trouble: Callable[[], Awaitable[str]] = _no_trouble
    """Why records cannot be taken in now, for /health/ready; empty when they can."""
    figures: Figures = field(default_factory=Figures)
    more_figures: Sequence[Callable[[], Awaitable[str]]] = ()
    """Lines for /metrics (OpenMetrics, without the end) that are found out when somebody asks."""
