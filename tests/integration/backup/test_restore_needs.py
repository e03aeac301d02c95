"""What a verification learns that a database needs, and a restore's preflight with other programs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.protected import DEBIAN_15, Protected
from tests.restorable import DATABASE, Restorable
from tests.verified import Verified
from typer.testing import CliRunner

from holdfast.adapters.objectstore.regions import open_region
from holdfast.backup.restore.needs import Needs, Use
from holdfast.backup.verify.verification import Standing, verifications_in
from holdfast.bootstrap.main import _commands
from holdfast.interfaces.cli.app import build

DEMANDING = """
CREATE EXTENSION hstore;
CREATE TABLE words (word text COLLATE "de-x-icu", body text COMPRESSION lz4, odd hstore);
INSERT INTO words VALUES ('Ärger', repeat('lang ', 2000), 'a=>1');
CREATE FUNCTION own_citext(cstring) RETURNS text AS '$libdir/citext', 'citext_smaller' LANGUAGE C;
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("needs")


@pytest.fixture(scope="module")
def stored(place: Path) -> Iterator[Restorable]:
    """A database that needs much, backed up and verified once."""
    server = Protected(place / "server", bin_dir=DEBIAN_15).start()
    try:
        server.sql("ALTER SYSTEM SET wal_compression = 'lz4'")
        server.sql("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
        server.sql("CREATE DATABASE shop TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de'")
        server.sql(DEMANDING, "shop")
        # As a machine with an older library of locales would have recorded it.
        server.sql("CREATE DATABASE sorted")
        server.sql("UPDATE pg_database SET datcollversion = '2.1' WHERE datname = 'sorted'")
        stored = Restorable(server, [open_region("eu", f"file://{place}/store", {})])
        stored.take()
        stored.store_wal()
        verified = Verified(stored, place / "copies").newest()
        assert verified.standing is Standing.PASSED, verified.problems
        yield stored
    finally:
        server.remove()


def _dry_run(place: Path, *arguments: str) -> tuple[int, dict[str, object]]:
    command = ["restore", DATABASE, "--from-store", f"file://{place}/store", "--to", str(place / "to")]
    ended = CliRunner().invoke(build(_commands), [*command, "--dry-run", "--json", *arguments])
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    return ended.exit_code, json.loads(ended.stdout)


def _programs(place: Path, name: str, configure: str) -> Path:
    """Debian's, whose pg_config tells of another build that has neither extensions nor libraries."""
    folder = place / name
    (folder / "share" / "extension").mkdir(parents=True)
    (folder / "lib").mkdir()
    for program in DEBIAN_15.iterdir():
        if program.name != "pg_config":
            (folder / program.name).symlink_to(program)
    if configure:
        text = (
            f'#!/bin/sh\ncase $1 in\n--configure) echo "{configure}";;\n'
            f"--sharedir) echo '{folder}/share';;\n--pkglibdir) echo '{folder}/lib';;\nesac\n"
        )
        (folder / "pg_config").write_text(text)
        (folder / "pg_config").chmod(0o755)
    return folder


def test_a_verification_learns_what_the_database_needs(stored: Restorable) -> None:
    (record,) = verifications_in(stored.regions[0], DATABASE)
    needs = record.needs
    assert isinstance(needs, Needs)
    assert {each.name: each.databases for each in needs.extensions} == {
        "hstore": ("shop",),
        "plpgsql": ("postgres", "shop", "sorted", "template1"),
    }
    assert next(each for each in needs.extensions if each.name == "hstore").libraries == ("$libdir/hstore",)
    assert needs.libraries == ("$libdir/citext",)
    assert needs.preloaded == ("pg_stat_statements",)
    assert set(needs.uses) == {
        Use("icu", "database shop"),
        Use("lz4", "columns of shop"),
        Use("lz4", "wal_compression"),
    }
    assert (needs.block_bytes, needs.file_blocks, needs.wal_block_bytes) == (8192, 131072, 8192)
    assert needs.sorted_by == ("2.1",)


def test_programs_that_fit_are_in_nobodys_way_and_the_dry_run_tells_how_long(
    stored: Restorable, place: Path
) -> None:
    code, told = _dry_run(place, "--bin-dir", str(DEBIAN_15))
    assert (code, told["problems"]) == (0, [])
    assert not any("unknown" in each or "built without" in each for each in told["notes"])  # type: ignore[attr-defined]
    assert sum("sorted by the locales of libc 2.1" in each for each in told["notes"]) == 1  # type: ignore[attr-defined]
    assert isinstance(told["expected_s"], float)
    assert told["expected_s"] > 0


def test_what_programs_lack_is_named_before_anything_is_fetched(stored: Restorable, place: Path) -> None:
    poor = str(_programs(place, "poor", "--with-segsize=1"))
    code, told = _dry_run(place, "--bin-dir", poor)
    problems = "\n".join(told["problems"])  # type: ignore[arg-type]
    assert code == 1
    for words in (
        "built without ICU, used by database shop",
        "built without lz4, used by columns of shop, wal_compression",
        "no extension hstore (in shop) (install hstore for PostgreSQL 15 (PostgreSQL's own:",
        "no library $libdir/citext, which functions name",
        "no library pg_stat_statements, which shared_preload_libraries name",
    ):
        assert problems.count(words) == 1, problems

    code, told = _dry_run(place, "--bin-dir", poor, "--anyway")
    assert (code, told["problems"]) == (0, [])
    assert sum("built without lz4" in each for each in told["notes"]) == 1  # type: ignore[attr-defined]
    assert not (place / "to").exists()


def test_what_is_wanted_anyway_is_restored_and_each_lack_is_told_once(
    stored: Restorable, place: Path
) -> None:
    poor = _programs(place, "anyway", "--with-segsize=1")
    command = ["restore", DATABASE, "--from-store", f"file://{place}/store", "--to", str(place / "copy")]
    options = ["--bin-dir", str(poor), "--anyway"]
    ended = CliRunner().invoke(build(_commands), [*command, *options])
    assert ended.exit_code == 0, ended.output
    told = ended.stdout + ended.stderr
    assert "restored shop" in told
    for words in ("built without lz4", "no extension hstore"):
        assert told.count(words) == 1, told


def test_programs_that_tell_nothing_are_unknown_and_not_good(stored: Restorable, place: Path) -> None:
    code, told = _dry_run(place, "--bin-dir", str(_programs(place, "silent", "")))
    assert (code, told["problems"]) == (0, [])
    assert sum("unknown: how" in each for each in told["notes"]) == 1  # type: ignore[attr-defined]
