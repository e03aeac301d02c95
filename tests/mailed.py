"""Subscribers by the hundred, an announcement to all of them, and what a sink of mails was handed."""

import contextlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from holdfast.adapters.postgres.announcements import text_of
from holdfast.adapters.vault.aes import AesVault
from holdfast.communication.model import (
    Channel,
    ComponentState,
    Event,
    Impact,
    Incident,
    Notice,
    Phase,
    Place,
    Update,
)
from holdfast.communication.subscribing import fingerprint_of

REPOSITORY = Path(__file__).resolve().parents[1]
ESTATE = """\
version: 1
site: {{listen: 127.0.0.1:{site}, url: https://status.example.org}}
console: {{listen: 127.0.0.1:{console}}}
regions: {{here: {{name: Here}}}}
clusters:
  eu:
    name: Europe
    region: here
    components: {{api: {{name: API, checks: {{smtp: {{type: tcp, host: 127.0.0.1, port: {smtp}}}}}}}}}
mail: {{host: 127.0.0.1, port: {smtp}, security: none, sender: status@example.org, connections: 4}}
"""


@dataclass(frozen=True)
class Sink:
    """A process that accepts every mail and writes its Message-ID down as it does."""

    port: int
    file: Path

    def keys(self) -> list[str]:
        """The keys of the mails, in the order in which they were accepted, doubled ones too."""
        if not self.file.exists():
            return []
        return [line.split()[1].partition("@")[0] for line in self.file.read_text().splitlines()]

    def doubled(self) -> dict[str, int]:
        return {key: count for key, count in Counter(self.keys()).items() if count > 1}


@contextlib.contextmanager
def sink(file: Path, delay_ms: float = 0) -> Iterator[Sink]:
    """Listening on a port of its own; each mail is accepted `delay_ms` after its last dot."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.sink_process", "0", str(file), str(delay_ms)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Sink(int(process.stdout.readline()), file)
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(60)


def subscribe(connection: psycopg.Connection, vault: AesVault, count: int) -> None:
    """So many active subscribers by mail, every other one German."""
    connection.execute("DELETE FROM communication.delivery")
    connection.execute("DELETE FROM communication.subscription")
    columns = "channel, address, address_hash, language, topics, component_ids, cluster_keys, standing, asked"
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY communication.subscription ({columns}) FROM STDIN".encode()) as copy,
    ):
        topics = ["incident", "maintenance", "degradation"]
        for number in range(count):
            address = f"reader{number}@example.org"
            sealed = vault.seal(address, "address")
            found = fingerprint_of(vault, Channel.MAIL, address)
            language = ("en", "de")[number % 2]
            now = [datetime.now(UTC)]
            copy.write_row(("mail", sealed, found, language, topics, [], [], "active", now))


def announce(connection: psycopg.Connection) -> set[str]:
    """An incident, to all of them; returns the keys of the deliveries."""
    at = datetime.now(UTC)
    affected = {1: ComponentState.MAJOR_OUTAGE}
    update = Update("u00000000001", at, "investigating", "We look into **it**.", "ann", affected)
    incident = Incident(
        "i00000000001", "The API fails", Impact.MAJOR, Phase.INVESTIGATING, at, affected, (update,)
    )
    notice = Notice(Event.INCIDENT_DECLARED, at, {1: Place("eu", "Europe", "api", "API")}, incident)
    said = "SELECT communication.announce('incident.declared', 'x', %s, '{1}', '{eu}', NULL, %s::json)"
    connection.execute(said, (at, text_of(notice)))
    return {key for (key,) in connection.execute("SELECT key::text FROM communication.delivery").fetchall()}
