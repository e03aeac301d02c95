"""Drills of restores, on a real PostgreSQL and its real backups, up to the evidence and its proof."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.kept_estates import TWO_FOLDERS
from tests.protected import LOGIN_PASSWORD, Protected
from tests.restorable import Restorable

from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.recovery.evidence import PostgresEvidence
from holdfast.adapters.postgres.recovery.news import Unheard
from holdfast.adapters.postgres.recovery.runs import PostgresRuns
from holdfast.adapters.signing.ed25519 import verifies
from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.recovery.actions import actions_for
from holdfast.bootstrap.recovery.evidence_keys import evidence_keys
from holdfast.bootstrap.recovery.people import recovery_for_people
from holdfast.bootstrap.recovery.recording import recorder_for
from holdfast.bootstrap.recovery.scheduling import standings_of, start_due
from holdfast.bootstrap.recovery.sealing import check_log
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.bootstrap.recovery.terms import drills_of
from holdfast.bootstrap.recovery.working import Working
from holdfast.identity.roles import labels
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.clock import SystemClock
from holdfast.recovery.engine import Engine
from holdfast.recovery.evidence import Evidence, Holds, Outcome, Where, entry_of
from holdfast.recovery.model import Run

if TYPE_CHECKING:
    from conftest import Database

PATIENCE_S = 120.0
ESTATE = (
    TWO_FOLDERS
    + """\
customers: {{ada: {{name: Ada}}}}
agreements:
  ada-gold: {{customer: ada, name: Gold, components: [print/web], objective: 99.9, rpo: 1d, rto: 2h}}
databases:
  shop:
    name: Shop
    cluster: print
    connection: {{host: 127.0.0.1, port: {port}, tls: "off", password: "file:password"}}
    copies: {{eu: {{}}, us: {{}}}}
    verification:
      checks: {{orders: "SELECT count(*) > 0 FROM orders"}}
recovery:
  drills:
    shop-restore: {{scenario: restore, subject: shop, every: 7d, region: us, target: {{rto: 30m}}}}
