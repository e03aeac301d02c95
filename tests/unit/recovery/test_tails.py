"""The tail of an old primary's log: kept before anything else, and listed."""

from pathlib import Path

import pytest

from holdfast.backup.lsn import Segment, Timeline
from holdfast.bootstrap.recovery.tails import MANIFEST, FolderTails
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.loss import NO_ENTRIES, found_after, loss_lines, lsn_text
from written_wal import SEGMENT, START, Writer


def laid(data: Path, log: bytes, timeline: int = 1, *, partial: bool = False) -> None:
    wal = data / "pg_wal"
    wal.mkdir(parents=True, exist_ok=True)
    for at in range(0, len(log), SEGMENT):
        segment = Segment.holding(Timeline(timeline), START + at, SEGMENT)
        content = log[at : at + SEGMENT]
        name = segment.name + (".partial" if partial and at + SEGMENT >= len(log) else "")
        (wal / name).write_bytes(content + bytes(SEGMENT - len(content)))


def written(before: int, after: int) -> tuple[bytes, int, list[int]]:
    """A log, where the histories part, and where the commits behind that are."""
    writer = Writer()
    for xid in range(before):
        writer.delete(xid + 100)
        writer.commit(xid + 100)
    parted = int(writer.place)
    commits = list[int]()
    for xid in range(after):
        writer.delete(xid + 500)
        commits.append(int(writer.commit(xid + 500)))
    return bytes(writer.log()), parted, commits


def tails(tmp_path: Path) -> FolderTails:
    return FolderTails({"a": tmp_path / "data"}, tmp_path / "kept")


async def test_a_tail_is_kept_and_its_transactions_are_listed(tmp_path: Path) -> None:
    log, parted, commits = written(before=5, after=3)
    laid(tmp_path / "data", log)
    loss = await tails(tmp_path).archive("a", {1: parted}, waited=True)
    assert [each.lsn for each in loss.transactions] == commits
    assert [each.xid for each in loss.transactions] == [500, 501, 502]
    assert [each.rows for each in loss.transactions] == [1, 1, 1]
    assert [list(each.tables) for each in loss.transactions] == [["file 20000"]] * 3
    assert (loss.count, loss.acknowledged, loss.complete, loss.timeline) == (3, 0, True, 1)
    assert (loss.from_lsn, loss.entries) == (parted, NO_ENTRIES)
    kept = Path(loss.archived_at)
    assert (kept / MANIFEST).is_file()
    segment = Segment.holding(Timeline(1), parted, SEGMENT)
    assert (kept / segment.name).read_bytes() == (tmp_path / "data" / "pg_wal" / segment.name).read_bytes()
    told = found_after(loss)
    assert told["lost_transactions"] == "3"
    assert told["tail"].startswith(lsn_text(parted))
    assert any("20000" in line for line in loss_lines(loss))


async def test_what_was_kept_stays_when_the_old_data_is_gone_or_other(tmp_path: Path) -> None:
    log, parted, _ = written(before=2, after=2)
    laid(tmp_path / "data", log)
    first = await tails(tmp_path).archive("a", {1: parted}, waited=None)
    again = await tails(tmp_path).archive("a", {1: parted}, waited=None)
    assert again == first
    assert first.acknowledged is None
    kept = Path(first.archived_at) / Segment.holding(Timeline(1), parted, SEGMENT).name
    kept.write_bytes(kept.read_bytes()[:-1] + b"\x01")
    with pytest.raises(StepFailed, match="not what was archived"):
        await tails(tmp_path).archive("a", {1: parted}, waited=None)


async def test_a_tail_over_several_segments_and_a_partial_one(tmp_path: Path) -> None:
    writer = Writer()
    writer.commit(1)
    parted = int(writer.place)
    count = 0
    while writer.place < START + 2 * SEGMENT + 4096:
        writer.delete(1000 + count)
        writer.commit(1000 + count)
        count += 1
    laid(tmp_path / "data", bytes(writer.log()), partial=True)
    loss = await tails(tmp_path).archive("a", {1: parted}, waited=False)
    assert loss.count == count
    assert len(loss.transactions) == min(count, 10_000)
    assert loss.complete


async def test_a_log_without_a_tail_of_its_own_loses_nothing(tmp_path: Path) -> None:
    log, parted, _ = written(before=4, after=0)
    laid(tmp_path / "data", log)
    loss = await tails(tmp_path).archive("a", {1: parted}, waited=None)
    assert (loss.count, loss.acknowledged, loss.complete) == (0, 0, True)


async def test_the_newest_timeline_that_ended_is_the_one(tmp_path: Path) -> None:
    log, parted, _ = written(before=4, after=2)
    laid(tmp_path / "data", log, timeline=2)
    loss = await tails(tmp_path).archive("a", {1: int(START) + 8192, 2: parted}, waited=True)
    assert (loss.timeline, loss.count) == (2, 2)


async def test_a_missing_segment_is_no_tail(tmp_path: Path) -> None:
    writer = Writer()
    while writer.place < START + 2 * SEGMENT:
        writer.commit(7)
    laid(tmp_path / "data", bytes(writer.log()))
    first = Segment.holding(Timeline(1), int(START), SEGMENT)
    (tmp_path / "data" / "pg_wal" / first.name).unlink()
    with pytest.raises(StepFailed, match="is missing"):
        await tails(tmp_path).archive("a", {1: int(START) + 4096}, waited=True)


async def test_what_is_no_old_primary_is_told(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="cannot be read"):
        await tails(tmp_path).archive("a", {1: 5}, waited=True)
    with pytest.raises(StepFailed, match="names no data directory"):
        await tails(tmp_path).archive("b", {1: 5}, waited=True)
    (tmp_path / "data" / "pg_wal").mkdir(parents=True)
    with pytest.raises(StepFailed, match="there is no log"):
        await tails(tmp_path).archive("a", {1: 5}, waited=True)
    log, parted, _ = written(before=2, after=1)
    laid(tmp_path / "data", log, timeline=3)
    with pytest.raises(StepFailed, match="of no timeline that ended"):
        await tails(tmp_path).archive("a", {1: parted}, waited=True)
    with pytest.raises(StepFailed, match="ends before the histories part"):
        await tails(tmp_path).archive("a", {3: parted + 10 * SEGMENT}, waited=True)


async def test_a_copy_that_was_broken_off_is_begun_anew(tmp_path: Path) -> None:
    log, parted, _ = written(before=2, after=2)
    laid(tmp_path / "data", log)
    name = f"{1:08X}-{parted:016X}"
    broken = tmp_path / "kept" / "a" / f"{name}.4711.new"
    broken.mkdir(parents=True)
    (broken / "half").write_bytes(b"x")
    loss = await tails(tmp_path).archive("a", {1: parted}, waited=True)
    assert loss.count == 2
    assert Path(loss.archived_at).name == name
