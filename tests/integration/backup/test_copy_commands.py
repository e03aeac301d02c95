"""`holdfast backup copy` and `scrub`, as the operator runs them; what the estate says of stores and keys."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests import held
from tests.held import DB
from tests.proven import put_backup, put_history, put_wal
from typer.testing import CliRunner

from holdfast.adapters.objectstore.regions import open_region
from holdfast.backup.errors import KeyMissing, RegionRefused
from holdfast.backup.model import Backup
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.bootstrap.backup.opening import packer_for, region_of, regions_of
from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.main import _commands
from holdfast.estate.errors import SecretError
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.app import build
from holdfast.kernel.clock import SystemClock

ESTATE = """\
version: 1
regions: {{eu: {{name: Europe}}, us: {{name: USA}}, asia: {{name: Asia}}}}
clusters:
  print:
    name: Print
    region: eu
    components:
      web: {{name: Web, checks: {{page: {{url: "http://127.0.0.1:1/"}}}}}}
backup:
  stores:
    eu: {{to: "file://{folder}/eu"}}
    us: {{to: "file://{folder}/us"}}
    asia:
      to: s3://bucket/prefix
      options: {{access_key_id: key, secret_access_key: "file:s3", region: x}}
databases:
  shop:
    name: Shop
    cluster: print
    connection: {{host: 127.0.0.1, tls: "off"}}
    copies: {{eu: {{}}, us: {{}}}}
  other:
    name: Other
    cluster: print
    connection: {{host: 127.0.0.1, tls: "off"}}
    copies: {{eu: {{}}, asia: {{}}}}
"""
ENCRYPTION = """\
  encryption:
    key: new
    keys: {old: "file:old.key", new: "file:new.key"}
