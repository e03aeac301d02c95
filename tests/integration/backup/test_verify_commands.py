"""`holdfast backup verify` and `suspect` as the operator runs them, and what a kill in the middle leaves."""

import json
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.installation import PROGRAM
from tests.kept_estates import TWO_FOLDERS
from tests.protected import LOGIN_PASSWORD, Protected
from tests.restorable import Restorable
from typer.testing import CliRunner

from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.postgres.server import process
from holdfast.bootstrap.main import _commands
from holdfast.interfaces.cli.app import build

PATIENCE_S = 120.0
ESTATE = (
    TWO_FOLDERS
    + """\
databases:
  shop:
    name: Shop
    cluster: print
    connection: {{host: 127.0.0.1, port: {port}, tls: "off", password: "file:password"}}
    copies: {{eu: {{}}, us: {{}}}}
    verification:
      checks: {{orders: "SELECT count(*) > 0 FROM orders"}}
      newest: {{orders: "SELECT max(at) FROM orders"}}
"""
)


@dataclass(frozen=True)
class Operator:
    """At the command line, with an estate of one database with copies in two folders."""

    folder: Path
    stored: Restorable

    def arguments(self, *words: str) -> list[str]:
        places = ["--config", str(self.folder / "holdfast.yaml"), "--data-dir", str(self.folder / "data")]
        return ["backup", *words, *places]

    def run(self, *words: str) -> tuple[int, str]:
        ended = CliRunner().invoke(build(_commands), self.arguments(*words))
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
        return ended.exit_code, ended.stdout + ended.stderr

    def verified(self, *words: str) -> list[dict]:  # type: ignore[type-arg]
        _, out = self.run("verify", "shop", *words, "--json")
        told = json.loads(out)["verifications"]
        assert isinstance(told, list)
        return told

    @property
    def warm(self) -> Path:
        return self.folder / "data/copies/shop/warm-eu"


@pytest.fixture
def operator(protected: Protected, tmp_path: Path) -> Operator:
    text = ESTATE.format(folder=tmp_path, port=protected.port)
    (tmp_path / "holdfast.yaml").write_text(text, encoding="utf-8")
    password = tmp_path / "password"
    password.write_text(LOGIN_PASSWORD, encoding="ascii")
    password.chmod(0o600)
    for name in ("eu", "us"):
        (tmp_path / name).mkdir()
    protected.sql("CREATE TABLE orders AS SELECT i, now() AS at FROM generate_series(1, 1000) i")
    regions = [open_region(name, f"file://{tmp_path / name}", {}, "none") for name in ("eu", "us")]
    stored = Restorable(protected, regions)
    stored.take()
    protected.sql("INSERT INTO orders SELECT 0, now()")
    stored.store_wal()
    return Operator(tmp_path, stored)


def test_every_region_is_verified_and_each_point_is_told(operator: Operator) -> None:
    code, out = operator.run("verify", "shop")
    assert code == 0, out
    assert out.count("passed: newest point in") == 2
    assert out.count("passed: older point in") == 2
    assert "checks: 1 of 1 hold" in out
    assert "page checksums: " in out
    assert out.count("in WAL since the newest backup: 0 rows deleted, 0 files dropped, 0 emptied") == 2
    told = operator.verified("--region", "eu", "--newest")
    assert [(each["region"], each["how"], each["standing"]) for each in told] == [("eu", "warm", "passed")]
    (again,) = operator.verified("--region", "us", "--seed", "5")
    (same,) = operator.verified("--region", "us", "--seed", "5")
    assert again["target"] == same["target"]
    assert again["seed"] == 5
    code, out = operator.run("verify", "shop", "--region", "asia")
    assert code == 1
    assert "there is no copy in a region 'asia'" in out


def test_a_false_check_ends_with_1_and_a_person_lifts_the_mark(operator: Operator) -> None:
    operator.run("verify", "shop", "--newest", "--region", "eu")
    operator.stored.server.sql("TRUNCATE orders")
    operator.stored.store_wal()
    code, out = operator.run("verify", "shop", "--newest", "--region", "eu")
    assert code == 1
    assert "check orders: it returned false" in out
    _, out = operator.run("suspect", "list", "shop", "--json")
    (mark,) = json.loads(out)["suspicions"]
    assert "check orders" in mark["reason"]
    code, out = operator.run("suspect", "lift", "shop", mark["id"])
    assert code == 0
    assert "lifted by command line" in out
    code, out = operator.run("suspect", "lift", "shop", mark["id"])
    assert code == 1
    code, out = operator.run(
        "suspect", "raise", "shop", "--since", "2026-11-22T03:00+01:00", "--reason", "odd orders"
    )
    assert code == 0
    assert "points behind 2026-11-22 02:00:00 UTC, suspect: odd orders" in out


def test_a_restore_begins_with_the_verified_copy_and_fetches_wal_alone(operator: Operator) -> None:
    operator.run("verify", "shop", "--newest", "--region", "eu")
    operator.stored.server.sql("INSERT INTO orders SELECT 1001, now()")
    operator.stored.store_wal()
    # Without a single chunk of the backup it can only come from the warm copy, and from WAL.
    for chunk in (operator.folder / "eu/shop/backups").glob("*/a0/*"):
        chunk.write_bytes(bytes(chunk.stat().st_size))
    places = operator.arguments()[1:]
    words = ["restore", "shop", "--at", "latest", "--region", "eu", "--warm"]

    ended = CliRunner().invoke(build(_commands), [*words, "--to", str(operator.folder / "to"), *places])

    assert ended.exit_code == 0, ended.stdout + ended.stderr
    assert "cloning the warm copy" in ended.stderr
    (record,) = operator.verified("--newest", "--region", "eu")
    assert record["how"] == "warm"
    ended = CliRunner().invoke(build(_commands), [*words, "--to", str(operator.folder / "to"), *places])
    assert ended.exit_code == 1
    assert "is not empty" in ended.stderr


@pytest.mark.parametrize("moment", ["laying out", "running"])
def test_killed_in_the_middle_the_next_one_begins_where_it_can(operator: Operator, moment: str) -> None:
    if moment == "running":
        assert operator.verified("--newest", "--region", "eu")[0]["how"] == "fresh"
        operator.stored.server.sql("INSERT INTO orders SELECT 1001, now()")
        operator.stored.store_wal()
        text = (operator.folder / "holdfast.yaml").read_text(encoding="utf-8")
        slow = text.replace(
            "SELECT count(*) > 0 FROM", "SELECT count(*) > 0 AND pg_sleep(90) IS NOT NULL FROM"
        )
        (operator.folder / "holdfast.yaml").write_text(slow, encoding="utf-8")
    copy = operator.warm / "copy"
    begun = copy / ("postmaster.pid" if moment == "running" else "holdfast-restore.json")
    command = [*PROGRAM, *operator.arguments("verify", "shop", "--newest", "--region", "eu")]
    working = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_S
    while not begun.exists() and working.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    working.send_signal(signal.SIGKILL)
    working.wait()
    while process.processes_of(copy) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.processes_of(copy) == [], "its server ends with it"
    if moment == "running":
        text = (operator.folder / "holdfast.yaml").read_text(encoding="utf-8")
        (operator.folder / "holdfast.yaml").write_text(
            text.replace(" AND pg_sleep(90) IS NOT NULL", ""), encoding="utf-8"
        )

    (record,) = operator.verified("--newest", "--region", "eu")

    assert record["standing"] == "passed", record
    assert record["how"] == ("warm" if moment == "running" else "fresh")
    assert process.processes_of(copy) == []
    assert record["pages"]["bad_count"] == 0
