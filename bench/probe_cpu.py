"""CPU per check: fresh connections to a server in another process, over HTTP and HTTPS, on both event loops.

    python bench/probe_cpu.py [--checks 2000]

Prints microseconds of this process's CPU time (user and system) per check. The target of `make bench` is at
most 600 for plain HTTP on uvloop.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import ssl
import tempfile
import time
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.processes import pinned
from holdfast.adapters.probes import Probes
from holdfast.availability.judging import compile_check, judge
from holdfast.availability.model import Outcome
from holdfast.estate.checks import HttpCheck
from holdfast.estate.values import SecretRef

BODY = b'{"status": "ok", "queue": {"depth": 3}}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT\r\n"
    b"Content-Type: application/json\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(BODY), BODY)
)
CONCURRENT = 20
CONDITIONS = ("status in 200..299", 'body contains "ok"', "response_time < 5s")


class Service(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:  # noqa: ARG002
        self.transport.write(ANSWER)  # type: ignore[attr-defined]
        self.transport.close()


def make_certificate(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + secret)


def serve(certificate: str, ports: Connection) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        plain = await loop.create_server(Service, "127.0.0.1", 0, backlog=1000)
        secure = await loop.create_server(Service, "127.0.0.1", 0, backlog=1000, ssl=context)
        ports.send([server.sockets[0].getsockname()[1] for server in (plain, secure)])
        await asyncio.Event().wait()

    uvloop.run(run())


@contextlib.contextmanager
def service(*, core: int | None = None) -> Iterator[tuple[int, int, str]]:
    """Ports of the plain and the secure service, and the file with the certificate.

    Its process is kept on `core`, when that is given.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "certificate.pem"
        make_certificate(path)
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(str(path), theirs), daemon=True
        )
        process.start()
        try:
            if core is not None:
                pinned(process.pid or 0, core)
            theirs.close()  # so that a process that does not start is an end, and not silence
            plain, secure = ours.recv()
            yield plain, secure, str(path)
        finally:
            process.terminate()
            process.join()


def no_secret(reference: SecretRef) -> str:
    raise KeyError(reference.name)


async def measure(check: HttpCheck, checks: int) -> tuple[float, float]:
    """CPU and wall time per check, in microseconds, probe and judgement together."""
    probes, compiled = Probes(no_secret), compile_check(check)

    async def some(count: int) -> None:
        for _ in range(count):
            outcome, reason = judge(compiled, await probes.attempt(check))
            if outcome is not Outcome.GOOD:
                raise SystemExit(reason)

    await some(50)
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(some(checks // CONCURRENT) for _ in range(CONCURRENT)))
    done = checks // CONCURRENT * CONCURRENT
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    await probes.close()
    return cpu / done * 1e6, wall / done * 1e6


def run(name: str, work: Coroutine[None, None, tuple[float, float]]) -> tuple[float, float]:
    return uvloop.run(work) if name == "uvloop" else asyncio.run(work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checks", type=int, default=2_000)
    checks = parser.parse_args().checks
    with service() as (plain, secure, ca_file):
        for label, url in (("http", f"http://127.0.0.1:{plain}/"), ("https", f"https://127.0.0.1:{secure}/")):
            check = HttpCheck(url=url, ca_file=ca_file, conditions=CONDITIONS)  # type: ignore[arg-type]
            for loop in ("uvloop", "asyncio"):
                cpu, wall = run(loop, measure(check, checks))
                print(f"{label:6} {loop:8} {cpu:6.0f} us CPU per check, {wall:6.0f} us wall")


if __name__ == "__main__":
    main()
