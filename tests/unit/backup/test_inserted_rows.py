"""Rows that a log says were inserted: out of a record or a page's image, and never out of anything else."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters.postgres.recovery.tail_segments import FoundSegment, segments_in
from holdfast.backup.search.inserted import InsertedRow, InsertReader
from holdfast.backup.wal.wal_records import Locator
from written_wal import SEGMENT, START, Writer

TABLE, TOAST = 20_000, 20_001
MARKED = b"\x5a\x2a\x4d\x18\x0c\x00\x00\x00"
"""How a segment of a ledger begins."""
WHERE = Locator(1663, 5, TABLE)


def header(table: int, flags: int, length: int, image: bytes = b"") -> bytes:
    return struct.pack("<BBH", 0, flags, length) + image + struct.pack("<IIII", 1663, 5, table, 0)


def tuple_of(columns: int, content: bytes, info: int = 0x0800) -> bytes:
    """As a record has it: its header in short, padding, and the columns."""
    return struct.pack("<HHB", columns, info, 24) + b"\0" + content


def inserted(writer: Writer, columns: int, content: bytes, *, xid: int = 7, table: int = TABLE) -> None:
    row = tuple_of(columns, content)
    # The main data's header stands before the row in the record; Writer puts it behind what it is given.
    raw(writer, header(table, 0x20, len(row)), row, xid)


def raw(writer: Writer, head: bytes, payload: bytes, xid: int = 7, *, offset: int = 1) -> None:
    main = struct.pack("<HB", offset, 0)
    writer.whole(10, 0, head + bytes((255, len(main))) + payload + main, xid)


def read(writer: Writer) -> tuple[list[InsertedRow], int]:
    reader = InsertReader(START, SEGMENT)
    rows = list(reader.read(writer.log() + bytes(SEGMENT)))
    return rows, reader.unread


def test_a_row_stands_in_its_record() -> None:
    writer = Writer()
    inserted(writer, 3, b"abcdefgh", xid=9)
    writer.commit(9)
    assert read(writer) == ([InsertedRow(9, WHERE, 3, False, b"abcdefgh")], 0)


@pytest.mark.parametrize("hole", [0, 100])
def test_a_row_stands_in_the_image_of_its_page(hole: int) -> None:
    content = b"twelve bytes"
    at = 8192 - 24 - len(content)
    page = bytearray(8192)
    struct.pack_into("<I", page, 24, at | 1 << 15 | (24 + len(content)) << 17)
    page[at : at + 24] = struct.pack("<18xHHB", 5, 0x0800, 24) + b"\0"
    page[at + 24 :] = content
    image = bytes(page[:28] + page[28 + hole :])
    writer = Writer()
    raw(writer, header(TABLE, 0x10, 0, struct.pack("<HHB", len(image), 28, 1 if hole else 0)), image)
    assert read(writer) == ([InsertedRow(7, WHERE, 5, False, content)], 0)


def test_a_compressed_image_is_counted_and_not_guessed() -> None:
    writer = Writer()
    raw(writer, header(TABLE, 0x10, 0, struct.pack("<HHBH", 50, 28, 0x05, 4000)), bytes(50))
    inserted(writer, 3, b"abcdefgh")
    rows, unread = read(writer)
    assert (len(rows), unread) == (1, 1)


@given(payload=st.binary(max_size=60), flags=st.integers(0, 255), length=st.integers(0, 80))
def test_whatever_stands_in_a_record_nothing_breaks(payload: bytes, flags: int, length: int) -> None:
    writer = Writer()
    raw(writer, header(TABLE, flags & ~0x80, length), payload)
    inserted(writer, 3, b"abcdefgh")
    rows, _ = read(writer)
    assert rows[-1].content == b"abcdefgh"


# --- segments of a ledger


def segment(log_id: int, first: int, leaves: int, value: bytes, *, xid: int = 7) -> InsertedRow:
    return InsertedRow(xid, WHERE, 5, False, struct.pack("<i4xqqi", log_id, first, 0, leaves) + value)


def long(content: bytes) -> bytes:
    return struct.pack("<I", len(content) + 4 << 2) + content


def pointer(size: int, value_id: int) -> bytes:
    return struct.pack("<BBiIII", 1, 18, size + 4, size, value_id, TOAST)


def chunk(value_id: int, number: int, content: bytes, *, file: int = TOAST, xid: int = 7) -> InsertedRow:
    where = Locator(1663, 5, file)
    return InsertedRow(xid, where, 3, False, struct.pack("<Ii", value_id, number) + long(content))


def test_a_segment_stands_in_its_row_or_in_chunks() -> None:
    short = MARKED + b"short"
    whole = MARKED + bytes(range(200)) * 20
    rows = [
        segment(2, 10, 3, bytes([len(short) + 1 << 1 | 1]) + short),
        segment(2, 13, 4, long(MARKED * 20)),
        *(chunk(77, at // 1000, whole[at : at + 1000]) for at in range(0, len(whole), 1000)),
        # Another value of the same number, in another table.
        chunk(77, 0, MARKED + b"another", file=TOAST + 9),
        segment(2, 17, 5, pointer(len(whole), 77)),
    ]
    assert list(segments_in(rows, {7})) == [
        FoundSegment(5, 2, 10, 3, short),
        FoundSegment(5, 2, 13, 4, MARKED * 20),
        FoundSegment(5, 2, 17, 5, whole),
    ]
    assert list(segments_in(rows, {8})) == []


def test_a_segment_whose_chunks_are_not_all_there_is_told_without_them() -> None:
    rows = [chunk(77, 1, b"the second"), segment(2, 17, 5, pointer(4000, 77))]
    assert list(segments_in(rows, {7})) == [FoundSegment(5, 2, 17, 5, b"")]


def test_what_two_write_at_once_is_told_apart() -> None:
    rows = [
        chunk(77, 0, MARKED + b"a" * 100, xid=7),
        chunk(78, 0, MARKED + b"b" * 100, xid=8),
        segment(2, 0, 1, pointer(108, 77), xid=7),
        segment(3, 0, 1, pointer(108, 78), xid=8),
    ]
    assert [each.packed[-1:] for each in segments_in(rows, {7, 8})] == [b"a", b"b"]


@pytest.mark.parametrize(
    "row",
    [
        segment(2, 1, 3, long(b"something else")),
        segment(0, 1, 3, long(MARKED)),
        segment(2, 1, 0, long(MARKED)),
        segment(2, -1, 3, long(MARKED)),
        segment(2, 1, 3, b""),
        segment(2, 1, 3, struct.pack("<I", 1 << 30)),
        InsertedRow(7, WHERE, 5, False, b"short"),
        InsertedRow(7, WHERE, 5, True, segment(2, 1, 3, long(MARKED)).content),
        InsertedRow(7, WHERE, 4, False, segment(2, 1, 3, long(MARKED)).content),
        InsertedRow(7, WHERE, 3, False, b""),
    ],
)
def test_rows_of_other_tables_are_no_segments(row: InsertedRow) -> None:
    assert list(segments_in([row], {7})) == []


@given(
    content=st.binary(max_size=80),
    columns=st.integers(0, 8),
    more=st.lists(st.binary(max_size=40), max_size=4),
)
def test_whatever_rows_hold_nothing_breaks(content: bytes, columns: int, more: list[bytes]) -> None:
    rows = [InsertedRow(7, WHERE, columns, False, content)]
    rows += [InsertedRow(7, WHERE, 3, False, each) for each in more]
    list(segments_in([*rows, segment(2, 17, 5, pointer(4000, 77))], {7}))
