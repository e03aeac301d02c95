"""The reader of the log on logs that are made up: unfinished records, foreign bytes, hostile lengths."""

import struct
from datetime import UTC, datetime

import pytest
from google_crc32c import value
from hypothesis import given
from hypothesis import strategies as st

from holdfast.backup.lsn import Lsn
from holdfast.backup.search.commits import CommitReader
from holdfast.backup.wal.wal_pages import PAGE, RECORD, Pages, WalReader
from holdfast.backup.wal.wal_records import last_commit, records

SEGMENT = 1024 * 1024
START = Lsn(3 * SEGMENT)
_MICROS = 800_000_000_000_000
_AT = datetime(2025, 5, 8, 6, 13, 20, tzinfo=UTC)


class Writer:
    """Writes a log as PostgreSQL does."""

    def __init__(self) -> None:
        self.pages = Pages(SEGMENT)
        self.text = bytearray()
        self.replaced: set[int] = set()
        self._ends: list[tuple[int, int]] = []
        self._previous = int(START) - 96

    def record(self, rmid: int, info: int, main: bytes, xid: int = 7) -> Lsn:
        """Append a record; where it begins."""
        assert len(main) < 256
        lsn = self.pages.lsn(self.pages.position(START) + len(self.text))
        body = bytes((255, len(main))) + main
        head = struct.pack("<IIQBBH", 24 + len(body), xid, self._previous, info, rmid, 0)
        whole = head + struct.pack("<I", value(body + head)) + body
        self._ends.append((len(self.text), len(self.text) + len(whole)))
        self.text += whole + bytes(-len(whole) % 8)
        self._previous = lsn
        return lsn

    def commit(self) -> Lsn:
        return self.record(1, 0, struct.pack("<q", _MICROS))

    @property
    def room(self) -> int:
        """Bytes that are left on the page."""
        return PAGE - self.pages.lsn(self.pages.position(START) + len(self.text)) % PAGE

    def cut(self, page: int) -> None:
        """The server died when it had written the log up to this page, and went on there."""
        del self.text[self.pages.position(page) - self.pages.position(START) :]
        self.replaced.add(page)
        start, _ = self._ends.pop()
        self._ends.append((start, len(self.text)))

    def log(self) -> bytes:
        out, at, lsn = bytearray(), 0, int(START)
        while at < len(self.text):
            first = lsn % SEGMENT == 0
            left = 0
            if lsn not in self.replaced:
                left = max((end - at for begin, end in self._ends if begin < at < end), default=0)
            info = (1 if left else 0) | (2 if first else 0) | (8 if lsn in self.replaced else 0)
            out += struct.pack("<HHIQI", 0xD118, info, 1, lsn, left) + bytes(4)
            if first:
                out += struct.pack("<QII", 1, SEGMENT, PAGE)
            take = PAGE - (40 if first else 24)
            out += self.text[at : at + take]
            at += take
            lsn += PAGE
        return bytes(out)


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
    lsn = writer.record(1, 0x80 | info, struct.pack("<q", _MICROS) + inside)
    found = list(CommitReader(START, SEGMENT).read(writer.log()))
    assert [(each.lsn, each.at) for each in found] == [(lsn, _AT)]
