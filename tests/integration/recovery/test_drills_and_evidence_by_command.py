"""Drills and evidence at the command line, on a whole Holdfast: held, listed, verified, exported."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.installation import Installation, eventually, free_port, installed
from tests.kept_estates import TWO_FOLDERS
from tests.protected import LOGIN_PASSWORD, Protected
from tests.restorable import Restorable

from holdfast.adapters.objectstore.regions import open_region

ESTATE = (
    TWO_FOLDERS
    + """\
site: {{listen: "127.0.0.1:{site}"}}
console: {{listen: "127.0.0.1:{console}"}}
customers: {{ada: {{name: Ada}}}}
agreements:
  ada-gold: {{customer: ada, name: Gold, components: [print/web], objective: 99.9, rpo: 1d, rto: 2h}}
databases:
  shop:
    name: Shop
    cluster: print
    mode: archive
    connection: {{host: 127.0.0.1, port: {port}, tls: "off", password: "file:password"}}
    copies: {{eu: {{}}, us: {{}}}}
    schedule: {{full_every: 300d, incremental_every: 300d}}
    verification:
      every: 300d
      checks: {{orders: "SELECT count(*) > 0 FROM orders"}}
recovery:
  listen: "127.0.0.1:{recovery}"
  drills:
    shop-restore: {{scenario: restore, subject: shop, valid_for: 30d, public: [drilled, measured]}}
    shop-back: {{scenario: corruption, subject: shop, game_day: false}}
