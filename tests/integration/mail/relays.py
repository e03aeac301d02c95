# ruff: noqa: ARG002  aiosmtpd calls with all of them
"""Mail relays to send to: real SMTP servers (aiosmtpd) that misbehave as they are told."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Mailbox:
    """What arrived, and what is answered. An answer of None is the usual one."""

    mails: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    connections: int = 0
    most_at_once: int = 0
    open_now: int = 0
    on_mail: Callable[[], str | None] = lambda: None
    on_rcpt: Callable[[str], str | None] = lambda _: None
    on_data: Callable[[], str | None] = lambda: None
    slow_s: float = 0.0
    port: int = 0

    @property
    def ids(self) -> list[str]:
        return [str(each["Message-ID"]) for each in self.mails]

    # What aiosmtpd calls.

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.on_mail()
        if answer is None:
            envelope.mail_from = address
        return self._ended(server, answer or "250 OK")

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.on_rcpt(address)
        if answer is None:
            envelope.rcpt_tos.append(address)
        return self._ended(server, answer or "250 OK")

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.open_now += 1
        self.most_at_once = max(self.most_at_once, self.open_now)
        if self.slow_s:
            await asyncio.sleep(self.slow_s)
        self.open_now -= 1
        answer = self.on_data()
        if answer is None:
            content = envelope.original_content or b""
            self.raw.append(content)
            self.mails.append(message_from_bytes(content, policy=policy.default))  # type: ignore[arg-type]
            self.recipients += envelope.rcpt_tos
        return self._ended(server, answer or "250 accepted")

    def _ended(self, server: SMTP, answer: str) -> str:
        """`drop` ends the connection without an answer."""
        if answer == "drop" and server.transport is not None:
            server.transport.abort()
        return answer


@contextlib.asynccontextmanager
async def relay(
    mailbox: Mailbox, *, tls: ssl.SSLContext | None = None, login: tuple[str, str] | None = None
) -> AsyncIterator[Mailbox]:
    """Listening on `mailbox.port`. With `tls` it insists on STARTTLS, with `login` on that."""

    def let_in(
        server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: object
    ) -> AuthResult:
        ok = isinstance(given, LoginPassword) and login == (given.login.decode(), given.password.decode())
        return AuthResult(success=ok, handled=True)

    def made() -> SMTP:
        mailbox.connections += 1
        return SMTP(
            mailbox,
            hostname="relay.test",
            loop=loop,
            tls_context=tls,
            require_starttls=tls is not None,
            auth_required=login is not None,
            auth_require_tls=tls is not None,
            authenticator=let_in,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(made, "127.0.0.1", mailbox.port)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
        server.close_clients() if hasattr(server, "close_clients") else None
        await asyncio.sleep(0)


def own_authority(folder: Path, name: str = "localhost") -> tuple[ssl.SSLContext, Path]:
    """A server's context with a certificate for `name`, and the file of the CA that signed it."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
    now = datetime.now(UTC)

    def certificate(
        subject: x509.Name, public: ec.EllipticCurvePublicKey, *, is_ca: bool
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
            )
        )
        if is_ca:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        return builder.sign(ca_key, hashes.SHA256())

    ca = certificate(ca_name, ca_key.public_key(), is_ca=True)
    own = certificate(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key(), is_ca=False
    )
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / "own.pem").write_bytes(own.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "own.key").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem", folder / "own.key")
    return context, folder / "ca.pem"
