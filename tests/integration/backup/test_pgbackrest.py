"""The second engine, by Debian's pgbackrest and PostgreSQL 15."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.protected import DEBIAN_15, OWNER, OWNER_PASSWORD, Protected
from typer.testing import CliRunner

from holdfast.adapters.pgbackrest.command import Command
from holdfast.adapters.pgbackrest.engine import PgBackRest
from holdfast.backup.engines import Depth, Engine
from holdfast.backup.errors import NotFit, NotRecoverable, RegionAway, SourceAway, SourceRefused
from holdfast.backup.lsn import parse_lsn
from holdfast.backup.model import BackupKind, Target, TargetKind
from holdfast.bootstrap.main import _commands
from holdfast.interfaces.cli.app import build

STANZA = "orders"
PASSPHRASE = "not-to-be-seen-anywhere"

ESTATE = """\
version: 1
regions: {{eu: {{name: Europe}}}}
clusters:
  print:
    name: Print
    region: eu
    components:
      web: {{name: Web, checks: {{page: {{url: "http://127.0.0.1:1/"}}}}}}
backup: {{stores: {{eu: {{to: "file://{folder}/eu"}}}}}}
databases:
  main:
    name: Main
    cluster: print
    engine: pgbackrest
    stanza: {stanza}
    connection: {{host: 127.0.0.1, tls: "off"}}
    copies: {{eu: {{}}}}
"""


class Kept:
    """A server whose WAL goes into an encrypted repository, as an operator of pgBackRest has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "pgbackrest.conf"
        archive = f"pgbackrest --config={self.config} --stanza={STANZA} archive-push %p"
        settings = {
            "archive_mode": "on",
            "archive_command": archive,
            "unix_socket_directories": str(folder),
            "max_wal_size": "64MB",
        }
        self.server = Protected(folder / "server", bin_dir=DEBIAN_15, settings=settings)
        self.configure()
        passfile = folder / "pgpass"
        passfile.write_text(f"*:*:*:{OWNER}:{OWNER_PASSWORD}\n", encoding="ascii")
        passfile.chmod(0o600)
        self.command = Command(STANZA, config=self.config, environment={"PGPASSFILE": str(passfile)})
        self.engine = PgBackRest("orders", self.command)

    def configure(self, **changed: str) -> None:
        options = {
            "repo1-path": str(self.folder / "repository"),
            "repo1-cipher-type": "aes-256-cbc",
            "repo1-cipher-pass": PASSPHRASE,
            "repo1-retention-full": "5",
            "log-path": str(self.folder),
            "lock-path": str(self.folder / "lock"),
            "log-level-file": "off",
            "start-fast": "y",
            "archive-timeout": "30",
            "compress-type": "zst",
            **changed,
        }
        lines = ["[global]", *(f"{name}={text}" for name, text in options.items())]
        lines += [f"[{STANZA}]", f"pg1-path={self.server.data}", f"pg1-port={self.server.port}"]
        lines += [f"pg1-socket-path={self.folder}", f"pg1-user={OWNER}"]
        self.config.write_text("\n".join(lines) + "\n", encoding="ascii")
        self.config.chmod(0o600)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    made = Kept(tmp_path_factory.mktemp("pgbackrest"))
    made.server.start()
    made.command.run("stanza-create", patience=timedelta(minutes=1))
    made.server.sql("CREATE TABLE orders (id int PRIMARY KEY, made timestamptz DEFAULT clock_timestamp())")
    yield made
    made.server.remove()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "copy" / "data"


def ids_in_copy(kept: Kept, folder: Path) -> set[int]:
    """What the copy in `folder` holds once it has recovered."""
    copy = Protected(
        folder.parent, bin_dir=DEBIAN_15, settings={"unix_socket_directories": str(folder.parent)}
    )
    try:
        copy.start()
        until_recovered(copy)
        assert copy.value("SHOW archive_mode") == "off"
        return {row[0] for row in copy.sql("SELECT id FROM orders")}
    finally:
        copy.remove()


def until_recovered(copy: Protected) -> None:
    deadline = time.monotonic() + 90
    while copy.value("SELECT pg_is_in_recovery()"):
        assert time.monotonic() < deadline, copy.log
        time.sleep(0.1)


