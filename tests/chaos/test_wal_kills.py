"""Receivers and primaries are killed at any moment: no byte and no acknowledged commit is lost.

HOLDFAST_CHAOS_ROUNDS says how many primaries are killed in each mode; HOLDFAST_CHAOS_SEED repeats what went
wrong once.
"""

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.chaos.wal_loss import PROMISED_S, How, figures, rounds
from tests.protected import Protected
from tests.receiving_parts import ReceivingProcess, same_as_server, until, wal_in

from holdfast.adapters.objectstore.regions import open_region
from holdfast.backup.lsn import parse_lsn

KILLS = 8
ROUNDS = int(os.environ.get("HOLDFAST_CHAOS_ROUNDS", "5"))
"""In each of the two sync modes; and"""
ASYNC_ROUNDS = int(os.environ.get("HOLDFAST_CHAOS_ROUNDS", "3"))
RESTORED_EVERY = 1 if "HOLDFAST_CHAOS_ROUNDS" in os.environ else 3
"""In the others the commits are looked for in the WAL that is stored."""
SEED = int(os.environ.get("HOLDFAST_CHAOS_SEED", str(random.SystemRandom().randrange(10**6))))
HANGS_S = 6.0


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


@pytest.mark.timeout(ROUNDS * 120 + 180)
@pytest.mark.parametrize("sync_regions", [1, 0])
def test_no_acknowledged_commit_is_lost_with_the_primary_and_its_disk(
    tmp_path: Path, sync_regions: int, record_property: Callable[[str, object], None]
) -> None:
    how = How(sync_regions=sync_regions)
    outcomes = rounds(ROUNDS, tmp_path, how, seed=SEED, restored_every=RESTORED_EVERY)
    record_property("figures", f"{how}: {len(outcomes)} rounds under load, {figures(outcomes)} (seed {SEED})")
    assert sum(each.acknowledged for each in outcomes) > 10 * ROUNDS
    assert [each.lost for each in outcomes] == [()] * ROUNDS


@pytest.mark.timeout(ROUNDS * 120 + 180)
def test_without_sync_at_most_the_last_second_is_lost(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    how = How("async")
    outcomes = rounds(ASYNC_ROUNDS, tmp_path, how, seed=SEED, restored_every=RESTORED_EVERY)
    record_property("figures", f"{how}: {len(outcomes)} rounds under load, {figures(outcomes)} (seed {SEED})")
    # There was something older than a second, which could have been lost.
    assert all(each.under_load_s > PROMISED_S for each in outcomes)
    assert [each.too_old for each in outcomes] == [0] * ASYNC_ROUNDS


def test_a_receiver_that_stood_still_is_found_out(tmp_path: Path) -> None:
    """What the test before looks for: were the receiver late, older commits would be lost, and be seen."""
    (outcome,) = rounds(1, tmp_path, How("async", restored=False, hangs_s=HANGS_S), seed=SEED)
    assert outcome.oldest_s > HANGS_S - PROMISED_S
    assert outcome.too_old
