"""A receiver of WAL and what it needs, for tests; and WAL put together again from pieces."""

import os
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.installation import PROGRAM

from holdfast.adapters.packing.zstd import ZstdPacker
from holdfast.adapters.postgres.replication.source import PostgresSource
from holdfast.backup import layout
from holdfast.backup.lsn import Segment, Timeline
from holdfast.backup.model import WalPiece
from holdfast.backup.ports import Region, Source
from holdfast.backup.wal.receiving import Receiver
from holdfast.backup.wal.reception import ReceiverSettings
from holdfast.backup.wal.spool import Spool
from holdfast.kernel.clock import SystemClock

DATABASE = "orders"
PACKER = ZstdPacker()
PATIENCE_S = 120.0
MIB = 1 << 20


class Events:
    """What a receiver told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Mapping[str, object]]] = []

    def __call__(self, name: str, facts: Mapping[str, object]) -> None:
        self.told.append((name, facts))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.told]

    def facts(self, name: str) -> Mapping[str, object]:
        return next(facts for each, facts in reversed(self.told) if each == name)


@contextmanager
def receiving(
    params: Mapping[str, str],
    folder: Path,
    regions: Sequence[Region],
    events: Events | None = None,
    *,
    limit: int = 512 * MIB,
    source: Source | None = None,
    database: str = DATABASE,
    **settings: Any,
) -> Iterator[Receiver]:
    """A receiver that runs; stopped at the end, with its spool closed."""
    settings = {"slot": "holdfast_orders", "partial_every_s": 0.2, "heartbeat_s": 0.0, **settings}
    spool = Spool(folder, limit)
    receiver = Receiver(
        database,
        source or PostgresSource(params),
        spool,
        regions,
        PACKER,
        SystemClock(),
        ReceiverSettings(**settings),
        on_event=events or Events(),
    )
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()
        spool.close()


def until(reached: Callable[[], object], what: str = "it") -> None:
    """Wait until that is true. Fails after a long time, which only a hang needs."""
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline, f"{what} did not come about"
        time.sleep(0.02)


def pieces_in(region: Region, database: str = DATABASE) -> list[WalPiece]:
    listed = region.listed(layout.wal_prefix(database))
    pieces = [layout.piece_of(each.key, each.size) for each in listed]
    assert None not in pieces
    return [each for each in pieces if each is not None]


def wal_in(region: Region, database: str = DATABASE) -> dict[Segment, bytes]:
    """Every segment's bytes from its beginning to the first hole; pieces that disagree fail the test."""
    by_segment: dict[Segment, list[WalPiece]] = defaultdict(list)
    for piece in pieces_in(region, database):
        by_segment[piece.segment].append(piece)
    whole: dict[Segment, bytes] = {}
    for segment, pieces in by_segment.items():
        content = bytearray()
        for piece in sorted(pieces, key=lambda each: (each.start, each.end)):
            raw = PACKER.unpack(region.get(piece.key), piece.sealed_with)
            assert len(raw) == piece.end - piece.start
            if piece.start > len(content):
                break
            known = min(len(content), piece.end) - piece.start
            assert content[piece.start : piece.start + known] == raw[:known], f"{piece.key} disagrees"
            content += raw[known:]
        whole[segment] = bytes(content)
    return whole


def same_as_server(wal: Mapping[Segment, bytes], pg_wal: Path, timeline: int = 1) -> int:
    """How many bytes were compared with the server's own files: all must be the same."""
    compared = 0
    for segment, content in wal.items():
        path = pg_wal / segment.name
        if segment.timeline == Timeline(timeline) and path.exists():
            assert path.read_bytes()[: len(content)] == content, f"{segment.name} differs"
            compared += len(content)
    return compared


ESTATE = """\
regions:
{regions}
clusters:
  eu:
    name: Europe
    region: {first}
    components:
      web: {{name: Website, checks: {{page: {{url: "https://example.com/"}}}}}}
backup:
  stores:
{stores}
databases:
  {database}:
    name: Orders
    cluster: eu
    connection: {{host: 127.0.0.1, port: {port}, user: {user}, password: env:TEST_PASSWORD, tls: "off"}}
    mode: {mode}
    sync: {{regions: {sync_regions}, stall_limit: {stall_limit}}}
    heartbeat: 0s
    copies: {{{copies}}}
"""


def estate_text(
    params: Mapping[str, str],
    stores: Mapping[str, Path],
    *,
    mode: str = "stream",
    sync_regions: int = 1,
    stall_limit: str = "10s",
) -> str:
    """An estate with one database, kept in these folders."""
    return ESTATE.format(
        regions="\n".join(f"  {name}: {{name: {name}}}" for name in stores),
        first=next(iter(stores)),
        stores="\n".join(f"    {name}: {{to: 'file://{folder}'}}" for name, folder in stores.items()),
        database=DATABASE,
        port=params["port"],
        user=params["user"],
        mode=mode,
        sync_regions=sync_regions,
        stall_limit=stall_limit,
        copies=", ".join(f"{name}: {{}}" for name in stores),
    )


class ReceivingProcess:
    """`holdfast wal receive`, in a process of its own, to be killed."""

    def __init__(
        self, folder: Path, params: Mapping[str, str], stores: Mapping[str, Path], **how: Any
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.spool = folder / "data" / "backup" / DATABASE / "wal"
        self.config = folder / "holdfast.yaml"
        self.config.write_text(estate_text(params, stores, **how), encoding="utf-8")
        self._password = params["password"]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> list[str]:
        return [*PROGRAM, "wal"]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "TEST_PASSWORD": self._password}

    def start(self) -> None:
        with (self.folder / "receiver.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self.command,
                    "receive",
                    DATABASE,
                    "-c",
                    str(self.config),
                    "--data-dir",
                    str(self.folder / "data"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return (self.folder / "receiver.log").read_text("utf-8")

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def hang(self) -> None:
        """It does nothing any more, and is still there."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill9(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE_S)
            self._process = None
