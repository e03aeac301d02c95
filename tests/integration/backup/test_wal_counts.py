"""What was deleted and dropped, counted in a real server's log."""

from pathlib import Path

from tests.protected import Protected

from holdfast.backup.lsn import Segment, Timeline, parse_lsn
from holdfast.backup.verify.wal_counts import counts_of


def test_rows_deleted_and_files_dropped_are_counted(shared_protected: Protected) -> None:
    server = shared_protected
    server.sql("CREATE TABLE counted_rows AS SELECT i FROM generate_series(1, 1000) i")
    server.sql("CREATE TABLE counted_gone (i int); CREATE TABLE counted_empty (i int)")
    since = parse_lsn(server.value("SELECT pg_current_wal_insert_lsn()::text"))
    server.sql("DELETE FROM counted_rows WHERE i <= 700")
    server.sql("DROP TABLE counted_gone")
    server.sql("TRUNCATE counted_empty")
    server.sql("SELECT pg_switch_wal()")
    segment = Segment.holding(Timeline(1), since)
    content = (Path(server.data) / "pg_wal" / segment.name).read_bytes()[since - segment.start :]

    counts = counts_of([content[:1000], content[1000:]], since)

    assert (counts.deletes, counts.drops, counts.truncates) == (700, 1, 1)
    assert counts.commits >= 3
    assert counts.figures == {"deletes": 700.0, "drops": 1.0, "truncates": 1.0}
    server.sql("DROP TABLE counted_rows, counted_empty")
