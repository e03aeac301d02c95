"""What every region's store promises: in memory, in a folder, on S3 with and without locks, on Azure."""

import hashlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.stores import Azurite, S3Server, azurite, s3_server

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.adapters.objectstore.folder import FolderRegion
from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.packing.authentic import AuthenticRegion
from holdfast.backup.errors import AlreadyThere, RegionRefused
from holdfast.backup.ports import Region


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server


Open = Callable[[], Region]


class InParts(FolderRegion):
    """A folder into which everything is put as a part, as long as nothing says otherwise."""

    def put(self, key: str, content: bytes | memoryview) -> None:
        # Of its own accord it puts what cannot be a part.
        if sys._getframe(1).f_code.co_name == "put_part":
            super().put(key, content)
        else:
            self.put_part(key, content)


@pytest.fixture(params=["memory", "vouched for", "folder", "folder, in parts", "s3", "s3-locks", "azure"])
def again(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the test's own store, as often as it is called."""
    if request.param == "memory":
        region = MemoryRegion("eu")
        return lambda: region
    if request.param == "vouched for":
        store = MemoryRegion("eu")
        return lambda: AuthenticRegion(store, {"new": bytes(32)}, "new")
    if request.param == "folder":
        return lambda: open_region("eu", f"file://{tmp_path}/not%20there", {}, begun=tmp_path / "begun")
    if request.param == "folder, in parts":
        return lambda: InParts("eu", tmp_path / "not there", tmp_path / "begun")
    if request.param == "azure":
        place = request.getfixturevalue("azure").container()
        return lambda: open_region("eu", place.to, place.options)
    place = request.getfixturevalue("s3").bucket(locks=request.param == "s3-locks")
    lock = "compliance" if request.param == "s3-locks" else "none"
    return lambda: open_region("eu", place.to, place.options, lock)


@pytest.fixture
def region(again: Open) -> Region:
    return again()


def keys_of(region: Region, prefix: str = "", after: str = "") -> list[str]:
    return [each.key for each in region.listed(prefix, after)]


def test_what_was_put_is_there_for_whoever_opens_it_next(again: Open) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    again().put("db/backups/x/a0/000001-aa.zst", b"content")
    region = again()
    assert region.name == "eu"
    assert region.get("db/backups/x/a0/000001-aa.zst") == b"content"
    (listed,) = region.listed("db/")
    assert (listed.key, listed.size) == ("db/backups/x/a0/000001-aa.zst", 7)
    assert before <= listed.modified_at <= datetime.now(UTC) + timedelta(seconds=2)


def test_a_key_is_never_written_twice(region: Region) -> None:
    region.put("a/record.json", b"first")
    for content in (b"second", b"first"):
        with pytest.raises(AlreadyThere):
            region.put("a/record.json", content)
    assert region.get("a/record.json") == b"first"
    assert keys_of(region) == ["a/record.json"]


def test_of_many_that_put_one_key_at_once_exactly_one_wins(again: Open) -> None:
    regions = [again() for _ in range(8)]

    def won(number: int) -> bool:
        try:
            regions[number].put("a/b", b"%d" % number * 5000)
        except AlreadyThere:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(won, range(8)))
    assert results.count(True) == 1
    assert regions[0].get("a/b") == b"%d" % results.index(True) * 5000


def test_only_healing_replaces(region: Region) -> None:
    region.put("a/b", b"damaged")
    region.replace("a/b", b"healed")
    region.replace("a/c", b"was gone")
    assert (region.get("a/b"), region.get("a/c")) == (b"healed", b"was gone")
    assert keys_of(region) == ["a/b", "a/c"]


def test_ranges_are_those_of_slices(region: Region) -> None:
    content = bytes(range(256)) * 8
    region.put("a", content)
    for start, end in [(0, 1), (5, 300), (2000, None), (0, None), (2047, 2048), (2000, 9999)]:
        assert region.get("a", start, end) == content[start:end]
    for start, end in [(7, 7), (9000, 9001), (2048, None), (9, 3)]:
        assert region.get("a", start, end) == b""


def test_what_is_not_there_is_said_so(region: Region) -> None:
    region.put("a/b", b"x")
    for key in ("never/was", "a", "a/b/c"):
        with pytest.raises(FileNotFoundError):
            region.get(key)
        with pytest.raises(FileNotFoundError):
            region.get(key, 1, 2)
    assert keys_of(region, "never/") == []


