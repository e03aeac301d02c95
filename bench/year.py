"""A year of history for many components, made here: the same year each time, for the same parameters.

Each component has one check every 30 s. In the year it has some eight outages (sixteen transitions) of a few
minutes to hours, and falls silent once; each cluster has a maintenance a month. Kept are, as a controller
keeps them: all transitions; hours and days for the whole year; minutes of the last 26 h; raw results of the
last hour of each of the last 7 days. Outages show in the roll-ups' counts; latencies are histograms drawn
from a log-normal distribution, some hundred different ones taken in turn.

The year ends at END, whatever the calendar says, so that a data directory stays good for later runs: benches
read it with a clock that stands there.
"""

import asyncio
import hashlib
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import LiteralString, cast

from bench.estates import IN_A_CLUSTER, LINK_FILE, Wanted, estate_text
from bench.subjects import FOLDER
from holdfast.adapters.postgres.availability import SQL as AVAILABILITY
from holdfast.adapters.postgres.availability import partition_bounds
from holdfast.adapters.postgres.connect import Connection, connect
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.migrate import migrate
from holdfast.adapters.postgres.queries import Queries
from holdfast.adapters.postgres.server.embedded import EmbeddedPostgres
from holdfast.availability.histogram import Histogram
from holdfast.availability.model import State
from holdfast.availability.verdicts import SILENT
from holdfast.bootstrap.estates import read_estate
from holdfast.estate.model import Estate

END = datetime(2026, 10, 31, 12, tzinfo=UTC)
DAYS = 365
LINK = "a-link-for-benches-of-more-than-32-characters"
RUNS_IN_AN_HOUR = 120
SHAPES = 97
SQL = Queries.beside(__file__)
_SEED = 20261031
_MIGRATIONS = Path(sys.modules[migrate.__module__].__file__ or "").parent / "migrations"
# Nothing is written twice while the year is made: an interrupted one is made anew.
_WHILE_MAKING = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "shared_buffers": "1GB",
    "maintenance_work_mem": "512MB",
}
_REASONS = {
    State.DEGRADED: "response_time was 6.2 s, expected < 5 s",
    State.PARTIAL_OUTAGE: "status was 502, expected 200-299",
    State.MAJOR_OUTAGE: "connection refused",
    State.UNKNOWN: SILENT,
}


@dataclass(frozen=True, slots=True)
class Year:
    """A server with a year in it, running; `config` is the estate file that was applied."""

    server: EmbeddedPostgres
    config: Path
    components: int

    @property
    def estate(self) -> Estate:
        return read_estate(self.config)


@asynccontextmanager
async def year_of(components: int) -> AsyncIterator[Year]:
    """The year of so many components, made when there is none yet. The server runs until the block ends."""
    folder = FOLDER / f"year-{components}-{_fingerprint(components)}"
    server = EmbeddedPostgres(folder / "postgres")
    complete = folder / "complete"
    if not complete.exists():
        await _clear_away(components)
        began = time.monotonic()
        await _make(folder, components)
        complete.touch()
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        took = time.monotonic() - began
        print(f"made a year of {components:,} in {took:.0f} s: {size / 1e9:.1f} GB", file=sys.stderr)
    await server.start()
    try:
        yield Year(server, folder / "holdfast.yaml", components)
    finally:
        await server.stop()


