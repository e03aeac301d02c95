import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.scripted_source import MANIFEST, ScriptedSource, tar_stream

from holdfast.adapters.memory.regions import Faults, MemoryRegion
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.backup import layout
from holdfast.backup.errors import RegionAway, RegionRefused, SourceAway, SourceRefused
from holdfast.backup.index import decoded_index
from holdfast.backup.model import Backup, BackupKind
from holdfast.backup.ports import Packer
from holdfast.backup.records import BYTES_PER_CHUNK, encoded
from holdfast.backup.recoverable.holdings import holdings_of, raw_object
from holdfast.backup.take.taking import TAKEN_CHUNK_BYTES, Taken, Taker, chunk_bytes_for
from holdfast.kernel.clock import SystemClock

CHUNK = 64 * 1024
DICE = random.Random(4)
FILES = {
    "backup_label": b"START WAL LOCATION: 0/5000000\n",
    "base/5/16385": DICE.randbytes(5 * CHUNK),
    "base/5/16390_init": b"",
    "base/5/16386": b"",
    "base/5/16387": bytes(2 * CHUNK),
}
FAST = {"PG_18_202506291/5/16400": DICE.randbytes(100_000)}
ARCHIVES = (("16384.tar", "/srv/fast", tar_stream(FAST)), ("base.tar", "", tar_stream(FILES)))
KEYS = {"2026": b"k" * 32}


def taker_of(source: ScriptedSource, *regions: MemoryRegion, packer: Packer | None = None) -> Taker:
    return Taker(
        source,
        regions,
        packer or ZstdPacker(),
        SystemClock(),
        chunk_bytes=CHUNK,
        patience_s=60.0,
        retry_after_s=(0.0,),
    )


def listed_in(region: MemoryRegion) -> list[Backup]:
    held = holdings_of(region, "main", SystemClock())
    assert held.unreadable == ()
    assert held.missing == ()
    return list(held.backups)


@pytest.mark.parametrize("packer", [ZstdPacker(), ZstdPacker(keys=KEYS, key="2026")])
def test_every_file_can_be_taken_out_of_the_chunks_by_the_index(packer: ZstdPacker) -> None:
    region = MemoryRegion("one")
    taken = taker_of(ScriptedSource(ARCHIVES), region, packer=packer).take("main", label="before the move")
    (backup,) = listed_in(region)
    assert backup == taken.backup
    assert backup.label == "before the move"
    streams = [
        b"".join(raw_object(region, chunk, packer) for chunk in archive.chunks) for archive in backup.archives
    ]
    assert streams == [each[2] for each in ARCHIVES]
    assert [(each.oid, each.location) for each in backup.archives] == [(16384, "/srv/fast"), (0, "")]
    members = decoded_index(raw_object(region, backup.index, packer))
    found = {each.path: streams[each.archive][each.offset : each.offset + each.size] for each in members}
    assert found == FILES | {f"pg_tblspc/16384/{name}": content for name, content in FAST.items()}
    assert raw_object(region, backup.manifest, packer) == MANIFEST


def test_the_keys_tell_the_digest_of_what_is_stored() -> None:
    region = MemoryRegion("one")
    backup = taker_of(ScriptedSource(ARCHIVES), region).take("main").backup
    for each in backup.objects:
        assert each.sha256 in each.key
        assert hashlib.sha256(region.get(each.key)).hexdigest() == each.sha256


def test_the_record_comes_last() -> None:
    region = MemoryRegion("one")
    backup = taker_of(ScriptedSource(ARCHIVES), region).take("main").backup
    puts = [key for what, key in region.calls if what == "put"]
    assert puts[-1] == f"main/backups/{backup.id}/backup.json"
    assert sorted(puts[:-1]) == sorted(each.key for each in backup.objects)


def test_unlogged_relations_are_counted_and_told() -> None:
    taken = taker_of(ScriptedSource(ARCHIVES), MemoryRegion("one")).take("main")
    assert taken.unlogged == 1
    assert "1 unlogged" in taken.notes[0]


