"""`holdfast restore`, as the operator runs it."""

import json
import re
import subprocess
import time
from pathlib import Path

import psycopg
import pytest
from tests.installation import PROGRAM, eventually
from tests.protected import OWNER, OWNER_PASSWORD, Protected
from tests.restorable import Restorable
from typer.testing import CliRunner

from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.postgres.server import process
from holdfast.bootstrap.main import _commands
from holdfast.interfaces.cli.app import build

ESTATE = """\
version: 1
regions: {{eu: {{name: Europe}}, us: {{name: USA}}}}
clusters:
  print:
    name: Print
    region: eu
    components:
      web: {{name: Web, checks: {{page: {{url: "http://127.0.0.1:1/"}}}}}}
backup:
  stores:
    us: {{to: "file://{folder}/us"}}
    eu: {{to: "file://{folder}/eu"}}
databases:
  shop:
    name: Shop
    cluster: print
    connection: {{host: 127.0.0.1, port: 1, tls: "off"}}
    copies: {{us: {{}}, eu: {{}}}}
"""


class Night:
    """A store with a table of three rows, of which the live server has none any more; region us is empty."""

    def __init__(self, server: Protected, folder: Path) -> None:
        self.server, self.folder = server, folder
        for name in ("eu", "us"):
            (folder / name).mkdir()
        (folder / "holdfast.yaml").write_text(ESTATE.format(folder=folder), encoding="utf-8")
        stored = Restorable(server, [open_region("eu", f"file://{folder / 'eu'}", {})])
        server.sql("CREATE DATABASE orders")
        server.sql('CREATE TABLE t (i int NOT NULL, "odd name" numeric(8, 2) DEFAULT 1)', "orders")
        server.sql("INSERT INTO t VALUES (1), (2), (3)", "orders")
        stored.take(label="full moon")
        self.moment = server.value("SELECT clock_timestamp()").isoformat()
        server.sql("DELETE FROM t", "orders")
        stored.store_wal()
        self.into = f"host=127.0.0.1 port={server.port} user={OWNER} dbname=orders sslmode=disable"

    def run(self, *arguments: str, input: str | None = None) -> tuple[int, str, str]:  # noqa: A002
        command = ["restore", "shop", *arguments, "--config", str(self.folder / "holdfast.yaml")]
        ended = CliRunner().invoke(build(_commands), command, env={"PGPASSWORD": OWNER_PASSWORD}, input=input)
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
        return ended.exit_code, ended.stdout, ended.stderr


@pytest.fixture
def night(protected: Protected, tmp_path: Path) -> Night:
    return Night(protected, tmp_path)


