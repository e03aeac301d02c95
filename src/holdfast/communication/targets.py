"""Where messages may be sent, decided before anything is sent: addresses of web hooks, by rule and by number.

A stranger types the address, and our network sends to it. So it is read by one strict grammar (what it does
not know is refused, never interpreted), a host in numbers has one spelling only, and every network address
that the host leads to must be one of the open Internet (IANA's special-purpose registries, RFC 6890, and
what clouds answer on). Who connects (adapters) asks `refusal` for each address that it is about to use.
"""

import ipaddress
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from holdfast.communication.errors import BadAddress
from holdfast.communication.model import Channel

LONGEST_ADDRESS = 2_000
HTTPS_PORT = 443
_DEFAULT_PORTS = {"https": HTTPS_PORT, "http": 80}
_FIRST_FREE_PORT = 1024
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<rest>(?:/[!$-;=?-Z_a-z~%]*)?)",
    re.IGNORECASE | re.ASCII,  # without ASCII, K (the Kelvin sign) would pass for k
)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_INNER_NAMES = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "private", "home.arpa")
_SLACK_HOSTS = ("hooks.slack.com", "hooks.slack-gov.com")
_TEAMS_SUFFIXES = (
    ".webhook.office.com",
    ".logic.azure.com",
    ".api.powerplatform.com",
    ".api.powerautomate.com",
)


class TargetRefused(BadAddress):
    """Nothing is sent there. The message is for whoever typed the address."""


@dataclass(frozen=True, slots=True)
class Target:
    """An address of a web hook, taken apart. `host` is in lower case, an IPv6 address without brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The host, where it is a network address already."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    @property
    def url(self) -> str:
        """In its one spelling: equal targets have equal URLs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def target_of(url: str, channel: Channel = Channel.WEBHOOK, *, private: bool = False) -> Target:
    """The target that `url` names. Raises TargetRefused.

    `private` is for tests and closed networks: it allows http, any port, inner names and addresses, and any
    host for Slack and Teams; what no network routes and what clouds answer on stays refused.
    """
    if len(url) > LONGEST_ADDRESS:
        raise TargetRefused(f"the address is longer than {LONGEST_ADDRESS} characters")
    found = _URL.fullmatch(url)
    if found is None:
        raise TargetRefused("this is no web address", hint=_LIKE)
    scheme, host = found["scheme"].lower(), found["host"].lower()
    port = int(found["port"]) if found["port"] else _DEFAULT_PORTS[scheme]
    target = Target(scheme, _host(host, private=private), port, found["rest"] or "/")
    _check_way(target, private=private)
    if target.address is not None and (reason := refusal(target.address, private=private)):
        raise TargetRefused(f"the address is {reason}", hint=_PUBLIC)
    if not private:
        _check_service(target, channel)
    return target


def refusal(address: str | IPv4Address | IPv6Address, *, private: bool = False) -> str:
    """Why nothing is sent to this network address, in a few words; empty when it may be."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "not a network address"
    if isinstance(ip, IPv6Address):
        if ip.scope_id is not None:
            return "tied to a network interface"
        if ip in _NAT64:
            # Where a network has IPv6 only, every IPv4 host is found here: what counts is which one.
            return refusal(IPv4Address(int(ip) & 0xFFFF_FFFF), private=private)
    for reason, networks in _NEVER.items():
        if any(ip in each for each in networks):
            return reason
    if private:
        return ""
    if isinstance(ip, IPv4Address):
        return "not of the open Internet" if any(ip in each for each in _INNER_4) else ""
    outside = ip not in _OPEN_6 or any(ip in each for each in _INNER_6)
    # ISATAP (RFC 5214) hides an IPv4 address behind any prefix.
    hidden = (int(ip) >> 32) & 0xFCFF_FFFF == 0x5EFE
    return "not of the open Internet" if outside or hidden else ""


def _host(host: str, *, private: bool) -> str:
    if host.startswith("["):
        try:
            return str(IPv6Address(host[1:-1]))
        except ValueError:
            raise TargetRefused("the host is no IPv6 address", hint=_LIKE) from None
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        # 127.1, 0x7f.0.0.1, 2130706433, 0177.0.0.1: other programs read all of them as 127.0.0.1.
        try:
            return str(IPv4Address(host))
        except ValueError:
            raise TargetRefused("the host is a number that is no IPv4 address", hint=_LIKE) from None
    if len(host) > 253 or not all(_LABEL.fullmatch(each) for each in labels):
        raise TargetRefused("the host is no name", hint=_LIKE)
    inner = len(labels) == 1 or any(host == each or host.endswith(f".{each}") for each in _INNER_NAMES)
    if inner and not private:
        raise TargetRefused("the host is a name of an inner network", hint=_PUBLIC)
    return host


def _check_way(target: Target, *, private: bool) -> None:
    if not 0 < target.port < 65_536:
        raise TargetRefused("there is no such port", hint=_LIKE)
    if private:
        return
    if target.scheme != "https":
        raise TargetRefused("the address must begin with https://")
    if target.port != HTTPS_PORT and target.port < _FIRST_FREE_PORT:
        raise TargetRefused("the port must be 443, or 1024 and above")


def _check_service(target: Target, channel: Channel) -> None:
    usual = target.port == HTTPS_PORT
    if channel is Channel.SLACK and not (usual and target.host in _SLACK_HOSTS):
        raise TargetRefused("this is no incoming web hook of Slack", hint="https://hooks.slack.com/...")
    if channel is Channel.TEAMS and not (usual and target.host.endswith(_TEAMS_SUFFIXES)):
        hint = "a workflow's address: https://...logic.azure.com/..., https://...webhook.office.com/..."
        raise TargetRefused("this is no web hook of Microsoft Teams", hint=hint)


def _networks_4(*networks: str) -> tuple[IPv4Network, ...]:
    return tuple(IPv4Network(each) for each in networks)


def _networks_6(*networks: str) -> tuple[IPv6Network, ...]:
    return tuple(IPv6Network(each) for each in networks)


_NAT64 = IPv6Network("64:ff9b::/96")
_NEVER: dict[str, tuple[IPv4Network | IPv6Network, ...]] = {
    "link-local, where clouds keep their credentials": (
        *_networks_4("169.254.0.0/16"),
        *_networks_6("fe80::/10"),
    ),
    "a cloud's own service": (
        *_networks_4("168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32"),  # Azure, Alibaba, Oracle
        *_networks_6("fd00:ec2::/32", "fd20:ce::/32"),  # AWS, Google
    ),
    "no single host": (
        *_networks_4("0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4"),
        *_networks_6("::/128", "ff00::/8"),
    ),
    # Each carries an IPv4 address inside, and no receiver needs one: mapped, compatible, translated, 6to4,
    # Teredo, NAT64 of a local network.
    "an IPv4 address in disguise": _networks_6(
        "::ffff:0:0/96", "::ffff:0:0:0/96", "2002::/16", "2001::/32", "64:ff9b:1::/48"
    ),
}
_INNER_4 = _networks_4(
    *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
)
_OPEN_6 = IPv6Network("2000::/3")
_INNER_6 = _networks_6("2001::/23", "2001:db8::/32", "3fff::/20")
_LIKE = "like https://hooks.example.com/status; no user, no password, no #, and other letters as %.. or xn--"
_PUBLIC = "it must be reachable from the open Internet"
