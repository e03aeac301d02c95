"""Sending to addresses that strangers typed, so that nothing of ours can be reached that way.

    host --looked up once--> addresses --all vetted--> pinned --socket vetted--> peer vetted --> sent

A name that answers differently the second time is not asked a second time: the connection is made to the
addresses that were vetted, by number, while TLS still insists on the name. Every socket is vetted once more
where it is made, and the peer once more before the first byte of the request. A redirect is a new address,
and goes the same way from the beginning. No proxy, no cookie, no credential of ours goes along.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urljoin

import aiodns
import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from holdfast.communication.model import Channel
from holdfast.communication.targets import Target, TargetRefused, refusal, target_of
from holdfast.kernel.errors import HoldfastError, Remedy

MOST_REDIRECTS = 3
MOST_READ = 64 * 1024
MOST_ADDRESSES = 8
_CHUNK = 8 * 1024
_LOOKUP_TIMEOUT_S = 2.0
_LOOKUP_TRIES = 2
_REPEATED = frozenset({301, 302, 307, 308})

Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""A name into its network addresses. Raises NotReached."""


class NotReached(HoldfastError):  # noqa: N818  a state of affairs more than an error
    """Nobody was there, or nobody answered in time and form. Another time it may work."""

    remedy = Remedy.TRANSIENT


@dataclass(frozen=True, slots=True)
class Answered:
    """What a receiver said: at most the first 64 KiB of it. `retry_after` is the header as it came."""

    status: int
    body: bytes = b""
    retry_after: str = ""


class Outbound:
    """Posts to vetted targets, each within `patience_s` from the name lookup to the end of the answer."""

    def __init__(
        self,
        *,
        private: bool = False,
        lookup: Lookup | None = None,
        trust: ssl.SSLContext | None = None,
        patience_s: float = 10.0,
    ) -> None:
        """`private` allows inner addresses (`communication.subscriptions.private_targets`)."""
        self._private = private
        self._lookup = lookup or _looked_up
        self._trust = trust or ssl.create_default_context()
        self._patience_s = patience_s

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], channel: Channel = Channel.WEBHOOK
    ) -> Answered:
        """POST `body`, following few redirects with the same. Raises TargetRefused and NotReached."""
        target = target_of(url, channel, private=self._private)
        try:
            async with asyncio.timeout(self._patience_s) as limit:
                for _ in range(MOST_REDIRECTS + 1):
                    answered, location = await self._posted(target, body, headers, limit)
                    if location is None:
                        return answered
                    target = self._redirected(target, location, channel)
        except TimeoutError as error:
            raise NotReached(f"no complete answer within {self._patience_s:g} s") from error
        raise NotReached(f"it redirects more than {MOST_REDIRECTS} times")

    def _redirected(self, before: Target, location: str, channel: Channel) -> Target:
        try:
            after = target_of(urljoin(before.url, location), channel, private=self._private)
        except ValueError as error:
            raise TargetRefused("it redirects to what is no web address") from error
        except TargetRefused as error:
            raise TargetRefused(f"it redirects, and there {error}", hint=error.hint) from error
        if before.scheme == "https" and after.scheme != "https":
            raise TargetRefused("it redirects from https to http")
        if before.host != after.host:
            # Who agreed is this host. Elsewhere it could send us to a stranger, message for message.
            raise TargetRefused("it redirects to another host", hint="subscribe that address instead")
        return after

    async def _posted(
        self, target: Target, body: bytes, headers: Mapping[str, str], limit: asyncio.Timeout
    ) -> tuple[Answered, str | None]:
        """One request to one target; and where it redirects to, if it does."""
        connector = self._connector(target, await self._vetted(target))
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    trust_env=False,
                    auto_decompress=False,
                    timeout=aiohttp.ClientTimeout(total=None),
                ) as session,
                session.post(
                    URL(target.url, encoded=True),
                    data=body,
                    headers={**headers, "Accept-Encoding": "identity"},
                    allow_redirects=False,
                ) as response,
            ):
                location = response.headers.get("Location") if response.status in _REPEATED else None
                if location is not None:
                    return Answered(response.status), location
                read = await _beginning(response, limit)
                return Answered(response.status, read, response.headers.get("Retry-After", "")), None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if connector.refused:
                raise TargetRefused(connector.refused) from error
            if isinstance(error, TimeoutError):
                raise
            raise NotReached(_in_words(error)) from error

    def _connector(self, target: Target, addresses: Sequence[str]) -> "_Pinned":
        return _Pinned(target, addresses, private=self._private, trust=self._trust)

    async def _vetted(self, target: Target) -> Sequence[str]:
        """The addresses of the host. One that may not be reached spoils them all: such a name is a trap."""
        literal = target.address
        found = [str(literal)] if literal is not None else list(await self._lookup(target.host))
        for each in found:
            if reason := refusal(each, private=self._private):
                raise TargetRefused(f"the host leads to an address that is {reason}")
        if not found:
            raise NotReached("the host has no address")
        return found[:MOST_ADDRESSES]


