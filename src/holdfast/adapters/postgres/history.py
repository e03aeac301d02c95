"""Imports whole histories: transitions and hourly roll-ups, by COPY, days folded from the hours."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, LiteralString

from holdfast.adapters.postgres.availability import SQL as AVAILABILITY
from holdfast.adapters.postgres.availability import partition_bounds
from holdfast.adapters.postgres.connect import Connection, connect
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.errors import DatabaseError
from holdfast.availability.model import Transition
from holdfast.availability.ports import Resolution, RollUp

_COPY_TRANSITIONS: LiteralString = (
    "COPY availability.transition (check_id, at, state, reason, sample) FROM STDIN (FORMAT BINARY)"
)
_COPY_HOURS: LiteralString = (
    "COPY availability.rollup_hour (check_id, at, good, degraded, failed, buckets, counts)"
    " FROM STDIN (FORMAT BINARY)"
)
_ANY_HISTORY: LiteralString = "SELECT EXISTS (SELECT FROM availability.transition WHERE check_id = ANY(%s))"


class PastTakenError(DatabaseError):
    """A check has a history already."""


async def import_history(
    conninfo: Conninfo, transitions: Sequence[Transition], hours: Sequence[RollUp]
) -> None:
    """Append a past to checks that have none yet, all of it or nothing.

    Transitions are in order per check. Raises PastTakenError when one of the checks has a history already:
    a timeline only grows at its end.
    """
    checks = sorted({transition.check_id for transition in transitions})
    async with connect(conninfo, "import") as connection, connection.transaction():
        row = await (await connection.execute(_ANY_HISTORY, (checks,))).fetchone()
        if row is not None and row[0]:
            raise PastTakenError(
                "there is history already; a past is imported only before all other",
                hint="use a fresh --data-dir",
            )
        for table in ("rollup_hour", "rollup_day"):
            for start, end in {partition_bounds(table, each.at) for each in hours}:
                await connection.execute(AVAILABILITY.make_partition, (table, start, end))
        await _copy(
            connection,
            _COPY_TRANSITIONS,
            ("int4", "timestamptz", "int2", "text", "bool"),
            ((t.check_id, t.at, int(t.state), t.reason, t.sample) for t in transitions),
        )
        await _copy(
            connection,
            _COPY_HOURS,
            ("int4", "timestamptz", "int4", "int4", "int4", "int2[]", "int4[]"),
            (
                (
                    h.check_id,
                    h.at,
                    h.good,
                    h.degraded,
                    h.failed,
                    list(h.latency.buckets),
                    list(h.latency.counts),
                )
                for h in hours
            ),
        )
        if hours:
            await _fold_days(connection, min(h.at for h in hours), max(h.at for h in hours))


async def _copy(
    connection: Connection, statement: LiteralString, types: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            await copy.write_row(row)


async def _fold_days(connection: Connection, first: datetime, last: datetime) -> None:
    statement: Any = AVAILABILITY.fold_coarser.replace("rollup_hour", "rollup_day").replace(
        "rollup_minute", "rollup_hour"
    )
    day = Resolution.DAY.length
    start = first.replace(hour=0, minute=0, second=0, microsecond=0)
    await connection.execute(statement, {"start": start, "end": last + day, "step": day})