def test_empty_and_large_objects_are_objects_too(region: Region) -> None:
    large = hashlib.sha256(b"x").digest() * (1 << 17)
    region.put("empty", b"")
    region.put("large", memoryview(large))
    assert region.get("empty") == b""
    assert region.get("large") == large
    assert region.get("large", 4_000_000, 4_000_040) == large[4_000_000:4_000_040]
    assert [each.size for each in region.listed("")] == [0, len(large)]


def test_listings_are_sorted_by_the_whole_key(region: Region) -> None:
    keys = [
        "a-b/x",
        "a.c",
        "a/b/c",
        "a/b/d",
        "a/b-e",
        "ab",
        "a/B/x",
        "db/wal/00000001/x",
        "db/wal/00000010/y",
    ]
    for key in keys:
        region.put(key, b"x")
    expected = sorted(keys)
    assert keys_of(region) == expected
    for after in [*expected, "a/", "a/b/", "a/b0", "b", "zz"]:
        assert keys_of(region, after=after) == [key for key in expected if key > after]
    for prefix in ("a", "a/", "a/b", "a/b/", "db/wal/0000000", "db/wal/00000001/", "nothing", "a/b/c"):
        assert keys_of(region, prefix) == [key for key in expected if key.startswith(prefix)]
    assert keys_of(region, "a/", after="a/b-e") == ["a/b/c", "a/b/d"]


def test_many_objects_are_listed_page_by_page(region: Region) -> None:
    names = [f"wal/{number:05d}/{number:05d}" for number in range(1200)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: region.put(name, b"x"), names))
    assert keys_of(region, "wal/") == names
    assert keys_of(region, "wal/", after=names[1099]) == names[1100:]
    listing = region.listed("wal/")
    assert next(listing).key == names[0]

    region.delete(names[:1100])
    assert keys_of(region) == names[1100:]


def test_what_was_deleted_is_gone_however_often(region: Region) -> None:
    for key in ("a/1", "a/2", "a/3", "b"):
        region.put(key, b"x")
    region.delete(["a/1", "never/was", "a/3"])
    region.delete(["a/1", "a/3"])
    region.delete([])
    assert keys_of(region) == ["a/2", "b"]
    # And the key is free again: a swept half of a backup does not stand in anybody's way.
    region.put("a/1", b"new")
    assert region.get("a/1") == b"new"


@pytest.mark.parametrize(
    "key",
    [
        "with space/and%20percent",
        "Drucker/Zähler-日本",
        "a+b&c=d?e#f",
        "quote'\"<>|*:;,~!@$^()[]{}`",
        "a..b/c...",
        "-dash",
        "x" * 240,
    ],
)
def test_odd_keys_are_kept_as_they_are(region: Region, key: str) -> None:
    region.put(key, b"x")
    assert region.get(key) == b"x"
    assert keys_of(region) == [key]
    assert keys_of(region, key[:1]) == [key]
    region.delete([key])
    assert keys_of(region) == []


LONG = "/".join(["abcdefghi"] * 91)
REFUSED = [
    "",
    "/a",
    "a//b",
    "a/",
    "../a",
    "a/../b",
    ".",
    "a/.hidden",
    "a\nb",
    "a\0b",
    "a\\b",
    "x" * 241,
    LONG,
]


@pytest.mark.parametrize("key", [*REFUSED, "\ud800"])
def test_keys_that_some_store_cannot_keep_are_refused_by_each(region: Region, key: str) -> None:
    with pytest.raises(RegionRefused):
        region.put(key, b"x")
    assert keys_of(region) == []


def test_without_locks_nothing_is_locked(region: Region, request: pytest.FixtureRequest) -> None:
    region.put("a", b"x")
    assert region.locked_until("a") is None
    assert region.locked_until("never-was") is None
    if "s3-locks" in request.node.name:
        assert region.lock("a", datetime.now(UTC) + timedelta(days=1))
        assert region.locked_until("a") is not None
    else:
        assert not region.lock("a", datetime.now(UTC) + timedelta(days=1))
        region.delete(["a"])
        assert keys_of(region) == []
