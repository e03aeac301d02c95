"""Frozen months on PostgreSQL. The statements stand in `months.sql`."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Json

from holdfast.adapters.postgres.connect import Pool, borrowed
from holdfast.adapters.postgres.queries import Queries
from holdfast.availability.freezing import FrozenMonth
from holdfast.kernel.windows import Window

SQL = Queries.beside(__file__)


class PostgresMonths:
    """MonthStore over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def append(self, month: FrozenMonth) -> bool:
        parameters = {
            "agreement": month.agreement,
            "month": month.month,
            "starts_at": month.window.start,
            "ends_at": month.window.end,
            "formula": month.formula,
            "terms": Json(dict(month.terms)),
            "figures": Json(dict(month.figures)),
            "sha256": month.intervals_sha256,
            "corrects": month.corrects,
        }
        async with borrowed(self._pool) as connection:
            return (await connection.execute(SQL.append_month, parameters)).rowcount == 1

    async def months(
        self, agreement: str | None = None, *, ended_after: datetime | None = None
    ) -> Sequence[FrozenMonth]:
        parameters = {"agreement": agreement, "ended_after": ended_after}
        async with borrowed(self._pool) as connection:
            cursor = await connection.execute(SQL.months, parameters)
            return [_month(row) for row in await cursor.fetchall()]

    async def months_of(self, agreement: str, month: str) -> Sequence[FrozenMonth]:
        async with borrowed(self._pool) as connection:
            cursor = await connection.execute(SQL.months_of, {"agreement": agreement, "month": month})
            return [_month(row) for row in await cursor.fetchall()]

    async def known_since(self, component_ids: Collection[int]) -> datetime | None:
        async with borrowed(self._pool) as connection:
            row = await (await connection.execute(SQL.known_since, (list(component_ids),))).fetchone()
            return None if row is None else row[0]


def _month(row: tuple[Any, ...]) -> FrozenMonth:
    key, agreement, month, starts_at, ends_at, formula, terms, figures, sha256, corrects, frozen_at = row
    window = Window(starts_at, ends_at)
    return FrozenMonth(agreement, month, window, formula, terms, figures, sha256, corrects, key, frozen_at)
