"""Every engine behind the one port, and at the command line: the same questions to each."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.kept_estates import TWO_FOLDERS
from tests.protected import LOGIN, LOGIN_PASSWORD, Protected
from typer.testing import CliRunner

from holdfast.adapters.postgres.restored import server as restored
from holdfast.backup.engines import Depth, Engine
from holdfast.backup.errors import NotRecoverable, SourceRefused
from holdfast.backup.model import BackupKind, Target, TargetKind
from holdfast.bootstrap.backup.engines import engine_for
from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.main import _commands
from holdfast.interfaces.cli.app import build

ESTATE = (
    TWO_FOLDERS
    + """\
databases:
  main:
    name: Main
    cluster: print
    engine: {engine}
    connection: {{host: 127.0.0.1, port: {port}, tls: "off", password: "file:password"}}
    copies: {{eu: {{}}, us: {{}}}}
"""
)


def estate_of(server: Protected, folder: Path, engine: str) -> Path:
    config = folder / "holdfast.yaml"
    config.write_text(ESTATE.format(folder=folder, port=server.port, engine=engine), encoding="utf-8")
    (folder / "password").write_text(LOGIN_PASSWORD, encoding="ascii")
    (folder / "password").chmod(0o600)
    for region in ("eu", "us"):
        (folder / region).mkdir()
    return config


def rows_of(folder: Path, server: Protected) -> set[int]:
    copy = restored.start(folder, server.binaries, recovery=None)
    try:
        asked = copy.ask("postgres", "SELECT id FROM orders", 60)
        assert not asked.error
        return {int(str(id_)) for (id_,) in asked.rows}
    finally:
        copy.stop()


@pytest.mark.parametrize("name", ["native", "logical"])
def test_each_engine_takes_tells_and_restores(protected: Protected, tmp_path: Path, name: str) -> None:
    config = estate_of(protected, tmp_path, name)
    protected.sql("CREATE TABLE orders (id int PRIMARY KEY)")
    protected.sql("INSERT INTO orders VALUES (1)")
    protected.sql(f"GRANT pg_read_all_data TO {LOGIN}")
    engine: Engine = engine_for(read_estate(config), "main", config)
    assert engine.database == "main"
    assert engine.check() == []
    assert list(engine.backups()) == []
    with pytest.raises(NotRecoverable):
        engine.restore(Target(), tmp_path / "none")

    first = engine.take(Depth.FULL, label="one")
    protected.sql("INSERT INTO orders VALUES (2)")
    second = engine.take(Depth.INCREMENTAL, label="two")
    assert first.kind is BackupKind.FULL
    assert second.kind is (BackupKind.INCREMENTAL if name == "native" else BackupKind.FULL)
    assert second.depends_on == ((first.id,) if name == "native" else ())
    assert {(each.label, each.region) for each in engine.backups()} == {
        (label, region) for label in ("one", "two") for region in ("eu", "us")
    }
    assert all(each.finished_at >= each.started_at for each in engine.backups())

    for label, expected in (("one", {1}), ("two", {1, 2})):
        folder = tmp_path / label
        if name == "native":
            # Without WAL in the regions there is nothing to recover with, and it says so.
            with pytest.raises(NotRecoverable):
                engine.restore(Target(TargetKind.LABEL, label=label), folder)
            continue
        assert engine.restore(Target(TargetKind.LABEL, label=label), folder).label == label
        assert rows_of(folder, protected) == expected

    protected.stop()
    (finding,) = engine.check()
    assert finding.text


def test_the_command_line_takes_and_lists_by_the_engine_of_the_estate(
    protected: Protected, tmp_path: Path
) -> None:
    config = estate_of(protected, tmp_path, "logical")
    protected.sql(f"GRANT pg_read_all_data TO {LOGIN}")

    def run(*arguments: str) -> Any:
        command = [*arguments, "--config", str(config), "--data-dir", str(tmp_path / "data"), "--json"]
        ended = CliRunner().invoke(build(_commands), command)
        assert ended.exit_code == 0, (ended.stdout, ended.stderr, ended.exception)
        return json.loads(ended.stdout)

    assert run("backup", "now", "main", "--dry-run")["backup"] is None
    taken = run("backup", "now", "main", "--label", "by hand")["backup"]
    listed = run("backup", "list", "main")["backups"]
    assert [each["id"] for each in listed] == [taken["id"]]
    assert sorted(listed[0]["regions"]) == ["eu", "us"]
    assert listed[0]["label"] == "by hand"
    verified = run("backup", "verify", "main", "--region", "us")
    assert [(each["region"], each["standing"]) for each in verified["verifications"]] == [("us", "passed")]
    points = run("backup", "points", "main")
    assert [each["region"] for each in points] == ["eu", "us"]
    assert [each["points"][0]["id"] for each in points] == [taken["id"], taken["id"]]
    assert [bool(each["verified"]) for each in points] == [False, True]
    assert all(each["rpo_s"] > 0 for each in points)
    shutil.rmtree(tmp_path / "us" / "main" / "logical")
    copied = run("backup", "copy", "main", "--from", "eu", "--to", "us")
    assert copied["backups"] == [taken["id"]]
    scrubbed = run("backup", "scrub", "main", "--all")
    assert [len(each["harmed"]) for each in scrubbed["regions"]] == [0, 0]
    assert run("backup", "sweep", "main", "--dry-run")["leftovers"] == []
    restored_to = run("restore", "main", "--at", taken["id"], "--to", str(tmp_path / "copy"))
    assert restored_to["backup"] == taken["id"]
    assert (tmp_path / "copy" / "PG_VERSION").is_file()
    refused = CliRunner().invoke(
        build(_commands),
        [
            "restore",
            "main",
            "--at",
            "latest",
            "--to",
            str(tmp_path / "b"),
            "--delta",
            "--config",
            str(config),
        ],
    )
    assert refused.exit_code != 0
    assert "--delta" in refused.stderr


def test_a_database_that_is_not_declared(protected: Protected, tmp_path: Path) -> None:
    config = estate_of(protected, tmp_path, "logical")
    with pytest.raises(SourceRefused, match="no database is called") as caught:
        engine_for(read_estate(config), "mian", config)
    assert "main" in caught.value.hint
