"""WAL of a real PostgreSQL, received, spooled and stored in regions, whatever happens on the way."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.protected import Protected
from tests.receiving_parts import (
    MIB,
    Events,
    pieces_in,
    receiving,
    same_as_server,
    until,
    wal_in,
)

from holdfast.adapters.memory.regions import MemoryRegion
from holdfast.backup import layout
from holdfast.backup.lsn import Segment, parse_lsn
from holdfast.backup.model import Mode
from holdfast.backup.wal.receiving import Receiver

SLOT = "holdfast_orders"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    """A PostgreSQL with short segments, of which none is kept for us but by our slot."""
    server = Protected(tmp_path_factory.mktemp("short"), segment_mb=1).start()
    server.sql("CREATE TABLE jobs (id bigserial PRIMARY KEY, filler text)")
    yield server
    server.remove()


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def write(server: Protected, rows: int = 3_000) -> int:
    """Some WAL, about 170 bytes for each row; where it ends."""
    server.sql(f"INSERT INTO jobs (filler) SELECT repeat('x', 100) FROM generate_series(1, {rows})")
    return parse_lsn(server.value("SELECT pg_current_wal_flush_lsn()::text"))


def has(receiver: Receiver, end: int, region: str = "") -> bool:
    """Whether the regions, or that one, have everything before `end`."""
    state = receiver.state()
    states = [each for each in state.regions if region in ("", each.region)]
    # By timeline first: an old one may have been written further than the new one is.
    return all(each.has is not None and each.has >= (state.timeline, end) for each in states)


def throw_away_wal(server: Protected) -> None:
    """Let the server remove all segments that it need not keep."""
    for _ in range(2):
        write(server, 20_000)
        server.sql("CHECKPOINT")


def end_of(region: MemoryRegion, timeline: int = 1) -> int:
    wal = wal_in(region)
    return max(each.start + len(content) for each, content in wal.items() if each.timeline == timeline)


def test_every_region_has_what_was_committed_byte_for_byte(server: Protected, spool: Path) -> None:
    regions = [MemoryRegion("eu"), MemoryRegion("us")]
    with receiving(server.params, spool, regions) as receiver:
        end = write(server, 30_000)
        until(lambda: has(receiver, end), "storing")
        state = receiver.state()
        # Everything that the slot still keeps is there to be compared with.
        for region in regions:
            assert same_as_server(wal_in(region), server.data / "pg_wal") > 0
    assert state.connected
    assert not state.error
    for region in regions:
        assert end_of(region) >= end
        assert sum(each.is_whole for each in pieces_in(region)) >= 3
        assert any(each.covered_at is not None for each in pieces_in(region))
        assert any(each.commit_at is not None for each in pieces_in(region))


def test_the_slot_follows_the_regions_and_the_spool_is_emptied(server: Protected, spool: Path) -> None:
    with receiving(server.params, spool, [MemoryRegion("eu")]) as receiver:
        end = write(server, 20_000)
        until(lambda: has(receiver, end))
        slot = f"SELECT restart_lsn::text FROM pg_replication_slots WHERE slot_name = '{SLOT}'"
        until(lambda: parse_lsn(server.value(slot)) >= end, "the slot's place")
        assert len([each for each in spool.iterdir() if len(each.name) == 24]) <= 2


def test_an_idle_database_is_kept_honest_by_heartbeats(server: Protected, spool: Path) -> None:
    region = MemoryRegion("eu")
    with receiving(server.params, spool, [region], heartbeat_s=0.2) as receiver:
        until(lambda: len({each.covered_at for each in pieces_in(region)} - {None}) >= 3, "heartbeats")
        commits = [each.commit_at for each in pieces_in(region) if each.commit_at is not None]
        assert commits
        assert receiver.state().connected


def test_a_region_that_is_away_catches_up_and_the_others_go_on(server: Protected, spool: Path) -> None:
    eu, us = MemoryRegion("eu"), MemoryRegion("us")
    us.faults.away = True
    with receiving(server.params, spool, [eu, us]) as receiver:
        end = write(server, 20_000)
        until(lambda: has(receiver, end, "eu"), "storing in the region that is there")
        state = next(each for each in receiver.state().regions if each.region == "us")
        assert state.error
        us.faults.away = False
        until(lambda: has(receiver, end, "us"), "catching up")
    # Each of the segments, not each of the parts: those of the whole ones are not needed.
    assert {each: wal_in(us)[each] for each in wal_in(us)} == {each: wal_in(eu)[each] for each in wal_in(us)}
    assert end_of(us) >= end


def test_a_slow_region_stops_no_other(server: Protected, spool: Path) -> None:
    eu, us = MemoryRegion("eu"), MemoryRegion("us")
    us.faults.slow_s = 1.0
    with receiving(server.params, spool, [eu, us]) as receiver:
        end = write(server, 20_000)
        until(lambda: has(receiver, end, "eu"))
        assert not has(receiver, end, "us")
        us.faults.slow_s = 0.0
        until(lambda: has(receiver, end, "us"))


def test_a_full_spool_stops_receiving_and_loses_nothing(server: Protected, spool: Path) -> None:
    eu = MemoryRegion("eu")
    eu.faults.full = True
    events = Events()
    with receiving(server.params, spool, [eu], events, limit=2 * MIB) as receiver:
        end = write(server, 40_000)
        until(lambda: receiver.state().spool_is_full, "a full spool")
        assert "spool_full" in events.names
        assert receiver.state().spool_bytes <= 2 * MIB
        received = receiver.state().received
        assert received is not None
        assert received < end
        # The server must not take us for dead while we receive nothing.
        assert server.value("SELECT count(*) FROM pg_stat_replication") == 1
        eu.faults.full = False
        until(lambda: has(receiver, end), "storing all of it")
        assert not receiver.state().spool_is_full
    assert "spool_has_room" in events.names
    wal = sorted(wal_in(eu).items())
    assert [each.number for each, _ in wal] == list(range(wal[0][0].number, wal[0][0].number + len(wal)))
    assert all(len(content) == segment.size for segment, content in wal[:-1])


def test_with_one_region_away_for_long_the_other_is_still_fed(server: Protected, spool: Path) -> None:
    eu, us = MemoryRegion("eu"), MemoryRegion("us")
    us.faults.away = True
    events = Events()
    with receiving(server.params, spool, [eu, us], events, limit=3 * MIB) as receiver:
        end = write(server, 60_000)
        until(lambda: has(receiver, end, "eu"))
        behind = next(each.left_behind for each in receiver.state().regions if each.region == "us")
        assert behind is not None
        assert "region_left_behind" in events.names
        us.faults.away = False
        until(lambda: has(receiver, end, "us"))
    missing = set(wal_in(eu)) - set(wal_in(us))
    assert missing
    assert min(missing).start <= behind < min(missing).end


def test_it_goes_on_after_a_restart_of_the_server_and_of_the_receiver(server: Protected, spool: Path) -> None:
    region = MemoryRegion("eu")
    with receiving(server.params, spool, [region]) as receiver:
        write(server)
        server.kill9()
        until(lambda: not receiver.state().connected, "noticing")
        server.start()
        end = write(server)
        until(lambda: has(receiver, end))
    end = write(server, 10_000)
    with receiving(server.params, spool, [region]) as receiver:
        until(lambda: has(receiver, end))
        assert same_as_server(wal_in(region), server.data / "pg_wal") > 0
    numbers = sorted(each.number for each in wal_in(region))
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_with_its_spool_lost_it_goes_on_from_what_the_regions_have(server: Protected, tmp_path: Path) -> None:
    region = MemoryRegion("eu")
    events = Events()
    with receiving(server.params, tmp_path / "first", [region]) as receiver:
        end = write(server, 10_000)
        until(lambda: has(receiver, end))
    end = write(server, 10_000)
    with receiving(server.params, tmp_path / "second", [region], events) as receiver:
        until(lambda: has(receiver, end))
    assert "wal_gap_found" not in events.names
    numbers = sorted(each.number for each in wal_in(region))
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert end_of(region) >= end


@pytest.mark.parametrize("how", ["dropped", "lost"])
def test_a_slot_that_is_gone_is_a_gap_and_a_backup_is_wanted(
    server: Protected, spool: Path, how: str
) -> None:
    region, events = MemoryRegion("eu"), Events()
    with receiving(server.params, spool, [region]) as receiver:
        end = write(server)
        until(lambda: has(receiver, end))
    before = end_of(region)
    if how == "dropped":
        server.sql(f"SELECT pg_drop_replication_slot('{SLOT}')")
    else:
        server.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
        server.sql("SELECT pg_reload_conf()")
    throw_away_wal(server)
    with receiving(server.params, spool, [region], events) as receiver:
        end = write(server)
        until(lambda: has(receiver, end), "receiving behind the gap")
        assert receiver.state().backup_wanted
        receiver.backup_taken()
        assert not receiver.state().backup_wanted
    facts = events.facts("wal_gap_found")
    assert parse_lsn(str(facts["from"])) >= before - MIB
    assert parse_lsn(str(facts["to"])) > parse_lsn(str(facts["from"]))
    assert "slot_made" in events.names


def test_a_slot_dropped_while_the_wal_is_still_there_is_no_gap(server: Protected, spool: Path) -> None:
    region, events = MemoryRegion("eu"), Events()
    with receiving(server.params, spool, [region]) as receiver:
        end = write(server)
        until(lambda: has(receiver, end))
    server.sql(f"SELECT pg_drop_replication_slot('{SLOT}')")
    with receiving(server.params, spool, [region], events) as receiver:
        end = write(server)
        until(lambda: has(receiver, end))
    assert "wal_gap_found" not in events.names


def test_another_cluster_at_the_same_address_is_refused(
    server: Protected, spool: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    region = MemoryRegion("eu")
    with receiving(server.params, spool, [region]) as receiver:
        end = write(server)
        until(lambda: has(receiver, end))
    stored = region.keys
    other = Protected(tmp_path_factory.mktemp("other"), segment_mb=1).start()
    try:
        with receiving(other.params, spool, [region]) as receiver:
            until(lambda: "cluster" in receiver.state().error, "a refusal")
        assert region.keys == stored
        # Nothing is left there that would keep its WAL for ever.
        assert other.value("SELECT count(*) FROM pg_replication_slots") == 0
    finally:
        other.remove()


class Switched:
    """A primary and its standby."""

    def __init__(self, primary: Protected, standby: Protected) -> None:
        self.primary, self.standby = primary, standby

    def caught_up(self) -> None:
        place = self.primary.value("SELECT pg_current_wal_flush_lsn()::text")
        until(
            lambda: self.standby.value(f"SELECT pg_last_wal_replay_lsn() >= '{place}'::pg_lsn"), "a standby"
        )


@pytest.fixture
def switched(server: Protected, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switched]:
    standby = server.standby(tmp_path_factory.mktemp("standby"))
    yield Switched(server, standby)
    standby.remove()


def test_a_promoted_standby_is_followed_onto_its_timeline(switched: Switched, spool: Path) -> None:
    region, events = MemoryRegion("eu"), Events()
    with receiving(switched.primary.params, spool, [region]) as receiver:
        end = write(switched.primary)
        until(lambda: has(receiver, end))
    switched.caught_up()
    switched.primary.kill9()
    switched.standby.promote()
    end = write(switched.standby)
    with receiving(switched.standby.params, spool, [region], events) as receiver:
        until(lambda: (receiver.state().timeline or 0) == 2 and has(receiver, end), "the new timeline")
        assert not receiver.state().backup_wanted
        assert same_as_server(wal_in(region), switched.standby.data / "pg_wal", timeline=2) > 0
    histories = [layout.history_of(each.key) for each in region.listed("orders/timelines/")]
    assert [each[0] for each in histories if each] == [2]
    # The history before the first byte of its timeline.
    puts = [key for call, key in region.calls if call == "put"]
    first = next(number for number, key in enumerate(puts) if "/wal/00000002/" in key)
    assert any("/timelines/" in key for key in puts[:first])


def test_a_timeline_that_ends_while_it_is_followed(switched: Switched, spool: Path) -> None:
    region, events = MemoryRegion("eu"), Events()
    with receiving(switched.standby.params, spool, [region], events) as receiver:
        write(switched.primary)
        switched.caught_up()
        until(lambda: receiver.state().connected, "streaming from a standby")
        switched.primary.kill9()
        switched.standby.promote()
        end = write(switched.standby)
        until(lambda: (receiver.state().timeline or 0) == 2 and has(receiver, end), "the new timeline")
    wal = wal_in(region)
    one, two = (sorted(each for each in wal if each.timeline == timeline) for timeline in (1, 2))
    # The new one begins with a copy of the old one's last segment.
    assert one[-1].number == two[0].number
    assert wal[two[0]].startswith(wal[one[-1]])
    assert "wal_gap_found" not in events.names


def test_what_only_the_old_primary_wrote_is_kept_and_told(switched: Switched, spool: Path) -> None:
    region, events = MemoryRegion("eu"), Events()
    with receiving(switched.primary.params, spool, [region]) as receiver:
        switched.caught_up()
        switched.standby.stop()
        lonely = write(switched.primary)
        until(lambda: has(receiver, lonely))
    switched.primary.kill9()
    switched.standby.start()
    switched.standby.promote()
    end = write(switched.standby)
    with receiving(switched.standby.params, spool, [region], events) as receiver:
        until(lambda: (receiver.state().timeline or 0) == 2 and has(receiver, end), "the new timeline")
    assert parse_lsn(str(events.facts("wal_abandoned")["to"])) >= lonely
    assert end_of(region, 1) >= lonely
    assert end_of(region, 2) >= end


# --- sync


@pytest.fixture
def in_sync(server: Protected) -> Callable[[Receiver], None]:
    def wait(receiver: Receiver) -> None:
        server.sql("ALTER SYSTEM SET synchronous_standby_names = 'holdfast'")
        server.sql("SELECT pg_reload_conf()")
        until(
            lambda: server.value("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"), "sync"
        )

    return wait


@pytest.mark.parametrize("regions", [0, 1, 2])
def test_a_commit_waits_until_it_is_kept(
    server: Protected, spool: Path, in_sync: Callable[[Receiver], None], regions: int
) -> None:
    stores = [MemoryRegion("eu"), MemoryRegion("us"), MemoryRegion("ap")]
    # Whatever is not needed for a commit may be as slow as it likes.
    for slow in stores[regions:]:
        slow.faults.slow_s = 0.2
    with receiving(
        server.params, spool, stores, mode=Mode.SYNC, sync_regions=regions, stall_limit_s=1000.0
    ) as receiver:
        in_sync(receiver)
        for _ in range(20):
            server.sql("INSERT INTO jobs (filler) VALUES ('acknowledged')")
            committed = parse_lsn(server.value("SELECT pg_current_wal_flush_lsn()::text"))
            flushed = receiver.state().flushed or 0
            assert flushed >= committed - 8192
            # The regions' own objects, and not what the receiver says of them.
            assert all(end_of(each) >= committed - 8192 for each in stores[:regions])
        assert receiver.state().sync == "on"


def test_a_stalled_sync_mode_lets_go_says_so_and_comes_back(
    server: Protected, spool: Path, in_sync: Callable[[Receiver], None]
) -> None:
    region, events = MemoryRegion("eu"), Events()
    with receiving(
        server.params, spool, [region], events, mode=Mode.SYNC, sync_regions=1, stall_limit_s=0.5
    ) as receiver:
        in_sync(receiver)
        server.sql("INSERT INTO jobs (filler) VALUES ('in sync')")
        region.faults.away = True
        # It stalls, and then it does not: the commit ends because the watchdog lets it go.
        end = write(server, 10)
        assert receiver.state().sync == "let go"
        assert (receiver.state().flushed or 0) >= end - 8192
        region.faults.away = False
        until(lambda: receiver.state().sync == "on", "sync again")
        end = write(server, 10)
        assert end_of(region) >= end - 8192
    assert [each for each in events.names if each.startswith("sync_")] == ["sync_let_go", "sync_resumed"]


def test_while_it_may_not_let_go_a_commit_really_waits(
    server: Protected, spool: Path, in_sync: Callable[[Receiver], None]
) -> None:
    region = MemoryRegion("eu")
    with receiving(
        server.params, spool, [region], mode=Mode.SYNC, sync_regions=1, stall_limit_s=1000.0
    ) as receiver:
        in_sync(receiver)
        region.faults.away = True
        committing = threading.Thread(target=write, args=(server, 10))
        committing.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        until(lambda: server.value(waiting) == 1, "a commit that waits")
        assert committing.is_alive()
        region.faults.away = False
        committing.join(120)
        assert not committing.is_alive()


def test_pieces_of_long_segments_are_bounded(tmp_path_factory: pytest.TempPathFactory, spool: Path) -> None:
    server = Protected(tmp_path_factory.mktemp("long"), segment_mb=64).start()
    try:
        region = MemoryRegion("eu")
        server.sql("CREATE TABLE jobs (id bigserial PRIMARY KEY, filler text)")
        with receiving(server.params, spool, [region]) as receiver:
            end = write(server, 130_000)
            until(lambda: has(receiver, end))
            assert same_as_server(wal_in(region), server.data / "pg_wal") > 17 * MIB
        assert {each.segment.size for each in pieces_in(region)} == {64 * MIB}
        assert max(each.end - each.start for each in pieces_in(region)) == 16 * MIB
        assert all(isinstance(each.segment, Segment) for each in pieces_in(region))
    finally:
        server.remove()