class _Pinned(aiohttp.TCPConnector):
    """Connects to the given addresses of one target, and to nothing else whatever it is asked for."""

    def __init__(
        self, target: Target, addresses: Sequence[str], *, private: bool, trust: ssl.SSLContext
    ) -> None:
        super().__init__(
            resolver=_PinnedResolver(target.host, addresses),
            use_dns_cache=False,
            force_close=True,
            ssl=trust,
            socket_factory=self._socket,
        )
        self._allowed = frozenset(ip_address(each) for each in addresses)
        self._private = private
        self.refused = ""

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        self._vet(str(address[0]))
        return socket.socket(family, kind, protocol)

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:
        connection = await super().connect(req, traces, timeout)
        peer = connection.transport.get_extra_info("peername") if connection.transport else None
        try:
            self._vet(str(peer[0]) if peer else "")
        except OSError:
            connection.close()
            raise
        return connection

    def _vet(self, address: str) -> None:
        """Raises OSError, which the way up understands; `refused` says why."""
        reason = refusal(address, private=self._private)
        if not reason and ip_address(address) not in self._allowed:
            reason = "another one than was vetted"
        if reason:
            self.refused = f"the connection leads to an address that is {reason}"
            raise OSError(self.refused)


class _PinnedResolver(AbstractResolver):
    """Knows one host."""

    def __init__(self, host: str, addresses: Sequence[str]) -> None:
        self._host = host
        self._addresses = addresses

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002  of all families, whatever is asked
    ) -> list[ResolveResult]:
        if host != self._host:
            raise OSError("another host than was vetted")
        return [
            ResolveResult(
                hostname=host,
                host=each,
                port=port,
                family=socket.AF_INET6 if ":" in each else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for each in self._addresses
        ]

    async def close(self) -> None:
        pass


async def _beginning(response: aiohttp.ClientResponse, limit: asyncio.Timeout) -> bytes:
    """The first of the answer. Its status has arrived: what follows of it, or does not, changes nothing."""
    read = bytearray()
    deadline = limit.when()
    left = None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time()) * 0.9
    try:
        async with asyncio.timeout(left):
            while len(read) < MOST_READ and (chunk := await response.content.read(_CHUNK)):
                read += chunk
    except (aiohttp.ClientError, OSError):
        pass  # TimeoutError is one of them
    return bytes(read[:MOST_READ])


async def _looked_up(host: str) -> Sequence[str]:
    """By c-ares, from /etc/hosts and the system's name servers: a lookup that hangs keeps no thread."""
    resolver = aiodns.DNSResolver(
        loop=asyncio.get_running_loop(), timeout=_LOOKUP_TIMEOUT_S, tries=_LOOKUP_TRIES
    )
    try:
        found = await resolver.getaddrinfo(host, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM)
    except (aiodns.error.DNSError, UnicodeError, ValueError) as error:
        raise NotReached("the host has no address") from error
    finally:
        await resolver.close()
    return tuple(dict.fromkeys(node.addr[0].decode("ascii") for node in found.nodes))


def _in_words(error: Exception) -> str:
    """Why there was no answer, without the address: that is the subscriber's secret."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted, or for another name"
    if isinstance(error, ssl.SSLError | aiohttp.ClientSSLError):
        return "no TLS connection"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection: {error.os_error.strerror or 'refused or unreachable'}"
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionError):
        return "it closed the connection without an answer"
    return "it does not speak HTTP"
