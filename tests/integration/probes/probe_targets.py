"""Targets for the probes: servers that say what they are told to, certificates, name servers, open files."""

import asyncio
import contextlib
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from holdfast.estate.values import SecretRef

Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(
    conversation: Conversation, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[int]:
    """A server on a free port; every connection has `conversation` and is then dropped."""
    running: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await conversation(reader, writer)
        finally:
            running.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(connected, host, 0, ssl=tls, backlog=2_000)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        while running:
            for task in list(running):
                task.cancel()
            await asyncio.sleep(0)
        await server.wait_closed()
        await asyncio.sleep(0.01)  # aborted transports close in the loop's next turns


def saying(answer: bytes, *, heard: list[bytes] | None = None, reset: bool = False) -> Conversation:
    """Reads one request's head (and body), answers, and closes; by a reset if asked to."""

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        if heard is not None:
            heard.append(request)
        writer.write(answer)
        await writer.drain()
        if reset:
            await asyncio.sleep(0.05)
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        else:
            writer.close()
            await writer.wait_closed()

    return conversation


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            head += await reader.readexactly(int(line.partition(b":")[2]))
    return head


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts and never says a word."""
    while await reader.read(65_536):
        pass
    await asyncio.Event().wait()


class Authority:
    """A certificate authority that signs whatever a test needs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Example CA")])
        now = datetime.now(UTC)
        root = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1_000))
            .not_valid_after(now + timedelta(days=1_000))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(root.public_bytes(serialization.Encoding.PEM))

    def server(
        self,
        *names: str,
        begins: timedelta = timedelta(days=-30),
        ends: timedelta = timedelta(days=30),
        self_signed: bool = False,
        maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ) -> ssl.SSLContext:
        """A server's context with a certificate for `names`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate(*names, begins=begins, ends=ends, self_signed=self_signed))
        context.maximum_version = maximum
        return context

    def certificate(
        self,
        *names: str,
        begins: timedelta = timedelta(days=-30),
        ends: timedelta = timedelta(days=30),
        self_signed: bool = False,
    ) -> Path:
        """A file with a certificate for `names` and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if self_signed else self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
            .add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
            )
            .sign(key if self_signed else self._key, hashes.SHA256())
        )
        self._count += 1
        path = self._folder / f"server{self._count}.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + secret)
        return path


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class NameServer(asyncio.DatagramProtocol):
    """Answers for the names it knows, says of others that they do not exist, and of `hang...` nothing."""

    def __init__(self, names: dict[str, list[str]]) -> None:
        self._names = names
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += data[at] + 1
        question = data[12 : at + 5]
        name, kind = ".".join(labels).lower(), int.from_bytes(data[at + 1 : at + 3], "big")
        if name.startswith("hang"):
            return
        addresses = self._names.get(name, []) if kind == 1 else []
        code = 0 if name in self._names else 3
        head = data[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(addresses), 0, 0)
        records = b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(address)
            for address in addresses
        )
        self._transport.sendto(head + question + records, addr)  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def name_server(names: dict[str, list[str]]) -> AsyncIterator[str]:
    """A name server's `address:port`."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(names), local_addr=("127.0.0.1", 0)
    )
    # A thousand questions at once must find room, or the test waits for a question to be repeated.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    try:
        yield f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    finally:
        transport.close()
        await asyncio.sleep(0.01)


SECRETS = {"TOKEN": "s3cret-token", "BROKEN": "line\r\nX-Injected: yes"}


def resolve_secret(reference: SecretRef) -> str:
    return SECRETS[reference.name]


def open_descriptors() -> int:
    """All but /dev/null, which libuv opens with its first server and keeps for the day when none is left."""
    links = (_link(Path("/proc/self/fd") / name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208
    return sum(link not in ("", "/dev/null") for link in links)


def _link(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # the one that listed the folder
        return ""


async def settled(quiet: Callable[[], bool]) -> None:
    """Give the loop some turns to close what was aborted."""
    for _ in range(200):
        if quiet():
            return
        await asyncio.sleep(0.01)
