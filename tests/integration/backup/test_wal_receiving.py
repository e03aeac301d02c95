"""WAL of a real PostgreSQL, received, spooled and stored in regions."""

from pathlib import Path

from tests.protected import Protected
from tests.receiving_parts import Events, pieces_in, receiving, same_as_server, until, wal_in

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup.lsn import parse_lsn


def write(server: Protected, rows: int = 20_000) -> int:
    """Some WAL; where it ends."""
    server.sql("CREATE TABLE IF NOT EXISTS jobs (id bigserial PRIMARY KEY, filler text)")
    server.sql(f"INSERT INTO jobs (filler) SELECT repeat('x', 100) FROM generate_series(1, {rows})")
    return parse_lsn(server.value("SELECT pg_current_wal_flush_lsn()::text"))


def test_every_region_has_what_was_committed_byte_for_byte(protected: Protected, tmp_path: Path) -> None:
    regions = [MemoryRegion("eu"), MemoryRegion("us")]
    events = Events()
    with receiving(protected.params, tmp_path / "spool", regions, events) as receiver:
        end = write(protected)
        protected.sql("SELECT pg_switch_wal()")
        end = write(protected)
        until(lambda: all((each.has or (0, 0))[1] >= end for each in receiver.state().regions), "storing")
        state = receiver.state()
    assert state.connected
    assert not state.error
    for region in regions:
        wal = wal_in(region)
        assert same_as_server(wal, protected.data / "pg_wal") >= end % (16 << 20)
        assert any(each.is_whole for each in pieces_in(region))
        assert max(each.start + len(content) for each, content in wal.items()) >= end
        assert any(each.covered_at is not None for each in pieces_in(region))
        assert any(each.commit_at is not None for each in pieces_in(region))
