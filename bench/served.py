"""A status site over a year, in a process of its own, and a plain client to ask it with."""

import http.client
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import brotli

from bench.processes import python, require_alive
from bench.year import END, Year
from holdfast.adapters.postgres.conninfo import Role
from holdfast.bootstrap.database import packed

READY_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Site:
    """Where the site answers, and its process."""

    port: int
    process: subprocess.Popen[bytes]


@contextmanager
def site_over(year: Year, config: Path) -> Iterator[Site]:
    """The site of the estate in force, ready; ended with the block. `config` is its estate file."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "site.log"
        arguments = ["-m", "bench.site_process", str(config), folder, f"127.0.0.1:{port}", END.isoformat()]
        with python(arguments, first_line=packed(year.server.conninfo(Role.SITE)), log=log) as process:
            site = Site(port, process)
            _wait_until_ready(site, log)
            yield site


class Client:
    """One kept-alive connection that asks for Brotli, as browsers do."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def get(self, path: str) -> bytes:
        """The body as it came over the wire; raises SystemExit for anything but 200."""
        self._connection.request("GET", path, headers={"Accept-Encoding": "br"})
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise SystemExit(f"GET {path}: {response.status} {body[:200]!r}")
        return body

    def timed(self, path: str) -> float:
        """Milliseconds from the request to the last byte of its answer."""
        began = time.perf_counter()
        self.get(path)
        return (time.perf_counter() - began) * 1000

    def text(self, path: str) -> str:
        return str(brotli.decompress(self.get(path)).decode())

    def close(self) -> None:
        self._connection.close()


def _wait_until_ready(site: Site, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        require_alive(site.process, log)
        connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=READY_WITHIN_S)
        try:
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        if time.monotonic() > deadline:
            raise SystemExit(
                f"the site is not ready after {READY_WITHIN_S:.0f} s:\n{log.read_text()[-2000:]}"
            )
        time.sleep(0.2)
