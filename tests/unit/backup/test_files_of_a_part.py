"""Which files one table or one database needs, and what is noticed when one is not as it should be."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters.postgres.restored.choosing import chosen_for, incomplete
from holdfast.adapters.postgres.restored.heap_pages import mapped, rows_in
from holdfast.backup.errors import Damaged
from holdfast.backup.model import Member
from holdfast.backup.restore.chosen import Chosen, NotAlone, Sought, complete, relation_of, sign_in
from holdfast.backup.restore.placing import Assembled
from holdfast.bootstrap.backup.parts import sought_by
from holdfast.interfaces.cli.restoring import PartRequest, RestoreRequest

TABLE = Chosen(frozenset({1, 5}), relations=frozenset({(5, 16400), (5, 20000)}))
DATABASE = Chosen(frozenset({1, 5}), databases=frozenset({5}))
EVERYTHING = (
    "base/1/1259",
    "base/5/1259",
    "base/5/1259_vm",
    "base/5/PG_VERSION",
    "base/7/PG_VERSION",
    "base/7/pg_filenode.map",
    "global/1262",
    "global/16999",
    "pg_xact/0000",
    "backup_label",
    "pg_tblspc/16390/PG_18_202506291/5/1259",
)
OF_THE_TABLE = ("base/5/16400", "base/5/16400.1", "base/5/16400_fsm", "pg_tblspc/9/PG_18_1/5/20000.3")
OF_THE_DATABASE = ("base/5/16401", "base/5/2613", "base/5/2683", "pg_tblspc/9/PG_18_1/5/16401_vm.2")
OF_OTHERS = ("base/7/16400", "base/7/1259", "pg_tblspc/9/PG_18_1/7/1259", "base/1/16400", "base/1/2613")


def test_a_table_takes_its_own_files_and_the_catalogs() -> None:
    for path in (*EVERYTHING, *OF_THE_TABLE):
        assert TABLE.takes(path), path
    for path in (*OF_THE_DATABASE, *OF_OTHERS):
        assert not TABLE.takes(path), path


def test_a_database_takes_all_of_its_own() -> None:
    for path in (*EVERYTHING, *OF_THE_TABLE, *OF_THE_DATABASE):
        assert DATABASE.takes(path), path
    for path in OF_OTHERS:
        assert not DATABASE.takes(path), path


def test_another_choice_has_another_name() -> None:
    names = {TABLE.name, DATABASE.name, TABLE.widened([(5, 16401)]).name, Chosen(frozenset({1, 5})).name}

    assert len(names) == 4
    assert TABLE.widened([(5, 16400)]).name == TABLE.name


def test_a_sign_is_put_into_folders_of_databases_alone() -> None:
    assert sign_in("base/5") == "base/5/holdfast-5"
    assert sign_in("pg_tblspc/9/PG_18_1/5") == "pg_tblspc/9/PG_18_1/5/holdfast-5"
    assert [sign_in(each) for each in ("base", "base/pgsql_tmp", "pg_tblspc/9", "global")] == [""] * 4


@pytest.mark.parametrize("found", [-1, 0, 8191, 16384])
def test_a_file_that_is_gone_or_of_another_length_is_noticed(found: int) -> None:
    file = Assembled("base/5/16400", [Member("base/5/16400", 0, 0, 8192, 0o600)])
    label = Assembled("backup_label", [Member("backup_label", 0, 0, 77, 0o600)])

    complete([file, label], lambda path: 8192 if path == file.path else 0)
    with pytest.raises(Damaged, match="8192 were backed up"):
        complete([file, label], lambda _: found)


def test_an_increment_whose_header_never_came_is_noticed() -> None:
    newer = Member("base/5/INCREMENTAL.16400", 0, 0, 12, 0o600)
    file = Assembled("base/5/16400", [newer, Member("base/5/16400", 0, 0, 8192, 0o600)])

    with pytest.raises(Damaged, match="no header"):
        complete([file], lambda _: 8192)


def test_pages_that_wal_missed_are_told_of_what_is_needed_alone(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    said = "2026-11-22 20:15:00 UTC [7] WARNING:  page 12 of relation {} is uninitialized\n"
    log.write_text("LOG: redo starts\n" + said.format("base/5/16400"), encoding="utf-8")

    assert incomplete(tmp_path / "none", lambda _: True) == ""
    assert incomplete(log, lambda each: each == (5, 16401)) == ""
    assert incomplete(log, lambda each: each == (5, 16400)) == "base/5/16400"
    log.write_text(said.format("pg_tblspc/9/PG_18_1/5/16400_vm"), encoding="utf-8")
    assert incomplete(log, lambda each: each == (5, 16400)) == "pg_tblspc/9/PG_18_1/5/16400_vm"
    log.write_text(said.format("global/1260"), encoding="utf-8")
    assert incomplete(log, lambda _: False) == "global/1260"


def test_all_is_fetched_for_catalogs_that_are_not_known_or_not_there(tmp_path: Path) -> None:
    sought = Sought("shop", "public", "orders")

    for major in (13, 19):
        with pytest.raises(NotAlone, match="are not known"):
            chosen_for(sought, major, tmp_path, lambda _: None)
    with pytest.raises(NotAlone, match="no database template1"):
        chosen_for(sought, 18, tmp_path, lambda _: None)


@given(st.binary(max_size=1024), st.integers(-1, 4096))
def test_what_is_no_map_is_read_without_harm(content: bytes, count: int) -> None:
    assert len(mapped(struct.pack("<ii", 0x592717, count) + content)) <= 64


def test_rows_of_pages_that_are_none_are_none(tmp_path: Path) -> None:
    page = bytearray(8192)
    struct.pack_into("<H", page, 12, 8192)
    for at in range(24, 8188, 4):
        # In use, and leading behind the end, or shorter than any row.
        struct.pack_into(
            "<I", page, at, (8000 | 1 << 15 | 4000 << 17) if at % 8 else (100 | 1 << 15 | 20 << 17)
        )
    path = tmp_path / "1259"
    path.write_bytes(bytes(page) + b"half a page")

    assert list(rows_in([path])) == []


def test_paths_of_relations_are_told_from_others() -> None:
    assert relation_of("base/5/16400_fsm.2") == (5, 16400)
    assert relation_of("pg_tblspc/9/PG_18_1/5/16400") == (5, 16400)
    for path in ("base/5/t3_16400", "base/5/16400.x", "base/16400", "global/1262", "pg_tblspc/9/5/16400/x"):
        assert relation_of(path) is None, path


def test_a_part_comes_alone_unless_the_copy_is_to_be_a_server(tmp_path: Path) -> None:
    into = {"dbname": "sales"}
    table = PartRequest("orders", None, "was", "dbname=sales")
    request = RestoreRequest("main", "latest", tmp_path, part=table)

    assert sought_by(request, into) == Sought("sales", "public", "orders")
    assert sought_by(request, {}) == Sought("postgres", "public", "orders")
    other = PartRequest("a.b.c", "shop", None, "")
    assert sought_by(RestoreRequest("main", "latest", tmp_path, part=other), into) == Sought(
        "shop", "a", "b.c"
    )
    whole = PartRequest(None, "shop", None, "")
    assert sought_by(RestoreRequest("main", "latest", tmp_path, part=whole), into) == Sought("shop")
    assert sought_by(RestoreRequest("main", "latest", tmp_path), into) is None
    for kept in (
        RestoreRequest("main", "latest", tmp_path, part=table, whole=True),
        RestoreRequest("main", "latest", tmp_path, part=table, promote=True),
        RestoreRequest("main", "latest", tmp_path, part=table, keep_running=True),
        RestoreRequest("main", "latest", tmp_path, part=table, delta=True),
        RestoreRequest("main", "latest", tmp_path, part=table, warm=True),
        RestoreRequest("main", "latest", tmp_path, part=table, tablespaces={"9": tmp_path}),
    ):
        assert sought_by(kept, into) is None
