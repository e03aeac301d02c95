"""How runs stand, for figures. The statement stands in `standing.sql`."""

from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.adapters.postgres.connect import Pool, borrowed
from holdfast.adapters.postgres.queries import Queries
from holdfast.recovery.model import RunState

SQL = Queries.beside(__file__)


@dataclass(frozen=True, slots=True)
class Standing:
    """How many runs there are of each kind, and for how long nobody has worked on an active one, at most."""

    runs: Mapping[RunState, int]
    unattended_s: float


async def standing_of(pool: Pool) -> Standing:
    """By the database's clock. Raises DatabaseError."""
    async with borrowed(pool) as connection:
        rows = await (await connection.execute(SQL.standing)).fetchall()
    return Standing(
        {RunState(state): count for state, count, _ in rows},
        max((float(waits) for *_, waits in rows if waits is not None), default=0.0),
    )
