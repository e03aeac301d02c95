"""The reader of the log on logs that are made up: unfinished records, foreign bytes, hostile lengths."""

import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.written_wal import MICROS, SEGMENT, START, Writer

from holdfast.backup.lsn import Lsn
from holdfast.backup.search.commits import CommitReader
from holdfast.backup.wal.wal_pages import PAGE, RECORD, WalReader
from holdfast.backup.wal.wal_records import last_commit, records

_AT = datetime(2025, 5, 8, 6, 13, 20, tzinfo=UTC)


def test_a_record_that_was_never_finished_is_passed_over() -> None:
    writer = Writer()
    good = [writer.record(0, 0x20, bytes(200)) for _ in range(30)]
    while writer.room > 200:
        good.append(writer.record(0, 0x20, bytes(100)))
    unfinished = writer.record(0, 0x20, bytes(250))
    writer.cut(unfinished // PAGE * PAGE + PAGE)
    # XLOG_OVERWRITE_CONTRECORD, which is always the first thing there.
    good.append(writer.record(0, 0xD0, bytes(16), xid=0))
    behind = writer.commit()
    found = [each.lsn for each in records(writer.log(), START, SEGMENT)]
    assert found == [*good, behind]
    assert last_commit(writer.log(), START, SEGMENT) == _AT


def test_a_log_that_is_written_here_is_read_back() -> None:
    writer = Writer()
    lsns = [writer.record(10, 0, bytes([number % 256]) * (number % 250)) for number in range(900)]
    lsns.append(writer.commit())
    found = list(records(writer.log(), START, SEGMENT))
    assert [each.lsn for each in found] == lsns
    assert [each.main for each in found[:900]] == [bytes([n % 256]) * (n % 250) for n in range(900)]
    assert [each.lsn for each in CommitReader(START, SEGMENT).read(writer.log())] == [lsns[-1]]


@pytest.mark.parametrize("total", [0, 1, 23, 0x7FFFFFFF, 0xFFFFFFFF])
def test_an_impossible_length_ends_the_log(total: int) -> None:
    writer = Writer()
    first = writer.commit()
    writer.text += RECORD.pack(total, 1, first, 0, 1, 0, 0) + bytes(40)
    reader = WalReader(START, SEGMENT)
    assert [each.xid for each in reader.read(writer.log())] == [7]
    assert "no record begins" in reader.problem
    assert list(reader.read(bytes(PAGE))) == [], "and it stays ended"


def test_a_long_record_out_of_nowhere_is_not_waited_for() -> None:
    writer = Writer()
    writer.commit()
    writer.text += RECORD.pack(900_000_000, 1, 12345, 0, 1, 0, 0) + bytes(40)
    reader = WalReader(START, SEGMENT)
    list(reader.read(writer.log()))
    assert reader.problem


def test_a_commit_that_another_place_holds_is_none_here() -> None:
    writer = Writer()
    writer.commit()
    moved = Lsn(START + SEGMENT)
    assert last_commit(writer.log(), START, SEGMENT) == _AT
    assert last_commit(writer.log(), moved, SEGMENT) is None
    assert list(records(writer.log(), moved, SEGMENT)) == []


@given(st.binary(max_size=600), st.integers(0, 2**40), st.booleans())
def test_foreign_bytes_raise_nothing(content: bytes, start: int, after_a_page: bool) -> None:
    if after_a_page:
        head = struct.pack("<HHIQI", 0xD118, 0, 1, start // PAGE * PAGE, 0) + bytes(4)
        content, start = head + content, start // PAGE * PAGE
    lsn = Lsn(start // 8 * 8)
    list(records(content, lsn, SEGMENT))
    list(CommitReader(lsn, SEGMENT).read(content))
    assert last_commit(content, lsn, SEGMENT) is None


@given(st.integers(0, 3), st.binary(min_size=8, max_size=120))
def test_a_commit_with_nonsense_inside_is_a_commit_still(info: int, inside: bytes) -> None:
    writer = Writer()
    lsn = writer.record(1, 0x80 | info, struct.pack("<q", MICROS) + inside)
    found = list(CommitReader(START, SEGMENT).read(writer.log()))
    assert [(each.lsn, each.at) for each in found] == [(lsn, _AT)]


def test_a_log_of_a_version_that_is_not_known_is_not_read() -> None:
    writer = Writer()
    writer.commit()
    log = bytearray(writer.log())
    log[:2] = struct.pack("<H", 0xD119)
    reader = WalReader(START, SEGMENT)
    assert list(reader.read(bytes(log))) == []
    assert "0xD119" in reader.problem
    assert "PostgreSQL 14 to 18 can" in reader.problem
    assert last_commit(bytes(log), START, SEGMENT) is None
