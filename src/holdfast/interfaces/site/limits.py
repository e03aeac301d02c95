"""How often a visitor may ask for something that costs others: a mail, a post, a search in the database.

The counts are of this process and are gone with it. What must hold over restarts and replicas (how many
letters one address gets in a day) is counted in the database as well (`communication.subscribing.Limits`).
"""

import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit

from holdfast.communication.addresses import mail_address
from holdfast.communication.errors import BadAddress
from holdfast.kernel.clock import Clock

_MOST_KEYS = 20_000


class Throttle:
    """Lets each key do something `most` times at once, and again as often within `within_s` seconds.

    Of more than 20,000 keys the ones longest unseen are forgotten: memory is bounded whoever asks.
    """

    def __init__(self, clock: Clock, most: int, within_s: float) -> None:
        self._clock = clock
        self._most = most
        self._per_s = most / within_s
        self._spent: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def allows(self, key: Hashable) -> bool:
        """Whether it may now; counts it if so."""
        now = self._clock.monotonic()
        spent, at = self._spent.pop(key, (0.0, now))
        spent = max(0.0, spent - (now - at) * self._per_s)
        allowed = spent + 1 <= self._most
        self._spent[key] = (spent + 1 if allowed else spent, now)
        while len(self._spent) > _MOST_KEYS:
            self._spent.popitem(last=False)
        return allowed

    def __len__(self) -> int:
        return len(self._spent)


@dataclass(frozen=True, slots=True)
class Throttles:
    """The limits of the subscribe pages.

    `asking` by client and `everybody` together bound what leaves this site; `target` what one address gets,
    `host` what all addresses of a web hook's host get. `holder` bounds what the holder of one link can do to
    the database.
    """

    asking: Throttle
    everybody: Throttle
    target: Throttle
    host: Throttle
    holder: Throttle


def throttles(clock: Clock) -> Throttles:
    return Throttles(
        asking=Throttle(clock, 6, 600.0),
        everybody=Throttle(clock, 300, 600.0),
        target=Throttle(clock, 4, 86_400.0),
        host=Throttle(clock, 60, 3_600.0),
        holder=Throttle(clock, 30, 60.0),
    )


_SALT = secrets.token_bytes(32)


def unnamed(address: str) -> bytes:
    """A key for an address that is worth nothing outside this process."""
    return blake2b(address.casefold().encode(errors="surrogatepass"), key=_SALT, digest_size=16).digest()


def mailbox_of(address: str) -> str:
    """The mailbox that an address most likely leads to: without what many servers ignore in its name.

    The domain counts in its one form: it can be written in any number of ways.
    """
    with suppress(BadAddress):
        address = mail_address(address)
    local, at, domain = address.casefold().rpartition("@")
    return f"{local.partition('+')[0].replace('.', '')}{at}{domain}"


def host_of(url: str) -> str:
    """The host of a web address, as far as one can be made out."""
    try:
        return urlsplit(url.casefold()).hostname or ""
    except ValueError:
        return ""


def client_of(scope: Any) -> str:
    """Who asks: the IPv4 address, or the /64 network that one subscriber of IPv6 has all to itself."""
    host = (scope.get("client") or ("",))[0]
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return str(host)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(ip) >> 64 << 64, 64)))
    return str(ip)
