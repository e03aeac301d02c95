"""Runs on PostgreSQL, by its clock. The statements stand in `runs.sql`.

A change, its journal entry and the word of it are one transaction, on disk before anybody acts on it: by a
server that forgot what it had answered, two replicas would act in one epoch.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta

import msgspec
import structlog
from msgspec.structs import replace
from psycopg import errors as pg
from psycopg.types.json import Jsonb

from holdfast.adapters.postgres.connect import Connection, Pool, borrowed
from holdfast.adapters.postgres.queries import Queries
from holdfast.adapters.postgres.recovery.changing import changing
from holdfast.adapters.postgres.recovery.news import News, Unheard
from holdfast.recovery.errors import Fenced, NotThere, Refused, RunUnreadable
from holdfast.recovery.model import Run
from holdfast.recovery.ports import NEWEST_KEPT, SHORTEST_KEEP, Held, Note, Transition
from holdfast.recovery.transitions import lease_lost

SQL = Queries.beside(__file__)
MOVES_ONCE = "run_moves_traffic_once"

log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Run).decode


class PostgresRuns:
    """RunStore over a pool. Without `news` nobody is woken: what changes is found by looking."""

    def __init__(self, pool: Pool, news: News | None = None) -> None:
        self._pool = pool
        self._news = news or Unheard()
        self._told_unreadable = set[str]()

    async def start(self, run: Run, note: Note) -> Run:
        async with changing(self._pool) as connection:
            ((now,),) = await (await connection.execute(SQL.now)).fetchall()
            started = replace(run, started_at=now)
            columns = {
                "subject": run.subject,
                "playbook": run.playbook.name,
                "moves_traffic": run.playbook.moves_traffic,
                "at": now,
            }
            try:
                async with connection.transaction():
                    added = await (
                        await connection.execute(SQL.start, {**_columns(started), **columns})
                    ).fetchone()
            except pg.UniqueViolation as error:
                if error.diag.constraint_name != MOVES_ONCE:
                    raise
                other = await (await connection.execute(SQL.moving, {"subject": run.subject})).fetchone()
                named = "another run" if other is None else f"run {other[0]}"
                raise Refused(
                    f"{named} moves the traffic of {run.subject!r} already",
                    hint="wait for it, or cancel it",
                ) from error
            if added is None:
                raise Refused(f"run {run.id} is there already")
            await _tell(connection, run.id, note)
            return started

    async def claim(self, replica: str, lease: timedelta) -> Held | None:
        after = 0
        while True:
            async with changing(self._pool) as connection:
                row = await (await connection.execute(SQL.free, {"after": after})).fetchone()
                if row is None:
                    return None
                run_id, after, old_epoch, owner, text, lost, now = row
                try:
                    run = _read(run_id, text)
                except RunUnreadable as error:  # whoever reads it takes it on: a newer program than this
                    if run_id not in self._told_unreadable:
                        log.error("run_unreadable", run=run_id, error=str(error))  # noqa: TRY400
                        self._told_unreadable.add(run_id)
                    continue
                if lost:
                    run = lease_lost(run)
                    if not run.state.is_active:
                        await connection.execute(SQL.park, _columns(run))
                        await _tell(connection, run_id, _note("run.parked", run, old_epoch, owner))
                        continue
                ((epoch,),) = await (await connection.execute(SQL.next_epoch)).fetchall()
                await connection.execute(
                    SQL.take, {**_columns(run), "epoch": epoch, "owner": replica, "lease": lease}
                )
                if lost:
                    await _tell(connection, run_id, _note("run.taken_over", run, epoch, owner))
                return Held(run, epoch, now)

    async def free_in(self) -> timedelta | None:
        async with borrowed(self._pool) as connection:
            ((found,),) = await (await connection.execute(SQL.free_in)).fetchall()
        return None if found is None else max(found, timedelta())

    async def renew(self, run_id: str, epoch: int, lease: timedelta) -> None:
        async with borrowed(self._pool) as connection:
            renewed = await connection.execute(SQL.renew, {"id": run_id, "epoch": epoch, "lease": lease})
            if await renewed.fetchone() is None:
                raise Fenced(f"run {run_id} is no longer held in epoch {epoch}")

    async def release(self, run_id: str, epoch: int) -> None:
        async with changing(self._pool) as connection:
            released = await connection.execute(SQL.release, {"id": run_id, "epoch": epoch})
            if await released.fetchone() is not None:
                await connection.execute(SQL.tell, {"id": run_id})

    async def change(self, run_id: str, transition: Transition, note: Note, epoch: int | None = None) -> Held:
        async with changing(self._pool) as connection:
            row = await (await connection.execute(SQL.locked, {"id": run_id})).fetchone()
            if row is None:
                raise NotThere(f"there is no run {run_id}")
            known, text, now = row
            if epoch is not None and epoch != known:
                raise Fenced(f"run {run_id} is in epoch {known}, not {epoch}")
            run = _read(run_id, text)
            changed = transition(run, now)
            if changed != run:
                await connection.execute(SQL.change, _columns(changed))
                await _tell(connection, run_id, note)
            return Held(changed, known, now)

    async def get(self, run_id: str) -> Held:
        async with borrowed(self._pool) as connection:
            row = await (await connection.execute(SQL.one, {"id": run_id})).fetchone()
        if row is None:
            raise NotThere(f"there is no run {run_id}")
        epoch, text, now = row
        return Held(_read(run_id, text), epoch, now)

    async def newest(
        self, most: int, before: str | None = None, *, over: bool | None = None
    ) -> Sequence[Run]:
        values = {"most": most, "before": before, "over": over}
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(SQL.newest, values)).fetchall()
        return list(_readable(rows))

    async def prune(self, keep: timedelta, most: int) -> int:
        values = {"keep": max(keep, SHORTEST_KEEP), "most": most, "newest": NEWEST_KEPT}
        async with changing(self._pool) as connection:
            gone = await (await connection.execute(SQL.prune, values)).fetchall()
            if gone:
                last = max(gone, key=lambda row: row[1])[0]
                facts = {"runs": len(gone), "last": last}
                note = {"actor": "recovery", "event": "run.pruned", "facts": Jsonb(facts)}
                await connection.execute(SQL.journal, note)
        return len(gone)

    async def unfinished(self) -> Sequence[Run]:
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(SQL.unfinished)).fetchall()
        return list(_readable(rows))

    @property
    def heard(self) -> int:
        return self._news.heard

    async def woken(self, since: int, within_s: float) -> None:
        await self._news.woken(since, within_s)


async def _tell(connection: Connection, run_id: str, note: Note) -> None:
    await connection.execute(
        SQL.journal, {"actor": note.actor, "event": note.event, "facts": Jsonb(dict(note.facts))}
    )
    await connection.execute(SQL.tell, {"id": run_id})


def _note(event: str, run: Run, epoch: int, owner: str) -> Note:
    return Note("recovery", event, {"run": run.id, "epoch": epoch, "lost_by": owner})


def _columns(run: Run) -> Mapping[str, object]:
    return {"id": run.id, "state": run.state.value, "run": _encode(run).decode()}


def _readable(rows: Iterable[tuple[str, str]]) -> Iterator[Run]:
    for run_id, text in rows:
        try:
            yield _read(run_id, text)
        except RunUnreadable as error:
            log.warning("run_unreadable", run=run_id, error=str(error))


def _read(run_id: str, text: str) -> Run:
    try:
        return _decode(text)
    except msgspec.MsgspecError as error:
        raise RunUnreadable(
            f"run {run_id} cannot be read: {error}",
            hint="another version of Holdfast wrote it: use that one, or a newer one",
        ) from error
