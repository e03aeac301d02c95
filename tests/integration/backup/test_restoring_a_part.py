"""One table, or one database: only its own files are fetched, and what comes out is all of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.protected import DEBIAN_15, Protected
from tests.restorable import CLOCK, Noted, Restorable

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.adapters.postgres.restored.extracting import copy_table
from holdfast.adapters.postgres.restored.programs import Programs
from holdfast.backup.errors import NotFit
from holdfast.backup.index import decoded_index
from holdfast.backup.model import StoredObject
from holdfast.backup.restore.chosen import Chosen, Share, Sought, relation_of
from holdfast.backup.restore.increments import plain_path
from holdfast.backup.restore.preflight import Way
from holdfast.backup.restore.restoring import Restored
from holdfast.bootstrap.backup.parts import Sources, restored_alone, share_of

ROWS = "SELECT count(*) || ' ' || md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {} t"
CATALOGS = ("pg_class", "pg_inherits", "pg_index", "pg_attribute", "pg_namespace")


class CountingRegion(MemoryRegion):
    """Remembers what was read from it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.read: list[str] = []

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        self.read.append(key)
        return super().get(key, start, end)


@dataclass
class Shop:
    """A server with backups: a full one, an increment, and WAL after it."""

    server: Protected
    stored: Restorable
    region: CountingRegion
    numbers: dict[str, tuple[int, int]]
    """Of tables, as they were backed up: the database's oid, and the number of the files."""

    def truth(self, table: str, database: str = "shop") -> str:
        return str(self.server.value(ROWS.format(table), database))

    def sources(self, progress: Noted) -> Sources:
        programs = Programs(self.server.binaries.folder, settings={"fsync": "off", "shared_buffers": "16MB"})
        return Sources([self.region], self.stored.packer, programs, CLOCK, progress)

    @property
    def chunks(self) -> list[StoredObject]:
        return [
            each for backup in self.stored.backups for archive in backup.archives for each in archive.chunks
        ]

    def chunks_of(self, table: str) -> set[str]:
        """Keys of the objects that hold the table's own files and nothing else."""
        own: set[str] = set()
        others: set[str] = set()
        for backup in self.stored.backups:
            for each in decoded_index(self.stored.packer.unpack(self.region.get(backup.index.key), "")):
                if each.size == 0:
                    continue
                first, last = each.offset // backup.chunk_bytes, (each.offset + each.size - 1)
                chunks = backup.archives[each.archive].chunks[first : last // backup.chunk_bytes + 1]
                is_own = relation_of(plain_path(each.path)) == self.numbers[table]
                (own if is_own else others).update(chunk.key for chunk in chunks)
        return own - others

    @contextmanager
    def alone(
        self, sought: Sought, folder: Path, share: Share | None = None
    ) -> Iterator[tuple[Restored, Share | None, Noted]]:
        progress = Noted()
        sources, plan = self.sources(progress), self.stored.plan()
        share = share or share_of(sources, plan, sought)
        self.region.read.clear()
        restored, share = restored_alone(sources, plan, folder, Way(share=share), sought)
        try:
            yield restored, share, progress
        finally:
            restored.copy.stop()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    # What makes checkpoints lets go of WAL, which nobody has stored yet.
    server = Protected(folder / "server", settings={"wal_keep_size": "1GB"}).start()
    try:
        yield _filled(server, folder)
    finally:
        server.remove()


def _filled(server: Protected, folder: Path) -> Shop:
    outside = folder / "outside"
    outside.mkdir()
    os.chown(outside, server.confinement.uid, server.confinement.gid)
    server.sql(f"CREATE TABLESPACE fast LOCATION '{outside}'")
    for database in ("shop", "other"):
        server.sql(f"CREATE DATABASE {database}")
    big = "CREATE TABLE {0} AS SELECT i, repeat('x', 900) AS pad FROM generate_series(1, {1}) i"
    server.sql(big.format("elsewhere", 1000), "other")
    server.sql(big.format("big", 6000) + "; CREATE INDEX ON big (i)", "shop")
    server.sql(
        """
        CREATE TABLE orders (i int PRIMARY KEY, note text);
        ALTER TABLE orders ALTER note SET STORAGE EXTERNAL;
        INSERT INTO orders SELECT i, repeat(md5(i::text), 200) FROM generate_series(1, 150) i;
        CREATE TABLE days (day int, what text) PARTITION BY RANGE (day);
        CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM (0) TO (10);
        CREATE TABLE days_2 PARTITION OF days FOR VALUES FROM (10) TO (20) TABLESPACE fast;
        CREATE TABLE days_3 PARTITION OF days FOR VALUES FROM (20) TO (30) PARTITION BY LIST (day);
        CREATE TABLE days_3_a PARTITION OF days_3 DEFAULT;
        INSERT INTO days SELECT i % 30, repeat('d', 100) FROM generate_series(1, 9000) i;
        CREATE TABLE was AS SELECT i, repeat('w', 500) AS pad FROM generate_series(1, 1000) i;
        CREATE TABLE rewritten AS SELECT i, repeat('r', 500) AS pad FROM generate_series(1, 1000) i;
        SELECT lo_from_bytea(4711, repeat('large', 200000)::bytea);
        """,
        "shop",
    )
    for catalog in CATALOGS:
        server.sql(f"VACUUM FULL {catalog}", "shop")
    server.sql("VACUUM FULL pg_index", "template1")
    region = CountingRegion("eu")
    stored = Restorable(server, [region], chunk_bytes=64 * 1024 + 1000)
    stored.take()
    server.sql("UPDATE orders SET note = repeat(md5('b' || i), 200) WHERE i % 10 = 0", "shop")
    server.sql("UPDATE big SET pad = 'b' WHERE i % 500 = 0", "shop")
    stored.take()
    numbers = {
        name: (_oid(server, database), server.value(f"SELECT pg_relation_filenode('{name}')", database))
        for database, names in (("shop", ("big", "orders", "was")), ("other", ("elsewhere",)))
        for name in names
    }
    server.sql(
        """
        UPDATE orders SET note = repeat(md5('c' || i), 200) WHERE i % 25 = 0;
        UPDATE big SET pad = repeat('c', 900) WHERE i > 5990;
        INSERT INTO days SELECT i % 30, 'new' FROM generate_series(1, 100) i;
        ALTER TABLE was RENAME TO renamed;
        CREATE TABLE fresh AS SELECT i FROM generate_series(1, 500) i;
        """,
        "shop",
    )
    server.sql("VACUUM FULL rewritten", "shop")
    server.sql("VACUUM FULL pg_inherits", "shop")
    server.sql("ALTER DATABASE other SET TABLESPACE fast")
    server.sql("CREATE DATABASE twin TEMPLATE shop STRATEGY FILE_COPY")
    stored.store_wal()
    return Shop(server, stored, region, numbers)


def _oid(server: Protected, database: str) -> int:
    return int(server.value(f"SELECT oid FROM pg_database WHERE datname = '{database}'"))


def _extracted(shop: Shop, restored: Restored, table: str, database: str = "shop") -> str:
    """The table's content, after it was loaded into another database of the live server."""
    target = {**shop.server.owner_params, "dbname": "postgres"}
    copy_table(restored.copy.conninfo, database, table, target, "public.loaded", is_alone=True)
    try:
        return str(shop.server.value(ROWS.format("loaded")))
    finally:
        shop.server.sql("DROP TABLE loaded")


def test_a_table_comes_alone_with_what_is_kept_outside_of_its_rows(shop: Shop, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    others = shop.chunks_of("big") | shop.chunks_of("elsewhere")
    assert len(others) > 50

    with shop.alone(Sought("shop", "public", "orders"), folder) as (restored, share, progress):
        assert share is not None
        assert progress.notes == ["looking where its files are"]
        assert not others & set(shop.region.read)
        fetched = sum(each.stored_bytes for each in shop.chunks if each.key in shop.region.read)
        assert share.fetched_bytes == fetched < share.stored_bytes * 0.7
        assert share.stored_bytes <= sum(each.stored_bytes for each in shop.chunks)
        assert _extracted(shop, restored, "orders") == shop.truth("orders")
        # Of its full length, so that WAL finds its pages; what WAL did not touch takes no room.
        database, number = shop.numbers["big"]
        hollow = (folder / "base" / str(database) / str(number)).stat()
        assert hollow.st_size > 5 << 20
        assert hollow.st_blocks * 512 < hollow.st_size / 4


@pytest.mark.parametrize("table", ["days", "rewritten", "fresh"])
def test_partitions_and_tables_that_wal_rewrote_or_made_come_alone(
    shop: Shop, tmp_path: Path, table: str
) -> None:
    with shop.alone(Sought("shop", "public", table), tmp_path / "copy") as (restored, share, progress):
        assert share is not None
        assert progress.notes == ["looking where its files are"]
        assert _extracted(shop, restored, table) == shop.truth(table)
        assert not shop.chunks_of("big") & set(shop.region.read)


def test_a_table_that_had_another_name_is_fetched_in_a_second_round(shop: Shop, tmp_path: Path) -> None:
    with shop.alone(Sought("shop", "public", "renamed"), tmp_path / "copy") as (restored, share, progress):
        assert share is not None
        assert shop.numbers["was"] in share.chosen.relations
        assert any(each.startswith("all is laid out again") for each in progress.notes)
        assert _extracted(shop, restored, "renamed") == shop.truth("renamed")
        assert not shop.chunks_of("big") & set(shop.region.read)


def test_what_was_not_fetched_and_is_needed_is_never_read_as_zeros(shop: Shop, tmp_path: Path) -> None:
    sought = Sought("shop", "public", "orders")
    sources = shop.sources(Noted())
    plan = shop.stored.plan()
    found = share_of(sources, plan, sought)
    assert found is not None
    bare = sources.restorer().share(plan, Chosen(found.chosen.catalogs))

    with shop.alone(sought, tmp_path / "copy", bare) as (restored, share, progress):
        assert len(progress.notes) >= 1
        assert share is None or shop.numbers["orders"] in share.chosen.relations
        assert _extracted(shop, restored, "orders") == shop.truth("orders")


def test_a_table_of_a_database_that_moved_to_another_tablespace(shop: Shop, tmp_path: Path) -> None:
    with shop.alone(Sought("other", "public", "elsewhere"), tmp_path / "copy") as (restored, share, _):
        assert share is not None
        assert _extracted(shop, restored, "elsewhere", "other") == shop.truth("elsewhere", "other")
        assert not shop.chunks_of("big") & set(shop.region.read)


def test_a_database_that_was_made_of_others_files_is_restored_whole(shop: Shop, tmp_path: Path) -> None:
    sought = Sought("twin", "public", "orders")
    progress = Noted()
    assert share_of(shop.sources(progress), shop.stored.plan(), sought) is None
    assert "all files are fetched: the backup has no database twin" in progress.notes

    # As if it had been made while the backup was taken, and were known to it.
    sources, plan, twin = shop.sources(Noted()), shop.stored.plan(), _oid(shop.server, "twin")
    first = share_of(sources, plan, Sought("shop", "public", "fresh"))
    assert first is not None
    known = Chosen(first.chosen.catalogs | {twin}, relations=first.chosen.relations)
    first = sources.restorer().share(plan, known)
    with shop.alone(sought, tmp_path / "copy", first) as (restored, share, told):
        assert share is None
        assert any("twin was made after the backup began" in each for each in told.notes)
        question = ROWS.format("orders")
        assert restored.copy.ask("twin", question, 60.0).rows == ((shop.truth("orders", "twin"),),)


def test_one_database_comes_without_the_others(shop: Shop, tmp_path: Path) -> None:
    with shop.alone(Sought("other"), tmp_path / "copy") as (restored, share, _):
        assert share is not None
        assert not shop.chunks_of("big") & set(shop.region.read)
        assert shop.chunks_of("elsewhere") <= set(shop.region.read)
        asked = restored.copy.ask("other", ROWS.format("elsewhere"), 60.0)
        assert asked.rows == ((shop.truth("elsewhere", "other"),),)


def test_a_folder_with_some_of_the_files_is_gone_on_with_as_such_alone(shop: Shop, tmp_path: Path) -> None:
    sources, plan, folder = shop.sources(Noted()), shop.stored.plan(), tmp_path / "copy"
    sought = Sought("shop", "public", "orders")
    share = share_of(sources, plan, sought)
    assert share is not None
    restorer = sources.hollow()
    restorer.lay_out(plan, folder, Way(share=share))

    for way in (Way(resume=True), Way(resume=True, share=replace(share, chosen=Chosen(frozenset({1}))))):
        with pytest.raises(NotFit, match="was begun with other files"):
            restorer.lay_out(plan, folder, way)

    shop.region.read.clear()
    way = Way(resume=True, share=share)
    restored, same = restored_alone(sources, plan, folder, way, sought)
    try:
        assert same == share
        assert restored.laid_out.was_there
        assert _extracted(shop, restored, "orders") == shop.truth("orders")
    finally:
        restored.copy.stop()


@pytest.mark.parametrize("bin_dir", [None, DEBIAN_15])
def test_without_full_page_writes_the_others_pages_are_in_nobodys_way(
    tmp_path: Path, bin_dir: Path | None
) -> None:
    server = Protected(tmp_path / "server", bin_dir=bin_dir, settings={"full_page_writes": "off"}).start()
    try:
        server.sql("CREATE TABLE big AS SELECT i, repeat('x', 900) AS pad FROM generate_series(1, 2000) i")
        server.sql(
            "CREATE TABLE orders AS SELECT i, repeat(md5(i::text), 100) FROM generate_series(1, 100) i"
        )
        server.sql("VACUUM FULL pg_type")
        region = CountingRegion("eu")
        stored = Restorable(server, [region])
        stored.take()
        server.sql("UPDATE big SET pad = 'y' WHERE i % 100 = 0")
        server.sql("UPDATE orders SET i = -i")
        stored.store_wal()
        shop = Shop(server, stored, region, {})

        with shop.alone(Sought("postgres", "public", "orders"), tmp_path / "copy") as (restored, share, _):
            assert share is not None
            said = (tmp_path / "copy/holdfast-restore/server.log").read_text(encoding="utf-8")
            assert "is uninitialized" in said
            assert _extracted(shop, restored, "orders", "postgres") == shop.truth("orders", "postgres")
    finally:
        server.remove()
