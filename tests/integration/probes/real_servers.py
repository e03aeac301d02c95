"""Real servers for the probes to meet, each private: own folder, own loopback ports, ended with its block."""

import asyncio
import contextlib
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.dnssec
import dns.dnssectypes
import dns.name
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from probe_targets import Authority

PATIENCE_S = 120


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(
    *command: str, log: Path, ready: Callable[[], bool], env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that is ready, and gone afterwards."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{command[0]} did not start:\n{log.read_text()[-2_000:]}")
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


# DNS: nsd owns the zones, unbound validates


ZONE = """
$ORIGIN {zone}
$TTL 300
@ IN SOA ns.{zone} admin.{zone} 1 3600 600 86400 60
@ IN NS ns.{zone}
@ IN MX 10 mail.{zone}
@ IN TXT "v=spf1 " "-all"
ns IN A 127.0.0.1
www IN A 192.0.2.1
www IN A 192.0.2.2
www 60 IN AAAA 2001:db8::1
alias IN CNAME www
many IN TXT "{text}"
"""


@dataclass(frozen=True)
class NameServers:
    """The ports of the server that owns the zones and of the one that validates."""

    owner: int
    validating: int


@contextlib.contextmanager
def name_servers(folder: Path) -> Iterator[NameServers]:
    """`plain.example` is not signed, `signed.example` is, and `bogus.example` was changed after it was."""
    anchors, zones = [], ""
    for name in ("plain.example.", "signed.example.", "bogus.example."):
        text, anchor = _zone(name)
        (folder / f"{name}zone").write_text(text)
        zones += f'zone:\n  name: "{name}"\n  zonefile: "{folder}/{name}zone"\n'
        if anchor:
            anchors.append(anchor)
    owner, validating = free_port(), free_port()
    (folder / "nsd.conf").write_text(
        f'server:\n  ip-address: 127.0.0.1@{owner}\n  server-count: 1\n  username: ""\n  chroot: ""\n'
        f'  zonesdir: "{folder}"\n  database: ""\n  pidfile: "{folder}/nsd.pid"\n'
        f'  xfrdfile: "{folder}/xfrd.state"\n  zonelistfile: "{folder}/zone.list"\n  xfrdir: "{folder}"\n'
        f"remote-control:\n  control-enable: no\n{zones}"
    )
    stubs = "".join(
        f'stub-zone:\n  name: "{name}"\n  stub-addr: 127.0.0.1@{owner}\n'
        for name in ("plain.example.", "signed.example.", "bogus.example.")
    )
    trusted = "".join(f'  trust-anchor: "{anchor}"\n' for anchor in anchors)
    (folder / "unbound.conf").write_text(
        f'server:\n  interface: 127.0.0.1@{validating}\n  do-daemonize: no\n  chroot: ""\n  username: ""\n'
        f'  directory: "{folder}"\n  pidfile: "{folder}/unbound.pid"\n  use-syslog: no\n'
        "  do-not-query-localhost: no\n  do-ip6: no\n  num-threads: 1\n"
        f'  module-config: "validator iterator"\n  access-control: 127.0.0.0/8 allow\n{trusted}'
        f"remote-control:\n  control-enable: no\n{stubs}"
    )
    owning = ("/usr/sbin/nsd", "-d", "-c", str(folder / "nsd.conf"))
    resolving = ("/usr/sbin/unbound", "-d", "-c", str(folder / "unbound.conf"))
    with (
        running(*owning, log=folder / "nsd.log", ready=lambda: accepts(owner)),
        running(*resolving, log=folder / "unbound.log", ready=lambda: accepts(validating)),
    ):
        yield NameServers(owner, validating)


def _zone(name: str) -> tuple[str, str | None]:
    """The zone file and, for a signed one, the key to be trusted."""
    text = ZONE.format(zone=name, text="x" * 200 + '" "' + "y" * 200)
    text += "".join(f'many IN TXT "{number} {"z" * 200}"\n' for number in range(10))
    if name.startswith("plain"):
        return text, None
    zone = dns.zone.from_text(text, dns.name.from_text(name), relativize=False)
    key = ec.generate_private_key(ec.SECP256R1())
    algorithm = dns.dnssectypes.Algorithm.ECDSAP256SHA256
    dnskey = dns.dnssec.make_dnskey(key.public_key(), algorithm, flags=257)
    with zone.writer() as writer:
        dns.dnssec.sign_zone(zone, writer, keys=[(key, dnskey)], lifetime=86_400)
    signed = zone.to_text(relativize=False)
    if name.startswith("bogus"):
        signed = signed.replace("192.0.2.1", "192.0.2.66")
    return signed, f"{name} IN DNSKEY {dnskey.to_text()}"


# RabbitMQ


@dataclass(frozen=True)
class Broker:
    """A RabbitMQ with the user `holdfast`, whose password is `s3cret`, the virtual host `/` and `reports`."""

    port: int
    tls_port: int


