"""`holdfast find-good`, as the operator runs it."""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.installation import PROGRAM
from tests.kept_estates import TWO_FOLDERS
from tests.protected import LOGIN_PASSWORD, Protected
from tests.restorable import DATABASE, Restorable
from typer.testing import CliRunner

from holdfast.adapters.postgres.restored.machine import LocalMachine
from holdfast.adapters.postgres.server import process
from holdfast.backup.lsn import parse_lsn
from holdfast.bootstrap.backup.opening import regions_of
from holdfast.bootstrap.estates import read_estate
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
"""
)


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Operator:
    folder: Path
    wrong: int
    """The transaction that did it."""

    def find(self, check: str, *arguments: str) -> Answer:
        file = self.folder / "check.sql"
        file.write_text(check, encoding="utf-8")
        command = ["find-good", DATABASE, "--check", str(file), *arguments]
        command += ["--config", str(self.folder / "holdfast.yaml"), "--data-dir", str(self.folder / "data")]
        ended = CliRunner().invoke(build(_commands), command)
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
        return Answer(ended.exit_code, ended.stdout, ended.stderr)

    def json(self, check: str, *arguments: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.find(check, *arguments, "--json").out)
        return told


@pytest.fixture(scope="module")
def operator(shared_protected: Protected, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    folder = tmp_path_factory.mktemp("find-good-command")
    text = ESTATE.format(folder=folder, port=shared_protected.port)
    (folder / "holdfast.yaml").write_text(text, encoding="utf-8")
    (folder / "password").write_text(LOGIN_PASSWORD, encoding="ascii")
    (folder / "password").chmod(0o600)
    for region in ("eu", "us"):
        (folder / region).mkdir()
    estate = read_estate(folder / "holdfast.yaml")
    stored = Restorable(
        shared_protected,
        regions_of(estate, DATABASE, folder / "holdfast.yaml"),
        chunk_bytes=8 * 1024 * 1024,
    )
    shared_protected.sql("DROP TABLE IF EXISTS find_good_ledger")
    shared_protected.sql(
        "CREATE TABLE find_good_ledger AS SELECT n AS id, 1 AS amount FROM generate_series(1, 50) n"
    )
    stored.take(full=True)
    shared_protected.sql(
        "DO $$ BEGIN FOR n IN 1..300 LOOP UPDATE find_good_ledger SET amount = amount + 1 WHERE id = 7;"
        " COMMIT; END LOOP; END $$"
    )
    for number in range(1, 20):
        shared_protected.sql(f"UPDATE find_good_ledger SET amount = amount + 1 WHERE id = {number}")
    with shared_protected.connect() as connection, connection.transaction():
        connection.execute("DELETE FROM find_good_ledger WHERE id > 48")
        row = connection.execute("SELECT txid_current()").fetchone()
    shared_protected.sql("UPDATE find_good_ledger SET amount = 2 WHERE id = 30")
    stored.store_wal()
    assert row
    return Operator(folder, int(row[0]))


def test_the_last_good_and_the_first_bad_commit_in_words(operator: Operator) -> None:
    answer = operator.find("SELECT count(*) = 50 FROM find_good_ledger")
    assert answer.code == 0, answer
    good, bad = (
        next(line for line in answer.out.splitlines() if line.startswith(heading))
        for heading in ("last good", "first bad")
    )
    assert "public.find_good_ledger: 1 updated" in good
    assert str(operator.wrong) in bad
    assert "DELETE" in bad
    assert "public.find_good_ledger: 2 deleted" in bad
    assert "holdfast restore shop --at " in answer.out
    assert "--exclusive --region eu" in answer.out
    assert "may change the answer" in answer.err
    assert not (operator.folder / "data/find-good/shop/copy").exists()


def test_what_was_not_looked_at_is_said_and_every_commit_can_be_asked(operator: Operator) -> None:
    check = "SELECT count(*) = 50 FROM find_good_ledger"
    steps = operator.json(check)
    assert 100 < steps["passed_over"] < steps["candidates"]
    said = f"{steps['passed_over']} commits between steps with the same answer were not looked at one by one"
    assert f"{said}; --every-commit looks at each" in operator.find(check).out
    told = operator.json(check, "--every-commit")
    assert told["passed_over"] == 0
    assert told["first_bad"]["xid"] == operator.wrong
    assert told["asked"] > told["candidates"]
    answer = operator.find(check, "--every-commit")
    assert "were not looked at" not in answer.out
    assert "it is asked at each, which takes about" in answer.err


def test_killed_it_leaves_no_server(operator: Operator) -> None:
    check = operator.folder / "slow.sql"
    check.write_text("SELECT pg_sleep(600) IS NOT NULL FROM find_good_ledger LIMIT 1", encoding="utf-8")
    data = operator.folder / "killed"
    arguments = ["--config", str(operator.folder / "holdfast.yaml"), "--data-dir", str(data)]
    working = subprocess.Popen(
        [*PROGRAM, "find-good", DATABASE, "--check", str(check), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    copies = [data / "find-good" / DATABASE / name for name in ("copy", "follower")]
    deadline = time.monotonic() + PATIENCE_S
    while not all(map(process.processes_of, copies)) and working.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert working.poll() is None
    working.kill()
    working.wait()
    while any(map(process.processes_of, copies)):
        assert time.monotonic() < deadline, "its servers outlive it"
        time.sleep(0.05)


def test_the_same_for_programs_from_another_region(operator: Operator) -> None:
    told = operator.json("SELECT count(*) = 50 FROM find_good_ledger", "--region", "us")
    assert (told["ending"], told["region"]) == ("found", "us")
    assert told["first_bad"]["xid"] == operator.wrong
    assert told["first_bad"]["answer"] == {"verdict": "bad", "text": "it returned f"}
    assert parse_lsn(told["last_good"]["end_lsn"]) <= parse_lsn(told["first_bad"]["lsn"])
    assert [each["to"] for each in told["flips"]] == ["bad"]


def test_what_cannot_be_found_says_what_to_do(operator: Operator) -> None:
    good = operator.find("SELECT count(*) > 5 FROM find_good_ledger")
    assert good.code == 3
    assert "still good at the end" in good.out
    assert "let --between end later" in good.out
    bad = operator.find("SELECT no_such_column FROM find_good_ledger")
    assert bad.code == 3
    assert "never good" in bad.out
    assert 'column "no_such_column" does not exist' in bad.out
    assert "let --between begin earlier" in bad.out


@pytest.mark.parametrize(
    ("check", "arguments", "told"),
    [
        ("", (), "holds no check"),
        ("SELECT true", ("--region", "eup"), "there is no copy in a region 'eup'"),
        ("SELECT true", ("--tables", "nothing"), "there is no table nothing"),
        (
            "SELECT true",
            ("--between", "2001-01-01T00:00Z", "2001-01-02T00:00Z"),
            "2001",
        ),
        ("SELECT true", ("--between", "2001-01-02T00:00Z", "2001-01-01T00:00Z"), "after the first"),
    ],
)
def test_one_line_for_each_mistake(
    operator: Operator, check: str, arguments: tuple[str, ...], told: str
) -> None:
    answer = operator.find(check, *arguments)
    assert answer.code in (1, 2)
    assert told in answer.err
    assert "Traceback" not in answer.err


def test_a_copy_stays_when_it_is_wanted(operator: Operator) -> None:
    left = operator.folder / "left"
    told = operator.json("SELECT count(*) = 50 FROM find_good_ledger", "--leave", str(left))
    try:
        with psycopg.connect(told["copy"]["conninfo"]) as connection:
            row = connection.execute("SELECT count(*), pg_is_in_recovery() FROM find_good_ledger").fetchone()
        assert row == (50, True)
    finally:
        LocalMachine().end_leftover(left)