def test_a_restore_is_tried_then_done_and_can_be_left_running(night: Night) -> None:
    to = night.folder / "copy"

    code, out, _ = night.run("--at", night.moment, "--to", str(to), "--dry-run")
    assert code == 0
    assert "would restore shop from eu" in out
    assert not to.exists()

    code, out, err = night.run("--at", night.moment, "--to", str(to), "--keep-running", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["at_target"] is True
    assert told["fetch_s"] > 0
    with psycopg.connect(told["running"], dbname="orders") as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (3,)

    code, _, err = night.run("--to", str(to))
    assert code == 1
    assert "a server runs on" in err
    _stop(to)


def test_tables_and_databases_come_back_alone(night: Night) -> None:
    copy = night.folder / "copy"
    at = ("--at", night.moment, "--to", str(copy))
    table = ("--table", "public.t", "--into", night.into)
    probe = "SELECT string_agg(i::text, ' ' ORDER BY i) FROM {}"

    code, out, _ = night.run(*at, *table, "--as", "found", "--dry-run")
    assert code == 0
    assert "all others are left out" in out
    code, out, err = night.run(*at, *table, "--as", "found")
    assert code == 0, err
    assert "these files are no copy of the server, and are removed" in out
    assert not copy.exists()
    assert night.server.value(probe.format("found"), "orders") == "1 2 3"

    assert "--yes replaces it" in night.run(*at, *table, "--json")[1]
    code, out, err = night.run(*at, "--whole", *table, "--yes")
    assert code == 0, err
    assert "3 rows of public.t are loaded in place" in out
    assert "left out" not in out
    assert (copy / "PG_VERSION").is_file()
    assert night.server.value(probe.format("t"), "orders") == "1 2 3"

    database = ("--database", "orders", "--into", night.into)
    code, out, err = night.run("--at", "full moon", "--to", f"{copy}-2", *database, "--as", "orders_then")
    assert code == 0, err
    assert "all others are left out" in out
    assert night.server.value(probe.format("t"), "orders_then") == "1 2 3"
    night.server.sql("DELETE FROM t", "orders")
    code, out, err = night.run(*at, "--delta", *database, input="y\n")
    assert code == 0, err
    assert "let it take the name of orders there" in err
    kept = re.search(r"orders_before_\w+", out)
    assert kept is not None
    assert night.server.value(probe.format("t"), "orders") == "1 2 3"
    assert night.server.value(probe.format("t"), kept[0]) is None


def test_a_part_that_was_not_loaded_leaves_what_can_be_gone_on_with(night: Night) -> None:
    copy = night.folder / "copy"
    table = ("--at", night.moment, "--to", str(copy), "--table", "t", "--into", night.into, "--as", "found")
    night.server.sql("CREATE TABLE found ()", "orders")

    code, _, err = night.run(*table)
    assert code == 1
    assert "found is there already" in err
    assert (copy / "holdfast-restore.json").is_file()

    night.server.sql("DROP TABLE found", "orders")
    code, _, err = night.run("--at", night.moment, "--to", str(copy), "--resume")
    assert code == 1
    assert "was begun with other files" in err
    code, _, err = night.run(*table, "--resume")
    assert code == 0, err
    assert night.server.value("SELECT count(*) FROM found", "orders") == 3
    assert not copy.exists()


def test_what_is_wrong_is_said_in_a_line(night: Night) -> None:
    to = str(night.folder / "copy")
    secret = night.into + " password=hunter2"
    for arguments, words in (
        (("--at", "2099-01-01T00:00Z"), "cannot be restored"),
        (("--at", "2026-01-01"), "needs its offset"),
        (("--at", "no such label"), "no restorable backup is called"),
        (("--region", "asia"), "no region is called"),
        (("--tablespace", "16384"), "does not say what goes where"),
        (("--tablespace", "16384=/srv/x"), "has no tablespace 16384"),
        (("--table", "t"), "where it is to be loaded is missing"),
        (("--table", "t", "--as", "u", "--into", secret), "a password on a command line"),
        (("--bin-dir", "/nowhere"), "no postgres"),
    ):
        code, out, err = night.run("--to", to, *arguments)

        assert code == 1, arguments
        assert words in err
        assert "hunter2" not in out + err
        assert "Traceback" not in err
    assert not Path(to).exists()


def test_without_an_estate_the_address_of_a_store_is_enough(night: Night) -> None:
    to = night.folder / "copy"
    (night.folder / "holdfast.yaml").unlink()

    code, out, err = night.run("--from-store", f"file://{night.folder / 'eu'}", "--to", str(to), "--promote")

    assert code == 0, err
    assert "it is promoted" in out
    assert not (to / "standby.signal").exists()
    assert not (to / "recovery.signal").exists()


def _stop(folder: Path) -> None:
    from holdfast.adapters.postgres.restored.server import RestoredServer  # noqa: PLC0415

    found = process.read_pid_file(folder / "postmaster.pid")
    assert found is not None
    RestoredServer(folder, folder, "", found.pid, ()).stop()


def test_a_killed_one_leaves_no_server(night: Night) -> None:
    to = night.folder / "killed"
    command = [*PROGRAM, "restore", "shop", "--at", "latest", "--to", str(to)]
    working = subprocess.Popen(
        [*command, "--config", str(night.folder / "holdfast.yaml")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not process.processes_of(to):
            assert working.poll() is None, "it has ended before it was killed"
            time.sleep(0.01)
    finally:
        working.kill()
        working.wait()
    eventually(lambda: not process.processes_of(to), "its server has ended")
