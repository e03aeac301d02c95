"""What the probes of one process share, and the way to a server that all of those over TCP go."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from holdfast.adapters.probes.addresses import Addresses, is_address
from holdfast.adapters.probes.errors import OwnFault, failure_of
from holdfast.adapters.probes.phases import Attempt
from holdfast.adapters.probes.tls import Trust, secure
from holdfast.adapters.probes.wire import Wire, connect
from holdfast.estate.values import SecretRef

ResolveSecret = Callable[[SecretRef], str]


class Secured(Protocol):
    """A check of a server by host, over TLS."""

    @property
    def host(self) -> str: ...
    @property
    def server_name(self) -> str | None: ...
    @property
    def verify_tls(self) -> bool: ...
    @property
    def ca_file(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Reach:
    """Names into addresses, whom to trust, and the secrets of checks."""

    addresses: Addresses
    trust: Trust
    resolve_secret: ResolveSecret

    async def found(self, attempt: Attempt, host: str) -> tuple[str, ...]:
        """The addresses of `host`, looked up when it is a name. Raises AttemptFailed."""
        if is_address(host):
            return (host,)
        async with attempt.resolving():
            return await self.addresses.of(host)

    async def open_wire(self, attempt: Attempt, host: str, port: int) -> Wire:
        """A connection to `host`. Raises AttemptFailed."""
        found = await self.found(attempt, host)
        async with attempt.connecting():
            return await connect(attempt.loop, found, port)

    @asynccontextmanager
    async def connected(self, attempt: Attempt, host: str, port: int) -> AsyncIterator[Wire]:
        """A connection that is gone afterwards. Raises AttemptFailed."""
        wire = await self.open_wire(attempt, host, port)
        try:
            yield wire
        except OSError as error:
            raise failure_of(error) from error
        finally:
            wire.close()

    async def secured(
        self, attempt: Attempt, wire: Wire, check: Secured, *, protocol: str | None = None
    ) -> dict[str, object]:
        """The facts about the TLS handshake. `protocol` is asked for by ALPN. Raises AttemptFailed."""
        return await secure(
            attempt,
            wire,
            self.trust,
            server_name=check.server_name or check.host,
            verify=check.verify_tls,
            ca_file=check.ca_file,
            protocol=protocol,
        )

    def secret(self, reference: SecretRef) -> str:
        """The secret, read anew each time. Raises OwnFault when it cannot be had."""
        try:
            return self.resolve_secret(reference)
        except Exception as error:  # whatever it raises must not carry a secret into a reason
            raise OwnFault("a secret of the check cannot be read") from error

    def revealed(self, headers: Mapping[str, str | SecretRef]) -> list[tuple[str, str]]:
        """The headers with their secrets. Raises OwnFault."""
        return [
            (name, self.secret(value).strip() if isinstance(value, SecretRef) else value)
            for name, value in headers.items()
        ]