@pytest.mark.parametrize(
    "faults", [Faults(away=True), Faults(full=True), Faults(refusing=True), Faults(away_after=3)]
)
def test_a_region_that_fails_is_behind_and_has_no_record(faults: Faults) -> None:
    good, bad = MemoryRegion("good"), MemoryRegion("bad", faults=faults)
    taken = taker_of(ScriptedSource(ARCHIVES), good, bad).take("main")
    assert taken.complete == ("good",)
    assert list(taken.behind) == ["bad"]
    bad.faults = Faults()
    assert listed_in(good) == [taken.backup]
    assert listed_in(bad) == []


def test_a_region_that_loses_what_it_took_gets_no_record() -> None:
    good, losing = MemoryRegion("good"), MemoryRegion("losing", faults=Faults(losing=True))
    taken = taker_of(ScriptedSource(ARCHIVES), good, losing).take("main")
    assert taken.complete == ("good",)
    assert "does not have them" in taken.behind["losing"]


def test_whenever_its_only_region_goes_away_nothing_is_listed() -> None:
    whole = len(taker_of(ScriptedSource(ARCHIVES), MemoryRegion("one")).take("main").backup.objects)
    for after in range(whole + 1):
        region = MemoryRegion("one", faults=Faults(away_after=after))
        with pytest.raises(RegionAway, match="no region took the backup"):
            taker_of(ScriptedSource(ARCHIVES), region).take("main")
        region.faults = Faults()
        assert listed_in(region) == []


@pytest.mark.parametrize("number", range(1, 8))
def test_whenever_the_source_breaks_off_nothing_is_listed(number: int) -> None:
    region = MemoryRegion("one")
    source = ScriptedSource(ARCHIVES, fails=(number, SourceAway("the connection broke off")))
    with pytest.raises(SourceAway, match="broke off"):
        taker_of(source, region).take("main")
    assert listed_in(region) == []


def test_a_stream_without_an_end_is_no_backup() -> None:
    region = MemoryRegion("one")
    with pytest.raises(SourceAway, match="has no end"):
        taker_of(ScriptedSource(ARCHIVES, drops_end=True), region).take("main")
    assert listed_in(region) == []


def test_an_archive_that_ends_within_a_file_is_no_backup() -> None:
    region = MemoryRegion("one")
    cut = (("base.tar", "", ARCHIVES[1][2][:10_000]),)
    with pytest.raises(Exception, match="in the middle of a file"):
        taker_of(ScriptedSource(cut), region).take("main")
    assert listed_in(region) == []


def taken_twice(source: ScriptedSource, **of_parent: object) -> tuple[Taken, Taken]:
    region = MemoryRegion("one")
    first = taker_of(ScriptedSource(ARCHIVES), region).take("main")
    parent = replace(first.backup, **of_parent)  # type: ignore[arg-type]
    return first, taker_of(source, region).take("main", parent=parent, parent_manifest=MANIFEST)


def test_an_increment_names_its_parent() -> None:
    source = ScriptedSource(ARCHIVES)
    first, second = taken_twice(source)
    assert (second.backup.kind, second.backup.parent) == (BackupKind.INCREMENTAL, first.backup.id)
    assert source.asked == [MANIFEST]
    assert "full" not in " ".join(second.notes)


def test_a_server_that_refuses_an_increment_gives_a_full_one_and_says_why() -> None:
    source = ScriptedSource(ARCHIVES, refuses_increments=True)
    _, second = taken_twice(source)
    assert (second.backup.kind, second.backup.parent) == (BackupKind.FULL, "")
    assert "WAL summaries are required" in second.notes[0]
    assert source.asked == [MANIFEST, None]


@pytest.mark.parametrize(
    ("of_parent", "why"),
    [
        ({"system_id": 8}, "another cluster"),
        ({"timeline": 2}, "timeline 2"),
        ({"start_lsn": 0x6000000}, "set back"),
        ({"server_version": 170_004}, "PostgreSQL 17"),
    ],
)
def test_a_parent_that_does_not_fit_is_not_even_sent(of_parent: dict[str, object], why: str) -> None:
    source = ScriptedSource(ARCHIVES)
    _, second = taken_twice(source, **of_parent)
    assert second.backup.kind is BackupKind.FULL
    assert why in second.notes[0]
    assert source.asked == [None]