"""
)


@dataclass(frozen=True)
class Drilling:
    """An estate with a database that is kept in two regions, and a process that works on its runs."""

    working: Working
    around: Surroundings
    stored: Restorable
    evidence: PostgresEvidence

    async def drilled(self, name: str, given: Mapping[str, str] | None = None) -> tuple[Run, Evidence]:
        run = await self.working.recovery.start(name, "shop", given or {}, "ben", labels())
        return await self.ended(run.id)

    async def ended(self, run_id: str) -> tuple[Run, Evidence]:
        async with asyncio.timeout(PATIENCE_S):
            async for held in self.working.recovery.watch(run_id):
                run = held.run
        await recorder_for(self.working).record_what_is_over()
        entries = [entry_of(each.content) for each in await self.evidence.entries()]
        [found] = [each for each in entries if isinstance(each, Evidence) and each.run == run_id]
        return run, found


@pytest.fixture
async def drilling(
    protected: Protected, migrated_database: "Database", tmp_path: Path
) -> AsyncIterator[Drilling]:
    (tmp_path / "holdfast.yaml").write_text(
        ESTATE.format(folder=tmp_path, port=protected.port), encoding="utf-8"
    )
    password = tmp_path / "password"
    password.write_text(LOGIN_PASSWORD, encoding="ascii")
    password.chmod(0o600)
    for name in ("eu", "us"):
        (tmp_path / name).mkdir()
    protected.sql("CREATE TABLE orders AS SELECT i, now() AS at FROM generate_series(1, 1000) i")
    regions = [open_region(name, f"file://{tmp_path / name}", {}, "none") for name in ("eu", "us")]
    stored = Restorable(protected, regions)
    stored.take()
    protected.sql("INSERT INTO orders SELECT i, now() FROM generate_series(1001, 1100) i")
    stored.store_wal()
    estate = read_estate(tmp_path / "holdfast.yaml")
    place = Place(tmp_path / "holdfast.yaml", tmp_path / "data")
    conninfo = migrated_database.conninfo(Role.RECOVERY)
    async with open_pool(conninfo, "drilling") as pool:
        runs, clock, news = PostgresRuns(pool), SystemClock(), Unheard()
        around = Surroundings(estate, place, conninfo, pool, runs, clock)
        people = recovery_for_people(pool, lambda: estate, place)
        working = Working(estate, place, conninfo, pool, news, runs, people, clock)
        engine = Engine(runs, actions_for(around), clock, replica="test")
        task = asyncio.create_task(engine.work())
        yield Drilling(working, around, stored, PostgresEvidence(pool))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def problems_of(drilling: Drilling, kept: "list[object]") -> list[str]:
    keys = evidence_keys(
        drilling.working.estate, drilling.working.place.config, drilling.working.place.data_dir
    )
    return check_log(kept, keys[0].name, keys, verifies).problems  # type: ignore[arg-type]


async def test_a_restore_is_drilled_measured_and_proven(drilling: Drilling) -> None:
    run, found = await drilling.drilled("drill-restore", {"region": "us"})

    assert run.state.value == "done", run.why
    assert (found.scenario, found.drill, found.where, found.outcome) == (
        "restore",
        True,
        Where.ISOLATED,
        Outcome.DONE,
    )
    assert found.what.startswith("shop out of us, as it was at ")
    assert found.data_bytes is not None
    assert found.data_bytes > 1_000_000
    assert (found.rpo.contract_ms, found.rto.contract_ms) == (86_400_000, 7_200_000)
    assert found.rto.target_ms == 1_800_000
    assert found.rto.measured_ms is not None
    assert 0 < found.rto.measured_ms < PATIENCE_S * 1000
    assert found.rpo.measured_ms is not None
    assert found.passed
    assert {each.name: each.holds for each in found.invariants}["check orders"] is Holds.HOLDS
    within = {each.name for each in found.phases if each.within == "restore"}
    assert {"fetch", "replay", "first answer"} & within
    assert found.loss.transactions is None, "nobody counted them"
    assert not (drilling.working.place.data_dir / "drills" / "copies" / "shop").exists()
    assert problems_of(drilling, list(await drilling.evidence.entries())) == []


async def test_a_copy_that_is_wrong_is_evidence_too(drilling: Drilling) -> None:
    drilling.stored.server.sql("TRUNCATE orders")
    drilling.stored.store_wal()

    _, found = await drilling.drilled("drill-restore", {"region": "eu"})

    assert found.outcome is Outcome.DONE
    assert not found.passed
    assert found.rto.measured_ms is None, "what does not come back right took no time"
    assert {each.name for each in found.invariants if each.holds is Holds.FAILS} >= {"check orders"}


async def test_a_region_that_is_away_leaves_a_cancelled_drill_with_its_reason(drilling: Drilling) -> None:
    run, found = await drilling.drilled("drill-restore", {"region": "nowhere"})

    assert run.state.value == "cancelled"
    assert found.outcome is Outcome.CANCELLED
    assert "there is no copy of shop in 'nowhere'" in found.why
    assert found.rto.measured_ms is None
    assert not found.passed


async def test_going_back_tells_what_has_changed_since(drilling: Drilling) -> None:
    drilling.stored.server.sql("CREATE TABLE jobs AS SELECT i FROM generate_series(1, 7) i")
    drilling.stored.store_wal()

    run, found = await drilling.drilled("drill-corruption", {"region": "eu", "seed": "3"})

    assert run.state.value == "done", run.why
    assert (found.scenario, found.seed) == ("corruption", 3)
    assert found.rto.measured_ms is not None
    assert "jobs: 0 rows then, 7 in the newest state" in found.loss.statement


async def test_what_is_due_begins_once_whoever_asks(drilling: Drilling) -> None:
    drills = drills_of(drilling.working.estate)
    [due] = await standings_of(drilling.evidence, drills, drilling.working.clock.now())
    assert due.is_due
    assert due.is_expired

    began = await asyncio.gather(*(start_due(drilling.working, due) for _ in range(4)))

    runs = await drilling.working.recovery.newest()
    assert len(runs) == 1
    assert any(began)
    later = replace(due, now=due.now + timedelta(days=7))
    if not runs[0].state.is_over:
        assert not await start_due(drilling.working, later), "it does not overtake itself"
    run, found = await drilling.ended(runs[0].id)
    assert run.state.value == "done", run.why
    assert (found.started_by, found.passed) == ("schedule", True)
    [after] = await standings_of(drilling.evidence, drills, drilling.working.clock.now())
    assert not after.is_due
    assert not after.is_expired
    assert after.passed_at == found.ended_at or after.passed_at is not None


async def test_two_drills_of_one_database_take_turns_on_a_machine(drilling: Drilling) -> None:
    asked = [{"region": "eu"}, {"region": "us"}, {"region": "eu", "point": "older"}]
    start = drilling.working.recovery.start
    runs = [await start("drill-restore", "shop", given, "ben", labels()) for given in asked]

    for each in runs:
        run, found = await drilling.ended(each.id)
        assert run.state.value == "done", run.why
        assert found.passed, found
        assert [phase.attempts for phase in found.phases if phase.name == "restore"] == [1]
