"""`holdfast backup points`, `expire` and `retention` over stores in folders, as an operator uses them."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.held import backup, lsn, wal
from tests.stored_held import stored
from typer.testing import CliRunner

from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.availability.inventory import Inventory
from holdfast.backup.model import Backup, WalPiece
from holdfast.bootstrap.backup import recoverable
from holdfast.bootstrap.backup.recoverable import LocalRecoverable
from holdfast.bootstrap.commands import LocalCommands
from holdfast.interfaces.cli.app import build
from holdfast.interfaces.cli.ports import Place

if TYPE_CHECKING:
    from conftest import Database

ESTATE = """\
version: 1
regions: {{eu: {{name: EU}}, usa: {{name: USA}}}}
clusters:
  main: {{name: Main, region: eu, components: {{web: {{name: Web, checks: {{page: {{url: "http://127.0.0.1:1"}}}}}}}}}}
backup:
  stores: {{eu: {{to: "file://{folder}/eu"}}, usa: {{to: "file://{folder}/usa"}}}}
databases:
  shop:
    name: Shop
    cluster: main
    connection: {{host: /nowhere}}
    copies: {{eu: {{}}, usa: {{}}}}
    keep: {{window: {window}, weekly: 0, monthly: 0, minimum: 1}}
"""


@dataclass
class Commands(LocalCommands):
    """The real ones, but for where Holdfast's own database is."""

    working: Any = None

    def recoverable(self) -> LocalRecoverable:
        return LocalRecoverable(self.working, asyncio.run)


@dataclass
class Estate:
    """An estate file, its stores, and the command line over it."""

    folder: Path
    database: "Database | None"
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def declare(self, window: str = "2d") -> None:
        (self.folder / "holdfast.yaml").write_text(ESTATE.format(folder=self.folder, window=window))

    def store(self, region: str, backups: list[Backup], pieces: list[WalPiece]) -> None:
        (self.folder / region).mkdir(exist_ok=True)
        stored(open_region(region, f"file://{self.folder}/{region}", {}, "none"), backups, pieces)  # type: ignore[type-var]

    def run(self, *arguments: str) -> tuple[int, str]:
        commands = Commands(self._working)
        where = ["--config", str(self.folder / "holdfast.yaml"), "--data-dir", str(self.folder / "data")]
        answer = CliRunner().invoke(build(lambda: commands), ["backup", *arguments, *where])
        assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
        return answer.exit_code, answer.output

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json")[1])

    def _working(
        self, place: Place, role: Role, work: Callable[[Pool, Inventory], Awaitable[Any]]
    ) -> Coroutine[Any, Any, Any]:
        assert place.config.exists()
        assert self.database is not None
        conninfo = self.database.conninfo(role)

        async def working() -> Any:
            async with open_pool(conninfo, "test") as pool:
                return await work(pool, None)  # type: ignore[arg-type]

        return working()


@pytest.fixture
def estate(tmp_path: Path) -> Estate:
    made = Estate(tmp_path, None)
    made.declare()
    return made


@pytest.fixture
def running(tmp_path: Path, migrated_database: "Database") -> Estate:
    made = Estate(tmp_path, migrated_database)
    made.declare()
    return made


@contextmanager
def signed_in(name: str) -> Iterator[None]:
    """The commands are run by that account of the system."""
    before = recoverable.command_line
    recoverable.command_line = lambda: f"command line ({name})"
    try:
        yield
    finally:
        recoverable.command_line = before


def recent(now: datetime, hours: int) -> tuple[list[Backup], list[WalPiece]]:
    """A full backup each day of the hours before now, and all WAL."""
    begun = now - timedelta(hours=hours)
    return [backup(hour, begun=begun) for hour in range(0, hours - 1, 24)], wal(0, hours, begun=begun)


def test_points_of_every_region_with_the_gaps_drawn(estate: Estate) -> None:
    backups, pieces = recent(estate.now, 72)
    estate.store("eu", backups, pieces)
    estate.store("usa", backups, [each for each in pieces if not lsn(30) <= each.start_lsn < lsn(40)])
    code, text = estate.run("points", "shop", "--sample", "0")
    assert code == 0
    eu, usa = text.split("shop in usa")
    assert "RPO now       60 s" in eu or "RPO now       6" in eu
    assert "restored in unknown" in eu
    assert "verified      never" in eu
    assert eu.count("window  ") == 1
    assert usa.count("window  ") == 2
    assert "gap     from" in usa
    line = next(each for each in usa.splitlines() if "[" in each and "]" in each)
    assert "=.." in line.replace("+", ".")
    assert estate.run("points", "shop", "--region", "eu", "--sample", "0")[1].count("shop in") == 1


