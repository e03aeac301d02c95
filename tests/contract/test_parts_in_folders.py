"""Parts that lie beside each other in a folder's files: torn, damaged, read meanwhile, by stock tools."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from holdfast.adapters.objectstore import adding_parts
from holdfast.adapters.objectstore.adding_parts import SOONEST_S
from holdfast.adapters.objectstore.folder import FolderRegion
from holdfast.adapters.objectstore.parts import FILE_BYTES, Parts, members
from holdfast.backup.errors import AlreadyThere, RegionAway

SEGMENT = "main/wal/00000001/000000010000000000000003"


def key_of(number: int) -> str:
    """As long as a piece's."""
    return f"{SEGMENT}/{number:08x}-{number + 1:08x}-{17639 * 10**11}-{17639 * 10**11}-{'ab' * 32}.zst"


def content_of(number: int) -> bytes:
    return random.Random(number).randbytes(300 + number * 7 % 2000)


def put_parts(region: FolderRegion, numbers: range) -> None:
    for number in numbers:
        region.put_part(key_of(number), content_of(number))


def files_in(root: Path) -> list[Path]:
    return sorted((root / SEGMENT / ".parts").glob("*.tar"))


def numbers_in(region: FolderRegion) -> list[int]:
    """Of the parts there, each of which has its own bytes."""
    found = [int(each.key.rpartition("/")[2][:8], 16) for each in region.listed("main/")]
    assert [region.get(key_of(number)) for number in found] == [content_of(number) for number in found]
    return found


def test_many_parts_are_few_files_and_objects_like_any_other(tmp_path: Path) -> None:
    region = FolderRegion("eu", tmp_path / "store")
    put_parts(region, range(2500))
    assert 1 < len(files_in(tmp_path / "store")) < 5
    assert {path.stat().st_size for path in files_in(tmp_path / "store")} == {FILE_BYTES}
    other = FolderRegion("eu", tmp_path / "store")
    assert numbers_in(other) == list(range(2500))
    assert [each.size for each in other.listed(SEGMENT)] == [len(content_of(each)) for each in range(2500)]
    other.put(f"{SEGMENT}/whole", b"whole")
    with pytest.raises(AlreadyThere):
        other.put(key_of(77), b"x")
    other.replace(key_of(77), b"healed")
    assert other.get(key_of(77)) == b"healed"
    other.delete([key_of(number) for number in range(2500)])
    assert [each.key for each in region.listed("")] == [f"{SEGMENT}/whole"]
    # Only the one that is still added to is left.
    assert len(files_in(tmp_path / "store")) == 1


def test_what_was_left_half_is_no_object_wherever_it_was_torn(tmp_path: Path) -> None:
    region = FolderRegion("eu", tmp_path / "store")
    put_parts(region, range(3))
    (path,) = files_in(tmp_path / "store")
    whole = path.read_bytes()
    last = list(members(whole))[-1]
    for cut in [last.at + 1, *range(last.at, last.head + 512 + last.size, 97)]:
        # Of a write that was under way some sectors came, and others did not.
        path.write_bytes(whole[:cut] + bytes(FILE_BYTES - cut))
        assert numbers_in(FolderRegion("eu", tmp_path / "store")) == [0, 1]
        path.write_bytes(whole[: last.at] + bytes(cut - last.at) + whole[cut:])
        assert numbers_in(FolderRegion("eu", tmp_path / "store")) == ([0, 1, 2] if cut == last.at else [0, 1])
    path.write_bytes(whole[: last.at] + bytes(FILE_BYTES - last.at))
    fresh = FolderRegion("eu", tmp_path / "store")
    with pytest.raises(FileNotFoundError):
        fresh.get(key_of(2))
    put_parts(fresh, range(2, 5))
    assert numbers_in(region) == [0, 1, 2, 3, 4]


def test_damage_in_the_middle_takes_nothing_else_with_it(tmp_path: Path) -> None:
    put_parts(FolderRegion("eu", tmp_path / "store"), range(5))
    (path,) = files_in(tmp_path / "store")
    whole = path.read_bytes()
    second = list(members(whole))[1]
    for at in (second.at + 3, second.at + 257, second.at + 520, second.head + 10, second.head + 150):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert numbers_in(FolderRegion("eu", tmp_path / "store")) == [0, 2, 3, 4]
    # Where only its bytes are damaged it is there, and its digest tells: that is how scrubbing finds it.
    at = second.head + 512
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    region = FolderRegion("eu", tmp_path / "store")
    assert len(list(region.listed(SEGMENT))) == 5
    assert region.get(key_of(1)) != content_of(1)
    region.replace(key_of(1), content_of(1))
    assert numbers_in(region) == [0, 1, 2, 3, 4]


