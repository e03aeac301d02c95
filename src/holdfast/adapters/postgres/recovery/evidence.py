"""The log of evidence on PostgreSQL. The statements stand in `evidence.sql`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.queries import Queries, Query
from holdfast.adapters.postgres.recovery.changing import changing
from holdfast.recovery.continuity import Drilled
from holdfast.recovery.evidence import Evidence, Measure, Remark, canonical
from holdfast.recovery.evidence_ports import (
    Cosigned,
    Grown,
    Kept,
    Seal,
    Waiting,
    Why,
    journalled,
    leaf_hash,
)


class EvidenceQueries(Queries):
    take_turn: Query
    hashes: Query
    append: Query
    entries: Query
    by_id: Query
    about: Query
    newest: Query
    last_drilled: Query
    unrecorded: Query
    grown: Query
    cosigned: Query
    keep_cosigned: Query
    go_on: Query
    keep_waiting: Query
    drilled: Query
    tell: Query
    journal: Query


SQL = EvidenceQueries.beside(__file__)


class PostgresEvidence:
    """EvidenceLog over a pool. Appending needs the login of the recovery's process."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def append(self, entry: Evidence | Remark, seal: Seal) -> Kept:
        content = canonical(entry)
        # Whoever is stopped in the middle must not keep the others from recording.
        async with changing(self._pool) as connection:
            await connection.execute(SQL.take_turn)
            there = await _kept(connection, SQL.by_id, id=entry.id)
            if there:
                return there[0]
            hashes = [bytes(row[0]) for row in await _rows(connection, SQL.hashes)]
            values = {
                "leaf": len(hashes),
                "id": entry.id,
                "content": content,
                "note": seal(b"".join([*hashes, leaf_hash(content)])),
                **_columns(entry),
            }
            [kept] = await _kept(connection, SQL.append, **values)
            actor, event, facts = journalled(entry, kept.leaf)
            await connection.execute(SQL.journal, {"actor": actor, "event": event, "facts": Jsonb(facts)})
            return kept

    async def entries(self, first: int = 0, most: int = 1_000_000) -> Sequence[Kept]:
        async with borrowed(self._pool) as connection:
            return await _kept(connection, SQL.entries, first=first, most=most)

    async def get(self, id: str) -> Kept | None:  # noqa: A002
        async with borrowed(self._pool) as connection:
            found = await _kept(connection, SQL.by_id, id=id)
        return found[0] if found else None

    async def about(self, id: str) -> Sequence[Kept]:  # noqa: A002
        async with borrowed(self._pool) as connection:
            return await _kept(connection, SQL.about, id=id)

    async def newest(
        self,
        most: int,
        *,
        subject: str | None = None,
        scenario: str | None = None,
        before: int | None = None,
    ) -> Sequence[Kept]:
        values = {"most": most, "subject": subject, "scenario": scenario, "before": before}
        async with borrowed(self._pool) as connection:
            return await _kept(connection, SQL.newest, **values)

    async def last_drilled(self, subject: str, scenario: str) -> datetime | None:
        async with borrowed(self._pool) as connection:
            ((found,),) = await _rows(connection, SQL.last_drilled, subject=subject, scenario=scenario)
        return found  # type: ignore[no-any-return]

    async def grown(self) -> Grown:
        async with borrowed(self._pool) as connection:
            found = await _rows(connection, SQL.grown)
        if not found:
            return Grown()
        size, note, seen, seen_note, seen_at, unseen_since, why, text, since = found[0]
        return Grown(
            size,
            note,
            None if seen is None else Cosigned(seen, seen_note, seen_at),
            unseen_since,
            None if why is None else Waiting(Why(why), text, since),
        )

    async def hashes(self) -> bytes:
        async with borrowed(self._pool) as connection:
            return b"".join([bytes(row[0]) for row in await _rows(connection, SQL.hashes)])

    async def cosigned(self) -> Sequence[Cosigned]:
        async with borrowed(self._pool) as connection:
            return [Cosigned(*row) for row in await _rows(connection, SQL.cosigned)]

    async def keep_cosigned(self, size: int, note: str) -> None:
        async with changing(self._pool) as connection:
            if await _rows(connection, SQL.keep_cosigned, leaf=size - 1, note=note):
                await _tell(connection, "evidence.cosigned", {"size": size})
            for (reason,) in await _rows(connection, SQL.go_on):
                await _tell(connection, "evidence.cosigning_goes_on", {"reason": reason})

    async def keep_waiting(self, why: Why, text: str) -> None:
        async with changing(self._pool) as connection:
            if await _rows(connection, SQL.keep_waiting, reason=why.value, told=text):
                await _tell(connection, "evidence.cosigning_waits", {"reason": why.value, "text": text})

    async def unrecorded(self, most: int) -> Sequence[str]:
        async with borrowed(self._pool) as connection:
            return [row[0] for row in await _rows(connection, SQL.unrecorded, most=most)]


class PostgresDrilled:
    """DrilledReading over a pool of the site's login, which sees figures alone."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def drilled(self, most: int) -> Sequence[Drilled]:
        async with borrowed(self._pool) as connection:
            rows = await _rows(connection, SQL.drilled, most=most)
        return [
            Drilled(subject, scenario, at, data_bytes, _measure(*figures[:3]), _measure(*figures[3:]))
            for subject, scenario, at, data_bytes, *figures in rows
        ]


class PostgresTold:
    """ToldOnce over a pool of the recovery's login."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def first(self, key: str, event: str, facts: Mapping[str, object]) -> bool:
        async with changing(self._pool) as connection:
            if not await _rows(connection, SQL.tell, key=key):
                return False
            await _tell(connection, event, facts)
            return True


async def _tell(connection: Connection, event: str, facts: Mapping[str, object]) -> None:
    values = {"actor": "recovery", "event": event, "facts": Jsonb(dict(facts))}
    await connection.execute(SQL.journal, values)


def _measure(target: int | None, contract: int | None, measured: int | None) -> Measure:
    return Measure(target_ms=target, contract_ms=contract, measured_ms=measured)


def _columns(entry: Evidence | Remark) -> dict[str, object]:
    """What is found by. `ended_at`: of one that was recorded by its own last step, when that was."""
    if isinstance(entry, Remark):
        names = ("run", "subject", "scenario", "drill", "passed", "ended_at")
        return {"about": entry.about, **dict.fromkeys(names)}
    return {
        "about": None,
        "run": entry.run,
        "subject": entry.subject,
        "scenario": entry.scenario,
        "drill": entry.drill,
        "passed": entry.passed,
        "ended_at": entry.ended_at or entry.recorded_at,
    }


async def _kept(connection: Connection, statement: Query, **parameters: object) -> list[Kept]:
    return [
        Kept(leaf, id_, bytes(content), note, at)
        for leaf, id_, content, note, at in await _rows(connection, statement, **parameters)
    ]


async def _rows(connection: Connection, statement: Query, **parameters: object) -> list[tuple[Any, ...]]:
    return await (await connection.execute(statement, parameters)).fetchall()
