"""`holdfast check` on an estate with databases, stores and keys, as the operator runs it."""

import base64
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.protected import DEBIAN_15, LOGIN, LOGIN_PASSWORD, Protected
from tests.stores import S3Server, s3_server
from typer.testing import CliRunner

from holdfast.bootstrap.backup.checking import backup_findings
from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.main import _commands
from holdfast.interfaces.cli.app import build
from holdfast.interfaces.cli.ports import Place, Progress

ESTATE = """\
version: 1
regions: {{eu: {{name: Europe}}, us: {{name: USA}}, asia: {{name: Asia}}}}
clusters:
  print:
    name: Print
    region: eu
    components:
      web: {{name: Web, checks: {{port: {{type: tcp, host: 127.0.0.1, port: {port}}}}}}}
backup:
  stores:
{stores}
  encryption:
    key: new
    keys: {{old: "file:old.key", new: "file:new.key"}}
databases:
{databases}
"""
DATABASE = """\
  {key}:
    name: Shop
    cluster: print
    connection: {{host: 127.0.0.1, port: {port}, user: {user}, tls: "off", password: "file:password"}}
    copies: {{eu: {{}}}}
"""
STORE = '    {region}: {{to: "{to}", options: {options}, lock: {lock}}}\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    server = Protected(tmp_path_factory.mktemp("checked"), bin_dir=DEBIAN_15).start()
    server.sql(f"CREATE ROLE reader LOGIN PASSWORD '{LOGIN_PASSWORD}'")
    server.sql("CREATE DATABASE german TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de'")
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


class Operator:
    """An estate in a folder; what `check` finds, by subject."""

    def __init__(self, folder: Path, server: Protected) -> None:
        self.folder, self.server = folder, server
        self.stores = [self.store("eu", f"file://{folder}/eu")]
        self.databases = [self.database("shop", f'{{bin_dir: "{DEBIAN_15}"}}')]
        (folder / "eu").mkdir()
        for name in ("old", "new"):
            self.secret(f"{name}.key", base64.b64encode(os.urandom(32)).decode())
        self.secret("password", LOGIN_PASSWORD)

    def secret(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o600)

    def store(self, region: str, to: str, options: dict[str, str] | None = None, lock: str = "none") -> str:
        return STORE.format(region=region, to=to, options=json.dumps(options or {}), lock=lock)

    def database(
        self, key: str, verification: str = "{}", *, user: str = LOGIN, port: int | None = None
    ) -> str:
        text = DATABASE.format(key=key, port=port or self.server.port, user=user)
        return f"{text}    verification: {verification}\n"

    def written(self) -> Path:
        config = self.folder / "holdfast.yaml"
        port = self.server.port
        estate = ESTATE.format(stores="".join(self.stores), databases="".join(self.databases), port=port)
        config.write_text(estate, encoding="utf-8")
        return config

    def check(self) -> tuple[int, dict[str, list[dict[str, Any]]]]:
        config = self.written()
        command = ["check", "--config", str(config), "--data-dir", str(self.folder / "data"), "--json"]
        ended = CliRunner().invoke(build(_commands), command)
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
        assert "findings" in ended.stdout, ended.output
        assert LOGIN_PASSWORD not in ended.output
        found: dict[str, list[dict[str, Any]]] = {}
        for each in json.loads(ended.stdout)["findings"]:
            found.setdefault(each["subject"], []).append(each)
        return ended.exit_code, found


@pytest.fixture
def operator(tmp_path: Path, server: Protected) -> Operator:
    return Operator(tmp_path, server)


def test_what_is_well_is_one_line_each_and_leaves_nothing_behind(operator: Operator) -> None:
    code, found = operator.check()

    assert code == 0, found
    told = {subject: [each["text"] for each in each] for subject, each in found.items()}
    assert told["backup.encryption.keys.new"] == ["32 bytes; seals what is new"]
    assert told["backup.encryption.keys.old"] == ["32 bytes; opens what is older"]
    assert told["backup.stores.eu"] == ["lists, puts, reads and deletes"]
    (database,) = told["databases.shop"]
    assert database.startswith("PostgreSQL 15.")
    assert "slots used" in database
    assert told["databases.shop.verification"][0].startswith("PostgreSQL 15.")
    assert [each.name for each in (operator.folder / "eu").rglob("*") if each.is_file()] == [
        ".holdfast-store"
    ]
    assert operator.server.value("SELECT count(*) FROM pg_replication_slots") == 0


