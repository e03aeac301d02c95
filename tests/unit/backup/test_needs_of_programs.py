"""What a database needs of PostgreSQL's programs beside their version, and what some programs lack of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from tests.held import backup, wal

from holdfast.adapters.postgres.restored.offering import _blocks, lacking, offer_of
from holdfast.adapters.postgres.server.binaries import Binaries
from holdfast.backup.errors import NotFit
from holdfast.backup.lsn import Timeline
from holdfast.backup.model import RestorePlan, Target
from holdfast.backup.restore.needs import (
    Extension,
    Needs,
    Offer,
    Use,
    differing,
    folded,
    missing,
    needs_at,
    sorted_otherwise,
    unknown,
)
from holdfast.backup.restore.preflight import Build, Place, Preflight, Way, inspect, with_needs
from holdfast.backup.verify.needs import learned

BIN = Path("/opt/pg/bin")
POSTGIS = Extension("postgis", "3.4.0", ("$libdir/postgis-3",), ("gis", "shop"))
ALL = Offer(
    frozenset(),
    {"plpgsql": "1.0", "postgis": "3.4.0", "hstore": "1.8"},
    frozenset({"postgis-3", "hstore", "pg_stat_statements"}),
    frozenset({"c", "c.utf8", "de_de.utf8"}),
    8192,
    131072,
    8192,
)
NONE_KNOWN = Offer()
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def _missing(needs: Needs, offer: Offer = ALL) -> list[str]:
    return [text for text, hint in missing(needs, offer, BIN, 15) if hint]


def test_what_is_there_is_no_problem() -> None:
    needs = Needs(
        (POSTGIS, Extension("plpgsql", "1.0")),
        ("$libdir/hstore",),
        ("pg_stat_statements",),
        (Use("icu", "database shop"), Use("lz4", "wal_compression")),
        ("de_DE.UTF-8", "C", "POSIX", ""),
        8192,
        131072,
        8192,
    )
    assert _missing(needs) == []
    assert unknown(needs, ALL, BIN) == ""


@pytest.mark.parametrize(
    ("needs", "offer", "words"),
    [
        (
            Needs((POSTGIS,)),
            replace(ALL, extensions={}),
            "/opt/pg/bin has no extension postgis (in gis, shop)",
        ),
        (Needs((POSTGIS,)), replace(ALL, libraries=frozenset()), "has no library $libdir/postgis-3, of the"),
        (Needs(libraries=("$libdir/own",)), ALL, "has no library $libdir/own, which functions name"),
        (Needs(preloaded=("timescaledb",)), ALL, "timescaledb, which shared_preload_libraries name"),
        (
            Needs(uses=(Use("icu", "database shop"),)),
            replace(ALL, lacks=frozenset({"icu"})),
            "built without ICU, used by database shop",
        ),
        (
            Needs(uses=(Use("lz4", "columns of a"), Use("lz4", "wal_compression"))),
            replace(ALL, lacks=frozenset({"lz4", "zstd"})),
            "built without lz4, used by columns of a, wal_compression",
        ),
        (Needs(locales=("fr_FR.UTF-8", "C")), ALL, "this machine has no locale fr_FR.UTF-8"),
        (Needs(block_bytes=32768), ALL, "blocks of another size (8192, not 32768)"),
        (Needs(file_blocks=65536), ALL, "files of another size"),
        (Needs(wal_block_bytes=4096), ALL, "WAL blocks of another size"),
    ],
)
def test_each_thing_that_is_missing_is_named_once(needs: Needs, offer: Offer, words: str) -> None:
    (text,) = _missing(needs, offer)
    assert words in text
    assert _missing(needs, NONE_KNOWN) == []


def test_what_belongs_to_postgresql_itself_is_said_where_it_comes_from() -> None:
    ((_, own), (_, other)) = missing(
        Needs((Extension("amcheck", "1.3"), Extension("vector", "0.8"))), ALL, BIN, 15
    )
    assert "contrib" in own
    assert "contrib" not in other
    assert "install vector for PostgreSQL 15" in other


def test_a_library_that_is_named_twice_is_told_once() -> None:
    needs = Needs((replace(POSTGIS, libraries=("$libdir/x",)),), ("$libdir/x",), ("x",))
    assert len(_missing(needs)) == 1


def test_what_nobody_knows_is_said_and_never_taken_for_there() -> None:
    assert "unknown" in unknown(None, ALL, BIN)
    told = unknown(Needs((POSTGIS,), locales=("de_DE.UTF-8",), unasked=("busy",)), NONE_KNOWN, BIN)
    assert told == (
        "unknown: how /opt/pg/bin was built, which extensions /opt/pg/bin has,"
        " which locales this machine has, what busy needs"
    )


def test_another_version_of_an_extension_is_noted() -> None:
    here = replace(ALL, extensions={"postgis": "3.5.0", "plpgsql": "1.0"})
    assert differing(Needs((POSTGIS, Extension("plpgsql", "1.0"))), here) == (
        "extensions of another version: postgis 3.4.0 (here 3.5.0)"
    )
    assert differing(Needs((POSTGIS,)), ALL) == ""


def test_another_library_of_locales_is_noted_since_indexes_may_be_in_another_order() -> None:
    needs = Needs(sorted_by=("2.31", "2.36"))
    told = sorted_otherwise(needs, replace(ALL, libc="2.36"))
    assert "libc 2.31, and this machine has 2.36: REINDEX" in told
    assert sorted_otherwise(needs, ALL) == ""
    assert sorted_otherwise(Needs(sorted_by=("2.36",)), replace(ALL, libc="2.36")) == ""
    notes = with_needs(Preflight(0, (), ()), needs, Build(BIN, 18, 0, replace(ALL, libc="2.36"))).notes
    assert notes == (told,)


def test_what_a_store_says_cannot_write_to_the_terminal() -> None:
    (text,) = _missing(Needs((Extension("\x1b[2Jevil" + "x" * 1000, "1"),)))
    assert "\x1b" not in text
    assert len(text) < 200
    (text,) = _missing(
        Needs(uses=(Use("icu", "database \x1b[2Jevil"),)), replace(ALL, lacks=frozenset({"icu"}))
    )
    assert "\x1b" not in text


def test_a_record_that_names_too_much_does_not_fill_the_terminal() -> None:
    many = Needs(tuple(Extension(f"x{number}", "1") for number in range(5000)))
    told = with_needs(Preflight(0, (), ()), many, Build(BIN, 18, 0, ALL))
    assert len(told.problems) == 31
    assert told.problems[-1][0] == "and 4970 more things are missing"


def test_the_needs_of_the_moment_are_taken() -> None:
    old, new = Needs((POSTGIS,)), Needs()
    known = [(NOON + timedelta(hours=2), new), (NOON, old)]
    assert needs_at(known, None) is new
    assert needs_at(known, NOON + timedelta(hours=1)) is old
    assert needs_at(known, NOON - timedelta(days=1)) is old
    assert needs_at([], NOON) is None


def test_a_restore_is_refused_for_what_is_missing_unless_it_is_wanted_anyway() -> None:
    full = backup(0)
    plan = RestorePlan("shop", "eu", Target(), (full,), tuple(wal(0, 2)), (), Timeline(1), None)
    place = Place(Path("/srv/copy"), True, False, None, in_use=False, free_bytes=10**12)
    build = Build(BIN, 18, 0, replace(ALL, extensions={}))
    judged = inspect(plan, (), place, build, Way())

    told = with_needs(judged, Needs((POSTGIS,)), build)
    with pytest.raises(NotFit, match="no extension postgis") as refused:
        told.insist()
    assert "install postgis" in refused.value.hint
    assert not any("postgis" in each for each in told.notes)

    anyway = with_needs(judged, Needs((POSTGIS,)), build, anyway=True)
    anyway.insist()
    assert sum("postgis" in each for each in anyway.notes) == 1

    unlearned = with_needs(judged, None, build)
    unlearned.insist()
    assert sum("unknown" in each for each in unlearned.notes) == 1


def test_programs_that_are_older_than_the_server_are_noted() -> None:
    full = replace(backup(0), server_version=180004)
    plan = RestorePlan("shop", "eu", Target(), (full,), tuple(wal(0, 2)), (), Timeline(1), None)
    place = Place(Path("/srv/copy"), True, False, None, in_use=False, free_bytes=10**12)
    for minor, noted in ((3, True), (4, False), (None, False)):
        notes = inspect(plan, (), place, Build(BIN, 18, minor), Way()).notes
        assert any("older than the server's 18.4" in each for each in notes) is noted


def test_what_a_copy_tells_becomes_its_needs() -> None:
    cluster = [
        ("database", "shop", "i", "de_DE.UTF-8", "de_DE.UTF-8", "true", "153.14"),
        ("database", "log", "c", "C", "C", "true", "2.36"),
        ("setting", "block_size", "8192", "", "", "", ""),
        ("setting", "segment_size", "131072", "", "", "", ""),
        ("setting", "wal_compression", "lz4", "", "", "", ""),
        ("setting", "shared_preload_libraries", "", "", "", "", ""),
        ("setting", "data_checksums", "on", "", "", "", ""),
        ("special", "default_toast_compression", "lz4", "", "", "", ""),
    ]
    files = [
        ("shared_preload_libraries", "pg_stat_statements"),
        ("shared_preload_libraries", '"a", auto_explain'),
    ]
    told = {
        "shop": [
            ("extension", "postgis", "3.4.0"),
            ("library", "$libdir/postgis-3", "postgis"),
            ("library", "/opt/own", ""),
            ("icu", "", ""),
        ],
        "log": [("extension", "postgis", "3.4.0"), ("icu", "", ""), ("lz4", "", "")],
    }
    needs = learned(cluster, files, told, ["busy"])
    assert needs == Needs(
        (Extension("postgis", "3.4.0", ("$libdir/postgis-3",), ("log", "shop")),),
        ("/opt/own",),
        ("a", "auto_explain"),
        (
            Use("icu", "database shop"),
            Use("icu", "columns of log"),
            Use("lz4", "columns of log"),
            Use("lz4", "wal_compression"),
            Use("lz4", "default_toast_compression"),
        ),
        ("C", "de_DE.UTF-8"),
        8192,
        131072,
        None,
        True,
        ("2.36",),
        ("busy",),
    )
    assert msgspec.json.decode(msgspec.json.encode(needs), type=Needs) == needs


def test_builds_tell_what_they_lack_and_the_size_of_their_blocks() -> None:
    assert lacking("'--with-lz4' '--with-zstd'", 16) == frozenset()
    assert lacking("'--with-lz4' '--with-icu'", 15) == {"zstd"}
    assert lacking("'--without-icu'", 18) == {"icu", "lz4", "zstd"}
    assert lacking("-Dicu=enabled -Dlz4=enabled -Dzstd=enabled", 18) == frozenset()
    assert _blocks("'--prefix=/usr'") == (8192, 131072, 8192)
    assert _blocks("'--with-blocksize=32' '--with-segsize=2' '--with-wal-blocksize=16'") == (
        32768,
        65536,
        16384,
    )
    assert _blocks("-Dblocksize=16 -Dwal_blocksize=4") == (16384, 65536, 4096)


def test_locales_have_several_spellings() -> None:
    assert folded("de_DE.UTF-8") == folded("de_DE.utf8")
    assert folded("C.UTF-8") == "c.utf8"


def test_programs_without_pg_config_tell_nothing(tmp_path: Path) -> None:
    offer = offer_of(Binaries(tmp_path, 15))
    assert (offer.lacks, offer.extensions, offer.libraries, offer.block_bytes) == (None, None, None, None)


def test_what_programs_have_is_read_where_their_pg_config_says(tmp_path: Path) -> None:
    for name, text in {
        "share/extension/postgis.control": "comment = 'x'\ndefault_version = '3.4.0'\n",
        "share/extension/postgis--3.4.0.control": "",
        "share/extension/odd.control": "\xff",
        "lib/postgis-3.so": "",
        "lib/plugins/deep.so": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="latin-1")
    config = tmp_path / "pg_config"
    config.write_text(
        "#!/bin/sh\ncase $1 in\n--configure) echo \"'--without-icu'\";;\n"
        f"--sharedir) echo '{tmp_path}/share';;\n--pkglibdir) echo '{tmp_path}/lib';;\nesac\n"
    )
    config.chmod(0o755)

    offer = offer_of(Binaries(tmp_path, 18))

    assert offer.lacks == {"icu", "lz4", "zstd"}
    assert offer.extensions == {"postgis": "3.4.0", "odd": ""}
    assert offer.libraries == {"postgis-3", "plugins/deep"}
    assert offer.block_bytes == 8192
