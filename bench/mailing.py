"""An incident to 10,000 subscribers by mail: declared, queued, and handed to an SMTP sink, with two kills.

The sender is the process that `holdfast up` runs, with the login that it gets from it, and is started again
with the pauses that the supervisor makes. Everything is on one machine: PostgreSQL, the sender, the sink.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import psycopg

from bench.processes import python, require_alive
from bench.subjects import FOLDER, Options
from bench.table import Measurement, at_least, at_most
from holdfast.adapters.postgres.announcements import PostgresAnnouncements
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.incidents import PostgresIncidents
from holdfast.adapters.postgres.migrate import migrate
from holdfast.adapters.postgres.server.embedded import EmbeddedPostgres
from holdfast.adapters.vault.aes import AesVault
from holdfast.bootstrap.database import packed
from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.vault import vault_for
from holdfast.communication.directory import directory_of
from holdfast.communication.incident_desk import IncidentDesk, NewIncident
from holdfast.communication.model import Channel, ComponentState, Impact, Phase
from holdfast.communication.subscribing import fingerprint_of
from holdfast.kernel.clock import SystemClock

SUBSCRIBERS = 10_000
CONNECTIONS = 4
KILLED_AT = (0.33, 0.66)
RESTART_PAUSES_S = (1.0, 2.0, 4.0)
"""What the supervisor waits before it starts a role again."""
GIVE_UP_S = 300.0

ESTATE = """\
version: 1
site: {{listen: 127.0.0.1:1, url: https://status.example.org}}
regions: {{here: {{name: Here}}}}
clusters:
  eu:
    name: Europe
    region: here
    components: {{api: {{name: API, checks: {{port: {{type: tcp, host: 127.0.0.1, port: {port}}}}}}}}}
mail:
  {{host: 127.0.0.1, port: {port}, security: none, sender: status@example.org, connections: {connections}}}
"""


@dataclass(frozen=True, slots=True)
class Mailed:
    """What one incident came to."""

    queued_s: float
    sent_s: float
    unique: int
    doubled: int
    sender_cpu_s: float


def measure(options: Options) -> Sequence[Measurement]:
    count = 1_000 if options.quick else SUBSCRIBERS
    rounds = [mailed(count) for _ in range(options.runs)]
    name = f"an incident to {count:,} subscribers by mail"
    return [
        Measurement(f"{name}: in the outbox", "s", [each.queued_s for each in rounds], at_most(2.0)),
        Measurement(
            "  handed to the sink, the sender killed twice",
            "s",
            [each.sent_s for each in rounds],
            at_most(60.0),
        ),
        Measurement("  different mails", "", [each.unique for each in rounds], at_least(count)),
        Measurement(
            "  mails handed over twice (same Message-ID)",
            "",
            [each.doubled for each in rounds],
            at_most(0),
        ),
        Measurement(
            "  CPU of the sender for each mail", "ms", [1000 * each.sender_cpu_s / count for each in rounds]
        ),
    ]


def mailed(count: int) -> Mailed:
    """One round, in a database and a folder of its own."""
    FOLDER.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=FOLDER, prefix="mailing-"))
    server = EmbeddedPostgres(folder / "postgres")
    asyncio.run(server.start())
    try:
        asyncio.run(migrate(server.conninfo(Role.OWNER)))
        with sink(folder) as (port, file):
            config = folder / "holdfast.yaml"
            config.write_text(ESTATE.format(port=port, connections=CONNECTIONS), encoding="utf-8")
            return asyncio.run(_round(server, config, folder / "data", file, count))
    finally:
        asyncio.run(server.stop())
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def sink(folder: Path) -> Iterator[tuple[int, Path]]:
    file, log = folder / "mails", folder / "sink.log"
    with python(["-m", "bench.sink_process", "0", str(file)], log=log) as process:
        while not log.read_text().strip():
            require_alive(process, log)
            time.sleep(0.02)
        yield int(log.read_text()), file


async def _round(server: EmbeddedPostgres, config: Path, data_dir: Path, file: Path, count: int) -> Mailed:
    estate = read_estate(config)
    registry = PostgresRegistry(server.conninfo(Role.CONTROLLER))
    registered = await registry.apply(estate, source_sha256="", at=datetime.now(UTC), actor="bench")
    subscribe(server, vault_for(estate, config, data_dir), count)
    directory = directory_of(estate, registered)
    async with open_pool(server.conninfo(Role.CONSOLE), "bench") as pool:
        clock = SystemClock()
        desk = IncidentDesk(PostgresIncidents(pool), PostgresAnnouncements(pool), clock, lambda: directory)
        (component,) = directory.places
        new = NewIncident(
            "The API fails",
            Impact.MAJOR,
            Phase.INVESTIGATING,
            "Requests fail since 14:03. We **look into it**.",
            {component: ComponentState.MAJOR_OUTAGE},
        )
        with _Sending(server, config, data_dir) as sending:
            await asyncio.sleep(3.0)  # as in life, the sender waits for something to do
            began = time.monotonic()
            await desk.declare(new, "bench")
            queued_s = time.monotonic() - began
            sent_s = await asyncio.to_thread(_watched, sending, file, count, began)
    keys = Counter(_keys(file))
    return Mailed(queued_s, sent_s, len(keys), keys.total() - len(keys), sending.cpu_s)


def _watched(sending: "_Sending", file: Path, count: int, began: float) -> float:
    """Kill the sender on the way, and wait until the sink has as many mails as there are subscribers."""
    kills = list(KILLED_AT)
    while True:
        arrived = _arrived(file)
        if arrived >= count and len(set(_keys(file))) >= count:
            return time.monotonic() - began
        if kills and arrived >= kills[0] * count:
            kills.pop(0)
            sending.kill()
        sending.tend()
        if time.monotonic() - began > GIVE_UP_S:
            return GIVE_UP_S
        time.sleep(0.02)


def _arrived(file: Path) -> int:
    """Lines, all of which are of one length."""
    if not file.exists() or not (size := file.stat().st_size):
        return 0
    with file.open("rb") as lines:
        return size // len(lines.readline())


def _keys(file: Path) -> list[bytes]:
    return [line.split()[1] for line in file.read_bytes().splitlines()]


class _Sending:
    """The sender's process, started again as the supervisor does."""

    def __init__(self, server: EmbeddedPostgres, config: Path, data_dir: Path) -> None:
        self._login = packed(server.conninfo(Role.SENDER))
        self._arguments = (
            *("-m", "holdfast.bootstrap.main", "serve", "sender", "--supervised"),
            *("--config", str(config), "--data-dir", str(data_dir)),
        )
        self._log = config.with_name("sender.log")
        self._stack = contextlib.ExitStack()
        self._pauses = iter(RESTART_PAUSES_S)
        self._again_at: float | None = None
        self.cpu_s = 0.0

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._spent()

    def _start(self) -> None:
        self._before = os.times()
        self._process = self._stack.enter_context(
            python(self._arguments, first_line=self._login, log=self._log)
        )

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._stack.close()
        self._spent()
        self._again_at = time.monotonic() + next(self._pauses)

    def tend(self) -> None:
        if self._again_at is not None and time.monotonic() >= self._again_at:
            self._again_at = None
            self._start()
        elif self._again_at is None and self._process.poll() is not None:
            raise subprocess.SubprocessError(f"the sender ended: {self._log.read_text()[-2000:]}")

    def _spent(self) -> None:
        now = os.times()
        before = self._before
        self.cpu_s += now.children_user + now.children_system - before.children_user - before.children_system
        self._before = now


def subscribe(server: EmbeddedPostgres, vault: AesVault, count: int) -> None:
    """So many active subscribers by mail, every other one German."""
    columns = "channel, address, address_hash, language, topics, component_ids, cluster_keys, standing, asked"
    topics = ["incident", "maintenance", "degradation"]
    with (
        psycopg.connect(autocommit=True, **server.conninfo(Role.OWNER).parameters) as connection,
        connection.cursor() as cursor,
        cursor.copy(f"COPY communication.subscription ({columns}) FROM STDIN".encode()) as copy,
    ):
        for number in range(count):
            address = f"reader{number}@example.org"
            found = fingerprint_of(vault, Channel.MAIL, address)
            language, asked = ("en", "de")[number % 2], [datetime.now(UTC)]
            copy.write_row(
                ("mail", vault.seal(address, "address"), found, language, topics, [], [], "active", asked)
            )
