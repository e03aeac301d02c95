"""Receivers and primaries are killed at any moment: no byte and no acknowledged commit is lost."""

import random
import threading
import time
from pathlib import Path

import psycopg
import pytest
from tests.protected import Protected
from tests.receiving_parts import ReceivingProcess, same_as_server, until, wal_in
from wal_loss import rounds

from holdfast.adapters.objectstore.regions import open_region
from holdfast.backup.lsn import parse_lsn

KILLS = 8


def test_a_killed_receiver_loses_no_byte_and_stores_none_wrongly(tmp_path: Path) -> None:
    """Against the server's own segments, all of which it keeps."""
    dice = random.Random(5)
    server = Protected(tmp_path / "primary", segment_mb=1, settings={"wal_keep_size": "1GB"}).start()
    stores = {name: tmp_path / name for name in ("eu", "us")}
    receiver = ReceivingProcess(tmp_path / "holdfast", server.params, stores)
    ended = threading.Event()

    def load() -> None:
        with server.connect() as connection:
            connection.execute("CREATE TABLE jobs (id bigserial PRIMARY KEY, filler text)")
            while not ended.is_set():
                connection.execute(
                    "INSERT INTO jobs (filler) SELECT repeat('x', 500) FROM generate_series(1, 50)"
                )
                ended.wait(0.005)

    writer = threading.Thread(target=load)
    writer.start()
    try:
        for _ in range(KILLS):
            receiver.start()
            until(lambda: server.value("SELECT count(*) FROM pg_stat_replication") > 0, "a stream")
            time.sleep(dice.uniform(0.0, 0.7))
            receiver.kill9()
        ended.set()
        writer.join()
        end = parse_lsn(server.value("SELECT pg_current_wal_flush_lsn()::text"))
        receiver.start()
        for name, folder in stores.items():
            region = open_region(name, f"file://{folder}", {})
            until(lambda region=region: _end_of(wal_in(region)) >= end, f"all of it in {name}")
            wal = wal_in(region)
            numbers = sorted(each.number for each in wal)
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert same_as_server(wal, server.data / "pg_wal") == sum(map(len, wal.values()))
            assert len(wal) > 3
    finally:
        ended.set()
        writer.join()
        receiver.kill9()
        server.remove()


def _end_of(wal: dict) -> int:  # type: ignore[type-arg]
    return max((each.start + len(content) for each, content in wal.items()), default=0)


@pytest.mark.parametrize(("sync_regions", "seed"), [(1, 11), (0, 12)])
def test_no_acknowledged_commit_is_lost_with_the_primary_and_its_disk(
    tmp_path: Path, sync_regions: int, seed: int
) -> None:
    acknowledged, lost = rounds(5, tmp_path, sync_regions=sync_regions, seed=seed)
    assert acknowledged > 50
    assert lost == 0


def test_without_sync_at_most_the_last_second_is_lost(tmp_path: Path) -> None:
    """What was acknowledged a second before the primary died is in the region, or will be from the spool."""
    server = Protected(tmp_path / "primary", segment_mb=1).start()
    store = tmp_path / "store"
    receiver = ReceivingProcess(tmp_path / "holdfast", server.params, {"eu": store})
    acknowledged: list[tuple[int, float]] = []
    try:
        receiver.start()
        until(lambda: server.value("SELECT count(*) FROM pg_stat_replication") > 0, "a stream")
        with server.connect() as connection:
            connection.execute("CREATE TABLE jobs (id bigserial PRIMARY KEY, filler text)")
            for number in range(300):
                connection.execute("INSERT INTO jobs (filler) VALUES ('x')")
                place = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
                assert place is not None
                acknowledged.append((parse_lsn(place[0]), time.monotonic()))
                time.sleep(0.005 if number % 2 else 0.0)
        time.sleep(1.0)
        server.kill9()
        region = open_region("eu", f"file://{store}", {})
        until(lambda: _end_of(wal_in(region)) >= acknowledged[-1][0], "what was acknowledged a second before")
    except psycopg.Error:
        pytest.fail("the server was not to be gone yet")
    finally:
        receiver.kill9()
        server.remove()