def test_it_takes_backups_of_each_depth_and_tells_of_them_in_our_words(kept: Kept) -> None:
    engine: Engine = kept.engine
    before = datetime.now(UTC) - timedelta(seconds=1)
    full = engine.take(Depth.FULL, label="before the release")
    kept.server.sql("INSERT INTO orders SELECT generate_series(1, 10)")
    differential = engine.take(Depth.DIFFERENTIAL)
    kept.server.sql("INSERT INTO orders SELECT generate_series(11, 20)")
    incremental = engine.take(Depth.INCREMENTAL)

    assert [each.id for each in engine.backups()][-3:] == [full.id, differential.id, incremental.id]
    assert (full.kind, full.label, full.depends_on) == (BackupKind.FULL, "before the release", ())
    assert full.raw_bytes > 10_000_000
    assert full.server_version == 150000
    assert full.timeline == 1
    assert before < full.started_at <= full.finished_at
    assert full.start_lsn is not None
    assert full.stop_lsn is not None
    assert full.start_lsn < full.stop_lsn
    assert differential.kind is incremental.kind is BackupKind.INCREMENTAL
    assert differential.depends_on == (full.id,)
    assert set(incremental.depends_on) <= {full.id, differential.id}

    window = engine.windows()[-1]
    assert window.start == engine.backups()[0].finished_at
    assert window.end == incremental.finished_at
    assert incremental.stop_lsn is not None
    assert window.end_lsn >= incremental.stop_lsn
    assert engine.check() == []


def test_it_restores_to_a_time_and_to_nothing_behind_it(kept: Kept, folder: Path) -> None:
    kept.engine.take(Depth.FULL)
    kept.server.sql("INSERT INTO orders VALUES (100)")
    # Told in whole seconds: a moment within the second in which it ended is not proven to be behind it.
    moment = kept.engine.backups()[-1].finished_at + timedelta(seconds=0.5)
    while kept.server.value("SELECT clock_timestamp()") < moment + timedelta(seconds=0.5):
        time.sleep(0.05)
    kept.server.sql("INSERT INTO orders VALUES (101)")
    kept.server.sql("SELECT pg_switch_wal()")
    kept.engine.check()  # everything is archived when it returns

    backup = kept.engine.restore(Target(TargetKind.TIME, time=moment), folder)
    assert backup.id == kept.engine.backups()[-1].id
    found = ids_in_copy(kept, folder)
    assert 100 in found
    assert 101 not in found


def test_it_restores_to_a_place_to_a_label_and_to_the_newest(kept: Kept, tmp_path: Path) -> None:
    labelled = kept.engine.take(Depth.FULL, label="the label")
    kept.server.sql("INSERT INTO orders VALUES (200)")
    place = parse_lsn(kept.server.value("SELECT pg_current_wal_lsn()"))
    kept.server.sql("INSERT INTO orders VALUES (201)")
    kept.engine.check()

    at_label = tmp_path / "label" / "data"
    assert kept.engine.restore(Target(TargetKind.LABEL, label="the label"), at_label).id == labelled.id
    assert not {200, 201} & ids_in_copy(kept, at_label)

    at_place = tmp_path / "place" / "data"
    kept.engine.restore(Target(TargetKind.LSN, lsn=place), at_place)
    found = ids_in_copy(kept, at_place)
    assert 200 in found
    assert 201 not in found

    newest = tmp_path / "newest" / "data"
    kept.engine.restore(Target(), newest)
    assert {200, 201} <= ids_in_copy(kept, newest)


def test_tablespaces_are_laid_out_beside_the_copy_and_never_in_their_place(
    kept: Kept, folder: Path, tmp_path: Path
) -> None:
    place = kept.folder / "fast-disk"
    place.mkdir()
    os.chown(place, kept.server.confinement.uid, kept.server.confinement.gid)
    kept.server.sql(f"CREATE TABLESPACE fast LOCATION '{place}'")
    kept.server.sql("CREATE TABLE quick (id int) TABLESPACE fast")
    kept.server.sql("INSERT INTO quick VALUES (1)")
    try:
        kept.engine.take(Depth.FULL)
        untouched = {each: each.stat().st_mtime_ns for each in place.rglob("*")}
        kept.engine.restore(Target(), folder)
        links = [each.resolve() for each in (folder / "pg_tblspc").iterdir()]
        assert links
        assert all(each.is_relative_to(tmp_path) for each in links)
        assert {each: each.stat().st_mtime_ns for each in place.rglob("*")} == untouched
    finally:
        kept.server.sql("DROP TABLE quick")
        kept.server.sql("DROP TABLESPACE fast")
        kept.engine.take(Depth.FULL)


