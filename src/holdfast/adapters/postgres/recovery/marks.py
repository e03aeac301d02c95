"""The marks of practice runs."""

from holdfast.adapters.postgres.connect import Pool, borrowed
from holdfast.adapters.postgres.recovery.changing import changing
from holdfast.adapters.postgres.recovery.fencing import SQL, pass_fence
from holdfast.recovery.ports import Fence


class PostgresMarks:
    """Each mark behind a fence of its own."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def get(self, name: str) -> str:
        """Empty for one that was never set."""
        async with borrowed(self._pool) as connection:
            row = await (await connection.execute(SQL.mark, {"name": name})).fetchone()
            return "" if row is None else str(row[0])

    async def put(self, name: str, value: str, fence: Fence) -> None:
        """On disk when it returns. Raises ComesLate."""
        async with changing(self._pool) as connection:
            await pass_fence(connection, f"mark {name}", fence)
            await connection.execute(SQL.put_mark, {"name": name, "value": value})