def test_each_thing_that_is_wrong_with_a_database_is_said_with_a_hint(operator: Operator) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        operator.databases = [
            operator.database("weak", user="reader"),
            operator.database("away", port=nobody.getsockname()[1]),
            operator.database("stranger", user="nobody"),
            operator.database("packaged"),
            operator.database("nowhere", '{bin_dir: "/nowhere"}'),
        ]
        code, found = operator.check()

    assert code == 1
    assert not found["databases.weak"][0]["ok"]
    assert "REPLICATION" in found["databases.weak"][0]["text"]
    assert "away" in found["databases.away"][0]["text"]
    assert "refused" in found["databases.stranger"][0]["text"]
    assert found["databases.packaged"][0]["ok"]
    (programs,) = found["databases.packaged.verification"]
    assert not programs["ok"]
    assert "the server is PostgreSQL 15, and" in programs["text"]
    assert "no postgres" in found["databases.nowhere.verification"][0]["text"]
    (unknown,) = found["databases.away.verification"]
    assert "unknown" in unknown["text"]


def test_programs_that_cannot_read_the_database_are_a_problem(operator: Operator) -> None:
    poor = operator.folder / "poor"
    poor.mkdir()
    for program in DEBIAN_15.iterdir():
        if program.name != "pg_config":
            (poor / program.name).symlink_to(program)
    (poor / "pg_config").write_text("#!/bin/sh\necho \"'--with-lz4'\"\n")
    (poor / "pg_config").chmod(0o755)
    operator.databases = [operator.database("shop", f'{{bin_dir: "{poor}"}}')]

    code, found = operator.check()

    assert code == 1
    assert "built without ICU, used by database german" in found["databases.shop.verification"][0]["text"]


async def test_whoever_does_not_answer_is_not_waited_for(operator: Operator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        operator.databases.append(operator.database("silent", port=silent.getsockname()[1]))
        config = operator.written()
        place = Place(config, operator.folder / "data")
        told: list[Progress] = []
        found = await backup_findings(read_estate(config), place, told.append, longest_s=0.5)
    (late,) = [each for each in found if not each.ok and "no answer within 0.5 s" in each.text]
    assert late.subject == "databases.silent"
    assert told[-1].done == told[-1].total == 5


def test_keys_that_open_nothing_or_lie_open_are_told(operator: Operator) -> None:
    operator.secret("old.key", base64.b64encode(b"too short").decode())
    (operator.folder / "new.key").chmod(0o644)
    code, found = operator.check()
    assert code == 1
    (old,), (new,) = found["backup.encryption.keys.old"], found["backup.encryption.keys.new"]
    assert not old["ok"]
    assert "9 bytes, not 32" in old["text"]
    assert not new["ok"]
    assert "chmod 600" in new["text"]
    assert "Traceback" not in str(found)


def test_a_key_beside_the_copies_is_a_warning(operator: Operator) -> None:
    operator.stores = [operator.store("eu", f"file://{operator.folder}")]
    code, found = operator.check()
    assert code == 0
    assert found["backup.encryption.keys.new"][0]["warning"]


def test_stores_are_tried_as_far_as_they_may_be(operator: Operator, s3: S3Server) -> None:
    plain, locked = s3.bucket(), s3.bucket(locks=True)
    gone = {**plain.options, "secret_access_key": "hunter2-hunter2"}
    operator.stores = [
        operator.store("eu", plain.to, plain.options),
        operator.store("us", locked.to, locked.options, "compliance"),
        operator.store("asia", "s3://no-such-bucket/x", gone),
    ]
    code, found = operator.check()
    assert code == 1
    assert found["backup.stores.eu"][0]["text"] == "lists, puts, reads and deletes"
    (us,) = found["backup.stores.us"]
    assert us["ok"]
    assert "writing was not tried" in us["text"]
    (asia,) = found["backup.stores.asia"]
    assert not asia["ok"]
    assert "hunter2" not in str(found)


def test_root_leaves_nothing_in_the_folder_of_another_account(operator: Operator) -> None:
    is_root = os.geteuid() == 0
    os.chown(operator.folder / "eu", 65534 if is_root else os.geteuid(), -1)
    code, found = operator.check()
    assert code == 0
    assert ("writing was not tried" in found["backup.stores.eu"][0]["text"]) is is_root
    assert (list((operator.folder / "eu").iterdir()) == []) is is_root


def test_a_folder_is_made_by_the_first_backup_and_away_without_its_disk(operator: Operator) -> None:
    root = operator.folder / "eu"
    root.rmdir()
    code, found = operator.check()
    assert code == 0
    assert "is not there yet" in found["backup.stores.eu"][0]["text"]
    assert not root.exists()

    root.mkdir()
    assert operator.check()[0] == 0
    root.rename(operator.folder / "unplugged")
    root.mkdir()
    code, found = operator.check()
    assert code == 1
    assert "is empty, and copies were kept there" in found["backup.stores.eu"][0]["text"]

    operator.stores = [operator.store("eu", f"file://{operator.folder}/no/disk/eu")]
    code, found = operator.check()
    assert code == 1
    assert "there is no folder" in found["backup.stores.eu"][0]["text"]