@pytest.mark.parametrize("label", ["a" * 201, "two\nlines", "\x00"])
def test_a_label_is_short_and_printable(label: str) -> None:
    with pytest.raises(SourceRefused, match="label"):
        taker_of(ScriptedSource(ARCHIVES), MemoryRegion("one")).take("main", label=label)


def test_a_full_region_alone_is_an_operators_business() -> None:
    with pytest.raises(RegionRefused, match="no space left"):
        taker_of(ScriptedSource(ARCHIVES), MemoryRegion("one", faults=Faults(full=True))).take("main")


def test_times_are_the_servers_and_the_end_is_not_before_the_beginning() -> None:
    source = ScriptedSource(ARCHIVES)
    backup = taker_of(source, MemoryRegion("one")).take("main").backup
    assert backup.started_at == source.identity.at
    assert backup.finished_at >= backup.started_at
    assert backup.id.startswith("20261122T120000Z-")


def test_two_that_are_taken_at_once_are_two_backups() -> None:
    one, two = MemoryRegion("one"), MemoryRegion("two")
    # Not at one microsecond: two random letters would be the same once in two hundred times.
    sources = [ScriptedSource(ARCHIVES) for _ in range(4)]
    for number, each in enumerate(sources):
        at = each.identity.at.replace(microsecond=number)
        each.identity = replace(each.identity, at=at)
    with ThreadPoolExecutor(4) as threads:
        takings = [threads.submit(taker_of(each, one, two).take, "main") for each in sources]
        taken = {each.result().backup.id for each in takings}
    assert len(taken) == 4
    assert {each.id for each in listed_in(one)} == taken
    assert {each.id for each in listed_in(two)} == taken


def test_without_a_region_nothing_is_taken() -> None:
    with pytest.raises(RegionRefused, match="there are none"):
        taker_of(ScriptedSource(ARCHIVES)).take("main")


def test_a_database_that_no_record_could_tell_of_is_refused_at_once() -> None:
    region = MemoryRegion("one")
    source = ScriptedSource(ARCHIVES, estimated_bytes=100 << 40)
    taker = Taker(source, [region], ZstdPacker(), SystemClock())
    with pytest.raises(SourceRefused, match=r"has 100 TiB, and a backup holds \d+ TiB at most"):
        taker.take("main")
    assert region.keys == []


@pytest.mark.parametrize(("tib", "mib"), [(0, 16), (4, 16), (5, 32), (9, 64), (33, 64)])
def test_large_databases_have_larger_chunks_so_that_the_record_stays_small(tib: int, mib: int) -> None:
    assert chunk_bytes_for(tib << 40) == mib << 20


def test_the_size_of_chunks_is_that_of_the_record() -> None:
    region = MemoryRegion("one")
    source = ScriptedSource(ARCHIVES, estimated_bytes=5 << 40)
    backup = Taker(source, [region], ZstdPacker(), SystemClock()).take("main").backup
    assert backup.chunk_bytes == 2 * TAKEN_CHUNK_BYTES
    assert listed_in(region) == [backup]


def test_a_chunk_adds_no_more_to_the_record_than_is_counted_whatever_the_names() -> None:
    longest = "k" * 63
    region, packer = MemoryRegion("one"), ZstdPacker(keys={longest: b"k" * 32}, key=longest)
    backup = taker_of(ScriptedSource(ARCHIVES), region, packer=packer).take("d" * 63).backup
    without = replace(backup, archives=tuple(replace(each, chunks=()) for each in backup.archives))
    chunks = sum(len(each.chunks) for each in backup.archives)
    assert (len(encoded(backup)) - len(encoded(without))) / chunks <= BYTES_PER_CHUNK


def test_ids_sort_as_the_moments_do_also_within_a_second() -> None:
    first = datetime(2026, 11, 22, 12, 0, 0, 1, tzinfo=UTC)
    moments = [first + timedelta(microseconds=number * 7919) for number in range(200)]
    ids = [layout.backup_id(each) for each in moments]
    assert ids == sorted(ids)
    assert all(layout.is_backup_id(each) for each in ids)
