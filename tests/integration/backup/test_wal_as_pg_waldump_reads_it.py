"""Our reading of the log against PostgreSQL's own `pg_waldump`, record for record, and at any cut."""

import random
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from tests.protected import DEBIAN_15, Protected

from holdfast.backup.lsn import Lsn, Segment, parse_lsn
from holdfast.backup.search.commits import Commit, CommitReader
from holdfast.backup.wal.wal_pages import PAGE, WalReader
from holdfast.backup.wal.wal_records import last_commit, record_of, records

_LINE = re.compile(
    r"rmgr: (\S+)\s+len \(rec/tot\):\s*\d+/\s*(\d+), tx:\s+(\d+), lsn: (\S+), prev (\S+), desc: (.*)"
)
_END = re.compile(r"COMMIT(?:_PREPARED)? (?:\S+ )?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) UTC")


@dataclass(frozen=True)
class Told:
    """A line of pg_waldump."""

    lsn: int
    previous: int
    xid: int
    total: int
    locators: frozenset[str]
    commit_at: datetime | None


@dataclass(frozen=True)
class Log:
    """Real WAL, and what pg_waldump says of it."""

    content: bytes
    start: Lsn
    segment_bytes: int
    told: list[Told]


@pytest.fixture(scope="module", params=["packaged", "15"])
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    bin_dir = DEBIAN_15 if request.param == "15" else None
    settings = {"max_prepared_transactions": "4", "wal_keep_size": "1GB", "wal_compression": "pglz"}
    server = Protected(
        tmp_path_factory.mktemp("waldump"), bin_dir=bin_dir, segment_mb=1, settings=settings
    ).start()
    try:
        _work(server)
        server.stop()
        yield _read(server)
    finally:
        server.remove()


def _work(server: Protected) -> None:
    server.sql("CREATE TABLE t (id int PRIMARY KEY, v text, n int); CREATE TABLE u (id int, big text)")
    server.sql("INSERT INTO t SELECT g, repeat('x', 50), g FROM generate_series(1, 2000) g")
    server.sql("ALTER TABLE u ALTER big SET STORAGE EXTERNAL")
    server.sql("INSERT INTO u SELECT g, repeat(md5(g::text), 400) FROM generate_series(1, 60) g")
    with server.connect() as connection:
        for number in range(300):
            connection.execute(f"UPDATE t SET n = n + 1 WHERE id = {number}".encode())
        connection.execute("BEGIN; UPDATE t SET n = 0 WHERE id = 5; SAVEPOINT a; DELETE FROM t WHERE id = 7")
        connection.execute("ROLLBACK TO a; SAVEPOINT b; INSERT INTO t VALUES (-1, '', 1); COMMIT")
        connection.execute("BEGIN; UPDATE t SET n = 0; ROLLBACK")
        connection.execute("BEGIN; UPDATE t SET n = 0 WHERE id = 9; PREPARE TRANSACTION 'x'")
        connection.execute("COMMIT PREPARED 'x'")
        connection.execute("INSERT INTO t VALUES (1, '', 1) ON CONFLICT (id) DO UPDATE SET n = 5")
        with connection.cursor().copy("COPY t FROM STDIN") as copying:
            copying.write("".join(f"{number}\tcopied\t1\n" for number in range(5001, 5301)).encode())
        connection.execute("TRUNCATE u")
        connection.execute("SELECT pg_switch_wal()")
        connection.execute("INSERT INTO u VALUES (1, 'a')")
        connection.execute("DROP TABLE u")
        connection.execute("CHECKPOINT")
        connection.execute("UPDATE t SET n = 1")
        # A message fills the log such that records end and begin at every place of a page.
        for size in range(1, 300, 7):
            connection.execute("SELECT pg_logical_emit_message(true, 'test', repeat('y', %s))", [size])


def _read(server: Protected) -> Log:
    folder, size = server.data / "pg_wal", 1024 * 1024
    end = re.search(r"Latest checkpoint location:\s+(\S+)", _control(server))
    assert end
    segments = sorted(
        Segment.named(each.name, size) for each in folder.iterdir() if re.fullmatch("[0-9A-F]{24}", each.name)
    )
    # What lies behind is kept for later use, under names of the future.
    segments = [each for each in segments if each.start <= parse_lsn(end[1])]
    content = b"".join((folder / each.name).read_bytes() for each in segments)
    program = str(server.binaries.folder / "pg_waldump")
    out = subprocess.run(
        [*server.confinement.prefix, program, "-p", str(folder), segments[0].name, segments[-1].name],
        capture_output=True,
        text=True,
        env={"TZ": "UTC"},
        check=False,
        timeout=120,
    ).stdout
    return Log(
        content, segments[0].start, size, [_told(each) for each in out.splitlines() if "lsn: " in each]
    )


def _control(server: Protected) -> str:
    return server.run(str(server.binaries.folder / "pg_controldata"), "-D", str(server.data))


