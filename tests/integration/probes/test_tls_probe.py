"""TLS: what was agreed on, what is wrong with a certificate, and the reader of certificates itself."""

import asyncio
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from probe_targets import Authority, saying, serving, settled, silent

from holdfast.adapters.probes import Probes
from holdfast.adapters.probes.der import read_certificate
from holdfast.adapters.probes.tls import Trust
from holdfast.adapters.probes.wire import connect
from holdfast.estate.checks import HttpCheck, TlsCheck

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def https(port: int, **fields: Any) -> HttpCheck:
    return HttpCheck.model_validate({"url": f"https://localhost:{port}/", **fields})


def tls(port: int, **fields: Any) -> TlsCheck:
    return TlsCheck.model_validate({"type": "tls", "host": "127.0.0.1", "port": port, **fields})


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_facts_of_a_handshake(
    probes: Probes, authority: Authority, ca_file: Path, version: ssl.TLSVersion
) -> None:
    context = authority.server("localhost", "127.0.0.1", ends=timedelta(days=20), maximum=version)
    async with serving(saying(OK), tls=context) as port:
        for check in (https(port, ca_file=str(ca_file)), tls(port, ca_file=str(ca_file))):
            observation = await probes.attempt(check)
            assert observation.error is None
            facts = observation.facts
            assert facts["tls_version"] == version.name.replace("_", ".")
            assert isinstance(facts["cipher"], str)
            assert facts["certificate_subject"] == "localhost"
            assert facts["certificate_issuer"] == "Example CA"
            expires_in = facts["certificate_expires_in"]
            assert isinstance(expires_in, timedelta)
            assert timedelta(days=19, hours=23) < expires_in <= timedelta(days=20)
            assert observation.timings.tls_us is not None


@pytest.mark.parametrize(
    ("names", "certificate", "error"),
    [
        (["localhost"], {"ends": timedelta(days=-3, minutes=-1)}, "certificate expired 3 days ago"),
        (["localhost"], {"ends": timedelta(minutes=-90)}, "certificate expired 1 hour ago"),
        (["localhost"], {"begins": timedelta(days=2, minutes=1)}, "certificate is valid only in 2 days"),
        (["*.example.org"], {}, "certificate is for *.example.org, not localhost"),
        (
            ["a.example", "b.example", "c.example", "d.example"],
            {},
            "certificate is for a.example, b.example, c.example, ..., not localhost",
        ),
        (["127.0.0.1"], {}, "certificate is for 127.0.0.1, not localhost"),
        (["localhost"], {"self_signed": True}, "certificate is self-signed"),
    ],
)
async def test_what_is_wrong_is_said(
    probes: Probes,
    authority: Authority,
    ca_file: Path,
    names: list[str],
    certificate: dict[str, Any],
    error: str,
) -> None:
    async with serving(saying(OK), tls=authority.server(*names, **certificate)) as port:
        observation = await probes.attempt(https(port, ca_file=str(ca_file)))
        assert observation.error == error
        assert observation.timings.tls_us is not None
        unverified = await probes.attempt(https(port, verify_tls=False))
        assert unverified.error is None
        assert unverified.facts["certificate_subject"] == names[0]


async def test_an_authority_that_nobody_knows(probes: Probes, authority: Authority) -> None:
    async with serving(saying(OK), tls=authority.server("localhost")) as port:
        observation = await probes.attempt(https(port))
    assert observation.error == "certificate is not signed by a known authority"


async def test_a_server_name_of_its_own(probes: Probes, authority: Authority, ca_file: Path) -> None:
    async with serving(saying(OK), tls=authority.server("api.example.com")) as port:
        good = await probes.attempt(tls(port, server_name="api.example.com", ca_file=str(ca_file)))
        assert good.error is None
        wrong = await probes.attempt(tls(port, ca_file=str(ca_file)))
        assert wrong.error == "certificate is for api.example.com, not 127.0.0.1"
        odd = await probes.attempt(tls(port, server_name=".leading.dot", ca_file=str(ca_file)))
        assert odd.error is not None


async def test_a_ca_file_that_changes_is_read_again(
    probes: Probes, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path)
    trusted = tmp_path / "trusted.pem"
    check = {"ca_file": str(trusted)}
    async with serving(saying(OK), tls=authority.server("localhost")) as port:
        assert (
            await probes.attempt(https(port, **check))
        ).error == "the certificate authorities cannot be read"
        trusted.write_bytes(other.ca_file.read_bytes())
        os.utime(trusted, (1, 1))
        assert (
            await probes.attempt(https(port, **check))
        ).error == "certificate is not signed by a known authority"
        trusted.write_bytes(authority.ca_file.read_bytes())
        os.utime(trusted, (2, 2))
        assert (await probes.attempt(https(port, **check))).error is None
        trusted.write_text("no certificate")
        assert (
            await probes.attempt(https(port, **check))
        ).error == "the certificate authorities cannot be read"


