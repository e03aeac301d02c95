"""The jobs of one cluster in its PostgreSQL database.

The database may go away, hang or move to another host at any moment. So connections are few, opened when
needed and dropped at the first error, and every operation ends in time: with its result or with
DatabaseAwayError. Each operation may be repeated safely, which is what lets a stale connection be retried.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import psycopg
from psycopg.rows import class_row

from printcloud.jobs import Job, NewJob

log = logging.getLogger(__name__)
T = TypeVar("T")
Connection = psycopg.AsyncConnection[tuple[object, ...]]

# Two processes may create the schema at the same moment; the lock lets one go first.
SCHEMA = """
select pg_advisory_xact_lock(7305001);
create table if not exists job (
    id           uuid primary key,
    owner        text not null,
    title        text not null,
    pages        integer not null check (pages > 0),
    via          text not null,
    status       text not null default 'queued' check (status in ('queued', 'printed')),
    submitted_at timestamptz not null,
    printed_at   timestamptz
);
create index if not exists job_newest on job (submitted_at desc);
create index if not exists job_queued on job (submitted_at) where status = 'queued';
create table if not exists register (
    sole  boolean primary key default true check (sole),
    value text,
    seen  bigint not null default 0
);
insert into register default values on conflict do nothing;
create table if not exists member (
    name     text primary key,
    added_at timestamptz not null default clock_timestamp()
);
"""
SUBMIT = """
insert into job (id, owner, title, pages, via, submitted_at)
values (%(id)s, %(owner)s, %(title)s, %(pages)s, %(via)s, %(submitted_at)s)
on conflict (id) do nothing
"""
FIND = "select id, owner, title, pages, via, status, submitted_at, printed_at from job where id = %s"
NEWEST = """
select id, owner, title, pages, via, status, submitted_at, printed_at
from job order by submitted_at desc, id limit %s
"""
QUEUE_DEPTH = "select count(*) from job where status = 'queued'"
# skip locked: two printers of the same cluster share the queue without waiting for each other.
PRINT = """
update job set status = 'printed', printed_at = %(now)s
where id in (
    select id from job where status = 'queued' and submitted_at <= %(until)s
    order by submitted_at limit %(limit)s for update skip locked
)
"""


class DatabaseAwayError(Exception):
    """The database did not answer in time, or not as one that can be written to."""


class Store:
    """The jobs. `conninfo` is asked for each new connection: a changed secret or host takes effect."""

    def __init__(
        self,
        conninfo: Callable[[], str],
        *,
        name: str,
        connections: int = 4,
        timeout_s: float = 2.0,
        makes_schema: bool = True,
    ) -> None:
        """One that reads from a standby makes no schema: it could not."""
        self._conninfo = conninfo
        self._name = name
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[Connection] = []
        self._abandoned: set[asyncio.Task[object]] = set()
        self._makes_schema = makes_schema
        self._has_schema = not makes_schema

    async def submit(self, job: NewJob, via: str) -> Job:
        """Durably queue `job` and return it as stored. The same job twice is stored once."""
        submitted_at = datetime.now(UTC)

        async def insert(connection: Connection) -> Job:
            await connection.execute(
                SUBMIT,
                {
                    "id": job.id,
                    "owner": job.owner,
                    "title": job.title,
                    "pages": job.pages,
                    "via": via,
                    "submitted_at": submitted_at,
                },
            )
            return Job(job.id, job.owner, job.title, job.pages, via, "queued", submitted_at, None)

        return await self._run(insert)

    async def find(self, job_id: object) -> Job | None:
        """The job with that id, or None."""

        async def read(connection: Connection) -> Job | None:
            cursor = connection.cursor(row_factory=class_row(Job))
            return await (await cursor.execute(FIND, (job_id,))).fetchone()

        return await self._run(read)

    async def newest(self, limit: int) -> list[Job]:
        """The newest jobs first."""

        async def read(connection: Connection) -> list[Job]:
            cursor = connection.cursor(row_factory=class_row(Job))
            return await (await cursor.execute(NEWEST, (limit,))).fetchall()

        return await self._run(read)

    async def queue_depth(self) -> int:
        """How many jobs wait, counted by the database now."""

        async def read(connection: Connection) -> int:
            row = await (await connection.execute(QUEUE_DEPTH)).fetchone()
            return int(str(row[0])) if row else 0

        return await self._run(read)

    async def print_waiting(self, *, waited: timedelta, limit: int = 100) -> int:
        """Mark the oldest jobs that have `waited` long enough as printed; returns how many."""

        async def write(connection: Connection) -> int:
            now = datetime.now(UTC)
            cursor = await connection.execute(PRINT, {"now": now, "until": now - waited, "limit": limit})
            return cursor.rowcount

        return await self._run(write)

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do `work` on a connection, once more on a fresh one if the first was stale; within the time-out.

        For what may be done twice. Raises DatabaseAwayError.
        """
        return await self._run(work)

    async def once(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """As `run`, but what is begun is never begun again: a connection is tried out first.

        DatabaseAwayError means that it may have happened, or not.
        """

        async def tried() -> T:
            async with self._slots:
                while self._idle:
                    connection = self._idle.pop()
                    try:
                        await self._guarded(connection, lambda opened: opened.execute("select"))
                    except DatabaseAwayError:
                        continue
                    return await self._work(connection, work)
                return await self._work(await self._connect(), work)

        return await self._within(tried())

    async def close(self) -> None:
        """Close every connection. Operations under way are cancelled."""
        for task in tuple(self._abandoned):
            task.cancel()
        while self._idle:
            await self._idle.pop().close()

    async def _run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._within(self._attempt(work))

    async def _within(self, attempt: Coroutine[object, object, T]) -> T:
        task = asyncio.create_task(attempt)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._timeout_s)
        except asyncio.CancelledError:
            self._abandon(task)
            raise
        if not done:
            self._abandon(task)
            raise DatabaseAwayError(f"the database did not answer within {self._timeout_s:g} s")
        return task.result()

    def _abandon(self, task: asyncio.Task[T]) -> None:
        # Cancelling asks the server to cancel too, and a hanging server lets that take ten seconds. Nobody
        # waits for it; the task keeps its slot until then, which bounds how many there can be.
        self._abandoned.add(task)
        task.add_done_callback(self._forget)
        task.cancel()

    def _forget(self, task: asyncio.Task[T]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.debug("an abandoned operation ended: %s", error)

    async def _attempt(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async with self._slots:
            if self._idle:
                connection = self._idle.pop()
                try:
                    return await self._work(connection, work)
                except DatabaseAwayError:
                    await self._drop_idle()  # opened before the database went away, like this one
            return await self._work(await self._connect(), work)

    async def _work(self, connection: Connection, work: Callable[[Connection], Awaitable[T]]) -> T:
        result = await self._guarded(connection, work)
        self._idle.append(connection)
        return result

    async def _connect(self) -> Connection:
        try:
            connection: Connection = await psycopg.AsyncConnection.connect(
                self._conninfo(), autocommit=True, application_name=self._name, connect_timeout=2
            )
        except (psycopg.Error, OSError) as error:
            raise DatabaseAwayError(_one_line(error)) from error
        if not self._has_schema:
            await self._guarded(connection, lambda opened: opened.execute(SCHEMA))
            self._has_schema = True
        return connection

    async def _guarded(self, connection: Connection, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do the work; whatever interrupts it, the connection is not used again."""
        try:
            return await work(connection)
        except psycopg.Error as error:
            self._has_schema = (
                not self._makes_schema
            )  # the database may be another one next time: restored, or failed over to
            await connection.close()
            raise DatabaseAwayError(_one_line(error)) from error
        except BaseException:
            await connection.close()
            raise

    async def _drop_idle(self) -> None:
        while self._idle:
            await self._idle.pop().close()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