def test_points_as_json_say_null_for_what_nobody_knows(estate: Estate) -> None:
    backups, pieces = recent(estate.now, 48)
    estate.store("eu", backups, pieces)
    eu, usa = estate.json("points", "--all", "--sample", "0")
    assert 59 <= eu["rpo_s"] < 600
    assert eu["expected_restore_s"] is None
    assert [each["id"] for each in eu["points"]] == [each.id for each in backups]
    assert (usa["rpo_s"], usa["covered_until"], usa["windows"]) == (None, None, [])
    assert estate.run("points", "--all")[0] == 1, "a region from which nothing can be restored is a failure"


def test_bytes_that_are_not_what_was_stored_are_found_by_reading(estate: Estate) -> None:
    backups, pieces = recent(estate.now, 24)
    estate.store("eu", backups, pieces)
    code, text = estate.run("points", "shop", "--region", "eu", "--sample", "1000")
    assert code == 1
    assert "DAMAGED shop/wal/" in text
    assert "0 of " in text


def test_a_database_that_nobody_declared_is_one_line(estate: Estate) -> None:
    code, text = estate.run("points", "shoppe")
    assert code == 1
    assert "no database is called 'shoppe'" in text
    assert estate.run("points")[0] == 2


def test_expiry_shows_all_of_it_first_and_then_does_it(running: Estate) -> None:
    backups, pieces = recent(running.now, 24 * 6)
    for region in ("eu", "usa"):
        running.store(region, backups, pieces)
    shown = running.json("expire", "shop", "--dry-run")
    eu, usa = shown["regions"]
    assert shown["dry_run"]
    assert eu["backups"] == usa["backups"] == [each.id for each in backups[:3]]
    assert eu["wal_pieces"] > 60
    assert eu["stays"][backups[3].id] == ["before the window"]
    assert len(running.json("points", "shop", "--sample", "0")[0]["points"]) == 6
    code, text = running.run("expire", "shop")
    assert code == 0
    assert "eu: 3 backups" in text
    assert [each["id"] for each in running.json("points", "shop", "--sample", "0")[1]["points"]] == [
        each.id for each in backups[3:]
    ]
    assert running.json("expire", "shop")["regions"][0]["backups"] == []


def test_less_is_kept_only_when_two_people_agreed_and_a_day_went_by(running: Estate) -> None:
    backups, pieces = recent(running.now, 24 * 6)
    running.store("eu", backups, pieces)
    running.declare("10d")
    assert running.json("expire", "shop")["regions"][0]["backups"] == []
    running.declare("2d")
    assert running.json("expire", "shop")["regions"][0]["backups"] == []
    code, text = running.run("retention", "shop")
    assert code == 0
    assert "2 people must approve it" in text
    with signed_in("ada"):
        assert running.run("retention", "shop", "approve", "--region", "eu")[0] == 0
        code, text = running.run("retention", "shop", "approve", "--region", "eu")
        assert code == 1
        assert "another person" in text
    with signed_in("grace"):
        (eu,) = running.json("retention", "shop", "approve", "--region", "eu")
    assert [each["by"] for each in eu["change"]["approvals"]] == [
        "command line (ada)",
        "command line (grace)",
    ]
    assert eu["change"]["effective_at"] is not None
    assert running.json("expire", "shop")["regions"][0]["backups"] == []
    assert running.database is not None
    with running.database.connect() as owner:
        events = owner.execute("SELECT actor, event FROM holdfast.journal ORDER BY id").fetchall()
    assert ("command line (grace)", "backup.retention_approved") in events
    assert ("estate", "backup.retention_change_asked") in events


def test_nothing_to_approve_is_said(running: Estate) -> None:
    code, text = running.run("retention", "shop", "approve")
    assert code == 1
    assert "nothing is asked for shop" in text
