"""The spool of WAL on a disk: whole, bounded, and found again after a kill."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.backup.errors import Diverged, SpoolFull, SpoolTaken
from holdfast.backup.lsn import Lsn, Segment, Timeline
from holdfast.backup.wal.spool import Spool, Spooled
from holdfast.backup.wal.spool_files import kept_in

MIB = 1 << 20
ONE, TWO = Timeline(1), Timeline(2)
SYSTEM = 42


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(folder: Path) -> Iterator[Spool]:
    with opened(folder) as spool:
        yield spool


def opened(folder: Path, limit: int = 64 * MIB) -> Spool:
    spool = Spool(folder, limit)
    spool.adopt(SYSTEM, MIB)
    return spool


def test_what_was_flushed_is_read_back_over_segments(spool: Spool) -> None:
    content = os.urandom(2 * MIB + 500)
    spool.append(ONE, Lsn(5 * MIB), content)
    assert spool.flushed == (1, 5 * MIB)
    spool.flush()
    assert spool.flushed == spool.end == (1, 7 * MIB + 500)
    read = b"".join(spool.read(each.segment, 0, each.flushed) for each in spool.segments())
    assert read == content


def test_what_was_not_flushed_can_be_read_and_does_not_count_as_kept(spool: Spool) -> None:
    spool.append(ONE, Lsn(0), b"x" * 100)
    assert [(each.flushed, each.written) for each in spool.segments()] == [(0, 100)]
    assert spool.flushed == (1, 0)
    assert spool.read(Segment(ONE, 0, MIB), 0, 100) == b"x" * 100
    with pytest.raises(KeyError, match="up to 100, not 101"):
        spool.read(Segment(ONE, 0, MIB), 0, 101)


def test_after_a_kill_it_goes_on_where_the_files_end(folder: Path) -> None:
    killed = opened(folder)
    killed.append(ONE, Lsn(0), b"a" * MIB + b"b" * 10)
    # Nobody flushed, nobody closed: the lock goes with the process, the pages stay.
    os.close(killed._lock)
    with opened(folder) as spool:
        assert spool.end == spool.flushed == (1, MIB + 10)
        spool.append(ONE, Lsn(MIB + 10), b"c")
        spool.flush()
        assert spool.read(Segment(ONE, 1, MIB), 0, 11) == b"b" * 10 + b"c"


def test_zeros_at_the_end_of_what_came_are_wal_like_any_other(folder: Path) -> None:
    with opened(folder) as spool:
        spool.append(ONE, Lsn(0), b"real" + bytes(5000))
        spool.flush()
    with opened(folder) as spool:
        assert spool.end == (1, 5004)


def test_a_file_of_another_length_is_none_of_the_spool(folder: Path) -> None:
    opened(folder).close()
    (folder / Segment(ONE, 0, MIB).name).write_bytes(b"x" * 100)
    with pytest.raises(SpoolTaken, match="length of a segment"):
        Spool(folder, MIB)


def test_a_released_file_serves_another_segment_but_not_while_it_is_read(folder: Path) -> None:
    with opened(folder) as spool:
        spool.append(ONE, Lsn(0), b"a" * MIB + b"b" * 10)
        spool.flush()
        first = (folder / Segment(ONE, 0, MIB).name).stat().st_ino
        assert spool.release(Spooled(Segment(ONE, 0, MIB), MIB))
        spool.append(ONE, Lsn(MIB + 10), b"b" * (MIB - 10) + b"c" * 5)
        spool.flush()
        assert (folder / Segment(ONE, 2, MIB).name).stat().st_ino == first
        assert spool.read(Segment(ONE, 2, MIB), 0, 5) == b"c" * 5
        with pytest.raises(KeyError):
            spool.read(Segment(ONE, 2, MIB), 0, 6)  # what the file had before is not what it has
        spool._reading[Segment(ONE, 1, MIB)] += 1
        assert spool.release(Spooled(Segment(ONE, 1, MIB), MIB))
        assert not list(folder.glob("spare-*"))
    with opened(folder) as spool:
        assert spool.end == (1, 2 * MIB + 5)


def test_the_same_bytes_again_are_fine_and_others_are_not(spool: Spool) -> None:
    spool.append(ONE, Lsn(0), b"0123456789")
    spool.append(ONE, Lsn(4), b"456789ab")
    assert spool.end == (1, 12)
    with pytest.raises(Diverged) as raised:
        spool.append(ONE, Lsn(8), b"89Xb")
    assert raised.value.at == 10
    assert spool.end == (1, 12)


def test_a_hole_is_refused(spool: Spool) -> None:
    spool.append(ONE, Lsn(0), b"0123")
    with pytest.raises(ValueError, match="hole"):
        spool.append(ONE, Lsn(5), b"5")
    with pytest.raises(ValueError, match="hole"):
        spool.append(ONE, Lsn(3 * MIB + 1), b"5")


def test_a_full_spool_keeps_nothing_of_what_it_refuses(folder: Path) -> None:
    with opened(folder, limit=MIB + 10) as spool:
        spool.append(ONE, Lsn(0), b"x" * MIB)
        with pytest.raises(SpoolFull):
            spool.append(ONE, Lsn(MIB), b"y" * 11)
        assert spool.end == (1, MIB)
        spool.append(ONE, Lsn(MIB), b"y" * 10)
        spool.flush()
        assert spool.release(Spooled(Segment(ONE, 0, MIB), MIB))
        spool.append(ONE, Lsn(MIB + 10), b"z" * 100)
        assert spool.size == 110


def test_a_disk_that_is_full_in_the_middle_of_a_write_leaves_what_was_there(spool: Spool) -> None:
    spool.append(ONE, Lsn(0), b"x" * 100)
    spool.flush()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(SpoolFull, match="takes no more"):
            spool.append(ONE, Lsn(100), b"y" * 8192)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert spool.end == (1, 100)
    assert kept_in(spool.folder / Segment(ONE, 0, MIB).name, Segment(ONE, 0, MIB)) == 100
    spool.append(ONE, Lsn(100), b"y" * 8192)
    assert spool.end == (1, 8292)


def test_two_do_not_work_in_one_folder(spool: Spool) -> None:
    with pytest.raises(SpoolTaken, match="another process"):
        Spool(spool.folder, MIB)


def test_another_cluster_is_refused_also_after_a_restart(folder: Path) -> None:
    opened(folder).close()
    with Spool(folder, MIB) as spool, pytest.raises(SpoolTaken, match="cluster 42, not 43"):
        spool.adopt(43, MIB)


def test_what_is_behind_the_place_that_was_stored_elsewhere_is_not_let_go_of(spool: Spool) -> None:
    spool.append(ONE, Lsn(0), b"x" * 1000)
    spool.flush()
    stored = spool.segments()[0]
    # The log goes on, and into the next segment, before anything of it is flushed.
    spool.append(ONE, Lsn(1000), b"y" * MIB)
    assert not spool.release(spool.segments()[0]), "the rest of it is on its way to the disk"
    spool.flush()
    assert not spool.release(stored), "the rest of it is on the disk by now, and nowhere else"
    assert spool.read(Segment(ONE, 0, MIB), 1000, MIB) == b"y" * (MIB - 1000)
    assert spool.release(spool.segments()[0])


def test_timelines_lie_beside_each_other_and_the_newest_is_never_released(spool: Spool) -> None:
    spool.append(ONE, Lsn(MIB), b"one, abandoned")
    spool.append(TWO, Lsn(MIB), b"one, two")
    spool.flush()
    assert [each.segment.timeline for each in spool.segments()] == [1, 2]
    old, new = spool.segments()
    assert not spool.release(new)
    assert spool.release(old)
    assert spool.end == (2, MIB + 8)
    assert len(spool.segments()) == 1


def test_histories_survive(folder: Path) -> None:
    with opened(folder) as spool:
        spool.keep_history(TWO, "1\t0/5000000\tpromoted\n")
    with opened(folder) as spool:
        assert spool.histories() == {2: "1\t0/5000000\tpromoted\n"}
