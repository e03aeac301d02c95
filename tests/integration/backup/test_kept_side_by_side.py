"""A running Holdfast does several things for one database at the same time, and is killed in the midst."""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.installation import Installation, eventually, free_port, installed
from tests.integration.backup.test_kept_whole import ESTATE, points
from tests.protected import LOGIN_PASSWORD, Protected

from holdfast.adapters.postgres.server.process import lives, read_pid_file

SLOT = "holdfast_main"
MIB = 1 << 20
GATE = """
CREATE FUNCTION let_through() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF (pg_stat_file('{folder}/closed', true)).size IS NOT NULL THEN
        COPY (SELECT 1) TO '{folder}/reached';
    END IF;
    WHILE (pg_stat_file('{folder}/closed', true)).size IS NOT NULL LOOP
        PERFORM pg_sleep(0.05);
    END LOOP;
    RETURN true;
END $$
"""


class Gate:
    """Holds every verification at a check, while it is closed. For servers of other accounts, too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.chmod(0o777)
        self._closed, self._reached = folder / "closed", folder / "reached"

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Until the end of it, no verification ends; it begins when one waits there."""
        self._reached.unlink(missing_ok=True)
        self._closed.write_text("so it is")
        try:
            self.wait()
            yield
        finally:
            self._closed.unlink()

    def wait(self) -> None:
        eventually(self._reached.exists, "a verification is under way", 240)

    def forget(self) -> None:
        self._reached.unlink()


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    with tempfile.TemporaryDirectory(prefix="hf-keeper-") as folder:
        yield Gate(Path(folder))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, gate: Gate) -> Iterator[Protected]:
    server = Protected(tmp_path_factory.mktemp("shop"), segment_mb=1).start()
    server.sql("CREATE TABLE orders (id bigserial PRIMARY KEY, note text)")
    server.sql(GATE.format(folder=gate.folder))
    write(server, 100)
    yield server
    server.stop()
    server.remove()


