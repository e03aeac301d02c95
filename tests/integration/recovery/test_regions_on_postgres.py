"""What moving a cluster does in Holdfast's own database, with recovery's login and its rights alone."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.incidents import PostgresIncidents
from holdfast.adapters.postgres.recovery.regions import PostgresFences, PostgresLedgers
from holdfast.adapters.postgres.recovery.runs import PostgresRuns
from holdfast.bootstrap.recovery.region_parts import parts_in
from holdfast.bootstrap.recovery.region_telling import DeskIncidents
from holdfast.bootstrap.recovery.region_watch import policy_of
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.estate.loader import parse_estate
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.clock import SystemClock
from holdfast.recovery.errors import ComesLate, StepFailed
from holdfast.recovery.outage import Seen
from holdfast.recovery.ports import Fence

if TYPE_CHECKING:
    from conftest import Database

CLOCK = SystemClock()
SAMPLE = Path(__file__).resolve().parents[3] / "examples" / "printcloud" / "regions.yaml"


def sample() -> Estate:
    text = SAMPLE.read_text(encoding="utf-8")
    return parse_estate(text.encode(), SAMPLE, lambda *_: None)


@pytest.fixture
async def pool(migrated_database: "Database") -> AsyncIterator[Pool]:
    async with open_pool(migrated_database.conninfo(Role.RECOVERY), "test") as made:
        yield made


def around(database: "Database", pool: Pool, estate: Estate, folder: Path) -> Surroundings:
    place = Place(folder / "holdfast.yaml", folder / "data")
    return Surroundings(estate, place, database.conninfo(Role.RECOVERY), pool, PostgresRuns(pool), CLOCK)


async def applied(database: "Database", estate: Estate) -> None:
    registry = PostgresRegistry(database.conninfo(Role.CONTROLLER))
    await registry.apply(estate, source_sha256="0" * 64, at=CLOCK.now(), actor="test")


async def test_a_fence_that_all_replicas_share_refuses_who_comes_late(pool: Pool) -> None:
    fences = PostgresFences(pool)
    await fences.pass_("edge print-a", Fence("run1", 7, 3))
    await fences.pass_("edge print-a", Fence("run1", 7, 3))
    for late in (Fence("run1", 7, 2), Fence("run0", 6, 9)):
        with pytest.raises(ComesLate):
            await fences.pass_("edge print-a", late)
    await fences.pass_("edge print-b", Fence("run0", 6, 9))  # another target has heard of nothing


async def test_of_many_at_once_none_passes_behind_a_newer_one(pool: Pool) -> None:
    fences, passed = PostgresFences(pool), list[int]()

    async def go(turn: int) -> None:
        try:
            await fences.pass_("leader", Fence("run", 1, turn))
        except ComesLate:
            return
        passed.append(turn)

    await asyncio.gather(*(go(turn) for turn in (3, 1, 4, 2, 5)))
    assert 5 in passed
    with pytest.raises(ComesLate):
        await fences.pass_("leader", Fence("run", 1, 4))


async def test_how_the_ledger_stands_is_what_it_handed_out_and_what_is_there(
    migrated_database: "Database", pool: Pool
) -> None:
    ledgers = PostgresLedgers(pool)
    assert await ledgers.stands("print") == {}
    with migrated_database.connect() as connection:
        connection.execute(
            "INSERT INTO ledger.log (tenant, origin) "
            "VALUES ('', 'l/all'), ('a', 'l/a'), ('b', 'l/b'), ('c', 'l/c')"
        )
        connection.execute(
            "INSERT INTO ledger.growth (log_id, from_size, to_size, root, note, at) "
            "VALUES (2, 0, 5, %(root)s, '', now()), (2, 5, 9, %(root)s, '', now()), "
            "(3, 0, 4, %(root)s, '', now())",
            {"root": b"r" * 32},
        )
        connection.execute(
            "INSERT INTO ledger.published (log_id, size, note) VALUES (2, 5, 'n'), (2, 8, 'n'), (3, 6, 'n')"
        )
        connection.execute(
            "INSERT INTO ledger.standing "
            "(tenant, source, epoch, lowest, highest, entries, leaf, received_at, occurred_at) "
            "SELECT 'a', 'mfp-' || n, 1, 1, n, n, n, now() + n * interval '1 s', now() "
            "FROM generate_series(1, 300) AS n"
        )
    stands = await ledgers.stands("print")
    assert {name: (each.acknowledged, each.there, each.lost) for name, each in stands.items()} == {
        "l/a": (8, 9, 0),
        "l/b": (6, 4, 2),
        "l/c": (0, 0, 0),
    }
    # Those that sent last, and no more than can be read.
    assert list(stands["l/a"].sources.items())[:2] == [("mfp-300 1", 300), ("mfp-299 1", 299)]
    assert [len(each.sources) for each in stands.values()] == [200, 0, 0]


async def test_a_move_opens_one_incident_however_often(
    migrated_database: "Database", pool: Pool, tmp_path: Path
) -> None:
    await applied(migrated_database, sample())
    desk = DeskIncidents(pool, PostgresRegistry(migrated_database.conninfo(Role.RECOVERY)), CLOCK)
    began = datetime.now(UTC) - timedelta(minutes=2)
    assert await desk.opened("print, once") is None
    body = f"It works again since {began.isoformat()} UTC."
    for _ in range(2):
        await desk.open("print, once", "print", "The service was moved", body, began)
    await asyncio.gather(
        *(desk.open("twice", "print", "The service was moved", body, None) for _ in range(2))
    )
    made = await desk.opened("print, once")
    assert made is not None
    incident = await PostgresIncidents(pool).incident(made)
    assert incident is not None
    assert (incident.title, incident.began_at) == ("The service was moved", began)
    assert incident.updates[0].body == f"It works again since {began:%Y-%m-%d %H:%M:%S} UTC."
    with migrated_database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM communication.incident").fetchone() == (2,)


async def test_vantage_points_without_a_word_have_none(
    migrated_database: "Database", pool: Pool, tmp_path: Path
) -> None:
    """The edges do not run here: this process sees both down; the agents' checks have stored nothing."""
    text = SAMPLE.read_text(encoding="utf-8")
    text = text.replace("regions:\n", "vantage_points:\n  tokyo: {name: Tokyo}\nregions:\n", 1)
    text = text.replace(
        "            every: 2s\n", "            every: 2s\n            seen_from: [local, tokyo]\n"
    )
    text = text.replace(":18400/region", f":{free_of_anybody()}/region")
    estate = parse_estate(text.encode(), SAMPLE, lambda *_: None)
    await applied(migrated_database, estate)
    around_it = around(migrated_database, pool, without_secrets(estate), tmp_path)
    lookouts = parts_in(around_it)("print").lookouts
    assert list(lookouts.vantages) == ["local", "tokyo"]
    (sight,) = await lookouts.look()
    assert (sight.vantage, dict(sight.regions)) == ("local", {"a": Seen.DOWN, "b": Seen.DOWN})
    registry = PostgresRegistry(migrated_database.conninfo(Role.RECOVERY))
    registered = await registry.current()
    assert registered is not None
    now = CLOCK.now()
    with migrated_database.connect() as connection:
        for edge, outcome in (("edge-a", 3), ("edge-b", 0)):
            probe = registered.checks["print", "api", f"{edge}@tokyo"]
            connection.execute(
                "SELECT availability.make_partition('result', %s, %s)", (day(now), day(now, 1))
            )
            connection.execute(
                "INSERT INTO availability.result "
                "(check_id, at, outcome, attempts, latency_bucket, total_us, reason) "
                "VALUES (%s, %s, %s, 1, 0, 1, '')",
                (probe, now, outcome),
            )
    _, tokyo = await lookouts.look()
    assert (tokyo.vantage, dict(tokyo.regions)) == ("tokyo", {"a": Seen.DOWN, "b": Seen.UP})
    assert abs((tokyo.at - now).total_seconds()) < 0.001


