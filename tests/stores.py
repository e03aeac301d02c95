"""Object stores as they are spoken: S3 by moto, Azure Blob Storage by Azurite. Each on a port of its own."""

import base64
import hashlib
import hmac
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

AZURITE = Path(__file__).parents[1] / ".venv/azurite/node_modules/.bin/azurite-blob"
# The emulator's own account, as its documentation gives it.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_NUMBERS = count(1)


@dataclass(frozen=True)
class Place:
    """What the estate says of a store."""

    to: str
    options: dict[str, str]


@dataclass(frozen=True)
class S3Server:
    """An S3 service in this process, with versions and Object Lock."""

    url: str

    @property
    def options(self) -> dict[str, str]:
        return {
            "access_key_id": "access",
            "secret_access_key": "a-very-secret-key",
            "region": "us-east-1",
            "endpoint": self.url,
            "allow_http": "true",
        }

    def client(self) -> Any:
        import boto3  # noqa: PLC0415

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="access",
            aws_secret_access_key="a-very-secret-key",
        )

    def bucket(self, *, locks: bool = False) -> Place:
        """A new bucket, and a prefix in it."""
        name = f"bucket-{next(_NUMBERS)}"
        with closing(self.client()) as client:
            client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=locks)
        return Place(f"s3://{name}/some/prefix", self.options)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    from moto.server import ThreadedMotoServer  # noqa: PLC0415

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield S3Server(f"http://{host}:{port}")
    finally:
        server.stop()


@dataclass(frozen=True)
class Azurite:
    """An emulator of Azure Blob Storage, in a process and a folder of its own."""

    url: str

    def container(self) -> Place:
        """A new container, and a prefix in it."""
        name = f"container-{next(_NUMBERS)}"
        _make_container(self.url, name)
        options = {
            "account_name": ACCOUNT,
            "account_key": ACCOUNT_KEY,
            "endpoint": f"{self.url}/{ACCOUNT}",
            "allow_http": "true",
        }
        return Place(f"az://{name}/some/prefix", options)


@contextmanager
def azurite(folder: Path) -> Iterator[Azurite]:
    """Starts one. It keeps what it is given in `folder`, and reports nothing to anybody."""
    process = subprocess.Popen(
        [AZURITE, "--blobPort", "0", "--location", folder, "--silent", "--disableTelemetry"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"successfully listens on (http://\S+)", line):
                break
        else:
            raise AssertionError("the emulator of Azure Blob Storage did not start: run scripts/test-needs")
        drain = threading.Thread(target=process.stdout.read, daemon=True)
        drain.start()
        yield Azurite(found[1])
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        drain.join()
        process.stdout.close()


def _make_container(url: str, name: str) -> None:
    """PUT it, signed with the account's key (Shared Key, version 2021-08-06)."""
    host = urlsplit(url).netloc
    at = format_datetime(datetime.now(UTC), usegmt=True)
    headers = f"x-ms-date:{at}\nx-ms-version:2021-08-06"
    signed = "\n".join(["PUT", *[""] * 11, headers, f"/{ACCOUNT}/{ACCOUNT}/{name}", "restype:container"])
    key = base64.b64decode(ACCOUNT_KEY)
    signature = base64.b64encode(hmac.new(key, signed.encode(), hashlib.sha256).digest()).decode()
    with closing(HTTPConnection(host, timeout=20)) as connection:
        connection.request(
            "PUT",
            f"/{ACCOUNT}/{name}?restype=container",
            headers={
                "x-ms-date": at,
                "x-ms-version": "2021-08-06",
                "authorization": f"SharedKey {ACCOUNT}:{signature}",
                "content-length": "0",
            },
        )
        answer = connection.getresponse()
        told = answer.read()
        assert answer.status == 201, told
