"""A store that is sealed, with an intruder's things in it: what is restored is what was vouched for."""

import base64
from pathlib import Path

from tests.protected import LOGIN_PASSWORD, Protected
from tests.restorable import CLOCK, DATABASE, Restorable
from tests.verified import Verified
from typer.testing import CliRunner

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.adapters.packing.authentic import AuthenticRegion
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.backup import layout
from holdfast.backup.copies.scrubbing import Scrubber
from holdfast.backup.model import BackupKind
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.restore.preflight import Way
from holdfast.backup.take.taking import Silent
from holdfast.backup.verify.verification import Standing, verifications_in
from holdfast.bootstrap.backup.opening import packer_for, regions_of
from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.main import _commands
from holdfast.interfaces.cli.app import build

ESTATE = """\
regions: {{eu: {{name: Europe}}}}
clusters:
  print:
    name: Print
    region: eu
    components:
      web: {{name: Web, checks: {{page: {{url: "http://127.0.0.1:1/"}}}}}}
backup:
  stores: {{eu: {{to: "file://{folder}/eu"}}}}
  encryption: {{key: new, keys: {{new: "file:new.key"}}}}
databases:
  shop:
    name: Shop
    cluster: print
    connection: {{host: 127.0.0.1, port: {port}, tls: "off", password: "file:password"}}
    copies: {{eu: {{}}}}
"""
KEYS = {"old": bytes(range(32)), "new": bytes(range(1, 33))}


def _sealed(server: Protected, store: MemoryRegion, key: str) -> Restorable:
    region = AuthenticRegion(store, KEYS, key)
    return Restorable(server, [region], ZstdPacker(keys=KEYS, key=key))


def test_after_a_rotation_and_forgeries_the_right_thing_is_restored(
    protected: Protected, tmp_path: Path
) -> None:
    store = MemoryRegion("eu")
    before = _sealed(protected, store, "old")
    protected.sql("CREATE TABLE t AS SELECT i FROM generate_series(1, 3000) i")
    full = before.take()
    before.store_wal()
    stored = _sealed(protected, store, "new")
    stored.backups = [full]
    protected.sql("UPDATE t SET i = 0 WHERE i = 1")
    second = stored.take()
    assert (second.kind, second.manifest.sealed_with) == (BackupKind.INCREMENTAL, "new")
    protected.sql("DELETE FROM t WHERE i > 2000")
    stored.store_wal()
    ours = holdings_of(stored.regions[0], DATABASE, CLOCK)

    record = layout.record_key(DATABASE, second.id)
    later = layout.record_key(DATABASE, f"2099{second.id[4:]}")
    store.put(later, store.get(record))
    last = max(ours.wal, key=lambda each: each.end_lsn)
    theirs = last.key.replace(last.segment.name, last.segment.following.name).replace(".zst.new.aes", ".zst")
    store.put(theirs, b"rows that never were")

    held = holdings_of(stored.regions[0], DATABASE, CLOCK)
    assert (held.backups, held.wal) == (ours.backups, ours.wal)
    assert sorted(held.unreadable) == sorted([later, f"{theirs}.forged"])
    restored = stored.restorer().restore(stored.plan(), tmp_path / "copy", Way())
    try:
        asked = restored.copy.ask("postgres", "SELECT count(*), min(i) FROM t", 60.0)
        assert (asked.error, asked.rows) == ("", (("2000", "0"),))
    finally:
        restored.copy.stop()

    verified = Verified(stored, tmp_path / "verified").newest({"fewer": "SELECT count(*) = 2000 FROM t"})
    assert (verified.standing, verified.problems) == (Standing.PASSED, ())
    (kept,) = [key for key in store.keys if key.startswith(layout.verifications_prefix(DATABASE))]
    again = kept.replace(".json", "-again.json")
    store.put(again, store.get(kept))
    assert [each.id for each in verifications_in(stored.regions[0], DATABASE)] == [verified.id]

    scrubbed = Scrubber(stored.regions[0], [], CLOCK, Silent()).scrub(DATABASE)
    assert {each.key for each in scrubbed.standing} == {later, f"{theirs}.forged", again}


def test_an_operator_is_told_of_forgeries_and_restores_with_and_without_the_estate(
    protected: Protected, tmp_path: Path
) -> None:
    config, store = tmp_path / "holdfast.yaml", tmp_path / "eu"
    store.mkdir()
    config.write_text(ESTATE.format(folder=tmp_path, port=protected.port), encoding="utf-8")
    other = base64.b64encode(KEYS["old"]).decode()
    texts = {
        "new.key": base64.b64encode(KEYS["new"]).decode(),
        "password": LOGIN_PASSWORD,
        "other.key": other,
    }
    for name, text in texts.items():
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(text, encoding="ascii")

    def run(*arguments: str) -> tuple[int, str]:
        ended = CliRunner().invoke(build(_commands), [*arguments, "--config", str(config)])
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
        return ended.exit_code, ended.output

    code, told = run("backup", "now", "shop")
    assert code == 0, told
    estate = read_estate(config)
    regions, packer = regions_of(estate, "shop", config), packer_for(estate, config)
    Restorable(protected, regions, packer).store_wal()  # type: ignore[arg-type]
    (record,) = store.glob("shop/backups/*/backup.json")
    forged = record.parent.with_name(f"2099{record.parent.name[4:]}")
    forged.mkdir()
    (forged / "backup.json").write_bytes(record.read_bytes().replace(b"2026", b"2099"))

    code, told = run("backup", "list", "shop")
    assert code != 0
    assert record.parent.name in told
    assert f"shop/backups/{forged.name}/backup.json cannot be read" in " ".join(told.split())
    code, told = run("restore", "shop", "--to", str(tmp_path / "one"))
    assert code == 0, told
    alone = ("restore", "shop", "--from-store", f"file://{store}")
    code, told = run(*alone, "--key", f"new={tmp_path / 'other.key'}", "--to", str(tmp_path / "none"))
    assert code != 0
    assert "Traceback" not in told
    assert not (tmp_path / "none").exists()
    code, told = run(*alone, "--key", f"new={tmp_path / 'new.key'}", "--to", str(tmp_path / "two"))
    assert code == 0, told
