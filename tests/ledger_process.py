"""A real `holdfast serve ledger`, over a database that the test has."""

import base64
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import psycopg
from tests.installation import Installation, Started, eventually, free_port, installed

from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.ledger.log.keys import PrivateKey
from holdfast.ledger.log.notes import VerifierKey
from holdfast.ledger.sources import fresh_token, sha256_of

NAME = "ledger.example"
SEED = b"s" * 32
NDJSON = "application/x-ndjson"
_ESTATE = """\
version: 1
postgres: {{url: env:DATABASE_URL}}
regions: {{eu: {{name: Europe}}}}
clusters:
  eu:
    name: Europe
    region: eu
    components:
      api:
        name: API
        checks: {{http: {{url: "http://127.0.0.1:9/", every: 1h}}}}
ledger:
  name: {name}
  listen: 127.0.0.1:{port}
  signing_key: env:LEDGER_KEY
{more}"""


def verifier_key() -> VerifierKey:
    return Ed25519Signer(NAME, SEED).key


class LedgerProcess:
    """One process. `url` is where it answers."""

    def __init__(self, installation: Installation, url: str) -> None:
        self.installation = installation
        self.url = url
        self.started: Started | None = None

    def start(self) -> "LedgerProcess":
        self.started = self.installation.start("serve", "ledger")
        return self.until_ready()

    def until_ready(self) -> "LedgerProcess":
        def ready() -> bool:
            assert self.started is not None
            assert self.started.process.poll() is None, f"it ended: {self.started.said}"
            return self.get("/health/ready") == 200

        eventually(ready, "the ledger takes records in")
        return self

    def get(self, path: str) -> int | None:
        """The status; None when nobody answers."""
        try:
            return httpx.get(self.url + path, timeout=10).status_code
        except httpx.TransportError:
            return None

    def post(
        self, body: bytes, token: str, *, kind: str = NDJSON, timeout: float = 60.0, **headers: str
    ) -> httpx.Response:
        sent = {
            "authorization": f"Bearer {token}",
            "content-type": kind,
            **{name.replace("_", "-"): text for name, text in headers.items()},
        }
        return httpx.post(f"{self.url}/v1/records", content=body, headers=sent, timeout=timeout)

    def kill(self) -> None:
        """As kill -9 does."""
        assert self.started is not None
        self.started.kill()

    def stop(self) -> None:
        assert self.started is not None
        said = self.started.stop()
        assert said.code == 0, said


@contextlib.contextmanager
def ledger_process(
    folder: Path, dsn: str, more: Mapping[str, Any] | None = None, *, wait: bool = True
) -> Iterator[LedgerProcess]:
    """Started, on a port of its own. `more` goes into the estate's `ledger` section."""
    port = free_port()
    lines = "".join(f"  {name}: {json.dumps(value)}\n" for name, value in (more or {}).items())
    estate = _ESTATE.format(name=NAME, port=port, more=lines)
    key = PrivateKey(NAME, SEED).text(verifier_key().public)
    environment = {"DATABASE_URL": dsn, "LEDGER_KEY": key}
    with installed(folder, estate, **environment) as installation:
        process = LedgerProcess(installation, f"http://127.0.0.1:{port}")
        if wait:
            process.start()
        yield process


def source_token(connection: psycopg.Connection, tenant: str = "acme", source: str = "spooler") -> str:
    """A token of the source, which is made when it is not there."""
    connection.execute(
        "INSERT INTO ledger.tenant (key, name, time_zone) VALUES (%s, %s, 'UTC') ON CONFLICT DO NOTHING",
        [tenant, tenant],
    )
    connection.execute(
        "INSERT INTO ledger.source (tenant, key, kind, name) VALUES (%s, %s, 'client', %s)"
        " ON CONFLICT DO NOTHING",
        [tenant, source, source],
    )
    token = fresh_token()
    connection.execute(
        "INSERT INTO ledger.token (tenant, source, scope, sha256) VALUES (%s, %s, 'post', %s)",
        [tenant, source, sha256_of(token)],
    )
    return token


def posted(seqs: Sequence[int], *, source: str = "spooler", tenant: str = "acme", **more: object) -> bytes:
    """Records as NDJSON."""
    return b"\n".join(
        json.dumps(
            {
                "tenant": tenant,
                "source": source,
                "epoch": 1,
                "seq": seq,
                "job": f"{source}-{seq}",
                "kind": "print",
                "status": "completed",
                "occurred_at": "2026-11-22T12:00:00Z",
                "device": f"mfp-{seq % 50}",
                "user": base64.b32encode(seq.to_bytes(4, "big")).decode(),
                "sheets": {"A4": seq % 7},
                **more,
            }
        ).encode()
        for seq in seqs
    )