"""
)


pytestmark = pytest.mark.timeout(600)  # many commands, one after the other


@dataclass(frozen=True)
class Whole:
    """A Holdfast that runs, on a database with copies in two folders."""

    holdfast: Installation
    stored: Restorable
    folder: Path


@pytest.fixture
def whole(protected: Protected, tmp_path: Path) -> Iterator[Whole]:
    folder = tmp_path / "whole"
    folder.mkdir()
    password = folder / "password"
    password.write_text(LOGIN_PASSWORD, encoding="ascii")
    password.chmod(0o600)
    for name in ("eu", "us"):
        (folder / name).mkdir()
    protected.sql("CREATE TABLE orders AS SELECT i, now() AS at FROM generate_series(1, 1000) i")
    regions = [open_region(name, f"file://{folder / name}", {}, "none") for name in ("eu", "us")]
    stored = Restorable(protected, regions)
    stored.take()
    protected.sql("INSERT INTO orders SELECT i, now() FROM generate_series(1001, 1100) i")
    stored.store_wal()
    text = ESTATE.format(
        folder=folder, port=protected.port, site=free_port(), console=free_port(), recovery=free_port()
    )
    with installed(folder, text) as holdfast:
        holdfast.up()
        yield Whole(holdfast, stored, folder)


def test_a_drill_is_held_and_its_evidence_convinces_whoever_has_the_key(whole: Whole) -> None:
    holdfast, folder = whole.holdfast, whole.folder
    said = holdfast.run("drill", "restore", "shop", "--region", "us", "--seed", "4")
    assert "with the seed 4" in said.out

    [it] = holdfast.run("evidence", "list", "--json").json["evidence"]
    assert (it["subject"], it["scenario"], it["passed"], it["leaf"], it["seed"]) == (
        "shop",
        "restore",
        True,
        0,
        4,
    )
    assert it["rto"]["contract_ms"] == 7_200_000
    assert it["rto"]["measured_ms"] > 0
    assert "drill of restore (isolated)" in holdfast.run("evidence", "list").out
    shown = holdfast.run("evidence", "show", it["id"]).out
    assert "RTO: target none, contract 2 h, measured" in shown
    assert "check orders: holds" in shown

    assert "it holds" in holdfast.run("evidence", "verify").out
    key = holdfast.run("evidence", "key").out.strip()
    holdfast.run("evidence", "export", "--json", "--to", "proof.json")
    _verified_by_who_has_nothing_else(holdfast, folder, key)

    remarked = holdfast.run("evidence", "remark", it["id"], "the disk was changed", "--json").json
    assert [each["text"] for each in remarked["remarks"]] == ["the disk was changed"]
    holdfast.run("evidence", "remark", it["id"], "the disk was changed")
    assert len(holdfast.run("evidence", "show", it["id"], "--json").json["remarks"]) == 1
    assert holdfast.run("evidence", "verify", "--continues", "proof.json", "--json").json["size"] == 2

    holdfast.run("evidence", "export", it["id"], "--pdf", "--to", "paper.pdf")
    assert (folder / "paper.pdf").read_bytes().startswith(b"%PDF-")
    again = holdfast.run("evidence", "export", it["id"], "--pdf", "--to", "paper.pdf", code=1)
    assert "--force" in again.err

    _drills_tell_how_they_stand(holdfast)
    _what_an_owner_altered_is_found(holdfast)


def _verified_by_who_has_nothing_else(holdfast: Installation, folder: Path, key: str) -> None:
    elsewhere = Installation(folder / "elsewhere")
    elsewhere.folder.mkdir()
    file = elsewhere.folder / "proof.json"
    file.write_bytes((folder / "proof.json").read_bytes())
    said = elsewhere.run("evidence", "verify", "--offline", "proof.json", "--key", key)
    assert "it holds" in said.out
    file.write_text(file.read_text().replace('"measured_ms": ', '"measured_ms": 1'))
    said = elsewhere.run("evidence", "verify", "--offline", "proof.json", "--key", key, code=1)
    assert "does not lead to the root" in said.err
    other = key.replace("holdfast/evidence", "other/evidence")
    assert (
        "no verifier key"
        in elsewhere.run("evidence", "verify", "--offline", "proof.json", "--key", other, code=1).err
    )


def _drills_tell_how_they_stand(holdfast: Installation) -> None:
    told = {each["drill"]: each for each in holdfast.run("drill", "list", "--json").json["drills"]}
    assert told["shop-restore"]["expired"] is False
    assert told["shop-restore"]["forecast"]["samples"] == 1
    assert told["shop-back"]["expired"] is True
    assert "shop-back" in holdfast.run("drill", "list").out
    picked = holdfast.run("drill", "game-day", "--dry-run", "--seed", "9", "--json").json
    assert picked == {"drill": "shop-restore", "seed": 9, "run": None}
    holdfast.run("drill", "game-day", "--seed", "9")
    [newest, *_] = holdfast.run("evidence", "list", "--json").json["evidence"]
    assert (newest["seed"], newest["scenario"], newest["passed"]) == (9, "restore", True)
    said = holdfast.run("drill", "restore", "shopp", code=1)
    assert "shop" in said.err
    said = holdfast.run("drill", "region-outage", "--cluster", "print", code=1)
    assert "recovery.drills" in said.err
    said = holdfast.run("evidence", "show", "nothing", code=1)
    assert "there is no evidence 'nothing'" in said.err


def _what_an_owner_altered_is_found(holdfast: Installation) -> None:
    """Whoever owns the database can do as they like; but not so that nobody finds out."""
    with contextlib.closing(holdfast.connect()) as owner:
        owner.execute("ALTER TABLE recovery.evidence DISABLE TRIGGER append_only")
        owner.execute(
            "UPDATE recovery.evidence SET content = convert_to("
            "replace(convert_from(content, 'UTF8'), 'started_by', 'started_bv'), 'UTF8') WHERE leaf = 0"
        )
    said = holdfast.run("evidence", "verify", "--json", code=1)
    told = json.loads(said.out)
    assert told["holds"] is False
    assert any("leaf 0" in each for each in told["problems"])


def test_a_process_that_is_killed_in_the_middle_leaves_nothing_and_the_drill_ends(whole: Whole) -> None:
    """Once while the copy is laid out, and once while its server runs."""
    holdfast = whole.holdfast
    drills = holdfast.data_dir / "drills"
    run = holdfast.run("drill", "restore", "shop", "--region", "eu", "--no-watch", "--json").json
    for sign in ("copies/shop/warm-eu", "copies/shop/warm-eu/*/postmaster.pid"):
        _killed_once_there_is(holdfast, drills, sign)

    eventually(
        lambda: holdfast.query("SELECT state FROM recovery.run WHERE id = %s", run["id"]) == [("done",)],
        "another process has ended the drill",
    )
    [it] = holdfast.run("evidence", "list", "--json").json["evidence"]
    assert (it["run"], it["passed"]) == (run["id"], True)
    eventually(lambda: not (drills / "copies" / "shop").exists(), "the copy is gone")
    assert [command for command in holdfast.processes().values() if str(drills) in command] == []
    assert "it holds" in holdfast.run("evidence", "verify").out


def _killed_once_there_is(holdfast: Installation, drills: Path, sign: str) -> None:
    """The process of recovery, at that moment; `up` starts another one."""

    def there() -> bool:
        return any(drills.glob(sign))

    eventually(there, f"the drill has come to {sign}")
    killed = holdfast.role("recovery")
    if killed is not None:  # it may be on its way back still
        os.kill(killed, signal.SIGKILL)
    eventually(lambda: holdfast.role("recovery") not in {None, killed}, "it is back")