def day(at: datetime, more: int = 0) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=more)


def free_of_anybody() -> int:
    """A port that nobody serves: the one that is reserved."""
    return 1


def without_secrets(estate: Estate) -> Estate:
    """As the sample, with its secrets out of the environment."""
    text = estate.model_dump_json()
    os.environ["REGIONS_TEST_SECRET"] = "c2VjcmV0"
    return Estate.model_validate_json(re.sub(r'"file:[^"]*"', '"env:REGIONS_TEST_SECRET"', text))


async def test_a_cluster_that_the_estate_does_not_move_is_told(
    migrated_database: "Database", pool: Pool, tmp_path: Path
) -> None:
    parts = parts_in(around(migrated_database, pool, sample(), tmp_path))
    with pytest.raises(StepFailed, match="does not say how 'other' is moved"):
        parts("other")


def test_the_smallest_rpo_of_an_agreement_is_the_limit() -> None:
    text = SAMPLE.read_text(encoding="utf-8")
    text = re.sub(r"(?m)^( +automatic:).*$", r"\1 {lag: 30s}", text)
    text += """
customers:
  acme: {name: Acme}
agreements:
  gold: {customer: acme, name: Gold, components: [print/*], objective: 99.9, rpo: 5s}
  all: {customer: acme, name: All, components: ["*/api"], objective: 99.9, rpo: 20s}
"""
    estate = parse_estate(text.encode(), SAMPLE, lambda *_: None)
    assert estate.recovery is not None
    declared = estate.recovery.clusters["print"]
    policy = policy_of(estate, "print", declared)
    assert policy.automatic
    assert policy.lag == timedelta(seconds=5)
