"""Two regions: a PostgreSQL, its physical standby in the other one, and the line between them.

    with two_regions(folder) as regions:
        regions.primary, regions.standby      servers (tests/protected.py)
        regions.link.cut()                    the line, tests/link.py
        regions.fail_over()                   the primary dies, the standby takes over
        regions.follow_again()                and the one that died becomes the new primary's standby

The standby calls itself STANDBY. `fsync` is off by default: a server that is killed keeps what it wrote, and
only a machine without power would not. "Flushed" is told at the same moment as with it.
"""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.link import Link
from tests.protected import OWNER, OWNER_PASSWORD, Protected

STANDBY = "second"
PATIENCE_S = 60.0
_SETTINGS = {
    "cluster_name": "region",
    "max_connections": "60",
    "wal_keep_size": "256MB",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "100ms",
    "wal_receiver_timeout": "10s",
    "wal_sender_timeout": "10s",
}


class Regions:
    """`primary` takes writes, `standby` follows it through `link`; a failover exchanges them."""

    def __init__(
        self, folder: Path, *, settings: Mapping[str, str] | None = None, delay_s: float = 0.0
    ) -> None:
        """`delay_s` of one direction of the line."""
        whole = {**_SETTINGS, **(settings or {})}
        self.primary = Protected(folder / "one", settings=whole)
        self.standby = Protected(folder / "two", settings=whole)
        self.link = Link(self.primary.port, delay_s=delay_s)

    def start(self) -> None:
        """Returns once the standby has all that the primary has."""
        self.primary.start()
        self.follow()
        self.until_caught_up()

    def follow(self) -> None:
        """Make the standby from the primary, past the line, and let it follow through the line."""
        other = self.standby
        shutil.rmtree(other.data, ignore_errors=True)
        passfile = other.folder / "pgpass"
        passfile.write_text(f"127.0.0.1:*:*:{OWNER}:{OWNER_PASSWORD}\n", encoding="ascii")
        passfile.chmod(0o600)
        other.own(passfile)
        who = f"host=127.0.0.1 user={OWNER} passfile={passfile} sslmode=disable"
        program = str(other.binaries.folder / "pg_basebackup")
        direct = f"{who} port={self.primary.port}"
        other.run(program, "-d", direct, "-D", str(other.data), "-c", "fast", "--no-sync", "--no-manifest")
        (other.data / "standby.signal").touch()
        other.own(other.data / "standby.signal")
        through = f"{who} port={self.link.port} application_name={STANDBY}"
        with (other.data / "postgresql.auto.conf").open("a", encoding="utf-8") as conf:
            conf.write(f"primary_conninfo = '{through}'\n")
        other.start()

    def fail_over(self) -> None:
        """Kill the primary and let the standby take over. What was on the line is lost with it."""
        self.lose_primary()
        self.take_over()

    def lose_primary(self) -> None:
        """Its line is cut first: what it still writes goes nowhere."""
        self.link.cut()
        self.primary.kill9()

    def take_over(self) -> None:
        """The standby becomes the primary. The other one is not touched: it may even be running still."""
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary

    def follow_again(self) -> None:
        """The server that was lost forgets what it had, and follows."""
        self.standby.kill9()
        self.link.mend()
        self.link.aim(self.primary.port)
        self.follow()
        self.until_caught_up()

    def until_caught_up(self) -> None:
        """Until the standby has flushed what the primary has flushed now."""
        lsn = self.primary.value("SELECT pg_current_wal_flush_lsn()::text")
        query = (
            f"SELECT count(*) FROM pg_stat_replication WHERE application_name = '{STANDBY}'"
            f" AND state = 'streaming' AND flush_lsn >= '{lsn}'"
        )
        deadline = time.monotonic() + PATIENCE_S
        while not self.primary.value(query):
            assert time.monotonic() < deadline, f"the standby does not follow: {self.standby.log[-3000:]}"
            time.sleep(0.02)

    def close(self) -> None:
        """Stop everything and remove it."""
        self.link.close()
        self.primary.remove()
        self.standby.remove()


@contextmanager
def two_regions(
    folder: Path, *, settings: Mapping[str, str] | None = None, delay_s: float = 0.0
) -> Iterator[Regions]:
    """Started; stopped and removed behind it."""
    regions = Regions(folder, settings=settings, delay_s=delay_s)
    try:
        regions.start()
        yield regions
    finally:
        regions.close()
