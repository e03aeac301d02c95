"""`holdfast recover` on a whole Holdfast: a wrong UPDATE is taken back, and what came later stays."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.installation import Installation, eventually, free_port, installed
from tests.kept_estates import TWO_FOLDERS
from tests.protected import LOGIN_PASSWORD, OWNER, OWNER_PASSWORD, Protected
from tests.restorable import Restorable

from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.postgres.conninfo import Role
from holdfast.bootstrap.at_work import run, with_database
from holdfast.bootstrap.recovery.people import recovery_for_people
from holdfast.interfaces.cli.ports import Place

ESTATE = (
    TWO_FOLDERS
    + """\
site: {{listen: "127.0.0.1:{site}"}}
console: {{listen: "127.0.0.1:{console}"}}
databases:
  shop:
    name: Shop
    cluster: print
    mode: archive
    connection: {{host: 127.0.0.1, port: {port}, tls: "off", password: "file:password"}}
    copies: {{eu: {{}}, us: {{}}}}
    schedule: {{full_every: 300d, incremental_every: 300d}}
    verification: {{every: 300d}}
recovery:
  listen: "127.0.0.1:{recovery}"
  databases:
    shop:
      owner:
        {{host: 127.0.0.1, port: {port}, tls: "off", user: {owner}, dbname: shop, password: "file:owner"}}
"""
)


@dataclass(frozen=True)
class Whole:
    """A Holdfast that runs, on a shop with copies in two folders."""

    holdfast: Installation
    server: Protected
    stored: Restorable
    folder: Path

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        return self.server.sql(text, "shop")

    def wait_for(self, run_id: str, state: str) -> dict[str, Any]:
        """The run, once it is so."""
        seen = dict[str, Any]()

        def shown() -> bool:
            seen.update(self.holdfast.run("run", "show", run_id, "--json").json)
            return state in (seen["state"], seen["waits_at"]) or seen["state"] == "needs operator"

        with contextlib.suppress(AssertionError):
            eventually(shown, f"the run comes to {state}", within_s=180.0)
        assert state in (seen["state"], seen["waits_at"]), str(seen)
        return seen

    def approve_as(self, who: str, run_id: str) -> None:
        """As somebody does on the console, who is not whoever began."""
        place = Place(self.holdfast.folder / "holdfast.yaml", self.holdfast.data_dir)

        async def approve(pool: Any, inventory: Any) -> None:
            people = recovery_for_people(pool, lambda: inventory.estate, place)
            await people.approve(run_id, "agree", who, {"commander"})

        run(with_database(place, Role.CONSOLE, approve))


@pytest.fixture
def whole(protected: Protected, tmp_path: Path) -> Iterator[Whole]:
    folder = tmp_path / "whole"
    folder.mkdir()
    for name, password in (("password", LOGIN_PASSWORD), ("owner", OWNER_PASSWORD)):
        (folder / name).write_text(password, encoding="ascii")
        (folder / name).chmod(0o600)
    for name in ("eu", "us"):
        (folder / name).mkdir()
    protected.sql("CREATE DATABASE shop")
    protected.sql("CREATE TABLE jobs (id int PRIMARY KEY, pages int NOT NULL)", "shop")
    protected.sql("INSERT INTO jobs SELECT n, n FROM generate_series(1, 40) n", "shop")
    regions = [open_region(name, f"file://{folder / name}", {}, "none") for name in ("eu", "us")]
    stored = Restorable(protected, regions)
    stored.take()
    text = ESTATE.format(
        folder=folder,
        port=protected.port,
        owner=OWNER,
        site=free_port(),
        console=free_port(),
        recovery=free_port(),
    )
    with installed(folder, text) as holdfast:
        holdfast.up()
        yield Whole(holdfast, protected, stored, folder)


def test_a_wrong_update_from_the_command_to_the_evidence(whole: Whole) -> None:
    holdfast = whole.holdfast
    good = whole.sql("SELECT * FROM jobs ORDER BY id")
    whole.sql("UPDATE jobs SET pages = -1 WHERE id <= 25")
    whole.sql("INSERT INTO jobs VALUES (100, 7)")
    whole.stored.store_wal()
    (whole.folder / "well.sql").write_text("-- while all is well\nSELECT min(pages) > 0\nFROM jobs;\n")

    offline = holdfast.run(
        "playbook",
        "show",
        "corruption",
        "--offline",
        "--for",
        "shop",
    )
    assert "holdfast find-good shop" in offline.out

    started = holdfast.run("recover", "shop", "--check", "well.sql", "--json").json
    waiting = whole.wait_for(started["id"], "agree")
    assert "25 rows put back, 0 that are gone put in again; 1 row new since then stay" in str(waiting)
    assert whole.sql("SHOW default_transaction_read_only") == [("on",)]
    refused = holdfast.run("run", "approve", started["id"], code=1)
    assert "whoever started the run cannot approve it" in refused.err
    assert whole.sql("SELECT count(*) FROM jobs WHERE pages < 0") == [(25,)]

    whole.approve_as("bob", started["id"])
    done = whole.wait_for(started["id"], "done")
    assert whole.sql("SELECT * FROM jobs ORDER BY id") == [*good, (100, 7)]
    assert whole.sql("SHOW default_transaction_read_only") == [("off",)]
    assert not (holdfast.data_dir / "recovery" / done["id"]).exists()

    def recorded() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = holdfast.run("evidence", "list", "--json").json["evidence"]
        return found

    [evidence] = eventually(recorded, "its evidence is there")
    assert (evidence["subject"], evidence["scenario"]) == ("shop", "corruption")
    assert "it holds" in holdfast.run("evidence", "verify").out


def test_what_cannot_be_done_is_said_at_once(whole: Whole) -> None:
    holdfast = whole.holdfast
    (whole.folder / "empty.sql").write_text(" \n")
    assert "holds no check" in holdfast.run("recover", "shop", "--check", "empty.sql", code=1).err
    assert "cannot be read" in holdfast.run("recover", "shop", "--check", "none.sql", code=1).err
    (whole.folder / "well.sql").write_text("SELECT true")
    wrong = holdfast.run("recover", "shopp", "--check", "well.sql", code=1)
    assert "did you mean `shop`?" in wrong.err
    between = ("--between", "2026-11-22 15:00Z", "2026-11-22 14:00Z")
    assert "after the first" in holdfast.run("recover", "shop", "--check", "well.sql", *between, code=2).err
    assert holdfast.run("run", "list", "--all", "--json").json == []