async def test_a_target_that_speaks_no_tls(probes: Probes) -> None:
    async with serving(saying(OK)) as port:
        check = tls(port, timeouts={"tls": "300ms"})  # it waits for the end of a request that never comes
        assert (await probes.attempt(check)).error == "tls timed out after 300ms"

    async def greets(_: object, writer: Any) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        await writer.drain()
        await silent(_, writer)  # type: ignore[arg-type]

    async with serving(greets) as port:
        observation = await probes.attempt(tls(port))
    assert observation.error is not None
    assert observation.error.startswith("TLS failed: ")


async def test_a_target_that_hangs_up_in_the_handshake(probes: Probes) -> None:
    async def hangs_up(reader: Any, _: object) -> None:
        await reader.read(1)

    async with serving(hangs_up) as port:
        observation = await probes.attempt(tls(port))
    assert observation.error in ("connection closed during the TLS handshake", "connection reset")


async def test_a_large_answer_over_tls(probes: Probes, authority: Authority, ca_file: Path) -> None:
    body = bytes(range(256)) * 2_000
    answer = b"HTTP/1.1 200 OK\r\n\r\n" + body
    async with serving(saying(answer), tls=authority.server("localhost")) as port:
        observation = await probes.attempt(https(port, ca_file=str(ca_file)))
    assert observation.facts["body"] == body


# The reader of certificates


def made(
    subject: x509.Name, *names: x509.GeneralName, ends: datetime, critical: bool = False
) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Prüfstelle AG")]))
        .public_key(key.public_key())
        .serial_number(2**150)
        .not_valid_before(datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC))
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=critical)
    return builder.sign(key, hashes.SHA256())


@pytest.mark.parametrize(
    "ends",
    [
        datetime(2049, 12, 31, tzinfo=UTC),
        datetime(2050, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, tzinfo=UTC),
    ],
)
def test_the_reader_agrees_with_cryptography(ends: datetime) -> None:
    subject = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "grüße.example"),
        ]
    )
    long_names = [x509.DNSName(f"host{number}.example.com") for number in range(4_000)]
    certificate = made(subject, x509.RFC822Name("a@b.example"), *long_names, ends=ends, critical=True)
    read = read_certificate(certificate.public_bytes(serialization.Encoding.DER))
    assert read.subject == "grüße.example"
    assert read.issuer == "Prüfstelle AG"
    assert read.not_before == certificate.not_valid_before_utc
    assert read.not_after == certificate.not_valid_after_utc == ends
    assert len(read.names) == 4_000


def test_a_certificate_without_names() -> None:
    certificate = made(x509.Name([]), ends=datetime(2030, 1, 1, tzinfo=UTC))
    read = read_certificate(certificate.public_bytes(serialization.Encoding.DER))
    assert (read.subject, read.names) == ("", ())


SAMPLE = made(
    x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")]),
    x509.DNSName("x.example"),
    ends=datetime(2030, 1, 1, tzinfo=UTC),
).public_bytes(serialization.Encoding.DER)


@given(st.integers(0, len(SAMPLE) - 1), st.binary(min_size=1, max_size=8), st.integers(0, len(SAMPLE)))
def test_the_reader_only_ever_raises_value_errors(at: int, change: bytes, length: int) -> None:
    for der in (SAMPLE[:at] + change + SAMPLE[at + len(change) :], SAMPLE[:length], change):
        try:
            read_certificate(der)
        except ValueError:
            continue


async def test_an_end_between_the_handshake_and_the_request_is_not_lost(
    authority: Authority, ca_file: Path
) -> None:
    class Listener:
        ends: list[Exception | None]

        def __init__(self) -> None:
            self.ends, self.heard = [], b""

        def feed(self, received: bytes) -> None:
            self.heard += received

        def ended(self, error: Exception | None) -> None:
            self.ends.append(error)

    async def one_word(_: object, writer: Any) -> None:
        writer.write(b"bye")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()  # an end without close_notify

    loop = asyncio.get_running_loop()
    async with serving(one_word, tls=authority.server("localhost")) as port:
        wire = await connect(loop, ("127.0.0.1",), port)
        await wire.secure(Trust().context(verify=True, ca_file=str(ca_file)), "localhost")
        await settled(lambda: wire._end is not None)
        listener = Listener()
        wire.attach(listener)
        wire.close()
    assert listener.heard == b"bye"
    assert listener.ends