def test_others_read_while_one_adds_and_deletes(tmp_path: Path) -> None:
    adding, reading = (FolderRegion("eu", tmp_path / "store") for _ in range(2))
    ended = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not ended.is_set():
            there = [int(each.key.rpartition("/")[2][:8], 16) for each in reading.listed(SEGMENT)]
            assert there == sorted(there)
            for number in there[-3:]:
                with suppress(FileNotFoundError):  # it was deleted meanwhile
                    assert reading.get(key_of(number)) == content_of(number)
            seen.append(len(there))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(1500):
            put_parts(adding, range(number, number + 1))
            if number % 100 == 99:
                FolderRegion("eu", tmp_path / "store").delete(
                    [key_of(each) for each in range(number - 99, number - 49)]
                )
    finally:
        ended.set()
        reader.join()
    assert max(seen) > 10
    expected = [number for number in range(1500) if number % 100 >= 50]
    assert numbers_in(reading) == expected


ADDING = """
import random, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.contract.test_parts_in_folders import content_of, key_of
from holdfast.adapters.objectstore.folder import FolderRegion
region = FolderRegion("eu", Path(sys.argv[1]))
print("ready", flush=True)
for number in range(int(sys.argv[3]), 10**6):
    region.put_part(key_of(number), content_of(number))
    print(number, flush=True)
"""


def test_killed_at_any_moment_every_acknowledged_part_is_there(tmp_path: Path) -> None:
    acknowledged: list[int] = []
    for turn in range(6):
        command = [sys.executable, "-c", ADDING, tmp_path / "store", Path(__file__).parents[2]]
        process = subprocess.Popen(
            [*command, str(acknowledged[-1] + 2 if acknowledged else 0)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        with process.stdout as told:
            assert told.readline() == "ready\n"
            acknowledged += [int(told.readline()) for _ in range(5 + turn * 40)]
            process.send_signal(signal.SIGKILL)
            process.wait()
            acknowledged += [int(line) for line in told.read().splitlines(keepends=True) if line[-1] == "\n"]
    region = FolderRegion("eu", tmp_path / "store")
    found = numbers_in(region)
    assert set(acknowledged) <= set(found)
    assert len(set(found) - set(acknowledged)) <= 6, "at most the one that was under way"
    region.delete([key_of(number) for number in found])
    assert not (tmp_path / "store" / "main").exists(), "what killed processes left goes with its parts"


def test_stock_tar_has_them(tmp_path: Path) -> None:
    put_parts(FolderRegion("eu", tmp_path / "store"), range(40))
    FolderRegion("eu", tmp_path / "store").delete([key_of(7)])
    (tmp_path / "out").mkdir()
    (path,) = files_in(tmp_path / "store")
    subprocess.run(["tar", "-x", "-C", tmp_path / "out", "-f", path], check=True, capture_output=True)
    for number in range(40):
        assert (tmp_path / "out" / key_of(number).rpartition("/")[2]).read_bytes() == content_of(number)


def test_what_could_not_be_flushed_is_put_again_into_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    region = FolderRegion("eu", tmp_path / "store")
    put_parts(region, range(3))
    flush, failing = os.fdatasync, [True]

    def failed(descriptor: int) -> None:
        if failing:
            failing.pop()
            raise OSError(errno.EIO, "as the kernel says it once")
        flush(descriptor)

    monkeypatch.setattr(adding_parts.os, "fdatasync", failed)
    with pytest.raises(RegionAway):
        put_parts(region, range(3, 4))
    put_parts(region, range(3, 6))
    assert numbers_in(region) == [0, 1, 2, 3, 4, 5]
    assert len(files_in(tmp_path / "store")) == 2


def test_a_store_that_was_taken_away_is_noticed_before_anything_is_acknowledged(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    region = FolderRegion("eu", tmp_path / "store", begun)
    put_parts(region, range(3))
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    with pytest.raises(RegionAway):
        put_parts(region, range(3, 4))
    (tmp_path / "elsewhere").rename(tmp_path / "store")
    with pytest.raises(AlreadyThere):
        put_parts(region, range(3, 4))  # it had been written before that was noticed
    put_parts(region, range(4, 6))
    assert numbers_in(FolderRegion("eu", tmp_path / "store", begun)) == [0, 1, 2, 3, 4, 5]
    shutil.rmtree(tmp_path / "store" / "main")
    put_parts(region, range(6, 8))
    assert numbers_in(region) == [6, 7]


def test_a_file_that_was_left_goes_when_its_parts_do(tmp_path: Path) -> None:
    region = FolderRegion("eu", tmp_path / "store")
    put_parts(region, range(3))
    region.delete([key_of(number) for number in range(3)])
    time.sleep(SOONEST_S)
    region.put_part(f"{SEGMENT[:-1]}4/x", b"x")
    deadline = time.monotonic() + 60
    while (tmp_path / "store" / SEGMENT).exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert region.get(f"{SEGMENT[:-1]}4/x") == b"x"


def test_one_that_is_added_to_is_never_taken_for_one_that_was_left(tmp_path: Path) -> None:
    region = FolderRegion("eu", tmp_path / "store")
    put_parts(region, range(1))
    region.delete([key_of(0)])
    Parts().tidy(tmp_path / "store" / SEGMENT)
    put_parts(region, range(1, 3))
    assert numbers_in(FolderRegion("eu", tmp_path / "store")) == [1, 2]