def part_of(year: Year, components: int) -> Estate:
    """The year's estate cut down to its first clusters, with so many components in all."""
    estate = year.estate
    clusters = list(estate.clusters.items())[: components // IN_A_CLUSTER]
    return estate.model_copy(update={"clusters": dict(clusters)})


async def apply(year: Year, estate: Estate) -> None:
    """Put `estate`, the whole one or a part of it, in force. Components keep their ids and history."""
    registry = PostgresRegistry(year.server.conninfo(Role.OWNER))
    await registry.apply(estate, source_sha256="", at=datetime.now(UTC), actor="bench")


def _fingerprint(components: int) -> str:
    """What decides about the content: the parameters, this script, and the tables."""
    digest = hashlib.sha256(f"{components}".encode())
    scripts = (Path(__file__), Path(__file__).with_suffix(".sql"), Path(__file__).with_name("estates.py"))
    for path in (*scripts, *sorted(_MIGRATIONS.glob("*.sql"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


async def _clear_away(components: int) -> None:
    """Remove years of the same size that are half made or of another script."""
    for folder in FOLDER.glob(f"year-{components}-*"):
        await EmbeddedPostgres(folder / "postgres").stop()
        await asyncio.to_thread(shutil.rmtree, folder)


async def _make(folder: Path, components: int) -> None:
    config = await asyncio.to_thread(_write_estate, folder, components)
    server = EmbeddedPostgres(folder / "postgres", settings=_WHILE_MAKING)
    await server.start()
    try:
        owner = server.conninfo(Role.OWNER)
        await migrate(owner)
        await PostgresRegistry(owner).apply(read_estate(config), source_sha256="", at=END, actor="bench")
        async with connect(owner, "bench") as connection:
            await _fill(connection)
            # As autovacuum would have it by the end of a year.
            await connection.execute("VACUUM (FREEZE, ANALYZE)")
            await connection.execute("CHECKPOINT")
    finally:
        await server.stop()


def _write_estate(folder: Path, components: int) -> Path:
    folder.mkdir(parents=True)
    config = folder / "holdfast.yaml"
    config.write_text(estate_text(Wanted(components, agreed=min(50, components))), encoding="utf-8")
    link = folder / LINK_FILE
    link.touch(0o600)
    link.write_text(LINK, encoding="utf-8")
    return config


async def _fill(connection: Connection) -> None:
    start = END - timedelta(days=DAYS)
    whole = {"start": start, "end": END, "runs": RUNS_IN_AN_HOUR, "shapes": SHAPES}
    await _add_transitions(connection)
    await connection.execute("ANALYZE availability.transition")
    await connection.execute(SQL.make_shapes)
    for kind, runs in (("minute", 2), ("hour", RUNS_IN_AN_HOUR), ("day", 24 * RUNS_IN_AN_HOUR)):
        for n, histogram in enumerate(_shapes(kind, runs)):
            columns = (kind, n, list(histogram.buckets), list(histogram.counts))
            await connection.execute(SQL.add_shape, columns)
    await connection.execute(SQL.make_lost, whole)
    await connection.execute("ANALYZE shape, lost")
    midnight = END.replace(hour=0)
    last_day = {**whole, "start": END - timedelta(hours=26)}
    await _fill_partitions(
        connection, "rollup_day", {**whole, "start": midnight - timedelta(days=DAYS), "end": midnight}
    )
    await _fill_partitions(connection, "rollup_minute", last_day)
    for day in reversed(range(7)):
        until = END - timedelta(days=day)
        await _fill_partitions(connection, "result", {"start": until - timedelta(hours=1), "end": until})
    await _fill_partitions(connection, "rollup_hour", whole)
    for query in ("fill_states", "fill_maintenance", "mark_folded"):
        await connection.execute(SQL[query], whole)


async def _fill_partitions(connection: Connection, table: str, parameters: dict[str, object]) -> None:
    """Each partition in a transaction that also makes it, so that PostgreSQL need not log its rows."""
    fill = SQL["fill_" + {"result": "results"}.get(table, f"{table.removeprefix('rollup_')}s")]
    at, end = cast("datetime", parameters["start"]), cast("datetime", parameters["end"])
    while at < end:
        first, following = partition_bounds(table, at)
        until = min(following, end)
        print(f"  {table} {at:%Y-%m-%d} to {until:%Y-%m-%d}", file=sys.stderr)
        async with connection.transaction():
            await connection.execute(AVAILABILITY.make_partition, (table, first, following))
            await connection.execute(fill, {**parameters, "start": at, "end": until})
        at = until


async def _add_transitions(connection: Connection) -> None:
    cursor = await connection.execute("SELECT id FROM estate.probe ORDER BY id")
    checks = [row[0] for row in await cursor.fetchall()]
    statement: LiteralString = "COPY availability.transition (check_id, at, state, reason) FROM STDIN"
    async with connection.transaction(), connection.cursor() as writer, writer.copy(statement) as copy:
        for check_id in checks:
            for at, state in transitions_of(check_id):
                await copy.write_row((check_id, at, int(state), _REASONS.get(state, "")))


def transitions_of(check_id: int) -> Iterator[tuple[datetime, State]]:
    """When the check changed its state in the year, and to what: good, and some troubles that end again."""
    random = Random(_SEED * 10_000 + check_id)
    start = END - timedelta(days=DAYS)
    yield start, State.OPERATIONAL
    troubles = random.randint(5, 10)
    # One in each equal part of the year, so that they never overlap.
    part = timedelta(days=DAYS) / troubles
    silent = random.randrange(troubles)
    for index in range(troubles):
        length = timedelta(minutes=min(720.0, max(1.0, random.lognormvariate(2.5, 1.0))))
        began = (
            start
            + part * index
            + (part - length - timedelta(hours=1)) * random.random()
            + timedelta(minutes=30)
        )
        chosen = random.choices((State.MAJOR_OUTAGE, State.PARTIAL_OUTAGE, State.DEGRADED), (5, 2, 3))[0]
        yield began, State.UNKNOWN if index == silent else chosen
        yield began + length, State.OPERATIONAL


def _shapes(kind: str, runs: int) -> Iterator[Histogram]:
    """Histograms of `runs` latencies around 12 ms, some slower and some wider than others."""
    random = Random(f"{_SEED} {kind}")
    for _ in range(SHAPES):
        middle, spread = random.uniform(9.2, 9.6), random.uniform(0.15, 0.3)
        yield Histogram.of(round(random.lognormvariate(middle, spread)) for _ in range(runs))
