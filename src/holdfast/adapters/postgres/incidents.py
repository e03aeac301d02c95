"""Incidents on PostgreSQL. The statements stand in `incidents.sql`.

An update is stored as it was first said, and each edit as what it says from then on. A value of the model has
it the other way round: what it says now, and what was replaced.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from holdfast.adapters.postgres.announcements import announce, journal
from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.queries import Queries
from holdfast.communication.errors import ChangedMeanwhile
from holdfast.communication.incidents import as_readers_see, as_told
from holdfast.communication.model import (
    Change,
    ComponentState,
    Impact,
    Incident,
    Notice,
    Phase,
    Revision,
    Update,
)
from holdfast.kernel.journal import JournalEntry

SQL = Queries.beside(__file__)


class PostgresIncidents:
    """IncidentStore over a pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def incident(self, incident_id: str) -> Incident | None:
        async with borrowed(self._pool) as connection, connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            found = await _read(connection, await _rows(connection, SQL.one, id=incident_id))
            return found[0] if found else None

    async def incidents(
        self,
        *,
        since: datetime | None = None,
        limit: int = 200,
        public_only: bool = True,
        after: tuple[datetime, str] | None = None,
    ) -> Sequence[Incident]:
        chosen = {"since": since, "limit": limit, "public_only": public_only}
        began_at, last_id = after or (None, None)
        async with borrowed(self._pool) as connection, connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            heads = await _rows(connection, SQL.newest, **chosen, after_began_at=began_at, after_id=last_id)
            found = await _read(connection, heads)
            return [as_readers_see(each) for each in found] if public_only else found

    async def record(
        self,
        incident: Incident,
        notices: Sequence[Notice],
        entry: JournalEntry,
        *,
        merged: Incident | None = None,
    ) -> Incident:
        written = [incident, *([] if merged is None else [merged])]
        async with borrowed(self._pool) as connection, connection.transaction():
            if merged is not None:
                await connection.execute(SQL.in_turn, {"ids": [each.id for each in written]})
            moments = [await _write(connection, each) for each in written]
            (stored,) = await _read(connection, await _rows(connection, SQL.one, id=incident.id))
            for notice in notices:
                about = None if notice.incident is None else as_told(as_readers_see(stored))
                await announce(connection, replace(notice, at=moments[0], incident=about))
            await journal(connection, entry)
            await connection.execute(SQL.tell_of_change)
            return stored


async def _rows(connection: Connection, statement: Any, **parameters: object) -> list[tuple[Any, ...]]:
    return await (await connection.execute(statement, parameters)).fetchall()


async def _write(connection: Connection, incident: Incident) -> datetime:
    """Write what is new of it; returns the database's time. Raises ChangedMeanwhile."""
    moved = await _rows(connection, SQL.move_on if incident.version else SQL.add, **_columns(incident))
    if not moved:
        raise ChangedMeanwhile(f"incident {incident.id} was changed meanwhile", hint="look at it again")
    components = {
        "id": incident.id,
        "components": list(incident.affected),
        "states": [state.value for state in incident.affected.values()],
    }
    await connection.execute(SQL.forget_components, components)
    await connection.execute(SQL.keep_components, components)
    await connection.execute(SQL.add_updates, _new_updates(incident))
    await connection.execute(SQL.add_revisions, _revisions(incident))
    ((known,),) = await _rows(connection, SQL.count_changes, id=incident.id)
    for change in incident.changes[known:]:
        await connection.execute(SQL.add_change, _change_columns(incident.id, change))
    at: datetime = moved[0][0]
    return at


def _columns(incident: Incident) -> dict[str, object]:
    return {
        "id": incident.id,
        "version": incident.version,
        "title": incident.title,
        "impact": incident.impact.value,
        "phase": incident.phase.value,
        "draft": incident.draft,
        "began_at": incident.began_at,
        "declared_by": incident.declared_by,
        "resolved_at": incident.resolved_at,
        "merged_into": incident.merged_into,
        "rule": incident.rule,
    }


