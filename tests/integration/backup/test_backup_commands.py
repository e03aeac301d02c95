"""`holdfast backup now`, `list` and `sweep`, as the operator runs them."""

import json
import os
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from tests.kept_estates import TWO_FOLDERS
from tests.protected import LOGIN_PASSWORD, Protected
from typer.testing import CliRunner

from holdfast.backup.layout import RECORD
from holdfast.backup.model import Backup
from holdfast.backup.records import encoded
from holdfast.bootstrap.main import _commands
from holdfast.interfaces.cli.app import build

ESTATE = (
    TWO_FOLDERS
    + """\
databases:
  main:
    name: Main
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

    def run(self, *arguments: str) -> Answer:
        command = ["backup", *arguments, "--config", str(self.folder / "holdfast.yaml")]
        ended = CliRunner().invoke(build(_commands), command)
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
        return Answer(ended.exit_code, ended.stdout, ended.stderr)

    def break_region(self, name: str) -> None:
        """Where its folder should be is something else."""
        (self.folder / name).rmdir()
        (self.folder / name).touch()

    def spoil_manifest(self, region: str, backup: str) -> None:
        (found,) = (self.folder / region / "main/backups" / backup).glob("backup_manifest*")
        found.write_bytes(bytes(found.stat().st_size))

    def json(self, *arguments: str) -> dict:  # type: ignore[type-arg]
        answer = self.run(*arguments, "--json")
        assert answer.code == 0, answer
        told = json.loads(answer.out)
        assert isinstance(told, dict)
        return told


@pytest.fixture
def operator(shared_protected: Protected, tmp_path: Path) -> Operator:
    text = ESTATE.format(folder=tmp_path, port=shared_protected.port)
    (tmp_path / "holdfast.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "password").write_text(LOGIN_PASSWORD, encoding="ascii")
    (tmp_path / "password").chmod(0o600)
    for region in ("eu", "us"):
        (tmp_path / region).mkdir()
    return Operator(tmp_path)


def test_a_full_one_then_an_increment_both_listed_in_both_regions(operator: Operator) -> None:
    assert "would take: full (there is no backup yet" in operator.run("now", "main", "--dry-run").out
    first = operator.json("now", "main", "--label", "before the move")
    assert (first["kind"], first["behind"], first["backup"]["regions"]) == ("full", {}, ["eu", "us"])
    assert operator.json("now", "main", "--dry-run")["parent"] == first["backup"]["id"]
    second = operator.json("now", "main")
    assert (second["kind"], second["parent"]) == ("incremental", first["backup"]["id"])
    third = operator.json("now", "main", "--full")
    assert (third["kind"], third["parent"]) == ("full", "")
    listed = operator.json("list", "main")
    ids = [each["backup"]["id"] for each in (first, second, third)]
    assert [each["id"] for each in listed["backups"]] == ids
    assert listed["backups"][0]["label"] == "before the move"
    table = operator.run("list", "main", "--region", "us").out
    assert all(id_ in table for id_ in ids)


def test_people_are_told_in_one_line_what_was_taken(operator: Operator) -> None:
    answer = operator.run("now", "main")
    assert answer.code == 0
    last = answer.out.splitlines()[0]
    assert "full" in last
    assert "stored in eu, us" in last
    assert "waiting for the regions" in answer.err


def test_one_that_is_not_like_those_before_it_is_told_and_marked_at_once(operator: Operator) -> None:
    first = operator.json("now", "main")["backup"]["id"]
    content = (operator.folder / "eu/main/backups" / first / RECORD).read_text(encoding="utf-8")
    for day in range(1, 8):
        # Those of the days before compressed three times worse, as if everything had been sealed since.
        id_ = f"202601{day:02d}T000000Z-aaaaaa"
        text, _, _ = content.replace(first, id_).partition("\n")
        backup = msgspec.json.decode(text, type=Backup)
        moved = timedelta(days=-day)
        (archive,) = backup.archives
        chunks = tuple(replace(each, stored_bytes=each.stored_bytes * 3) for each in archive.chunks)
        backup = replace(
            backup,
            started_at=backup.started_at + moved,
            finished_at=backup.finished_at + moved,
            archives=(replace(archive, chunks=chunks),),
        )
        for region in ("eu", "us"):
            folder = operator.folder / region / "main/backups" / id_
            folder.mkdir()
            (folder / RECORD).write_bytes(encoded(backup))
    told = operator.json("now", "main", "--full")
    assert [each for each in told["notes"] if each.startswith("suspicious: stored bytes for each byte")]
    assert "stored bytes for each byte of a full backup" in operator.run("suspect", "list", "main").out


def test_a_region_that_is_away_is_told_and_the_backup_stands(operator: Operator) -> None:
    operator.break_region("us")
    answer = operator.run("now", "main")
    assert answer.code == 0
    assert "stored in eu" in answer.out
    assert "us does not have it yet" in answer.err
    listed = operator.run("list", "main")
    assert listed.code == 1
    assert "us could not be looked at" in listed.err


def test_a_region_whose_secret_is_gone_is_behind_and_stops_no_other(operator: Operator) -> None:
    estate = operator.folder / "holdfast.yaml"
    text = estate.read_text(encoding="utf-8")
    s3 = 's3://bucket/prefix", options: {secret_access_key: "file:no-such-file"}}'
    estate.write_text(text.replace(f'file://{operator.folder}/us"}}', s3), encoding="utf-8")
    outcome = operator.json("now", "main")
    assert outcome["backup"]["regions"] == ["eu"]
    assert "no-such-file" in outcome["behind"]["us"]
    assert "not looked at: us" in outcome["why"]


def test_when_every_region_is_away_it_fails_and_says_so(operator: Operator) -> None:
    for region in ("eu", "us"):
        operator.break_region(region)
    answer = operator.run("now", "main")
    assert answer.code == 1
    assert "no region took the backup" in answer.err
    assert operator.run("list", "main").code == 1
    assert operator.run("sweep", "main").code == 1


def test_a_backup_that_lost_an_object_is_told_and_is_no_parent(operator: Operator) -> None:
    backup = operator.json("now", "main")["backup"]["id"]
    for region in ("eu", "us"):
        next((operator.folder / region).rglob("a0/*.zst")).unlink()
    answer = operator.run("list", "main")
    assert f"us has {backup} only in part" in answer.err
    assert operator.json("now", "main", "--dry-run")["kind"] == "full"


def test_a_parents_manifest_is_read_from_whichever_region_has_it_unharmed(operator: Operator) -> None:
    first = operator.json("now", "main")["backup"]["id"]
    operator.spoil_manifest("eu", first)
    second = operator.json("now", "main")
    assert second["parent"] == first
    for region in ("eu", "us"):
        operator.spoil_manifest(region, second["backup"]["id"])
    third = operator.json("now", "main")
    assert (third["kind"], third["parent"]) == ("full", "")
    assert "cannot be read" in third["why"]


def test_leftovers_are_shown_first_and_swept_then(operator: Operator) -> None:
    operator.run("now", "main")
    good = operator.json("now", "main")["backup"]["id"]
    old = operator.folder / "us/main/backups/20260101T000000Z-abcdef/a0/000000-00.zst"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"half")
    long_ago = time.time() - 90_000
    os.utime(old, (long_ago, long_ago))
    (found,) = operator.json("sweep", "main", "--dry-run")["leftovers"]
    assert (found["region"], found["backup"]) == ("us", "20260101T000000Z-abcdef")
    assert old.exists()
    assert "gone  us: 20260101T000000Z-abcdef" in operator.run("sweep", "main").out
    assert not old.exists()
    assert good in operator.run("list", "main").out
    assert "nothing is left" in operator.run("sweep", "main").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["now", "man"], "did you mean `main`"),
        (["list", "main", "--region", "ue"], "eu"),
        (["now", "main", "--label", "x" * 300], "label"),
    ],
)
def test_mistakes_are_told_in_a_line_with_a_hint(operator: Operator, arguments: list[str], said: str) -> None:
    answer = operator.run(*arguments)
    assert answer.code == 1
    assert said in answer.err
    assert "Traceback" not in answer.err


def test_a_wrong_password_is_told_without_the_password(operator: Operator) -> None:
    (operator.folder / "password").write_text("quite-wrong", encoding="ascii")
    answer = operator.run("now", "main")
    assert answer.code == 1
    assert "password authentication failed" in answer.err
    assert "quite-wrong" not in answer.out + answer.err