@contextlib.contextmanager
def rabbitmq(folder: Path, authority: Authority) -> Iterator[Broker]:
    """One queue, `jobs`, with three messages and no consumer."""
    port, tls_port, epmd, distribution = free_port(), free_port(), free_port(), free_port()
    pem = authority.certificate("localhost")
    (folder / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\nlisteners.ssl.1 = 127.0.0.1:{tls_port}\n"
        f"ssl_options.cacertfile = {authority.ca_file}\nssl_options.certfile = {pem}\n"
        f"ssl_options.keyfile = {pem}\nssl_options.verify = verify_none\n"
        f"load_definitions = {folder}/definitions.json\nlog.file.level = warning\n"
    )
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    (folder / "definitions.json").write_text(
        json.dumps(
            {
                "vhosts": [{"name": "/"}, {"name": "closed"}],
                "users": [{"name": "holdfast", "password": "s3cret", "tags": ""}],
                "permissions": [{"user": "holdfast", "vhost": "/", **everything}],
                "queues": [
                    {"name": "jobs", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}
                ],
            }
        )
    )
    (folder / "enabled_plugins").write_text("[].\n")
    env = {
        **os.environ,
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_NODENAME": "holdfast-test@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
    }
    # Else Erlang would start a port mapper that outlives everything.
    mapper = ("epmd", "-port", str(epmd), "-address", "127.0.0.1")
    broker = ("/usr/lib/rabbitmq/bin/rabbitmq-server",)
    with (
        running(*mapper, log=folder / "epmd.log", ready=lambda: accepts(epmd), env=env),
        running(*broker, log=folder / "broker.log", ready=lambda: accepts(tls_port), env=env),
    ):
        _publish(port, "jobs", 3)
        yield Broker(port, tls_port)


def _publish(port: int, queue: str, count: int) -> None:
    """Messages into `queue`, frame by frame (AMQP 0-9-1, section 4.2)."""

    def frame(kind: int, channel: int, payload: bytes) -> bytes:
        return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"

    def short(text: str) -> bytes:
        return bytes([len(text)]) + text.encode()

    login = b"\0holdfast\0s3cret"
    with (
        socket.create_connection(("127.0.0.1", port), 30) as connection,
        connection.makefile("rb") as replies,
    ):

        def call(channel: int, method: bytes) -> None:
            connection.sendall(frame(1, channel, method))
            head = replies.read(7)
            replies.read(int.from_bytes(head[3:], "big") + 1)

        connection.sendall(b"AMQP\0\0\x09\x01")
        head = replies.read(7)
        replies.read(int.from_bytes(head[3:], "big") + 1)
        start_ok = struct.pack(">HHI", 10, 11, 0) + short("PLAIN")
        call(0, start_ok + struct.pack(">I", len(login)) + login + short("en_US"))
        connection.sendall(frame(1, 0, struct.pack(">HHHIH", 10, 31, 2_047, 131_072, 0)))
        call(0, struct.pack(">HH", 10, 40) + short("/") + b"\0\0")
        call(1, struct.pack(">HH", 20, 10) + b"\0")
        for _ in range(count):
            publish = struct.pack(">HHH", 60, 40, 0) + short("") + short(queue) + b"\0"
            header = struct.pack(">HHQHB", 60, 0, 1, 0x1000, 2)
            connection.sendall(frame(1, 1, publish) + frame(2, 1, header) + frame(3, 1, b"x"))
        call(1, struct.pack(">HHH", 20, 40, 200) + short("") + struct.pack(">HH", 0, 0))  # waits for them
        call(0, struct.pack(">HHH", 10, 50, 200) + short("") + struct.pack(">HH", 0, 0))


# gRPC


@dataclass(frozen=True)
class HealthServer:
    port: int
    tls_port: int


@contextlib.contextmanager
def grpc_health(folder: Path, authority: Authority) -> Iterator[HealthServer]:
    """The health service of grpcio: all serve but the service `printing`."""
    port, tls_port = free_port(), free_port()
    program = Path(__file__).with_name("grpc_health_server.py")
    command = (
        sys.executable,
        str(program),
        str(port),
        str(tls_port),
        str(authority.certificate("localhost")),
    )
    with running(*command, log=folder / "grpc.log", ready=lambda: accepts(tls_port)):
        yield HealthServer(port, tls_port)


# Prometheus


@contextlib.contextmanager
def prometheus(folder: Path) -> Iterator[int]:
    """A Prometheus that has scraped itself."""
    port = free_port()
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s}\nscrape_configs:\n"
        f"  - job_name: self\n    static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
    )

    def scraped() -> bool:
        try:
            url = f"http://127.0.0.1:{port}/api/v1/query?query=up"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(json.load(answer)["data"]["result"])
        except OSError:
            return False

    command = (
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    )
    with running(*command, log=folder / "prometheus.log", ready=scraped):
        yield port


# PostgreSQL, whose server in tests listens on a local socket and knows no TLS


async def begin_tls(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext
) -> None:
    """What a TLS-speaking PostgreSQL does first."""
    assert await reader.readexactly(8) == struct.pack(">II", 8, 80_877_103)
    writer.write(b"S")
    await writer.start_tls(context)


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
    """Everything to the socket at `path`, and back."""
    there_reader, there = await asyncio.open_unix_connection(path)
    try:
        await asyncio.gather(_pump(reader, there), _pump(there_reader, writer))
    finally:
        there.transport.abort()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while received := await source.read(65_536):
            sink.write(received)
            await sink.drain()
    sink.close()
