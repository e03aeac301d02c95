"""TLS as a check sees it: whom to trust, what was agreed on, and what is wrong with a certificate."""

import os
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from holdfast.adapters.probes.der import Certificate, read_certificate
from holdfast.adapters.probes.errors import AttemptFailed, OwnFault, failure_of
from holdfast.adapters.probes.phases import Attempt
from holdfast.adapters.probes.wire import Wire

log = structlog.get_logger(__name__)

_EXPIRED, _NOT_YET_VALID, _SELF_SIGNED, _SELF_SIGNED_CHAIN = 10, 9, 18, 19
_UNKNOWN_ISSUER = frozenset({2, 7, 20, 21, 27})  # 7: another authority of the same name
_WRONG_NAME = frozenset({62, 64})
_SHOWN_NAMES = 3


class Trust:
    """Contexts for TLS, one for each way to verify: making one reads all authorities, which takes 10 ms."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[bool, str | None, str | None], tuple[int, ssl.SSLContext]] = {}

    def context(self, *, verify: bool, ca_file: str | None, protocol: str | None = None) -> ssl.SSLContext:
        """The shared context. A `ca_file` that changed is read again. `protocol` is asked for by ALPN.

        Raises OwnFault when the authorities cannot be read.
        """
        try:
            changed_ns = os.stat(ca_file).st_mtime_ns if verify and ca_file else 0  # noqa: PTH116  no Path per check
            key = (verify, ca_file if verify else None, protocol)
            known = self._contexts.get(key)
            if known is not None and known[0] == changed_ns:
                return known[1]
            context = _make_context(verify=verify, ca_file=ca_file)
            if protocol is not None:
                context.set_alpn_protocols([protocol])
        except (OSError, ssl.SSLError) as error:
            log.error("ca_file_unreadable", ca_file=ca_file, error=str(error))  # noqa: TRY400  the operator's error
            raise OwnFault("the certificate authorities cannot be read") from error
        self._contexts[key] = (changed_ns, context)
        return context


async def secure(
    attempt: Attempt,
    wire: Wire,
    trust: Trust,
    *,
    server_name: str,
    verify: bool,
    ca_file: str | None,
    protocol: str | None = None,
) -> dict[str, object]:
    """The handshake; returns the facts about it. Raises AttemptFailed."""
    context = trust.context(verify=verify, ca_file=ca_file, protocol=protocol)
    async with attempt.securing():
        try:
            tls = await wire.secure(context, server_name.rstrip("."))
        except ssl.SSLCertVerificationError as error:
            raise AttemptFailed(_what_is_wrong(error, _presented(wire), server_name)) from error
        except (OSError, ValueError) as error:
            raise failure_of(error) if isinstance(error, OSError) else AttemptFailed("TLS failed") from error
    return _facts(tls)


def _make_context(*, verify: bool, ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file if verify else None)
    # Python 3.13 refuses certificates that every browser and curl accept; one judgement on all versions.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _facts(tls: ssl.SSLObject) -> dict[str, object]:
    cipher = tls.cipher()
    facts: dict[str, object] = {"tls_version": tls.version(), "cipher": cipher[0] if cipher else None}
    certificate = _read(tls.getpeercert(binary_form=True))
    if certificate is not None:
        facts["certificate_expires_in"] = certificate.not_after - datetime.now(UTC)
        facts["certificate_subject"] = certificate.subject
        facts["certificate_issuer"] = certificate.issuer
    return facts


def _read(der: bytes | None) -> Certificate | None:
    if not der:
        return None
    try:
        return read_certificate(der)
    except ValueError:
        return None


def _presented(wire: Wire) -> Certificate | None:
    """The certificate that was refused."""
    tls = wire.tls
    if tls is None:
        return None
    # Public from Python 3.13 on; before that the same method stands on the object inside.
    chain_of = getattr(tls, "get_unverified_chain", None) or getattr(
        getattr(tls, "_sslobj", None), "get_unverified_chain", None
    )
    chain = (chain_of() if chain_of else None) or [None]
    leaf: Any = chain[0]
    if leaf is not None and not isinstance(leaf, bytes):
        leaf = ssl.PEM_cert_to_DER_cert(leaf.public_bytes())
    return _read(leaf)


def _what_is_wrong(
    error: ssl.SSLCertVerificationError, certificate: Certificate | None, server_name: str
) -> str:
    code = error.verify_code
    now = datetime.now(UTC)
    if code == _EXPIRED:
        if certificate is not None and certificate.not_after <= now:
            return f"certificate expired {_days(now - certificate.not_after)} ago"
        return "a certificate in the chain expired"
    if code == _NOT_YET_VALID:
        if certificate is not None and certificate.not_before > now:
            return f"certificate is valid only in {_days(certificate.not_before - now)}"
        return "a certificate in the chain is not valid yet"
    if code in _WRONG_NAME and certificate is not None:
        names = certificate.names[:_SHOWN_NAMES] or (certificate.subject or "nobody",)
        more = ", ..." if len(certificate.names) > _SHOWN_NAMES else ""
        return f"certificate is for {', '.join(names)}{more}, not {server_name}"
    if code == _SELF_SIGNED:
        return "certificate is self-signed"
    if code == _SELF_SIGNED_CHAIN or code in _UNKNOWN_ISSUER:
        return "certificate is not signed by a known authority"
    return f"certificate cannot be verified: {error.verify_message}"


def _days(duration: timedelta) -> str:
    hours = int(duration.total_seconds() // 3_600)
    count, unit = (hours // 24, "day") if hours >= 24 else (hours, "hour")
    return f"{count} {unit}{'' if count == 1 else 's'}" if count else "less than an hour"