def test_a_folder_in_use_is_left_as_it_is(kept: Kept, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "mine").write_text("mine", encoding="ascii")
    with pytest.raises(NotFit, match="not empty"):
        kept.engine.restore(Target(), folder)
    assert [each.name for each in folder.iterdir()] == ["mine"]


def test_a_moment_before_the_first_backup_is_refused_before_anything_is_written(
    kept: Kept, folder: Path
) -> None:
    kept.engine.take(Depth.FULL)
    with pytest.raises(NotRecoverable, match="reaches that moment; the first ended at"):
        kept.engine.restore(Target(TargetKind.TIME, time=datetime(2020, 1, 1, tzinfo=UTC)), folder)
    assert not folder.exists()


def test_a_stanza_that_is_not_there_says_how_to_make_it(kept: Kept) -> None:
    other = PgBackRest("orders", replace(kept.command, stanza="ordres"))
    with pytest.raises(NotRecoverable, match="no stanza `ordres`") as caught:
        other.backups()
    assert "stanza-create" in caught.value.hint


def test_a_program_that_is_not_there_and_one_that_hangs(kept: Kept, tmp_path: Path) -> None:
    with pytest.raises(NotFit, match="no `pgbackrest-of-nowhere`"):
        PgBackRest("orders", replace(kept.command, program="pgbackrest-of-nowhere")).backups()
    hanging = tmp_path / "hanging"
    hanging.write_text("#!/bin/sh\nexec sleep 600\n", encoding="ascii")
    hanging.chmod(0o700)
    with pytest.raises(RegionAway, match="was not done after"):
        replace(kept.command, program=str(hanging)).run("info", patience=timedelta(seconds=0.2))


def test_a_server_that_is_away_an_error_and_a_finding(kept: Kept) -> None:
    port = kept.server.port
    kept.server.stop()
    try:
        with pytest.raises(SourceAway) as caught:
            kept.engine.take(Depth.FULL)
        assert "is the server up" in caught.value.hint
        assert PASSPHRASE not in str(caught.value)
        (finding,) = kept.engine.check()
        assert "whether the server is up" in finding.hint
        assert kept.engine.backups() is not None  # what is stored can be told without it
    finally:
        kept.server.start()
    assert kept.server.port == port


def test_another_server_under_the_same_stanza_is_refused(kept: Kept, tmp_path: Path) -> None:
    other = Kept(tmp_path / "other")
    other.server.start()
    try:
        other.configure(**{"repo1-path": str(kept.folder / "repository")})
        with pytest.raises(SourceRefused, match=r"stanza|system"):
            other.engine.take(Depth.FULL)
    finally:
        other.server.remove()


def test_as_root_it_runs_as_the_owner_of_its_configuration(kept: Kept, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        assert kept.command._as_owner() == []
        return
    told = tmp_path / "told"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\nid -u > {told}\n", encoding="ascii")
    program.chmod(0o755)
    config = tmp_path / "pgbackrest.conf"
    shutil.copy(kept.config, config)
    # The test's folders are root's alone; whoever runs must be let in.
    for each in (tmp_path, *tmp_path.parents[:3]):
        if each.stat().st_uid == 0 and each != Path("/tmp"):
            each.chmod(0o755)
    told.touch()
    os.chown(told, 65534, 65534)
    os.chown(config, 65534, 65534)
    replace(kept.command, config=config, program=str(program)).run("info", patience=timedelta(seconds=30))
    assert told.read_text().strip() == "65534"


def test_the_command_line_adopts_the_stanza_of_the_estate(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "holdfast.yaml"
    config.write_text(ESTATE.format(folder=tmp_path, stanza=STANZA), encoding="utf-8")
    monkeypatch.setenv("PGBACKREST_CONFIG", str(kept.config))
    monkeypatch.setenv("PGPASSFILE", str(kept.folder / "pgpass"))

    def run(*arguments: str) -> dict:  # type: ignore[type-arg]
        command = ["backup", *arguments, "--config", str(config), "--json"]
        ended = CliRunner().invoke(build(_commands), command)
        assert ended.exit_code == 0, (ended.stdout, ended.stderr, ended.exception)
        told = json.loads(ended.stdout)
        assert isinstance(told, dict)
        return told

    taken = run("now", "main", "--full", "--label", "by hand")["backup"]
    newest = run("list", "main")["backups"][-1]
    assert newest["id"] == taken["id"] == kept.engine.backups()[-1].id
    assert (newest["label"], newest["regions"]) == ("by hand", ["repo1"])
