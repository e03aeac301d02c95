"""The agent's way to its controller, over real sockets."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from api_served import FORMER, TOKYO, Api, result, served
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from holdfast.adapters.agent.uplink import HttpUplink, WrongAddress
from holdfast.availability.agent import DeliveryRefused, LoginRefused, UplinkError


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with served() as api:
        yield api


@contextlib.contextmanager
def uplink(
    url: str, token: str = TOKYO, ca_file: Path | None = None, keep: Callable[[bytes], None] | None = None
) -> Iterator[HttpUplink]:
    made = HttpUplink(url, lambda: token, ca_file=ca_file, keep=keep)
    try:
        yield made
    finally:
        made.close()


@asynccontextmanager
async def listening(answer: bytes, *, hang: bool = False) -> AsyncIterator[str]:
    """Somebody who answers every request with the same bytes, and then hangs up or says nothing more."""

    async def on_call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            if hang:
                await reader.read()
        writer.close()

    server = await asyncio.start_server(on_call, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_orders_and_results_travel(api: Api) -> None:
    kept: list[bytes] = []
    with uplink(api.url, keep=kept.append) as up:
        orders = await up.orders()
        again = await up.orders()
        receipt = await up.deliver([result(ago) for ago in range(200, 0, -1)], None)

    assert orders is not None
    assert orders.vantage == "tokyo"
    assert again is None
    assert kept == [api.offers["tokyo"].body]
    assert (receipt.stored, receipt.absorbed) == (200, 0)


async def test_a_token_that_is_worth_nothing_is_said(api: Api) -> None:
    with uplink(api.url, FORMER) as up:
        with pytest.raises(LoginRefused, match="valid token"):
            await up.orders()
        with pytest.raises(LoginRefused):
            await up.deliver([result()], None)


async def test_a_connection_that_was_closed_meanwhile_is_made_anew(api: Api) -> None:
    with uplink(api.url) as up:
        await up.orders()
        for connection in (up._asking, up._delivering):
            connection.abort()
        assert await up.orders() is None
        assert (await up.deliver([result()], None)).stored == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}x",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b" " * 1000,
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno",
        b'HTTP/1.1 503 Busy\r\nContent-Length: 16\r\n\r\n{"detail": [[[]]',
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_whatever_comes_back_is_trouble_that_passes(answer: bytes) -> None:
    async with listening(answer) as url:
        with uplink(url) as up:
            with pytest.raises(UplinkError):
                await up.orders()
            with pytest.raises(UplinkError):
                await up.deliver([result()], None)


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_delivery_that_will_never_be_taken_is_told_apart(status: int) -> None:
    answer = f'HTTP/1.1 {status} No\r\nContent-Length: 17\r\n\r\n{{"detail": "bad"}}'.encode()
    async with listening(answer) as url:
        with uplink(url) as up, pytest.raises(DeliveryRefused, match="bad"):
            await up.deliver([result()], None)


async def test_nobody_there_is_trouble_that_passes() -> None:
    with uplink("http://127.0.0.1:1") as up, pytest.raises(UplinkError, match="refused"):
        await up.orders()


async def test_a_call_that_is_given_up_ends_at_once() -> None:
    """The thread that waits for an answer is set free."""
    async with listening(b"", hang=True) as url:
        with uplink(url) as up:
            asking = asyncio.create_task(up.orders())
            await asyncio.sleep(0.1)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(asking, 14)  # a step's own time-out is 15 s


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that signed itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(encoded + made.public_bytes(serialization.Encoding.PEM))
    return path


async def test_https_is_verified(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def on_call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(on_call, "127.0.0.1", 0, ssl=context)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with uplink(url) as up, pytest.raises(UplinkError, match="certificate is not valid"):
            await up.orders()
        with uplink(url, ca_file=certificate) as up:
            assert await up.orders() is None


@pytest.mark.parametrize(
    "url", ["", "status.example.com", "ftp://x", "http://", "http://u:p@x", "http://x:port", "http://x/?a"]
)
def test_an_address_that_is_none_is_said_at_once(url: str) -> None:
    with pytest.raises(WrongAddress):
        HttpUplink(url, lambda: TOKYO)


def test_a_file_without_authorities_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for path in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        with pytest.raises(WrongAddress, match="authorities"):
            HttpUplink("https://x", lambda: TOKYO, ca_file=path)
