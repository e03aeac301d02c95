"""What the actions of runs are made of."""

from dataclasses import dataclass

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.clock import Clock
from holdfast.recovery.ports import RunStore


@dataclass(frozen=True, slots=True)
class Surroundings:
    """One process's: the estate in force, where its files are, and Holdfast's own database.

    Making actions connects to nothing, and must not fail for what is away: an action does, when it is asked.
    """

    estate: Estate
    place: Place
    """Absolute."""
    conninfo: Conninfo
    """As Role.RECOVERY."""
    pool: Pool
    runs: RunStore
    clock: Clock
