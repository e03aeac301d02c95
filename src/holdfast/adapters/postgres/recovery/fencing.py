"""The fence of targets in Holdfast's own database. The statements stand in `fencing.sql`."""

from holdfast.adapters.postgres.connect import Connection
from holdfast.adapters.postgres.queries import Queries
from holdfast.recovery.errors import ComesLate
from holdfast.recovery.ports import Fence

SQL = Queries.beside(__file__)


async def pass_fence(connection: Connection, scope: str, fence: Fence) -> None:
    """Let through, inside the transaction that is open, whoever is not older than the newest of `scope`.

    Others wait until that transaction ends, and are judged by what it left. Raises ComesLate.
    """
    told = {"scope": scope, "run_id": fence.run_id, "epoch": fence.epoch, "turn": fence.turn}
    if await (await connection.execute(SQL["pass"], told)).fetchone() is None:
        raise ComesLate(
            f"{scope} has heard of a later attempt than epoch {fence.epoch}, turn {fence.turn}",
            hint="the replica that has the run now goes on with it",
        )
