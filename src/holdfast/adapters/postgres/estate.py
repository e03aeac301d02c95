"""The registry of the estate on PostgreSQL. The statements stand in `estate.sql`."""

import json
from datetime import datetime
from typing import Any, cast

from psycopg.types.json import Json, Jsonb

from holdfast.adapters.postgres.connect import Connection, connect
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.queries import Queries
from holdfast.estate.model import Estate
from holdfast.estate.ports import Registered, check_and_vantage
from holdfast.estate.registry import (
    CheckChanges,
    CheckRow,
    ComponentChanges,
    ComponentRow,
    Known,
    Plan,
    plan,
    plan_text,
)

SQL = Queries.beside(__file__)


class PostgresRegistry:
    """Registry over a connection per call: estates are applied when a file changes, not in a hurry."""

    def __init__(self, conninfo: Conninfo) -> None:
        self._conninfo = conninfo

    async def apply(self, estate: Estate, *, source_sha256: str, at: datetime, actor: str) -> Registered:
        """See Registry. The document of each revision is kept, so that the sites need not see the file."""
        document = estate.model_dump(mode="json")
        async with connect(self._conninfo, "registry") as connection, connection.transaction():
            await connection.execute(SQL.take_turn)
            changes = plan(await _known(connection), estate)
            newest = await _newest(connection)
            if newest is not None and _same(newest[1], document) and changes.is_empty:
                return await _registered(connection, newest[0])
            await _apply_components(connection, changes.components, at)
            private = [key for key, cluster in estate.clusters.items() if cluster.private]
            await connection.execute(SQL.keep_privacy, {"clusters": private})
            await _apply_checks(connection, changes.checks, at)
            await _apply_quorums(connection, estate, at)
            revision = await _one(
                connection,
                SQL.add_revision,
                {"actor": actor, "sha256": source_sha256, "document": Json(document)},
            )
            await _write_down(connection, actor, revision, source_sha256, changes)
            return await _registered(connection, revision)

    async def current(self) -> Registered | None:
        found = await self.in_force()
        return None if found is None else found[1]

    async def in_force(self) -> tuple[Estate, Registered] | None:
        """The estate that was applied last with its ids, or None before the first time."""
        async with connect(self._conninfo, "registry") as connection, connection.transaction():
            newest = await _newest(connection)
            if newest is None:
                return None
            return Estate.model_validate(newest[1]), await _registered(connection, newest[0])


async def _known(connection: Connection) -> Known:
    components = await (await connection.execute(SQL.components)).fetchall()
    checks = await (await connection.execute(SQL.checks)).fetchall()
    return Known(
        [
            ComponentRow(key, cluster, name, label, removed, tuple((c, k) for c, k in formerly))
            for key, cluster, name, label, removed, formerly in components
        ],
        [
            CheckRow(key, component, name, removed, tuple(formerly))
            for key, component, name, removed, formerly in checks
        ],
    )


async def _apply_components(connection: Connection, changes: ComponentChanges, at: datetime) -> None:
    # A key may be changing hands: rows that are renamed let go of theirs before anybody takes one.
    away = [gone.id for gone in changes.remove] + [kept.id for kept in changes.rename]
    await connection.execute(SQL.remove_components, {"ids": away, "at": at})
    for kept in (*changes.rename, *changes.revive, *changes.update):
        cluster_key, key = kept.identity
        await connection.execute(
            SQL.keep_component,
            {
                "id": kept.id,
                "cluster_key": cluster_key,
                "key": key,
                "name": kept.name,
                "formerly": Jsonb([list(claim) for claim in kept.formerly]),
            },
        )
    for new in changes.add:
        cluster_key, key = new.identity
        await connection.execute(
            SQL.add_component,
            {
                "cluster_key": cluster_key,
                "key": key,
                "name": new.name,
                "formerly": Jsonb([list(claim) for claim in new.formerly]),
            },
        )


async def _apply_checks(connection: Connection, changes: CheckChanges, at: datetime) -> None:
    away = [gone.id for gone in changes.remove] + [kept.id for kept in changes.rename]
    await connection.execute(SQL.remove_checks, {"ids": away, "at": at})
    for kept in (*changes.rename, *changes.revive, *changes.update):
        await connection.execute(
            SQL.keep_check, {"id": kept.id, "key": kept.key, "formerly": Jsonb(list(kept.formerly))}
        )
    for new in changes.add:
        cluster_key, component = new.component
        await connection.execute(
            SQL.add_check,
            {
                "cluster_key": cluster_key,
                "component": component,
                "key": new.key,
                "formerly": Jsonb(list(new.formerly)),
            },
        )


async def _apply_quorums(connection: Connection, estate: Estate, at: datetime) -> None:
    """How many vantage points must agree from now on, for every probe."""
    living = await (await connection.execute(SQL.living_checks)).fetchall()
    checks = [
        (probe, estate.clusters[cluster].components[component].checks[check_and_vantage(key)[0]])
        for cluster, component, key, probe in living
    ]
    await connection.execute(
        SQL.set_quorums,
        {"at": at, "probes": [probe for probe, _ in checks], "needed": [check.needed for _, check in checks]},
    )


async def _write_down(
    connection: Connection, actor: str, revision: int, source_sha256: str, changes: Plan
) -> None:
    facts = {
        "revision": revision,
        "source_sha256": source_sha256,
        "changes": plan_text(changes).splitlines(),
    }
    await connection.execute(
        SQL.write_journal, {"actor": actor, "event": "estate.applied", "facts": Jsonb(facts)}
    )
    await connection.execute(SQL.announce_change)


async def _registered(connection: Connection, revision: int) -> Registered:
    components = await (await connection.execute(SQL.living_components)).fetchall()
    checks = await (await connection.execute(SQL.living_checks)).fetchall()
    hidden = await (await connection.execute(SQL.hidden_components)).fetchall()
    return Registered(
        {(cluster, key): key_id for cluster, key, key_id in components},
        {(cluster, component, key): key_id for cluster, component, key, key_id in checks},
        revision,
        frozenset(each for (each,) in hidden),
    )


def _same(one: Any, other: Any) -> bool:
    """Equal in content and in order: the order of the file is the order on the pages."""
    return json.dumps(one) == json.dumps(other)


async def _newest(connection: Connection) -> tuple[int, Any] | None:
    cursor = await connection.execute(SQL.newest_revision)
    return cast("tuple[int, Any] | None", await cursor.fetchone())


async def _one(connection: Connection, statement: Any, parameters: dict[str, Any]) -> Any:
    row = await (await connection.execute(statement, parameters)).fetchone()
    return None if row is None else row[0]