def _new_updates(incident: Incident) -> dict[str, object]:
    new = [(n, each) for n, each in enumerate(incident.updates, 1) if each.recorded_at is None]
    return {
        "incident": incident.id,
        "ids": [each.id for _, each in new],
        "numbers": [n for n, _ in new],
        "times": [each.at for _, each in new],
        "phases": [each.step for _, each in new],
        "bodies": [each.body for _, each in new],
        "authors": [each.author for _, each in new],
        "affected": [json.dumps({str(k): v.value for k, v in each.affected.items()}) for _, each in new],
    }


def _revisions(incident: Incident) -> dict[str, object]:
    """Each edit as what it made the update say: for the newest one, what the update says now."""
    rows: list[tuple[str, int, str, datetime, str]] = []
    for update in incident.updates:
        said = [*((each.body, each.shown_at) for each in update.revisions[1:]), (update.body, update.at)]
        rows += [
            (update.id, number, body, at, replaced.actor)
            for number, (replaced, (body, at)) in enumerate(zip(update.revisions, said, strict=False), 1)
        ]
    updates, numbers, bodies, times, authors = (
        [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], [], [], []]
    )
    return {"updates": updates, "numbers": numbers, "bodies": bodies, "times": times, "authors": authors}


def _change_columns(incident_id: str, change: Change) -> dict[str, object]:
    return {
        "incident": incident_id,
        "actor": change.actor,
        "field": change.field,
        "before": change.before,
        "after": change.after,
    }


@dataclass(frozen=True, slots=True)
class _Parts:
    """What belongs to several incidents, by incident, and to their updates, by update."""

    affected: Mapping[str, Mapping[int, ComponentState]]
    updates: Mapping[str, Sequence[Update]]
    changes: Mapping[str, Sequence[Change]]


async def _read(connection: Connection, heads: Sequence[tuple[Any, ...]]) -> list[Incident]:
    """The incidents of these rows, in their order, with all that belongs to them."""
    ids = [head[0] for head in heads]
    affected: dict[str, dict[int, ComponentState]] = defaultdict(dict)
    for incident_id, component_id, state in await _rows(connection, SQL.components_of, ids=ids):
        affected[incident_id][component_id] = ComponentState(state)
    edits: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for update_id, *edit in await _rows(connection, SQL.revisions_of, ids=ids):
        edits[update_id].append(tuple(edit))
    updates: dict[str, list[Update]] = defaultdict(list)
    for incident_id, *row in await _rows(connection, SQL.updates_of, ids=ids):
        updates[incident_id].append(_update(row, edits.get(row[0], ())))
    changes: dict[str, list[Change]] = defaultdict(list)
    for incident_id, *row in await _rows(connection, SQL.changes_of, ids=ids):
        changes[incident_id].append(Change(*row))
    parts = _Parts(affected, updates, changes)
    return [_incident(head, parts) for head in heads]


def _update(row: Sequence[Any], edits: Sequence[tuple[Any, ...]]) -> Update:
    update_id, at, step, body, author, affected, recorded_at = row
    said = [(body, at), *((edit[0], edit[1]) for edit in edits)]
    revisions = tuple(
        Revision(old, shown_at, edit[2], edit[3]) for (old, shown_at), edit in zip(said, edits, strict=False)
    )
    states = {int(each): ComponentState(state) for each, state in affected.items()}
    return Update(update_id, said[-1][1], step, said[-1][0], author, states, recorded_at, revisions)


def _incident(head: tuple[Any, ...], parts: _Parts) -> Incident:
    incident_id, version, title, impact, phase, draft, began_at, *times_and_names = head
    declared_at, declared_by, published_at, resolved_at, merged_into, rule = times_and_names
    return Incident(
        incident_id,
        title,
        Impact(impact),
        Phase(phase),
        began_at,
        dict(parts.affected.get(incident_id, {})),
        tuple(parts.updates.get(incident_id, ())),
        draft,
        declared_by,
        declared_at,
        published_at,
        resolved_at,
        merged_into,
        rule,
        tuple(parts.changes.get(incident_id, ())),
        version,
    )
