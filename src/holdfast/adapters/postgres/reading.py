"""What was recorded, as pages and reports read it. The statements stand in `reading.sql`."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from holdfast.adapters.postgres.availability import ROLL_UP_TABLES, check_state_of
from holdfast.adapters.postgres.connect import Pool, borrowed
from holdfast.adapters.postgres.queries import Queries
from holdfast.availability.histogram import Histogram
from holdfast.availability.model import Interval, Maintenance, Outcome, Result, State, Timings, Transition
from holdfast.availability.ports import Resolution, RollUp
from holdfast.availability.timeline import Quorum, intervals_of, quorum_of, worst_of
from holdfast.availability.verdicts import CheckState
from holdfast.estate.ports import check_and_vantage
from holdfast.kernel.windows import Window

SQL = Queries.beside(__file__)


class PostgresReadingStore:
    """ReadingStore over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def check_states(self, check_ids: Collection[int] | None = None) -> Mapping[int, CheckState]:
        async with borrowed(self._pool) as connection:
            if check_ids is None:
                cursor = await connection.execute(SQL.check_states)
            else:
                cursor = await connection.execute(SQL.check_states_of, (list(check_ids),))
            return {state.check_id: state for state in map(check_state_of, await cursor.fetchall())}

    async def intervals(
        self, component_ids: Collection[int], window: Window, now: datetime
    ) -> Mapping[int, Sequence[Interval]]:
        parameters = {"components": list(component_ids), "start": window.start, "end": window.end}
        async with borrowed(self._pool) as connection, connection.transaction():
            # One snapshot: a silence that ends between the two reads would be in neither, and be hidden.
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            rows = await (await connection.execute(SQL.transitions, parameters, binary=True)).fetchall()
            probes = list({row[2] for row in rows})
            cursor = await connection.execute(SQL.check_states_of, (probes,))
            states = {state.check_id: state for state in map(check_state_of, await cursor.fetchall())}
            quorums = await (await connection.execute(SQL.quorums_of, (probes,))).fetchall()
        # The probes of one check are told alike; those that were added later tell no earlier times.
        told: dict[int, list[Quorum]] = defaultdict(list)
        for probe, at, count in quorums:
            told[probe].append(Quorum(at, count))
        lines: dict[int, dict[str, dict[int, list[Transition]]]] = defaultdict(
            lambda: defaultdict(lambda: defaultdict(list))
        )
        for component, key, probe, at, state, reason, sample in rows:
            check, _ = check_and_vantage(key)
            lines[component][check][probe].append(Transition(probe, at, State(state), reason, sample))
        return {
            component: worst_of(
                [
                    quorum_of(
                        [
                            intervals_of(line, states.get(probe), window, now)
                            for probe, line in probes.items()
                        ],
                        sorted((each for probe in probes for each in told[probe]), key=lambda each: each.at),
                    )
                    for probes in checks.values()
                ]
            )
            for component, checks in lines.items()
        }

    async def roll_ups(
        self, check_ids: Collection[int], window: Window, resolution: Resolution
    ) -> Sequence[RollUp]:
        statement = SQL.roll_ups.replace("rollup_minute", ROLL_UP_TABLES[resolution])
        parameters = {"checks": list(check_ids), "start": window.start, "end": window.end}
        async with borrowed(self._pool) as connection:
            cursor = await connection.execute(cast("Any", statement), parameters, binary=True)
            return [
                RollUp(check, at, good, degraded, failed, Histogram(tuple(buckets), tuple(counts)))
                for check, at, good, degraded, failed, buckets, counts in await cursor.fetchall()
            ]

    async def results(self, check_ids: Collection[int], limit: int) -> Sequence[Result]:
        parameters = {"checks": list(check_ids), "limit": limit}
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(SQL.newest_results, parameters)).fetchall()
        return [
            Result(check, at, Outcome(outcome), Timings(*timings), reason, attempts)
            for check, at, outcome, attempts, *timings, reason in rows
        ]

    async def maintenance(
        self, window: Window, component_ids: Collection[int] | None = None
    ) -> Sequence[Maintenance]:
        components = None if component_ids is None else list(component_ids)
        parameters = {"start": window.start, "end": window.end, "components": components}
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(SQL.maintenance, parameters)).fetchall()
        return [
            Maintenance(key, Window(start, end), announced, frozenset(components), title, cancelled, *told)
            for key, start, end, announced, title, cancelled, *told, components in rows
        ]
