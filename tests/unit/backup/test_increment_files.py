"""Headers of incremental files, and which byte of which source goes where."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.backup.errors import Damaged
from holdfast.backup.restore.increments import (
    BLOCK,
    MAGIC,
    Increment,
    Overlay,
    header_bytes,
    header_wanted,
    is_increment,
    label_of_whole,
    plain_path,
    read_header,
)


def _header(truncation: int, *blocks: int) -> bytes:
    numbers = [MAGIC, len(blocks), truncation, *blocks]
    content = b"".join(each.to_bytes(4, "little") for each in numbers)
    return content.ljust(header_bytes(len(blocks)), b"\0")


def test_a_header_is_as_long_as_its_blocks_need_and_padded_only_when_there_are_some() -> None:
    assert header_bytes(0) == 12
    assert header_bytes(1) == header_bytes(2045) == BLOCK
    assert header_bytes(2046) == 2 * BLOCK
    assert header_wanted(b"", "f") == header_wanted(_header(5)[:11], "f") == 12
    assert header_wanted(_header(5, 1, 3)[:12], "f") == BLOCK
    assert read_header(_header(5, 1, 3), "f", 3 * BLOCK) == Increment(5, array("I", [1, 3]))


@pytest.mark.parametrize(
    ("content", "size", "words"),
    [
        (_header(5, 3, 1), 3 * BLOCK, "not in order"),
        (_header(5, 1, 1), 3 * BLOCK, "not in order"),
        (_header(5, 1), BLOCK, "says that it holds 1 blocks"),
        (_header(2**31), 12, "behind the end"),
        (_header(1, 2**20), 2 * BLOCK, "behind the end"),
    ],
)
def test_a_header_that_cannot_be_is_damaged(content: bytes, size: int, words: str) -> None:
    with pytest.raises(Damaged, match=words):
        read_header(content, "f", size)


def test_what_is_no_header_is_damaged_before_its_size_is_believed() -> None:
    with pytest.raises(Damaged, match="no incremental file"):
        header_wanted(b"\xff" * 12, "f")
    with pytest.raises(Damaged, match="no incremental file"):
        header_wanted(MAGIC.to_bytes(4, "little") + b"\xff" * 8, "f")


def test_only_files_of_relations_are_increments() -> None:
    assert plain_path("base/5/INCREMENTAL.1259.1") == "base/5/1259.1"
    assert plain_path("pg_tblspc/16384/PG_18_1/5/INCREMENTAL.7") == "pg_tblspc/16384/PG_18_1/5/7"
    assert not is_increment("INCREMENTAL.mine")
    assert plain_path("pg_wal/INCREMENTAL.x") == "pg_wal/INCREMENTAL.x"


def test_a_label_loses_what_it_was_an_increment_of() -> None:
    label = b"START WAL LOCATION: 0/2000028 (file 01)\nINCREMENTAL FROM LSN: 0/1\nINCREMENTAL FROM TLI: 1\n"
    assert label_of_whole(label) == b"START WAL LOCATION: 0/2000028 (file 01)\n"


@st.composite
def _chains(draw: st.DrawFn) -> tuple[list[Increment], int]:
    numbers = st.lists(st.integers(0, 12), unique=True, max_size=8).map(sorted)
    increments = [
        Increment(draw(st.integers(0, 12)), array("I", draw(numbers))) for _ in range(draw(st.integers(1, 4)))
    ]
    return increments, draw(st.integers(0, 12))


@given(_chains(), st.integers(1500, 3 * BLOCK))
def test_each_block_is_written_once_and_from_the_newest_source(
    chain: tuple[list[Increment], int], piece: int
) -> None:
    """Against the plain rule of pg_combinebackup, with sources cut anywhere."""
    increments, whole = chain
    newest = increments[0]
    wanted: dict[int, tuple[int, int]] = {block: (0, block) for block in newest.blocks}
    for number, older in enumerate(increments[1:], 1):
        for block in older.blocks:
            if block < newest.truncation:
                wanted.setdefault(block, (number, block))
    for block in range(min(whole, newest.truncation)):
        wanted.setdefault(block, (len(increments), block))

    overlay = Overlay(newest)
    for older in increments[1:]:
        overlay.add(older)
    written = bytearray(overlay.length * BLOCK)
    origin: dict[int, tuple[int, int]] = {}
    sizes = [len(each.blocks) * BLOCK for each in increments] + [whole * BLOCK]
    for source, size in enumerate(sizes):
        for start in range(0, size, piece):
            end = min(size, start + piece)
            runs = (
                overlay.from_increment(source, start, end)
                if source < len(increments)
                else overlay.from_whole(size, start, end)
            )
            for run in runs:
                place = slice(run.to, run.to + run.size)
                assert not any(written[place])
                written[place] = b"\1" * run.size
                index, rest = divmod(start + run.start, BLOCK)
                block = increments[source].blocks[index] if source < len(increments) else index
                assert (block, rest) == divmod(run.to, BLOCK)
                last = (run.to + run.size - 1) // BLOCK
                origin |= {each: (source, each) for each in range(run.to // BLOCK, last + 1)}

    assert origin == wanted
    assert sum(written) == len(wanted) * BLOCK