"""


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Operator:
    folder: Path
    backup: Backup

    @property
    def config(self) -> Path:
        return self.folder / "holdfast.yaml"

    def run(self, *arguments: str) -> Answer:
        command = ["backup", *arguments, "--config", str(self.config)]
        ended = CliRunner().invoke(build(_commands), command)
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
        return Answer(ended.exit_code, ended.stdout, ended.stderr)

    def seals(self) -> Estate:
        """From now on the estate names keys."""
        text = self.config.read_text(encoding="utf-8")
        self.config.write_text(text.replace("databases:\n", ENCRYPTION + "databases:\n"), encoding="utf-8")
        return read_estate(self.config)

    def damage(self, region: str, key: str) -> None:
        path = self.folder / region / key
        content = path.read_bytes()
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])

    def files(self, region: str) -> dict[str, bytes]:
        root = self.folder / region / DB
        return {str(each.relative_to(root)): each.read_bytes() for each in root.rglob("*") if each.is_file()}


def private(path: Path, content: str) -> None:
    path.write_text(content, encoding="ascii")
    path.chmod(0o600)


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    (tmp_path / "holdfast.yaml").write_text(ESTATE.format(folder=tmp_path), encoding="utf-8")
    for number, name in enumerate(("old", "new")):
        private(tmp_path / f"{name}.key", base64.b64encode(bytes([number]) * 32).decode() + "\n")
    eu = open_region("eu", f"file://{tmp_path}/eu", {})
    full = put_backup([eu], 1)
    put_backup([eu], 2, full)
    for hour in range(4):
        put_wal([eu], hour)
    put_history([eu], held.history(2, (1, 3.5)))
    return Operator(tmp_path, full)


def test_a_region_catches_up(operator: Operator) -> None:
    answer = operator.run("copy", DB, "--from", "eu", "--to", "us", "--dry-run")
    assert (answer.code, answer.out) == (
        0,
        "us lacks 2 backups, 4 pieces of WAL, 1 timelines: 860 B at most\n",
    )
    assert operator.files("us") == {}
    answer = operator.run("copy", DB, "--from", "eu", "--to", "us")
    assert answer.code == 0, answer
    assert answer.out.startswith("us lacked 2 backups, 4 pieces of WAL, 1 timelines; copied 15 objects")
    assert "copying to us" in answer.err
    assert operator.files("us") == operator.files("eu")
    answer = operator.run("copy", DB, "--from", "eu", "--to", "us")
    assert (answer.code, answer.out) == (0, "us lacks nothing that eu has\n")


def test_programs_are_told_what_was_copied_and_what_was_damaged(operator: Operator) -> None:
    chunk = operator.backup.objects[1].key
    operator.damage("eu", chunk)
    answer = operator.run("copy", DB, "--from", "eu", "--to", "us", "--json")
    told = json.loads(answer.out)
    assert answer.code == 1
    assert told["done"]["damaged"] == [chunk]
    assert operator.backup.id in told["done"]["failed"]
    assert len(told["backups"]) == 2
    answer = operator.run("copy", DB, "--from", "eu", "--to", "us")
    assert answer.code == 1
    assert f"damaged in eu: {chunk}" in answer.err
    assert "scrub shop --all --heal" in answer.err


def test_damage_is_found_and_healed(operator: Operator) -> None:
    operator.run("copy", DB, "--from", "eu", "--to", "us")
    assert operator.run("scrub", DB, "--all").out.splitlines() == [
        f"{region}: read 15 of 15 objects, 900 B: all as they were stored" for region in ("eu", "us")
    ]
    chunk, gone = operator.backup.objects[1].key, operator.backup.objects[2].key
    operator.damage("us", chunk)
    (operator.folder / "us" / gone).unlink()
    answer = operator.run("scrub", DB, "--region", "us", "--all")
    assert answer.code == 1
    assert "2 harmed, 0 healed" in answer.out
    assert f"us: damaged: {chunk}" in answer.err
    assert f"us: missing: {gone}" in answer.err
    answer = operator.run("scrub", DB, "--region", "us", "--all", "--heal", "--json")
    (told,) = json.loads(answer.out)["regions"]
    assert answer.code == 0
    assert [(each["key"], each["healed_from"]) for each in told["harmed"]] == [(chunk, "eu"), (gone, "eu")]
    assert operator.files("us") == operator.files("eu")
    assert operator.run("scrub", DB, "--all").code == 0


def test_a_tenth_is_read_by_default_and_other_regions_are_read_when_one_is_away(operator: Operator) -> None:
    answer = operator.run("scrub", DB, "--json")
    eu = json.loads(answer.out)["regions"][0]
    assert (eu["known"], eu["harmed"]) == (15, [])
    assert eu["read"] < 10
    assert not (operator.folder / "us").exists(), "who reads makes no store"
    (operator.folder / "us").touch()
    answer = operator.run("scrub", DB)
    assert answer.code == 1
    assert answer.out.startswith("eu: read")
    assert "us could not be read" in answer.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("copy", "shpo", "--from", "eu", "--to", "us"), "shop"),
        (("copy", DB, "--from", "eu", "--to", "mars"), "possible here: eu, us"),
        (("copy", DB, "--from", "eu", "--to", "eu"), "name two regions"),
        (("scrub", DB, "--region", "use"), "us"),
    ],
)
def test_mistakes_are_told_in_one_line(operator: Operator, arguments: tuple[str, ...], told: str) -> None:
    answer = operator.run(*arguments)
    assert answer.code == 1
    assert told in answer.err
    assert "Traceback" not in answer.err


# --- what the estate says


def test_new_objects_are_sealed_with_the_new_key_and_old_ones_open(operator: Operator) -> None:
    packer = packer_for(operator.seals(), operator.config)
    assert packer.sealed_with == "new"
    stored = packer.pack(b"rows")
    operator.config.write_text(operator.config.read_text().replace("key: new", "key: old"), encoding="utf-8")
    before = packer_for(read_estate(operator.config), operator.config)
    assert packer.unpack(before.pack(b"older rows"), "old") == b"older rows"
    assert before.unpack(stored, "new") == b"rows"


def test_a_key_that_is_none_or_is_not_there_is_said_so_and_not_shown(operator: Operator) -> None:
    estate = operator.seals()
    for content in ("not base64!", base64.b64encode(bytes(31)).decode()):
        private(operator.folder / "new.key", content)
        with pytest.raises(KeyMissing) as wrong:
            packer_for(estate, operator.config)
        assert "`new`" in str(wrong.value)
        assert content not in str(wrong.value) + wrong.value.hint
    (operator.folder / "new.key").unlink()
    with pytest.raises(SecretError):
        packer_for(estate, operator.config)
    for region in regions_of(estate, DB, operator.config):
        with pytest.raises(RegionRefused, match=r"new\.key"):
            region.listed("")


def test_where_the_estate_seals_it_believes_only_what_its_keys_vouch_for(operator: Operator) -> None:
    for each in regions_of(read_estate(operator.config), DB, operator.config)[:1]:
        assert len(holdings_of(each, DB, SystemClock()).backups) == 2
    eu, us = regions_of(operator.seals(), DB, operator.config)
    held_now = holdings_of(eu, DB, SystemClock())
    assert (held_now.backups, held_now.wal, held_now.histories) == ((), (), ())
    assert len(held_now.unreadable) == 2 + 4 + 1
    text = operator.config.read_text(encoding="utf-8")
    believing = text.replace("key: new", "key: new\n    believe_unsealed: true")
    operator.config.write_text(believing, encoding="utf-8")
    believed, _ = regions_of(read_estate(operator.config), DB, operator.config)
    assert len(holdings_of(believed, DB, SystemClock()).wal) == 4
    operator.config.write_text(text, encoding="utf-8")
    put_backup([us], 3)
    key = next(key for key in operator.files("us") if key.endswith("backup.json"))
    assert b'"hmac-sha256:new:' in operator.files("us")[key]
    answer = operator.run("scrub", DB, "--all", "--region", "eu")
    assert "backup.json" in answer.out + answer.err
    assert answer.code != 0


def test_a_region_without_its_secret_does_not_stand_in_the_way_of_others(operator: Operator) -> None:
    estate = read_estate(operator.config)
    eu, asia = regions_of(estate, "other", operator.config)
    assert [each.key for each in eu.listed("other/")] == []
    for ask in (lambda: asia.get("a"), lambda: asia.listed("a"), lambda: asia.delete(["a"])):
        with pytest.raises(RegionRefused, match="file:s3"):
            ask()
    with pytest.raises(SecretError):
        region_of(estate, "asia", operator.config)
    private(operator.folder / "s3", "a-very-secret-key")
    assert region_of(estate, "asia", operator.config).name == "asia"
    with pytest.raises(RegionRefused):
        region_of(estate, "mars", operator.config)