@pytest.fixture(scope="module")
def keeping(shop: Protected, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("keeping")
    ports = {"site": free_port(), "agents": free_port(), "console": free_port(), "port": shop.port}
    # That database alone: any other's verification would wait at the gate as well.
    estate = ESTATE.partition("  dumped:")[0].format(folder=folder, **ports)
    estate = estate.replace("verification:", "verification:\n      every: 1s")
    estate = estate.replace("backup:", "backup:\n  spool_limit: 64", 1)
    estate = estate.replace("SELECT count(*) >= 100 FROM orders", "SELECT let_through()")
    with installed(folder, estate, MAIN_PASSWORD=LOGIN_PASSWORD) as holdfast:
        holdfast.up()
        eventually(lambda: restorable(holdfast) == {"west", "north"}, "both have something to restore")
        yield holdfast


def write(server: Protected, rows: int) -> None:
    server.sql(f"INSERT INTO orders (note) SELECT repeat('x', 100) FROM generate_series(1, {rows})")


def restorable(holdfast: Installation) -> set[str]:
    return {name for name, each in points(holdfast).items() if each["windows"]}


def told(holdfast: Installation, event: str) -> list[dict[str, Any]]:
    rows = holdfast.available(
        "SELECT facts FROM holdfast.journal WHERE event = %s ORDER BY id", f"backup.{event}"
    )
    return [facts for (facts,) in rows]


def verified(holdfast: Installation) -> int:
    return len({path.name for path in holdfast.folder.glob("*/main/verifications/*.json")})


def process_of(holdfast: Installation, other_than: int = 0) -> int:
    def runs() -> int:
        pid = holdfast.role("backup")
        return 0 if pid in (None, other_than) else pid or 0

    return eventually(runs, "the backup's process runs")


def running_copies(holdfast: Installation) -> set[int]:
    """The servers that run on copies of the database."""
    files = holdfast.data_dir.glob("copies/main/*/copy/postmaster.pid")
    found = {server.pid for each in files if (server := read_pid_file(each)) is not None}
    return {pid for pid in found if lives(pid)}


def lose_the_slot(server: Protected, pid: int) -> None:
    """With WAL that nobody has yet: there is a gap."""
    mine = f"FROM pg_replication_slots WHERE slot_name = '{SLOT}'"
    eventually(lambda: server.value(f"SELECT active_pid {mine}"), "it is received")
    os.kill(pid, signal.SIGSTOP)
    try:
        server.sql(f"SELECT pg_terminate_backend(active_pid) {mine}")
        eventually(lambda: not server.value(f"SELECT active {mine}"), "the slot is free")
        server.sql(f"SELECT pg_drop_replication_slot('{SLOT}')")
        for _ in range(2):
            write(server, 20_000)
            server.sql("CHECKPOINT")
    finally:
        os.kill(pid, signal.SIGCONT)


def test_while_a_copy_is_verified_a_gap_is_answered_and_a_region_catches_up(
    keeping: Installation, shop: Protected, gate: Gate
) -> None:
    with gate.closed():
        before, taken = verified(keeping), len(told(keeping, "taken"))
        lose_the_slot(shop, process_of(keeping))
        (gap,) = eventually(lambda: told(keeping, "wal_gap_found"), "the gap is found")
        answers = eventually(lambda: told(keeping, "taken")[taken:], "it is answered")
        # By whoever receives, who knows of it first.
        assert answers[0]["why"] == gap["why"]
        (keeping.folder / "north" / "main").rename(keeping.folder / "lost")
        eventually(lambda: [each for each in told(keeping, "copied") if each["backups"]], "it is copied")
        eventually(lambda: "north" in restorable(keeping), "it has everything again")
        assert verified(keeping) == before, "the verification went on meanwhile"
    eventually(lambda: verified(keeping) > before, "the verification ended")


def test_killed_while_it_verifies_it_verifies_again_and_leaves_nothing(
    keeping: Installation, gate: Gate
) -> None:
    with gate.closed():
        before, pid = verified(keeping), process_of(keeping)
        copies = running_copies(keeping)
        assert copies, "no copy runs"
        os.kill(pid, signal.SIGKILL)
        process_of(keeping, pid)
        eventually(lambda: not copies & running_copies(keeping), "the copy that was left has ended")
        gate.forget()
        gate.wait()
        assert verified(keeping) == before
    eventually(lambda: verified(keeping) > before, "it was verified")
    assert not told(keeping, "verification_failed")


def test_it_ends_soon_when_it_is_told_to_though_a_check_hangs(keeping: Installation, gate: Gate) -> None:
    with gate.closed():
        before, pid = verified(keeping), process_of(keeping)
        os.kill(pid, signal.SIGTERM)
        process_of(keeping, pid)
        assert verified(keeping) == before, "what was given up counts for nothing"
    assert not told(keeping, "verification_failed")


def test_killed_while_it_takes_a_backup_it_takes_it_again(keeping: Installation, shop: Protected) -> None:
    pid = process_of(keeping)
    # A file that takes a while to be sent, and little room.
    ballast = shop.data / "ballast"
    with ballast.open("wb") as file:
        file.truncate(1 << 30)
    shop.own(ballast)
    for region in ("west", "north"):
        (keeping.folder / region / "main" / "backups").rename(keeping.folder / f"lost-{region}")
    sender = eventually(
        lambda: shop.value("SELECT max(pid) FROM pg_stat_progress_basebackup"), "a backup is being taken"
    )
    os.kill(int(sender), signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGKILL)
        ballast.unlink()
    finally:
        os.kill(int(sender), signal.SIGCONT)
    process_of(keeping, pid)
    eventually(lambda: restorable(keeping) == {"west", "north"}, "there are backups again")
    listed = keeping.run("backup", "list", "main", "--json").json
    assert listed


def test_a_spool_that_fills_up_is_told_of_before_it_is_full(keeping: Installation, shop: Protected) -> None:
    eventually(lambda: restorable(keeping) == {"west", "north"}, "both take what comes")
    stores = [keeping.folder / region for region in ("west", "north")]
    for store in stores:
        store.rename(store.with_suffix(".away"))
    try:
        began = shop.value("SELECT pg_current_wal_lsn()")
        while int(shop.value(f"SELECT pg_current_wal_lsn() - '{began}'::pg_lsn")) < 54 * MIB:
            write(shop, 10_000)
        facts = eventually(lambda: told(keeping, "spool_filling"), "it is told")[0]
    finally:
        for store in stores:
            store.with_suffix(".away").rename(store)
    assert facts["bytes"] >= 0.8 * 64 * MIB
    assert facts["percent"] >= 80
    assert not told(keeping, "spool_full")
    eventually(lambda: told(keeping, "spool_emptied"), "it is over")
