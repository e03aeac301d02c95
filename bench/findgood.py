"""`holdfast find-good`: the one wrong commit among 40,000, searched from what a region holds, to the answer.

Every commit touches the table that the check reads.
"""

import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench.backup_server import Server
from bench.subjects import FOLDER, Options
from bench.table import Measurement, at_most
from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.adapters.postgres.replication.probing import LocalStandbys
from holdfast.adapters.postgres.replication.source import PostgresSource
from holdfast.backup import layout
from holdfast.backup.lsn import DEFAULT_SEGMENT_BYTES, Segment, parse_lsn
from holdfast.backup.model import StoredObject
from holdfast.backup.ports import Region
from holdfast.backup.restore.unpacking import Silent
from holdfast.backup.search.finding import Asked, Finder, Finding
from holdfast.backup.search.searching import Question
from holdfast.backup.take.taking import Taker
from holdfast.kernel.clock import SystemClock

DATABASE = "bench"
COMMITS = 40_000
WITHIN_S = 10.0
_CHECK = "SELECT count(*) = 1000 FROM stock"
_COMMIT_EACH = """
DO $$ BEGIN FOR i IN 1..{commits} LOOP
  UPDATE stock SET n = stock.n + 1 WHERE id = i % 1000 + 1;
  IF i = {wrong} THEN DELETE FROM stock WHERE id = 77; END IF;
  COMMIT;
END LOOP; END $$
"""


class Searched:
    """A database whose log holds so many commits, and a region with a backup from before them."""

    def __init__(self, folder: Path, commits: int) -> None:
        self._clock = SystemClock()
        self._folder = folder
        self._packer = ZstdPacker()
        self.commits = commits
        (folder / "store").mkdir()
        self._region: Region = open_region("here", (folder / "store").as_uri(), {}, "none")
        server = Server(folder / "server", None, "/bin/true")
        server.start()
        try:
            server.fill(16)
            server.sql("CREATE TABLE stock (id int PRIMARY KEY, n int)")
            server.sql("INSERT INTO stock SELECT id, 0 FROM generate_series(1, 1000) id")
            server.sql("ALTER SYSTEM SET wal_keep_size = '4GB'")
            server.sql("SELECT pg_reload_conf()")
            Taker(PostgresSource(server.params), [self._region], self._packer, self._clock).take(DATABASE)
            server.sql(_COMMIT_EACH.format(commits=commits, wrong=commits * 2 // 3))
            self._store(server)
        finally:
            server.stop()

    def find(self) -> tuple[float, Finding]:
        began = time.perf_counter()
        finder = Finder(
            DATABASE,
            self._region,
            [],
            self._packer,
            LocalStandbys(),
            self._folder / "scratch",
            self._clock,
            Silent(),
        )
        found = finder.find(Asked(Question(_CHECK, "postgres")))
        took = time.perf_counter() - began
        turn = found.outcome.turn
        if turn is None or [each.deleted for each in turn.after.tables] != [1]:
            raise SystemExit(f"the wrong commit was not found: {found}")
        return took, found

    def _store(self, server: Server) -> None:
        end = parse_lsn(server.lsn())
        for path in sorted((server.data / "pg_wal").glob("?" * 24)):
            segment = Segment.named(path.name)
            if segment.start >= end:
                continue
            raw = path.read_bytes()[: min(end - segment.start, DEFAULT_SEGMENT_BYTES)]
            packed = self._packer.pack(raw)
            stored = StoredObject("", len(raw), len(packed), hashlib.sha256(packed).hexdigest())
            now = datetime.now(UTC)
            self._region.put(layout.piece_key(DATABASE, segment, 0, len(raw), stored, now, now), packed)


def measure(options: Options) -> Sequence[Measurement]:
    commits = COMMITS // 10 if options.quick else COMMITS
    with searched(commits) as subject:
        ran = [subject.find() for _ in range(options.runs)]
    asked = ran[0][1].outcome
    steps_ms = [1000 * took / found.outcome.asked for took, found in ran]
    note = f"{asked.candidates:,} may change the answer, asked {asked.asked} times; restore of 16 MB included"
    return [
        Measurement(
            f"find-good, {commits:,} commits", "s", [each[0] for each in ran], at_most(WITHIN_S), note
        ),
        Measurement("  of that for each time that the check ran", "ms", steps_ms),
    ]


@contextmanager
def searched(commits: int) -> Iterator[Searched]:
    FOLDER.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="findgood-", dir=FOLDER))
    try:
        yield Searched(folder, commits)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