def _told(line: str) -> Told:
    match = _LINE.match(line)
    assert match, line
    at = None
    if match[1] == "Transaction" and (end := _END.match(match[6])):
        at = datetime.strptime(end[1], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    found = frozenset(re.findall(r"rel (\d+/\d+/\d+)", match[6]))
    return Told(parse_lsn(match[4]), parse_lsn(match[5]), int(match[3]), int(match[2]), found, at)


def test_every_record_is_read_as_postgresql_reads_it(log: Log) -> None:
    found = [
        Told(
            each.lsn,
            each.previous,
            each.xid,
            each.total,
            frozenset("/".join(map(str, locator)) for locator in each.locators),
            None,
        )
        for each in records(log.content, log.start, log.segment_bytes)
    ]
    wanted = [Told(t.lsn, t.previous, t.xid, t.total, t.locators, None) for t in log.told]
    assert len(wanted) > 3000
    assert found == wanted


def test_a_record_ends_where_the_next_one_says_that_the_log_goes_on(log: Log) -> None:
    found = list(records(log.content, log.start, log.segment_bytes))
    for one, following in pairwise(found):
        header = 40 if one.end % log.segment_bytes == 0 else 24 if one.end % PAGE == 0 else 0
        assert following.lsn == one.end + header


def test_in_parts_of_any_length_the_log_says_the_same(log: Log) -> None:
    choice = random.Random(5)
    whole = [record_of(each, reader) for reader in [_reader(log)] for each in reader.read(log.content)]
    reader = _reader(log)
    found, at = [], 0
    while at < len(log.content):
        size = choice.choice((1, 7, 100, 8192, 30_000, 1_000_000))
        part = log.content[at : at + size]
        found += [record_of(each, reader) for each in reader.read(part)]
        at += len(part)
    assert found == whole


def test_the_commits_are_those_that_pg_waldump_names(log: Log) -> None:
    wanted = [(each.lsn, each.commit_at) for each in log.told if each.commit_at is not None]
    found = list(CommitReader(log.start, log.segment_bytes).read(log.content))
    assert [(each.lsn, each.at) for each in found] == wanted
    assert any(each.prepared for each in found)
    assert sum(change.copied for each in found for change in _rows(each)) == 300
    assert max(change.updated for each in found for change in _rows(each)) > 2000


def _rows(commit: Commit) -> list[object]:
    return [each for each in commit.changes if each.locator.number >= 16384]


def test_the_newest_commit_before_any_cut(log: Log) -> None:
    """Never one that is not there whole; and where the beginning of the log is there, always the newest."""
    choice = random.Random(3)
    found = list(CommitReader(log.start, log.segment_bytes).read(log.content))
    assert len(found) > 300
    for _ in range(150):
        cut = choice.randrange(1, len(log.content))
        whole = [each.at for each in found if each.lsn + _length(log, each.lsn) <= log.start + cut]
        assert last_commit(log.content[:cut], log.start, log.segment_bytes) == (whole[-1] if whole else None)


def test_the_newest_commit_of_a_part_that_begins_anywhere(log: Log) -> None:
    choice = random.Random(4)
    found = list(CommitReader(log.start, log.segment_bytes).read(log.content))
    for _ in range(150):
        start = choice.randrange(0, len(log.content) - 1)
        stop = choice.randrange(start + 1, len(log.content))
        within = [
            each.at
            for each in found
            if each.lsn >= log.start + start and each.lsn + _length(log, each.lsn) <= log.start + stop
        ]
        told = last_commit(log.content[start:stop], Lsn(log.start + start), log.segment_bytes)
        assert told == (within[-1] if within else None)


def _length(log: Log, lsn: int) -> int:
    """Bytes from a record's first to its last one, page headers included, and its padding not."""
    total = next(each.total for each in log.told if each.lsn == lsn)
    at, left = lsn, total
    while left:
        piece = min(left, PAGE - at % PAGE)
        left -= piece
        at += piece
        if left:
            at += 40 if at % log.segment_bytes == 0 else 24
    return at - lsn


def test_a_flipped_bit_ends_the_log_there_and_raises_nothing(log: Log) -> None:
    choice = random.Random(6)
    good = [each.lsn for each in records(log.content, log.start, log.segment_bytes)]
    for _ in range(60):
        at = choice.randrange(len(log.content))
        damaged = bytearray(log.content)
        damaged[at] ^= 1 << choice.randrange(8)
        reader = _reader(log)
        found = [record_of(each, reader).lsn for each in reader.read(bytes(damaged))]
        assert found == good[: len(found)], "what was read before is right"
        assert all(lsn <= log.start + at for lsn in found) or found == good, "and nothing behind it"
        list(CommitReader(log.start, log.segment_bytes).read(bytes(damaged)))
        last_commit(bytes(damaged), log.start, log.segment_bytes)


def _reader(log: Log) -> WalReader:
    return WalReader(log.start, log.segment_bytes)
