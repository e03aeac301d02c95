"""Names into addresses, by c-ares: a thousand lookups that hang keep no other one waiting."""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from functools import lru_cache
from itertools import zip_longest

import aiodns
import pycares

from holdfast.adapters.probes.errors import AttemptFailed, failure_of

_MOST_ADDRESSES = 8
_QUERY_TIMEOUT_S = 2.0
_TRIES = 3
_WORDS = {
    pycares.errno.ARES_ENOTFOUND: "name not found",
    pycares.errno.ARES_ENODATA: "name not found",
    pycares.errno.ARES_EBADNAME: "the host is not a name",
    pycares.errno.ARES_ETIMEOUT: "name lookup: no answer from the name servers",
    pycares.errno.ARES_ESERVFAIL: "name lookup: the name servers failed",
    pycares.errno.ARES_EREFUSED: "name lookup: the name servers refused",
    pycares.errno.ARES_ECONNREFUSED: "name lookup: the name servers cannot be reached",
}


class Addresses:
    """The addresses of hosts: from /etc/hosts and the system's name servers, or from the given ones."""

    def __init__(self, nameservers: Sequence[str] = ()) -> None:
        """`nameservers` as `address:port`, for tests."""
        self._nameservers = nameservers
        self._resolver: aiodns.DNSResolver | None = None

    async def of(self, host: str) -> tuple[str, ...]:
        """The addresses of `host`, in the order to try them. Raises AttemptFailed when it has none."""
        try:
            found = await self._in_this_loop().getaddrinfo(host, type=socket.SOCK_STREAM)
        except aiodns.error.DNSError as error:
            _check_our_own_means()
            raise AttemptFailed(_WORDS.get(error.args[0], "name lookup failed")) from error
        except (UnicodeError, ValueError) as error:
            raise AttemptFailed("the host is not a name") from error
        addresses = _interleaved([node.addr[0].decode("ascii") for node in found.nodes])
        if not addresses:
            raise AttemptFailed("name not found")
        return addresses

    async def close(self) -> None:
        """Ends all lookups. A later one begins anew."""
        resolver, self._resolver = self._resolver, None
        if resolver is not None:
            await resolver.close()

    def _in_this_loop(self) -> aiodns.DNSResolver:
        loop = asyncio.get_running_loop()
        if self._resolver is None or self._resolver.loop is not loop:
            self._resolver = aiodns.DNSResolver(
                self._nameservers or None, loop, timeout=_QUERY_TIMEOUT_S, tries=_TRIES
            )
        return self._resolver


@lru_cache(maxsize=8_192)
def is_address(host: str) -> bool:
    """Whether `host` is an address already."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _check_our_own_means() -> None:
    """c-ares does not say that it found no file descriptor for its question. Raises OwnFault when so."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
    except OSError as error:
        raise failure_of(error) from error


def _interleaved(addresses: list[str]) -> tuple[str, ...]:
    """One of each family in turn (RFC 8305, section 4), the preferred family first."""
    first = [each for each in addresses if (":" in each) == (":" in addresses[0])]
    second = [each for each in addresses if (":" in each) != (":" in addresses[0])]
    pairs = zip_longest(first, second)
    return tuple(each for pair in pairs for each in pair if each)[:_MOST_ADDRESSES]
